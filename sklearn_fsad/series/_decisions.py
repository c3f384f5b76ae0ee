"""Decide about the steps of a series: thresholds, p-values and probabilities."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .._detectors.base.checks import restored_on_error
from .._detectors.base.probability import USUAL_RATE, learned_curve, probability
from .._input.codings import SIGNED
from .._typing import Array
from .._values import as_finite, plain_scalar
from .._warn import warn
from ..thresholds import resolve_threshold
from ._independent import IndependentScores
from ._steps import StepScores

_MARGIN = 1.5  # how many windows are independent is an estimate: half as many again are asked for


class StepDecisions(StepScores):
    """Turn the scores of steps into labels, p-values and probabilities."""

    threshold: Any
    alpha: float

    def set_threshold(self, threshold: Any = None, *, alpha: float | None = None) -> Self:
        """Change the threshold of a fitted detector without fitting it again.

        Parameters
        ----------
        threshold : {"auto", "conformal", "f1"}, callable, PyThresh object or float, default=None
            As the parameter of that name; a number is a threshold on ``score_samples``, until the
            next ``fit``. None keeps the present one.
        alpha : float in (0, 1), default=None
            Rate of false alarms to aim at; None keeps the present one.

        Returns
        -------
        self : object
            The detector, with another ``offset_``.
        """
        check_is_fitted(self)
        threshold = plain_scalar(threshold)
        if isinstance(threshold, Real):
            self.offset_ = as_finite(threshold, "threshold")
            return self
        with restored_on_error(self):
            self.threshold = self.threshold if threshold is None else threshold
            self.alpha = self.alpha if alpha is None else alpha
            self._validate_params()
            self._set_offset()
        return self

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels of the columns of :meth:`predict_proba`, sorted."""
        return np.array(sorted(self._coding or SIGNED) if hasattr(self, "_coding") else [-1, 1])

    def predict_proba(
        self, X: Any, *, times: Any = None, anomaly_rate: float | None = None
    ) -> Array:
        """Estimate the probabilities that steps are anomalous and normal.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time.
        times : array-like of shape (n_steps,), default=None
            Their times.
        anomaly_rate : float in (0, 1), default=None
            Share of anomalies among the steps. None means the share in the training series, or 0.1
            without any.

        Returns
        -------
        probabilities : ndarray of shape (n_steps, 2)
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        if anomaly_rate is not None and not 0.0 < anomaly_rate < 1.0:
            raise ValueError(f"anomaly_rate={anomaly_rate} must be in (0, 1).")
        scores = -self.score_samples(X, times=times)
        known = self._independent
        p = probability(
            learned_curve(getattr(self.detector_, "state_", None)),
            scores,
            known.normals,
            known.anomalies,
            rate=anomaly_rate,
            usual=USUAL_RATE,
        )
        normal, anomalous = self._coding or SIGNED
        return np.column_stack([1.0 - p, p] if normal < anomalous else [p, 1.0 - p])

    def p_values(self, X: Any, *, times: Any = None) -> Array:
        """Compute conformal p-values, small = anomalous.

        With n independent normal windows, ``n_independent_``, no p-value is below 1 / (n + 1).

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time.
        times : array-like of shape (n_steps,), default=None
            Their times.

        Returns
        -------
        p : ndarray of shape (n_steps,)
            Between 1 / (n + 1) and 1.
        """
        check_is_fitted(self)
        normals = self._independent.normals
        less = np.searchsorted(normals, -self.score_samples(X, times=times))
        return np.asarray((1.0 + len(normals) - less) / (len(normals) + 1.0))

    # --- private ----------------------------------------------------------------------------------
    def _set_offset(self) -> None:
        known = self._independent
        anomalies = known.anomalies if known.n_stretches > 1 else known.anomalies[:0]
        threshold = self.threshold
        if threshold == "auto" and not len(anomalies):
            threshold = "conformal"
        if threshold == "conformal":
            self._warn_if_short(known)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A false-alarm rate")  # told above, by steps
            cut = resolve_threshold(threshold, self.alpha)(known.normals, anomalies)
        self.offset_ = -as_finite(cut, f"threshold={self.threshold!r}")

    def _warn_if_short(self, known: IndependentScores) -> None:
        """Warn if the normal windows cannot promise the rate of false alarms."""
        n, least = len(known.normals), int(np.ceil(_MARGIN / self.alpha - 1.0))
        if n < least:
            warn(
                f"A rate of false alarms of alpha={self.alpha:g} cannot be promised: the "
                f"{known.n_steps} normal windows are worth {n} independent ones, and it takes "
                f"{least}. Give about {known.steps_for(least)} normal steps, or a larger alpha; "
                f"{min(_MARGIN / (n + 1), 0.99):.2g} is in reach."
            )
