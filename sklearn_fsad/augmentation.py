"""Augment training tasks by transforms that change the rows of a task but not their labels.

A transform is any callable ``(X, normal, rng) -> X``. ``X`` holds the rows of one task, ``normal``
marks those that are not labelled as anomalies, and ``rng`` is a numpy ``Generator``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from ._input.labels import ANOMALOUS
from ._input.rows import refuse_huge
from ._stats.moments import feature_spread
from ._typing import Array, Mask
from .tasks._task_set import TaskSet

__all__ = [
    "FeatureDropout",
    "FeaturePermutation",
    "Jitter",
    "Mixup",
    "Rotation",
    "augment_tasks",
]
Transform = Callable[[Array, Mask, np.random.Generator], Array]


@dataclass(frozen=True)
class Jitter:
    """Add Gaussian noise to every value.

    Parameters
    ----------
    scale : float, default=0.1
        Standard deviation of the noise, in units of the spread of the column in normal rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad.augmentation import Jitter
    >>> X, normal = np.zeros((4, 2)), np.array([True, True, True, False])
    >>> Jitter()(X, normal, np.random.default_rng(0)).shape
    (4, 2)
    """

    scale: float = 0.1

    def __call__(self, X: Array, normal: Mask, rng: np.random.Generator) -> Array:
        """Transform the rows of a task."""
        varies = np.ptp(X[normal], axis=0) > 0  # a constant column stays one
        noise = self.scale * feature_spread(X[normal]) * varies
        return X + noise * rng.normal(size=X.shape)


@dataclass(frozen=True)
class Mixup:
    """Mix each row with another one of the same label.

    This is mixup [1]_ without mixing of labels.

    Parameters
    ----------
    alpha : float, default=0.2
        Parameter of the beta distribution from which the share of the other row is drawn; that
        share is at most a half.

    References
    ----------
    .. [1] H. Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.
    """

    alpha: float = 0.2

    def __call__(self, X: Array, normal: Mask, rng: np.random.Generator) -> Array:
        """Transform the rows of a task."""
        share = rng.beta(self.alpha, self.alpha, size=(len(X), 1))
        share = np.minimum(share, 1.0 - share)
        other = np.empty(len(X), dtype=np.intp)
        for rows in (np.flatnonzero(normal), np.flatnonzero(~normal)):
            other[rows] = rng.permutation(rows)
        return (1.0 - share) * X + share * X[other]


@dataclass(frozen=True)
class FeaturePermutation:
    """Permute the columns, and mirror some at random about the mean of the normal rows.

    A detector then cannot learn in which column anomalies differ, or in which direction.

    Parameters
    ----------
    signs : bool, default=True
        Whether columns are mirrored.
    """

    signs: bool = True

    def __call__(self, X: Array, normal: Mask, rng: np.random.Generator) -> Array:
        """Transform the rows of a task."""
        order = rng.permutation(X.shape[1])
        if not self.signs:
            return X[:, order]
        mean, sign = X[normal].mean(axis=0), rng.choice([-1.0, 1.0], size=X.shape[1])
        return (mean + (X - mean) * sign)[:, order]


@dataclass(frozen=True)
class FeatureDropout:
    """Replace some columns by the mean of the normal rows; at least one column is kept.

    Parameters
    ----------
    rate : float, default=0.2
        Probability that a column is replaced.
    """

    rate: float = 0.2

    def __call__(self, X: Array, normal: Mask, rng: np.random.Generator) -> Array:
        """Transform the rows of a task."""
        dropped = np.asarray(rng.random(X.shape[1]) < self.rate)
        dropped[rng.integers(len(dropped))] = False
        return np.where(dropped, X[normal].mean(axis=0), X)


@dataclass(frozen=True)
class Rotation:
    """Rotate rows at random about the mean of the normal rows, with scaled columns."""

    def __call__(self, X: Array, normal: Mask, rng: np.random.Generator) -> Array:
        """Transform the rows of a task."""
        mean, spread = X[normal].mean(axis=0), feature_spread(X[normal])
        Q, R = np.linalg.qr(rng.normal(size=(X.shape[1],) * 2))
        return mean + ((X - mean) / spread) @ (Q * np.sign(np.diag(R))) * spread


def augment_tasks(
    tasks: Any, *transforms: Transform, n_copies: int = 1, random_state: Any = None
) -> TaskSet:
    """Add transformed copies to tasks; a copy belongs to the group of its original.

    Parameters
    ----------
    tasks : TaskSet, list or mapping
        In any form that ``meta_fit`` accepts.
    *transforms : callable
        Applied one after the other.
    n_copies : int, default=1
        Number of copies of each task.
    random_state : int, RandomState or None, default=None
        Seed.

    Returns
    -------
    tasks : TaskSet
        The tasks in their order, then the first copy of each, and so on. A copy is named by the
        task and its number.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad.augmentation import FeaturePermutation, Jitter, augment_tasks
    >>> X, y = np.random.default_rng(0).normal(size=(20, 3)), np.repeat([0, 1], [15, 5])
    >>> augment_tasks({"pump": (X, y)}, Jitter(), FeaturePermutation(), n_copies=3, random_state=0)
    TaskSet(4 tasks, 80 rows, n_features=3)
    """
    if not transforms or n_copies < 1:
        raise ValueError(f"Give at least one transform and n_copies of at least 1; got {n_copies}.")
    tasks = TaskSet.make(tasks, allow_nan=False)
    for task in tasks:
        refuse_huge(task.X, f"Task {task.name!r}: X", task.columns)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    made = list(tasks)
    for copy in range(1, n_copies + 1):
        for i, task in enumerate(tasks):
            rng = np.random.default_rng([seed, copy, i])
            X = task.X.copy()  # a transform may work in place
            for transform in transforms:
                X = np.asarray(transform(X, task.y != ANOMALOUS, rng), dtype=np.float64)
            if X.shape != task.X.shape or not np.isfinite(X).all():
                raise ValueError(
                    f"{transforms} made rows of shape {X.shape} out of {task.X.shape} of task "
                    f"{task.name!r}, or values that are not finite."
                )
            made.append(replace(task, name=f"{task.name} ({copy})", X=X))
    return tasks.with_tasks(made)


def __dir__() -> list[str]:
    return sorted(__all__)
