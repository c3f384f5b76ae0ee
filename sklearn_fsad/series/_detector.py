"""Judge each step of a series by the window of steps around it."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin, _fit_context, clone
from sklearn.metrics import roc_auc_score
from sklearn.utils import ClassifierTags, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._detectors.base.checks import restored_on_error
from .._detectors.base.probability import USUAL_RATE, learned_curve, probability
from .._detectors.in_context.detector import InContextDetector
from .._input.codings import SIGNED, Coding
from .._input.labels import ANOMALOUS, NORMAL, UNLABELLED, encode_labels, read_labels
from .._input.rows import refuse_huge, validated_rows
from .._typing import Array, Codes
from .._values import as_finite
from .._version import doc_link_template
from ..thresholds import resolve_threshold
from ._stream import SeriesStream
from ._times import read_times, starts_of_series
from ._training import TrainingWindows, kept_steps, reader_of, training_windows, window_for
from ._windows import WindowReader
from ._witnesses import Witnesses, left_out_scores


class WindowedDetector(OutlierMixin, MetaEstimatorMixin, BaseEstimator):
    """Detect anomalous steps of a series: each is judged by the window of steps that ends with it.

    Rows are time steps, in order, and columns are channels; labels, scores and predictions are one
    for each step. Windows never reach across a gap in time. Neighbouring windows overlap, so each
    training window is scored by a detector that was fitted without the windows around it, and the
    threshold counts independent windows only.

    Parameters
    ----------
    detector : estimator, default=None
        Detector of windows, of this package or any with ``fit`` and ``score_samples``; ``fit``
        fits a clone. None is ``InContextDetector()``.
    window : int or "auto", default="auto"
        Steps of a window. "auto" is 16, or less so that a series to fit to holds six windows, but
        at least 4; ``meta_fit`` chooses among 8, 16 and 32 by held-out series.
    stride : int, default=1
        Steps between two windows. The score of a step is that of the newest window then.
    features : {"statistics", "mean", "raw"} or transformer, default="statistics"
        How to describe windows: by :class:`WindowStatistics`; by the mean of each channel; by all
        values; or by a transformer of arrays (n_windows, window, n_channels). It is fitted to
        windows that are not labelled as anomalies. Steps before the start of the series are
        repetitions of the first one for "raw" and for other transformers.
    causal : bool, default=True
        Judge a step by itself and steps before it. False puts the step in the middle of its
        window, which takes steps to come.
    threshold : {"auto", "conformal", "f1"}, callable or PyThresh object, default="auto"
        How to choose the threshold on left-out scores of the training windows, as in the
        detectors. "auto" takes F1 where at least two stretches of anomalies are labelled.
    alpha : float, default=0.05
        Rate of false alarms to aim at, among normal steps.
    outlier_label : "auto", number or str, default="auto"
        The label of the anomalies, as in the detectors.

    Attributes
    ----------
    detector_ : estimator
        The fitted detector of windows.
    window_ : int
        Steps of a window.
    features_ : transformer
        Fitted description of windows.
    offset_ : float
        Threshold on ``score_samples``.
    n_independent_ : int
        Independent normal windows that the training windows are worth: their number divided by the
        autocorrelation time of their scores.
    support_X_ : ndarray of shape (n_steps, n_features_in_)
        The series given to ``fit``.
    support_y_ : ndarray of shape (n_steps,)
        Its labels: 0 normal, 1 anomalous, -1 unlabelled.
    n_features_in_ : int
        Number of channels.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where ``X`` had names.

    See Also
    --------
    SeriesStream : Scores of a live series, step by step.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.series import WindowedDetector
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> X[400:420] *= 3  # a stretch of larger spread
    >>> detector = WindowedDetector(ProtoNetDetector(), window=8).fit(X[:300])
    >>> scores = detector.score_samples(X[300:])
    >>> bool(scores[108:120].max() < scores[:100].min())
    True
    """

    _doc_link_module, _doc_link_template = "sklearn_fsad", doc_link_template
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "detector": [HasMethods(["fit", "score_samples"]), None],
        "window": [StrOptions({"auto"}), Interval(Integral, 2, None, closed="left")],
        "stride": [Interval(Integral, 1, None, closed="left")],
        "features": [StrOptions({"statistics", "mean", "raw"}), HasMethods(["fit", "transform"])],
        "causal": ["boolean"],
        "threshold": [StrOptions({"auto", "conformal", "f1"}), callable, HasMethods(["eval"])],
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "outlier_label": "no_validation",
    }

    _reader: WindowReader
    _windows: TrainingWindows
    _witnesses: Witnesses
    _coding: Coding | None

    def __init__(
        self,
        detector: Any = None,
        *,
        window: Any = "auto",
        stride: int = 1,
        features: Any = "statistics",
        causal: bool = True,
        threshold: Any = "auto",
        alpha: float = 0.05,
        outlier_label: Any = "auto",
    ) -> None:
        self.detector = detector
        self.window = window
        self.stride = stride
        self.features = features
        self.causal = causal
        self.threshold = threshold
        self.alpha = alpha
        self.outlier_label = outlier_label

    # --- fitting ----------------------------------------------------------------------------------
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, *, times: Any = None) -> Self:
        """Adapt to a series from its first steps, or some stretches of it.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time.
        y : array-like of shape (n_steps,), default=None
            Labels, as in the detectors; NaN or None marks an unknown step, which counts as normal.
        times : array-like of shape (n_steps,), default=None
            Time stamps or numbers of the steps. Where two of them are more than 1.5 times as far
            apart as usual, a new series begins. None takes the index of a frame of pandas, if it
            holds time stamps or growing whole numbers, and no gaps otherwise.

        Returns
        -------
        self : object
            The fitted detector.
        """
        with restored_on_error(self):
            rows = self._validated(X, ensure_min_samples=2)
            codes, coding = self._encoded(y, len(rows), None)
            self._fit_series(rows, codes, read_times(X, times, len(rows)), coding)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, *, times: Any = None) -> Self:
        """Add steps that follow those given so far: the same as one ``fit`` on all of them.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            More steps.
        y : array-like of shape (n_steps,), default=None
            Their labels.
        times : array-like of shape (n_steps,), default=None
            Their times, if ``fit`` was given times.

        Returns
        -------
        self : object
            The fitted detector.
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(X, y, times=times)
        with restored_on_error(self):
            rows = self._validated(X, reset=False)
            codes, coding = self._encoded(y, len(rows), self._coding)
            stamps = self._stamps_with(X, times)
            self._fit_series(
                np.concatenate([self.support_X_, rows]),
                np.concatenate([self.support_y_, codes]),
                stamps,
                coding,
            )
        return self

    # --- scoring ----------------------------------------------------------------------------------
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
        """
        return self.fit(X, y, times=times).predict(X, times=times)

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
        known = self._witnesses
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
        """
        check_is_fitted(self)
        normals = self._witnesses.normals
        less = np.searchsorted(normals, -self.score_samples(X, times=times))
        return np.asarray((1.0 + len(normals) - less) / (len(normals) + 1.0))

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
            Larger = more anomalous. Each row adds up to the anomaly score of the step's window.

        Raises
        ------
        TypeError
            If ``features`` does not tell which channel a column describes by a method
            ``channels()``, or ``detector`` has no ``feature_scores``.
        """
        check_is_fitted(self)
        of = self._channels()
        rows, starts = self._series(X, times)
        contributions = self.detector_.feature_scores(self._reader.rows(rows, starts))
        total = np.zeros((len(contributions), self.n_features_in_))
        for channel, column in zip(of, contributions.T, strict=True):
            total[:, channel] += column
        return self._reader.of_steps(total, len(rows), starts)

    def score(self, X: Any, y: Any = None, *, times: Any = None) -> float:
        """Compute the ROC AUC over steps, with the anomaly as the positive class.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time.
        y : array-like of shape (n_steps,)
            Their labels; required. Unknown steps are ignored.
        times : array-like of shape (n_steps,), default=None
            Their times.

        Returns
        -------
        auc : float
        """
        if y is None:
            raise ValueError("The labels 'y' of the steps are needed here; got None.")
        scores = -self.score_samples(X, times=times)
        how = {"outlier_label": self.outlier_label, "require_normal": False}
        codes = encode_labels(y, len(scores), known=self._coding, **how)
        known = codes != UNLABELLED
        return float(roc_auc_score(codes[known] == ANOMALOUS, scores[known]))

    def stream(self, history: Any = None) -> SeriesStream:
        """Score a live series step by step.

        Parameters
        ----------
        history : array-like of shape (n_steps, n_channels), default=None
            Steps before the first one to score, so that its window is whole.

        Returns
        -------
        stream : SeriesStream
        """
        check_is_fitted(self)
        return SeriesStream(self, history)

    # --- private ----------------------------------------------------------------------------------
    def _fit_series(
        self, rows: Array, codes: Codes, stamps: Array | None, coding: Coding | None
    ) -> None:
        refuse_huge(rows)
        starts = starts_of_series(stamps, len(rows))
        window = window_for(rows, starts) if self.window == "auto" else int(self.window)
        kept, groups = kept_steps(codes, starts, window, self.causal)
        self._reader = reader_of(
            self.features, window, self.stride, self.causal, rows, kept & (groups == 0), starts
        )
        windows = training_windows(self._reader, rows, kept, groups, starts)
        self.support_X_, self.support_y_, self._stamps = rows, codes, stamps
        self._coding, self._windows = coding, windows
        self.window_, self.features_ = window, self._reader.features
        self.detector_ = self._fitted(windows)
        scores = left_out_scores(
            lambda mask: lambda Z: -self._fitted(windows.part(mask)).score_samples(Z),
            windows.rows,
            windows.steps,
            windows.groups,
            window,
        )
        self._left_out = scores
        self._own = {row.tobytes(): i for i, row in enumerate(windows.rows)}
        self._witnesses = Witnesses.of(scores, windows.groups, windows.steps)
        self.n_independent_ = len(self._witnesses.normals)
        self._set_offset()

    def _fitted(self, windows: TrainingWindows) -> Any:
        """Fit a clone of the detector to windows."""
        detector = clone(InContextDetector() if self.detector is None else self.detector)
        return detector.fit(windows.rows, windows.y)

    def _set_offset(self) -> None:
        known = self._witnesses
        anomalies = known.anomalies if known.n_stretches > 1 else known.anomalies[:0]
        cut = resolve_threshold(self.threshold, self.alpha)(known.normals, anomalies)
        self.offset_ = -as_finite(cut, f"threshold={self.threshold!r}")

    def _window_scores(self, Z: Array) -> Array:
        """Score described windows; those of the training get their left-out scores: (m,)."""
        scores = np.array(self.detector_.score_samples(Z), dtype=np.float64)
        for i, row in enumerate(Z):
            own = self._own.get(row.tobytes())
            if own is not None:
                scores[i] = -self._left_out[own]
        return scores

    def _validated(self, X: Any, **checks: Any) -> Array:
        """Validate steps; missing values are left to detectors that accept them."""
        allowed = get_tags(self).input_tags.allow_nan
        finite: Any = "allow-nan" if allowed else True
        checks = {"dtype": np.float64, "order": "C", "ensure_all_finite": finite, **checks}
        rows: Array = validated_rows(self, X, **checks)
        return rows

    def _series(self, X: Any, times: Any) -> tuple[Array, list[int]]:
        """Validate steps to score; return them with the positions at which series start."""
        check_is_fitted(self)
        rows = self._validated(X, reset=False)
        return rows, starts_of_series(read_times(X, times, len(rows)), len(rows))

    def _encoded(self, y: Any, n: int, known: Coding | None) -> tuple[Codes, Coding | None]:
        """Encode labels of steps, all normal without ``y``; also return their coding."""
        how = {"outlier_label": self.outlier_label, "require_normal": known is None}
        codes, coding = read_labels(y, n, known=known, **how)
        return np.full(n, NORMAL, dtype=np.int8) if y is None else codes, coding

    def _stamps_with(self, X: Any, times: Any) -> Array | None:
        """Return the times of all steps given so far and of more; None if they just follow."""
        stamps = read_times(X, times, len(X))
        if self._stamps is None and times is None:
            return None
        if self._stamps is None or stamps is None:
            given, lacking = ("fit", "these") if stamps is None else ("these", "fit")
            raise ValueError(f"{given} steps have times and those of {lacking} have none.")
        if stamps[0] <= self._stamps[-1]:
            raise ValueError("The new steps must be later than those given so far.")
        return np.concatenate([self._stamps, stamps])

    def _channels(self) -> list[int]:
        """Return the channel that each column of the described windows is of."""
        if self.features == "raw":
            return list(range(self.n_features_in_)) * self.window_
        if not hasattr(self.features_, "channels"):
            raise TypeError(
                f"{type(self.features_).__name__} does not tell which channel a column is of: give "
                "it a method channels() that returns the position of a channel for each column."
            )
        return list(self.features_.channels())

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "offset_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags(multi_class=False)
        tags.input_tags.allow_nan = self.detector is None or bool(
            get_tags(self.detector).input_tags.allow_nan
        )
        return tags
