"""Every door that takes rows reads the same containers and refuses what is no number."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from families import BARELY, META_OF_EACH_CLASS, dispatched, far_off, make_detector, methods_of
from pyod.models.knn import KNN
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_fsad import PyODDetector
from sklearn_fsad.augmentation import Jitter, augment_tasks
from sklearn_fsad.metrics import evaluation_report
from sklearn_fsad.model_selection import FewShotSplit
from sklearn_fsad.pipeline import meta_fit_pipeline
from sklearn_fsad.tasks import (
    TaskSet,
    make_tasks_from_classes,
    make_tasks_from_groups,
    make_tasks_from_table,
)

pa = pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra 'data'")
pytestmark = [
    pytest.mark.filterwarnings("error::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:X has feature names"),
    pytest.mark.usefixtures("few_trees", "few_lessons"),
]

NAMES = list("abcde")


def table(X):
    return pa.table(dict(zip(NAMES, X.T, strict=True)))


# --- the same scores ------------------------------------------------------------------------------
def test_detectors_score_tables_and_tensors_as_arrays(each_class, task):
    X, y, query, _ = task
    expected = clone(each_class).fit(X, y).score_samples(query)
    for contain in (
        table,
        torch.tensor,
        lambda A: pd.DataFrame(A, columns=NAMES).astype("Float64"),
    ):
        each_class.fit(contain(X), y)
        for dispatch in (False, True):
            with dispatched(dispatch):
                scores = each_class.score_samples(contain(query))
            assert type(scores) is np.ndarray
            np.testing.assert_array_equal(scores, expected)


def test_detectors_fit_tensors_while_arrays_are_dispatched(each_class, task):
    X, y, query, query_y = task
    expected = clone(each_class).fit(X, y)
    with dispatched(True):
        each_class.fit(torch.tensor(X), torch.tensor(y))
        labels = each_class.predict(torch.tensor(query))
        auc = each_class.score(torch.tensor(query), torch.tensor(query_y))
    np.testing.assert_array_equal(labels, expected.predict(query))
    assert auc == expected.score(query, query_y)


def test_missing_values_of_any_kind_score_as_nan(each_class, task):
    X, y, query, _ = task
    gone = np.random.default_rng(0).random(X.shape) < 0.2
    expected = clone(each_class).fit(np.where(gone, np.nan, X), y).score_samples(query)
    for rows in (
        np.ma.array(X, mask=gone),
        np.where(gone, pd.NA, X.astype(object)),
        pd.DataFrame(np.where(gone, np.nan, X)).astype("Float64"),
    ):
        found = clone(each_class).fit(rows, y).score_samples(query)
        np.testing.assert_array_equal(found, expected)


# --- every door -----------------------------------------------------------------------------------
def dates(X):
    return np.datetime64("2024-01-01") + np.arange(X.size).reshape(X.shape)


BAD = {
    "dates": (dates, "dates or durations"),
    "a column of an Arrow table": (
        lambda X: table(X).append_column("t", pa.array(dates(X)[:, 0])), "in column 't'",
    ),
    "one entry": (
        lambda X: np.where(X[5, 1] == X, np.datetime64("2024-01-01").item(), X.astype(object)),
        "column 1, row 5",
    ),
    "a lazy frame": (lambda X: pl.LazyFrame(X), r"\.collect\(\)"),
}  # fmt: skip
bad = pytest.mark.parametrize("kind", BAD)


@bad
def test_fitted_detectors_refuse_what_is_no_number_everywhere(fitted, task, kind):
    contain, told = BAD[kind]
    detector, (X, y) = fitted["meta-fitted"], task[:2]
    for method in methods_of(
        detector, "fit", "partial_fit", "score_samples", "predict_proba", "p_values", "transform",
        "feature_scores", "query",
    ):  # fmt: skip
        with pytest.raises(ValueError, match=told):
            getattr(detector, method)(contain(X))
    for method in (detector.score, detector.calibrate, detector.diagnose):
        with pytest.raises(ValueError, match=told):
            method(contain(X), y)
    with pytest.raises(ValueError, match=told):
        evaluation_report(detector, contain(X), y)
    with pytest.raises(ValueError, match=told):
        PyODDetector(KNN()).fit(contain(X))


@bad
def test_makers_of_tasks_refuse_what_is_no_number(family, kind):
    contain, told = BAD[kind]
    X, y = family[0]
    groups = np.arange(len(X)) % 2
    for make in (
        lambda: TaskSet([(contain(X), y)]),
        lambda: TaskSet([contain(X)]),
        lambda: TaskSet.make(contain(X), y, groups=np.zeros(len(X))),
        lambda: make_tasks_from_groups(contain(X), y, np.zeros(len(X))),
        lambda: make_tasks_from_classes(contain(X), groups),
        lambda: make_tasks_from_table(contain(X), 2),
        lambda: augment_tasks([(contain(X), y)], Jitter()),
    ):
        with pytest.raises(ValueError, match=told):
            make()


@bad
def test_meta_fit_names_the_task_whose_rows_are_no_numbers(family, kind):
    contain, told = BAD[kind]
    tasks = {"pump": family[0], "fan": (contain(family[1][0]), family[1][1])}
    detector = make_detector("meta-fitted")
    with pytest.raises(ValueError, match=f"Task 'fan'(.|\n)*{told}"):
        detector.meta_fit(tasks)
    with pytest.raises(ValueError, match=f"Task 'fan'(.|\n)*{told}"):
        meta_fit_pipeline(make_pipeline(StandardScaler(), detector), tasks)


def test_pipelines_may_turn_dates_into_numbers(family):
    def seconds(days):
        return (days - np.datetime64("2024-01-01")) / np.timedelta64(1, "s")

    tasks = [(dates(X), y) for X, y in family[:5]]
    detector = clone(make_detector("meta-fitted")).set_params(**BARELY)
    pipe = meta_fit_pipeline(make_pipeline(FunctionTransformer(seconds), detector), tasks)
    assert pipe[-1].pretrained.info["n_tasks"] == 5


def test_pipelines_pool_tables_and_keep_masks(family):
    tasks = [(table(X), y) for X, y in family[:5]]
    detector = clone(make_detector("meta-fitted")).set_params(**BARELY)
    pipe = meta_fit_pipeline(make_pipeline(StandardScaler(), detector), tasks)
    normals = np.concatenate([X[y == 0] for X, y in family[:5]])
    np.testing.assert_allclose(pipe[0].mean_, normals.mean(axis=0))
    masked = [(np.ma.array(X, mask=X[5, 1] == X), y) for X, y in family[:5]]
    pipe = meta_fit_pipeline(make_pipeline(StandardScaler(), detector), masked)
    gaps = [(np.where(X[5, 1] == X, np.nan, X), y) for X, y in family[:5]]
    expected = meta_fit_pipeline(make_pipeline(StandardScaler(), detector), gaps)
    assert pipe[-1].pretrained == expected[-1].pretrained


def test_splits_count_the_rows_of_a_table(task):
    X, y = task[:2]
    train, test = next(FewShotSplit(3, 1, random_state=0).split(table(X), y))
    assert len(train) + len(test) == len(X)


# --- columns named by numbers ---------------------------------------------------------------------
def test_columns_named_by_numbers_must_keep_their_order(each_class, task):
    X, y, query, _ = task
    columns = [10, 20, 30, 40, 50]
    detector = each_class.fit(pd.DataFrame(X, columns=columns), y)
    expected = detector.score_samples(query)  # an array has no names to compare
    other = pd.DataFrame(query, columns=columns)[columns[::-1]]
    for known in (detector, pickle.loads(pickle.dumps(detector))):
        np.testing.assert_array_equal(known.score_samples(other[columns]), expected)
        for method in (known.predict, known.partial_fit):
            with pytest.raises(ValueError, match=r"feature names should match.* 50 and was 10"):
                method(other)
    assert not hasattr(detector, "feature_names_in_")
    clone(detector).fit(pd.DataFrame(X, columns=columns[::-1]), y)  # a new fit has its own
    assert detector.fit(X, y).predict(other).shape == (len(query),)


@pytest.mark.parametrize("name", META_OF_EACH_CLASS[:3])  # the fourth takes any columns
def test_columns_named_by_numbers_must_be_those_of_meta_fit(name, family, task):
    columns = [10, 20, 30, 40, 50]
    tasks = [(pd.DataFrame(X, columns=columns), y) for X, y in family]
    detector = make_detector(name).set_params(**BARELY)
    with pytest.raises(ValueError, match="Task 1 has columns"):
        detector.meta_fit([tasks[0], (tasks[1][0][columns[::-1]], tasks[1][1])])
    detector.meta_fit(tasks)
    X, y = task[:2]
    detector.fit(pd.DataFrame(X, columns=columns), y)
    detector.fit(X, y)
    with pytest.raises(ValueError, match="passed during meta_fit, in the same order"):
        detector.fit(pd.DataFrame(X, columns=columns[::-1]), y)


# --- sizes of numbers -----------------------------------------------------------------------------
SIZES = {
    "subnormal": 1e-310,
    "columns of all sizes": [1e-310, 1e-150, 1, 1e50, 1e55],
    "tiny": 1e-160,
}


@far_off
@pytest.mark.parametrize("size", SIZES)
def test_values_of_any_size_give_finite_scores(detector, task, size):
    X, y, query, _ = task
    unit = np.array(SIZES[size])
    detector.fit(X * unit, y)
    assert np.isfinite(detector.score_samples(query * unit)).all()
    assert np.isfinite(detector.offset_)


@far_off
def test_a_row_far_out_of_any_range_is_an_anomaly_on_every_side(ready, task):
    X = task[0]
    usual = ready.score_samples(X)
    for value in (1e62, -1e62, 1e300, -1e300, -1e308):
        for column in (0, 4, slice(None)):
            row = X[:1].copy()
            row[0, column] = value
            assert ready.predict(row).tolist() == [-1]
            assert ready.score_samples(row)[0] < usual.min()


def test_contributions_add_up_to_the_score_of_a_row_far_out(ready, task):
    row = task[0][:1].copy()
    row[0, 1] = -1e300
    total = ready.feature_scores(row).sum()
    np.testing.assert_allclose(total, -ready.score_samples(row)[0], rtol=1e-9)


def test_tasks_of_huge_rows_are_refused_where_they_are_learned_from(family):
    X = family[0][0].copy()
    X[3, 1] = 1e300
    frame = pd.DataFrame(X, columns=NAMES)
    with pytest.raises(ValueError, match=r"1e\+300, too large .* in column 'b', row 3"):
        make_tasks_from_table(frame, 2)
    with pytest.raises(ValueError, match=r"Task 0: .* too large .* in column 'b', row 3"):
        make_detector("meta-fitted").meta_fit([frame])
    with pytest.raises(ValueError, match=r"too large .* in column 'b', row 3"):
        make_detector("closed form").fit(frame)
    with pytest.raises(ValueError, match=r"Task 0: X holds 1e\+300, too large to learn from"):
        augment_tasks([X], Jitter())


@far_off
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", META_OF_EACH_CLASS)
def test_tasks_of_values_of_any_size_are_learned_from(name, family, task, size):
    X, y, query, _ = task
    unit = np.array(SIZES[size])
    detector = make_detector(name).set_params(**BARELY)
    detector.meta_fit([(X_t * unit, y_t) for X_t, y_t in family[:5]])
    for rows in (slice(12), slice(None)):
        scores = detector.fit(X[rows] * unit, y[rows]).score_samples(query * unit)
        assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", ["meta-fitted tnp", "meta-fitted np"])
def test_what_is_expected_of_a_row_far_out_is_finite(name, fitted, task):
    row = np.where(np.arange(5) == 1, 1e300, task[0][:1])
    for part in fitted[name].predict_distribution(row):
        assert np.isfinite(part).all()


def test_detectors_of_pyod_learn_from_no_huge_rows(task):
    with pytest.raises(ValueError, match=r"1e\+300, too large to learn from"):
        PyODDetector(KNN()).fit(np.where(task[0] > 30.0, 1e300, task[0]))
