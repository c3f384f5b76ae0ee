"""Plot the contributions of features to anomaly scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

from .._input.estimators import final_estimator
from .._typing import Array
from ..model_selection._origins import named_contributions
from ._style import (
    ANOMALY_COLOR,
    NORMAL_COLOR,
    axes_or_new,
    check_matplotlib,
    tidy,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_CONTRIBUTION = "Contribution to the anomaly score"


class FeatureScoreDisplay:
    """Plot the contributions of features to anomaly scores: bars for a row, a heat map for more.

    Make one by :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    feature_scores : ndarray of shape (n_samples, n_features)
        Contributions, larger = more anomalous.
    feature_names : sequence of str, default=None
        ``x0``, ``x1``, ... when None.
    row_names : sequence, default=None
        Positions when None.
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
    >>> from sklearn_fsad.plotting import FeatureScoreDisplay
    >>> contributions = np.array([[0.1, 2.5, -0.3]])
    >>> display = FeatureScoreDisplay.from_predictions(
    ...     contributions, feature_names=["flow", "pressure", "current"]
    ... )
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['pressure', 'current', 'flow']
    """

    def __init__(
        self,
        feature_scores: Array,
        *,
        feature_names: Sequence[str] | None = None,
        row_names: Sequence[Any] | None = None,
        name: str | None = None,
    ) -> None:
        self.feature_scores = feature_scores
        self.feature_names = feature_names
        self.row_names = row_names
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        feature_names: Sequence[str] | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Explain rows by a fitted detector and plot the contributions.

        Parameters
        ----------
        estimator : estimator
            A fitted detector of this package, or a pipeline that ends with one.
        X : array-like of shape (n_samples, n_features)
            Rows; the index of a frame names them.
        feature_names : sequence of str, default=None
            When None those of :func:`~sklearn_fsad.model_selection.feature_scores`, or ``x0``,
            ``x1``, ...
        name : str, default=None
            For the title; the class of the detector when None.
        ax : matplotlib Axes, default=None
            A new figure when None.
        **kwargs
            As of :meth:`plot`.

        Returns
        -------
        display : FeatureScoreDisplay

        Raises
        ------
        TypeError
            If the detector has no ``feature_scores``.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        detector = final_estimator(estimator)
        title = type(detector).__name__ if name is None else name
        row_names = list(X.index) if hasattr(X, "index") and hasattr(X, "columns") else None
        names, scores = named_contributions(estimator, X)
        return cls.from_predictions(
            scores,
            feature_names=names if feature_names is None else feature_names,
            row_names=row_names,
            name=title,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        feature_scores: ArrayLike,
        *,
        feature_names: Sequence[str] | None = None,
        row_names: Sequence[Any] | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot contributions that are already computed.

        Parameters
        ----------
        feature_scores : array-like of shape (n_samples, n_features)
            Contributions, larger = more anomalous.
        feature_names : sequence of str of length n_features, default=None
            ``x0``, ``x1``, ... when None.
        row_names : sequence of length n_samples, default=None
            Positions when None.
        name : str, default=None
            For the title.
        ax : matplotlib Axes, default=None
            A new figure when None.
        **kwargs
            As of :meth:`plot`.

        Returns
        -------
        display : FeatureScoreDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        values = check_array(feature_scores, dtype=np.float64)
        for what, names, n in (
            ("feature_names", feature_names, values.shape[1]),
            ("row_names", row_names, len(values)),
        ):
            if names is not None and len(names) != n:
                raise ValueError(
                    f"{what} has {len(names)} entries for feature_scores of shape {values.shape}."
                )
        display = cls(values, feature_names=feature_names, row_names=row_names, name=name)
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        max_features: int = 15,
        **kwargs: Any,
    ) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure when None.
        name : str, default=None
            For the title; that of the constructor when None.
        max_features : int, default=15
            Largest number of features to show, those with the largest contributions; bars add up
            the others.
        **kwargs
            Parameters of ``Axes.barh`` for one row, of ``Axes.imshow`` for several.

        Returns
        -------
        display : FeatureScoreDisplay
            Itself, with ``ax_`` and ``figure_``.
        """
        values = self.feature_scores
        size = np.abs(values).max(axis=0)
        n_shown = min(max_features, values.shape[1])
        draw = self._plot_row if len(values) == 1 else self._plot_rows
        long = 0.26 * (n_shown if len(values) == 1 else min(len(values), 60))
        figure = {"figsize": (6.4, max(3.2, 1.4 + long))}
        self.ax_ = ax = axes_or_new(ax, f"{type(self).__name__}.plot", **figure)
        self.figure_: Figure = ax.figure  # type: ignore[assignment]
        draw(ax, np.argsort(-size, kind="stable")[:n_shown], kwargs)
        title = self.name if name is None else name
        if title:
            ax.set_title(title)
        return self

    def _names(self) -> list[str]:
        if self.feature_names is None:
            return [f"x{j}" for j in range(self.feature_scores.shape[1])]
        return [str(name) for name in self.feature_names]

    def _plot_row(self, ax: Axes, shown: NDArray[np.intp], kwargs: dict[str, Any]) -> None:
        row, names = self.feature_scores[0], self._names()
        values, labels = row[shown], [names[j] for j in shown]
        n_others = len(row) - len(shown)
        if n_others:
            values = np.append(values, np.delete(row, shown).sum())
            labels.append(f"{n_others} others")
        positions = np.arange(len(values))
        colors = np.where(values > 0, ANOMALY_COLOR, NORMAL_COLOR).tolist()
        ax.barh(positions, values, **{"color": colors, **kwargs})
        ax.set_yticks(positions, labels)
        ax.invert_yaxis()
        ax.axvline(0.0, color="black", linewidth=0.8)
        ax.set_xlabel(f"{_CONTRIBUTION}, {row.sum():.3g} in all\n(larger = more anomalous)")
        tidy(ax)

    def _plot_rows(self, ax: Axes, shown: NDArray[np.intp], kwargs: dict[str, Any]) -> None:
        shown = np.sort(shown)  # columns in the order of the table
        values, names = self.feature_scores[:, shown], self._names()
        most = float(np.abs(values).max()) or 1.0
        look = {"cmap": "RdBu_r", "vmin": -most, "vmax": most, "aspect": "auto"}
        image = ax.imshow(values, **{**look, "interpolation": "nearest", **kwargs})
        bar = ax.figure.colorbar(image, ax=ax)
        bar.set_label(f"{_CONTRIBUTION}\n(larger = more anomalous)")
        labels = [names[j] for j in shown]
        turned: dict[str, Any] = (
            {"rotation": 45, "ha": "right"} if max(map(len, labels)) > 3 else {}
        )
        ax.set_xticks(np.arange(len(shown)), labels, **turned)
        if self.row_names is not None and len(values) <= 60:
            ax.set_yticks(np.arange(len(values)), [str(r) for r in self.row_names])
        else:
            whole_numbers(ax.yaxis)
        ax.set_ylabel("Row")
        n_others = self.feature_scores.shape[1] - len(shown)
        if n_others:
            ax.set_xlabel(f"Feature ({n_others} of smaller contributions are not shown)")
        else:
            ax.set_xlabel("Feature")
