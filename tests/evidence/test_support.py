"""Shrunken covariances and whitenings agree with the explicit matrices that they avoid."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf

from sklearn_fsad._evidence.coordinates import Coordinates
from sklearn_fsad._evidence.pooled import Pooled
from sklearn_fsad._evidence.support import Support
from sklearn_fsad._stats.covariance import ShrunkCovariance
from sklearn_fsad._stats.moments import feature_spread, repeated_share, stable_mean


def centred_rows(n, d, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    return rows - rows.mean(axis=0)


def explicit(centred, intensity):
    """The shrunken covariance as a matrix."""
    empirical = centred.T @ centred / len(centred)
    d = len(empirical)
    return (1 - intensity) * empirical + intensity * np.trace(empirical) / d * np.eye(d)


def inverse_root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors / np.sqrt(values) @ vectors.T


SHAPES = pytest.mark.parametrize(("n", "d"), [(4, 20), (8, 9), (9, 9), (60, 5), (10, 1), (2, 3)])


@SHAPES
def test_intensity_and_distances_are_those_of_ledoit_and_wolf(n, d):
    centred, other = centred_rows(n, d), np.random.default_rng(1).normal(size=(7, d)) * 4
    reference = LedoitWolf(assume_centered=True).fit(centred)
    covariance = ShrunkCovariance(centred)
    if d > 1:  # one variance is its own mean: any share of it is the same covariance
        assert covariance.intensity == pytest.approx(max(reference.shrinkage_, 1e-6), abs=1e-10)
    if d == 1 or reference.shrinkage_ > 1e-6:
        np.testing.assert_allclose(
            covariance.distance(other), reference.mahalanobis(other), rtol=1e-8
        )


@SHAPES
@pytest.mark.parametrize("intensity", [None, 0.05, 0.7, 1.0])
def test_solve_whiten_and_distance_agree_with_the_explicit_inverse(n, d, intensity):
    centred, other = centred_rows(n, d), np.random.default_rng(1).normal(size=(7, d)) * 4
    covariance = ShrunkCovariance(centred, intensity)
    if intensity is not None:
        assert covariance.intensity == intensity
    matrix = explicit(centred, covariance.intensity)
    inverse = np.linalg.inv(matrix)
    np.testing.assert_allclose(covariance.level, np.trace(matrix) / d)
    np.testing.assert_allclose(covariance.solve(other.T), inverse @ other.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(
        covariance.whiten(other), other @ inverse_root(matrix), rtol=1e-6, atol=1e-8
    )
    expected = np.einsum("ij,jk,ik->i", other, inverse, other)
    np.testing.assert_allclose(covariance.distance(other), expected, rtol=1e-6)


@pytest.mark.parametrize("level", [1e-200, 2.5])
def test_identical_rows_have_the_least_variance(level):
    covariance = ShrunkCovariance(np.zeros((6, 3)), None, level)
    assert covariance.level == level
    distance = covariance.distance(np.array([[0.0, 0.0, 0.0], [0.0, 1e-3, 0.0]]))
    assert distance[0] == 0.0
    assert np.isfinite(distance[1])
    assert distance[1] > 0.0


def some_tasks(n_tasks=4, d=6, n_anomalies=9):
    rng = np.random.default_rng(3)
    spread = np.array([5.0, 3.0, 1.0, 1.0, 1.0, 0.5])[:d]
    tasks = []
    for t in range(n_tasks):
        normals = 10.0**t * (rng.normal(size=(30, d)) * spread + rng.normal(size=d))
        anomalies = normals.mean(axis=0) + 10.0**t * rng.normal(size=(n_anomalies, d)) * spread
        anomalies[:, 2] += 10.0**t * 6.0
        tasks.append((normals, anomalies))
    return tasks


def pooled_covariance(tasks, intensity=0.1):
    """Mean of the tasks' scatter, each at mean variance one, shrunk to a multiple of identity."""
    d = tasks[0][0].shape[1]
    scatter = np.zeros((d, d))
    for normals, _ in tasks:
        covariance = np.cov(normals.T, bias=True)
        scatter += covariance / (np.trace(covariance) / d) / len(tasks)
    return (1 - intensity) * scatter + intensity * np.trace(scatter) / d * np.eye(d)


def test_full_whitening_is_the_inverse_root_of_the_pooled_covariance():
    tasks = some_tasks()
    other = np.random.default_rng(1).normal(size=(7, 6))
    white = Pooled.from_tasks(tasks).raw
    expected = other @ inverse_root(pooled_covariance(tasks))
    # up to one factor: whitened rows of all tasks have mean variance near one
    factor = white(other)[0, 0] / expected[0, 0]
    assert factor > 0
    np.testing.assert_allclose(white(other), factor * expected, rtol=1e-8)
    np.testing.assert_allclose(
        np.linalg.norm(white.embed(other), axis=1), np.linalg.norm(white(other), axis=1)
    )


def test_each_task_weighs_the_same_whatever_its_scale():
    tasks = some_tasks()
    one_scale = [(N / 10.0**t, A / 10.0**t) for t, (N, A) in enumerate(tasks)]
    other = np.random.default_rng(1).normal(size=(7, 6))
    np.testing.assert_allclose(
        Pooled.from_tasks(tasks).raw(other), Pooled.from_tasks(one_scale).raw(other), rtol=1e-8
    )


def test_partial_whitening_treats_the_other_directions_alike():
    tasks = some_tasks()
    full, part = (Pooled.from_tasks(tasks, rank=rank).raw for rank in (None, 2))
    assert part.basis.shape == (6, 2)
    leading, rest = full.basis[:, :2].T, full.basis[:, 2:].T
    np.testing.assert_allclose(part(leading), full(leading), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(part(rest), rest * part.rest, rtol=1e-8, atol=1e-12)
    shrunk = full.gain[2:] ** -2
    np.testing.assert_allclose(part.rest, 1 / np.sqrt(shrunk.mean()))
    np.testing.assert_allclose(part.embed(leading), np.diag(part.gain), atol=1e-12)
    assert Pooled.from_tasks(tasks, rank=50).raw.basis.shape == (6, 6)


@pytest.mark.parametrize("rank", [None, 2])
def test_turned_rows_keep_distances_and_projections_on_directions(rank):
    white = Pooled.from_tasks(some_tasks(), rank=rank).raw
    rows = np.random.default_rng(1).normal(size=(7, 6))
    np.testing.assert_allclose(
        cdist(white.turned(rows), white.turned(rows)), cdist(white(rows), white(rows))
    )
    assert white.directions.any()
    np.testing.assert_allclose(
        white.turned(rows) @ white.turned_directions, white(rows) @ white.directions, atol=1e-12
    )


def test_directions_are_where_the_anomalies_scatter_more_than_the_normals():
    white = Pooled.from_tasks(some_tasks()).raw
    strongest = white.directions[:, 0] / np.linalg.norm(white.directions[:, 0])
    moved = white(np.eye(6)[2:3])[0]
    assert abs(strongest @ moved) / np.linalg.norm(moved) > 0.95
    strengths = np.linalg.norm(white.directions, axis=0)
    assert (np.diff(strengths) <= 1e-12).all()
    assert white.directions.shape == (6, 4)
    without = Pooled.from_tasks(some_tasks(n_anomalies=0)).raw
    assert without.directions.shape == (6, 0)


def test_pooled_statistics_survive_as_arrays():
    pooled = Pooled.from_tasks(some_tasks(), rank=3)
    arrays = pooled.to_arrays()
    again = Pooled.from_arrays(arrays)
    rows = np.random.default_rng(0).normal(size=(4, 6))
    for space in ("raw", "scaled"):
        one, other = getattr(pooled, space), getattr(again, space)
        np.testing.assert_array_equal(one(rows), other(rows))
        np.testing.assert_array_equal(one.directions, other.directions)
    assert Pooled.from_arrays({"theta": np.zeros(3)}) is None


def test_spread_is_the_standard_deviation_of_features_that_vary():
    rows = np.random.default_rng(0).normal(size=(20, 3)) * [1.0, 2.0, 1e-5] + 5.0
    np.testing.assert_allclose(feature_spread(rows), rows.std(axis=0))


def test_features_that_never_or_hardly_varied_get_a_thousandth_of_the_others_spread():
    rows = np.random.default_rng(0).normal(size=(20, 4)) * [1.0, 2.0, 0.0, 1e-9] + 5.0
    expected = 1e-3 * rows[:, :2].std(axis=0).mean()
    np.testing.assert_allclose(feature_spread(rows)[2:], expected)
    np.testing.assert_array_equal(feature_spread(np.full((5, 2), 3.0)), [1.0, 1.0])


@pytest.mark.parametrize("value", [-0.1, 1e8 + 0.1, 1 / 3])
@pytest.mark.parametrize("n", [1, 7, 30, 1001])
def test_mean_of_equal_rows_is_exact(value, n):
    assert (stable_mean(np.full((n, 2), value)) == value).all()


def test_share_of_repeated_values_counts_the_unique_ones_of_each_column():
    rows = np.random.default_rng(0).integers(9, size=(20, 5)) * 1.0
    rows[:, 1], rows[3:9, 2] = 4.0, np.nan
    unique = np.mean([len(np.unique(column)) for column in rows.T])
    assert repeated_share(rows) == pytest.approx(1 - unique / 20)
    assert repeated_share(rows[:1]) == 0.0


def test_mean_keeps_its_digits_beside_a_large_offset():
    rows = np.random.default_rng(0).normal(size=(501, 2)) * 1e-3 + 1e8
    np.testing.assert_allclose(stable_mean(rows) - 1e8, (rows - 1e8).mean(axis=0), atol=3e-8)


def test_discriminants_solve_with_the_covariance_within_the_classes():
    normals, anomalies = centred_rows(20, 4), centred_rows(5, 4, seed=1) + 3.0
    space = Coordinates(
        normals, anomalies, centre=np.zeros(normals.shape[1]), intensity=None, least_variance=1e-200
    )
    mean = anomalies.mean(axis=0)
    within = np.concatenate([normals, anomalies - mean])
    matrix = explicit(within, ShrunkCovariance(within).intensity)
    np.testing.assert_allclose(space.discriminant, np.linalg.solve(matrix, mean), rtol=1e-8)
    own = explicit(normals, space.covariance.intensity)
    unit = space.normal_discriminant
    assert unit @ own @ unit == pytest.approx(1.0)
    np.testing.assert_allclose(
        unit / unit[0], np.linalg.solve(own, mean) / np.linalg.solve(own, mean)[0]
    )


def test_part_of_one_row_borrows_the_spread_of_the_whole():
    rows = np.random.default_rng(0).normal(size=(3, 4))
    whole = Support(rows, rows[:0])
    part = Support(rows[:1], rows[:0], reference=whole)
    np.testing.assert_array_equal(part.spread, whole.spread)
    assert part.raw.covariance.level == pytest.approx(whole.raw.covariance.level)
    two = Support(rows[:2], rows[:0], reference=whole)
    assert not np.allclose(two.spread, whole.spread)


def test_rows_are_seen_relative_to_the_mean_of_the_normals():
    rng = np.random.default_rng(0)
    normals, other = rng.normal(size=(20, 3)) * [1, 5, 9] + 7.0, rng.normal(size=(4, 3))
    support = Support(normals, normals[:0])
    seen = support.rows(other)
    np.testing.assert_allclose(seen.raw, other - normals.mean(axis=0))
    np.testing.assert_allclose(seen.scaled, (other - normals.mean(axis=0)) / normals.std(axis=0))
    with pytest.raises(ValueError, match="needs meta_fit"):
        _ = seen.pooled_raw


def test_far_rows_are_clipped_to_what_squares_without_overflow():
    normals = np.random.default_rng(0).normal(size=(20, 3))
    seen = Support(normals, normals[:0]).rows(np.array([[1e300, -1e300, 0.0]]))
    assert np.isfinite(np.square(seen.scaled)).all()
    assert seen.raw[0, 0] > 1e11
    assert seen.raw[0, 1] < -1e11
