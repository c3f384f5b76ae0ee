"""Select the training rows to learn from, where some of their labels may be wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..._input.labels import ANOMALOUS
from ..._stats.moments import TINY
from ..._typing import Array, Codes, Mask

_MOST_ROUNDS = 3
_CORE_SHARE, _LEAST_SHARE = 0.5, 0.6  # of the normals
_FAR = 2.5  # robust spreads
_WEAKEST = 0.25  # quantile of the scores of labelled anomalies
_MOST_ANOMALY_ROUNDS, _LEAST_ANOMALIES = 2, 2
_LOOKS_NORMAL = 0.75  # quantile of the scores of normals
_MAD_OF_NORMAL = 0.6745  # median absolute deviation of a standard normal


def believed_normals(scores_from: Callable[[Mask], Array], y: Codes) -> Mask:
    """Select the normals without a high anomaly score given the others: (n_support,).

    The search starts from the half of the normals with the lowest scores and ignores labelled
    anomalies, since next to these some anomalies among the normals look normal. Normals that score
    below the lowest quarter of the labelled anomalies, when these are learned from, are kept too.

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
    """Leave out labelled anomalies that look normal from the rows kept: (n_support,).

    An anomaly looks normal where its leave-one-out score is not above the three-quarter quantile
    of the normals kept. At least two anomalies stay.

    Parameters
    ----------
    scores_from : callable
        As in :func:`believed_normals`.
    y : ndarray of shape (n_support,), dtype int8
        1 marks the anomalies.
    kept : ndarray of shape (n_support,), dtype bool
        All anomalies, and the normals to keep.
    """
    normal = kept & (y != ANOMALOUS)
    for _ in range(_MOST_ANOMALY_ROUNDS):
        scores = scores_from(kept)
        confirmed = (y == ANOMALOUS) & (scores > np.quantile(scores[normal], _LOOKS_NORMAL))
        found = normal | confirmed
        if confirmed.sum() < _LEAST_ANOMALIES or np.array_equal(found, kept):
            break
        kept = found
    return kept


def core(scores: Array, y: Codes) -> Mask:
    """Select the half of the normals with the lower anomaly scores: (n_support,)."""
    return (y != ANOMALOUS) & (scores <= _share_of(scores[y != ANOMALOUS], _CORE_SHARE))


def believed(scores: Array, y: Codes, kept: Mask) -> Mask:
    """Select the normals to keep by scores from those kept so far: (n_support,).

    A row is left out if its score is more than 2.5 robust spreads above the median of those kept;
    at most 40 % of the normals are left out.

    Parameters
    ----------
    scores : ndarray of shape (n_support,)
        Larger = more anomalous.
    y : ndarray of shape (n_support,), dtype int8
    kept : ndarray of shape (n_support,), dtype bool
        Normals; none is labelled as an anomaly.
    """
    # median and MAD: anomalies among the rows kept hardly move them
    centre = np.median(scores[kept])
    spread = np.median(np.abs(scores[kept] - centre)) / _MAD_OF_NORMAL + TINY
    normal = y != ANOMALOUS
    cut = max(float(centre + _FAR * spread), _share_of(scores[normal], _LEAST_SHARE))
    return normal & (scores <= cut)


def _share_of(scores: Array, share: float) -> float:
    return float(np.quantile(scores, share, method="higher"))
