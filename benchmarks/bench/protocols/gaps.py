"""Remove entries of tables at random, or rather where values are high."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from bench.protocols.families import Episode, Task, random_state_of
from bench.protocols.one_table import punch_holes
from bench.protocols.tables import TableSplits
from scipy.stats import rankdata

HIGH = "20 % where values are high"
SHARES = {"20 % at random": 0.2, "40 % at random": 0.4}
WAYS = (*SHARES, HIGH)
STEEPNESS = 0.6  # removes a fifth of a column, since the mean of squared ranks is a third


def chance(X: np.ndarray, way: str) -> float | np.ndarray:
    """Return the probability with which an entry is removed: a number, or of shape (n, d)."""
    if way in SHARES:
        return SHARES[way]
    ranks = (rankdata(X, axis=0) - 0.5) / len(X)
    return STEEPNESS * ranks**2


def with_gaps(task: Task, seed: int, number: int, way: str) -> Task:
    """Remove entries of a table; a row keeps at least one."""
    rng = np.random.default_rng(random_state_of(seed, task.name, number, way))
    return replace(task, X=punch_holes(task.X, chance(task.X, way), rng))


@dataclass(frozen=True)
class GapSplits(TableSplits):
    """The rows of ``TableSplits``, of a table of which entries are removed anew in each draw."""

    way: str = HIGH

    def episodes_of_draw(self, task: Task, number: int) -> Iterator[Episode]:
        """Yield the episodes of one draw, cell by cell."""
        return super().episodes_of_draw(with_gaps(task, self.seed, number, self.way), number)
