"""Split tasks into normal rows to begin with, a pool to ask about, and rows to test on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from bench.protocols.families import Task, random_state_of
from bench.protocols.frames import encoded
from bench.protocols.tables import TEST_SHARE, capped, some_rows
from sklearn.model_selection import train_test_split

LEAST_IN_POOL = 3  # anomalies, where there are as many


@dataclass(frozen=True)
class PoolDraw:
    """Hold the rows of one draw.

    Attributes
    ----------
    number : int
    normals : ndarray of shape (n, d)
    pool, test : ndarray of shape (n_pool, d) and (n_test, d)
    pool_y, test_y : ndarray of shape (n_pool,) and (n_test,)
        1 marks the anomalies.
    """

    number: int
    normals: np.ndarray
    pool: np.ndarray
    pool_y: np.ndarray
    test: np.ndarray
    test_y: np.ndarray


@dataclass(frozen=True)
class Pools:
    """Hold the settings of a run.

    At most 5000 rows of a task are used, and 30 % of them tested on, at most ``max_query``. The
    others make n normal rows to begin with, at most half of them, and a pool of at most ``size``
    rows, a ``share`` of them anomalies.
    """

    n: int
    size: int
    share: float
    draws: int
    seed: int
    max_query: int

    def draws_of(self, task: Task) -> Iterator[PoolDraw]:
        """Yield the draws of a task."""
        for number in range(self.draws):
            yield self.draw(task, number)

    def draw(self, task: Task, number: int) -> PoolDraw:
        """Draw the rows of a task, a pure function of seed, name and number."""
        state = random_state_of(self.seed, task.name, number, "query")
        rng = np.random.default_rng(state)
        rows = some_rows(task.y, rng)
        train, test = train_test_split(
            rows, test_size=TEST_SHARE, stratify=task.y[rows], random_state=state
        )
        X = encoded(task, train)
        normals = rng.permutation(train[task.y[train] == 0])
        anomalies = rng.permutation(train[task.y[train] == 1])
        n = min(self.n, len(normals) // 2)
        normals, rest = normals[:n], normals[n:]
        wanted = max(round(self.share / (1.0 - self.share) * len(rest)), LEAST_IN_POOL)
        anomalies = anomalies[: min(wanted, round(self.share * self.size))]
        pool = np.concatenate([rest[: self.size - len(anomalies)], anomalies])
        pool, test = rng.permutation(pool), capped(test, task.y, self.max_query)
        return PoolDraw(number, X[normals], X[pool], task.y[pool], X[test], task.y[test])
