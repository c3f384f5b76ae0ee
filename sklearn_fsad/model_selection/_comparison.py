"""Hold the scores of detectors on the same supports, with means, ranks and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._stats.rank_tests import friedman, holm, mean_ranks, pairwise_p, signed_rank_p
from .._stats.ranking import standard_error
from .._typing import Array
from . import _comparison_tables as tables


@dataclass(frozen=True, eq=False)
class Comparison:
    """Hold the scores of detectors on the same supports of held-out tasks.

    Ranks and tests use one value for each detector and task, the mean over draws and shots [1]_.
    Detectors that failed somewhere are left out, since ranks over different tasks cannot be
    compared. Pass ``shots`` to use one setting only. Tasks count as independent; with many related
    tasks p-values are too small.

    Parameters
    ----------
    detectors : tuple of str
        Names.
    tasks : tuple
        Names of the tasks.
    shots : tuple of (int, int)
        Numbers of normal and anomalous rows of the supports.
    values : dict of str to ndarray of shape (n_detectors, n_tasks, n_shots, n_draws)
        Name of each metric -> its scores; NaN where there are none.
    drawn : ndarray of shape (n_tasks, n_shots), dtype bool
        Whether supports were drawn; NaN there means that a detector failed.
    by_default : ndarray of shape (n_detectors, n_tasks, n_shots), dtype bool, default=None
        Where a meta-fitted detector used nothing of what it had trained, since that was not better
        on tasks held out of its training: by its default formula, or the weights it started from.
        Tables mark such detectors. None means nowhere.

    References
    ----------
    .. [1] J. Demsar, "Statistical comparisons of classifiers over multiple data sets", Journal of
       Machine Learning Research 7, 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad.model_selection import Comparison
    >>> scores = np.array([[0.9, 0.8, 0.8], [0.7, 0.8, 0.6]]).reshape(2, 3, 1, 1)
    >>> found = Comparison(
    ...     ("A", "B"), (0, 1, 2), ((10, 0),), {"roc_auc": scores}, np.ones((3, 1), dtype=bool)
    ... )
    >>> print(found)
    detector   ROC AUC 10+0  mean rank (ROC AUC)
    A         0.833 ± 0.033                 1.17
    B         0.700 ± 0.058                 1.83
    """

    detectors: tuple[str, ...]
    tasks: tuple[Any, ...]
    shots: tuple[tuple[int, int], ...]
    values: dict[str, Array]
    drawn: NDArray[np.bool_]
    by_default: NDArray[np.bool_] | None = None

    @property
    def scoring(self) -> tuple[str, ...]:
        """Names of the metrics."""
        return tuple(self.values)

    def records(self) -> list[dict[str, Any]]:
        """List the scores, one record for each detector, task, shots and draw.

        Returns
        -------
        records : list of dict
            Keys ``detector``, ``task``, ``n_normal``, ``n_anomalous``, ``draw`` and the metrics.
        """
        n_draws = self._of(None).shape[3]
        return [
            {
                "detector": name, "task": self.tasks[t],
                "n_normal": self.shots[s][0], "n_anomalous": self.shots[s][1], "draw": draw,
                **{metric: float(table[d, t, s, draw]) for metric, table in self.values.items()},
            }
            for d, name in enumerate(self.detectors)
            for t, s in np.argwhere(self.drawn)
            for draw in range(n_draws)
        ]  # fmt: skip

    def to_frame(self) -> Any:
        """Return the records as a pandas frame; needs pandas.

        Returns
        -------
        frame : pandas.DataFrame
            A row for each record.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "Comparison.to_frame requires pandas. Install it with `pip install pandas`, or "
                "use Comparison.records()."
            ) from error
        return pd.DataFrame(self.records())

    def mean(self, scoring: str | None = None) -> Array:
        """Average over draws, then over tasks.

        Parameters
        ----------
        scoring : str, default=None
            Name of the metric; the first when None, also in the other methods.

        Returns
        -------
        means : ndarray of shape (n_detectors, n_shots)
            NaN where a detector failed on a task.
        """
        return np.array([v.mean(axis=0) for v in self._by_shots(scoring)]).T

    def standard_error(self, scoring: str | None = None) -> Array:
        """Compute the standard errors of the means, over tasks.

        Parameters
        ----------
        scoring : str, default=None
            Name of the metric.

        Returns
        -------
        errors : ndarray of shape (n_detectors, n_shots)
            Infinite for a single task.
        """
        return np.array([standard_error(v) for v in self._by_shots(scoring)]).T

    def task_means(
        self, scoring: str | None = None, shots: tuple[int, int] | None = None
    ) -> dict[str, Array]:
        """Average each detector on each task, over draws and shots.

        Parameters
        ----------
        scoring : str, default=None
            Name of the metric.
        shots : (int, int), default=None
            One of the settings; all when None.

        Returns
        -------
        means : dict of str to ndarray of shape (n_tasks,)
            Name of each detector that never failed -> its means, for the tasks that have enough
            rows.
        """
        chosen = self._settings(shots)
        by_draw = self._of(scoring)[:, :, chosen].mean(axis=3)  # (detectors, tasks, shots)
        drawn = self.drawn[:, chosen]
        measured = drawn.any(axis=1)
        total = np.where(drawn, by_draw, 0.0).sum(axis=2)[:, measured]
        means = total / drawn.sum(axis=1)[measured]
        pairs = zip(self.detectors, means, strict=True)
        return {name: row for name, row in pairs if not np.isnan(row).any()}

    def mean_ranks(
        self, scoring: str | None = None, shots: tuple[int, int] | None = None
    ) -> dict[str, float]:
        """Average the ranks over tasks, 1 = best; equal values share the mean of their ranks.

        Parameters
        ----------
        scoring : str, default=None
            Name of the metric.
        shots : (int, int), default=None
            One of the settings.

        Returns
        -------
        ranks : dict of str to float
            Name of each detector that never failed -> its mean rank.
        """
        means = self.task_means(scoring, shots)
        if not means:
            return {}
        return dict(zip(means, map(float, mean_ranks(_columns(means))), strict=True))

    def wins(self, scoring: str | None = None) -> dict[str, int]:
        """Count the tasks and shots where a detector is better than each of the others.

        Parameters
        ----------
        scoring : str, default=None
            Name of the metric.

        Returns
        -------
        wins : dict of str to int
            Name of each detector -> its wins over detectors that did not fail there; ties do not
            count.
        """
        cells = self._of(scoring).mean(axis=3)[:, self.drawn]  # (detectors, cells)
        cells = np.where(np.isnan(cells), -np.inf, cells)
        best = (cells == cells.max(axis=0)) & np.isfinite(cells)
        alone = best & (best.sum(axis=0) == 1)
        return dict(zip(self.detectors, map(int, alone.sum(axis=1)), strict=True))

    def wilcoxon(
        self, scoring: str | None = None, shots: tuple[int, int] | None = None
    ) -> dict[str, float]:
        """Test each detector against the one with the best mean, by Wilcoxon's signed-rank test.

        Parameters
        ----------
        scoring : str, default=None
            Name of the metric.
        shots : (int, int), default=None
            One of the settings.

        Returns
        -------
        p : dict of str to float
            Name of each detector that never failed, except the best -> its two-sided p-value,
            corrected by Holm's method. Zero differences are split evenly between the signs.
        """
        means = self.task_means(scoring, shots)
        if not means:
            return {}
        best = max(means, key=lambda name: means[name].mean())
        others = [name for name in means if name != best]
        p = np.array([signed_rank_p(means[best], means[name]) for name in others])
        return dict(zip(others, map(float, holm(p)), strict=True))

    def pairwise(
        self, scoring: str | None = None, shots: tuple[int, int] | None = None
    ) -> dict[tuple[str, str], float]:
        """Test all pairs of detectors, by Wilcoxon's signed-rank test.

        Parameters
        ----------
        scoring : str, default=None
            Name of the metric.
        shots : (int, int), default=None
            One of the settings.

        Returns
        -------
        p : dict of (str, str) to float
            Each pair of detectors that never failed -> its two-sided p-value, corrected by Holm's
            method over all pairs.
        """
        means = self.task_means(scoring, shots)
        if not means:
            return {}
        names, p = list(means), pairwise_p(_columns(means))
        pairs = zip(*np.triu_indices(len(names), 1), strict=True)
        return {(names[i], names[j]): float(p[i, j]) for i, j in pairs}

    def friedman(
        self, scoring: str | None = None, shots: tuple[int, int] | None = None
    ) -> tuple[float, float]:
        """Test whether any detector differs, by Friedman's test.

        Parameters
        ----------
        scoring : str, default=None
            Name of the metric.
        shots : (int, int), default=None
            One of the settings.

        Returns
        -------
        statistic, p : float
            NaN for fewer than three detectors or two tasks.
        """
        means = self.task_means(scoring, shots)
        return friedman(_columns(means)) if means else (float("nan"), float("nan"))

    def to_markdown(self) -> str:
        """Write means, standard errors and mean ranks as a Markdown table, best means bold.

        A note below tells where a detector used nothing of what it had trained.

        Returns
        -------
        table : str
            Lines of Markdown.
        """
        return tables.markdown(tables.cells_of(self))

    def to_latex(self) -> str:
        r"""Write the table in LaTeX, for ``\usepackage{booktabs}``: best bold, second underlined.

        Returns
        -------
        table : str
            A ``tabular`` environment.
        """
        return tables.latex(tables.cells_of(self))

    def __str__(self) -> str:
        return tables.text(tables.cells_of(self))

    def _repr_html_(self) -> str:
        return tables.html(tables.cells_of(self))

    def _of(self, scoring: str | None) -> Array:
        if scoring is None:
            return next(iter(self.values.values()))
        if scoring not in self.values:
            raise ValueError(f"scoring={scoring!r} is not one of {', '.join(self.values)}.")
        return self.values[scoring]

    def _settings(self, shots: Sequence[int] | None) -> list[int]:
        if shots is None:
            return list(range(len(self.shots)))
        if tuple(shots) not in self.shots:
            raise ValueError(f"shots={shots!r} is not one of {self.shots}.")
        return [self.shots.index((shots[0], shots[1]))]

    def _by_shots(self, scoring: str | None) -> list[Array]:
        """Return the means over draws on the tasks of each setting: (n_tasks, n_detectors)."""
        table = self._of(scoring).mean(axis=3)
        return [table[:, self.drawn[:, s], s].T for s in range(len(self.shots))]


def _columns(means: dict[str, Array]) -> Array:
    return np.column_stack(list(means.values()))  # (n_tasks, n_detectors)
