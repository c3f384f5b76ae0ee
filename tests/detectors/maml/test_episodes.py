"""Episodes as the network sees them, and their features permuted."""

import numpy as np
import pytest
from families import make_family
from made_episodes import N_FEATURES, prepared_episodes

from sklearn_fsad._detectors.maml.episodes import permuted_features, prepare_episode
from sklearn_fsad._detectors.maml.injection import inject_anomalies
from sklearn_fsad._detectors.maml.representation import (
    EvidenceRepresentation,
    FeatureMap,
    FeatureRepresentation,
)
from sklearn_fsad._evidence.calibration import CalibratedEvidence
from sklearn_fsad._evidence.episodes import FoldedEvidence, observe
from sklearn_fsad._evidence.kinds import EVIDENCE
from sklearn_fsad._evidence.mix import CLOSED_FORM, EvidenceMix, default_weights
from sklearn_fsad._stats.scaling import ScaledSupport
from sklearn_fsad.tasks import EpisodeSampler, TaskSet


# --- prepared episodes ----------------------------------------------------------------------------
@pytest.mark.parametrize("residual", [True, False])
def test_training_shows_the_network_a_support_as_fit_will(residual):
    tasks = TaskSet(make_family())
    kinds = tuple(e for e in EVIDENCE.values() if not e.needs_pooled)
    sampler = EpisodeSampler(tasks, n_normal=(4, 16), n_anomalous=(0, 5), n_query=30)
    observations = observe(
        FoldedEvidence(tasks, kinds, "none", None),
        sampler,
        6,
        tasks.folds(4, 0),
        inject=lambda e, i: inject_anomalies(e.support_X, np.random.default_rng(i), 7),
    )
    mix = EvidenceMix(
        default_weights(kinds, False), (4, 16), (0, 5), None, (CLOSED_FORM, CLOSED_FORM)
    )
    feature_map = FeatureMap.from_tasks(tasks, "shrunk", False)
    assert len({len(o.raw.support_y) for o in observations}) > 1
    for o in observations:
        X, y = o.raw.support_X, o.raw.support_y
        features = feature_map.features(X, y)
        evidence = CalibratedEvidence(ScaledSupport(X, y, "none"), y, kinds)
        if residual:
            at_fit = EvidenceRepresentation(features, evidence, mix, o.injected_X)
        else:
            at_fit = FeatureRepresentation(features, o.injected_X)
        made = prepare_episode(o, mix, feature_map, residual)
        close = {"rtol": 1e-9, "atol": 1e-9}
        np.testing.assert_allclose(made.episode.support_X, at_fit.support, **close)
        np.testing.assert_array_equal(made.episode.support_y, at_fit.support_y)
        np.testing.assert_allclose(made.episode.query_X, at_fit.transform(o.raw.query_X), **close)
        np.testing.assert_array_equal(made.episode.query_y, o.raw.query_y)
        assert (made.group, made.episode.task) == (o.group, o.raw.task)
        closed = evidence.transform(o.raw.query_X) @ mix.weights(evidence.support, y)
        np.testing.assert_allclose(made.closed, closed, **close)
        assert (made.episode.support_y == 2).sum() == 7


# --- augmentation ---------------------------------------------------------------------------------
def permuted(seed=0, n_features=N_FEATURES):
    episode = prepared_episodes()[1].episode
    return episode, permuted_features(episode, n_features, np.random.default_rng(seed))


def placed(Z, seen):
    """Where each of the features came from, and its sign."""
    same = np.isclose(np.abs(seen)[:, :, None], np.abs(Z)[:, None]).all(axis=0)
    assert (same.sum(axis=1) == 1).all()
    order = same.argmax(axis=1)
    sign = (seen / Z[:, order])[0]
    np.testing.assert_allclose(seen, Z[:, order] * sign)
    return order.tolist(), sign.round(6).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_support_and_query_are_permuted_alike(seed):
    before, after = permuted(seed)
    order, sign = placed(before.support_X[:, :4], after.support_X[:, :4])
    assert sorted(order) == [0, 1, 2, 3]
    assert set(sign) <= {-1.0, 1.0}
    assert placed(before.query_X[:, :4], after.query_X[:, :4]) == (order, sign)


def test_evidence_closed_form_labels_and_task_stay():
    before, after = permuted()
    for name in ("support_X", "query_X"):
        Z, seen = getattr(before, name), getattr(after, name)
        assert (seen[:, :N_FEATURES] != Z[:, :N_FEATURES]).any()
        np.testing.assert_array_equal(seen[:, N_FEATURES:], Z[:, N_FEATURES:])
    np.testing.assert_array_equal(after.support_y, before.support_y)
    np.testing.assert_array_equal(after.query_y, before.query_y)
    assert after.task == before.task


@pytest.mark.parametrize("n_features", [4, 6])
def test_values_of_a_row_stay_up_to_order_and_sign(n_features):
    before, after = permuted(1, n_features)
    for Z, seen in ((before.support_X, after.support_X), (before.query_X, after.query_X)):
        np.testing.assert_array_equal(np.sort(np.abs(seen)), np.sort(np.abs(Z)))
        assert (seen[:, :n_features] != Z[:, :n_features]).any()


def test_every_feature_comes_to_every_place_with_either_sign():
    seen = set()
    for seed in range(100):
        before, after = permuted(seed)
        order, sign = placed(before.query_X[:, :4], after.query_X[:, :4])
        seen |= {(place, *moved) for place, moved in enumerate(zip(order, sign, strict=True))}
    assert seen == {(i, j, s) for i in range(4) for j in range(4) for s in (-1.0, 1.0)}


def test_the_generator_decides_on_the_permutation_and_the_episode_stays_as_it_is():
    (before, first), (_, again), (_, other) = permuted(0), permuted(0), permuted(1)
    np.testing.assert_array_equal(first.query_X, again.query_X)
    assert (first.query_X != other.query_X).any()
    np.testing.assert_array_equal(before.query_X, prepared_episodes()[1].episode.query_X)
