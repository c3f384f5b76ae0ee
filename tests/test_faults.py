"""Bad input and hard cases: each gets its documented outcome, never NaN and never a numpy warning.

The numbers in the headings are those of the list of faults that the project promises about.
"""

import datetime as dt
import os
import pickle
import signal
import subprocess
import sys

import cloudpickle
import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
import torch
from families import (
    ANY_WIDTH,
    EACH_CLASS,
    GEOMETRIC,
    MAY_MISS,
    META_FITTED,
    ONE_WIDTH,
    QUICK,
    assert_same_support,
    make_detector,
    make_family,
    methods_of,
    new_task,
)
from pyod.models.knn import KNN
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_fsad import MetaState, ProtoNetDetector, PyODDetector, TaskSet
from sklearn_fsad.exceptions import TaskWarning, WeightsError

pytestmark = [
    pytest.mark.filterwarnings("error::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:X has feature names"),
    pytest.mark.usefixtures("few_trees", "few_lessons"),
]

BARELY = {"max_epochs": 1, "episodes_per_epoch": 8}  # what is taught does not matter

any_width = pytest.mark.parametrize("name", ANY_WIDTH)


def assert_usable(detector, X):
    """Scores are finite, and one row alone scores as in its batch."""
    scores = detector.score_samples(X)
    assert scores.shape == (len(X),)
    assert np.isfinite(scores).all()
    assert np.isfinite(detector.offset_)
    assert detector.score_samples(X[-1:])[0] == scores[-1]
    assert set(detector.predict(X)) <= {1, -1}
    for method in methods_of(detector, "transform", "feature_errors"):
        assert np.isfinite(getattr(detector, method)(X)).all()
    return scores


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
@pytest.mark.parametrize(("n", "k"), [(2, 0), (2, 1), (2, 3), (3, 2), (4, 1), (5, 0), (5, 3)])
def test_3_two_to_five_rows_work_with_any_number_of_anomalies(detector, every_name, n, k):
    rng = np.random.default_rng(n + 10 * k)
    X = np.concatenate([rng.normal(size=(n, 5)), rng.normal(30.0, 1.0, size=(k, 5))])
    y = np.array([0] * n + [1] * k)
    query = np.stack([np.zeros(5), np.full(5, 60.0), np.full(5, 6000.0)])
    scores = assert_usable(detector.fit(X, y), np.concatenate([X, query]))
    if every_name not in GEOMETRIC:
        return
    near, far, farther = scores[-3:]
    assert far < near
    assert farther < near
    if n >= 4:  # left out of three, a row may look as far away as anything
        assert detector.predict(query)[1] == -1


# --- 4, 5, 6: degenerate tables -------------------------------------------------------------------
identical = pytest.mark.parametrize(
    ("value", "n"), [(0.0, 2), (7.0, 30), (1e8, 2), (1e8, 10), (-0.1, 30)]
)


@any_width
@pytest.mark.parametrize("k", [0, 1, 4])
def test_4_one_feature_works(name, k):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(15, 1)), rng.normal(6.0, 1.0, size=(k, 1))])
    detector = make_detector(name).fit(X, np.arange(len(X)) >= 15)
    near, far = assert_usable(detector, np.array([[0.0], [7.0]]))
    assert far < near
    assert detector.predict([[0.0], [50.0]]).tolist() == [1, -1]


@identical
def test_5_identical_rows_are_all_normal(detector, value, n):
    X = np.full((n, 5), value)
    scores = assert_usable(detector.fit(X), X)
    assert (scores == scores[0]).all()
    assert (detector.predict(X) == 1).all()
    assert detector.predict(X[:1]).tolist() == [1]


@identical
def test_5_a_row_unlike_identical_ones_is_an_anomaly(geometric, value, n):
    X = np.full((n, 5), value)
    other = X[:1] + np.array([0, 0, 1.0, 0, 0])
    geometric.fit(X)
    assert geometric.score_samples(other) < geometric.score_samples(X[:1])
    assert geometric.predict(other).tolist() == [-1]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_5_identical_normals_with_labelled_anomalies(geometric, k):
    X = np.concatenate([np.full((10, 5), 2.0), np.full((k, 5), 3.0)])
    scores = assert_usable(geometric.fit(X, np.arange(len(X)) >= 10), X)
    assert scores[-1] < scores[0]
    assert (geometric.predict(X[:10]) == 1).all()


def test_5_rows_that_are_normal_and_anomalous_at_once_give_finite_scores(detector):
    X = np.full((10, 5), 2.0)
    assert_usable(detector.fit(X, np.arange(10) >= 6), X)
    rows = np.random.default_rng(0).normal(size=(8, 5))
    assert_usable(detector.fit(np.concatenate([rows, rows]), np.arange(16) >= 8), rows)


@pytest.mark.parametrize(("value", "k"), [(0.0, 4), (3.0, 0), (0.1, 4), (1e8, 0)])
def test_5_constant_columns_do_not_disturb(detector, every_name, task, value, k):
    X, y, query, query_y = task
    X, y = X[: 12 + k].copy(), y[: 12 + k]
    query = query.copy()
    X[:, [0, 3]] = query[:, [0, 3]] = value
    scores = assert_usable(detector.fit(X, y), query)
    if every_name not in GEOMETRIC:
        return
    assert roc_auc_score(query_y, -scores) > 0.35
    if "mlp" not in every_name and k == 0:  # a discriminant is blind to such a column
        off = query[:1].copy()
        off[0, 0] = value + 100.0
        assert detector.score_samples(off)[0] < scores[0]


@pytest.mark.parametrize(("contamination", "n"), [(0.1, 20), (0.25, 100), (0.5, 20)])
def test_6_many_copies_flag_the_asked_share_but_for_ties(detector, contamination, n):
    X = np.repeat(np.random.default_rng(0).normal(size=(10, 5)), n, axis=0)
    detector.set_params(contamination=contamination).fit(X)
    assert_usable(detector, X[::n])
    decision = detector.decision_function(X)
    assert (decision < 0).mean() <= contamination <= (decision <= 1e-9).mean()


def test_6_many_copies_are_normal_under_the_default_threshold(detector):
    X = np.repeat(np.random.default_rng(0).normal(size=(10, 5)), 100, axis=0)
    detector.fit(X)
    assert (detector.predict(X) == 1).mean() > 0.5
    assert detector.predict(np.full((1, 5), 1e4)).tolist() == [-1]


# --- 7: missing and infinite ----------------------------------------------------------------------
def test_7_missing_values_are_refused_by_name_with_a_way_out(strict, task):
    X, y, query, _ = task
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN") as caught:
        clone(strict).fit(bad, y)
    name = type(strict).__name__
    assert f"{name} does not accept missing values" in str(caught.value)
    assert "imputer" in str(caught.value)
    strict.fit(X, y)
    expected = strict.decision_function(query)
    with pytest.raises(ValueError, match="NaN"):
        strict.fit(bad, y)
    np.testing.assert_array_equal(strict.decision_function(query), expected)
    for method in methods_of(strict, "score_samples", "predict", "transform"):
        with pytest.raises(ValueError, match=f"{name} does not accept missing values"):
            getattr(strict, method)(np.where(query > query.max() - 1e-9, np.nan, query))


@pytest.mark.parametrize("missing", ["some", "a column", "a row", "all but one"])
def test_7_missing_values_are_taken_in_any_pattern(lenient, task, missing):
    X, y, query, _ = task
    gone = {
        "some": np.random.default_rng(0).random(query.shape) < 0.3,
        "a column": np.arange(query.shape[1]) == 2,
        "a row": np.arange(len(query))[:, None] == 7,
        "all but one": np.arange(query.shape[1]) > 0,
    }[missing] & np.ones(query.shape, dtype=bool)
    for support in (X, np.where(gone[: len(X)], np.nan, X)):
        detector = clone(lenient).fit(support, y)
        for rows in (query, np.where(gone, np.nan, query)):
            scores = detector.decision_function(rows)
            assert np.isfinite(scores).all()
            np.testing.assert_array_equal(detector.decision_function(rows[5:9]), scores[5:9])


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_7_infinity_is_refused(each_class, task, value):
    X, y, _, _ = task
    bad = X.copy()
    bad[3, 1] = value
    with pytest.raises(ValueError, match="infinity"):
        each_class.fit(bad, y)
    with pytest.raises(ValueError, match="infinity"):
        each_class.fit(X, y).predict(bad)


# --- 8: huge values -------------------------------------------------------------------------------
@pytest.mark.parametrize("k", [0, 4])
def test_8_a_huge_row_is_finite_and_the_most_anomalous(detector, every_name, task, k):
    X, y, query, _ = task
    detector.fit(X[: 12 + k], y[: 12 + k])
    for row in (np.full(5, 1e300), np.array([0, 0, -1e300, 0, 0])):
        scores = detector.score_samples(np.concatenate([query[:60], row[None]]))
        assert np.isfinite(scores).all()
        if k == 0 and every_name in GEOMETRIC:
            assert scores[-1] == scores.min()
            assert detector.predict(row[None]).tolist() == [-1]


@pytest.mark.parametrize("value", [1e300, -1e61])
def test_8_a_huge_training_row_is_refused_and_the_fit_stays(each_class, task, value):
    X, y, query, _ = task
    expected = each_class.fit(X, y).decision_function(query)
    huge = X.copy()
    huge[3, 1] = value
    for method in (each_class.fit, each_class.partial_fit):
        with pytest.raises(ValueError, match=r"X holds 1e\+\d+, too large to learn from .* 1e\+60"):
            method(huge, y)
    np.testing.assert_array_equal(each_class.decision_function(query), expected)
    if each_class.pretrained is not None:
        with pytest.raises(ValueError, match=r"Task 1: X holds .* too large to learn from"):
            each_class.meta_fit([(X, y), (huge, y)])


@pytest.mark.parametrize("k", [0, 4])
def test_8_a_training_row_as_large_as_allowed_gives_finite_scores(detector, task, k):
    X, y, query, _ = task
    large = X[: 12 + k].copy()
    large[3] = [0, 1e60, 0, 0, -1e60]
    detector.fit(large, y[: 12 + k])
    assert_usable(detector, np.concatenate([query[:20], large[3:4]]))


# --- 9: large offsets -----------------------------------------------------------------------------
@pytest.mark.parametrize("k", [0, 4])
@pytest.mark.parametrize("name", ["closed form", "untrained mlp", "any width", "meta-fitted"])
def test_9_a_large_offset_with_a_small_spread_keeps_the_auc(name, k):
    X, y, query, query_y = new_task(n_query=200)
    shifted = [1e8 + 1e-3 * (rows - X.mean(axis=0)) for rows in (X[: 12 + k], query)]
    rows = [part - 1e8 for part in shifted]  # exact: what the doubles near 1e8 hold
    detector = make_detector(name)
    expected = clone(detector).fit(rows[0], y[: 12 + k]).score(rows[1], query_y)
    auc = detector.fit(shifted[0], y[: 12 + k]).score(shifted[1], query_y)
    assert auc == pytest.approx(expected, abs=1e-6)


def test_9_tasks_with_a_large_offset_teach_the_same():
    def moved(X):
        return 1e8 + 1e-3 * X

    _, _, query, query_y = new_task(n_query=200)
    X, y = new_task()[:2]
    for extra in ({}, {"embedding": "mlp", "scaler": "task"}):
        aucs = []
        for offset in (0.0, 1e8):
            tasks = [(moved(X_t) - 1e8 + offset, y_t) for X_t, y_t in make_family()]
            detector = ProtoNetDetector(**{**QUICK, **extra}).meta_fit(tasks)
            detector.fit(moved(X) - 1e8 + offset, y)
            aucs.append(detector.score(moved(query) - 1e8 + offset, query_y))
        assert aucs[1] == pytest.approx(aucs[0], abs=1e-3)


# --- 10: dtypes and containers --------------------------------------------------------------------
def whole_numbers(X):
    return np.clip(np.round(X), -100, 100)


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


@pytest.mark.parametrize("name", META_FITTED)
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
STRANGERS = {
    "strings": (lambda X: np.full(X.shape, "pump"), ValueError, "could not convert"),
    "a list of strings": (lambda X: [["pump"] * 5] * 16, ValueError, "could not convert"),
    "strings as objects": (
        lambda X: np.full(X.shape, "pump", dtype=object), ValueError, "could not convert",
    ),
    "a column of text": (lambda X: with_column(X, list("ab") * 8), ValueError, "could not convert"),
    "text in polars": (
        lambda X: with_column(X, list("ab") * 8, pl.DataFrame), ValueError, "could not convert",
    ),
    "categories": (
        lambda X: with_column(X, pd.Categorical(list("ab") * 8)), ValueError, "could not convert",
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


@pytest.mark.parametrize("name", EACH_CLASS)
def test_12_what_is_no_number_is_refused_and_the_fit_stays(name, fitted, task):
    X, _, query, _ = task
    detector = fitted[name]
    expected = detector.decision_function(query)
    for make, error, match in STRANGERS.values():
        for method in (detector.fit, detector.partial_fit, detector.predict):
            with pytest.raises(error, match=match):
                method(make(X))
    np.testing.assert_array_equal(detector.decision_function(query), expected)


@pytest.mark.parametrize("name", META_FITTED)
def test_12_what_is_no_number_is_refused_by_the_name_of_its_task(name, family, task):
    detector = make_detector(name)
    state = detector.pretrained
    for make, error, match in STRANGERS.values():
        with pytest.raises(error, match=f"Task 'fan': .*{match}"):
            detector.meta_fit({"pump": family[0], "fan": (make(task[0]), task[1])})
    assert detector.pretrained is state


@pytest.mark.parametrize("stranger", STRANGERS)
def test_12_detectors_of_pyod_refuse_what_is_no_number_too(stranger, task):
    make, error, match = STRANGERS[stranger]
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
@pytest.mark.parametrize("name", ONE_WIDTH)
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
            each_class, "score_samples", "predict", "transform", "partial_fit"
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


# --- 15, 17: labels and parameters ----------------------------------------------------------------
def test_15_wrong_labels_are_refused(each_class, task):
    X, y, _, _ = task
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        each_class.fit(X, y[:-1])
    with pytest.raises(ValueError, match="1d array"):
        each_class.fit(X, np.stack([y, y], axis=1))
    with pytest.raises(ValueError, match="all 16 rows as anomalies"):
        each_class.fit(X, -np.ones(len(X)))
    with pytest.raises(ValueError, match="Accepted with outlier_label='auto'"):
        each_class.fit(X, np.where(y == 1, "bad", "good"))


@pytest.mark.parametrize("value", [0, 0.6, -0.1, np.nan, "x", None])
def test_17_wrong_contamination_is_refused_at_fit_not_at_init(task, value):
    detector = ProtoNetDetector(contamination=value)
    with pytest.raises(InvalidParameterError, match="'contamination' parameter"):
        detector.fit(*task[:2])


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("alpha", 0.0),
        ("alpha", 1.0),
        ("threshold", "f2"),
        ("embedding", "conv"),
        ("embedding_dim", 0),
        ("evidence", "all"),
        ("scaler", "minmax"),
        ("n_query", 1),
        ("max_epochs", -1),
        ("episodes_per_epoch", 0),
        ("batch_size", 0),
        ("lr", 0.0),
        ("pretrained", 3),
        ("n_normal", [5, 50]),
        ("random_state", "seed"),
    ],
)
def test_17_wrong_parameters_are_refused_by_name_at_fit_and_at_meta_fit(
    parameter, value, family, task
):
    detector = ProtoNetDetector(**{parameter: value})
    with pytest.raises(InvalidParameterError, match=f"'{parameter}' parameter"):
        detector.fit(*task[:2])
    with pytest.raises(InvalidParameterError, match=f"'{parameter}' parameter"):
        detector.meta_fit(family)


@pytest.mark.parametrize(
    "shots",
    [{"n_normal": (1, 5)}, {"n_normal": (6, 5)}, {"n_normal": (5,)}, {"n_anomalous": (-1, 2)},
     {"n_anomalous": (0.5, 2)}],
)  # fmt: skip
def test_17_wrong_ranges_of_shots_are_refused_at_meta_fit(shots, family):
    with pytest.raises(ValueError, match=f"{next(iter(shots))}=.* must be a pair"):
        ProtoNetDetector(**shots).meta_fit(family)


def test_17_unknown_parameters_are_refused_at_init():
    with pytest.raises(TypeError, match="contaminatoin"):
        ProtoNetDetector(contaminatoin=0.1)


# --- 19, 20, 21: tasks ----------------------------------------------------------------------------
@pytest.mark.parametrize("name", META_FITTED)
def test_19_what_is_no_list_of_tasks_is_refused_with_the_accepted_forms(name, family):
    detector = make_detector(name)
    X, y = family[0]
    for args in (([],), ((X, y),), (X,), (X, y), (pd.DataFrame(X),)):
        with pytest.raises(ValueError, match=r"a list of \(X_t, y_t\) pairs, a dict"):
            detector.meta_fit(*args)


@pytest.mark.parametrize("name", ONE_WIDTH)
def test_20_a_task_of_another_width_is_named(name, family):
    tasks = {f"pump {i}": pair for i, pair in enumerate(family)}
    tasks["fan"] = (np.zeros((30, 4)), None)
    with pytest.raises(ValueError, match="Task 'fan' has 4 features, the first task has 5"):
        make_detector(name).meta_fit(tasks)


@pytest.mark.parametrize("name", [name for name in META_FITTED if name not in MAY_MISS])
def test_20_missing_values_in_a_task_are_refused_by_its_name(name, family):
    X, y = family[3]
    spoilt = [*family[:3], (np.where(X.max() > X, X, np.nan), y), *family[4:]]
    with pytest.raises(ValueError, match=r"Task 3: .*NaN"):
        make_detector(name).meta_fit(spoilt)


@pytest.mark.parametrize("name", META_FITTED)
@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda X, y: (np.where(X.max() > X, X, np.inf), y), "infinity"),
        (lambda X, y: (X, np.arange(len(y)) % 3), "Unknown label type"),
        (lambda X, y: (X, y[1:]), "inconsistent numbers of samples"),
        (lambda X, y: (X, -np.ones(len(y))), "all 52 rows as anomalies"),
    ],
)
def test_20_and_21_a_wrong_task_is_named(name, family, spoil, match):
    spoilt = [*family[:3], spoil(*family[3]), *family[4:]]
    with pytest.raises(ValueError, match=f"Task 3: .*{match}"):
        make_detector(name).meta_fit(spoilt)
    keyed = {f"pump {i}": pair for i, pair in enumerate(spoilt)}
    with pytest.raises(ValueError, match=f"Task 'pump 3': .*{match}"):
        make_detector(name).meta_fit(keyed)


def test_21_tasks_without_anomalies_are_used_as_normals(family):
    labelled, normals_only = family[:4], [(X[y == 0], None) for X, y in family[4:]]
    detector = ProtoNetDetector(**QUICK)
    few = clone(detector).meta_fit(labelled).pretrained
    more = clone(detector).meta_fit([*labelled, *normals_only]).pretrained
    assert more.info["n_tasks"] == 8
    assert not np.allclose(more.arrays["pooled_raw_gain"], few.arrays["pooled_raw_gain"])


def test_21_tasks_that_have_no_anomalies_at_all_keep_the_closed_form(family):
    normals_only = [(X[y == 0], None) for X, y in family]
    with pytest.warns(TaskWarning, match="the closed form is kept"):
        detector = ProtoNetDetector(**QUICK).meta_fit(normals_only)
    assert "theta" not in detector.pretrained.arrays
    X, y, query, query_y = new_task()
    assert detector.fit(X, y).score(query, query_y) > 0.6
    with pytest.raises(ValueError, match='use embedding="pooled"'):
        ProtoNetDetector(embedding="mlp", **QUICK).meta_fit(normals_only)


@pytest.mark.parametrize("name", META_FITTED)
def test_21_a_task_smaller_than_the_support_is_named_in_a_warning(name, family):
    X, y = family[0]
    small = np.r_[:9, 40:43]
    tasks = TaskSet([*family[1:], (X[small], y[small])], names=[*"abcdefg", "tiny"])
    with pytest.warns(TaskWarning, match="Task 'tiny' has 9 normal and 3 anomalous rows"):
        detector = make_detector(name).set_params(**BARELY).meta_fit(tasks)
    support_X, support_y, query, _ = new_task()
    assert_usable(detector.fit(support_X, support_y), query)


def test_21_few_and_tiny_tasks_still_teach_something_finite(family):
    X, y = family[0]
    tiny = np.r_[:4, 40:42]
    with pytest.warns(TaskWarning, match="has 4 normal and 2 anomalous"):
        detector = ProtoNetDetector(**QUICK).meta_fit([(X[tiny], y[tiny]), family[1]])
    support_X, support_y, query, _ = new_task()
    assert_usable(detector.fit(support_X, support_y), query)


def test_21_one_task_alone_teaches_what_needs_no_other(family):
    detector = ProtoNetDetector(**QUICK).meta_fit(family[:1])
    assert "pooled_raw_basis" not in detector.pretrained.arrays
    support_X, support_y, query, _ = new_task()
    assert_usable(detector.fit(support_X, support_y), query)
    with pytest.raises(ValueError, match="give at least two groups of tasks"):
        ProtoNetDetector(evidence=["nearest_pooled"], **QUICK).meta_fit(family[:1])


def test_21_constant_and_degenerate_tasks_are_harmless(family):
    X, y = family[0]
    constant = X.copy()
    constant[:, 2] = 1.0
    tasks = [*family[1:], (constant, y), (np.full_like(X, 3.0), y)]
    for embedding in ("pooled", "mlp"):
        detector = ProtoNetDetector(embedding=embedding, **QUICK).meta_fit(tasks)
        support_X, support_y, query, _ = new_task()
        assert_usable(detector.fit(support_X, support_y), query)


# --- 25: nothing that ran before matters ----------------------------------------------------------
def test_25_the_result_does_not_depend_on_a_pyod_network_run_before(family, task):
    pyod = pytest.importorskip("pyod.models.auto_encoder")
    X, y, query, _ = task
    results = []
    for _ in range(2):
        for embedding in ("pooled", "mlp"):
            detector = ProtoNetDetector(embedding=embedding, **{**QUICK, **BARELY})
            results.append(detector.meta_fit(family).fit(X, y).decision_function(query))
        network = pyod.AutoEncoder(epoch_num=1, hidden_neuron_list=[4, 2], verbose=0)
        network.fit(family[0][0])
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[3])


# --- 30: persistence; pickle, joblib and deepcopy are in test_common ------------------------------
def through_skops(detector):
    data = skops.io.dumps(detector)
    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


COPIES = {
    "cloudpickle": lambda detector: pickle.loads(cloudpickle.dumps(detector)),
    "skops": through_skops,
}


@pytest.mark.parametrize("way", COPIES)
def test_30_copies_by_cloudpickle_and_skops_score_alike(ready, task, way):
    detector, query = ready, task[2]
    other = COPIES[way](detector)
    assert other.pretrained == detector.pretrained
    assert other.state_ == detector.state_
    np.testing.assert_array_equal(other.decision_function(query), detector.decision_function(query))
    more = query[:3]
    np.testing.assert_array_equal(
        other.partial_fit(more).score_samples(query),
        detector.partial_fit(more).score_samples(query),
    )


def test_30_types_that_skops_is_asked_to_trust_are_ours(ready):
    data = skops.io.dumps(ready)
    assert {name.split(".")[0] for name in skops.io.get_untrusted_types(data=data)} <= {
        "sklearn_fsad"
    }


# --- 31: weights files; more kinds of damage are in test_state ------------------------------------
def rewritten(path, change):
    """Change the arrays of a file and leave what it says of itself as it is."""
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(change(arrays), path, metadata=metadata)


def first_of(arrays):
    return next((name, array) for name, array in arrays.items() if array.size)


def without_first(arrays):
    name, _ = first_of(arrays)
    return {n: array for n, array in arrays.items() if n != name}


def spoilt_first(arrays, spoil):
    name, array = first_of(arrays)
    return {**arrays, name: spoil(array)}


DAMAGE = {
    "a missing array": without_first,
    "an extra array": lambda arrays: {**arrays, "more": np.zeros(2)},
    "a misshaped array": lambda arrays: spoilt_first(arrays, lambda a: np.append(a, a)),
    "another type": lambda arrays: spoilt_first(arrays, lambda a: a.astype(np.int8)),
    "NaN": lambda arrays: spoilt_first(arrays, lambda a: np.full_like(a, np.nan, dtype=float)),
}


@pytest.mark.parametrize("name", [*META_FITTED, "in context"])
def test_31_a_damaged_weights_file_is_refused_and_the_estimator_stays(name, fitted, task, tmp_path):
    X, y, query, _ = task
    detector = fitted[name]
    state, expected = detector.state_, detector.decision_function(query)
    for damage, change in DAMAGE.items():
        path = tmp_path / f"{damage}.safetensors"
        state.save(path)
        rewritten(path, change)
        detector.set_params(pretrained=path)
        with pytest.raises(WeightsError, match=f"{damage}.* is damaged"):
            detector.fit(X, y)
        assert detector.state_ is state
        np.testing.assert_array_equal(detector.decision_function(query), expected)


@pytest.mark.parametrize("name", [*META_FITTED, "in context"])
def test_31_a_file_signed_again_after_an_array_was_lost_is_refused_by_its_path(
    name, fitted, task, tmp_path
):
    X, y, query, _ = task
    detector = fitted[name]
    state, expected = detector.state_, detector.decision_function(query)
    lost = [n for n in state.arrays if n.startswith(("net", "embed."))] or ["closed"]
    arrays = {n: array for n, array in state.arrays.items() if n != lost[0]}
    path = tmp_path / "lost.safetensors"
    facts = (state.architecture, arrays, state.n_features_in, state.feature_names_in, state.info)
    MetaState(state.detector, *facts).save(path)
    with pytest.raises(WeightsError, match=r"lost\.safetensors lacks or misshapes arrays"):
        detector.set_params(pretrained=path).fit(X, y)
    np.testing.assert_array_equal(detector.decision_function(query), expected)


# --- 32: saving -----------------------------------------------------------------------------------
KILLED_WHILE_SAVING = """
import os, signal, sys
from sklearn_fsad import MetaState
state = MetaState.load(sys.argv[1])

def kill(*args):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(os, sys.argv[2], kill)
MetaState("StubDetector", {}, dict(state.arrays), None).save(sys.argv[1])
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_32_a_process_killed_while_saving_leaves_the_former_file_whole(
    function, meta_fitted, tmp_path
):
    path = tmp_path / "state.safetensors"
    meta_fitted.pretrained.save(path)
    command = [sys.executable, "-c", KILLED_WHILE_SAVING, str(path), function]
    process = subprocess.run(command, capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert MetaState.load(path) == meta_fitted.pretrained
    assert [part.suffix for part in tmp_path.iterdir() if part != path] == [".part"]
    MetaState("StubDetector", {}, {}, None).save(path)  # what the dead one left is in nobody's way
    assert MetaState.load(path).detector == "StubDetector"


# --- 33: devices ----------------------------------------------------------------------------------
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "gpu", "mps"])
def test_33_a_device_that_is_not_there_is_refused_at_fit(each_class, task, device):
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("there is one here")
    X, y, query, _ = task
    expected = each_class.fit(X, y).decision_function(query)
    each_class.set_params(device=device)
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used here: .*device='cpu'"):
        each_class.fit(X, y)
    np.testing.assert_array_equal(each_class.decision_function(query), expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("name", META_FITTED)
def test_33_a_device_that_is_not_there_is_refused_at_meta_fit(name, family):
    detector = make_detector(name)
    state = detector.pretrained
    with pytest.raises(ValueError, match="device='cuda' cannot be used here"):
        detector.set_params(device="cuda").meta_fit(family)
    assert detector.pretrained is state
