"""From left-out support scores to the score above which a row is an anomaly.

A threshold is any callable ``(normal_scores, anomaly_scores) -> cut`` over left-out scores of the
support, larger = more anomalous; rows that score above ``cut`` are flagged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._typing import Array
from ._warn import warn

__all__ = ["AutoThreshold", "ConformalThreshold", "F1Threshold", "PyThreshThreshold"]
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
            warn(
                f"A false-alarm rate of alpha={self.alpha:g} cannot be promised from {n} normal "
                f"rows: the least is 1/(n+1) = {1 / (n + 1):.3g}, which is used. Give more normal "
                "rows or a larger alpha.",
            )
        return conformal_cut(normal_scores, self.alpha)


@dataclass(frozen=True)
class AutoThreshold:
    """The default: best F1 with labelled anomalies, else few false alarms.

    With at least two labelled anomalies, the cut with the best F1 on left-out scores. Otherwise
    the one that a share ``alpha`` of fresh normal rows exceeds on average, or ``1 / (n + 1)`` where
    ``n`` rows can resolve no less: the conformal rank, but between two scores where it is no whole
    number.

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
        return mean_rate_cut(normal_scores, self.alpha)


@dataclass(frozen=True)
class F1Threshold:
    """The cut with the best F1 on left-out scores of normals and labelled anomalies.

    It needs two labelled anomalies: without any F1 would flag everything, and a single one is left
    out of a support that then has none, which scores on another scale. With fewer it takes the
    conformal cut and warns.

    Parameters
    ----------
    alpha : float, default=0.05
        Rate of false alarms aimed at with fewer than two labelled anomalies.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad.thresholds import F1Threshold
    >>> F1Threshold()(np.array([0.0, 1.0, 2.0]), np.array([4.0, 5.0]))
    3.0
    """

    alpha: float = 0.05

    def __call__(self, normal_scores: Array, anomaly_scores: Array) -> float:
        """Return the cut."""
        if len(anomaly_scores) >= 2:
            return best_f1_cut(normal_scores, anomaly_scores)
        warn(
            f"F1 needs two labelled anomalies and the support has {len(anomaly_scores)}: the "
            f"threshold aims at a rate of false alarms of alpha={self.alpha:g} instead.",
        )
        return conformal_cut(normal_scores, self.alpha)


@dataclass(frozen=True)
class PyThreshThreshold:
    """A thresholder of PyThresh, which sees all left-out scores of the support and no label.

    Where it flags all of them or none, the largest score of a normal row is the cut.

    Parameters
    ----------
    thresholder : object
        Has ``eval(scores)``, which returns 1 for each score that is an anomaly's and else 0.
    """

    thresholder: Any

    def __call__(self, normal_scores: Array, anomaly_scores: Array) -> float:
        """Return the cut."""
        scores = np.concatenate([normal_scores, anomaly_scores])
        flagged = np.asarray(self.thresholder.eval(scores)).ravel() == 1
        if flagged.all() or not flagged.any():
            warn(
                f"{type(self.thresholder).__name__} flagged {'all' if flagged.all() else 'none'} "
                f"of {len(scores)} left-out scores: the largest of a normal row is the threshold.",
            )
            return float(normal_scores.max())
        return float(scores[~flagged].max())


def conformal_cut(normal_scores: Array, alpha: float) -> float:
    """The conformal rank of the scores, or the largest where that rank is beyond them."""
    n = len(normal_scores)
    # the small term keeps (n + 1)(1 - alpha) = 18.000000000000004 from becoming rank 19
    rank = int(np.ceil((n + 1) * (1.0 - alpha) - 1e-9))
    return float(np.sort(normal_scores)[min(rank, n) - 1])


def mean_rate_cut(normal_scores: Array, alpha: float) -> float:
    """The score of rank (n + 1)(1 - alpha), between two scores where that is no whole number."""
    n = len(normal_scores)
    rank = (n + 1) * (1.0 - alpha)
    return float(np.interp(rank, np.arange(1, n + 1), np.sort(normal_scores)))


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


def best_cut(normal_scores: Array, anomaly_scores: Array, metric: Callable[..., float]) -> float:
    """The cut, half way between two scores or at the largest, with the best ``metric``.

    Of equally good ones the highest. ``metric(truth, flagged)`` is of 0 and 1, larger = better.
    """
    scores = np.concatenate([normal_scores, anomaly_scores])
    truth = np.repeat([0, 1], [len(normal_scores), len(anomaly_scores)])
    distinct = np.unique(scores)[::-1]
    cuts = [distinct[0], *((distinct[1:] + distinct[:-1]) / 2.0)]
    values = [metric(truth, (scores > cut).astype(int)) for cut in cuts]
    return float(cuts[int(np.argmax(values))])


def resolve_threshold(threshold: Any, alpha: float) -> Threshold:
    """The strategy behind a detector's ``threshold=`` parameter."""
    if threshold == "f1":
        return F1Threshold(alpha)
    if isinstance(threshold, str):
        return AutoThreshold(alpha) if threshold == "auto" else ConformalThreshold(alpha)
    strategy: Threshold = threshold
    return PyThreshThreshold(threshold) if hasattr(threshold, "eval") else strategy
