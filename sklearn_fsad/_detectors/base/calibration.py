"""Choose a threshold by the scores of labelled rows that a detector was not fitted to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._typing import Array
from ..._values import plain_scalar
from ..._warn import warn
from ...thresholds import best_cut, best_f1_cut, by_cost, check_aims, conformal_cut

Metric = str | Callable[[NDArray[np.int_], NDArray[np.int_]], float]
METRICS = ("f1", "recall_at_fpr", "cost")


def check_metric(metric: Any, max_fpr: float, costs: Any) -> tuple[Metric, tuple[float, float]]:
    """Return metric and costs; refuse what is unknown or out of range."""
    metric = plain_scalar(metric)
    if not (callable(metric) or metric in METRICS):
        raise ValueError(f"metric={metric!r} must be callable or one of {', '.join(METRICS)}.")
    return metric, check_aims(max_fpr, costs)


def metric_for(metric: Metric, n_normal: int, n_anomalous: int, max_fpr: float, row: str) -> Metric:
    """Return the metric for what is labelled: without anomalies it is the rate of false alarms."""
    if not n_normal:
        raise ValueError(f"No {row} is labelled as normal: a threshold needs normal {row}s.")
    if n_anomalous or metric == "recall_at_fpr":
        return metric
    warn(
        f"No {row} is labelled as an anomaly: the threshold aims at a rate of false alarms "
        f"of max_fpr={max_fpr:g} instead.",
    )
    return "recall_at_fpr"


def best_cut_by(
    metric: Metric, normal: Array, anomalous: Array, max_fpr: float, costs: tuple[float, float]
) -> float:
    """Return the anomaly score above which to flag, from those of normals and anomalies."""
    if metric == "recall_at_fpr":
        return conformal_cut(normal, max_fpr)
    if metric == "f1":
        return best_f1_cut(normal, anomalous)
    return best_cut(normal, anomalous, metric if callable(metric) else by_cost(costs))
