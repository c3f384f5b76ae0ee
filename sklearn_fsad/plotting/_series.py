"""Plot a series with its anomaly score."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import find_objects
from scipy.ndimage import label as numbered
from sklearn.utils import check_consistent_length, column_or_1d

from .._input.estimators import coding_of_fit
from .._input.labels import ANOMALOUS, codes_to_labels, encode_labels
from .._input.rows import named_rows
from .._typing import Array, Codes, Mask
from ._steps import channels_to_show, named_channels, scores_of_steps, times_to_show
from ._style import ANOMALY_COLOR, NORMAL_COLOR, check_matplotlib, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class SeriesDisplay:
    """Plot channels of a series above each other, and the anomaly score of its steps below them.

    Make one by :meth:`from_estimator` or :meth:`from_predictions`. Stretches that are labelled as
    anomalies are shaded, and flagged steps are marked.

    Parameters
    ----------
    X : ndarray of shape (n_steps, n_channels)
        The channels to show.
    scores : ndarray of shape (n_steps,)
        Anomaly scores, larger = more anomalous.
    y : ndarray of shape (n_steps,)
        0 normal, 1 anomalous, -1 unlabelled.
    threshold : float, default=None
        The score above which a step is flagged; None draws no line and flags nothing.
    times : ndarray of shape (n_steps,), default=None
        Numbers or time stamps; positions when None.
    starts : sequence of int, default=(0,)
        Positions at which the series starts, or goes on after a gap: no line is drawn across it.
    channel_names : sequence of str, default=None
        ``x0``, ``x1``, ... when None.
    name : str, default=None
        Name of the detector, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the score; set by :meth:`plot`.
    axes_ : list of matplotlib Axes
        Those of the channels, from the top, and that of the score.
    figure_ : matplotlib Figure

    See Also
    --------
    sklearn_fsad.series.stretches : The flagged stretches as a list.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import ProtoNetDetector, WindowedDetector
    >>> from sklearn_fsad.plotting import SeriesDisplay
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> X[400:420, 1] += 3
    >>> detector = WindowedDetector(ProtoNetDetector(), window=8).fit(X[:300])
    >>> display = SeriesDisplay.from_estimator(detector, X[300:])
    >>> [ax.get_ylabel() for ax in display.axes_]
    ['x0', 'x1', 'anomaly score']
    """

    def __init__(
        self,
        X: Array,
        scores: Array,
        y: Codes,
        *,
        threshold: float | None = None,
        times: NDArray[Any] | None = None,
        starts: Sequence[int] = (0,),
        channel_names: Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        self.X = X
        self.scores = scores
        self.y = y
        self.threshold = threshold
        self.times = times
        self.starts = starts
        self.channel_names = channel_names
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        times: Any = None,
        channels: Sequence[Any] | None = None,
        outlier_label: Any = "auto",
        name: str | None = None,
        ax: Axes | Sequence[Axes] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Score the steps of a series by a fitted detector and plot them.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`~sklearn_fsad.WindowedDetector`; or another detector, classifier
            or pipeline, which then judges each step alone.
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time.
        y : array-like of shape (n_steps,), default=None
            Their labels, in any accepted coding.
        times : array-like of shape (n_steps,), default=None
            Their times. None takes the index of a frame of pandas, if it holds time stamps or
            growing whole numbers, and positions otherwise.
        channels : sequence of str or int, default=None
            Names or positions of the channels to show, from the top. None shows all if they are at
            most four, else the four that add most to the scores of the most anomalous steps; the
            first four where a detector is no ``WindowedDetector`` or has no ``feature_scores``.
        outlier_label : "auto", number or str, default="auto"
            The label of the anomalies.
        name : str, default=None
            For the title; the class of the estimator when None.
        ax : matplotlib Axes or sequence of them, default=None
            As of :meth:`plot`.
        **kwargs
            As of :meth:`plot`.

        Returns
        -------
        display : SeriesDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        scores, threshold = scores_of_steps(estimator, X, times, outlier_label)
        if y is not None:
            known = coding_of_fit(estimator)
            how = {"outlier_label": outlier_label, "require_normal": False, "known": known}
            y = codes_to_labels(encode_labels(y, len(scores), **how))
        if channels is None:
            channels = channels_to_show(estimator, X, times, scores)
        return cls.from_predictions(
            X,
            scores,
            y,
            threshold=threshold,
            times=times,
            channels=channels,
            outlier_label=ANOMALOUS,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        X: Any,
        scores: ArrayLike,
        y: Any = None,
        *,
        threshold: float | None = None,
        times: Any = None,
        channels: Sequence[Any] | None = None,
        outlier_label: Any = "auto",
        name: str | None = None,
        ax: Axes | Sequence[Axes] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot a series with scores that are already computed.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_channels)
            Steps in order of time.
        scores : array-like of shape (n_steps,)
            Anomaly scores, larger = more anomalous: ``-detector.score_samples(X)``.
        y : array-like of shape (n_steps,), default=None
            Labels in any accepted coding.
        threshold : float, default=None
            The score above which a step is flagged: ``-detector.offset_``.
        times : array-like of shape (n_steps,), default=None
            Their times, as in :meth:`from_estimator`.
        channels : sequence of str or int, default=None
            Names or positions of the channels to show, from the top; the first four when None.
        outlier_label : "auto", number or str, default="auto"
            The label of the anomalies.
        name : str, default=None
            For the title.
        ax : matplotlib Axes or sequence of them, default=None
            As of :meth:`plot`.
        **kwargs
            As of :meth:`plot`.

        Returns
        -------
        display : SeriesDisplay

        Raises
        ------
        ValueError
            If the lengths differ, a score is not finite, ``threshold`` is NaN, a channel is not in
            ``X``, or the labels are in no accepted coding.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        rows, _ = named_rows(X, dtype=np.float64, ensure_all_finite="allow-nan")
        values = column_or_1d(np.asarray(scores, dtype=np.float64))
        check_consistent_length(rows, values)
        if not np.isfinite(values).all():
            raise ValueError("scores must be finite.")
        if threshold is not None and np.isnan(threshold):
            raise ValueError(f"threshold={threshold} must be a number.")
        codes = encode_labels(y, len(rows), outlier_label=outlier_label, require_normal=False)
        shown, names = named_channels(X, channels)
        stamps, starts = times_to_show(X, times, len(rows))
        how: dict[str, Any] = {"times": stamps, "starts": starts, "channel_names": names}
        display = cls(rows[:, shown], values, codes, threshold=threshold, name=name, **how)
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Axes | Sequence[Axes] | None = None,
        *,
        name: str | None = None,
        threshold_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of them, default=None
            A new figure when None. A single one shows the score alone; of several the last one
            does, and the others the channels.
        name : str, default=None
            For the title; that of the constructor when None.
        threshold_kwargs : dict, default=None
            Parameters of ``Axes.axhline`` for the threshold.
        **kwargs
            Parameters of ``Axes.plot``, for the lines of the channels and of the score.

        Returns
        -------
        display : SeriesDisplay
            Itself, with ``ax_``, ``axes_`` and ``figure_``.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        self.axes_ = (
            self._new_axes() if ax is None else list(np.ravel(np.asarray(ax, dtype=object)))
        )
        self.ax_ = self.axes_[-1]
        self.figure_: Figure = self.ax_.figure  # type: ignore[assignment]
        names = self._names()
        for panel, values, label in zip(self.axes_[:-1], self.X.T, names, strict=False):
            self._line(panel, values, {"color": NORMAL_COLOR, **kwargs})
            panel.set_ylabel(label)
        self._plot_scores(kwargs, threshold_kwargs or {})
        for panel in self.axes_:
            self._shade(panel)
            tidy(panel)
        if ax is None:
            self.figure_.align_ylabels()
        title = self.name if name is None else name
        if title:
            self.axes_[0].set_title(title)
        if self.ax_.get_legend_handles_labels()[1]:
            self.ax_.legend(frameon=False, loc="upper left", ncols=3, fontsize="small")
        return self

    def _new_axes(self) -> list[Axes]:
        import matplotlib.pyplot as plt

        n = self.X.shape[1]
        ratios = [*[1.0] * n, 1.6]
        size = (8.0, 1.1 + 1.1 * sum(ratios))
        look: dict[str, Any] = {"sharex": True, "layout": "constrained", "figsize": size}
        _, axes = plt.subplots(n + 1, 1, squeeze=False, height_ratios=ratios, **look)
        return list(axes[:, 0])

    def _plot_scores(self, kwargs: dict[str, Any], threshold_kwargs: dict[str, Any]) -> None:
        ax, flagged = self.ax_, self._flagged()
        self._line(ax, self.scores, {"color": "black", **kwargs})
        if self.threshold is not None:
            line = {"color": "black", "linestyle": "--", "linewidth": 0.8, "label": "threshold"}
            ax.axhline(self.threshold, **{**line, **threshold_kwargs})
        if flagged.any():
            dots: dict[str, Any] = {"linestyle": "", "marker": ".", "color": ANOMALY_COLOR}
            label = f"flagged ({flagged.sum()} steps)"
            ax.plot(self._times()[flagged], self.scores[flagged], **dots, label=label)
        ax.set(xlabel="step" if self.times is None else "time", ylabel="anomaly score")
        if self._times().dtype.kind == "M":
            _short_dates(ax)
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.3 * (high - low))  # room for the legend

    def _line(self, ax: Axes, values: Array, look: dict[str, Any]) -> None:
        """Draw a line that is broken at gaps."""
        times = self._times()
        for a, b in pairwise([*self.starts, len(values)]):
            ax.plot(times[a:b], values[a:b], **{"linewidth": 1.0, **look})

    def _shade(self, ax: Axes) -> None:
        """Shade the labelled stretches, half a step to the left and to the right."""
        times, label = self._times(), "labelled anomalies"
        half = np.diff(times).min() / 2 if len(times) > 1 else 0
        look: dict[str, Any] = {"color": ANOMALY_COLOR, "alpha": 0.15, "linewidth": 1}
        for a, b in pairwise([*self.starts, len(times)]):
            runs, _ = numbered(self.y[a:b] == ANOMALOUS)
            for (run,) in find_objects(runs):
                first, last = times[a:b][run][[0, -1]]
                ax.axvspan(first - half, last + half, **look, label=label)
                label = ""

    def _flagged(self) -> Mask:
        threshold = np.inf if self.threshold is None else self.threshold
        return np.asarray(self.scores > threshold)

    def _times(self) -> NDArray[Any]:
        return np.arange(len(self.scores)) if self.times is None else self.times

    def _names(self) -> list[str]:
        given = self.channel_names
        return [f"x{j}" for j in range(self.X.shape[1])] if given is None else list(given)


def _short_dates(ax: Axes) -> None:
    """Write the date once, and the hours that differ."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
