"""Compute ROC AUCs of columns of scores, and whether one score is better than another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score
from sklearn.utils.validation import check_consistent_length

from .._typing import Array

LEAST_GROUPS = 3
_FEW_PAIRS = 2**14  # of scores, that are compared one by one


def standard_error(values: Array) -> Array:
    """Standard error of the mean of values: (n, ...) -> (...); infinite for a single one."""
    n = len(values)
    if n < 2:
        return np.full(values.shape[1:], np.inf)
    return values.std(axis=0, ddof=1) / np.sqrt(n)


def clear_gain(gains: Array, least: int = LEAST_GROUPS) -> Array:
    """Mean gain minus one standard error: (n, ...) -> (...); -inf for fewer than ``least`` gains.

    Parameters
    ----------
    gains : ndarray of shape (n, ...)
        By how much a candidate is better than a baseline, on each group of tasks.
    least : int, default=3
        Fewest gains that tell anything.
    """
    if len(gains) < least:
        return np.full(gains.shape[1:], -np.inf)
    return gains.mean(axis=0) - standard_error(gains)


def clearly_better(gains: Array, least: int = LEAST_GROUPS) -> bool:
    """Return whether a gain is larger than one standard error: (n,), as of `clear_gain`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad._stats.ranking import clearly_better
    >>> clearly_better(np.array([0.1, 0.2, 0.1])), clearly_better(np.array([0.3, -0.2, 0.0]))
    (True, False)
    """
    return bool(clear_gain(gains, least) > 0)


def conformal_p_values(scores: Array, normals: Array) -> Array:
    """Compute conformal p-values by the left-out scores of n normal rows: (m,), (n,) -> (m,)."""
    less = np.searchsorted(np.sort(normals), scores)
    return np.asarray((1.0 + len(normals) - less) / (len(normals) + 1.0), dtype=np.float64)


def auc_of_known(
    anomalous: NDArray[np.bool_], scores: Array, known: NDArray[np.bool_], sample_weight: Any = None
) -> float:
    """Compute the ROC AUC of the rows whose labels are known: four times (n,)."""
    weight = known_weights(sample_weight, known)
    return float(roc_auc_score(anomalous[known], scores[known], sample_weight=weight))


def known_weights(sample_weight: Any, known: NDArray[np.bool_]) -> NDArray[Any] | None:
    """Return the weights of the rows whose labels are known: (n,), (n,) -> (n_known,); or None."""
    if sample_weight is None:
        return None
    check_consistent_length(known, sample_weight)
    return np.asarray(sample_weight)[known]


def column_aucs(scores: Array, anomalous: NDArray[np.bool_]) -> Array:
    """Compute the ROC AUC of each column: (m, c), (m,) -> (c,); NaN for a column with a NaN."""
    # the Mann-Whitney U statistic of the anomalies, over the number of pairs
    n1, n0 = int(anomalous.sum()), int((~anomalous).sum())
    if 0 < n1 * n0 * scores.shape[1] <= _FEW_PAIRS and not np.isnan(scores).any():
        A, N = scores[anomalous][:, None], scores[~anomalous]
        above, below = ((A > N).sum(axis=(0, 1)), (A < N).sum(axis=(0, 1)))  # (c,) each
        return (above + (n1 * n0 - above - below) / 2) / (n1 * n0)
    ranks = rankdata(scores, axis=0)[anomalous].sum(axis=0)
    return (ranks - n1 * (n1 + 1) / 2) / (n1 * n0)


def auc_gain(
    mine: Array, other: Array, normal: NDArray[np.bool_], anomalous: NDArray[np.bool_]
) -> tuple[float, float]:
    """Compute the difference in ROC AUC of two scores of the same rows, and its error [1]_.

    Parameters
    ----------
    mine, other : ndarray of shape (m,)
    normal, anomalous : ndarray of shape (m,), dtype bool

    Returns
    -------
    gain, error : float
        ROC AUC of ``mine`` minus that of ``other``, and the standard error of it, which is infinite
        with a single normal or anomaly.

    References
    ----------
    .. [1] E. DeLong, D. DeLong and D. Clarke-Pearson, "Comparing the areas under two or more
       correlated receiver operating characteristic curves", Biometrics 44, 1988.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad._stats.ranking import auc_gain
    >>> y = np.array([False, False, True, True])
    >>> auc_gain(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 2.0, 1.0, 3.0]), ~y, y)
    (0.25, 0.3535533905932738)
    """
    of_anomalies, of_normals = (
        a - b
        for a, b in zip(
            _placements(mine[normal], mine[anomalous]),
            _placements(other[normal], other[anomalous]),
            strict=True,
        )
    )
    gain = float(of_anomalies.mean())
    if min(len(of_anomalies), len(of_normals)) < 2:
        return gain, float("inf")
    parts = (part.var(ddof=1) / len(part) for part in (of_anomalies, of_normals))
    return gain, float(np.sqrt(sum(parts)))


def _placements(normals: Array, anomalies: Array) -> tuple[Array, Array]:
    """Compute shares of normals below each anomaly, anomalies above each normal; ties are half."""
    N, A = np.sort(normals), np.sort(anomalies)
    below = np.searchsorted(N, anomalies, "left") + np.searchsorted(N, anomalies, "right")
    above = np.searchsorted(A, normals, "left") + np.searchsorted(A, normals, "right")
    return below / (2.0 * len(N)), 1.0 - above / (2.0 * len(A))
