"""Choose the threshold from leave-one-out scores of the training rows (the support).

A threshold is any callable ``(normal_scores, anomaly_scores) -> cut``, called with leave-one-out
scores of the training rows, larger = more anomalous. Rows that score above ``cut``, a finite
number, are flagged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._typing import Array
from ._values import as_number
from ._warn import warn

__all__ = ["AutoThreshold", "ConformalThreshold", "F1Threshold", "PyThreshThreshold"]
Threshold = Callable[[Array, Array], float]


@dataclass(frozen=True)
class ConformalThreshold:
    """Flag at most a share ``alpha`` of normal rows on average, by the conformal rank.

    The cut is the ``ceil((n + 1)(1 - alpha))``-th smallest leave-one-out score [1]_. With ``n``
    scores no rate below ``1 / (n + 1)`` can be guaranteed: for a lower ``alpha`` the cut is the
    largest score, with a warning.

    Parameters
    ----------
    alpha : float, default=0.05
        Guaranteed rate of false alarms.

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
        _warn_if_out_of_reach(self.alpha, len(normal_scores))
        return conformal_cut(normal_scores, self.alpha)


@dataclass(frozen=True)
class AutoThreshold:
    """Choose the cut by F1 if anomalies are labelled, else by the rate of false alarms.

    This is the default. With at least two labelled anomalies, the cut has the best F1 on
    leave-one-out scores. Otherwise a share ``alpha`` of new normal rows exceeds it on average, or
    ``1 / (n + 1)`` if that is larger, the lowest rate that ``n`` rows allow. It is the score of
    conformal rank, interpolated between two scores if the rank is not a whole number. A warning
    tells of an ``alpha`` other than the default that ``n`` rows do not allow.

    Parameters
    ----------
    alpha : float, default=0.05
        Rate of false alarms to aim at without labelled anomalies.

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
        if self.alpha != AutoThreshold.alpha:  # somebody asked for that rate
            _warn_if_out_of_reach(self.alpha, len(normal_scores))
        return mean_rate_cut(normal_scores, self.alpha)


@dataclass(frozen=True)
class F1Threshold:
    """Choose the cut with the best F1 on leave-one-out scores of normals and labelled anomalies.

    It needs two labelled anomalies: without any, F1 would flag everything; and if a single one is
    left out, none remains, and scores are on another scale. With fewer than two the cut is the
    conformal one, with a warning.

    Parameters
    ----------
    alpha : float, default=0.05
        Rate of false alarms to aim at with fewer than two labelled anomalies.

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
            f"F1 needs two labelled anomalies, and there are {len(anomaly_scores)}: the "
            f"threshold aims at a rate of false alarms of alpha={self.alpha:g} instead.",
        )
        return conformal_cut(normal_scores, self.alpha)


@dataclass(frozen=True)
class PyThreshThreshold:
    """Choose the cut by a thresholder of PyThresh on all leave-one-out scores, without labels.

    If it flags all of them or none, the cut is the largest score of a normal row.

    Parameters
    ----------
    thresholder : object
        An object with ``eval(scores)``, which returns 1 for the score of an anomaly and 0
        otherwise; other values are an error.
    """

    thresholder: Any

    def __call__(self, normal_scores: Array, anomaly_scores: Array) -> float:
        """Return the cut."""
        scores = np.concatenate([normal_scores, anomaly_scores])
        flagged = _flags(self.thresholder, scores)
        if flagged.all() or not flagged.any():
            warn(
                f"{type(self.thresholder).__name__} flagged {'all' if flagged.all() else 'none'} "
                f"of {len(scores)} leave-one-out scores: the largest of a normal row is "
                "the threshold.",
            )
            return float(normal_scores.max())
        return float(scores[~flagged].max())


def conformal_cut(normal_scores: Array, alpha: float) -> float:
    """Return the score of conformal rank, or the largest where that rank exceeds their number."""
    n, alpha = len(normal_scores), _checked(alpha)
    # the small term keeps (n + 1)(1 - alpha) = 18.000000000000004 from becoming rank 19
    rank = int(np.ceil((n + 1) * (1.0 - alpha) - 1e-9))
    return float(np.sort(normal_scores)[min(rank, n) - 1])


def mean_rate_cut(normal_scores: Array, alpha: float) -> float:
    """Interpolate the score of rank (n + 1)(1 - alpha)."""
    n, alpha = len(normal_scores), _checked(alpha)
    # a fresh score exceeds the r-th smallest of n with probability 1 - r / (n + 1)
    rank = (n + 1) * (1.0 - alpha)
    return float(np.interp(rank, np.arange(1, n + 1), np.sort(normal_scores)))


def best_f1_cut(normal_scores: Array, anomaly_scores: Array) -> float:
    """Return the cut with the best F1, half way between two scores; of equal ones the highest."""
    scores = np.unique(np.concatenate([normal_scores, anomaly_scores]))
    cuts = (scores[1:] + scores[:-1]) / 2.0
    if len(cuts) == 0:
        return float(scores[0])
    hits = (anomaly_scores > cuts[:, None]).sum(axis=1)
    alarms = (normal_scores > cuts[:, None]).sum(axis=1)
    f1 = 2.0 * hits / (hits + alarms + len(anomaly_scores))
    return float(cuts[len(cuts) - 1 - int(np.argmax(f1[::-1]))])


def best_cut(normal_scores: Array, anomaly_scores: Array, metric: Callable[..., float]) -> float:
    """Return the cut with the best ``metric``, half way between two scores or at the largest.

    Of equally good cuts the highest is taken, and none at which the metric is NaN.
    ``metric(truth, flagged)`` gets arrays of 0 and 1, larger = better.
    """
    scores = np.concatenate([normal_scores, anomaly_scores])
    truth = np.repeat([0, 1], [len(normal_scores), len(anomaly_scores)])
    distinct = np.unique(scores)[::-1]
    cuts = [distinct[0], *((distinct[1:] + distinct[:-1]) / 2.0)]
    name = f"metric={getattr(metric, '__name__', metric)}"
    values = np.array([as_number(metric(truth, (scores > cut).astype(int)), name) for cut in cuts])
    if np.isnan(values).all():
        raise ValueError(f"{name} is NaN at all {len(cuts)} thresholds: there is none to choose.")
    return float(cuts[int(np.nanargmax(values))])


def by_cost(costs: tuple[float, float]) -> Callable[..., float]:
    """Make a metric, larger = better: the negative cost of false alarms and misses."""

    def value(truth: NDArray[np.int_], flagged: NDArray[np.int_]) -> float:
        alarms, misses = (flagged > truth).sum(), (flagged < truth).sum()
        return -float(costs[0] * alarms + costs[1] * misses)

    return value


def check_aims(max_fpr: float, costs: Sequence[float]) -> tuple[float, float]:
    """Return the costs; refuse a rate outside of (0, 1), and costs that are not two numbers."""
    if not 0.0 < max_fpr < 1.0:
        raise ValueError(f"max_fpr={max_fpr} must be in (0, 1).")
    if np.shape(costs) != (2,) or not all(0.0 <= cost < np.inf for cost in costs):
        raise ValueError(
            f"costs={costs} must be two finite numbers that are not negative, of a false alarm and "
            "of a missed anomaly."
        )
    alarm, miss = costs
    return float(alarm), float(miss)


def resolve_threshold(threshold: Any, alpha: float) -> Threshold:
    """Return the threshold that a detector's parameter ``threshold`` stands for."""
    if threshold == "f1":
        return F1Threshold(alpha)
    if isinstance(threshold, str):
        return AutoThreshold(alpha) if threshold == "auto" else ConformalThreshold(alpha)
    strategy: Threshold = threshold
    return PyThreshThreshold(threshold) if hasattr(threshold, "eval") else strategy


def _warn_if_out_of_reach(alpha: float, n: int) -> None:
    """Warn that so many scores of normal rows cannot resolve a rate of false alarms."""
    if _checked(alpha) * (n + 1) < 1.0:
        warn(
            f"A false-alarm rate of alpha={alpha:g} cannot be promised from {n} normal "
            f"rows: the least is 1/(n+1) = {1 / (n + 1):.3g}, which is used. Give more normal "
            "rows or a larger alpha.",
        )


def _checked(alpha: float) -> float:
    """Return a rate of false alarms in double precision; refuse one outside of (0, 1)."""
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha={alpha} must be in (0, 1).")
    return float(alpha)


def _flags(thresholder: Any, scores: Array) -> NDArray[np.bool_]:
    """Mark the scores that a thresholder of PyThresh flags: (n,) -> (n,)."""
    labels = np.asarray(thresholder.eval(scores)).ravel()
    if len(labels) != len(scores) or not np.isin(labels, (0, 1)).all():
        raise ValueError(
            f"threshold={thresholder!r} returned {labels} for {len(scores)} scores: its eval has "
            "to return 0 or 1 for each."
        )
    return labels == 1


def __dir__() -> list[str]:
    return sorted(__all__)
