"""Plot the quality of detectors against the number of shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone, is_classifier

from .._input.containers import take_rows
from .._input.labels import ANOMALOUS, NORMAL, codes_to_labels
from .._typing import Array
from .._values import as_number
from ..metrics import anomaly_scorer
from ..model_selection._few_shot_split import FewShotSplit
from ..tasks._task_set import coded_tasks
from ._curves import check_band, draw_curves, metric_name
from ._style import axes_or_new, check_matplotlib, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_VARIED = {
    "n_anomalous": "labelled anomalies in the support",
    "n_normal": "normal rows in the support",
}


class ShotCurveDisplay:
    """Plot the quality of detectors against the number of labelled anomalies, or normal rows.

    Make one by :meth:`from_estimator`, or from your own results by the constructor and
    :meth:`plot`.

    Parameters
    ----------
    shots : array-like of shape (n_shots,)
        Numbers of shots.
    values : mapping of str to array-like of shape (n_shots, n_tasks) or (n_shots, n_tasks, n_draws)
        Name of each detector -> its quality; NaN where it could not be measured.
    varied : {"n_anomalous", "n_normal"}, default="n_anomalous"
        Kind of shots that was varied.
    metric : str, default="ROC AUC"
        Name of the quality, for the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the plot; set by :meth:`plot`.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from pyod.models.knn import KNN
    >>> from sklearn_fsad import ProtoNetDetector, PyODDetector
    >>> from sklearn_fsad.datasets import make_related_tasks
    >>> from sklearn_fsad.plotting import ShotCurveDisplay
    >>> detectors = {"prototypes": ProtoNetDetector(), "KNN": PyODDetector(KNN(n_neighbors=3))}
    >>> display = ShotCurveDisplay.from_estimator(
    ...     detectors, make_related_tasks(3, random_state=0), shots=(0, 4), n_draws=2
    ... )
    >>> display.values["KNN"].shape
    (2, 3, 2)
    """

    def __init__(
        self,
        shots: ArrayLike,
        values: Mapping[str, ArrayLike],
        *,
        varied: str = "n_anomalous",
        metric: str = "ROC AUC",
    ) -> None:
        self.shots = np.asarray(shots)
        self.values = {name: np.asarray(v, dtype=np.float64) for name, v in values.items()}
        self.varied = varied
        self.metric = metric

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        tasks: Any,
        *,
        varied: str = "n_anomalous",
        shots: Sequence[int] = (0, 1, 2, 5, 10),
        n_other: int = 10,
        n_draws: int = 5,
        scoring: Any = "roc_auc",
        outlier_label: Any = "auto",
        random_state: Any = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Evaluate detectors on tasks with different numbers of shots, and plot the quality.

        A draw shuffles the rows of a task once: a larger set of training rows (support) contains
        the smaller ones, and all of one draw are tested on the same rows. Every detector gets the
        same supports.

        Parameters
        ----------
        estimator : estimator or mapping of str to estimator
            Detectors, meta-fitted or not, of this package, scikit-learn or PyOD (in a
            :class:`~sklearn_fsad.PyODDetector`), and binary classifiers, which are left out if
            there are no anomalies. Clones are fitted.
        tasks : TaskSet, list or mapping
            Tasks that the detectors were not meta-fitted on, in any form that ``meta_fit``
            accepts; those with too few rows are left out.
        varied : {"n_anomalous", "n_normal"}, default="n_anomalous"
            Kind of shots to vary.
        shots : sequence of int, default=(0, 1, 2, 5, 10)
            Numbers of these shots.
        n_other : int, default=10
            Number of the other kind of shots, such as normal rows if anomalies vary.
        n_draws : int, default=5
            Draws of each task.
        scoring : str or callable, default="roc_auc"
            A name known to :func:`~sklearn_fsad.anomaly_scorer` or
            ``scorer(estimator, X, y)``.
        outlier_label : "auto", number or str, default="auto"
            The label of the anomalies in the tasks.
        random_state : int, RandomState or None, default=None
            Seed of the draws.
        name : str, default=None
            Name of a single detector; its class when None.
        ax : matplotlib Axes, default=None
            A new figure when None.
        **kwargs
            As of :meth:`plot`.

        Returns
        -------
        display : ShotCurveDisplay

        Raises
        ------
        ValueError
            If no task has enough rows.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        detectors = estimator
        if not isinstance(detectors, Mapping):
            detectors = {type(estimator).__name__ if name is None else name: estimator}
        supports = _supports(varied, shots, n_other)
        splitter = FewShotSplit(
            *supports.max(axis=0).tolist(),
            n_draws=n_draws,
            on_short="skip",
            random_state=random_state,
        )
        scorer = scoring if callable(scoring) else anomaly_scorer(scoring)
        values: dict[str, list[Array]] = {name: [] for name in detectors}
        for X, codes in coded_tasks(tasks, outlier_label=outlier_label).values():
            try:
                draws = [
                    (np.random.default_rng(i).permutation(train), test)
                    for i, (train, test) in enumerate(splitter.split(X, codes_to_labels(codes)))
                ]
            except ValueError:  # too short
                continue
            for label, detector in detectors.items():
                curves = [_curve(detector, X, codes, *d, supports, scorer) for d in draws]
                values[label].append(np.array(curves).T)
        if not all(values.values()):
            n, k = supports.max(axis=0)
            raise ValueError(
                f"No task has more than {n} labelled normal and {k} anomalous rows: ask for "
                "fewer shots."
            )
        metric = metric_name(scoring)
        found = {label: np.stack(curves, axis=1) for label, curves in values.items()}
        return cls(shots, found, varied=varied, metric=metric).plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        band: str | None = "standard error",
        **kwargs: Any,
    ) -> Self:
        """Draw a line and a band for each detector.

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
        display : ShotCurveDisplay
            Itself, with ``ax_`` and ``figure_``.
        """
        check_band(band)
        self.ax_ = ax = axes_or_new(ax, f"{type(self).__name__}.plot")
        self.figure_: Figure = ax.figure  # type: ignore[assignment]
        positions = np.arange(len(self.shots))
        over = draw_curves(ax, positions, self.values, band, **kwargs)
        ax.set_xticks(positions, [str(s) for s in self.shots])
        ax.set(
            xlabel=f"Number of {_VARIED.get(self.varied, self.varied)}", ylabel=self.metric + over
        )
        if name:
            ax.set_title(name)
        tidy(ax)
        ax.legend(frameon=False)
        return self


def _supports(varied: str, shots: Sequence[int], n_other: int) -> NDArray[np.intp]:
    """List (n_normal, n_anomalous) of each point of the curve."""
    if varied not in _VARIED:
        raise ValueError(f"varied={varied!r} must be one of {', '.join(_VARIED)}.")
    least = 0 if varied == "n_anomalous" else 2
    if not len(shots) or min(shots) < least:
        raise ValueError(f"shots={tuple(shots)} must be numbers of at least {least}.")
    others = [n_other] * len(shots)
    pair = (others, shots) if varied == "n_anomalous" else (shots, others)
    return np.array(pair, dtype=np.intp).T


def _curve(
    detector: Any,
    X: Any,
    codes: NDArray[np.int8],
    order: NDArray[np.intp],
    test: NDArray[np.intp],
    supports: NDArray[np.intp],
    scorer: Any,
) -> list[float]:
    """Evaluate a detector at each point of the curve, in one draw of one task."""
    normal, anomalous = (order[codes[order] == kind] for kind in (NORMAL, ANOMALOUS))
    query = take_rows(X, test), codes[test].astype(int)
    values = []
    for n, k in supports:
        if not k and is_classifier(detector):
            values.append(np.nan)
            continue
        rows = np.concatenate([normal[:n], anomalous[:k]])
        fitted = clone(detector)
        if "outlier_label" in fitted.get_params(deep=False):
            fitted.set_params(outlier_label=ANOMALOUS)
        fitted.fit(take_rows(X, rows), codes[rows].astype(int))
        name = f"scoring={scorer!r} of {type(detector).__name__}"
        values.append(as_number(scorer(fitted, *query), name))
    return values
