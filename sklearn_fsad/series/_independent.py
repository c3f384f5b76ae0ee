"""Count independent windows: neighbours overlap, and their scores are not independent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .._typing import Array, Mask
from ._training import TrainingWindows

_MOST_BLOCKS = 5
Parts = Sequence[TrainingWindows]


@dataclass(frozen=True)
class IndependentScores:
    """Hold left-out scores that count as independent ones.

    Attributes
    ----------
    normals : ndarray of shape (n,)
        Anomaly scores of as many normal windows as are independent.
    anomalies : ndarray of shape (k,)
        Anomaly scores of the windows of labelled anomalies.
    n_stretches : int
        Stretches of labelled anomalies.
    n_steps : int
        Normal windows that there are.
    """

    normals: Array
    anomalies: Array
    n_stretches: int
    n_steps: int

    @classmethod
    def of(cls, scores: Array, groups: Array, steps: Array, overlap: float) -> IndependentScores:
        """Make them of left-out scores of windows: (m,), (m,), (m,).

        ``overlap`` is the number of windows that share a step with one of them and follow it.
        """
        normal = groups == 0
        breaks = np.flatnonzero(np.diff(steps[normal]) > np.median(np.diff(steps[normal]))) + 1
        time = correlation_time(scores[normal], [0, *breaks.tolist()])
        n = int(normal.sum())
        own = thinned(scores[normal], max(int(n / max(time, overlap)), 1))
        return cls(own, scores[~normal], len(np.unique(groups[~normal])), n)

    def steps_for(self, n: int) -> int:
        """Return how many normal windows are worth n independent ones."""
        return int(np.ceil(n * self.n_steps / len(self.normals)))


def blocks_of(groups: Array, steps: Array, window: int) -> list[Mask]:
    """Divide windows into blocks of neighbours to leave out in turn.

    Parameters
    ----------
    groups : ndarray of shape (m,)
        Which stretch each window is of: blocks of stretch 0, the normals, are made of equal parts;
        every other one is a block of its own.
    steps : ndarray of shape (m,)
        Step that each window describes.
    window : int
        Steps of a window.

    Returns
    -------
    blocks : list of ndarray of shape (m,), dtype bool
    """
    normal = np.flatnonzero(groups == 0)
    span = len(np.unique(steps[normal] // window))  # windows that do not overlap
    n = int(np.clip(span // 2, 2, _MOST_BLOCKS)) if len(normal) > 3 else len(normal)
    parts = [part for part in np.array_split(normal, n) if len(part)]
    parts += [np.flatnonzero(groups == g) for g in np.unique(groups[groups > 0])]
    return [np.isin(np.arange(len(groups)), part) for part in parts]


def others_of(block: Mask, steps: Array, groups: Array, window: int) -> Mask:
    """Mark the windows that share no step with those of a block, all others where few do: (m,)."""
    inside = np.sort(steps[block])
    at = np.searchsorted(inside, steps)
    before = np.abs(steps - inside[np.maximum(at - 1, 0)])
    after = np.abs(steps - inside[np.minimum(at, len(inside) - 1)])
    apart = np.minimum(before, after) >= window
    normal = groups == 0
    enough = (apart & normal).sum() >= max(2, (normal & ~block).sum() // 4)
    return apart & ~block if enough else ~block


def left_out_scores(
    scores_by_parts: Callable[[Parts, Parts], Sequence[Array]],
    windows: TrainingWindows,
    window: int,
) -> Array:
    """Score the windows of each block by a detector that saw none of its steps: (m,).

    Parameters
    ----------
    scores_by_parts : callable
        Fits a detector to each of several parts of the windows, and returns its anomaly scores of
        the block that goes with the part.
    windows : TrainingWindows
    window : int
        Steps of a window.
    """
    scores = np.empty(len(windows.rows))
    blocks = blocks_of(windows.groups, windows.steps, window)
    kept = [others_of(block, windows.steps, windows.groups, window) for block in blocks]
    found = scores_by_parts([windows.part(k) for k in kept], [windows.part(b) for b in blocks])
    for block, own in zip(blocks, found, strict=True):
        scores[block] = own
    return scores


def correlation_time(scores: Array, starts: Sequence[int]) -> float:
    """Estimate how many neighbouring scores count as one: the integrated autocorrelation time.

    Of the ranks of the scores; autocorrelations are added up to the first that is not positive,
    two by two [1]_.

    References
    ----------
    .. [1] C. J. Geyer, "Practical Markov chain Monte Carlo", Statistical Science 7, 1992.
    """
    n = len(scores)
    if n < 4:
        return 1.0
    ranks = np.argsort(np.argsort(scores, kind="stable"), kind="stable").astype(np.float64)
    ranks = (ranks - ranks.mean()) / ranks.std()
    total = 1.0
    for lag in range(1, n // 2, 2):
        pair = _autocorrelation(ranks, lag, starts) + _autocorrelation(ranks, lag + 1, starts)
        if pair <= 0.0:
            break
        total += 2.0 * pair
    return float(np.clip(total, 1.0, n))


def thinned(scores: Array, n: int) -> Array:
    """Return n scores with the quantiles of many: what n independent ones would tell.

    The k-th smallest has a share of k / n of the scores below or equal.
    """
    ordered = np.sort(scores)
    if n >= len(ordered):
        return ordered
    at = np.ceil(np.arange(1, n + 1) / n * len(ordered)).astype(np.intp) - 1
    return np.asarray(ordered[at])


def _autocorrelation(ranks: Array, lag: int, starts: Sequence[int]) -> float:
    products = ranks[lag:] * ranks[:-lag]
    for start in starts[1:]:  # pairs across the start of a series are none
        products[max(start - lag, 0) : start] = 0.0
    return float(products.sum() / len(ranks))
