"""Plot the most anomalous rows with the columns to blame."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .._input.estimators import final_estimator
from ..model_selection import report
from ._style import ANOMALY_COLOR, GREY, SCORE_LABEL, axes_or_new, check_matplotlib, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class ReportDisplay:
    """Plot the most anomalous rows as bars, each with the two columns to blame.

    Make one by :meth:`from_estimator`. Bars of rows that are flagged are coloured.

    Parameters
    ----------
    report : DataFrame
        Of pandas, as of :func:`sklearn_fsad.model_selection.report`.
    name : str, default=None
        Name of the detector, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the plot; set by :meth:`plot`.
    figure_ : matplotlib Figure

    See Also
    --------
    FeatureScoreDisplay : All columns of a row.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.plotting import ReportDisplay
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> detector = ProtoNetDetector().fit(X)
    >>> display = ReportDisplay.from_estimator(detector, [[0.0, 6.0, 0.5], [0.0, 0.5, 0.0]], top=1)
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['0: x1 = 6, x0 = 0']
    """

    def __init__(self, report: Any, *, name: str | None = None) -> None:
        self.report = report
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        top: int | None = 10,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Report the most anomalous rows and plot them.

        Parameters
        ----------
        estimator : estimator
            A fitted outlier detector, or a pipeline that ends with one.
        X : array-like of shape (n_samples, n_features)
            Rows; the index of a frame of pandas names them.
        top : int or None, default=10
            Number of rows to show; None shows all.
        name : str, default=None
            For the title; the class of the detector when None.
        ax : matplotlib Axes, default=None
            A new figure when None.
        **kwargs
            Parameters of ``Axes.barh``.

        Returns
        -------
        display : ReportDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        found = report(estimator, X, top)
        if hasattr(found, "to_pandas"):  # of polars
            import pandas

            found = pandas.DataFrame(found.to_dict(as_series=False))
        title = type(final_estimator(estimator)).__name__ if name is None else name
        return cls(found, name=title).plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | None = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure when None.
        name : str, default=None
            For the title; that of the constructor when None.
        **kwargs
            Parameters of ``Axes.barh``.

        Returns
        -------
        display : ReportDisplay
            Itself, with ``ax_`` and ``figure_``.
        """
        figure = {"figsize": (6.4, 1.4 + 0.3 * len(self.report))}
        self.ax_ = ax = axes_or_new(ax, f"{type(self).__name__}.plot", **figure)
        self.figure_: Figure = ax.figure  # type: ignore[assignment]
        positions = np.arange(len(self.report))
        colors = np.where(self.report["flagged"], ANOMALY_COLOR, GREY).tolist()
        ax.barh(positions, self.report["anomaly_score"], **{"color": colors, **kwargs})
        ax.set_yticks(positions, self._labels())
        ax.invert_yaxis()
        ax.axvline(0.0, color="black", linewidth=0.8)
        ax.set_xlabel(f"{SCORE_LABEL}\nabove 0: flagged")
        title = self.name if name is None else name
        if title:
            ax.set_title(title)
        tidy(ax)
        return self

    def _labels(self) -> list[str]:
        """Name each row, with its columns to blame where the report tells them."""
        is_counted = list(self.report.index) == list(range(len(self.report)))
        names = self.report["row"] if is_counted else self.report.index
        blamed = [k for k in (1, 2) if f"column_{k}" in self.report]
        labels = []
        for name, (_, row) in zip(names, self.report.iterrows(), strict=True):
            parts = [f"{row[f'column_{k}']} = {_short(row[f'value_{k}'])}" for k in blamed]
            labels.append(f"{name}: {', '.join(parts)}" if parts else str(name))
        return labels


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, Real) else str(value)
