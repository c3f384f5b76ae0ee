"""Score and explain the steps of a series by a detector of windows that is fitted."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from .._input.codings import Coding, is_auto
from .._input.labels import ANOMALOUS, UNLABELLED, encode_labels
from .._input.times import UsualDistance, read_times, starts_of_series
from .._stats.ranking import auc_of_known
from .._typing import Array, Codes
from ._independent import IndependentScores
from ._stream import SeriesStream
from ._training import warn_if_at_other_distances
from ._windows import WindowReader


class StepScores(OutlierMixin, BaseEstimator):
    """Score the steps of a series by what ``fit`` stores."""

    detector: Any
    outlier_label: Any
    detector_: Any
    _scorer: Any
    offset_: float
    n_features_in_: int
    _coding: Coding | None
    _reader: WindowReader
    _independent: IndependentScores
    _usual: UsualDistance | None

    @abstractmethod
    def _validated(self, X: Any, **checks: Any) -> Array:
        """Validate steps."""

    @abstractmethod
    def _window_scores(self, Z: Array) -> Array:
        """Score described windows: (m, d) -> (m,)."""

    # --- public -----------------------------------------------------------------------------------
    def score_samples(self, X: Any, *, times: Any = None) -> Array:
        """Score steps: higher = more normal.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time. The first ones have short windows: give the steps before them
            too, where there are any.
        times : array-like of shape (n_steps,), default=None
            Their times, as in :meth:`fit`.

        Returns
        -------
        scores : ndarray of shape (n_steps,)
            A training window gets its left-out score.
        """
        rows, starts = self._series(X, times)
        scores = self._window_scores(self._reader.rows(rows, starts))
        return self._reader.of_steps(scores, len(rows), starts)

    def decision_function(self, X: Any, *, times: Any = None) -> Array:
        """Score steps relative to the threshold: negative = anomaly.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time.
        times : array-like of shape (n_steps,), default=None
            Their times.

        Returns
        -------
        scores : ndarray of shape (n_steps,)
            ``score_samples(X) - offset_``.
        """
        return self.score_samples(X, times=times) - self.offset_

    def predict(self, X: Any, *, times: Any = None) -> NDArray[np.int_]:
        """Label steps: 1 normal, -1 anomaly.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time.
        times : array-like of shape (n_steps,), default=None
            Their times.

        Returns
        -------
        labels : ndarray of shape (n_steps,)
            1 or -1.
        """
        return np.where(self.decision_function(X, times=times) >= 0, 1, -1)

    def fit_predict(self, X: Any, y: Any = None, *, times: Any = None) -> NDArray[np.int_]:
        """Fit to a series and label its steps, using their labels where given.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time.
        y : array-like of shape (n_steps,), default=None
            Their labels.
        times : array-like of shape (n_steps,), default=None
            Their times.

        Returns
        -------
        labels : ndarray of shape (n_steps,)
            1 or -1.
        """
        return self.fit(X, y, times=times).predict(X, times=times)

    def feature_scores(self, X: Any, *, times: Any = None) -> Array:
        """Attribute the anomaly score of each step to the channels.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time.
        times : array-like of shape (n_steps,), default=None
            Their times.

        Returns
        -------
        contributions : ndarray of shape (n_steps, n_channels)
            Larger = more anomalous. Each row adds up to the anomaly score of the step's window;
            that of a training window is not left out here.

        Raises
        ------
        TypeError
            If ``features`` does not tell which channel a column describes by a method
            ``channels()``, or ``detector`` has no ``feature_scores``.
        """
        check_is_fitted(self)
        self._channels()
        if not hasattr(self.detector_, "feature_scores"):
            raise TypeError(f"{type(self.detector_).__name__} has no feature_scores.")
        rows, starts = self._series(X, times)
        total = self._contributions(self._reader.rows(rows, starts))
        return self._reader.of_steps(total, len(rows), starts)

    def score(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, times: Any = None
    ) -> float:
        """Compute the ROC AUC over steps, with the anomaly as the positive class.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time.
        y : array-like of shape (n_steps,)
            Their labels; required. Unknown steps are ignored.
        sample_weight : array-like of shape (n_steps,), default=None
            How much each step counts.
        times : array-like of shape (n_steps,), default=None
            Their times.

        Returns
        -------
        auc : float
            0.5 is chance, 1 is perfect.
        """
        scores = -self.score_samples(X, times=times)
        codes = self._codes_of(y, len(scores))
        return auc_of_known(codes == ANOMALOUS, scores, codes != UNLABELLED, sample_weight)

    def stream(self, history: Any = None) -> SeriesStream:
        """Score a live series step by step.

        Parameters
        ----------
        history : array-like of shape (n_steps, n_channels), default=None
            Steps before the first one to score, so that its window is whole.

        Returns
        -------
        stream : SeriesStream
            It takes the steps one by one.
        """
        check_is_fitted(self)
        return SeriesStream(self, history)

    # --- private ----------------------------------------------------------------------------------
    def _series(self, X: Any, times: Any) -> tuple[Array, list[int]]:
        """Validate steps to score; return them with the positions at which series start."""
        check_is_fitted(self)
        rows = self._validated(X, reset=False)
        stamps = read_times(X, times, len(rows))
        if stamps is not None and self._usual is not None and len(rows) >= self._reader.window:
            warn_if_at_other_distances(self._usual.ratio(stamps))
        return rows, starts_of_series(stamps, len(rows), self._usual)

    @property
    def _label_in_force(self) -> Any:
        """Return the label of anomalies, or that of the detector inside, if only that has one."""
        if not is_auto(self.outlier_label):
            return self.outlier_label
        return getattr(self.detector, "outlier_label", "auto")

    def _codes_of(self, y: Any, n: int) -> Codes:
        """Encode the labels of steps that are not those of ``fit``: (n,)."""
        if y is None:
            raise ValueError("The labels 'y' of the steps are needed here; got None.")
        how = {"outlier_label": self._label_in_force, "require_normal": False}
        return encode_labels(y, n, known=self._coding, **how)

    def _contributions(self, windows: Array) -> Array:
        """Attribute anomaly scores of described windows to channels: (m, d) -> (m, channels)."""
        by_column = self._scorer.feature_scores(windows)
        total = np.zeros((len(windows), self.n_features_in_))
        for channel, column in zip(self._channels(), by_column.T, strict=True):
            total[:, channel] += column
        return total

    def _channels(self) -> list[int]:
        """Return the channel that each column of the described windows is of."""
        features = self._reader.features
        if not hasattr(features, "channels"):
            raise TypeError(
                f"{type(features).__name__} does not tell which channel a column is of: give "
                "it a method channels() that returns the position of a channel for each column."
            )
        return list(features.channels())
