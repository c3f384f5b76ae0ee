"""Benchmarks on families of tasks, on a tiny synthetic family."""

import dataclasses
import json
import re
import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage

from sklearn_fsad._made_tasks import sinusoid_task

MODULES = (
    "measures.generated",
    "measures.ranking",
    "methods.detectors",
    "methods.meta",
    "methods.named",
    "methods.support",
    "protocols.families",
    "protocols.generated",
    "speed.steps",
)
CHEAP = ["maha_scaled", "ratio_raw"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six tasks in three groups, one of them short of rows, and one task without anomalies."""
    path = tmp_path_factory.mktemp("family")
    names = ["pump1_0", "pump1_12", "pump2_3", "pump2_4", "fan_0", "fan_1", "calm_calm"]
    for seed, name in enumerate(names):
        rng = np.random.default_rng(seed)
        n, k = (27, 8) if name == "fan_1" else (60, 0 if name == "calm_calm" else 20)
        normals = rng.normal(size=(n, 4)) + seed
        anomalies = 2 * rng.normal(size=(k, 4)) + seed + [1.5, 0, 0, 0]
        X, y = np.vstack([normals, anomalies]), np.repeat([0, 1], [n, k])
        order = rng.permutation(len(y))
        np.savez(path / f"{name}.npz", X=X[order], y=y[order].astype(np.int8))
    return path


@pytest.fixture(scope="module")
def tasks(bench, folder):
    return bench.protocols.families.load_family(folder)


@pytest.fixture(scope="module")
def task(tasks):
    return next(task for task in tasks if task.name == "pump1_0")


class Shifty:
    """A detector that keeps a diary, and scores the distance to the mean of the normals."""

    trained_on: ClassVar[list[tuple[int, list[bytes]]]] = []
    tested_on: ClassVar[list[tuple[int, bytes]]] = []

    def __init__(self, fail_at_k=None):
        self.fail_at_k = fail_at_k
        self.fold = None
        self.n_fits = 0

    def meta_fit(self, tasks):
        self.fold = len(self.trained_on)
        self.trained_on.append((self.fold, [row.tobytes() for X, _ in tasks for row in X]))
        return self

    def fit(self, X, y):
        self.n_fits += 1
        assert self.n_fits == 1, "a support was learned after another one"
        if self.fail_at_k is not None and y.sum() == self.fail_at_k:
            raise RuntimeError("as told")
        self.mean = X[y == 0].mean(axis=0)
        return self

    def decision_function(self, X):
        self.tested_on.append((self.fold, X[0].tobytes()))
        return 1 - np.linalg.norm(X - self.mean, axis=1)


@pytest.fixture
def shifty(monkeypatch):
    """The command-line name of a detector that keeps a diary."""
    monkeypatch.setattr(Shifty, "trained_on", [])
    monkeypatch.setattr(Shifty, "tested_on", [])
    module = SimpleNamespace(Shifty=Shifty)
    monkeypatch.setitem(sys.modules, "shifty_module", module)
    return "shifty_module:Shifty"


def run(bench, folder, results, *words, n=("5", "10"), k=("0", "3"), label="run", draws="2"):
    """Run the command line; return its exit code, and the rows it wrote."""
    words = [*words, "--n", *n, "--k", *k, "--draws", draws, "--label", label]
    code = bench.main(["families", "--data", str(folder), "--results", str(results), *words])
    csv = results / f"{label}.csv"
    return code, pd.read_csv(csv) if csv.exists() else None


def cells_in(markdown, title, method):
    """Read one line of one table out of the report."""
    section = markdown.split(f"## {title}\n")[1].split("\n#")[0]
    line = next(line for line in section.splitlines() if line.startswith(f"| {method} |"))
    return [float(cell.strip(" *")) for cell in line.split("|")[2:-2] if cell.strip() != "-"]


# --- draws -------------------------------------------------------------------------------------


def test_supports_are_nested_and_never_in_the_query(bench, task):
    draw = bench.protocols.families.draw_rows(task, 0, 0, 20, 5)
    small, large = set(draw.support(10, 2)), set(draw.support(20, 5))
    assert len(small) == 12
    assert len(large) == 25
    assert small < large
    assert set(draw.query) == set(range(len(task.y))) - large


def test_query_is_the_same_in_all_cells_of_a_draw_and_new_in_the_next(bench, task):
    protocol = bench.protocols.families.Protocol((5, 10), (0, 3), 2, 0)
    episodes = list(protocol.episodes(task))
    by_draw = [[e for e in episodes if e.draw == number] for number in range(2)]
    for same in by_draw:
        assert len(same) == 4
        for episode in same[1:]:
            np.testing.assert_array_equal(episode.query_X, same[0].query_X)
        for episode in same:
            together = np.vstack([episode.support_X, episode.query_X])
            assert len(np.unique(together, axis=0)) == len(together)
            assert episode.support_y.sum() == episode.k
    assert not np.array_equal(by_draw[0][0].support_X, by_draw[1][0].support_X)


def test_a_draw_depends_on_seed_name_and_number_only(bench, task):
    draw_rows = bench.protocols.families.draw_rows
    first = draw_rows(task, 0, 1, 10, 3)
    np.testing.assert_array_equal(first.query, draw_rows(task, 0, 1, 10, 3).query)
    assert not np.array_equal(first.normals, draw_rows(task, 1, 1, 10, 3).normals)
    np.testing.assert_array_equal(first.normals, draw_rows(task, 0, 1, 20, 5).normals[:10])


def test_a_short_task_keeps_twenty_normals_and_three_anomalies_for_the_query(bench, tasks):
    short = next(task for task in tasks if task.name == "fan_1")
    (episode,) = bench.protocols.families.Protocol((10,), (10,), 1, 0).episodes(short)
    assert (episode.n, episode.n_used, episode.k, episode.k_used) == (10, 7, 10, 5)
    assert np.bincount(episode.query_y).tolist() == [20, 3]


def test_a_capped_query_keeps_anomalies(bench):
    y = np.repeat([0, 1], [5000, 40])
    task = bench.protocols.families.Task(
        "big_1", "big", np.arange(len(y))[:, None].astype(float), y
    )
    capped = bench.protocols.families.draw_rows(task, 0, 0, 10, 5, max_query=200)
    assert np.bincount(task.y[capped.query]).tolist() == [170, 30]
    whole = bench.protocols.families.draw_rows(task, 0, 0, 10, 5)
    assert set(capped.query) < set(whole.query)


# --- folds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["random", "groups"])
def test_every_task_is_tested_once_and_never_learned_from_in_its_fold(bench, tasks, split):
    folds = bench.protocols.families.make_folds(tasks, split, seed=0)
    tested = [name for fold in folds for name in fold.test]
    assert sorted(tested) == sorted(task.name for task in tasks if task.testable)
    for fold in folds:
        assert not set(fold.train) & set(fold.test)
        assert "calm_calm" in fold.train


def test_groups_stay_whole(bench, tasks):
    folds = bench.protocols.families.make_folds(tasks, "groups", seed=0)
    group_of = bench.protocols.families.group_of
    assert [{group_of(name) for name in fold.test} for fold in folds] == [
        {"fan"},
        {"pump1"},
        {"pump2"},
    ]
    for fold in folds:
        assert not {group_of(name) for name in fold.train} & {group_of(n) for n in fold.test}


def test_a_task_without_anomalies_is_held_out_with_its_group(bench, tasks):
    calm = dataclasses.replace(tasks[0], name="pump2_9", group="pump2")
    folds = bench.protocols.families.make_folds([*tasks, calm], "groups", seed=0)
    assert ["pump2_9" in fold.train for fold in folds] == [True, True, False]


@pytest.mark.parametrize(
    ("name", "group"),
    [("valve1_13", "valve1"), ("metal_nut", "metal_nut"), ("BERT_20news_3", "BERT")],
)
def test_group_of_a_name(bench, name, group):
    assert bench.protocols.families.group_of(name) == group


def test_unrelated_tables_are_not_learned_from(bench, tasks):
    (fold,) = bench.protocols.families.make_folds(tasks, "none", seed=0)
    assert fold.train == ()
    assert len(fold.test) == 6


# --- baselines ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(8, 30), (30, 8), (12, 12)])
def test_shrunk_covariance_equals_the_direct_inverse(bench, n, d):
    rng = np.random.default_rng(0)
    scales = np.linspace(0.1, 3, d)
    rows, query = rng.normal(size=(n, d)) * scales, rng.normal(size=(5, d)) * scales
    centred = rows - rows.mean(axis=0)
    intensity = bench.methods.support.ledoit_wolf_intensity(centred)
    assert intensity == pytest.approx(ledoit_wolf_shrinkage(centred, assume_centered=True))
    direct = np.linalg.inv(LedoitWolf(assume_centered=True).fit(centred).covariance_)
    ours = bench.methods.support.ShrunkCovariance(centred)
    expected = np.einsum("ij,jk,ik->i", query, direct, query)
    np.testing.assert_allclose(ours.squared_distance(query), expected, rtol=1e-8)
    np.testing.assert_allclose(ours.solve(query[0]), direct @ query[0], rtol=1e-8)


def test_neighbour_ratio_is_the_nearest_normal_without_anomalies(bench):
    rng = np.random.default_rng(0)
    X, query = rng.normal(size=(12, 3)), rng.normal(size=(9, 3))
    to_normal = np.linalg.norm(query[:, None] - X[:10], axis=2).min(axis=1)
    to_anomaly = np.linalg.norm(query[:, None] - X[10:], axis=2).min(axis=1)
    make = bench.methods.support.NeighbourRatio
    alone = make().fit(X[:10], np.zeros(10)).anomaly_score(query)
    np.testing.assert_allclose(alone, to_normal)
    both = make().fit(X, np.repeat([0, 1], [10, 2])).anomaly_score(query)
    np.testing.assert_allclose(both, to_normal / (to_normal + to_anomaly))


def test_left_out_scores_do_not_see_their_own_row(bench):
    X = np.random.default_rng(0).normal(size=(12, 3))
    y = np.repeat([0, 1], [10, 2])
    nearest = bench.methods.support.Neighbours(1)
    left_out = nearest.fit_left_out(X, y)
    assert (nearest.anomaly_score(X[:10]) == 0).all()  # in the support, each is its own neighbour
    for i in range(10):
        others = [j for j in range(10) if j % 5 != i % 5]
        assert left_out[i] == pytest.approx(np.linalg.norm(X[others] - X[i], axis=1).min())


@pytest.mark.parametrize("n", [2, 7])
def test_every_fast_baseline_finds_a_far_row_from_few_normals(bench, n):
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(n, 3)), rng.normal(size=(2, 3)) + 20])
    X = np.column_stack([X, np.ones(len(X))])  # and a constant feature
    y = np.repeat([0, 1], [n, 2])
    for name, make in bench.methods.named.SUPPORT_BASELINES.items():
        if name.startswith("pyod"):
            continue
        scores = make(0).fit(X, y).anomaly_score(np.vstack([X[:n].mean(axis=0), X[-1]]))
        assert scores[1] > scores[0], name


def test_pyod_is_given_legal_numbers_of_neighbours(bench):
    pytest.importorskip("pyod")
    X = np.random.default_rng(0).normal(size=(3, 2))
    for name in ("pyod_knn_scaled", "pyod_lof_raw"):
        detector = bench.methods.named.SUPPORT_BASELINES[name](0).fit(X, np.zeros(3))
        scores = detector.anomaly_score(np.array([[0.0, 0.0], [30.0, 0.0]]))
        assert scores[1] > scores[0]


def test_positive_stack_drops_a_score_that_points_the_wrong_way(bench):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 200)
    good, bad, noise = y + rng.normal(size=400), -y + rng.normal(size=400), rng.normal(size=400)
    features = np.column_stack([good, bad, noise])
    free = bench.methods.meta.Stack().fit([features], [y]).weights_
    positive = bench.methods.meta.Stack(positive=True).fit([features], [y]).weights_
    assert free[1] < -0.5
    assert positive[1] == 0
    assert positive[0] > 0.5


# --- speed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["second", "first"])
def test_methods_of_the_speed_benchmark_agree(bench, order):
    steps = bench.speed.steps
    tasks = steps.make_tasks(n_tasks=3, n_support=8, n_query=6, n_features=4)
    modules = {o: steps.make_module(a, 4, (5, 3)) for o, a in steps.ORDERS.items()}
    results = {name: make(modules[order], tasks)() for name, make in steps.META_STEPS.items()}
    loss, gradients = results[steps.OURS]
    for other_loss, other_gradients in results.values():
        assert float(other_loss) == pytest.approx(float(loss), rel=1e-5)
        assert steps.relative_difference(other_gradients, gradients) < 1e-4
    (another,) = (module for o, module in modules.items() if o != order)
    _, of_another_order = steps.META_STEPS[steps.LOOP](another, tasks)()
    assert steps.relative_difference(of_another_order, gradients) > 1e-3


def test_points_off_a_shifted_sine_are_told_by_the_support_alone(bench):
    rng = np.random.default_rng(0)
    tasks = [sinusoid_task(rng, 110, 70) for _ in range(4)]
    for X, y in tasks:
        assert X.shape == (180, 2)
        assert (y == 1).sum() == 70
        assert np.abs(X[:, 1]).max() < 1.6  # one curve or another: the height alone says nothing
    shots = ((50, 0),)
    measure, methods = bench.measures.generated.measure, bench.methods.support
    nearest = measure(methods.Neighbours(1), tasks, shots)["50,0"]
    distance = measure(methods.Mahalanobis(), tasks, shots)["50,0"]
    assert distance < 0.65 < 0.9 < nearest


# --- the command line --------------------------------------------------------------------------


def test_spec_of_a_detector(bench):
    spec = bench.methods.detectors.parse_spec("proto=a.b:C(x='mlp', y=(1, 2), z=None)")
    assert (spec.label, spec.module, spec.name) == ("proto", "a.b", "C")
    assert spec.params == {"x": "mlp", "y": (1, 2), "z": None}
    assert bench.methods.detectors.parse_spec("a:C(x=1)").label == "C(x=1)"
    for wrong in ("C", "a:C(1)", "a:C(x=f())", "a:C(**{})"):
        with pytest.raises(ValueError):  # noqa: PT011
            bench.methods.detectors.parse_spec(wrong)


@pytest.mark.parametrize(
    "spec", ["no_such_module:C", "sklearn.svm:NoSuchClass", "sklearn.svm:OneClassSVM(nou=1)"]
)
def test_a_detector_that_cannot_be_made_is_refused_at_once(bench, folder, tmp_path, spec):
    assert run(bench, folder, tmp_path, "--detector", spec) == (2, None)


def test_report_agrees_with_the_rows(bench, folder, tmp_path, shifty):
    code, rows = run(bench, folder, tmp_path, "--only", *CHEAP, "--detector", shifty)
    assert code == 0
    assert len(rows) == 3 * 6 * 2 * 4  # methods, tasks, draws, cells
    assert rows.auc.between(0, 1).all()
    assert rows.seconds.gt(0).all()
    assert rows[rows.task == "fan_1"].n_used.max() == 7
    text = (tmp_path / "run.md").read_text()
    for metric, title in (("auc", "Mean ROC AUC"), ("ap", "Mean average precision")):
        means = rows.pivot_table(index="method", columns=["n", "k"], values=metric)
        for method in [*CHEAP, "Shifty"]:
            shown = cells_in(text, title, method)
            np.testing.assert_allclose(shown, means.loc[method], atol=6e-4)
    tasks = rows[(rows.n == 10) & (rows.k == 3)].pivot_table(
        index="task", columns="method", values="auc"
    )
    difference = tasks["Shifty"] - tasks["ratio_raw"]
    line = next(
        line
        for line in text.splitlines()
        if line.startswith("| ratio_raw | +") or line.startswith("| ratio_raw | -")
    )
    found = re.findall(r"([+-][\d.]+) \(([\d.]+)\) (\d+)-(\d+)", line)[-1]
    assert float(found[0]) == pytest.approx(difference.mean(), abs=6e-4)
    assert float(found[1]) == pytest.approx(difference.sem(), abs=6e-4)
    assert int(found[2]) == (difference > 0.002).sum()
    assert int(found[3]) == (difference < -0.002).sum()


def test_larger_decision_is_more_normal(bench, folder, tmp_path, shifty):
    _, rows = run(bench, folder, tmp_path, "--only", "--detector", shifty)
    assert rows.auc.mean() > 0.6


def test_meta_fit_is_called_once_a_fold_and_never_sees_a_test_task(
    bench, folder, tmp_path, shifty, tasks
):
    _, rows = run(bench, folder, tmp_path, "--only", "--detector", shifty)
    assert len(Shifty.trained_on) == 5
    assert len(Shifty.tested_on) == len(rows)
    for fold, query_row in Shifty.tested_on:
        assert query_row not in Shifty.trained_on[fold][1]
    calm = next(task for task in tasks if not task.testable)
    assert all(calm.X[0].tobytes() in seen for _, seen in Shifty.trained_on)


def test_meta_fit_is_left_out_for_unrelated_tables(bench, folder, tmp_path, shifty):
    run(bench, folder, tmp_path, "--only", "meta_stack", "--split", "none", "--detector", shifty)
    assert Shifty.trained_on == []
    assert len(Shifty.tested_on) == 6 * 2 * 4


def test_a_support_that_fails_counts_as_equal_scores(bench, folder, tmp_path, shifty, capsys):
    words = ["--only", *CHEAP, "--detector", f"bad={shifty}(fail_at_k=3)"]
    code, rows = run(bench, folder, tmp_path, *words)
    assert code == 1
    assert rows[(rows.method == "bad") & (rows.k == 3)].auc.eq(0.5).all()
    assert not rows[(rows.method == "bad") & (rows.k == 0)].auc.eq(0.5).all()
    assert "24 supports failed" in (tmp_path / "run.md").read_text()


def test_meta_baselines_never_see_the_tasks_of_their_fold(
    bench, folder, tmp_path, monkeypatch, tasks
):
    diary = []

    class Boosting:
        def __init__(self, seed):
            pass

        def fit(self, episodes):
            self.seen = {episode.query_X.tobytes() for episode in episodes}
            return self

        def anomaly_score(self, episode):
            diary.append(episode.query_X.tobytes() in self.seen)
            return episode.query_X[:, 0]

    class Stack:
        def __init__(self, positive):
            pass

        def fit(self, features, labels):
            self.seen = {part.tobytes() for part in features}
            return self

        def anomaly_score(self, features):
            diary.append(features.tobytes() in self.seen)
            return features[:, 0]

    monkeypatch.setattr(bench.measures.ranking, "Boosting", Boosting)
    monkeypatch.setattr(bench.measures.ranking, "Stack", Stack)
    run(bench, folder, tmp_path, "--only", "meta_boosting", "meta_stack", n=["5"], draws="1")
    assert len(diary) == 6 * 1 + 6 * 2
    assert not any(diary)


def test_meta_baselines_learn_from_other_tasks(bench, folder, tmp_path):
    pytest.importorskip("lightgbm")
    _, rows = run(bench, folder, tmp_path, "--only", "meta_boosting", draws="1", n=["10"])
    assert len(rows) == 6 * 2
    assert rows.auc.mean() > 0.6


def test_reuse_gives_the_same_rows_without_measuring_again(bench, folder, tmp_path, monkeypatch):
    _, first = run(bench, folder, tmp_path, "--only", *CHEAP)
    monkeypatch.setattr(
        bench.measures.ranking.Runner, "run_support_episode", None
    )  # cannot measure
    words = ["--only", *CHEAP, "--reuse", str(tmp_path / "run.csv")]
    code, second = run(bench, folder, tmp_path, *words, label="again")
    assert code == 0
    pd.testing.assert_frame_equal(first, second)
    _, part = run(bench, folder, tmp_path, *words, label="part", k=["3"])
    expected = first[first.k == 3].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, expected)


def test_reuse_completes_a_run_that_was_stopped(bench, folder, tmp_path):
    _, first = run(bench, folder, tmp_path, "--only", *CHEAP)
    csv = tmp_path / "run.csv"  # stops in the middle of a task
    first.iloc[:37].to_csv(csv, index=False)
    _, second = run(bench, folder, tmp_path, "--only", *CHEAP, "--reuse", str(csv))
    values = ["method", "task", "draw", "n", "k", "auc", "ap"]
    pd.testing.assert_frame_equal(first[values], second[values])


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["--seed", "1"], "seed"),
        (["--split", "groups"], "split"),
        (["--max-query", "30"], "max_query"),
    ],
)
def test_reuse_refuses_another_protocol(bench, folder, tmp_path, capsys, words, changed):
    run(bench, folder, tmp_path, "--only", "ratio_raw")
    words = ["--only", "ratio_raw", "--reuse", str(tmp_path / "run.csv"), *words]
    code, rows = run(bench, folder, tmp_path, *words, label="other")
    assert code == 2
    assert rows is None
    assert changed in capsys.readouterr().err


def test_reuse_refuses_other_data_and_a_missing_header(bench, folder, tmp_path, capsys):
    run(bench, folder, tmp_path, "--only", "ratio_raw")
    header = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**header, "data": "other"}))
    words = ["--only", "ratio_raw", "--reuse", str(tmp_path / "run.csv")]
    assert run(bench, folder, tmp_path, *words, label="other")[0] == 2
    assert "data 'other'" in capsys.readouterr().err
    (tmp_path / "run.json").unlink()
    assert run(bench, folder, tmp_path, *words, label="other")[0] == 2


def test_no_path_of_the_machine_in_what_is_written(bench, folder, tmp_path):
    run(bench, folder, tmp_path, "--only", "ratio_raw")
    for name in ("run.md", "run.json", "run.csv"):
        assert not re.search(r"(^|[\s'\"])/\w", (tmp_path / name).read_text())
