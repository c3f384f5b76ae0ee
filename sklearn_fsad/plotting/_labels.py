"""Plot the quality of detectors against the number of labels that they asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state

from .._input.containers import take_rows
from .._input.labels import ANOMALOUS, NORMAL
from .._typing import Codes, Positions
from .._values import as_number
from ..metrics import anomaly_scorer
from ..tasks._task_set import coded_tasks
from ._curves import check_band, draw_curves, metric_name
from ._style import axes_or_new, check_matplotlib, tidy, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RANDOM = "random"
Parts = tuple[Positions, Positions, Positions]


class LabelCurveDisplay:
    """Plot the quality of detectors against the number of labels that an expert has given.

    Make one by :meth:`from_estimator`, or from your own results by the constructor and
    :meth:`plot`.

    Parameters
    ----------
    values : mapping of str to array-like of shape (n_labels + 1, n_tasks) or \
            (n_labels + 1, n_tasks, n_draws)
        Name of each way of choosing rows -> the quality without labels, after the first, ...
    metric : str, default="Average precision"
        Name of the quality, for the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the plot; set by :meth:`plot`.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.datasets import make_related_tasks
    >>> from sklearn_fsad.plotting import LabelCurveDisplay
    >>> display = LabelCurveDisplay.from_estimator(
    ...     ProtoNetDetector(),
    ...     make_related_tasks(3, random_state=0),
    ...     strategies=("auto", "random"),
    ...     n_labels=4,
    ...     n_draws=2,
    ...     random_state=0,
    ... )
    >>> display.values["random"].shape
    (5, 3, 2)
    """

    def __init__(
        self, values: Mapping[str, ArrayLike], *, metric: str = "Average precision"
    ) -> None:
        self.values = {name: np.asarray(v, dtype=np.float64) for name, v in values.items()}
        self.metric = metric

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        tasks: Any,
        *,
        strategies: Sequence[str] = ("auto", "top", RANDOM),
        n_normal: int = 10,
        n_labels: int = 20,
        n_draws: int = 3,
        scoring: Any = "average_precision",
        outlier_label: Any = "auto",
        random_state: Any = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Let detectors ask for labels in several ways, and plot the quality after each answer.

        In each draw a detector is fitted to some normal rows; of the others, half are the pool that
        it asks about, one row at a time, and half are tested on. All ways have the same rows.

        Parameters
        ----------
        estimator : estimator or mapping of str to estimator
            Detectors of this package, meta-fitted or not. Clones are fitted.
        tasks : TaskSet, list or mapping
            Tasks that the detectors were not meta-fitted on, in any form that ``meta_fit``
            accepts; those with too few rows are left out.
        strategies : sequence of str, default=("auto", "top", "random")
            Strategies of ``query``, and "random" for rows that are drawn at random.
        n_normal : int, default=10
            Normal rows to begin with, at least 2.
        n_labels : int, default=20
            Rows to ask about.
        n_draws : int, default=3
            Draws of each task.
        scoring : str or callable, default="average_precision"
            A name known to :func:`~sklearn_fsad.anomaly_scorer` or
            ``scorer(estimator, X, y)``.
        outlier_label : "auto", number or str, default="auto"
            The label of the anomalies in the tasks.
        random_state : int, RandomState or None, default=None
            Seed of the draws.
        ax : matplotlib Axes, default=None
            A new figure when None.
        **kwargs
            As of :meth:`plot`.

        Returns
        -------
        display : LabelCurveDisplay

        Raises
        ------
        ValueError
            If no task has enough rows.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        detectors = estimator if isinstance(estimator, Mapping) else {"": estimator}
        scorer = scoring if callable(scoring) else anomaly_scorer(scoring)
        rng = check_random_state(random_state)
        values: dict[str, list[Any]] = {}
        for X, codes in coded_tasks(tasks, outlier_label=outlier_label).values():
            if not _has_enough(codes, n_normal, n_labels):
                continue
            draws = [_parts(codes, n_normal, rng) for _ in range(n_draws)]
            for label, detector in detectors.items():
                for strategy in strategies:
                    curves = [
                        [*_curve(detector, X, codes, parts, strategy, n_labels, scorer, i)]
                        for i, parts in enumerate(draws)
                    ]
                    name = f"{label}, {strategy}" if label else strategy
                    values.setdefault(name, []).append(np.transpose(curves))
        if not values:
            raise ValueError(
                f"No task has {n_normal} normal rows to begin with, anomalies to find and to test "
                f"on, and {n_labels} rows to ask about: ask for fewer."
            )
        found = {name: np.stack(curves, axis=1) for name, curves in values.items()}
        return cls(found, metric=metric_name(scoring)).plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        band: str | None = "standard error",
        **kwargs: Any,
    ) -> Self:
        """Draw a line and a band for each way of choosing rows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure when None.
        name : str, default=None
            Title.
        band : {"standard error", "standard deviation"} or None, default="standard error"
            Half the height of the bands, over the means of tasks, or over draws where there is
            only one task.
        **kwargs
            Parameters of ``Axes.plot``, for all lines.

        Returns
        -------
        display : LabelCurveDisplay
            Itself, with ``ax_`` and ``figure_``.
        """
        check_band(band)
        self.ax_ = ax = axes_or_new(ax, f"{type(self).__name__}.plot")
        self.figure_: Figure = ax.figure  # type: ignore[assignment]
        n_points = max(len(values) for values in self.values.values())
        over = draw_curves(ax, np.arange(n_points), self.values, band, **kwargs)
        ax.set(xlabel="Number of labels given", ylabel=self.metric + over)
        whole_numbers(ax.xaxis)
        if name:
            ax.set_title(name)
        tidy(ax)
        ax.legend(frameon=False)
        return self


def _has_enough(codes: Codes, n_normal: int, n_labels: int) -> bool:
    """Tell whether a task has the rows for a pool and for a test, with anomalies in both."""
    n_rest, n_anomalous = int((codes == NORMAL).sum()) - n_normal, int((codes == ANOMALOUS).sum())
    return n_rest >= 2 and n_anomalous >= 2 and n_rest // 2 + n_anomalous // 2 >= n_labels


def _parts(codes: Codes, n_normal: int, rng: np.random.RandomState) -> Parts:
    """Draw normal rows to begin with, a pool, and rows to test on."""
    normal, anomalous = (rng.permutation(np.flatnonzero(codes == c)) for c in (NORMAL, ANOMALOUS))
    rest = normal[n_normal:]
    in_pool = rest[: len(rest) // 2], anomalous[: len(anomalous) // 2]
    in_test = rest[len(rest) // 2 :], anomalous[len(anomalous) // 2 :]
    return normal[:n_normal], rng.permutation(np.concatenate(in_pool)), np.concatenate(in_test)


def _curve(
    detector: Any,
    X: Any,
    codes: Codes,
    parts: Parts,
    strategy: str,
    n_labels: int,
    scorer: Any,
    seed: int,
) -> Iterator[float]:
    """Yield the quality without labels and after each of them."""
    normal, pool, test = parts
    fitted = clone(detector).set_params(outlier_label=ANOMALOUS)
    fitted.fit(take_rows(X, normal), codes[normal].astype(int))
    at_random = np.random.default_rng(seed).permutation(len(pool))
    for i in range(n_labels + 1):
        name = f"scoring={scorer!r} of {type(detector).__name__}"
        yield as_number(scorer(fitted, take_rows(X, test), codes[test].astype(int)), name)
        if i < n_labels:
            row = pool[_next(fitted, X, pool, strategy, at_random[i])]
            fitted.partial_fit(take_rows(X, row), codes[row].astype(int))


def _next(
    fitted: Any, X: Any, pool: Positions, strategy: str, at_random: np.intp
) -> NDArray[np.intp]:
    """Return the position in the pool of the row to ask about: (1,)."""
    if strategy == RANDOM:
        return np.array([at_random])
    return np.asarray(fitted.query(take_rows(X, pool), strategy=strategy))
