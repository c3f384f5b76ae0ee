"""Make anomalies out of normal rows, for supports without labelled ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..._input.labels import ANOMALOUS
from ..._stats.moments import FAR, feature_spread
from ..._typing import Array
from ...tasks._task_set import TaskSet

N_INJECTED = 32


def inject_anomalies(
    normals: Array,
    rng: np.random.Generator,
    n: int = N_INJECTED,
    amplitude: tuple[float, float] = (2.0, 6.0),
) -> Array:
    """Add noise to a random half of the features of normals: (n_normal, d) -> (n, d).

    Parameters
    ----------
    normals : ndarray of shape (n_normal, d)
        Normal rows.
    rng : Generator
        Source of randomness.
    n : int, default=32
        Number of rows to make.
    amplitude : (float, float), default=(2.0, 6.0)
        Lowest and highest standard deviation of the noise, in spreads of the feature.
    """
    normals = np.clip(normals, -FAR, FAR)
    d = normals.shape[1]
    rows = normals[rng.integers(len(normals), size=n)]
    touched = rng.random((n, d)) < 0.5
    touched[np.arange(n), rng.integers(d, size=n)] = True
    noise = rng.normal(size=(n, d)) * rng.uniform(*amplitude, size=(n, 1))
    return rows + touched * noise * feature_spread(normals)


def tasks_from_rows(X: Array, y: NDArray[np.int8], seed: int, n_tasks: int = 8) -> TaskSet:
    """Make tasks from the rows of one support, by jittered draws and injected anomalies.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows of the support.
    y : ndarray of shape (n,), dtype int8
        1 marks anomalies; where there are any, half the anomalies of a task are jittered ones.
    seed : int
        Seed of the draws.
    n_tasks : int, default=8
        Number of tasks.
    """
    X = np.clip(X, -FAR, FAR)
    normals, anomalies = X[y != ANOMALOUS], X[y == ANOMALOUS]
    jitter = 0.3 * feature_spread(normals)
    tasks = []
    for i in range(n_tasks):
        rng = np.random.default_rng([seed, i])

        def drawn(rows: Array, n: int, rng: np.random.Generator = rng) -> Array:
            picked = rows[rng.integers(len(rows), size=n)]
            return picked + jitter * rng.normal(size=picked.shape)

        known = drawn(anomalies, 16) if len(anomalies) else anomalies
        injected = inject_anomalies(normals, rng, 32 - len(known))
        rows = np.concatenate([drawn(normals, 60), known, injected])
        tasks.append((rows, np.repeat([0, 1], [60, 32])))
    return TaskSet(tasks, outlier_label=1)
