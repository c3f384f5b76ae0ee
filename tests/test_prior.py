"""Synthetic tables are reproducible, finite, as wide as asked for, and can be learned from."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.prior import _KINDS, TabularPrior, _Table
from sklearn_fsad.tasks import TaskSet


@pytest.fixture(scope="module")
def tables():
    return TabularPrior(random_state=0).sample(60)


def small(**parameters):
    return TabularPrior(**{"n_features": (2, 6), "n_normal": 20, "n_anomalous": 6, **parameters})


def assert_same(some, others):
    assert some.names == others.names
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one.X, other.X)
        np.testing.assert_array_equal(one.y, other.y)


def test_tasks_have_the_documented_rows_and_labels_and_are_finite(tables):
    assert isinstance(tables, TaskSet)
    assert tables.names == list(range(60))
    for task in tables:
        assert 2 <= task.X.shape[1] <= 50
        assert task.normals.shape == (800, task.X.shape[1])
        assert task.anomalies.shape == (120, task.X.shape[1])
        assert set(task.y) == {0, 1}
        assert (np.diff(task.y) != 0).sum() > 100  # the classes are mixed
        assert np.isfinite(task.X).all()


@pytest.mark.parametrize(("low", "high"), [(1, 1), (3, 3), (4, 9), (2, 50)])
def test_widths_are_drawn_log_uniformly_within_their_bounds(low, high):
    tasks = small(n_features=(low, high), n_normal=2, n_anomalous=2, random_state=3).sample(200)
    widths = np.array([task.X.shape[1] for task in tasks])
    assert widths.min() == low
    for most in (low, (low + high) // 4, (low + high) // 2, high):
        share = max(0.0, np.log((most + 1) / low) / np.log((high + 1) / low))
        assert (widths <= most).mean() == pytest.approx(share, abs=0.08)


def test_same_seed_same_tasks():
    assert_same(small(random_state=5).sample(4), small(random_state=5).sample(4))
    states = [np.random.RandomState(5) for _ in range(2)]
    assert_same(*(small(random_state=state).sample(4) for state in states))
    for other in (6, None, states[0]):
        one, another = small(random_state=5).sample(1)[0], small(random_state=other).sample(1)[0]
        assert not np.array_equal(one.X, another.X)


@pytest.mark.parametrize(("n_tasks", "start"), [(1, 0), (3, 0), (1, 4), (4, 2)])
def test_a_task_depends_on_its_number_alone(n_tasks, start):
    prior = small(random_state=7)
    expected = prior.sample(6).subset(range(start, start + n_tasks))
    assert_same(prior.sample(n_tasks, start), expected)


@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__.strip("_"))
@pytest.mark.parametrize("d", [1, 2, 20])
def test_every_kind_gives_finite_rows(kind, d):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        table = _Table(rng, d)
        table.keep_tail_aside(rng)
        for n in (1, 2, 30):
            rows = kind(table, rng, n)
            assert rows.shape == (n, d)
            assert np.isfinite(rows).all()


@pytest.mark.parametrize(
    ("parameters", "n_tasks", "match"),
    [
        ({"n_features": (0, 3)}, 1, r"n_features=\(0, 3\)"),
        ({"n_features": (5, 2)}, 1, r"n_features=\(5, 2\)"),
        ({"n_normal": 0}, 1, "n_normal.* at least 1"),
        ({"n_anomalous": 0}, 1, "n_anomalous.* at least 1"),
        ({}, 0, "n_tasks.* at least 1"),
    ],
)
def test_wrong_values_are_named(parameters, n_tasks, match):
    with pytest.raises(ValueError, match=match):
        small(**parameters).sample(n_tasks)


def test_tables_can_be_learned_but_are_not_trivial(tables):
    aucs = []
    for task in tables.subset(range(40)):
        spread = task.normals[:300].std(axis=0)
        spread[spread == 0] = 1.0
        new = np.concatenate([task.normals[300:], task.anomalies])
        distance = cdist(new / spread, task.normals[:300] / spread).min(axis=1)
        aucs.append(roc_auc_score(np.arange(len(new)) >= 500, distance))
    assert 0.7 < np.mean(aucs) < 0.97
    assert np.std(aucs) > 0.05


def test_a_detector_learns_from_them():
    tasks = small(n_normal=100, n_anomalous=40, random_state=0).sample(6)
    detector = ProtoNetDetector(evidence="support", max_epochs=2, random_state=0).meta_fit(tasks)
    new = small(n_normal=100, n_anomalous=40, random_state=1).sample(1)[0]
    assert np.isfinite(detector.fit(new.normals[:50]).decision_function(new.X)).all()
