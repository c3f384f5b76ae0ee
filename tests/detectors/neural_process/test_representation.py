"""How a process sees rows: in units of the support, with their missing entries marked."""

import numpy as np
import pytest

from sklearn_fsad._detectors.neural_process.reduction import Reduction
from sklearn_fsad._detectors.neural_process.representation import MaskedRepresentation
from sklearn_fsad._stats.moments import feature_spread, stable_mean
from sklearn_fsad._stats.scaling import ScalePrior
from sklearn_fsad.tasks._task_set import TaskSet

D = 4


def some_rows(n=20, missing=0.0, seed=0):
    rng = np.random.default_rng([seed, n])
    X = rng.normal(size=(n, D)) * [1.0, 10.0, 0.1, 5.0] + [5.0, -50.0, 0.0, 1e3]
    X[rng.random(X.shape) < missing] = np.nan
    return X


def normal(X):
    return np.zeros(len(X), dtype=np.int8)


def parts(described):
    """Values, visible and departed."""
    return np.split(described, 3, axis=1)


def compressed(z):
    beyond = np.maximum(np.abs(z) - 5, 0.0)
    return np.sign(z) * (np.minimum(np.abs(z), 5) + np.log1p(beyond))


def support_of(X, scaler="task", **settings):
    return MaskedRepresentation(X, normal(X), scaler, **settings)


# --- values ---------------------------------------------------------------------------------------
def test_values_are_in_units_of_the_support():
    X, query = some_rows(), some_rows(7, seed=1)
    values, visible, departed = parts(support_of(X).transform(query))
    near = np.abs((query - X.mean(axis=0)) / X.std(axis=0)) < 5
    assert near.all()
    np.testing.assert_allclose(values, (query - X.mean(axis=0)) / X.std(axis=0))
    assert (visible == 1.0).all()
    assert (departed == 0.0).all()


def test_the_support_is_described_as_other_rows_are():
    X = some_rows(missing=0.2)
    described = support_of(X)
    np.testing.assert_array_equal(described.support, described.transform(X))
    assert described.n_features == D
    assert described.support.shape == (20, 3 * D)


def test_labelled_anomalies_have_no_say_in_the_units():
    X, query = some_rows(), some_rows(7, seed=1)
    both = np.concatenate([X, 1e3 + some_rows(5, seed=2)])
    y = np.array([0] * 20 + [1] * 5, dtype=np.int8)
    described = MaskedRepresentation(both, y, "task")
    np.testing.assert_array_equal(described.transform(query), support_of(X).transform(query))
    np.testing.assert_array_equal(described.support_y, y)


def test_values_are_linear_up_to_five_spreads_and_logarithmic_beyond():
    X = some_rows()
    described = support_of(X)
    z = np.array([-1e6, -20.0, -5.0, -1.0, 0.0, 4.9, 5.0, 5.1, 6.0, 1e3, 1e90])
    query = X.mean(axis=0) + z[:, None] * X.std(axis=0)
    values, _, _ = parts(described.transform(query))
    expected = compressed(z)[:, None] * np.ones(D)
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-12)
    assert (np.diff(values[:, 0]) > 0).all()


@pytest.mark.parametrize("value", [1e300, -1e300, np.finfo(float).max])
def test_huge_rows_stay_finite_and_small(value):
    described = support_of(some_rows()).transform(np.full((1, D), value))
    assert np.isfinite(described).all()
    assert np.abs(described).max() < 250.0


# --- missing entries ------------------------------------------------------------------------------
def test_missing_entries_are_zero_and_marked():
    X, query = some_rows(missing=0.3), some_rows(9, missing=0.5, seed=1)
    values, visible, departed = parts(support_of(X).transform(query))
    np.testing.assert_array_equal(visible, (~np.isnan(query)).astype(float))
    np.testing.assert_array_equal(values[np.isnan(query)], 0.0)
    expected = (query - np.nanmean(X, axis=0)) / np.nanstd(X, axis=0)
    known = ~np.isnan(query)
    np.testing.assert_allclose(values[known], expected[known])
    assert (departed == 0.0).all()


@pytest.mark.parametrize("scaler", ["task", "robust", "none", "shrunk", "pooled"])
@pytest.mark.parametrize("seed", range(4))
def test_any_pattern_of_missing_entries_is_described_finitely(scaler, seed):
    X, query = some_rows(3, missing=0.6, seed=seed), some_rows(9, missing=0.5, seed=seed + 9)
    prior = ScalePrior.from_normals(
        task.normals for task in TaskSet([some_rows(missing=0.2)], allow_nan=True)
    )
    described = MaskedRepresentation(X, normal(X), scaler, prior)
    for rows in (described.support, described.transform(query)):
        assert np.isfinite(rows).all()
        assert not parts(rows)[0][parts(rows)[1] == 0].any()


def test_a_column_missing_from_the_whole_support_is_missing_from_every_row():
    X, query = some_rows(), some_rows(9, seed=1)
    X[:, 1] = np.nan
    described = support_of(X)
    values, visible, departed = parts(described.transform(query))
    for part in (values, visible, departed):
        assert (part[:, 1] == 0.0).all()
        assert np.isfinite(part).all()
    np.testing.assert_array_equal(visible[:, [0, 2, 3]], 1.0)


def test_a_column_known_only_of_anomalies_counts_as_missing():
    X = some_rows(12)
    X[:8, 1] = np.nan
    described = MaskedRepresentation(X, np.array([0] * 8 + [1] * 4, dtype=np.int8), "task")
    assert (parts(described.support)[1][:, 1] == 0.0).all()


# --- features that never varied -------------------------------------------------------------------
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("value", [3.0, 0.0, 1 / 3, -1e8])
@pytest.mark.parametrize("scaler", ["task", "none", "robust"])
def test_a_feature_that_never_varied_is_told_by_how_far_rows_depart(scaler, value, missing):
    X, query = some_rows(), some_rows(6, seed=1)
    X[:, 2] = value
    if missing:
        X[::3, 2] = np.nan
    query[:, 2] = value + np.array([0.0, 1e-3, 1.0, -1.0, np.nan, 1e12])
    described = support_of(X, scaler)
    values, visible, departed = parts(described.transform(query))
    assert (values[:, 2] == 0.0).all()
    assert visible[:, 2].tolist() == [1, 1, 1, 1, 0, 1]
    assert (departed[:, [0, 1, 3]] == 0.0).all()
    assert departed[0, 2] == departed[4, 2] == 0.0
    assert 0.0 < departed[2, 2] == pytest.approx(-departed[3, 2], rel=1e-5)
    assert departed[1, 2] < departed[2, 2] < departed[5, 2] < 250.0
    values, _, departed = parts(described.support)
    assert (values[:, 2] == 0.0).all()
    assert (departed == 0.0).all()


def test_departures_may_be_left_unmarked():
    X, query = some_rows(), some_rows(6, seed=1)
    X[:, 2] = 3.0
    values, _, departed = parts(support_of(X, mark_departures=False).transform(query))
    assert (departed == 0.0).all()
    assert (values[:, 2] != 0.0).all()


def test_one_row_is_a_support_of_which_no_feature_varied():
    X, query = some_rows(1), some_rows(6, seed=1)
    values, visible, departed = parts(support_of(X).transform(query))
    assert (values == 0.0).all()
    assert (visible == 1.0).all()
    assert (departed != 0.0).all()
    assert np.isfinite(departed).all()


# --- back to the user's units ---------------------------------------------------------------------
@pytest.mark.parametrize("scaler", ["task", "robust", "none"])
def test_described_values_come_back_in_the_users_units(scaler):
    X, query = some_rows(missing=0.2), some_rows(9, seed=1)
    query[5] += 40.0 * np.nanstd(X, axis=0)
    described = support_of(X, scaler)
    values, _, _ = parts(described.transform(query))
    mean, spread = described.in_own_units(values, np.full_like(values, 0.5))
    np.testing.assert_allclose(mean, query, rtol=1e-9, atol=1e-9)
    assert (spread > 0).all()


def test_spreads_come_back_in_the_users_units_and_grow_with_the_compression():
    X = some_rows()
    described = support_of(X)
    near, far = np.full((1, D), 3.0), np.full((1, D), 7.0)
    _, spread = described.in_own_units(near, np.full((1, D), 0.5))
    np.testing.assert_allclose(spread, 0.5 * X.std(axis=0, keepdims=True))
    _, spread = described.in_own_units(far, np.full((1, D), 0.5))
    np.testing.assert_allclose(spread, 0.5 * np.exp(2.0) * X.std(axis=0, keepdims=True))


def test_a_feature_that_never_varied_is_expected_to_stay():
    X = some_rows()
    X[:, 2] = 1 / 3
    mean, spread = support_of(X).in_own_units(np.full((3, D), 0.7), np.ones((3, D)))
    np.testing.assert_allclose(mean[:, 2], 1 / 3)
    np.testing.assert_allclose(spread[:, 2], 0.0, atol=1e-12)
    assert (spread[:, [0, 1, 3]] > 0).all()


# --- fewer features -------------------------------------------------------------------------------
def test_a_reduction_sees_scaled_rows_and_its_codes_are_scaled_again():
    X, query = some_rows(40), some_rows(6, seed=1)
    centre, scale = stable_mean(X), feature_spread(X)
    reduction = Reduction.fit("pca", [(X - centre) / scale], 2, 0)
    described = support_of(X, reduction=reduction)
    assert described.n_features == 3
    codes, of_query = (reduction.transform((r - centre) / scale) for r in (X, query))
    values, visible, _ = parts(described.transform(query))
    expected = compressed((of_query - codes.mean(axis=0)) / codes.std(axis=0))
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-9)
    assert (visible == 1.0).all()
    terms = np.random.default_rng(0).normal(size=(6, 3))
    spread = described.spread_terms(query, terms)
    np.testing.assert_allclose(spread, reduction.spread_terms((query - centre) / scale, terms))


def test_a_reduction_takes_rows_with_missing_entries():
    X, query = some_rows(40, missing=0.2), some_rows(6, missing=0.5, seed=1)
    reduction = Reduction.fit("pca", [(some_rows(40) - stable_mean(X)) / feature_spread(X)], 2, 0)
    described = support_of(X, reduction=reduction).transform(query)
    assert described.shape == (6, 9)
    assert np.isfinite(described).all()
    assert (parts(described)[1] == 1.0).all()


def test_without_a_reduction_terms_stay_where_they_are():
    terms = np.random.default_rng(0).normal(size=(6, D))
    assert support_of(some_rows()).spread_terms(some_rows(6), terms) is terms
