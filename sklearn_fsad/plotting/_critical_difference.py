"""Plot mean ranks of detectors, and which of them do not differ significantly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .._stats.rank_tests import cliques
from ..model_selection._comparison import Comparison
from ..model_selection._comparison_tables import metric_name, shots_name
from ._style import SERIES_COLORS, axes_or_new, check_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class CriticalDifferenceDisplay:
    """Plot the mean ranks of detectors on an axis, with bars over those that do not differ.

    This is the critical-difference diagram of Demsar [1]_. Whether two detectors differ is decided
    by the signed-rank test of their scores, corrected by Holm's method over all pairs. Nemenyi's
    test of the mean ranks is not used, since its result depends on which other detectors are
    compared [2]_.

    Parameters
    ----------
    ranks : mapping of str to float
        Name of each detector -> its mean rank, 1 = best.
    cliques : sequence of sequence of str
        Detectors joined by a bar.
    metric : str, default="ROC AUC"
        Name of what was ranked, for the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the plot; set by :meth:`plot`.
    figure_ : matplotlib Figure

    References
    ----------
    .. [1] J. Demsar, "Statistical comparisons of classifiers over multiple data sets", Journal of
       Machine Learning Research 7, 2006.
    .. [2] A. Benavoli, G. Corani and F. Mangili, "Should we really use post-hoc tests based on
       mean-ranks?", Journal of Machine Learning Research 17, 2016.

    Examples
    --------
    >>> from sklearn_fsad.plotting import CriticalDifferenceDisplay
    >>> ranks = {"prototypes": 1.2, "KNN": 2.1, "forest": 2.7}
    >>> display = CriticalDifferenceDisplay(ranks, [["KNN", "forest"]]).plot()
    >>> display.ax_.get_xlabel()
    'Mean rank by ROC AUC (1 = best)'
    """

    def __init__(
        self,
        ranks: Mapping[str, float],
        cliques: Sequence[Sequence[str]] = (),
        *,
        metric: str = "ROC AUC",
    ) -> None:
        self.ranks = dict(ranks)
        self.cliques = [list(clique) for clique in cliques]
        self.metric = metric

    @classmethod
    def from_comparison(
        cls,
        comparison: Comparison,
        scoring: str | None = None,
        shots: tuple[int, int] | None = None,
        *,
        alpha: float = 0.05,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the mean ranks of a comparison.

        Parameters
        ----------
        comparison : Comparison
            What :func:`~sklearn_fsad.model_selection.compare` returns.
        scoring : str, default=None
            Name of the metric; the first when None.
        shots : (int, int), default=None
            One of the settings; the mean over all of them when None.
        alpha : float, default=0.05
            Detectors differ if the corrected p-value is below.
        ax : matplotlib Axes, default=None
            A new figure when None.
        **kwargs
            As of :meth:`plot`.

        Returns
        -------
        display : CriticalDifferenceDisplay

        Raises
        ------
        ValueError
            If fewer than two detectors were measured on all tasks, or ``alpha`` is not between 0
            and 1.
        """
        check_matplotlib(f"{cls.__name__}.from_comparison")
        if not 0 < alpha < 1:
            raise ValueError(f"alpha={alpha!r} must be between 0 and 1.")
        ranks = comparison.mean_ranks(scoring, shots)
        if len(ranks) < 2:
            raise ValueError(
                f"{len(ranks)} detector(s) can be ranked: at least two must have been measured on "
                "all tasks. Pass shots= to keep to a setting where they were."
            )
        names = list(ranks)
        differ = np.zeros((len(names), len(names)), dtype=bool)
        for (a, b), p in comparison.pairwise(scoring, shots).items():
            i, j = names.index(a), names.index(b)
            differ[i, j] = differ[j, i] = p < alpha
        joined = cliques(np.array(list(ranks.values())), differ)
        metric = metric_name(scoring or comparison.scoring[0])
        metric += "" if shots is None else f" with {shots_name(shots)} shots"
        display = cls(ranks, [[names[i] for i in clique] for clique in joined], metric=metric)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | None = None, *, name: str | None = None) -> Self:
        """Draw the axis, the names beside it and the bars.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure when None.
        name : str, default=None
            Title.

        Returns
        -------
        display : CriticalDifferenceDisplay
            Itself, with ``ax_`` and ``figure_``.
        """
        height = 1.0 + 0.3 * (len(self.ranks) / 2 + len(self.cliques))
        self.ax_ = ax = axes_or_new(ax, f"{type(self).__name__}.plot", figsize=(7.0, height))
        self.figure_: Figure = ax.figure  # type: ignore[assignment]
        names = sorted(self.ranks, key=self.ranks.__getitem__)
        depth = self._draw_bars(ax)
        for i, label in enumerate(names):
            self._draw_name(ax, label, i, len(names), depth)
        ax.set(xlim=(0.8, len(names) + 0.2), ylim=(-depth - (len(names) + 1) // 2 - 0.3, 0))
        ax.set_xticks(range(1, len(names) + 1))
        ax.set_yticks([])
        ax.xaxis.tick_top()
        ax.xaxis.set_label_position("top")
        ax.set_xlabel(f"Mean rank by {self.metric} (1 = best)")
        ax.spines[["left", "right", "bottom"]].set_visible(False)
        if name:
            ax.set_title(name)
        return self

    def _draw_bars(self, ax: Axes) -> float:
        """Draw a bar for each clique, and return how far down they reach."""
        for i, clique in enumerate(self.cliques):
            ranks = [self.ranks[name] for name in clique]
            ends = [min(ranks) - 0.03, max(ranks) + 0.03]
            ax.plot(ends, [-0.4 * (i + 1)] * 2, color=SERIES_COLORS[0], linewidth=4)
        return 0.4 * len(self.cliques)

    def _draw_name(self, ax: Axes, label: str, i: int, n: int, depth: float) -> None:
        """Draw a line from the rank to the name: the better half left, the others right."""
        left = i < (n + 1) // 2
        level = -depth - (i + 1 if left else n - i)
        side, rank = (0.8 if left else n + 0.2), self.ranks[label]
        ax.plot([rank, rank, side], [0, level, level], color="black", linewidth=0.8)
        ax.annotate(
            f"{label} ({rank:.2f})", (side, level),
            xytext=(-4 if left else 4, 0), textcoords="offset points",
            ha="right" if left else "left", va="center", annotation_clip=False,
        )  # fmt: skip
