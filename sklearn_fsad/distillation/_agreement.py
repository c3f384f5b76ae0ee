"""Measure how well the scores of a student agree with those of the detector it stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from .._typing import Array


@dataclass(frozen=True)
class Agreement:
    """Hold how well two scores agree on rows that the student was not trained on.

    Parameters
    ----------
    rows : {"given", "made"}
        Whether they are rows given to ``distil`` or rows made from the training rows.
    n_rows : int
        Number of these rows.
    rank_correlation : float
        Spearman's correlation of the scores. Of made rows it is the lowest one of the three kinds
        that are most like normal training rows, or of those among them that the detector does not
        flag, if these are most of them.
    auc_loss : float
        ROC AUC lost: with labels that of the detector minus that of the student, without labels
        one minus the ROC AUC of the student's scores for the rows that the detector flags. NaN
        where all rows are of one kind.
    flagged_by_detector : float
        Share of these rows that the detector flags.
    flagged : float
        Share of them that the student flags.
    by_kind : dict of str to float
        Rank correlation for each kind of made rows.
    """

    rows: str
    n_rows: int
    rank_correlation: float
    auc_loss: float
    flagged_by_detector: float
    flagged: float
    by_kind: dict[str, float]


def rank_correlation(a: Array, b: Array) -> float:
    """Compute Spearman's correlation; 1 where both are constant, 0 where one is: (m,), (m,)."""
    constant = [np.ptp(values) == 0 for values in (a, b)]
    if any(constant):
        return float(all(constant))
    return float(spearmanr(a, b)[0])


def auc_loss(
    detector: Array, student: Array, flagged: NDArray[np.bool_], labels: NDArray[np.bool_] | None
) -> float:
    """Compute the ROC AUC that the student loses: (m,) each, scores larger = more anomalous."""
    truth = flagged if labels is None else labels
    if truth.all() or not truth.any():
        return float("nan")
    best = 1.0 if labels is None else roc_auc_score(truth, detector)
    return float(best - roc_auc_score(truth, student))
