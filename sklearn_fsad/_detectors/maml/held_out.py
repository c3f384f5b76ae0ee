"""Score held-out episodes by networks that adapt, and by their baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..._input.labels import ANOMALOUS, NORMAL
from ..._stats.ranking import column_aucs
from ..._training.batches import collate_episodes
from ..._training.held_out import REGIMES, SIZES, HeldOutEpisode
from ..._typing import Array, Mask
from .episodes import PreparedEpisode
from .inner_loop import GradientAdaptation

OPTIONS = ("closed form", "network", "not adapted", "swapped support", "permuted labels")
_SCORED_AT_ONCE = 32


def score_held_out(
    networks: Sequence[GradientAdaptation],
    unseen: Sequence[Mask],
    prepared: Sequence[PreparedEpisode],
) -> list[HeldOutEpisode]:
    """Score episodes by all ``OPTIONS``: by the mean of the networks trained without their task.

    Parameters
    ----------
    networks : sequence of GradientAdaptation
    unseen : sequence of ndarray of shape (n_episodes,), dtype bool
        Episodes that each network was not trained on; each episode is among those of some network.
    prepared : sequence of PreparedEpisode
    """
    scores: dict[int, list[Array]] = {}
    for network, out in zip(networks, unseen, strict=True):
        for regime in range(len(REGIMES)):
            part = [i for i in np.flatnonzero(out).tolist() if _tells(prepared[i], regime)]
            # in order of their sizes, so that little is padded
            part.sort(key=lambda i: len(prepared[i].episode.support_y))
            for first in range(0, len(part), _SCORED_AT_ONCE):
                some = part[first : first + _SCORED_AT_ONCE]
                found = _all_scores(network, [prepared[i] for i in some], regime)
                for i, padded in zip(some, found, strict=True):
                    m = len(prepared[i].episode.query_y)
                    scores.setdefault(i, []).append(padded[:m])
    return [_compared(prepared[i], np.mean(scores[i], axis=0)) for i in sorted(scores)]


def _tells(prepared: PreparedEpisode, regime: int) -> bool:
    """Return whether an episode is of a regime, and its queries are of both classes."""
    e = prepared.episode
    both = 0 < (e.query_y == 1).sum() < len(e.query_y)
    return int((e.support_y == 1).any()) == regime and both


def _compared(prepared: PreparedEpisode, scores: Array) -> HeldOutEpisode:
    """Compare the closed form with other scores of its queries: (m, 4)."""
    e, closed = prepared.episode, prepared.closed[:, None]
    anomalous = e.query_y == 1
    aucs = column_aucs(np.column_stack([closed, scores]), anomalous)
    by_size = column_aucs(closed + SIZES * (scores[:, :1] - closed), anomalous)
    regime = int((e.support_y == 1).any())
    return HeldOutEpisode(prepared.group, regime, aucs, by_size)


def _all_scores(
    module: GradientAdaptation, prepared: Sequence[PreparedEpisode], regime: int
) -> Array:
    """Score queries adapted, not adapted, by another support, by other labels: (b, m, 4)."""
    episodes = [e.episode for e in prepared]
    parts, _ = collate_episodes(episodes, torch.float64)
    X, y, query = parts["support_X"], parts["support_y"], parts["query_X"]
    tasks = np.array([e.task for e in episodes])
    other = _positions_of_others(tasks)
    shuffled = np.array([permuted_labels(labels) for labels in y.numpy()])
    with torch.no_grad():
        weights = module.weights_in(module.adapt(X, y))
        columns = [module.learner.score(weights, query), module.unadapted(query)]
        unknown = torch.full_like(columns[0], torch.nan)
        swapped = [weight[other] for weight in weights]
        columns.append(
            module.learner.score(swapped, query) if (tasks[other] != tasks).all() else unknown
        )
        columns.append(module(X, torch.from_numpy(shuffled), query) if regime else unknown)
    return torch.stack(columns, -1).numpy()


def _positions_of_others(tasks: NDArray[np.intp]) -> NDArray[np.intp]:
    """Find for each episode the next one of another task, or itself if there is none."""
    n = len(tasks)
    following = [np.roll(np.arange(n), -i) for i in range(n)]
    return np.array([next((j for j in row if tasks[j] != tasks[i]), i)
                     for i, row in enumerate(following)])  # fmt: skip


def permuted_labels(y: NDArray[Any]) -> NDArray[Any]:
    """Shuffle the known labels of a support."""
    known = np.flatnonzero((y == NORMAL) | (y == ANOMALOUS))
    shuffled = y.copy()
    shuffled[known] = np.random.default_rng(0).permutation(y[known])
    return shuffled
