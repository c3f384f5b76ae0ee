"""From left-out support scores to the score above which a row is an anomaly.

A threshold is any callable ``(normal_scores, anomaly_scores) -> cut`` over left-out scores of the
support, larger = more anomalous; rows that score above ``cut`` are flagged.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["AutoThreshold", "ConformalThreshold"]

Array = NDArray[np.float64]
Threshold = Callable[[Array, Array], float]


@dataclass(frozen=True)
class ConformalThreshold:
    """Flag at most a share ``alpha`` of normal rows, with the finite-sample rank.

    The cut is the ``ceil((n + 1)(1 - alpha))``-th smallest left-out score [1]_. With ``n`` scores
    no rate below ``1 / (n + 1)`` can be promised: asked for less, it takes the largest score and
    warns.

    Parameters
    ----------
    alpha : float, default=0.05
        Promised rate of false alarms.

    References
    ----------
    .. [1] R. Laxhammar and G. Falkman, "Inductive conformal anomaly detection for sequential
       detection of anomalous sub-trajectories", AMAI 74, 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad.thresholds import ConformalThreshold
    >>> float(ConformalThreshold(alpha=0.1)(np.arange(19.0), np.array([])))
    17.0
    """

    alpha: float = 0.05

    def __call__(self, normal_scores: Array, anomaly_scores: Array) -> float:
        """Return the cut."""
        n = len(normal_scores)
        if self.alpha * (n + 1) < 1.0:
            warnings.warn(
                f"A false-alarm rate of alpha={self.alpha:g} cannot be promised from {n} normal "
                f"rows: the least is 1/(n+1) = {1 / (n + 1):.3g}, which is used. Give more normal "
                "rows or a larger alpha.",
                UserWarning,
                stacklevel=2,
            )
        return conformal_cut(normal_scores, self.alpha)


@dataclass(frozen=True)
class AutoThreshold:
    """The default: best F1 with labelled anomalies, else few false alarms.

    With at least two labelled anomalies, the cut with the best F1 on left-out scores. Otherwise
    the conformal cut at ``alpha``, or at the rate ``1 / (n + 1)`` that ``n`` rows can resolve.

    Parameters
    ----------
    alpha : float, default=0.05
        Rate of false alarms aimed at without labelled anomalies.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad.thresholds import AutoThreshold
    >>> AutoThreshold()(np.array([0.0, 1.0, 2.0]), np.array([4.0, 5.0]))
    3.0
    """

    alpha: float = 0.05

    def __call__(self, normal_scores: Array, anomaly_scores: Array) -> float:
        """Return the cut."""
        if len(anomaly_scores) >= 2:
            return best_f1_cut(normal_scores, anomaly_scores)
        return conformal_cut(normal_scores, self.alpha)


def conformal_cut(normal_scores: Array, alpha: float) -> float:
    """The conformal rank of the scores, or the largest where that rank is beyond them."""
    n = len(normal_scores)
    # the small term keeps (n + 1)(1 - alpha) = 18.000000000000004 from becoming rank 19
    rank = int(np.ceil((n + 1) * (1.0 - alpha) - 1e-9))
    return float(np.sort(normal_scores)[min(rank, n) - 1])


def best_f1_cut(normal_scores: Array, anomaly_scores: Array) -> float:
    """The cut, half way between two scores, with the best F1; of equal ones the highest."""
    scores = np.unique(np.concatenate([normal_scores, anomaly_scores]))
    cuts = (scores[1:] + scores[:-1]) / 2.0
    if len(cuts) == 0:
        return float(scores[0])
    hits = (anomaly_scores > cuts[:, None]).sum(axis=1)
    alarms = (normal_scores > cuts[:, None]).sum(axis=1)
    f1 = 2.0 * hits / (hits + alarms + len(anomaly_scores))
    return float(cuts[len(cuts) - 1 - int(np.argmax(f1[::-1]))])


def resolve_threshold(threshold: str | Threshold, alpha: float) -> Threshold:
    """The strategy behind a detector's ``threshold=`` parameter."""
    if callable(threshold):
        return threshold
    return AutoThreshold(alpha) if threshold == "auto" else ConformalThreshold(alpha)
