"""feature_scores: what each column adds to a score."""

import numpy as np
import pytest
from families import GEOMETRIC, make_detector, new_task
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_fsad import InContextDetector, ProtoNetDetector
from sklearn_fsad._explain.attribution import column_contributions, nearest_by_others

pytestmark = pytest.mark.usefixtures("few_trees")

FAR = 40.0


def far_from_centre(X):
    """A score that is a sum over columns."""
    return np.abs(X).sum(axis=1)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def planted(detector, column=3):
    """Columns blamed in query rows of which one column was moved far out."""
    X, _, query, query_y = new_task(n_support=30, k_support=0)
    rows = query[query_y == 0][:6].copy()
    rows[:, column] += FAR
    return detector.fit(X).feature_scores(rows).argmax(axis=1)


# --- the function ---------------------------------------------------------------------------------
def test_of_a_sum_over_columns_each_gets_its_own_gain(rng):
    normals, X = rng.normal(size=(30, 4)), rng.normal(size=(7, 4))
    spread = normals.std(axis=0)
    parts = column_contributions(far_from_centre, X, normals)
    expected = np.empty_like(X)
    for i, row in enumerate(X):
        for j in range(4):
            others = np.delete(np.abs(normals - row) / spread, j, axis=1).sum(axis=1)
            expected[i, j] = abs(row[j]) - abs(normals[others.argmin(), j])
    expected += ((far_from_centre(X) - expected.sum(axis=1)) / 4)[:, None]
    np.testing.assert_allclose(parts, expected, atol=1e-12)


@pytest.mark.parametrize(("n", "d"), [(300, 3), (3, 700), (40, 1)])
def test_contributions_add_up_whatever_the_blocks_and_rows_do_not_see_each_other(rng, n, d):
    normals, X = rng.normal(size=(20, d)), rng.normal(size=(n, d))
    parts = column_contributions(far_from_centre, X, normals)
    np.testing.assert_allclose(parts.sum(axis=1), far_from_centre(X), rtol=1e-9)
    for i in (0, n - 1):
        alone = column_contributions(far_from_centre, X[i : i + 1], normals)
        np.testing.assert_allclose(parts[i], alone[0], rtol=1e-9)


def test_stacks_of_changed_rows_stay_small(rng):
    sizes = []

    def score(X):
        sizes.append(X.size)
        return far_from_centre(X)

    column_contributions(score, rng.normal(size=(50, 600)), rng.normal(size=(10, 600)))
    assert max(sizes) <= 2**20
    assert sum(sizes) == 50 * 600 * 601


def test_the_value_that_is_off_does_not_choose_what_it_is_compared_with():
    N = np.array([[0.0, 0.0, 0.0], [4.0, 4.0, 4.0]])
    Z = np.array([[0.0, 0.0, 4.0]])
    np.testing.assert_array_equal(nearest_by_others(Z, N), [[0, 0, 0]])
    equally_near = np.array([[1.0, 1.0, 7.0], [1.0, 1.0, 2.0], [1.0, 1.0, 9.0]])
    assert nearest_by_others(np.array([[1.0, 1.0, 2.5]]), equally_near)[0, 2] == 1


def test_a_column_that_does_not_differ_is_scored_no_more():
    calls = []

    def score(X):
        calls.append(len(X))
        return far_from_centre(X)

    normals = np.array([[1.0, 0.0], [1.0, 2.0]])
    column_contributions(score, np.array([[1.0, 5.0]]), normals)
    assert calls == [1, 1]


# --- the detectors --------------------------------------------------------------------------------
def test_feature_scores_add_up_to_the_score_of_a_fitted_detector(detector, task):
    X, y, query, _ = task
    with pytest.raises(NotFittedError):
        detector.feature_scores(query)
    detector.fit(X, y)
    parts = detector.feature_scores(query[:12])
    assert parts.shape == (12, 5)
    np.testing.assert_allclose(
        parts.sum(axis=1), -detector.score_samples(query[:12]), rtol=1e-9, atol=1e-9
    )
    with pytest.raises(ValueError, match="X has 4 features"):
        detector.feature_scores(query[:, 1:])


@pytest.mark.parametrize("name", GEOMETRIC)
def test_the_column_that_was_moved_comes_first(name):
    assert (planted(make_detector(name)) == 3).mean() > 0.8


@pytest.mark.parametrize("name", ["meta-fitted", "fomaml svdd", "in context"])
def test_feature_scores_depend_on_neither_the_order_of_the_support_nor_of_the_rows(name, task):
    detector = make_detector(name)
    X, y, query, _ = task
    query = query[:5]
    expected = clone(detector).fit(X, y).feature_scores(query)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_array_equal(detector.fit(X[order], y[order]).feature_scores(query), expected)
    np.testing.assert_array_equal(detector.feature_scores(query[::-1]), expected[::-1])


def test_columns_in_another_order_get_the_same_scores(task):
    X, y, query, _ = task
    order = [3, 0, 4, 1, 2]
    expected = InContextDetector().fit(X, y).feature_scores(query[:5])
    parts = InContextDetector().fit(X[:, order], y).feature_scores(query[:5, order])
    np.testing.assert_allclose(parts, expected[:, order], rtol=1e-6, atol=1e-8)
    expected = column_contributions(far_from_centre, query, X)
    parts = column_contributions(far_from_centre, query[:, order], X[:, order])
    np.testing.assert_allclose(parts, expected[:, order], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["closed form", "in context", "maml closed form"])
def test_a_constant_column_is_blamed_only_where_it_changes(name):
    X, y, query, query_y = new_task(n_support=30)
    rows = query[query_y == 0][:4].copy()
    X, rows = X.copy(), rows
    X[:, 2] = rows[:, 2] = 7.0
    detector = make_detector(name).fit(X, y)
    same = detector.feature_scores(rows)
    changed = rows.copy()
    changed[:, 2] = 9.0
    parts = detector.feature_scores(changed)
    assert (parts.argmax(axis=1) == 2).all()
    assert (np.abs(same[:, 2]) <= np.abs(same).max(axis=1)).all()
    assert (same[:, 2] < parts[:, 2]).all()


@pytest.mark.parametrize("name", ["closed form", "maml closed form", "in context"])
def test_one_column_gets_the_whole_score(name, rng):
    detector = make_detector(name).fit(rng.normal(size=(20, 1)))
    query = np.array([[0.1], [5.0]])
    np.testing.assert_allclose(
        detector.feature_scores(query)[:, 0], -detector.score_samples(query), rtol=1e-9
    )


@pytest.mark.parametrize("value", [1e300, -1e300])
def test_values_far_out_are_blamed_and_finite(value, task):
    X, y, query, _ = task
    rows = query[:2].copy()
    rows[:, 1] = value
    for make in (ProtoNetDetector, InContextDetector):
        parts = make().fit(X[y == 0]).feature_scores(rows)
        assert np.isfinite(parts).all()
        assert (parts.argmax(axis=1) == 1).all()


def test_missing_values_are_explained(detector, task):
    X, y, query, _ = task
    rows = query[:4].copy()
    rows[:, 0] = np.nan
    parts = detector.fit(X, y).feature_scores(rows)
    assert np.isfinite(parts).all()


def test_rows_that_are_doubted_are_not_compared_with(rng):
    X = rng.normal(size=(60, 3))
    X[:3] = 30.0
    detector = InContextDetector().fit(X, np.full(60, np.nan))
    known = detector._reference_normals()
    assert len(known) < 60
    assert (np.abs(known) < 10).all()
    assert detector.feature_scores(np.array([[0.0, 30.0, 0.0]])).argmax() == 1


# --- evidence -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["closed form", "meta-fitted", "any width"])
@pytest.mark.parametrize("k", [0, 4])
def test_evidence_scores_are_named_and_add_up(name, k):
    X, y, query, _ = new_task(k_support=k)
    detector = make_detector(name).fit(X, y)
    parts = detector.evidence_scores(query)
    assert list(parts) == list(detector.state_.architecture["evidence"])
    np.testing.assert_allclose(
        sum(parts.values()), -detector.score_samples(query), rtol=1e-9, atol=1e-9
    )
    if not k:
        assert not parts["subspace_ratio"].any()


def test_only_a_mix_has_evidence_scores(task):
    assert not hasattr(ProtoNetDetector(embedding="mlp"), "evidence_scores")
    with pytest.raises(NotFittedError):
        ProtoNetDetector().evidence_scores(task[2])
