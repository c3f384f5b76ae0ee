"""Judge each step of a series by the window of steps around it."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import MetaEstimatorMixin, _fit_context, clone
from sklearn.utils import ClassifierTags, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._detectors.base.checks import forget_fit, restored_on_error
from .._detectors.in_context.detector import InContextDetector
from .._explain.report import check_top
from .._input.codings import Coding
from .._input.columns import known_columns
from .._input.labels import NORMAL, joined_coding, read_labels, warn_if_mostly_anomalous
from .._input.rows import refuse_huge, validated_rows
from .._input.times import UsualDistance, read_times, starts_of_series, times_with_more
from .._typing import Array, Codes
from .._version import doc_link_template
from ._decisions import StepDecisions
from ._fitting import WindowFits
from ._independent import IndependentScores
from ._learning import (
    CHOICES,
    WINDOWS,
    channels_of,
    check_widths,
    chosen,
    is_auto,
    name_of,
    past_series,
    settings,
    tasks_of,
)
from ._stretches import stretches
from ._training import (
    FEATURES,
    TrainingWindows,
    kept_steps,
    reader_of,
    warn_if_divided,
    windows_to_fit,
)


class WindowedDetector(MetaEstimatorMixin, StepDecisions):
    """Detect anomalous steps of a series: each is judged by the window of steps that ends with it.

    Rows are time steps, in order, and columns are channels; labels, scores and predictions are one
    for each step. Windows never reach across a gap in time. Neighbouring windows overlap, so each
    training window is scored by a detector that was fitted without the windows around it, and the
    threshold counts independent windows only. Of a labelled stretch of anomalies windows that share
    no step are used. The scores of a detector that is fitted with k labelled stretches are averaged
    with those of one that is fitted without labels: the first counts k times.

    Parameters
    ----------
    detector : estimator, default=None
        Detector of windows, of this package or any with ``fit`` and ``score_samples``; ``fit``
        fits a clone. One that uses no labels, such as ``IsolationForest``, is fitted to windows
        that are not labelled as anomalies. None is ``InContextDetector()``.
    window : int or "auto", default="auto"
        Steps of a window. "auto" is what ``meta_fit`` has chosen, among 8, 16 and 32; without it
        16, or less so that a series to fit to holds six windows, but at least 4.
    stride : int, default=1
        Steps between two windows. The score of a step is that of the newest window then.
    features : {"auto", "statistics", "mean", "raw"} or transformer, default="auto"
        How to describe windows: by :class:`WindowStatistics`; by the mean of each channel; by all
        values; or by a transformer of arrays (n_windows, window, n_channels), of which a clone is
        fitted to windows that are not labelled as anomalies, and others without the windows left
        out in turn. Steps before the start of the series
        repeat the first one for "raw" and for transformers. "auto" is what ``meta_fit`` has chosen,
        "statistics" or "mean"; without it "statistics".
    causal : bool, default=True
        Judge a step by itself and steps before it. False puts the step in the middle of its
        window, which takes steps to come.
    threshold : {"auto", "conformal", "f1"}, callable or PyThresh object, default="auto"
        How to choose the threshold on left-out scores of the training windows, as in the
        detectors. "auto" is "f1" if at least two stretches of anomalies are labelled, and
        "conformal" otherwise.
    alpha : float, default=0.05
        Rate of false alarms to aim at, among normal steps. A warning tells of one that takes more
        steps to promise, and how many. Nothing can be promised of steps unlike those of ``fit``.
    outlier_label : "auto", number or str, default="auto"
        The label of the anomalies, as in the detectors; "auto" is that of ``detector``.

    Attributes
    ----------
    detector_ : estimator
        The detector of windows, fitted with the labels where there are any.
    window_ : int
        Steps of a window.
    features_ : transformer
        Fitted description of windows.
    offset_ : float
        Threshold on ``score_samples``.
    n_independent_ : int
        Independent normal windows that the training windows are worth: their number divided by the
        autocorrelation time of their scores, or by the steps of a window if that is more.
    support_X_ : ndarray of shape (n_steps, n_channels)
        The series given to ``fit``.
    support_y_ : ndarray of shape (n_steps,)
        Its labels: 0 normal, 1 anomalous, -1 unlabelled.
    n_features_in_ : int
        Number of channels.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
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
    >>> X[400:420] *= 5  # a stretch of larger spread
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
        "features": [StrOptions({"auto", *FEATURES}), HasMethods(["fit", "transform"])],
        "causal": ["boolean"],
        "threshold": [StrOptions({"auto", "conformal", "f1"}), callable, HasMethods(["eval"])],
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "outlier_label": "no_validation",
    }

    _windows: TrainingWindows
    _left_out: Array
    _scorer: Any
    _stamps: Array | None

    def __init__(
        self,
        detector: Any = None,
        *,
        window: Any = "auto",
        stride: int = 1,
        features: Any = "auto",
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
    @_fit_context(prefer_skip_nested_validation=False)
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
            apart as usual, a new series begins; usual is the median distance here, also when steps
            are scored later. None takes the index of a frame of pandas, if it
            holds time stamps or growing whole numbers, and no gaps otherwise.

        Returns
        -------
        self : object
            The fitted detector.
        """
        with restored_on_error(self):
            rows = self._validated(X, ensure_min_samples=2)
            codes, coding = self._encoded(y, len(rows))
            self._fit_series(rows, codes, read_times(X, times, len(rows)), coding)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
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
            codes, coding = self._encoded(y, len(rows), known=self._coding, require_normal=False)
            coding = joined_coding(self._coding, coding, self._label_in_force)
            stamps = times_with_more(self._stamps, X, times, len(rows))
            self._fit_series(
                np.concatenate([self.support_X_, rows]),
                np.concatenate([self.support_y_, codes]),
                stamps,
                coding,
            )
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def meta_fit(self, X: Any, y: Any = None, *, groups: Any = None, times: Any = None) -> Self:
        """Learn across past series; ``fit`` then adapts to a new one.

        Windows, half a window apart, are the rows of a task for each series, on which a clone of
        ``detector`` is meta-fitted; they are closer together in a series that has fewer than six
        normal ones. It becomes the parameter ``detector``, so that clones and
        searches keep it. With ``window="auto"`` or ``features="auto"`` its state also holds what
        held-out series have chosen: other than windows of 16 and "statistics" only what is better
        by one standard error. ``fit`` refuses other windows and features, and channels of other
        names.

        Parameters
        ----------
        X : list or dict of (X_t, y_t), or array-like of shape (n_steps, n_channels)
            The series, each in order of time, or all steps together with ``groups``.
        y : array-like of shape (n_steps,), default=None
            Labels of all steps.
        groups : array-like of shape (n_steps,), default=None
            Series of each step.
        times : array-like of shape (n_steps,), or list or dict of those, default=None
            Times of all steps with ``groups``, else of each series. None takes the index of frames.

        Returns
        -------
        self : object
            The meta-fitted detector.

        Raises
        ------
        TypeError
            If ``detector`` has no ``meta_fit``.
        """
        detector = self._new_detector()
        if not hasattr(detector, "meta_fit"):
            raise TypeError(f"{type(detector).__name__} has no meta_fit: call fit alone.")
        series = past_series(X, y, groups, times, self._label_in_force)
        channels = channels_of(series)
        windows = WINDOWS if self.window == "auto" else (int(self.window),)
        features = CHOICES if is_auto(self.features) else (self.features,)
        window, described = chosen(series, windows, features, self.causal)
        detector.meta_fit(tasks_of(series, window, described, self.causal))
        found = {"window": window, "channels": channels, "features": name_of(described)}
        detector.pretrained = detector.pretrained.with_arrays({}, windows=found)
        if hasattr(self.detector, "outlier_label"):
            detector.set_params(outlier_label=self.detector.outlier_label)
        forget_fit(self)
        self.detector = detector
        return self

    def report(self, X: Any, top: int | None = 10, *, times: Any = None) -> Any:
        """List the flagged stretches, the most anomalous first, with the channels to blame.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time.
        top : int or None, default=10
            Number of stretches to list; None lists all.
        times : array-like of shape (n_steps,), default=None
            Their times.

        Returns
        -------
        report : DataFrame of pandas
            One row for each stretch, as of :func:`~sklearn_fsad.series.stretches`, which takes more
            parameters. Without a flagged step it is empty.

        Raises
        ------
        ValueError
            If ``top`` is not a positive integer or None.
        ImportError
            If pandas is not installed.
        """
        check_is_fitted(self)
        return stretches(self, X, times, n=check_top(top))

    # --- private ----------------------------------------------------------------------------------
    def _fit_series(
        self, rows: Array, codes: Codes, stamps: Array | None, coding: Coding | None
    ) -> None:
        refuse_huge(rows)
        warn_if_mostly_anomalous(codes, coding, self._label_in_force)
        starts = starts_of_series(stamps, len(rows))
        given = self.detector, self.window, self.features
        window, features = settings(*given, rows, starts, known_columns(self))
        warn_if_divided(codes, starts, window)
        kept, groups = kept_steps(codes, starts, window, self.causal, self.stride)
        normal = kept & (groups == 0)
        reader = reader_of(features, window, self.stride, self.causal, rows, normal, starts)
        windows = windows_to_fit(reader, rows, kept, groups, starts)
        check_widths(self.detector, windows.rows.shape[1], rows.shape[1])
        self.support_X_, self.support_y_, self._stamps = rows, codes, stamps
        self._usual = UsualDistance.of(stamps)
        self._coding, self._reader, self._windows = coding, reader, windows
        self.window_, self.features_ = window, reader.features
        fits = WindowFits(self._new_detector(-1), reader, rows, starts)
        self.detector_ = fits.fitted(windows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # issued by the fit above
            self._scorer, self._left_out = fits.scorer(windows, self.detector_)
        self._independent = IndependentScores.of(
            self._left_out, windows.groups, windows.steps, window / self.stride
        )
        self.n_independent_ = len(self._independent.normals)
        self._set_offset()

    def _new_detector(self, outlier_label: Any = "auto") -> Any:
        """Clone the detector, to be given labels of windows."""
        detector = clone(InContextDetector() if self.detector is None else self.detector)
        if "outlier_label" in detector.get_params(deep=False):
            detector.set_params(outlier_label=outlier_label)
        return detector

    def _window_scores(self, Z: Array) -> Array:
        """Score described windows; those of the training get their left-out scores: (m,)."""
        scores = np.array(self._scorer.score_samples(Z), dtype=np.float64)
        own = self._windows.find(Z)
        scores[own >= 0] = -self._left_out[own[own >= 0]]
        return scores

    def _validated(self, X: Any, **checks: Any) -> Array:
        """Validate steps; missing values are left to detectors that accept them."""
        allowed = get_tags(self).input_tags.allow_nan
        finite: Any = "allow-nan" if allowed else True
        checks = {"dtype": np.float64, "order": "C", "ensure_all_finite": finite, **checks}
        rows: Array = validated_rows(self, X, **checks)
        return rows

    def _encoded(self, y: Any, n: int, **how: Any) -> tuple[Codes, Coding | None]:
        """Encode labels of steps, all normal without ``y``; also return their coding."""
        codes, coding = read_labels(y, n, outlier_label=self._label_in_force, **how)
        return np.full(n, NORMAL, dtype=np.int8) if y is None else codes, coding

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "offset_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags(multi_class=False)
        tags.input_tags.allow_nan = self.detector is None or bool(
            get_tags(self.detector).input_tags.allow_nan
        )
        return tags
