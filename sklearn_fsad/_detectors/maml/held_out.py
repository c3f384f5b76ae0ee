"""Score held-out episodes by a network that adapts, and by its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..._input.labels import ANOMALOUS, NORMAL
from ..._stats.ranking import column_aucs
from ..._training.batches import collate_episodes
from ..._training.held_out import REGIMES, HeldOutEpisode
from ..._typing import Array
from .episodes import PreparedEpisode
from .inner_loop import GradientAdaptation

OPTIONS = ("closed form", "network", "not adapted", "swapped support", "permuted labels")
_SCORED_AT_ONCE = 32


def score_held_out(
    module: GradientAdaptation, prepared: Sequence[PreparedEpisode], fold: int
) -> list[HeldOutEpisode]:
    """Score the episodes of a fold by all ``OPTIONS``, the network trained without the fold."""
    scored = []
    for regime in range(len(REGIMES)):
        part = [
            e
            for e in prepared
            if int((e.episode.support_y == 1).any()) == regime
            and 0 < (e.episode.query_y == 1).sum() < len(e.episode.query_y)
        ]
        # in order of their sizes, so that little is padded
        order = np.argsort([len(e.episode.support_y) for e in part], kind="stable")
        scores_of: dict[int, Array] = {}
        for some in np.split(order, range(_SCORED_AT_ONCE, len(part), _SCORED_AT_ONCE)):
            scores = _all_scores(module, [part[i] for i in some], regime) if len(some) else ()
            scores_of.update(zip(some.tolist(), scores, strict=True))
        for i, p in enumerate(part):
            e = p.episode
            columns = np.column_stack([p.closed, scores_of[i][: len(e.query_y)]])
            aucs = column_aucs(columns, e.query_y == 1)
            scored.append(HeldOutEpisode(fold, p.group, regime, aucs))
    return scored


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
