"""Score rows by a student, and turn the scores into labels, p-values and probabilities."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OutlierMixin
from sklearn.utils import ClassifierTags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._detectors.base.decisions import labels_by_fdr
from .._detectors.base.versions import VersionedPickles
from .._input.callers import refuse_tools_for_classifiers
from .._input.codings import SIGNED, Coding
from .._input.labels import ANOMALOUS, UNLABELLED, encode_labels
from .._input.rows import validated_rows
from .._stats.ranking import auc_of_known
from .._typing import Array
from .._values import as_finite, plain_scalar
from ..thresholds import resolve_threshold
from ._student import Student
from ._teacher import Calibration

_THRESHOLDS = ("auto", "conformal", "f1")


def _is_calibrated(copy: ScoringCopy) -> bool:
    return getattr(copy, "_calibration", None) is not None


class ScoringCopy(OutlierMixin, VersionedPickles):
    """Score and label rows by a student."""

    offset_: float
    _student: Student
    _calibration: Calibration | None
    _coding: Coding | None

    def score_samples(self, X: Any) -> Array:
        """Score rows: higher = more normal, on the scale of the detector.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows without missing entries.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            The score of a row does not depend on the other rows of ``X``.
        """
        return -self._anomaly_scores(X)

    def decision_function(self, X: Any) -> Array:
        """Score rows relative to the threshold: negative = anomaly.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``.
        """
        scores = self.score_samples(X)
        refuse_tools_for_classifiers(True, self._anomaly_column() == 1)
        return scores - self.offset_

    def predict(self, X: Any) -> NDArray[np.int_]:
        """Label rows: 1 normal, -1 anomaly.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            1 or -1.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Compute the ROC AUC with the anomaly as the positive class, for any coding of ``y``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Labels; required. Unlabelled rows are ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts.

        Returns
        -------
        auc : float
            0.5 is chance, 1 is perfect.
        """
        scores = self._anomaly_scores(X)
        if y is None:
            raise ValueError("The labels 'y' of the rows are needed here; got None.")
        codes = encode_labels(y, len(scores), require_normal=False, known=self._coding)
        return auc_of_known(codes == ANOMALOUS, scores, codes != UNLABELLED, sample_weight)

    def set_threshold(self, threshold: Any = None, *, alpha: float = 0.05) -> Self:
        """Change the threshold.

        Parameters
        ----------
        threshold : float, {"auto", "conformal", "f1"} or callable, default=None
            A number is a threshold on ``score_samples``: rows below it are anomalies. Others
            choose it by the leave-one-out scores of the detector's training rows, as the
            parameter of that name does for detectors of this package. None means "auto".
        alpha : float in (0, 1), default=0.05
            Rate of false alarms to aim at, where ``threshold`` is not a number.

        Returns
        -------
        self : object
            The copy, with another ``offset_``.

        Raises
        ------
        ValueError
            If the value cannot be used, or is not a number and the detector was not one of this
            package. The copy is then unchanged.
        """
        check_is_fitted(self)
        threshold = plain_scalar("auto" if threshold is None else threshold)
        if isinstance(threshold, (int, float)) and not isinstance(threshold, bool):
            self.offset_ = as_finite(threshold, "threshold")
            return self
        if isinstance(threshold, str) and threshold not in _THRESHOLDS:
            raise ValueError(f"threshold={threshold!r} must be one of {', '.join(_THRESHOLDS)}.")
        if self._calibration is None:
            raise ValueError(
                "Give a number as threshold: there are no leave-one-out scores of training rows to "
                "choose one by."
            )
        strategy = resolve_threshold(threshold, alpha)
        cut = strategy(self._calibration.normals, self._calibration.anomalies)
        self.offset_ = -as_finite(cut, f"threshold={threshold!r}")
        return self

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels of the columns of :meth:`predict_proba`, as of the distilled detector."""
        return np.array(sorted(self._coding or SIGNED) if hasattr(self, "_coding") else [-1, 1])

    @available_if(_is_calibrated)
    def predict_proba(self, X: Any, *, anomaly_rate: float | None = None) -> Array:
        """Estimate the probabilities that rows are anomalous and normal.

        They are computed from the scores as by the distilled detector. Only for detectors of this
        package.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        anomaly_rate : float in (0, 1), default=None
            Share of anomalies among the rows to score; None means what the detector would assume.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, 2)
            Columns in the order of ``classes_``.
        """
        if anomaly_rate is not None and not 0.0 < anomaly_rate < 1.0:
            raise ValueError(f"anomaly_rate={anomaly_rate} must be in (0, 1).")
        scores = self._anomaly_scores(X)
        refuse_tools_for_classifiers(False, self._anomaly_column() == 1)
        assert self._calibration is not None
        p = self._calibration.probabilities(scores, anomaly_rate)
        columns = [p, 1.0 - p]
        return np.column_stack(columns if self._anomaly_column() == 0 else columns[::-1])

    @available_if(_is_calibrated)
    def p_values(self, X: Any) -> Array:
        """Compute conformal p-values, small = anomalous, from the detector's training rows.

        Only for detectors of this package.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        p : ndarray of shape (n_samples,)
            Between 1 / (n + 1) and 1, for n normal training rows.
        """
        scores = self._anomaly_scores(X)
        assert self._calibration is not None
        return self._calibration.p_values(scores)

    @available_if(_is_calibrated)
    def predict_fdr(self, X: Any, q: float = 0.1) -> NDArray[np.int_]:
        """Label rows so that on average at most a share ``q`` of those flagged is normal.

        Only for detectors of this package.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; whether one is flagged depends on all of them.
        q : float in (0, 1), default=0.1
            False discovery rate to aim at.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            1 normal, -1 anomaly.
        """
        if not 0.0 < q < 1.0:
            raise ValueError(f"q={q} must be in (0, 1).")
        assert self._calibration is not None
        return labels_by_fdr(self.p_values(X), len(self._calibration.normals), q)

    # --- private ----------------------------------------------------------------------------------
    def _anomaly_scores(self, X: Any) -> Array:
        check_is_fitted(self)
        rows = validated_rows(self, X, reset=False, dtype=[np.float64, np.float32], order="C")
        return self._student.score(rows)

    def _anomaly_column(self) -> int:
        normal, anomalous = self._coding or SIGNED
        return int(anomalous > normal)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "offset_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags(multi_class=False)  # y, where given, is binary
        return tags
