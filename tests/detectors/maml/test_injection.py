"""Anomalies made out of normal rows, and the tasks that a lone support is turned into."""

import numpy as np
import pytest

from sklearn_fsad._detectors.maml.injection import inject_anomalies, tasks_from_rows
from sklearn_fsad._stats.moments import feature_spread
from sklearn_fsad.tasks import EpisodeSampler

SPREAD = np.array([1.0, 100.0, 0.01, 5.0])


def normals(n=20, seed=0):
    """Rows whose features lie far from zero and spread by very different amounts."""
    rng = np.random.default_rng(seed)
    return np.array([50.0, -3.0, 7.0, 0.0]) + SPREAD * rng.normal(size=(n, 4))


def injected(X, seed=0, **given):
    return inject_anomalies(X, np.random.default_rng(seed), **given)


def coded(n, k):
    return np.array([0] * n + [1] * k, dtype=np.int8)


# --- rows -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("n_normal", [2, 3, 20])
@pytest.mark.parametrize("n", [0, 1, 32, 100])
def test_as_many_rows_as_asked_for(n, n_normal):
    assert injected(normals(n_normal), n=n).shape == (n, 4)


def test_a_classifier_sees_as_many_rows_as_usual_unless_told():
    assert injected(normals()).shape == (32, 4)


def test_noise_is_in_units_of_each_feature():
    X = normals()
    far = np.abs(injected(X, n=2000) - X.mean(axis=0)) / feature_spread(X)
    assert far.max() < 40
    median = np.median(far, axis=0)
    assert (median > 1).all()
    assert median.max() < 1.5 * median.min()


def test_amplitude_bounds_the_noise():
    X = np.zeros((5, 3))  # a constant has a spread of one
    small, large = (injected(X, n=3000, amplitude=(a, a)) for a in (1.0, 10.0))
    np.testing.assert_allclose(large, 10 * small)
    assert small[small != 0].std() == pytest.approx(1.0, abs=0.05)
    mixed = injected(X, n=3000, amplitude=(1.0, 3.0))
    assert mixed[mixed != 0].std() == pytest.approx(np.sqrt(13 / 3), abs=0.1)


def test_every_row_leaves_every_normal_and_keeps_features_of_one():
    X, rows = normals(), injected(normals(), n=500)
    same = rows[:, None] == X[None]  # (500, 20, 4)
    assert not same.all(axis=2).any()
    assert 0.25 < same.any(axis=1).mean() < 0.5  # a random half, and one feature at the least
    touched = (~same).sum(axis=2).min(axis=1)
    assert set(touched) == {1, 2, 3, 4}
    origin = (~same).sum(axis=2).argmin(axis=1)[touched < 4]
    assert set(origin) == set(range(20))


@pytest.mark.parametrize("constant", [[0], [0, 1, 2], [0, 1, 2, 3]])
def test_a_constant_feature_moves_too_and_stays_finite(constant):
    X = normals()
    X[:, constant] = 7.0
    rows = injected(X, n=200)
    assert np.isfinite(rows).all()
    moved = (rows != 7.0)[:, constant]
    assert moved.any(axis=0).all()
    assert not moved.all(axis=0).any()


def test_a_single_feature_is_always_touched():
    X = normals()[:, :1]
    assert not np.isin(injected(X, n=200), X).any()


def test_the_generator_decides_and_the_normals_stay_as_they_are():
    X = normals()
    kept = X.copy()
    np.testing.assert_array_equal(injected(X, seed=1), injected(X, seed=1))
    assert (injected(X, seed=1) != injected(X, seed=2)).any()
    np.testing.assert_array_equal(X, kept)


# --- tasks ----------------------------------------------------------------------------------------
def tasks_of(n, k, seed=0, **given):
    return tasks_from_rows(normals(n + k), coded(n, k), seed, **given)


@pytest.mark.parametrize(("n", "k"), [(2, 0), (3, 1), (20, 0), (20, 6), (2, 40)])
def test_tasks_of_a_support_have_labels_and_can_be_drawn(n, k):
    tasks = tasks_of(n, k)
    assert tasks.n_tasks == 8
    assert tasks.n_features == 4
    for task in tasks:
        assert task.y.tolist() == [0] * 60 + [1] * 32
        assert np.isfinite(task.X).all()
        assert len(np.unique(task.X, axis=0)) == 92
    sampler = EpisodeSampler(tasks, n_normal=(2, 40), n_anomalous=(0, 16), n_query=40)
    assert sampler.drawable == list(range(8))
    query_y = sampler.episode(0, 0).query_y
    assert (np.bincount(query_y) >= 16).all()


def test_the_number_of_tasks_is_the_callers():
    assert tasks_of(10, 2, n_tasks=3).n_tasks == 3


def test_tasks_of_a_support_are_a_function_of_the_seed():
    first, again, other = (tasks_of(10, 3, seed) for seed in (5, 5, 6))
    for task, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(task.X, same.X)
        assert (task.X != different.X).any(axis=1).all()
    assert (first[0].X != first[1].X).any(axis=1).all()


def test_normals_of_a_task_are_jittered_draws_of_the_support():
    X = normals(20)
    spread = feature_spread(X)
    for task in tasks_from_rows(X, coded(20, 0), 0):
        off = np.abs(task.normals[:, None] - X[None]) / spread
        assert off.max(axis=2).min(axis=1).max() < 0.3 * 5
        assert (off > 0).all()
    many = np.concatenate([t.normals for t in tasks_from_rows(X, coded(20, 0), 0, n_tasks=30)])
    np.testing.assert_allclose(many.mean(axis=0), X.mean(axis=0), atol=0.1 * spread.max(), rtol=0.1)
    np.testing.assert_allclose(many.std(axis=0) / spread, np.sqrt(1.09), rtol=0.1)


def test_half_the_anomalies_of_a_task_are_like_the_labelled_ones():
    X = normals(24)
    X[20:] += 1e3 * SPREAD
    spread = feature_spread(X[:20])
    for task in tasks_from_rows(X, coded(20, 4), 0):
        like = (np.abs(task.anomalies[:, None] - X[None, 20:]) < 2 * spread).all(axis=2)
        assert like.any(axis=1).tolist() == [True] * 16 + [False] * 16
        assert like.any(axis=0).sum() >= 2
        assert (np.abs(task.anomalies[16:] - X[:20].mean(axis=0)) < 40 * spread).all()


def test_unlabelled_rows_count_as_normal():
    X, y = normals(20), coded(15, 5)
    unlabelled = np.where(y == 0, -1, y).astype(np.int8)
    pairs = zip(tasks_from_rows(X, y, 0), tasks_from_rows(X, unlabelled, 0), strict=True)
    for task, same in pairs:
        np.testing.assert_array_equal(task.X, same.X)
