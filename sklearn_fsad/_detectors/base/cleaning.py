"""Which rows of a support to learn from, where some of their labels may be wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..._input.labels import ANOMALOUS
from ..._stats.moments import TINY
from ..._typing import Array, Codes, Mask

_MOST_ROUNDS = 3
_CORE_SHARE, _LEAST_SHARE = 0.5, 0.6  # of the normals
_FAR = 2.5  # robust spreads
_WEAKEST = 0.25  # of the labelled anomalies, the least strange
_MOST_ANOMALY_ROUNDS, _LEAST_ANOMALIES = 2, 2
_LOOKS_NORMAL = 0.75  # less strange than a quarter of the normals
_MAD_OF_NORMAL = 0.6745


def believed_normals(scores_from: Callable[[Mask], Array], y: Codes) -> Mask:
    """The normals that the others do not find strange: (n_support,).

    They are sought from the half that is found least so, without a look at the labels: next to
    labelled anomalies some of what is strange looks normal. But a row that is less strange than
    the weakest quarter of the labelled anomalies, when these are learned from, is believed too.

    Parameters
    ----------
    scores_from : callable
        Adapts to some rows: ``kept -> scores`` of each row of the support from the others among
        those kept, larger = more anomalous.
    y : ndarray of shape (n_support,), dtype int8
        1 marks the anomalies.
    """
    kept = y != ANOMALOUS
    found = core(scores_from(kept), y)
    for _ in range(_MOST_ROUNDS):
        if np.array_equal(found, kept):
            break
        kept, found = found, believed(scores_from(found), y, found)
    anomalous = y == ANOMALOUS
    if anomalous.any():
        scores = scores_from(np.ones(len(y), dtype=bool))
        found |= ~anomalous & (scores < np.quantile(scores[anomalous], _WEAKEST))
    return found


def without_doubtful_anomalies(scores_from: Callable[[Mask], Array], y: Codes, kept: Mask) -> Mask:
    """The rows kept but the labelled anomalies that look normal: (n_support,).

    These are no stranger than three quarters of the normals kept when the other rows are learned
    from. Two at least stay.

    Parameters
    ----------
    scores_from : callable
        As in :func:`believed_normals`.
    y : ndarray of shape (n_support,), dtype int8
        1 marks the anomalies.
    kept : ndarray of shape (n_support,), dtype bool
        All anomalies, and the normals to believe.
    """
    normal = kept & (y != ANOMALOUS)
    for _ in range(_MOST_ANOMALY_ROUNDS):
        scores = scores_from(kept)
        strange = (y == ANOMALOUS) & (scores > np.quantile(scores[normal], _LOOKS_NORMAL))
        found = normal | strange
        if strange.sum() < _LEAST_ANOMALIES or np.array_equal(found, kept):
            break
        kept = found
    return kept


def core(scores: Array, y: Codes) -> Mask:
    """The less strange half of the normals: (n_support,)."""
    return (y != ANOMALOUS) & (scores <= _share_of(scores[y != ANOMALOUS], _CORE_SHARE))


def believed(scores: Array, y: Codes, kept: Mask) -> Mask:
    """The normals to believe, by the scores that those kept so far give: (n_support,).

    A row is doubted where its score is more than 2.5 robust spreads above the median of those kept;
    four in ten at most are.

    Parameters
    ----------
    scores : ndarray of shape (n_support,)
        Larger = more anomalous.
    y : ndarray of shape (n_support,), dtype int8
    kept : ndarray of shape (n_support,), dtype bool
        Normals; none is labelled as an anomaly.
    """
    centre = np.median(scores[kept])
    spread = np.median(np.abs(scores[kept] - centre)) / _MAD_OF_NORMAL + TINY
    normal = y != ANOMALOUS
    cut = max(float(centre + _FAR * spread), _share_of(scores[normal], _LEAST_SHARE))
    return normal & (scores <= cut)


def _share_of(scores: Array, share: float) -> float:
    return float(np.quantile(scores, share, method="higher"))
