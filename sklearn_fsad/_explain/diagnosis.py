"""Evaluate a fitted detector on labelled rows, and give advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom
from sklearn.metrics import average_precision_score, roc_auc_score

from .._input.labels import ANOMALOUS, NORMAL
from .._stats.ranking import auc_gain
from .._typing import Array, Codes
from ..tasks._distance import TaskPlace

_FEW_NORMALS, _FEW_ANOMALIES = 20, 5
_SURE = 0.01  # largest probability of so many false alarms by chance
_RANKS_WELL, _DETECTS_LITTLE = 0.8, 0.5
_REMEDY = {
    "alpha": "call calibrate(X_val, y_val) or set_threshold, or give fit more normal rows.",
    "share": "contamination is a share of the support, labelled anomalies included; "
    'contamination="auto" aims at alpha, or call calibrate(X_val, y_val).',
    "other": "it aims at something else, such as F1 where anomalies are labelled; "
    'set_threshold("conformal") aims at alpha, or call calibrate(X_val, y_val).',
}


@dataclass(frozen=True)
class Diagnosis:
    """Hold the evaluation of a fitted detector on labelled rows.

    Attributes
    ----------
    detector : str
        Name of its class.
    n_normal, n_anomalous : int
        Labelled rows that it was evaluated on.
    task_distance : float or None
        Distance of the normal training rows to the training tasks; None without such tasks.
    task_percentile : float or None
        Share, in %, of the training tasks that are nearer to the others.
    roc_auc, average_precision : dict of str to float, or None
        Of "detector", of "nearest normal", and of "neighbour ratio" if ``fit`` was given labelled
        anomalies; None if no row is an anomaly.
    false_alarm_rate : float
        Share of the normals that the threshold flags.
    detection_rate : float or None
        Share of the anomalies that it flags.
    alpha : float
        Rate of false alarms that the detector's parameter asks for.
    adaptation : dict or None
        Report of the method on its adaptation; None for other methods.
    advice : tuple of str
        Sentences on what to change; empty where nothing is wrong.
    """

    detector: str
    n_normal: int
    n_anomalous: int
    task_distance: float | None
    task_percentile: float | None
    roc_auc: Mapping[str, float] | None
    average_precision: Mapping[str, float] | None
    false_alarm_rate: float
    detection_rate: float | None
    alpha: float
    adaptation: Mapping[str, Any] | None
    advice: tuple[str, ...]

    def __str__(self) -> str:
        lines = {
            "distance to training tasks": self._distance_in_words(),
            "ROC AUC": _side_by_side(self.roc_auc),
            "average precision": _side_by_side(self.average_precision),
            "false alarms": f"{self.false_alarm_rate:.1%} of normals; alpha is {self.alpha:.1%}",
            "detected": "unknown: y has no anomaly"
            if self.detection_rate is None
            else f"{self.detection_rate:.1%} of anomalies",
        }
        if self.adaptation is not None:
            lines["adaptation"] = str(self.adaptation.get("used", self.adaptation))
        width = max(map(len, lines))
        title = f"{self.detector} on {self.n_normal} normal and {self.n_anomalous} anomalous rows"
        shown = [f"  {name:<{width}}  {value}" for name, value in lines.items()]
        return "\n".join([title, *shown, *(f"- {sentence}" for sentence in self.advice)])

    def _distance_in_words(self) -> str:
        if self.task_distance is None:
            return "unknown"
        return f"{self.task_distance:.2f}, farther out than {self.task_percentile:.0f} % of them"


def diagnose_scores(
    detector: str,
    scores: Mapping[str, Array],
    codes: Codes,
    *,
    flagged: NDArray[np.bool_],
    n_support: int,
    alpha: float,
    aim: str = "alpha",
    n_repeated: int = 0,
    place: TaskPlace | None = None,
    adaptation: Mapping[str, Any] | None = None,
    hints: Sequence[str] = (),
) -> Diagnosis:
    """Evaluate scores of labelled rows and derive advice from them.

    Parameters
    ----------
    detector : str
    scores : dict of str to ndarray of shape (m,)
        Anomaly scores of "detector" and of the baselines, larger = more anomalous.
    codes : ndarray of shape (m,), dtype int8
        0 normal, 1 anomalous, -1 unlabelled.
    flagged : ndarray of shape (m,), dtype bool
        Which rows the detector calls anomalies.
    n_support : int
        Normals of the support.
    alpha : float
    aim : {"alpha", "share", "other"}, default="alpha"
        What the threshold aims at: that rate of false alarms, a share of the support, or neither.
    n_repeated : int, default=0
        Number of rows that are in the support too.
    place : TaskPlace or None, default=None
    adaptation : mapping or None, default=None
    hints : sequence of str, default=()
        The method's own advice.

    Returns
    -------
    diagnosis : Diagnosis

    Raises
    ------
    ValueError
        If no row is labelled as normal.
    """
    normal, anomalous = codes == NORMAL, codes == ANOMALOUS
    n_normal, n_anomalous = int(normal.sum()), int(anomalous.sum())
    if not n_normal:
        raise ValueError("No row is labelled as normal: a diagnosis needs normal rows.")
    known, truth = normal | anomalous, anomalous[normal | anomalous]
    aucs = precisions = detected = None
    if n_anomalous:
        aucs = {name: float(roc_auc_score(truth, s[known])) for name, s in scores.items()}
        precisions = {
            name: float(average_precision_score(truth, s[known])) for name, s in scores.items()
        }
        detected = float(flagged[anomalous].mean())
    alarms = float(flagged[normal].mean())
    advice = [
        *_about_rows(n_normal, n_anomalous, n_repeated),
        *_about_place(place),
        *hints,
        *(_about_neighbours(scores, normal, anomalous) if n_anomalous else []),
        *_about_alarms(alarms, n_normal, max(alpha, 1.0 / (n_support + 1)), alpha, aim),
        *_about_detection(aucs, detected, alarms, alpha),
    ]
    return Diagnosis(
        detector,
        n_normal,
        n_anomalous,
        None if place is None else place.distance,
        None if place is None else place.percentile,
        aucs,
        precisions,
        alarms,
        detected,
        alpha,
        adaptation,
        tuple(advice),
    )


def _side_by_side(values: Mapping[str, float] | None) -> str:
    if values is None:
        return "unknown: y has no anomaly"
    others = ", ".join(f"{n} {value:.3f}" for n, value in values.items() if n != "detector")
    return f"{values['detector']:.3f} ({others})"


# --- advice ---------------------------------------------------------------------------------------
def _about_rows(n_normal: int, n_anomalous: int, n_repeated: int) -> list[str]:
    advice = []
    if n_normal < _FEW_NORMALS or 0 < n_anomalous < _FEW_ANOMALIES:
        advice.append(
            f"{n_normal} normal and {n_anomalous} anomalous rows are few: these figures are rough."
        )
    if not n_anomalous:
        advice.append(
            "Without labelled anomalies nothing tells how well the detector ranks: label a few."
        )
    if n_repeated:
        advice.append(
            f"{n_repeated} rows were also given to fit: evaluate on others, figures on these are "
            "too good."
        )
    return advice


def _about_place(place: TaskPlace | None) -> list[str]:
    if place is None or not place.is_far:
        return []
    return [
        "The task is farther from the training tasks than any of them is from the others: what was "
        "learned may not apply here. Check the order and the units of the columns, add "
        "tasks like this one to meta_fit, or compare with InContextDetector, which needs none."
    ]


def _about_neighbours(
    scores: Mapping[str, Array], normal: NDArray[np.bool_], anomalous: NDArray[np.bool_]
) -> list[str]:
    """Compare with the best baseline; differences within one standard error count as equal."""
    gains = {
        name: auc_gain(scores["detector"], other, normal, anomalous)
        for name, other in scores.items()
        if name != "detector"
    }
    if not gains:
        return []
    best = min(gains, key=lambda name: gains[name][0])
    gain, error = gains[best]
    if gain > error:
        return []
    if gain < -error:
        return [
            f"A simple baseline is better: the {best} has a ROC AUC of {-gain:.3f} more. Use it, "
            "call meta_fit with tasks like this one, or try another detector: suggest_detector "
            "compares them."
        ]
    return [
        f"The {best} does as well (within one standard error, {error:.3f} of ROC AUC): give more "
        "labelled anomalies, call meta_fit with tasks like this one, or use the simpler baseline."
    ]


def _about_alarms(rate: float, n_normal: int, promised: float, alpha: float, aim: str) -> list[str]:
    if binom.sf(round(rate * n_normal) - 1, n_normal, promised) >= _SURE:
        return []
    return [
        f"The threshold flags {rate:.1%} of the normals where alpha is {alpha:.1%}: {_REMEDY[aim]}"
    ]


def _about_detection(
    aucs: Mapping[str, float] | None, detected: float | None, alarms: float, alpha: float
) -> list[str]:
    if aucs is None or detected is None or detected >= _DETECTS_LITTLE or alarms > alpha:
        return []
    if aucs["detector"] < _RANKS_WELL:
        return []
    return [
        f"The threshold is strict: the scores rank well (ROC AUC {aucs['detector']:.3f}), but "
        f"{detected:.1%} of the anomalies are flagged. calibrate(X_val, y_val) or a larger alpha "
        "finds more."
    ]
