"""clean_support: which rows of a support are doubted, the same for every detector."""

import pickle

import numpy as np
import pytest
from families import far_off, make_detector, new_task
from sklearn.base import clone

from sklearn_fsad._detectors.base.cleaning import (
    believed,
    believed_normals,
    core,
    without_doubtful_anomalies,
)

pytestmark = pytest.mark.usefixtures("few_trees")
NAMES = (
    "closed form",
    "meta-fitted",
    "meta-fitted mlp",
    "residual maml",
    "reptile autoencoder",
    "process closed form",
    "in context",
)
N_FAR = 4


@pytest.fixture(params=NAMES)
def cleaning(request):
    """Each method with its option on, never fitted."""
    return make_detector(request.param).set_params(clean_support=True)


@pytest.fixture(scope="module")
def contaminated():
    """A support whose first rows are far off but pass for normal, its labels, and a query."""
    X, y, query, query_y = new_task(n_support=30, k_support=2)
    rng = np.random.default_rng(0)
    X = X.copy()
    X[:N_FAR] += 300.0 * np.sign(rng.normal(size=X[:N_FAR].shape))
    return X, y, query, query_y


# --- the rule -------------------------------------------------------------------------------------
def test_the_core_is_the_less_strange_half_of_the_normals():
    scores = np.array([5.0, 1.0, 2.0, 3.0, 4.0, 0.0])
    y = np.array([0, 0, 0, 0, 0, 1], dtype=np.int8)
    np.testing.assert_array_equal(core(scores, y), [False, True, True, True, False, False])


def test_rows_far_above_the_kept_are_doubted():
    scores = np.append(np.linspace(-1.0, 1.0, 21), [9.0, 8.0])
    y = np.zeros(23, dtype=np.int8)
    kept = believed(scores, y, np.ones(23, dtype=bool))
    np.testing.assert_array_equal(np.flatnonzero(~kept), [21, 22])


def test_rows_less_strange_than_the_known_anomalies_are_believed():
    y = np.repeat([0, 1], [23, 3]).astype(np.int8)
    by_normals = np.concatenate([np.linspace(-1.0, 1.0, 21), [9.0, 9.0], [5.0, 5.0, 5.0]])
    by_labels = np.concatenate([np.zeros(21), [1.0, 8.0], [4.0, 4.0, 4.0]])
    kept = believed_normals(lambda rows: by_labels if rows[-1] else by_normals, y)
    np.testing.assert_array_equal(np.flatnonzero(~kept), [22, 23, 24, 25])


def test_unlabelled_rows_are_doubted_like_normal_ones():
    scores = np.append(np.linspace(-1.0, 1.0, 21), [9.0, 8.0])
    y = np.full(23, -1, dtype=np.int8)
    assert believed(scores, y, np.ones(23, dtype=bool)).sum() == 21


def test_no_more_than_four_in_ten_normals_are_doubted():
    scores = np.concatenate([np.zeros(10), 100.0 + np.arange(10)])
    y = np.zeros(20, dtype=np.int8)
    assert believed(scores, y, core(scores, y)).sum() >= 12


def test_labelled_anomalies_that_look_normal_are_doubted():
    scores = np.concatenate([np.linspace(-1.0, 1.0, 21), [0.0, 5.0, 0.6, 4.0]])
    y = np.repeat([0, 1], [21, 4]).astype(np.int8)
    kept = without_doubtful_anomalies(lambda rows: scores, y, np.ones(25, dtype=bool))
    np.testing.assert_array_equal(np.flatnonzero(kept), np.append(np.arange(21), [22, 23, 24]))


def test_a_doubtful_anomaly_comes_back_where_the_others_find_it_strange():
    normal = np.linspace(-1.0, 1.0, 21)
    at_first, then = np.append(normal, [0.0, 5.0, 4.0]), np.append(normal, [3.0, 5.0, 4.0])
    y = np.repeat([0, 1], [21, 3]).astype(np.int8)
    kept = without_doubtful_anomalies(
        lambda rows: at_first if rows.all() else then, y, np.ones(24, dtype=bool)
    )
    assert kept.all()


def test_two_anomalies_stay_whatever_they_look_like():
    scores = np.append(np.linspace(-1.0, 1.0, 21), [0.0, 5.0, -1.0])
    y = np.repeat([0, 1], [21, 3]).astype(np.int8)
    kept = without_doubtful_anomalies(lambda rows: scores, y, np.ones(24, dtype=bool))
    assert kept.all()


@pytest.mark.parametrize("n", [2, 3])
def test_two_or_three_normals_all_stay(n):
    scores = np.array([0.0, 0.1, 50.0])[:n]
    y = np.zeros(n, dtype=np.int8)
    assert believed(scores, y, core(scores, y)).all()


# --- every detector -------------------------------------------------------------------------------
@far_off
def test_switched_off_nothing_is_doubted(cleaning, contaminated):
    X, y, *_ = contaminated
    cleaning.set_params(clean_support=False)
    assert cleaning.fit(X, y).support_kept_.all()


def test_far_rows_are_doubted(cleaning, contaminated):
    X, y, *_ = contaminated
    cleaning.fit(X[y == 0])
    assert not cleaning.support_kept_[:N_FAR].any()
    np.testing.assert_array_equal(cleaning.support_X_, X[y == 0])


def test_labelled_anomalies_stay(cleaning, contaminated):
    X, y, *_ = contaminated
    X, y = X[::-1], y[::-1].copy()
    y[-N_FAR:] = 1
    assert cleaning.fit(X, y).support_kept_[y == 1].all()


def test_all_doubts_normal_rows_that_are_labelled_as_anomalies(cleaning):
    X, y, *_ = new_task(n_support=40, k_support=6)
    X = X + 300.0 * (y == 1)[:, None]
    told = y.copy()
    told[np.flatnonzero(y == 0)[:3]] = 1
    kept = cleaning.set_params(clean_support="all").fit(X, told).support_kept_
    assert kept[(told == 1) & (y == 1)].all()
    assert not kept[(told == 1) & (y == 0)].all()


@far_off
def test_it_is_as_good_as_a_fit_to_the_rows_kept(cleaning, contaminated):
    X, y, query, _ = contaminated
    cleaning.fit(X, y)
    kept = cleaning.support_kept_
    expected = clone(cleaning).set_params(clean_support=False).fit(X[kept], y[kept])
    np.testing.assert_allclose(
        cleaning.score_samples(query), expected.score_samples(query), rtol=1e-9
    )
    assert cleaning.offset_ == pytest.approx(expected.offset_, rel=1e-9)


def test_most_rows_of_a_clean_support_stay(cleaning):
    X, y, *_ = new_task(n_support=30, k_support=2)
    assert cleaning.fit(X, y).support_kept_.sum() >= 0.6 * len(X)


@far_off
def test_the_order_of_the_rows_does_not_matter(cleaning, contaminated):
    X, y, query, _ = contaminated
    expected = clone(cleaning).fit(X, y)
    order = np.random.default_rng(1).permutation(len(X))
    cleaning.fit(X[order], y[order])
    np.testing.assert_array_equal(cleaning.support_kept_, expected.support_kept_[order])
    np.testing.assert_allclose(
        cleaning.score_samples(query), expected.score_samples(query), rtol=1e-9
    )


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_handful_of_normals_is_enough(cleaning, n):
    X, y, query, _ = new_task(n_support=n, k_support=0)
    cleaning.fit(X, y)
    assert cleaning.support_kept_.sum() >= min(n, 3)
    assert np.isfinite(cleaning.decision_function(query)).all()


@far_off
def test_rows_given_later_are_cleaned_with_the_others(cleaning, contaminated):
    X, y, query, _ = contaminated
    expected = clone(cleaning).fit(X, y)
    cleaning.fit(X[:20], y[:20]).partial_fit(X[20:], y[20:])
    np.testing.assert_array_equal(cleaning.support_kept_, expected.support_kept_)
    np.testing.assert_array_equal(cleaning.score_samples(query), expected.score_samples(query))


@far_off
def test_a_pickle_scores_and_decides_alike(cleaning, contaminated):
    X, y, query, _ = contaminated
    again = pickle.loads(pickle.dumps(cleaning.fit(X, y)))
    np.testing.assert_array_equal(again.predict(query), cleaning.predict(query))
    np.testing.assert_array_equal(again.support_kept_, cleaning.support_kept_)
    cleaning.set_threshold("conformal", alpha=0.2)
    assert again.set_threshold("conformal", alpha=0.2).offset_ == cleaning.offset_


@far_off
def test_p_values_are_those_among_the_rows_kept(cleaning, contaminated):
    X, y, query, _ = contaminated
    n_kept = int((cleaning.fit(X, y).support_kept_ & (y == 0)).sum())
    assert cleaning.p_values(query).min() >= 1.0 / (n_kept + 1)


@far_off
def test_contamination_flags_a_share_of_all_rows_given(cleaning, contaminated):
    X, y, *_ = contaminated
    cleaning.set_params(contamination=0.2).fit(X, y)
    assert (cleaning.predict(X) == -1).sum() == pytest.approx(0.2 * len(X), abs=1)


def test_another_value_is_refused(cleaning, task):
    with pytest.raises(ValueError, match="clean_support"):
        cleaning.set_params(clean_support="yes").fit(*task[:2])
