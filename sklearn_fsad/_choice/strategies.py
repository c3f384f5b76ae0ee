"""Rank rows by what their labels would be worth, by anomaly scores: larger = more anomalous."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from .._typing import Array, Mask, Positions
from .coordinates import distance_to

CANDIDATES = 10  # rows of the highest scores that are compared with each other


def top(scores: Array, n: int) -> Positions:
    """Return the n rows of the highest scores, highest first: (m,) -> (n,)."""
    return np.argsort(-scores, kind="stable")[:n]


def margin(scores: Array, cut: float, n: int) -> Positions:
    """Return the n rows whose scores are nearest to the threshold, nearest first: (m,) -> (n,)."""
    return np.argsort(np.abs(scores - cut), kind="stable")[:n]


def diverse(scores: Array, known_kind: Mask, far: Array, Z: Array, n: int) -> Positions:
    """Return rows of high scores that are unlike those seen before, one after the other.

    Each is, of the ten rows of the highest scores that are not yet chosen, the one farthest from
    those seen and chosen. Rows of a known kind come in only when there are no others.

    Parameters
    ----------
    scores : ndarray of shape (m,)
    known_kind : ndarray of shape (m,), dtype bool
        Rows that are like a labelled anomaly.
    far : ndarray of shape (m,)
        Distance of each row to those that the expert has seen; infinite where there are none, and
        the row of the highest score then comes first.
    Z : ndarray of shape (m, q)
        Coordinates of the rows.
    n : int
        Rows to choose, at most m.
    """
    left = _candidates(scores, known_kind, n + CANDIDATES - 1)
    n_new, far = int((~known_kind).sum()), far[left]
    chosen = np.empty(n, dtype=np.intp)
    for i in range(n):
        size = min(CANDIDATES, n_new - i) if n_new > i else CANDIDATES
        best = int(far[:size].argmax())
        chosen[i] = left[best]
        left, far = np.delete(left, best), np.delete(far, best)
        far = np.minimum(far, distance_to(Z[left], Z[chosen[i], None]))
    return chosen


def expected_change(
    scores: Array,
    known_kind: Mask,
    p: Array,
    n: int,
    rescored: Callable[[int, int], Array],
    before: Array,
) -> Positions:
    """Return rows whose labels are expected to change the ranking of others most.

    Of the rows of the highest scores, ten more than asked for; rows of a known kind come after all
    others.

    Parameters
    ----------
    scores, p : ndarray of shape (m,)
        Anomaly scores of the rows, and probabilities that they are anomalies.
    known_kind : ndarray of shape (m,), dtype bool
        Rows that are like a labelled anomaly.
    n : int
        Rows to choose, at most m.
    rescored : callable
        ``(row, label) -> scores`` of other rows, had this row that label, 1 = anomaly.
    before : ndarray of shape (n_others,)
        Their scores as they are.
    """
    candidates, ranks = _candidates(scores, known_kind, n + CANDIDATES), rankdata(before)
    change = np.empty(len(candidates))
    for i, row in enumerate(candidates):
        moved = [np.abs(rankdata(rescored(row, label)) - ranks).mean() for label in (0, 1)]
        change[i] = (1.0 - p[row]) * moved[0] + p[row] * moved[1]
    return candidates[np.lexsort([-change, known_kind[candidates]])[:n]]


def _candidates(scores: Array, known_kind: Mask, n: int) -> Positions:
    """Return the n rows of the highest scores, those of a known kind last: (m,) -> (<= n,)."""
    return np.lexsort([-scores, known_kind])[:n]
