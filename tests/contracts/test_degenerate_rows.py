"""Degenerate, missing and huge rows: finite scores, or a refusal by name.

The numbers in the names are those of the list of faults that the project promises about.
"""

import numpy as np
import pytest
from families import (
    ANY_WIDTH,
    GEOMETRIC,
    N_FEATURES,
    QUICK,
    QUICK_MIX,
    assert_usable,
    far_off,
    make_detector,
    make_family,
    new_task,
)
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from sklearn_fsad import ProtoNetDetector

pytestmark = [
    pytest.mark.filterwarnings("error::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:X has feature names"),
    pytest.mark.usefixtures("few_trees", "few_lessons"),
]


any_width = pytest.mark.parametrize("name", ANY_WIDTH)


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


@far_off
@identical
def test_5_identical_rows_are_all_normal(detector, value, n):
    X = np.full((n, 5), value)
    scores = assert_usable(detector.fit(X), X)
    assert (scores == scores[0]).all()
    assert (detector.predict(X) == 1).all()
    assert detector.predict(X[:1]).tolist() == [1]


@far_off
@identical
def test_5_a_row_unlike_identical_ones_is_an_anomaly(geometric, value, n):
    X = np.full((n, 5), value)
    other = X[:1] + np.array([0, 0, 1.0, 0, 0])
    geometric.fit(X)
    assert geometric.score_samples(other) < geometric.score_samples(X[:1])
    assert geometric.predict(other).tolist() == [-1]


@far_off
@pytest.mark.parametrize("k", [1, 2, 5])
def test_5_identical_normals_with_labelled_anomalies(geometric, k):
    X = np.concatenate([np.full((10, 5), 2.0), np.full((k, 5), 3.0)])
    scores = assert_usable(geometric.fit(X, np.arange(len(X)) >= 10), X)
    assert scores[-1] < scores[0]
    assert (geometric.predict(X[:10]) == 1).all()


@far_off
def test_5_rows_that_are_normal_and_anomalous_at_once_give_finite_scores(detector):
    X = np.full((10, 5), 2.0)
    assert_usable(detector.fit(X, np.arange(10) >= 6), X)
    rows = np.random.default_rng(0).normal(size=(8, 5))
    assert_usable(detector.fit(np.concatenate([rows, rows]), np.arange(16) >= 8), rows)


@far_off
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


def assert_many_copies_flag_the_asked_share(detector, contamination, n):
    X = np.repeat(np.random.default_rng(0).normal(size=(10, 5)), n, axis=0)
    detector.set_params(contamination=contamination).fit(X)
    assert_usable(detector, X[::n])
    decision = detector.decision_function(X)
    assert (decision < 0).mean() <= contamination <= (decision <= 1e-9).mean()


@far_off
def test_6_many_copies_flag_the_asked_share_but_for_ties(detector):
    assert_many_copies_flag_the_asked_share(detector, 0.25, 40)


@far_off
@pytest.mark.parametrize("contamination", [0.1, 0.5])
def test_6_many_copies_flag_any_share_that_is_asked_for(each_class, contamination):
    assert_many_copies_flag_the_asked_share(each_class, contamination, 20)


@far_off
def test_6_many_copies_are_normal_under_the_default_threshold(detector):
    X = np.repeat(np.random.default_rng(0).normal(size=(10, 5)), 40, axis=0)
    detector.fit(X)
    assert (detector.predict(X) == 1).mean() > 0.5
    assert detector.predict(np.full((1, 5), 1e4)).tolist() == [-1]


# --- 7: missing and infinite ----------------------------------------------------------------------
@pytest.mark.parametrize("missing", ["some", "a column", "a row", "all but one"])
def test_7_missing_values_are_taken_in_any_pattern(ready, task, missing):
    X, y, query, _ = task
    gone = {
        "some": np.random.default_rng(0).random(query.shape) < 0.3,
        "a column": np.arange(query.shape[1]) == 2,
        "a row": np.arange(len(query))[:, None] == 7,
        "all but one": np.arange(query.shape[1]) > 0,
    }[missing] & np.ones(query.shape, dtype=bool)
    for fitted in (ready, clone(ready).fit(np.where(gone[: len(X)], np.nan, X), y)):
        for rows in (query, np.where(gone, np.nan, query)):
            scores = fitted.decision_function(rows)
            assert np.isfinite(scores).all()
            np.testing.assert_array_equal(fitted.decision_function(rows[5:9]), scores[5:9])


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


@far_off
@pytest.mark.parametrize("k", [0, 4])
def test_8_a_training_row_as_large_as_allowed_gives_finite_scores(detector, task, k):
    X, y, query, _ = task
    large = X[: 12 + k].copy()
    large[3] = [0, 1e60, 0, 0, -1e60]
    detector.fit(large, y[: 12 + k])
    assert_usable(detector, np.concatenate([query[:20], large[3:4]]))


@far_off
@pytest.mark.parametrize("value", [1e6, -1e10, 1e20, 1e60])
def test_8_one_huge_value_in_a_training_row_leaves_the_other_columns_as_they_are(each_class, value):
    rng = np.random.default_rng(0)
    X, query = rng.normal(size=(40, N_FEATURES)), rng.normal(size=(40, N_FEATURES))
    query[20:] += 4.0
    X[5, 0] = value
    detector = each_class.set_params(pretrained=None).fit(X)
    assert detector.score(query, np.arange(40) >= 20) > 0.9


# --- 9: large offsets -----------------------------------------------------------------------------
@far_off
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
            settings = {**(QUICK if extra else QUICK_MIX), **extra}
            detector = ProtoNetDetector(**settings).meta_fit(tasks)
            detector.fit(moved(X) - 1e8 + offset, y)
            aucs.append(detector.score(moved(query) - 1e8 + offset, query_y))
        assert aucs[1] == pytest.approx(aucs[0], abs=1e-3)
