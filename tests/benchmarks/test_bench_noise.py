"""The benchmark on noise in supports, made small."""

import numpy as np
import pandas as pd
import pytest

MODULES = ("measures.noise", "protocols.families", "protocols.noise")
DETECTOR = "closed-form=sklearn_fsad:ProtoNetDetector"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six tasks of three features."""
    path = tmp_path_factory.mktemp("noise")
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X = np.vstack([rng.normal(size=(60, 3)), rng.normal(size=(30, 3)) + 3.0])
        np.savez(path / f"task{seed}.npz", X=X, y=np.repeat([0, 1], [60, 30]))
    return path


@pytest.fixture(scope="module")
def task(bench, folder):
    return bench.protocols.families.load_family(folder)[0]


def test_noise_is_in_the_support_alone(bench, task):
    made, query_X, query_y = bench.protocols.noise.supports(task, 0, 0, 20, 5, 5, 400)
    by_noise = {support.noise: support for support in made}
    assert [int(s.wrong.sum()) for s in made] == [0, 2, 4, 3]
    assert {len(s.X) for s in made} == {25}
    truth = {row.tobytes(): label for row, label in zip(task.X, task.y, strict=True)}
    for support in made:
        true = np.array([truth[row.tobytes()] for row in support.X])
        np.testing.assert_array_equal(support.wrong, support.y != true)
        assert not {row.tobytes() for row in support.X} & {row.tobytes() for row in query_X}
    assert by_noise["10 % turned"].y.sum() == 5 + 2 - 1
    np.testing.assert_array_equal(query_y, [truth[row.tobytes()] for row in query_X])


def test_the_robust_training_comes_beside_the_plain_one(bench, folder, few_lessons, tmp_path):
    words = ["--data", str(folder), "--n", "20", "--k", "0", "--draws", "1", "--folds", "1"]
    words += ["--detector", "mix=sklearn_fsad:ProtoNetDetector(max_epochs=1,episodes_per_epoch=4)"]
    bench.main(["trust", "noise", *words, "--results", str(tmp_path), "--label", "made"])
    rows = pd.read_csv(tmp_path / "made.csv")
    counts = rows.groupby("setting").size()
    assert set(counts.index) == {"as it is", "cleaned", "robust", "robust, cleaned"}
    assert counts.nunique() == 1
    assert "`support_contamination=0.2`" in (tmp_path / "made.md").read_text()


def test_labels_of_training_tasks_are_turned_in_both_directions(bench, task):
    turned = bench.protocols.noise.with_turned_labels(task, 0.1, 0)
    wrong = turned.y != task.y
    assert [int(wrong[task.y == label].sum()) for label in (0, 1)] == [6, 3]
    np.testing.assert_array_equal(turned.X, task.X)
    assert bench.protocols.noise.with_turned_labels(task, 0.0, 0).y.tolist() == task.y.tolist()


def test_more_hidden_anomalies_hold_fewer(bench, task):
    made, *_ = bench.protocols.noise.supports(task, 0, 0, 20, 5, 5, 400)
    ten, twenty = (set(np.flatnonzero(s.wrong)) for s in made[1:3])
    assert ten < twenty


def test_without_labels_none_can_be_turned(bench, task):
    made, *_ = bench.protocols.noise.supports(task, 0, 0, 20, 0, 5, 400)
    assert [support.noise for support in made] == ["none", "10 % hidden", "20 % hidden"]


def test_it_writes_a_report_and_its_rows(bench, folder, tmp_path):
    words = ["--data", str(folder), "--n", "20", "--k", "0", "3", "--draws", "1", "--folds", "1"]
    words += ["--detector", DETECTOR, "--as-is", "closed-form", "--states", str(tmp_path / "s")]
    words += ["--results", str(tmp_path), "--label", "made"]
    bench.main(["trust", "noise", *words])
    rows = pd.read_csv(tmp_path / "made.csv")
    text = (tmp_path / "made.md").read_text()
    assert len(rows) == 2 * (3 * 2 + 4 * 3)  # tasks, noises at each k, settings
    assert rows[rows.setting == "as it is"].dropped.eq(0).all()
    assert "## closed-form (2 tasks)" in text
    assert "--states" not in text
    assert str(tmp_path) not in text
