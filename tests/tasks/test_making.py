"""Tasks out of classes, groups and one table."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import roc_auc_score

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.tasks import (
    TaskSet,
    make_tasks_from_classes,
    make_tasks_from_groups,
    make_tasks_from_table,
)

KINDS = ("local", "global", "cluster", "dependency")


@pytest.fixture(scope="module")
def rows():
    """Correlated rows of three clusters, in units of their own."""
    X, _ = make_blobs(600, centers=3, n_features=4, random_state=0)
    mix = np.random.default_rng(0).normal(size=(4, 4))
    return X @ mix * [1, 10, 100, 0.1] + [5, 50, -500, 0]


# --- classes --------------------------------------------------------------------------------------
def test_each_class_is_normal_once():
    X, y = load_digits(return_X_y=True)
    tasks = make_tasks_from_classes(X, y, n_normal=60, n_anomalous=30, random_state=0)
    assert tasks.names == list(range(10))
    for task in tasks:
        assert (len(task.normals), len(task.anomalies)) == (60, 30)
        of_class = set(map(bytes, X[y == task.name]))
        assert set(map(bytes, task.normals)) <= of_class
        assert not set(map(bytes, task.anomalies)) & of_class
    again = make_tasks_from_classes(X, y, n_normal=60, n_anomalous=30, random_state=0)
    np.testing.assert_array_equal(tasks[3].X, again[3].X)
    other = make_tasks_from_classes(X, y, n_normal=60, n_anomalous=30, random_state=1)
    assert not np.array_equal(tasks[3].X, other[3].X)


def test_classes_may_be_chosen_and_have_any_label():
    X = np.arange(40.0).reshape(20, 2)
    y = np.repeat(["apple", "pear"], 10)
    tasks = make_tasks_from_classes(X, y, classes=["pear"])
    assert tasks.names == ["pear"]
    np.testing.assert_array_equal(tasks[0].normals, X[10:])
    with pytest.raises(ValueError, match="apple, pear; there is no plum"):
        make_tasks_from_classes(X, y, classes=["plum"])
    with pytest.raises(ValueError, match="two are needed"):
        make_tasks_from_classes(X, np.zeros(20))


WORDS = np.repeat(["pump", "fan"], [6, 9])
DAYS = np.repeat(np.array(["2024-01-02", "2024-01-01"], dtype="M8[ns]"), [6, 9])
CLASSES = {
    "series of any index": (pd.Series(WORDS, index=range(20, 5, -1)), ["fan", "pump"]),
    "objects": (WORDS.astype(object), ["fan", "pump"]),
    "categories": (pd.Categorical(WORDS), ["fan", "pump"]),
    "ordered categories": (pd.Series(WORDS).astype("category"), ["fan", "pump"]),
    "strings": (pd.Series(WORDS, dtype="string"), ["fan", "pump"]),
    "a frame of one column": (pd.DataFrame({"kind": WORDS}), ["fan", "pump"]),
    "polars": (pl.Series(WORDS.tolist()), ["fan", "pump"]),
    "list": (WORDS.tolist(), ["fan", "pump"]),
    "truths": (WORDS == "pump", [False, True]),
    "time stamps": (pd.Series(DAYS), [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02")]),
    "words and numbers": ([7] * 6 + ["fan"] * 9, [7, "fan"]),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_classes_and_groups_keep_their_names_whatever_holds_them(kind):
    X = pd.DataFrame(np.arange(30.0).reshape(15, 2), columns=["speed", "heat"])
    held, names = CLASSES[kind]
    tasks = make_tasks_from_classes(X, held)
    assert tasks.names == names
    assert tasks.feature_names_in == ("speed", "heat")
    normals = sorted((task.normals for task in tasks), key=len)
    np.testing.assert_array_equal(np.concatenate(normals), X)
    if kind != "a frame of one column":
        grouped = make_tasks_from_groups(X, None, held)
        assert sorted(grouped.names, key=str) == sorted(names, key=str)
        np.testing.assert_array_equal(grouped[0].X, X.iloc[:6])
        assert grouped.feature_names_in == ("speed", "heat")


LABELS = np.tile(["ok", "ok", "bad"], 5)
FLAT_LABELS = {
    "values of a frame": pd.DataFrame({"label": LABELS})["label"].values,
    "strings": pd.array(LABELS, dtype="string"),
    "strings of Arrow": pd.array(LABELS, dtype="string[pyarrow]"),
    "categories": pd.Categorical(LABELS),
    "index": pd.Index(LABELS),
    "Arrow": pa.chunked_array([LABELS]),
}


@pytest.mark.parametrize("kind", FLAT_LABELS)
def test_flat_labels_may_be_in_any_array_of_pandas(kind):
    X = np.arange(30.0).reshape(15, 2)
    tasks = make_tasks_from_groups(X, FLAT_LABELS[kind], WORDS, outlier_label="bad")
    np.testing.assert_array_equal(np.concatenate([t.y for t in tasks]), np.tile([0, 0, 1], 5))
    same = TaskSet.make(X, FLAT_LABELS[kind], groups=pd.array(WORDS), outlier_label="bad")
    assert same.names == ["pump", "fan"]


@pytest.mark.parametrize("classes", [1, 1.5, {"fan"}, [["fan"]], iter(["fan"])])
def test_classes_that_are_no_sequence_are_refused_by_name(classes):
    with pytest.raises(ValueError, match="classes must be a sequence of some classes of y, got"):
        make_tasks_from_classes(np.zeros((15, 2)), WORDS, classes=classes)


def test_rows_of_several_classes_are_refused_by_name():
    with pytest.raises(ValueError, match=r"y must be one class per row, got \['pump'\], a list"):
        make_tasks_from_classes(np.zeros((15, 2)), [[word] for word in WORDS.tolist()])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_a_row_without_a_class_is_told(missing):
    with pytest.raises(ValueError, match="y has no class for row 2"):
        make_tasks_from_classes(np.zeros((3, 2)), ["fan", "pump", missing])


def test_one_class_may_be_named_alone_and_columns_keep_their_names():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(15, 2)), columns=["speed", "heat"])
    assert make_tasks_from_classes(frame, WORDS, classes="fan").names == ["fan"]
    table = make_tasks_from_table(frame, 2, random_state=0)
    assert table.feature_names_in == ("speed", "heat")
    assert make_tasks_from_table(frame.to_numpy(), 2, random_state=0).feature_names_in is None


def test_names_and_groups_of_tasks_may_be_series_of_any_index():
    rows = [np.full((3, 2), i) for i in range(3)]
    names, groups = (pd.Series(list(words), index=[2, 1, 0]) for words in ("xyz", "aab"))
    tasks = TaskSet(rows, names=names, groups=groups)
    assert tasks.names == ["x", "y", "z"]
    assert tasks.groups == ["a", "a", "b"]
    assert tasks.regrouped(groups[::-1]).groups == ["b", "a", "a"]


# --- groups ---------------------------------------------------------------------------------------
def test_groups_become_tasks_and_may_be_siblings():
    X, y = np.arange(24.0).reshape(12, 2), np.tile([0, 0, 1], 4)
    groups = np.repeat(["a1", "a2", "b1", "b2"], 3)
    tasks = make_tasks_from_groups(X, y, groups)
    assert tasks.names == tasks.groups == ["a1", "a2", "b1", "b2"]
    family = {name: name[0] for name in tasks.names}
    related = make_tasks_from_groups(X, y, groups, siblings=family)
    assert related.groups == ["a", "a", "b", "b"]
    assert related.names == tasks.names
    np.testing.assert_array_equal(related[1].X, X[3:6])
    with pytest.raises(ValueError, match="siblings has no entry for b2"):
        make_tasks_from_groups(
            X, y, groups, siblings={k: v for k, v in family.items() if k != "b2"}
        )
    assert make_tasks_from_groups(X, y, groups, siblings=pd.Series(family)).groups == related.groups
    for siblings in (list("aabb"), np.array(list("aabb")), "aabb"):
        with pytest.raises(ValueError, match="siblings must be a mapping, from each group to its"):
            make_tasks_from_groups(X, y, groups, siblings=siblings)


# --- one table ------------------------------------------------------------------------------------
def test_kinds_take_turns_and_normals_are_rows_of_the_table(rows):
    tasks = make_tasks_from_table(rows, 6, n_normal=50, n_anomalous=12, random_state=0)
    assert [name.split()[0] for name in tasks.names] == [*KINDS, "local", "global"]
    table = set(map(bytes, rows))
    for task in tasks:
        assert (len(task.normals), len(task.anomalies)) == (50, 12)
        assert set(map(bytes, task.normals)) <= table
        assert len(set(map(bytes, task.normals))) == 50
        assert not set(map(bytes, task.anomalies)) & table
    again = make_tasks_from_table(rows, 6, n_normal=50, n_anomalous=12, random_state=0)
    np.testing.assert_array_equal(tasks[5].X, again[5].X)


def one_kind(rows, kind, n=400):
    return make_tasks_from_table(rows, 1, kinds=[kind], n_anomalous=n, random_state=0)[0].anomalies


def test_dependency_keeps_every_column_and_breaks_their_relation(rows):
    made = one_kind(rows, "dependency")
    for column, original in zip(made.T, rows.T, strict=True):
        assert set(column) <= set(original)
    assert np.abs(np.corrcoef(made.T) - np.eye(4)).max() < 0.2
    assert np.abs(np.corrcoef(rows.T) - np.eye(4)).max() > 0.4


def test_global_anomalies_fill_a_box_a_tenth_larger(rows):
    made, low, high = one_kind(rows, "global"), rows.min(axis=0), rows.max(axis=0)
    margin = 0.05 * (high - low)
    assert (made >= low - margin).all()
    assert (made <= high + margin).all()
    assert (made.max(axis=0) > high).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_can_be_told_from_the_table(rows, kind):
    """Nearest neighbours find each kind, those that only break relations least."""
    spread = rows.std(axis=0)
    detector = ProtoNetDetector(contamination=0.1).fit((rows / spread)[:300])
    made = one_kind(rows, kind, 200) / spread
    scores = -detector.score_samples(np.concatenate([(rows / spread)[300:], made]))
    assert roc_auc_score(np.arange(500) >= 300, scores) > 0.8


def test_clusters_are_tight_and_far(rows):
    for X in (rows, rows[:12]):
        made = one_kind(X, "cluster", 200)
        assert np.isfinite(made).all()
        away = np.abs((made - X.mean(axis=0)) / X.std(axis=0)).max(axis=1)
        assert np.median(away) > 2.0


def test_constant_columns_and_few_rows_give_finite_tasks():
    X = np.random.default_rng(0).normal(size=(10, 3))
    X[:, 1] = 7.0
    for task in make_tasks_from_table(X, 4, random_state=0):
        assert np.isfinite(task.X).all()
        assert len(task.normals) == 10


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kinds": ["odd"]}, "kinds=.*odd.* must be some of local, global, cluster, dependency"),
        ({"kinds": []}, "must be some of"),
        ({"n_tasks": 0}, "n_tasks=0"),
        ({"n_normal": 1}, "n_normal=1"),
    ],
)
def test_wrong_wishes_are_refused(rows, wrong, message):
    with pytest.raises(ValueError, match=message):
        make_tasks_from_table(rows, **wrong)


def test_a_detector_learns_from_one_table(rows):
    tasks = make_tasks_from_table(rows, 12, random_state=0)
    detector = ProtoNetDetector(max_epochs=3, episodes_per_epoch=24, random_state=0)
    detector.meta_fit(tasks)
    assert detector.pretrained.info["n_tasks"] == 12
