"""Missing values: what all detectors promise of rows and tasks with gaps."""

import pickle

import numpy as np
import pytest
from families import BARELY, META_OF_EACH_CLASS, ONE_WIDTH, make_detector
from sklearn.base import clone
from sklearn.utils import get_tags


@pytest.fixture
def gaps(task):
    """The task with a fifth of its entries missing."""
    X, y, query, query_y = task
    rng = np.random.default_rng(3)
    return tuple(
        np.where(rng.random(rows.shape) < 0.2, np.nan, rows) if rows.ndim == 2 else rows
        for rows in (X, y, query, query_y)
    )


def test_tags_allow_missing_values(detector):
    assert get_tags(detector).input_tags.allow_nan


def test_rows_with_gaps_that_are_far_off_are_found(detector, gaps):
    X, y, query, query_y = gaps
    normal = query[query_y == 0]
    moved = normal + 6 * np.nanstd(X[y == 0], axis=0)
    scores = -detector.fit(X[y == 0]).score_samples(np.concatenate([normal, moved]))
    assert (scores[len(normal) :, None] > scores[: len(normal)]).mean() > 0.9


def test_scores_of_rows_without_gaps_are_not_changed_by_rows_with_gaps(detector, task):
    X, y, query, _ = task
    detector.fit(X, y)
    expected = detector.score_samples(query)
    rows = query.copy()
    rows[1::2, 0] = np.nan
    np.testing.assert_array_equal(detector.score_samples(rows)[::2], expected[::2])
    np.testing.assert_array_equal(detector.score_samples(query), expected)


def test_gaps_are_the_same_in_any_order_of_rows(each_class, gaps):
    X, y, query, _ = gaps
    expected = clone(each_class).fit(X, y).score_samples(query)
    order = np.random.default_rng(0).permutation(len(X))
    found = clone(each_class).fit(X[order], y[order]).score_samples(query)
    np.testing.assert_array_equal(found, expected)


def test_parts_of_a_support_with_gaps_add_up(each_class, gaps):
    X, y, query, _ = gaps
    expected = clone(each_class).fit(X, y).score_samples(query)
    normal = np.flatnonzero(y == 0)[:4]
    rest = np.setdiff1d(np.arange(len(X)), normal)
    detector = each_class.fit(X[normal], y[normal]).partial_fit(X[rest], y[rest])
    np.testing.assert_array_equal(detector.score_samples(query), expected)


def test_a_training_row_with_gaps_is_found_again(each_class, gaps):
    X, y, _, _ = gaps
    detector = each_class.fit(X, y)
    fresh = detector.score_samples(X[y == 0] + 1e-9)
    assert not np.array_equal(detector.score_samples(X[y == 0]), fresh)


def test_pickles_score_rows_with_gaps_alike(each_class, gaps):
    X, y, query, _ = gaps
    detector = each_class.fit(X, y)
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(again.score_samples(query), detector.score_samples(query))


def test_trust_and_doubt_read_gaps(each_class, gaps):
    X, y, query, _ = gaps
    weight = np.where(np.arange(len(X)) % 3, 1.0, 0.6)
    assert np.isfinite(clone(each_class).fit(X, y, sample_weight=weight).score_samples(query)).all()
    doubting = clone(each_class).set_params(clean_support=True).fit(X, y)
    assert np.isfinite(doubting.score_samples(query)).all()


@pytest.mark.parametrize("name", META_OF_EACH_CLASS)
def test_meta_fit_learns_from_tasks_with_gaps(name, family):
    rng = np.random.default_rng(0)
    tasks = [(np.where(rng.random(X.shape) < 0.2, np.nan, X), y) for X, y in family[:5]]
    detector = make_detector(name).set_params(pretrained=None, **BARELY)
    state = detector.meta_fit(tasks).pretrained
    assert all(np.isfinite(array).all() for array in state.arrays.values() if array.dtype == float)
    X, y = tasks[0]
    assert np.isfinite(detector.fit(X[:20], y[:20]).score_samples(X)).all()


@pytest.mark.parametrize("name", [n for n in META_OF_EACH_CLASS if n in ONE_WIDTH])
def test_meta_fit_learns_from_tasks_that_lack_a_column(name, family):
    X, y = family[0]
    X = X.copy()
    X[:, 1] = np.nan
    detector = make_detector(name).set_params(pretrained=None, **BARELY)
    detector.meta_fit([(X, y), *family[1:5]])
    assert np.isfinite(detector.fit(X[:20], y[:20]).score_samples(X)).all()


def test_a_row_without_any_value_is_an_anomaly(detector, task):
    X, y, query, _ = task
    rows = np.vstack([query[:3], np.full((1, X.shape[1]), np.nan)])
    assert detector.fit(X, y).predict(rows)[-1] == -1


def test_meta_fit_learns_from_tasks_of_several_widths_with_gaps(family):
    rng = np.random.default_rng(0)
    tasks = [(X[:, : 3 + i % 3], y) for i, (X, y) in enumerate(family)]
    tasks = [(np.where(rng.random(X.shape) < 0.2, np.nan, X), y) for X, y in tasks]
    detector = make_detector("meta-fitted in context").set_params(pretrained=None, **BARELY)
    detector.meta_fit(tasks)
    X, y = tasks[1]
    assert np.isfinite(detector.fit(X[:20], y[:20]).score_samples(X)).all()
