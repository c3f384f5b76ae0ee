"""Make tasks without a download: drawn from known families, or from data of scikit-learn."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch, check_random_state

from .._values import plain_scalar
from ..tasks._task_set import TaskSet

Rows = tuple[NDArray[np.float64], NDArray[np.int64]]


def make_related_tasks(
    n_tasks: int = 20,
    *,
    n_features: int = 5,
    n_normal: int = 40,
    n_anomalous: int = 12,
    random_state: Any = None,
) -> TaskSet:
    """Make related tasks: normals vary, and anomalies differ, in the same directions.

    Each task has its own centre. Normals vary around it ten times as much along two directions as
    along the others; anomalies are shifted along the others. These directions can be learned from
    past tasks. They depend only on ``n_features``, so that two calls give tasks of one family.

    Parameters
    ----------
    n_tasks : int, default=20
        Number of tasks.
    n_features : int, default=5
        At least 3.
    n_normal, n_anomalous : int, default=40 and 12
        Rows of a task.
    random_state : int, RandomState or None, default=None
        Seed of all draws.

    Returns
    -------
    tasks : TaskSet
        Named by their positions.

    Examples
    --------
    >>> from sklearn_fsad.datasets import make_related_tasks
    >>> make_related_tasks(10, random_state=0)
    TaskSet(10 tasks, 520 rows, n_features=5)
    """
    if n_features < 3:
        raise ValueError(f"n_features={n_features} must be at least 3.")
    rng = _generator(random_state, n_tasks, n_normal, n_anomalous)
    tasks = [related_task(rng, n_normal, n_anomalous, n_features) for _ in range(n_tasks)]
    return TaskSet(tasks, outlier_label=1)


def make_sinusoid_tasks(
    n_tasks: int = 100,
    *,
    n_normal: int = 110,
    n_anomalous: int = 70,
    noise: float = 0.1,
    random_state: Any = None,
) -> TaskSet:
    """Make tasks of points on a sine curve; each task has its own phase.

    A row is (x, y). Normals lie on ``y = sin(x + phase)`` up to noise, anomalies on sine curves of
    other phases, at least 0.4 away. Only the training rows of a task tell normals from anomalies,
    so a detector must adapt.

    Parameters
    ----------
    n_tasks : int, default=100
        Number of tasks.
    n_normal, n_anomalous : int, default=110 and 70
        Rows of a task.
    noise : float, default=0.1
        Standard deviation of the noise on y.
    random_state : int, RandomState or None, default=None
        Seed of all draws.

    Returns
    -------
    tasks : TaskSet
        Named by their positions.

    Examples
    --------
    >>> from sklearn_fsad.datasets import make_sinusoid_tasks
    >>> make_sinusoid_tasks(4, random_state=0)
    TaskSet(4 tasks, 720 rows, n_features=2)
    """
    rng = _generator(random_state, n_tasks, n_normal, n_anomalous)
    tasks = [sinusoid_task(rng, n_normal, n_anomalous, noise) for _ in range(n_tasks)]
    return TaskSet(tasks, outlier_label=1)


def load_digits_tasks(
    *, new_digits: Collection[int] = (7, 8, 9), test_size: float = 0.5, random_state: Any = None
) -> Bunch:
    """Make tasks of scikit-learn's handwritten digits: one is normal, the others are anomalies.

    Some digits do not occur in the tasks to learn from, not even as anomalies, and no image is in
    both sets of tasks. To make a task of each of the ten digits without such a split, see
    :func:`~sklearn_fsad.tasks.make_tasks_from_classes`.

    Parameters
    ----------
    new_digits : collection of int, default=(7, 8, 9)
        Digits to keep for new tasks; at most eight.
    test_size : float in (0, 1), default=0.5
        Share of the images of each digit to keep for new tasks.
    random_state : int, RandomState or None, default=None
        Seed of that split.

    Returns
    -------
    digits : Bunch
        ``tasks``, a :class:`~sklearn_fsad.TaskSet` to learn from, and ``new_tasks``, whose
        anomalies are of all other digits. Tasks are named by their normal digit.

    Examples
    --------
    >>> from sklearn_fsad.datasets import load_digits_tasks
    >>> digits = load_digits_tasks(random_state=0)
    >>> digits.tasks.names, digits.new_tasks.names
    ([0, 1, 2, 3, 4, 5, 6], [7, 8, 9])
    """
    new = sorted({plain_scalar(digit) for digit in new_digits})
    old = [digit for digit in range(10) if digit not in new]
    if not new or len(old) < 2 or len(new) + len(old) != 10:
        raise ValueError(
            f"new_digits={tuple(new)} must be from 0 to 9, at least one and at most eight."
        )
    X, digit = load_digits(return_X_y=True)
    X_old, X_new, digit_old, digit_new = train_test_split(
        X, digit, test_size=test_size, stratify=digit, random_state=random_state
    )
    kept = np.isin(digit_old, old)
    X_old, digit_old = X_old[kept], digit_old[kept]
    return Bunch(
        tasks=_one_normal_digit(X_old, digit_old, old),
        new_tasks=_one_normal_digit(X_new, digit_new, new),
    )


def _one_normal_digit(X: NDArray[Any], digit: NDArray[Any], normal: list[int]) -> TaskSet:
    return TaskSet({d: (X, (digit != d).astype(int)) for d in normal}, outlier_label=1)


def _generator(
    random_state: Any, n_tasks: int, n_normal: int, n_anomalous: int
) -> np.random.Generator:
    if n_tasks < 1 or n_normal < 1 or n_anomalous < 0:
        raise ValueError(
            f"n_tasks={n_tasks} and n_normal={n_normal} must be at least 1, "
            f"n_anomalous={n_anomalous} at least 0."
        )
    return np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))


def related_task(
    rng: np.random.Generator, n_normal: int, n_anomalous: int, n_features: int
) -> Rows:
    """Draw one task: normals vary tenfold along two shared directions, anomalies are shifted."""
    basis, _ = np.linalg.qr(np.random.default_rng(n_features).normal(size=(n_features, n_features)))
    spread = np.ones(n_features)
    spread[:2] = 10.0
    y = np.array([0] * n_normal + [1] * n_anomalous)
    rows = rng.normal(size=(len(y), n_features)) * spread
    rows[n_normal:, 2:] += 3.0
    return rows @ basis.T + rng.normal(scale=20.0, size=n_features), y


def sinusoid_task(
    rng: np.random.Generator, n_normal: int, n_anomalous: int, noise: float = 0.1
) -> Rows:
    """Draw one task: normals lie on a sine, anomalies on sines of other phases, away from it."""
    n = n_normal + n_anomalous
    phase = rng.uniform(0.0, 2 * np.pi)
    x, other = rng.uniform(-5.0, 5.0, size=10 * n), rng.uniform(0.0, 2 * np.pi, 10 * n)
    normal, moved = np.sin(x + phase), np.sin(x + other)
    far = np.flatnonzero(np.abs(moved - normal) > 0.4)
    away = far[len(far) - n_anomalous :]
    rows = np.concatenate([np.c_[x, normal][:n_normal], np.c_[x, moved][away]])
    rows[:, 1] += noise * rng.normal(size=n)
    return rows, np.r_[np.zeros(n_normal, dtype=np.int64), np.ones(n_anomalous, dtype=np.int64)]
