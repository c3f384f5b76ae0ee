"""Read what is needed of the detector to distil: scores, flags, known rows and calibration."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .._detectors.base.fitted import FittedDetector
from .._detectors.base.probability import USUAL_RATE, learned_curve, probability
from .._input.columns import known_columns
from .._input.containers import n_rows, take_rows
from .._input.estimators import (
    anomaly_predictions,
    anomaly_scores,
    is_pyod,
    takes_times,
    without_nan,
)
from .._input.labels import ANOMALOUS
from .._input.rows import first_missing
from .._stats.ranking import conformal_p_values
from .._typing import Array
from ._rows import KnownRows

_ROWS = 4096  # that are scored at once


@dataclass(frozen=True)
class Calibration:
    """Turn anomaly scores into p-values and probabilities, as the distilled detector did.

    Attributes
    ----------
    normals, anomalies : ndarray
        Leave-one-out scores of its training rows.
    learned : (ndarray, float) or None
        Curve from scores to probabilities and share of anomalies, where it was meta-fitted.
    usual : float
        Share of anomalies to assume otherwise.
    """

    normals: Array
    anomalies: Array
    learned: tuple[Array, float] | None
    usual: float

    def p_values(self, scores: Array) -> Array:
        """Compute conformal p-values: (m,) -> (m,)."""
        return conformal_p_values(scores, self.normals)

    def probabilities(self, scores: Array, rate: float | None) -> Array:
        """Compute the probabilities that rows are anomalous: (m,) -> (m,)."""
        of_support = self.normals, self.anomalies
        return probability(self.learned, scores, *of_support, rate=rate, usual=self.usual)


@dataclass(frozen=True)
class Teacher:
    """Read a fitted detector of this package, of scikit-learn or of PyOD."""

    detector: Any

    def check(self) -> None:
        """Refuse what is not fitted, or does not score single rows of numbers."""
        detector, name = self.detector, type(self.detector).__name__
        if not hasattr(detector, "predict") or not (
            hasattr(detector, "score_samples") or hasattr(detector, "decision_function")
        ):
            raise TypeError(
                f"{name} cannot be distilled: it needs score_samples or decision_function, and "
                "predict. Give a fitted outlier detector."
            )
        check_is_fitted(detector)
        if takes_times(detector, "score_samples") or takes_times(detector, "predict"):
            raise TypeError(
                f"{name} scores the steps of series, each with those before it: a distilled "
                "detector scores single rows. Distil the detector of windows instead."
            )
        if isinstance(detector, FittedDetector) and detector._categories.positions:
            first = detector._names_of_columns()[detector._categories.positions[0]]
            raise ValueError(
                f"Column {first!r} of the training rows holds categories, which a distilled "
                "detector cannot read: encode the columns by numbers, then fit the detector anew."
            )

    def check_columns(self, X: Any) -> None:
        """Raise the detector's own error where rows have other columns than it was fitted to."""
        self._scores_of(take_rows(X, np.arange(1)))

    @property
    def has_known_rows(self) -> bool:
        """Return whether the detector holds its training rows in the form that it scores."""
        return isinstance(self.detector, FittedDetector)

    def known_rows(self) -> KnownRows:
        """Return the training rows that the detector compares others with."""
        support = self.detector._adaptation.support
        if np.isnan(support.X).any():
            place = first_missing(support.X, known_columns(self.detector))
            raise ValueError(
                "The training rows have missing entries, which a distilled detector cannot read: "
                f"fill them, then fit the detector anew. {place}"
            )
        return KnownRows(support.normals, support.X[support.y == ANOMALOUS])

    def scores(self, X: Array) -> Array:
        """Compute anomaly scores, larger = more anomalous: (m, d) -> (m,)."""
        return np.concatenate([self._scores_of(X[i : i + _ROWS]) for i in range(0, len(X), _ROWS)])

    def flags(self, X: Array) -> NDArray[np.bool_]:
        """Tell which rows the detector calls anomalies: (m, d) -> (m,)."""
        with _without_names():
            return anomaly_predictions(self.detector, X)

    def calibration(self) -> Calibration | None:
        """Return what turns scores into probabilities; None where others know that."""
        if not isinstance(self.detector, FittedDetector):
            return None
        detector = self.detector
        share = detector._in_force("contamination")
        return Calibration(
            *detector._adaptation.left_out_by_label(),
            learned_curve(detector.state_),
            USUAL_RATE if share == "auto" else share,
        )

    def _scores_of(self, X: Any) -> Array:
        detector = self.detector
        with _without_names():
            if hasattr(detector, "score_samples") and not is_pyod(detector):
                scores = -np.asarray(detector.score_samples(X), dtype=np.float64)
            else:
                scores = anomaly_scores(detector, X)
        return without_nan(scores, n_rows(X), type(detector).__name__)


@contextmanager
def _without_names() -> Iterator[None]:
    """Ignore the warning that rows lack the names of the columns: they are in their order."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have valid feature names")
        yield
