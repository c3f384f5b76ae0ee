"""How far a new task lies from the tasks that a detector learned from."""

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
_SIZES = (3, 10, 30, 100)  # of the supports that left-out tasks are judged by
_DRAWS = 3
_LEAST_GROUPS = 3
_MARGIN = 0.5


@dataclass(frozen=True)
class NormalsLaw:
    """Where columns lie and how far they spread in the normals of tasks, each of shape (d,).

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
    def from_tasks(cls, means: Array, log_spreads: Array, known: NDArray[np.bool_]) -> NormalsLaw:
        """Estimate from what each task has, where it has any entry: (n_tasks, d) each."""
        return cls(*_moments(means, known), *_moments(log_spreads, known))

    def distance(self, normals: Array) -> float:
        """How unlike those tasks rows are: (n, d) -> 0 or more.

        Mean over columns of ``log(1 + z^2)``, once for the place and once for the spread, with z in
        units of what tasks differ by and what so few rows leave open.
        """
        n = (~np.isnan(normals)).sum(axis=0)
        known = n > 0
        if not known.any():
            return 0.0
        n = np.maximum(n, 2)
        between_means = np.sqrt(self.centre_variance + np.exp(2.0 * self.log_spread) / n + TINY)
        between_spreads = np.sqrt(self.log_spread_variance + 1.0 / (n - 1.0))
        mean, log_spread = _place_and_spread(normals)
        place = np.abs(mean - self.centre) / between_means
        spread = np.abs(log_spread - self.log_spread) / between_spreads
        terms = np.log1p(np.minimum([place, spread], FAR) ** 2).sum(axis=0)
        return float(terms[known].mean())


def _place_and_spread(normals: Array) -> tuple[Array, Array]:
    """Mean of each column and logarithm of its spread, finite however far out rows lie."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = stable_mean(normals), feature_spread(normals)
    return np.clip(mean, -FAR, FAR), np.log(np.clip(spread, 1.0 / FAR, FAR))


def _moments(values: Array, known: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Mean and variance over tasks of what is known: (n_tasks, d) -> (d,), (d,)."""
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / n
    squares = np.where(known, values - mean, 0.0) ** 2
    return mean, squares.sum(axis=0) / np.maximum(n - 1, 1)


@dataclass(frozen=True)
class TrainingTasks:
    """What normals of the training tasks look like, and how unlike each other those tasks are.

    Attributes
    ----------
    law : NormalsLaw
        Of all training tasks.
    distances : ndarray of shape (n_sizes, n_distances)
        Distances of training tasks to the others, in ascending order, by supports of 3, 10, 30 and
        100 normals.
    """

    law: NormalsLaw
    distances: Array

    @classmethod
    def from_tasks(cls, tasks: TaskSet, seed: int) -> TrainingTasks | None:
        """Estimate from the normals of at least five tasks of one width; None of fewer.

        Siblings are left out together where there are at least three groups of them.
        """
        if tasks.n_tasks < LEAST_TASKS or tasks.n_features is None:
            return None
        normals = [task.normals for task in tasks]
        facts = np.array([_place_and_spread(rows) for rows in normals])  # (n_tasks, 2, d)
        means, log_spreads = facts[:, 0], facts[:, 1]
        known = np.array([~np.isnan(rows).all(axis=0) for rows in normals])
        groups = list(tasks.groups)
        if len(set(groups)) < _LEAST_GROUPS:
            groups = list(range(len(groups)))
        distances = []
        for i, rows in enumerate(normals):
            rest = [j for j, group in enumerate(groups) if group != groups[i]]
            law = NormalsLaw.from_tasks(means[rest], log_spreads[rest], known[rest])
            rng = np.random.default_rng([seed, i])
            distances.append(_of_supports(law, rows, rng))
        law = NormalsLaw.from_tasks(means, log_spreads, known)
        return cls(law, np.sort(np.concatenate(distances, axis=1), axis=1))

    def to_arrays(self) -> dict[str, Array]:
        """Named arrays for a :class:`MetaState`."""
        law = {f"tasks_{name}": value for name, value in vars(self.law).items()}
        return {**law, "tasks_distances": self.distances}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> TrainingTasks | None:
        """What a state's arrays say of its training tasks, if they do."""
        if "tasks_distances" not in arrays:
            return None
        names = ("centre", "centre_variance", "log_spread", "log_spread_variance")
        return cls(NormalsLaw(*(arrays[f"tasks_{n}"] for n in names)), arrays["tasks_distances"])

    def place(self, normals: Array) -> TaskPlace:
        """Where a new task lies by the normals of its support: (n, d)."""
        size = max(int(np.searchsorted(_SIZES, len(normals), side="right")) - 1, 0)
        others = self.distances[size]
        distance = self.law.distance(normals)
        limit = others[-1] + _MARGIN * (others[-1] - np.median(others))
        percentile = float(100.0 * (others < distance).mean())
        return TaskPlace(distance, percentile, float(others[-1]), bool(distance > limit))


@dataclass(frozen=True)
class TaskPlace:
    """Where a task lies among the training tasks.

    Attributes
    ----------
    distance : float
        As of :meth:`NormalsLaw.distance`.
    percentile : float
        Share, in %, of the training tasks that are nearer to the others.
    farthest : float
        Largest distance of a training task to the others.
    is_far : bool
        Whether it lies clearly farther out: by half of what lies between that and the median.
    """

    distance: float
    percentile: float
    farthest: float
    is_far: bool


def warn_where_far(place: TaskPlace | None) -> None:
    """Say so where a task is far from all training tasks."""
    if place is None or not place.is_far:
        return
    warn(
        f"The normal rows are unlike those of every training task (distance {place.distance:.3g}; "
        f"those lie up to {place.farthest:.3g} from each other): what was learned from them may "
        "not hold here. Check the order and the units of the columns, or meta_fit on tasks like "
        "this one too.",
        FarTaskWarning,
    )


def _of_supports(law: NormalsLaw, rows: Array, rng: np.random.Generator) -> Array:
    """Distances of supports drawn from a task: (n_sizes, n_draws)."""
    orders = [rng.permutation(len(rows)) for _ in range(_DRAWS)]
    return np.array([[law.distance(rows[order[:n]]) for order in orders] for n in _SIZES])
