"""Transforms of tasks change rows as they say and keep labels."""

import numpy as np
import pytest

from sklearn_fsad import ProtoNetDetector, TaskSet
from sklearn_fsad.augmentation import (
    FeatureDropout,
    FeaturePermutation,
    Jitter,
    Mixup,
    Rotation,
    augment_tasks,
)

ALL = (Jitter(), Mixup(), FeaturePermutation(), FeatureDropout(), Rotation())


@pytest.fixture
def rows():
    """Rows in units of their own, the last ones anomalous, and one column constant."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5)) * [1, 10, 0.1, 100, 0] + [5, 0, -3, 1000, 7]
    X[50:] += [4, 0, 0, 500, 0]
    return X, np.arange(60) < 50


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_jitter_is_noise_in_spreads_of_the_columns(rows, rng):
    X, normal = rows
    moved = (Jitter(0.5)(X, normal, rng) - X) / X[normal].std(axis=0).clip(1e-9)
    np.testing.assert_allclose(moved[:, :4].std(axis=0), 0.5, rtol=0.3)
    assert (moved[:, 4] == 0).all()


def test_mixup_stays_between_rows_of_one_label(rows, rng):
    X, normal = rows
    mixed = Mixup(1.0)(X, normal, rng)
    for part in (normal, ~normal):
        assert (mixed[part] >= X[part].min(axis=0) - 1e-9).all()
        assert (mixed[part] <= X[part].max(axis=0) + 1e-9).all()
    assert not np.allclose(mixed, X)
    moved = np.abs(mixed[normal] - X[normal]).max(axis=0)
    assert (moved <= 0.5 * np.ptp(X[normal], axis=0) + 1e-9).all()  # half of the other at most


def test_permutation_keeps_columns_but_for_their_order_and_side(rows, rng):
    X, normal = rows
    moved = FeaturePermutation()(X, normal, rng)
    mean = X[normal].mean(axis=0)
    folded = np.sort(np.abs(X - mean).sum(axis=0))
    here = np.sort(np.abs(moved - moved[normal].mean(axis=0)).sum(axis=0))
    np.testing.assert_allclose(here, folded, atol=1e-9)
    same_side = FeaturePermutation(signs=False)(X, normal, rng)
    np.testing.assert_array_equal(np.sort(same_side, axis=1), np.sort(X, axis=1))


def test_dropout_holds_columns_at_the_mean_and_leaves_one(rows, rng):
    X, normal = rows
    held = FeatureDropout(0.99)(X, normal, rng)
    constant = np.ptp(held, axis=0) == 0
    assert 3 <= constant.sum() <= 4 + (X[:, 4] == 7).all()
    np.testing.assert_allclose(held[0, constant], X[normal].mean(axis=0)[constant])
    shares = [
        (np.ptp(FeatureDropout(0.2)(X, normal, np.random.default_rng(i)), axis=0) == 0)[:4].mean()
        for i in range(200)
    ]
    assert np.mean(shares) == pytest.approx(0.2 * 0.8, abs=0.04)


def test_rotation_keeps_distances_in_spreads(rows, rng):
    X, normal = rows
    X = X[:, :4]
    spread = X[normal].std(axis=0)
    turned = Rotation()(X, normal, rng)
    before, after = (np.linalg.norm((Z[:10, None] - Z[None, :10]) / spread, axis=-1)
                     for Z in (X, turned))  # fmt: skip
    np.testing.assert_allclose(before, after, rtol=1e-6)
    assert not np.allclose(turned, X)


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_tasks_keep_labels_names_and_siblings(transform, rows):
    X, normal = rows
    tasks = TaskSet({"a": (X, ~normal), "b": (X[::-1], ~normal[::-1])}, groups=["pump", "fan"])
    more = augment_tasks(tasks, transform, n_copies=2, random_state=0)
    assert more.names == ["a", "b", "a (1)", "b (1)", "a (2)", "b (2)"]
    assert more.groups == ["pump", "fan"] * 3
    np.testing.assert_array_equal(more[2].y, tasks[0].y)
    np.testing.assert_array_equal(more[0].X, tasks[0].X)
    assert not np.array_equal(more[2].X, tasks[0].X)
    assert not np.array_equal(more[2].X, more[4].X)
    again = augment_tasks(tasks, transform, n_copies=1, random_state=0)
    np.testing.assert_array_equal(again[2].X, more[2].X)
    np.testing.assert_array_equal(tasks[0].X, X)


def test_transforms_compose_and_may_be_of_ones_own(rows):
    X, normal = rows
    tasks = {"a": (X, ~normal)}
    added = augment_tasks(tasks, lambda X, normal, rng: X + 1, lambda X, normal, rng: 2 * X)
    np.testing.assert_array_equal(added[1].X, 2 * (X + 1))
    with pytest.raises(ValueError, match="shape"):
        augment_tasks(tasks, lambda X, normal, rng: X[:3])
    with pytest.raises(ValueError, match="at least one transform"):
        augment_tasks(tasks)


def test_a_detector_learns_from_augmented_tasks(rows):
    X, normal = rows
    tasks = augment_tasks([(X, ~normal)] * 3, *ALL, n_copies=2, random_state=0)
    detector = ProtoNetDetector(max_epochs=2, episodes_per_epoch=12, random_state=0)
    assert detector.meta_fit(tasks).pretrained.info["n_tasks"] == 9


def test_a_transform_that_works_in_place_leaves_the_tasks_as_they_are():
    def double(X, normal, rng):
        X *= 2.0
        return X

    y = np.repeat([0, 1], [15, 5])
    tasks = TaskSet([(np.random.default_rng(0).normal(size=(20, 3)), y)])
    before = tasks[0].X.copy()
    made = augment_tasks(tasks, double)
    np.testing.assert_array_equal(tasks[0].X, before)
    np.testing.assert_array_equal(made[1].X, 2.0 * before)
