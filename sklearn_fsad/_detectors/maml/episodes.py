"""Prepare episodes as input of a network that adapts by gradient steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..._evidence.episodes import Observation
from ..._evidence.mix import EvidenceMix
from ..._typing import Array
from ...tasks._episodes import Episode
from .representation import FeatureMap, anchored, with_injected


@dataclass(frozen=True)
class PreparedEpisode:
    """Hold a represented episode and the scores of its baseline.

    Attributes
    ----------
    group : int
        Number of the group of siblings that its task belongs to.
    episode : Episode
        The episode, its rows represented.
    closed : ndarray of shape (n_query,)
        Scores of the queries by the closed form, learned without the fold of the task.
    """

    group: int
    episode: Episode
    closed: Array


def prepare_episode(
    observation: Observation, mix: EvidenceMix, feature_map: FeatureMap, residual: bool
) -> PreparedEpisode:
    """Represent the rows of an episode, with a mix of evidence as the closed form."""
    raw, calibration = observation.raw, observation.support
    support, query, injected = map(
        calibration.standardise, (calibration.left_out, observation.query, observation.injected)
    )
    weights = mix.weights(support, raw.support_y)
    features = feature_map.features(raw.support_X, raw.support_y)
    parts = [
        (features.support, support),
        (features.transform(observation.injected_X), injected),
        (features.transform(raw.query_X), query),
    ]
    described = [anchored(*part, weights) if residual else part[0] for part in parts]
    episode = replace(
        raw,
        support_X=np.concatenate(described[:2]),
        support_y=with_injected(raw.support_y, len(injected)),
        query_X=described[2],
    )
    return PreparedEpisode(observation.group, episode, query @ weights)


def permuted_features(episode: Episode, n_features: int, rng: np.random.Generator) -> Episode:
    """Permute the features of an episode, and flip random signs.

    A network then cannot memorise which feature moves in anomalies, and to which side.
    """
    order = rng.permutation(n_features)
    sign = rng.choice([-1.0, 1.0], size=n_features)

    def permuted(Z: Array) -> Array:
        return np.concatenate([Z[:, order] * sign, Z[:, n_features:]], axis=1)

    return Episode(
        episode.task,
        permuted(episode.support_X),
        episode.support_y,
        permuted(episode.query_X),
        episode.query_y,
    )
