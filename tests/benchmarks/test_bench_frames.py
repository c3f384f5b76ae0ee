"""Tables with text and gaps are read, and encoded by the rows that are not tested on."""

import numpy as np
import pandas as pd
import pytest

MODULES = ("protocols.families", "protocols.frames", "protocols.tables", "tables")


def made_frame(n=150, k=30, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], [n, k])
    frame = pd.DataFrame({
        "size": rng.normal(size=n + k) + 2.0 * y,
        "colour": rng.choice(["red", "green", "blue"], size=n + k),
        "anomaly": y,
    })  # fmt: skip
    frame.loc[::7, "size"] = np.nan
    return frame.sample(frac=1.0, random_state=seed)


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(["one", "two"]):
        made_frame(seed=seed).to_csv(tmp_path / f"{name}.csv.gz", index=False)
    return tmp_path


def test_a_folder_of_csv_files_gives_tables_of_frames(bench, folder):
    tasks = bench.protocols.frames.load_tables(folder)
    assert [task.name for task in tasks] == ["one", "two"]
    assert list(tasks[0].frame.columns) == ["size", "colour"]
    assert tasks[0].X.shape == (180, 2)
    assert tasks[0].y.sum() == 30


def test_supports_and_queries_are_numbers_without_gaps(bench, folder):
    task = bench.protocols.frames.load_tables(folder)[0]
    splits = bench.protocols.tables.TableSplits((10,), (0, 5), draws=2, seed=0)
    for episode in splits.episodes(task):
        assert episode.support_X.shape[1] == episode.query_X.shape[1] == 4  # one for each colour
        assert np.isfinite(episode.support_X).all()
        assert np.isfinite(episode.query_X).all()


def test_rows_to_test_on_do_not_change_how_others_are_encoded(bench, folder):
    frames = bench.protocols.frames
    task = frames.load_tables(folder)[0]
    train = np.arange(120)
    before = frames.encoded(task, train)
    changed = task.frame.copy()
    changed.iloc[120:, 0] = 1e6
    other = frames.FrameTask(task.name, task.group, task.X, task.y, changed)
    np.testing.assert_array_equal(frames.encoded(other, train)[train], before[train])


def test_a_folder_of_npz_files_is_read_as_before(bench, tmp_path):
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.repeat([0, 1], [30, 10])
    np.savez(tmp_path / "plain.npz", X=X, y=y)
    (task,) = bench.protocols.frames.load_tables(tmp_path)
    assert bench.protocols.frames.encoded(task, [0]) is task.X


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (made_frame().drop(columns="anomaly"), "the column 'anomaly' must hold"),
        (made_frame().assign(anomaly=2), "the column 'anomaly' must hold"),
        (made_frame(k=2), "it has 150 and 2"),
    ],
)
def test_a_table_without_labels_or_with_too_few_rows_is_refused(bench, tmp_path, frame, message):
    frame.to_csv(tmp_path / "bad.csv.gz", index=False)
    with pytest.raises(ValueError, match=message):
        bench.protocols.frames.load_tables(tmp_path)
