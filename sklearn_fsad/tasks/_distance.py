"""Measure the distance of a new task to the training tasks of a detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._stats.moments import FAR, TINY, feature_spread, stable_mean
from .._typing import Array
from .._warn import warn
from ..exceptions import FarTaskWarning
from ._task_set import TaskSet

LEAST_TASKS = 5
_SIZES = (3, 10, 30, 100)  # numbers of rows of the supports drawn from held-out tasks
_DRAWS = 3
_LEAST_GROUPS = 3
_MARGIN = 0.5


@dataclass(frozen=True)
class NormalsStatistics:
    """Hold mean and spread of each column over the normals of tasks, each of shape (d,).

    Attributes
    ----------
    centre, centre_variance : ndarray
        Mean over tasks of a task's mean, and its variance between tasks.
    log_spread, log_spread_variance : ndarray
        The same of the logarithm of a task's standard deviation.
    """

    centre: Array
    centre_variance: Array
    log_spread: Array
    log_spread_variance: Array

    @classmethod
    def from_tasks(
        cls, means: Array, log_spreads: Array, known: NDArray[np.bool_]
    ) -> NormalsStatistics:
        """Estimate from each task's mean and log spread, where ``known``: (n_tasks, d) each."""
        return cls(*_moments(means, known), *_moments(log_spreads, known))

    def distance(self, normals: Array) -> float:
        """Compute the distance of normal rows to those tasks: (n, d) -> 0 or more.

        It is the mean over columns of ``log(1 + z^2)``, summed over mean and log spread; z is
        their difference to those of the tasks, in units of the deviation between tasks and the
        standard error of so few rows together.
        """
        n = (~np.isnan(normals)).sum(axis=0)
        known = n > 0
        if not known.any():
            return 0.0
        n = np.maximum(n, 2)
        # variance between tasks plus sampling variance; that of a log spread counts as 1 / (n - 1)
        between_means = np.sqrt(self.centre_variance + np.exp(2.0 * self.log_spread) / n + TINY)
        between_spreads = np.sqrt(self.log_spread_variance + 1.0 / (n - 1.0))
        mean, log_spread = _place_and_spread(normals)
        place = np.abs(mean - self.centre) / between_means
        spread = np.abs(log_spread - self.log_spread) / between_spreads
        # the logarithm keeps one column in another unit from outweighing all others
        terms = np.log1p(np.minimum([place, spread], FAR) ** 2).sum(axis=0)
        return float(terms[known].mean())


def _place_and_spread(normals: Array) -> tuple[Array, Array]:
    """Compute mean and log spread of each column, clipped so that both are finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = stable_mean(normals), feature_spread(normals)
    return np.clip(mean, -FAR, FAR), np.log(np.clip(spread, 1.0 / FAR, FAR))


def _moments(values: Array, known: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Compute mean and variance of the known values over tasks: (n_tasks, d) -> (d,), (d,)."""
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / n
    squares = np.where(known, values - mean, 0.0) ** 2
    return mean, squares.sum(axis=0) / np.maximum(n - 1, 1)


@dataclass(frozen=True)
class TrainingTasks:
    """Hold the statistics of the training tasks' normals and the distances between those tasks.

    Attributes
    ----------
    statistics : NormalsStatistics
        Of all training tasks.
    distances : ndarray of shape (n_sizes, n_distances)
        Distances of training tasks to the others, in ascending order, by supports of 3, 10, 30 and
        100 normals.
    """

    statistics: NormalsStatistics
    distances: Array

    @classmethod
    def from_tasks(cls, tasks: TaskSet, seed: int) -> TrainingTasks | None:
        """Estimate from the normals of tasks; None for fewer than five or differing widths.

        Siblings are held out together where there are at least three groups of them.
        """
        if tasks.n_tasks < LEAST_TASKS or tasks.n_features is None:
            return None
        normals = [task.normals for task in tasks]
        moments = np.array([_place_and_spread(rows) for rows in normals])  # (n_tasks, 2, d)
        means, log_spreads = moments[:, 0], moments[:, 1]
        known = np.array([~np.isnan(rows).all(axis=0) for rows in normals])
        groups = list(tasks.groups)
        if len(set(groups)) < _LEAST_GROUPS:
            groups = list(range(len(groups)))
        distances = []
        for i, rows in enumerate(normals):
            rest = [j for j, group in enumerate(groups) if group != groups[i]]
            others = NormalsStatistics.from_tasks(means[rest], log_spreads[rest], known[rest])
            rng = np.random.default_rng([seed, i])
            distances.append(_support_distances(others, rows, rng))
        statistics = NormalsStatistics.from_tasks(means, log_spreads, known)
        return cls(statistics, np.sort(np.concatenate(distances, axis=1), axis=1))

    def to_arrays(self) -> dict[str, Array]:
        """Return named arrays for a :class:`MetaState`."""
        statistics = {f"tasks_{name}": value for name, value in vars(self.statistics).items()}
        return {**statistics, "tasks_distances": self.distances}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> TrainingTasks | None:
        """Read the training tasks from the arrays of a state; None where it has none."""
        if "tasks_distances" not in arrays:
            return None
        names = ("centre", "centre_variance", "log_spread", "log_spread_variance")
        statistics = NormalsStatistics(*(arrays[f"tasks_{n}"] for n in names))
        return cls(statistics, arrays["tasks_distances"])

    def place(self, normals: Array) -> TaskPlace:
        """Compare a new task with the training tasks by the normals of its support: (n, d)."""
        size = max(int(np.searchsorted(_SIZES, len(normals), side="right")) - 1, 0)
        others = self.distances[size]
        distance = self.statistics.distance(normals)
        # the largest of few distances varies much: half of its excess over the median is allowed
        limit = others[-1] + _MARGIN * (others[-1] - np.median(others))
        percentile = float(100.0 * (others < distance).mean())
        return TaskPlace(distance, percentile, float(others[-1]), bool(distance > limit))


@dataclass(frozen=True)
class TaskPlace:
    """Hold the distance of a task to the training tasks, and how theirs compare with it.

    Attributes
    ----------
    distance : float
        As of :meth:`NormalsStatistics.distance`.
    percentile : float
        Share, in %, of the training tasks that are nearer to the others.
    farthest : float
        Largest distance of a training task to the others.
    is_far : bool
        Whether the distance exceeds ``farthest`` by more than half of the difference between that
        and the median distance of the training tasks.
    """

    distance: float
    percentile: float
    farthest: float
    is_far: bool


def warn_if_far(place: TaskPlace | None) -> None:
    """Warn if a task is far from all training tasks."""
    if place is None or not place.is_far:
        return
    warn(
        f"The normal rows of this task differ from those of every training task (distance "
        f"{place.distance:.3g}, between training tasks at most {place.farthest:.3g}): what was "
        "learned may not apply here. Check the order and the units of the columns, or add tasks "
        "like this one to meta_fit.",
        FarTaskWarning,
    )


def _support_distances(others: NormalsStatistics, rows: Array, rng: np.random.Generator) -> Array:
    """Draw supports from a task and compute their distances to others: (n_sizes, n_draws)."""
    orders = [rng.permutation(len(rows)) for _ in range(_DRAWS)]
    return np.array([[others.distance(rows[order[:n]]) for order in orders] for n in _SIZES])
