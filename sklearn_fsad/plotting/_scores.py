"""Plot histograms of anomaly scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import _num_samples

from .._input.estimators import coding_of_fit
from .._input.labels import ANOMALOUS, NORMAL, UNLABELLED, codes_to_labels, encode_labels
from ._style import (
    KIND_COLORS,
    KINDS,
    SCORE_LABEL,
    axes_or_new,
    check_matplotlib,
    scores_and_threshold,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_FAR = 3.0  # ranges of the middle 98 % that are shown beyond it


class AnomalyScoreDisplay:
    """Plot histograms of the anomaly scores of normal and anomalous rows, with the threshold.

    Make one by :meth:`from_estimator` or :meth:`from_predictions`. The bars of each kind of rows
    add up to 1, so that a few anomalies can be seen beside many normal rows.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Anomaly scores, larger = more anomalous.
    y : ndarray of shape (n_samples,)
        0 normal, 1 anomalous, -1 unlabelled.
    threshold : float, default=None
        The score above which a row is called an anomaly; None draws no line.
    name : str, default=None
        Name of the detector, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the plot; set by :meth:`plot`.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.plotting import AnomalyScoreDisplay
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(60, 3)), np.repeat([0, 1], [50, 10])
    >>> X[50:] += 4.0
    >>> detector = ProtoNetDetector().fit(X[:20])
    >>> display = AnomalyScoreDisplay.from_estimator(detector, X[20:], y[20:])
    >>> display.ax_.get_xlabel()
    'Anomaly score (larger = more anomalous)'
    """

    def __init__(
        self,
        scores: NDArray[np.float64],
        y: NDArray[np.int8],
        *,
        threshold: float | None = None,
        name: str | None = None,
    ) -> None:
        self.scores = scores
        self.y = y
        self.threshold = threshold
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        outlier_label: Any = "auto",
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Score rows by a fitted detector and plot the scores.

        Parameters
        ----------
        estimator : estimator
            A fitted outlier detector of this package, scikit-learn or PyOD, a binary classifier,
            or a pipeline that ends with one. The threshold is the one that ``predict`` uses.
        X : array-like of shape (n_samples, n_features)
            Rows, preferably not those that the detector was fitted to.
        y : array-like of shape (n_samples,), default=None
            Their labels, in any accepted coding; without them there is one histogram.
        outlier_label : "auto", number or str, default="auto"
            The label of the anomalies.
        name : str, default=None
            For the title; the class of the estimator when None.
        ax : matplotlib Axes, default=None
            A new figure when None.
        **kwargs
            As of :meth:`plot`.

        Returns
        -------
        display : AnomalyScoreDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        scores, threshold = scores_and_threshold(estimator, X, outlier_label)
        if y is not None:
            known = coding_of_fit(estimator)
            how = {"outlier_label": outlier_label, "require_normal": False, "known": known}
            y = codes_to_labels(encode_labels(y, len(scores), **how))
        return cls.from_predictions(
            y,
            scores,
            threshold=threshold,
            outlier_label=ANOMALOUS,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        scores: ArrayLike,
        *,
        threshold: float | None = None,
        outlier_label: Any = "auto",
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot scores that are already computed.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or None
            Labels in any accepted coding.
        scores : array-like of shape (n_samples,)
            Anomaly scores, larger = more anomalous: ``-detector.score_samples(X)``.
        threshold : float, default=None
            The score above which a row is called an anomaly: ``-detector.offset_``.
        outlier_label : "auto", number or str, default="auto"
            The label of the anomalies.
        name : str, default=None
            For the title.
        ax : matplotlib Axes, default=None
            A new figure when None.
        **kwargs
            As of :meth:`plot`.

        Returns
        -------
        display : AnomalyScoreDisplay

        Raises
        ------
        ValueError
            If the lengths differ, a score is not finite, ``threshold`` is NaN, or the labels are in
            no accepted coding.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        values = column_or_1d(np.asarray(scores, dtype=np.float64))
        if y_true is not None:
            check_consistent_length(y_true, values)
        if not len(values) or not np.isfinite(values).all():
            raise ValueError("scores must be finite, and at least one.")
        if threshold is not None and np.isnan(threshold):
            raise ValueError(f"threshold={threshold} must be a number.")
        codes = encode_labels(
            y_true, _num_samples(values), outlier_label=outlier_label, require_normal=False
        )
        return cls(values, codes, threshold=threshold, name=name).plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        bins: Any = 30,
        threshold_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure when None.
        name : str, default=None
            For the title; that of the constructor when None.
        bins : int or sequence of float, default=30
            Number of bins, of equal width, or their edges. Scores far from most others are put into
            the outermost bins, with a note at the axis.
        threshold_kwargs : dict, default=None
            Parameters of ``Axes.axvline`` for the threshold.
        **kwargs
            Parameters of ``Axes.hist``.

        Returns
        -------
        display : AnomalyScoreDisplay
            Itself, with ``ax_`` and ``figure_``.
        """
        self.ax_ = ax = axes_or_new(ax, f"{type(self).__name__}.plot")
        self.figure_: Figure = ax.figure  # type: ignore[assignment]
        edges = self._edges(int(bins)) if np.ndim(bins) == 0 else np.asarray(bins)
        shown = np.clip(self.scores, edges[0], edges[-1])
        for kind in (NORMAL, UNLABELLED, ANOMALOUS):
            part = shown[self.y == kind]
            if len(part):
                color = KIND_COLORS[kind]
                look: dict[str, Any] = {"histtype": "stepfilled", "linewidth": 1.3}
                look |= {"facecolor": (color, 0.4), "edgecolor": color, "label": self._label(kind)}
                look |= {"weights": np.full(len(part), 1 / len(part))}
                ax.hist(part, list(edges), **{**look, **kwargs})
        if self.threshold is not None:
            line: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.2}
            line["label"] = "threshold"
            ax.axvline(self.threshold, **{**line, **(threshold_kwargs or {})})
        beyond = int((shown != self.scores).sum())
        note = f"\n{beyond} rows beyond the axis are in its outermost bins" if beyond else ""
        ax.set(xlabel=SCORE_LABEL + note, ylabel="Share of the rows of a kind")
        title = self.name if name is None else name
        if title:
            ax.set_title(title)
        tidy(ax)
        ax.margins(y=0.2)  # room for the legend
        ax.legend(edgecolor="none")
        return self

    def _edges(self, n_bins: int) -> NDArray[np.float64]:
        """Choose bins that cover the threshold and all scores but those far from most others."""
        low, high = np.quantile(self.scores, [0.01, 0.99])
        far = _FAR * (high - low)
        low, high = max(self.scores.min(), low - far), min(self.scores.max(), high + far)
        if self.threshold is not None and np.isfinite(self.threshold):
            low, high = min(low, self.threshold), max(high, self.threshold)
        if high <= low:
            low, high = low - 0.5, high + 0.5
        return np.linspace(low, high, n_bins + 1)

    def _label(self, kind: int) -> str:
        """Describe a kind of rows: its name, number, and share flagged as anomalies."""
        part = self.scores[self.y == kind]
        if self.threshold is None:
            return f"{KINDS[kind]} ({len(part)})"
        return f"{KINDS[kind]} ({len(part)}, {(part > self.threshold).mean():.0%} flagged)"
