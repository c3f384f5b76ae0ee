"""Bad input and hard cases: each gets its documented outcome, never NaN and never a numpy warning.

The numbers in the headings are those of the list of faults that the project promises about.
"""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from families import (
    ANY_WIDTH,
    BARELY,
    EACH_CLASS,
    GEOMETRIC,
    META_FITTED,
    META_OF_EACH_CLASS,
    ONE_WIDTH,
    assert_same_support,
    assert_usable,
    far_off,
    make_detector,
    methods_of,
    new_task,
)
from pyod.models.knn import KNN
from scipy import sparse
from sklearn.base import clone

from sklearn_fsad import PyODDetector

pytestmark = [
    pytest.mark.filterwarnings("error::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:X has feature names"),
    pytest.mark.filterwarnings("ignore:y marks"),  # most rows of a tiny support are anomalies
    pytest.mark.usefixtures("few_trees", "few_lessons"),
]


any_width = pytest.mark.parametrize("name", ANY_WIDTH)


# --- 1, 2: shapes ---------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(5,), (4, 5, 1)])
def test_1_other_dimensions_are_refused_at_fit_and_at_scoring(each_class, task, shape):
    X, y, _, _ = task
    match = "Reshape your data" if len(shape) == 1 else "Found array with dim 3"
    with pytest.raises(ValueError, match=match):
        each_class.fit(np.zeros(shape))
    each_class.fit(X, y)
    for method in methods_of(
        each_class, "score_samples", "decision_function", "predict", "transform"
    ):
        with pytest.raises(ValueError, match=match):
            getattr(each_class, method)(np.zeros(shape))


@pytest.mark.parametrize(
    ("shape", "match"), [((0, 5), "0 sample.* minimum of"), ((9, 0), "0 feature.* minimum of 1")]
)
def test_2_no_rows_or_no_columns_are_refused_with_what_was_found(each_class, task, shape, match):
    with pytest.raises(ValueError, match=match):
        each_class.fit(np.zeros(shape))
    each_class.fit(*task[:2])
    with pytest.raises(ValueError, match=r"0 sample|0 feature|features, but"):
        each_class.predict(np.zeros(shape))


# --- 3: very few rows -----------------------------------------------------------------------------
def test_3_one_row_is_refused_by_number(each_class, task):
    with pytest.raises(ValueError, match="1 sample"):
        each_class.fit(task[0][:1])
    with pytest.raises(ValueError, match="1 sample"):
        each_class.fit(task[0][-3:], [0, 1, 1])


# each number of normals, each number of anomalies, and both ends of each with both of the other
@far_off
@pytest.mark.parametrize(("n", "k"), [(2, 0), (2, 1), (2, 3), (3, 2), (4, 1), (5, 0), (5, 3)])
def test_3_two_to_five_rows_work_with_any_number_of_anomalies(detector, every_name, n, k):
    rng = np.random.default_rng(n + 10 * k)
    X = np.concatenate([rng.normal(size=(n, 5)), rng.normal(30.0, 1.0, size=(k, 5))])
    y = np.array([0] * n + [1] * k)
    query = np.stack([np.zeros(5), np.full(5, 60.0), np.full(5, 6000.0)])
    detector.set_params(outlier_label=1)  # more than the normals, some of them
    scores = assert_usable(detector.fit(X, y), np.concatenate([X, query]))
    if every_name not in GEOMETRIC:
        return
    near, far, farther = scores[-3:]
    assert far < near
    assert farther < near
    if n >= 4:  # left out of three, a row may look as far away as anything
        assert detector.predict(query)[1] == -1


# --- 10: dtypes and containers --------------------------------------------------------------------
def whole_numbers(X):
    return np.clip(np.round(X), -100, 100) + 0.0  # integers have no -0.0


def as_memmap(X, path):
    np.save(path / "rows.npy", X)
    return np.load(path / "rows.npy", mmap_mode="r")


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


CONTAINERS = {
    "float16": lambda X, path: X.astype(np.float16),
    "float32": lambda X, path: X.astype(np.float32),
    "int64": lambda X, path: X.astype(np.int64),
    "int8": lambda X, path: X.astype(np.int8),
    "big endian": lambda X, path: X.astype(">f8"),
    "fortran": lambda X, path: np.asfortranarray(X),
    "strided": lambda X, path: np.repeat(X, 2, axis=0)[::2],
    "read-only": lambda X, path: read_only(X),
    "memmap": as_memmap,
    "list": lambda X, path: X.tolist(),
    "tensor": lambda X, path: torch.from_numpy(X.copy()),
    "tensor of float32": lambda X, path: torch.from_numpy(X.astype(np.float32)),
}


def test_10_every_dtype_order_and_container_gives_the_same_scores(each_class, task, tmp_path):
    X, y, query, _ = task
    X, query = whole_numbers(X), whole_numbers(query)  # the same numbers in each dtype
    reference = clone(each_class).fit(X, y)
    expected = reference.decision_function(query)
    for kind, contain in CONTAINERS.items():
        each_class.fit(contain(X, tmp_path), y)
        assert_same_support(each_class, reference)
        scores = each_class.decision_function(contain(query, tmp_path))
        assert scores.dtype == np.float64, kind
        np.testing.assert_array_equal(scores, expected, err_msg=kind)


def test_10_float32_rounding_changes_little(ready, task):
    X, y, query, _ = task
    expected = ready.score_samples(query)
    scores = ready.fit(X.astype(np.float32), y).score_samples(query.astype(np.float32))
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@far_off
def test_10_bools_are_numbers(each_class):
    X = np.random.default_rng(0).random((20, 5)) < 0.5
    reference = clone(each_class).fit(X.astype(float))
    expected = reference.decision_function(X.astype(float))
    np.testing.assert_array_equal(each_class.fit(X).decision_function(X), expected)
    assert_same_support(each_class, reference)


def test_10_the_callers_arrays_are_never_written_to(each_class, task):
    X, y, query, query_y = (part.copy() for part in task)
    kept = [part.copy() for part in (X, y, query, query_y)]
    each_class.fit(X, y).score(query, query_y)
    each_class.partial_fit(query[:4], query_y[:4]).predict(query)
    for method in methods_of(each_class, "transform", "feature_errors"):
        getattr(each_class, method)(query)
    for part, copy in zip((X, y, query, query_y), kept, strict=True):
        np.testing.assert_array_equal(part, copy)


@pytest.mark.parametrize("name", META_OF_EACH_CLASS)
def test_10_the_callers_tasks_are_never_written_to(name, family):
    tasks = [(X.copy(), y.copy()) for X, y in family]
    make_detector(name).set_params(**BARELY).meta_fit(tasks)
    for (X, y), (kept_X, kept_y) in zip(tasks, family, strict=True):
        np.testing.assert_array_equal(X, kept_X)
        np.testing.assert_array_equal(y, kept_y)


def test_10_rows_that_the_caller_changes_after_fit_do_not_reach_the_detector(each_class, task):
    X, y, query, query_y = task
    mine = X.copy()
    expected = clone(each_class).fit(X, y).partial_fit(query[:3], query_y[:3]).score_samples(query)
    each_class.fit(mine, y)
    mine[:] = 0.0
    np.testing.assert_array_equal(
        each_class.partial_fit(query[:3], query_y[:3]).score_samples(query), expected
    )


# --- 12: what is no number ------------------------------------------------------------------------
def with_column(X, column, kind=pd.DataFrame):
    """A frame of numbers but for its last column."""
    return kind({**{f"c{j}": X[:, j] for j in range(4)}, "t": column})


DAYS = [dt.datetime(2024, 1, 1) + dt.timedelta(days=i) for i in range(16)]
NOT_NUMBERS = {
    "strings": (lambda X: np.full(X.shape, "pump"), ValueError, "could not convert"),
    "a list of strings": (lambda X: [["pump"] * 5] * 16, ValueError, "could not convert"),
    "strings as objects": (
        lambda X: np.full(X.shape, "pump", dtype=object), ValueError, "could not convert",
    ),
    "a column of text": (
        lambda X: with_column(X, list("ab") * 8), ValueError, "could not convert|holds categories",
    ),
    "text in polars": (
        lambda X: with_column(X, list("ab") * 8, pl.DataFrame),
        ValueError, "could not convert|holds categories",
    ),
    "categories": (
        lambda X: with_column(X, pd.Categorical(list("ab") * 8)),
        ValueError, "could not convert|holds categories",
    ),
    # scikit-learn's own checks ask for a TypeError with this text
    "other objects": (
        lambda X: np.full(X.shape, {}, dtype=object), TypeError, "a string or a real number",
    ),
    "dates": (lambda X: np.full(X.shape, np.datetime64("2024-01-01")), ValueError, "dates"),
    "durations": (lambda X: np.full(X.shape, np.timedelta64(3, "s")), ValueError, "durations"),
    "dates of another byte order": (
        lambda X: np.full(X.shape, np.datetime64("2024-01-01", "s")).astype(">M8[s]"),
        ValueError, "dates",
    ),
    "dates as objects": (
        lambda X: np.full(X.shape, np.datetime64("2024-01-01"), dtype=object), ValueError, "a date",
    ),
    "a list with a date in each row": (
        lambda X: [[*row[:4], day] for row, day in zip(X.tolist(), DAYS, strict=True)],
        ValueError, "a date",
    ),
    "a column of dates": (lambda X: with_column(X, DAYS), ValueError, "in column 't'"),
    "a column of dates with a zone": (
        lambda X: with_column(X, pd.DatetimeIndex(DAYS, tz="UTC")), ValueError, "in column 't'",
    ),
    "a column of durations": (
        lambda X: with_column(X, pd.to_timedelta(range(16), "s")), ValueError, "in column 't'",
    ),
    "a column of periods": (
        lambda X: with_column(X, pd.period_range("2024", periods=16)), ValueError, "in column 't'",
    ),
    "dates in polars": (
        lambda X: with_column(X, DAYS, pl.DataFrame), ValueError, "in column 't'",
    ),
    "durations in polars": (
        lambda X: with_column(X, [day - DAYS[0] for day in DAYS], pl.DataFrame),
        ValueError, "in column 't'",
    ),
    "complex numbers": (lambda X: X + 0j, ValueError, "Complex data not supported"),
    "complex objects": (
        lambda X: (X + 0j).astype(object), ValueError, "Complex data not supported",
    ),
    "a list of complex numbers": (
        lambda X: (X + 0j).tolist(), ValueError, "Complex data not supported",
    ),
    "a sparse matrix": (sparse.csr_matrix, TypeError, "dense"),
    "a sparse array": (sparse.coo_array, TypeError, "dense"),
}  # fmt: skip

WORDS = ("a column of text", "text in polars", "categories")  # which are read without meta_fit


@pytest.mark.parametrize("name", EACH_CLASS)
def test_12_what_is_no_number_is_refused_and_the_fit_stays(name, fitted, task):
    X, _, query, _ = task
    detector = fitted[name]
    expected = detector.decision_function(query)
    for kind, (make, error, match) in NOT_NUMBERS.items():
        fit = [] if name == "in context" and kind in WORDS else [detector.fit]
        for method in (*fit, detector.partial_fit, detector.predict):
            with pytest.raises(error, match=match):
                method(make(X))
    np.testing.assert_array_equal(detector.decision_function(query), expected)


@pytest.mark.parametrize("name", META_FITTED)
def test_12_what_is_no_number_is_refused_by_the_name_of_its_task(name, family, task):
    detector = make_detector(name)
    state = detector.pretrained
    for make, error, match in NOT_NUMBERS.values():
        with pytest.raises(error, match=f"Task 'fan': .*{match}"):
            detector.meta_fit({"pump": family[0], "fan": (make(task[0]), task[1])})
    assert detector.pretrained is state


@pytest.mark.parametrize("kind", NOT_NUMBERS)
def test_12_detectors_of_pyod_refuse_what_is_no_number_too(kind, task):
    make, error, match = NOT_NUMBERS[kind]
    with pytest.raises(error, match=match):
        PyODDetector(KNN()).fit(make(task[0]))
    with pytest.raises(error, match=match):
        PyODDetector(KNN()).fit(task[0]).predict(make(task[0]))


# --- 11, 13: columns ------------------------------------------------------------------------------
NAMES = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_11_renamed_missing_or_reordered_columns_are_refused(each_class, task, kind):
    X, y, query, _ = task

    def frame(rows, names):
        return kind(dict(zip(names, rows.T, strict=True)))

    each_class.fit(frame(X, NAMES), y)
    wrong = {
        "renamed": frame(query, ["a", "b", "c", "d", "z"]),
        "reordered": frame(query, ["b", "a", "c", "d", "e"]),
        "missing": frame(query[:, :4], NAMES[:4]),
    }
    for fault, rows in wrong.items():
        with pytest.raises(ValueError, match="feature names should match"):
            each_class.predict(rows)
        with pytest.raises(ValueError, match="feature names should match"):
            each_class.partial_fit(rows)
        assert len(each_class.support_X_) == len(X), fault


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("name", META_OF_EACH_CLASS[:3])  # the fourth takes any columns
def test_11_columns_other_than_those_of_meta_fit_are_refused(name, kind, family, task):
    def frame(rows, names=NAMES):
        return kind(dict(zip(names, rows.T, strict=True)))

    tasks = [(frame(X), y) for X, y in family]
    detector = make_detector(name).set_params(**BARELY).meta_fit(tasks)
    X, y = task[:2]
    detector.fit(frame(X), y)
    detector.fit(X, y)  # an array has no names to compare
    with pytest.raises(ValueError, match="passed during meta_fit, in the same order"):
        detector.fit(frame(X, ["b", "a", "c", "d", "e"]), y)


def test_13_another_number_of_features_than_at_fit_is_refused_with_both_numbers(each_class, task):
    each_class.fit(*task[:2])
    for width in (4, 6):
        name = type(each_class).__name__
        match = f"X has {width} features, but {name} is expecting 5 features"
        for method in methods_of(
            each_class, "score_samples", "predict", "transform", "partial_fit", "query"
        ):
            with pytest.raises(ValueError, match=match):
                getattr(each_class, method)(np.zeros((3, width)))


@pytest.mark.parametrize("name", ONE_WIDTH)
def test_13_another_number_of_features_than_at_meta_fit_is_refused_with_both_numbers(name):
    with pytest.raises(ValueError, match=r"X has 4 features, .* meta-fitted .* with 5 features"):
        make_detector(name).fit(np.zeros((9, 4)))


@any_width
@pytest.mark.parametrize("width", [2, 3, 20, 130])
def test_13_detectors_of_any_width_take_any_width(name, width):
    X, y, query, query_y = new_task(n_features=width)
    detector = make_detector(name).fit(X, y)
    assert_usable(detector, query)
    if hasattr(detector, "transform"):
        assert detector.transform(query).shape == (len(query), width)
    assert query_y.any()
