"""Plot the training rows, their prototypes and new rows in two dimensions."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA

from .._input.codings import Coding
from .._input.containers import n_rows
from .._input.estimators import (
    anomaly_predictions,
    coding_of_fit,
    final_estimator,
    preprocessed,
)
from .._input.labels import ANOMALOUS, NORMAL, UNLABELLED, encode_labels
from .._input.rows import named_rows
from .._typing import Array, Codes
from ._style import KIND_COLORS, KINDS, axes_or_new, check_matplotlib, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class EmbeddingDisplay:
    """Plot the training rows of a task (the support), their prototypes and new rows.

    Make one by :meth:`from_estimator` or :meth:`from_embeddings`. The two directions are the first
    two principal components of the training rows; new rows do not change them.

    Parameters
    ----------
    support : ndarray of shape (n_support, 2)
        Coordinates of the training rows.
    support_y : ndarray of shape (n_support,)
        0 normal, 1 anomalous, -1 unlabelled.
    query : ndarray of shape (n_query, 2), default=None
        Coordinates of new rows.
    query_y : ndarray of shape (n_query,), default=None
        Their labels, coded like those of the support.
    explained : (float, float), default=None
        Shares of the variance of the training rows along the two directions.
    query_is_predicted : bool, default=False
        Whether ``query_y`` holds predictions of the detector.
    name : str, default=None
        Name of the detector, for the title.

    Attributes
    ----------
    prototypes_ : dict of str to ndarray of shape (2,)
        Mean of the normal (with unlabelled) and of the anomalous training rows.
    ax_ : matplotlib Axes
        The axes of the plot; set by :meth:`plot`.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.datasets import make_related_tasks
    >>> from sklearn_fsad.plotting import EmbeddingDisplay
    >>> task = make_related_tasks(1, random_state=0)[0]
    >>> detector = ProtoNetDetector().fit(task.X[20:44], task.y[20:44])
    >>> display = EmbeddingDisplay.from_estimator(detector, task.X, task.y)
    >>> sorted(display.prototypes_)
    ['anomalous', 'normal']
    """

    def __init__(
        self,
        support: Array,
        support_y: Codes,
        query: Array | None = None,
        query_y: Codes | None = None,
        *,
        explained: tuple[float, float] | None = None,
        query_is_predicted: bool = False,
        name: str | None = None,
    ) -> None:
        self.support = support
        self.support_y = support_y
        self.query = query
        self.query_y = query_y
        self.explained = explained
        self.query_is_predicted = query_is_predicted
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        y: Any = None,
        *,
        support: tuple[Any, Any] | None = None,
        outlier_label: Any = "auto",
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the training rows of a fitted detector, and new rows.

        Parameters
        ----------
        estimator : estimator
            A fitted detector, or a pipeline that ends with one. Rows are embedded by its
            ``transform``; for a detector without one they are shown as they are.
        X : array-like of shape (n_query, n_features), default=None
            New rows.
        y : array-like of shape (n_query,), default=None
            Their labels; without them rows are coloured by the detector's predictions.
        support : (X, y), default=None
            The training rows of a detector that does not keep them, such as PyOD's; ``y`` may be
            None.
        outlier_label : "auto", number or str, default="auto"
            The label of the anomalies in ``y``.
        name : str, default=None
            For the title; the class of the detector when None.
        ax : matplotlib Axes, default=None
            A new figure when None.
        **kwargs
            As of :meth:`plot`.

        Returns
        -------
        display : EmbeddingDisplay

        Raises
        ------
        ValueError
            If the detector is not fitted, or does not keep its training rows and none were given,
            or if it has no ``transform`` and its rows have gaps or are no numbers.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        detector = final_estimator(estimator)
        title = type(detector).__name__ if name is None else name
        codes = None
        if X is not None and y is None:
            codes = anomaly_predictions(estimator, X).astype(np.int8)
        elif X is not None:
            codes = _codes(y, n_rows(X), outlier_label, coding_of_fit(estimator))
        X = None if X is None else preprocessed(estimator, X)
        if support is not None:
            n, known = n_rows(support[0]), coding_of_fit(estimator)
            support_codes = _codes(support[1], n, outlier_label, known)
            rows = preprocessed(estimator, support[0])
        elif hasattr(detector, "support_X_"):
            rows, support_codes = detector.support_X_, detector.support_y_
        else:
            raise ValueError(
                f"{title} is not fitted or does not keep its training rows: fit it, and pass "
                "support=(X, y)."
            )
        display = cls._projected(
            _embedded(detector, rows),
            support_codes,
            None if X is None else _embedded(detector, X),
            codes,
        )
        display.query_is_predicted = y is None
        display.name = title
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_embeddings(
        cls,
        support: ArrayLike,
        support_y: Any,
        query: ArrayLike | None = None,
        query_y: Any = None,
        *,
        outlier_label: Any = "auto",
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot rows that are already embedded.

        Parameters
        ----------
        support : array-like of shape (n_support, n_dimensions)
            Embedded training rows, at least two.
        support_y : array-like of shape (n_support,) or None
            Their labels, in any accepted coding.
        query : array-like of shape (n_query, n_dimensions), default=None
            Embedded new rows.
        query_y : array-like of shape (n_query,), default=None
            Their labels.
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
        display : EmbeddingDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_embeddings")
        points = named_rows(support)[0]
        rows = None if query is None else named_rows(query)[0]
        display = cls._projected(
            points,
            _codes(support_y, len(points), outlier_label),
            rows,
            None if rows is None else _codes(query_y, len(rows), outlier_label),
        )
        display.name = name
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def _projected(
        cls, support: Array, support_y: Codes, query: Array | None, query_y: Codes | None
    ) -> Self:
        """Project embedded rows on the principal components of the support."""
        pca = PCA(min(2, *support.shape)).fit(support)
        shares = np.zeros(2)
        shares[: pca.n_components_] = np.nan_to_num(pca.explained_variance_ratio_)
        return cls(
            _two(pca.transform(support)),
            support_y,
            None if query is None else _two(pca.transform(query)),
            query_y,
            explained=(float(shares[0]), float(shares[1])),
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        prototypes: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure when None.
        name : str, default=None
            For the title; that of the constructor when None.
        prototypes : bool, default=True
            Whether to mark the prototypes.
        **kwargs
            Parameters of ``Axes.scatter``, for the new rows.

        Returns
        -------
        display : EmbeddingDisplay
            Itself, with ``prototypes_``, ``ax_`` and ``figure_``.
        """
        beside: dict[str, Any] = (
            {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if ax is None else {}
        )
        self.ax_ = ax = axes_or_new(ax, f"{type(self).__name__}.plot")
        self.figure_: Figure = ax.figure  # type: ignore[assignment]
        kinds = {NORMAL: self.support_y != ANOMALOUS, ANOMALOUS: self.support_y == ANOMALOUS}
        self.prototypes_ = {
            KINDS[kind]: self.support[rows].mean(axis=0)
            for kind, rows in kinds.items()
            if rows.any()
        }
        self._plot_query(ax, kwargs)
        self._plot_support(ax, prototypes)
        shares = ["", ""] if self.explained is None else [f" ({s:.0%})" for s in self.explained]
        ax.set(
            xlabel=f"First principal direction of the support{shares[0]}",
            ylabel=f"Second principal direction{shares[1]}",
        )
        title = self.name if name is None else name
        if title:
            ax.set_title(title)
        tidy(ax)
        ax.legend(edgecolor="none", fontsize="small", **beside)
        return self

    def _plot_query(self, ax: Axes, kwargs: dict[str, Any]) -> None:
        if self.query is None or self.query_y is None:
            return
        prefix = "new, predicted " if self.query_is_predicted else "new, "
        for kind, part in _by_kind(self.query, self.query_y):
            look: dict[str, Any] = {"color": KIND_COLORS[kind], "s": 16, "alpha": 0.45}
            look |= {"marker": "x" if kind == ANOMALOUS else "o", "label": prefix + KINDS[kind]}
            ax.scatter(part[:, 0], part[:, 1], **{**look, **kwargs})

    def _plot_support(self, ax: Axes, prototypes: bool) -> None:
        for kind, part in _by_kind(self.support, self.support_y):
            look: dict[str, Any] = {"color": KIND_COLORS[kind], "edgecolor": "black", "s": 52}
            look |= {"marker": "X" if kind == ANOMALOUS else "o", "linewidth": 0.9, "zorder": 3}
            ax.scatter(part[:, 0], part[:, 1], label=f"support, {KINDS[kind]}", **look)
        for kind in (NORMAL, ANOMALOUS) if prototypes else ():
            if KINDS[kind] in self.prototypes_:
                x, y = self.prototypes_[KINDS[kind]]
                look = {"color": KIND_COLORS[kind], "edgecolor": "white", "s": 340}
                look |= {"marker": "*", "linewidth": 1.4, "zorder": 4}
                ax.scatter(x, y, label=f"prototype, {KINDS[kind]}", **look)


def _by_kind(points: Array, codes: Codes) -> list[tuple[int, Array]]:
    kinds = (NORMAL, UNLABELLED, ANOMALOUS)
    return [(kind, points[codes == kind]) for kind in kinds if (codes == kind).any()]


def _embedded(detector: Any, X: Any) -> Array:
    """Embed rows by the ``transform`` of a detector, or return the rows where it has none."""
    if not hasattr(detector, "transform"):
        return _as_they_are(detector, X)
    with warnings.catch_warnings():  # the support that a detector keeps has lost its column names
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        return np.asarray(detector.transform(X), dtype=np.float64)


def _as_they_are(detector: Any, X: Any) -> Array:
    try:
        return named_rows(X)[0]
    except ValueError as error:
        raise ValueError(
            f"{type(detector).__name__} has no transform, so its rows are shown as they are, and "
            "must be finite numbers without gaps. ProtoNetDetector has one, which reads gaps and "
            "categories."
        ) from error


def _codes(y: Any, n: int, outlier_label: Any, known: Coding | None = None) -> Codes:
    return encode_labels(y, n, outlier_label=outlier_label, require_normal=False, known=known)


def _two(points: Array) -> Array:
    """Pad or cut points to exactly two columns."""
    return np.pad(points, ((0, 0), (0, max(0, 2 - points.shape[1]))))[:, :2]
