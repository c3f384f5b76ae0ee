"""Decide about the steps of a series: thresholds, p-values and probabilities."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, false_discovery_control
from sklearn.utils.validation import check_is_fitted

from .._detectors.base.calibration import Metric, best_cut_by, check_metric, metric_for
from .._detectors.base.checks import restored_on_error
from .._detectors.base.probability import USUAL_RATE, learned_curve, probability
from .._input.codings import SIGNED
from .._input.labels import UNLABELLED
from .._stats.ranking import conformal_p_values
from .._typing import Array, Codes
from .._values import as_finite, plain_scalar
from .._warn import warn
from ..thresholds import resolve_threshold
from ._independent import IndependentScores, thinned
from ._steps import StepScores
from ._training import TrainingWindows, kept_steps, windows_to_fit

_MARGIN = 1.5  # how many windows are independent is an estimate: half as many again are asked for
_RARE = 0.01  # probability of so many extreme windows among normal ones


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

    def calibrate(
        self,
        X: Any,
        y: Any = None,
        metric: Metric = "f1",
        *,
        max_fpr: float = 0.05,
        costs: tuple[float, float] = (1.0, 1.0),
        times: Any = None,
    ) -> Self:
        """Choose the threshold on a labelled series that the detector was not fitted to.

        As in :meth:`fit`, it is windows that share no step that count, and normal steps whose
        window holds a labelled anomaly are left out. P-values and probabilities stay as they were.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time.
        y : array-like of shape (n_steps,)
            Their labels; required. Unknown steps are ignored.
        metric : {"f1", "recall_at_fpr", "cost"} or callable, default="f1"
            Quantity to optimise: F1; the recall at a rate of false alarms of at most ``max_fpr``,
            by the conformal rank among independent normal windows; the cost of false alarms and
            missed anomalies; or a function ``metric(y_true, y_pred)`` of windows, larger = better,
            called with 1 for anomalies and 0 for normal ones.
        max_fpr : float in (0, 1), default=0.05
            See ``metric``; also the rate to aim at if no step is an anomaly.
        costs : (float, float), default=(1, 1)
            Costs of a false alarm and of a missed anomaly.
        times : array-like of shape (n_steps,), default=None
            Times of the steps.

        Returns
        -------
        self : object
            The detector, with another ``offset_``, which lasts until the next ``fit``.

        Raises
        ------
        ValueError
            If ``y`` is missing, fewer than three windows are normal, ``metric`` is NaN at every
            threshold or no number, or ``max_fpr`` or ``costs`` are out of range.
        """
        check_is_fitted(self)
        metric, costs = check_metric(metric, max_fpr, costs)
        rows, starts = self._series(X, times)
        windows = self._labelled_windows(rows, self._codes_of(y, len(rows)), starts)
        scores, normal = -self._window_scores(windows.rows), windows.groups == 0
        metric = metric_for(metric, int(normal.sum()), int((~normal).sum()), max_fpr, "step")
        overlap = self._reader.window / self._reader.stride
        if metric == "recall_at_fpr":
            known = IndependentScores.of(scores, windows.groups, windows.steps, overlap)
            self._warn_if_short(known, "max_fpr", max_fpr)
            normals = known.normals
        else:  # thinned as the anomalies are, whose share counts
            normals = thinned(scores[normal], max(int(normal.sum() / overlap), 1))
        self.offset_ = -best_cut_by(metric, normals, scores[~normal], max_fpr, costs)
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
        scores = -self.score_samples(X, times=times)
        return conformal_p_values(scores, self._independent.normals)

    def predict_fdr(self, X: Any, q: float = 0.1, *, times: Any = None) -> NDArray[np.int_]:
        """Label steps so that on average at most a share ``q`` of those flagged is normal.

        The procedure of Benjamini and Hochberg [1]_ is applied to :meth:`p_values`. A step counts
        as an anomaly as long as its window holds one. False alarms come in stretches, so in a
        single series the share is often 0 and sometimes far above ``q``.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time.
        q : float in (0, 1), default=0.1
            False discovery rate to aim at.
        times : array-like of shape (n_steps,), default=None
            Their times.

        Returns
        -------
        labels : ndarray of shape (n_steps,)
            1 normal, -1 anomaly.

        References
        ----------
        .. [1] Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate", JRSS B 57,
           1995.
        """
        if not 0.0 < q < 1.0:
            raise ValueError(f"q={q} must be in (0, 1).")
        p = self.p_values(X, times=times)
        flagged = false_discovery_control(p) <= q
        if not flagged.any():
            self._warn_if_none_can_be_flagged(p, q)
        return np.where(flagged, -1, 1)

    # --- private ----------------------------------------------------------------------------------
    def _set_offset(self) -> None:
        known = self._independent
        anomalies = known.anomalies if known.n_stretches > 1 else known.anomalies[:0]
        threshold = self.threshold
        if threshold == "auto" and not len(anomalies):
            threshold = "conformal"
        if threshold == "conformal":
            self._warn_if_short(known, "alpha", self.alpha)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A false-alarm rate")  # told above, by steps
            cut = resolve_threshold(threshold, self.alpha)(known.normals, anomalies)
        self.offset_ = -as_finite(cut, f"threshold={self.threshold!r}")

    def _labelled_windows(self, rows: Array, codes: Codes, starts: list[int]) -> TrainingWindows:
        """Describe windows of a labelled series as in ``fit``, but those of unknown steps."""
        reader = self._reader
        kept, groups = kept_steps(codes, starts, reader.window, reader.causal, reader.stride)
        kept &= codes != UNLABELLED
        return windows_to_fit(reader, rows, kept, groups, starts, "calibrate")

    def _warn_if_none_can_be_flagged(self, p: Array, q: float) -> None:
        """Warn if more steps have the smallest p-value than by chance, and it is too large."""
        known, window = self._independent, self._reader.window
        n = len(known.normals)
        n_least = int((p < 1.5 / (n + 1)).sum())
        by_chance = binom.sf(n_least // window - 1, len(p) // window, 1.0 / (n + 1))
        if by_chance >= _RARE:
            return
        needed = int(np.ceil(len(p) / (q * n_least) - 1.0))
        warn(
            f"No step is flagged at q={q:g}: {n_least} of {len(p)} steps have the smallest p-value "
            f"that {n} independent normal windows allow, 1/(n+1) = {1 / (n + 1):.3g}. To flag "
            f"these takes {needed}: give about {known.steps_for(needed)} normal steps, or a larger "
            "q. predict judges each step alone."
        )

    def _warn_if_short(self, known: IndependentScores, name: str, rate: float) -> None:
        """Warn if the normal windows cannot promise a rate of false alarms."""
        n, least = len(known.normals), int(np.ceil(_MARGIN / rate - 1.0))
        if n < least:
            warn(
                f"A rate of false alarms of {name}={rate:g} cannot be promised: the "
                f"{known.n_steps} normal windows are worth {n} independent ones, and it takes "
                f"{least}. Give about {known.steps_for(least)} normal steps, or a larger {name}; "
                f"{min(_MARGIN / (n + 1), 0.99):.2g} is in reach."
            )
