"""The protocol of ``benchmarks/tables.py``: one table is split into rows to learn from and to test.

Every number is a pure function of the seed, the table's name and the number of the draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from _protocol import Episode, Fold, Task, random_state_of
from sklearn.model_selection import train_test_split

MOST_ROWS, LEAST_ANOMALIES, TEST_SHARE = 5000, 30, 0.3
RELATED = (
    ("cardio", "Cardiotocography"),
    ("http", "smtp"),
    ("mnist", "optdigits", "pendigits"),
)


@dataclass(frozen=True)
class TableSplits:
    """What a run measures: the cells, the draws, the seed, and how clean the supports are.

    A draw takes at most 5000 rows of a table, stratified, with at least 30 anomalies where they
    exist, and tests on 30 % of them. Supports are nested: the first n of one order of the other
    normals and the first k of one order of the other anomalies.

    Attributes
    ----------
    contamination : float
        Share of the n rows taken for normal that are anomalies.
    """

    n: tuple[int, ...]
    k: tuple[int, ...]
    draws: int
    seed: int
    contamination: float = 0.0

    @property
    def cells(self) -> list[tuple[int, int]]:
        """Every (n, k), n first."""
        return [(n, k) for n in self.n for k in self.k]

    def episodes(self, task: Task) -> Iterator[Episode]:
        """Yield every episode of a table, draw by draw and cell by cell."""
        for number in range(self.draws):
            state = random_state_of(self.seed, task.name, number)
            rng = np.random.default_rng(state)
            rows = some_rows(task.y, rng)
            train, test = train_test_split(
                rows, test_size=TEST_SHARE, stratify=task.y[rows], random_state=state
            )
            normals = rng.permutation(train[task.y[train] == 0])
            anomalies = rng.permutation(train[task.y[train] == 1])
            for n, k in self.cells:
                labelled, hidden = anomalies[:k], anomalies[max(self.k) :]
                hidden = hidden[: round(self.contamination * min(n, len(normals)))]
                clean = normals[: n - len(hidden)]
                taken = np.concatenate([clean, hidden, labelled])
                y = np.repeat([0, 1], [len(clean) + len(hidden), len(labelled)])
                yield Episode(
                    task, number, n, k, len(y) - len(labelled), len(labelled),
                    task.X[taken], y, task.X[test], task.y[test],
                )  # fmt: skip


def some_rows(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Row numbers of at most 5000 rows; labels keep their shares, but for a few anomalies more."""
    if len(y) <= MOST_ROWS:
        return np.arange(len(y))
    normals, anomalies = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
    kept = max(round(MOST_ROWS * len(anomalies) / len(y)), min(LEAST_ANOMALIES, len(anomalies)))
    parts = (
        rng.choice(normals, MOST_ROWS - kept, replace=False),
        rng.choice(anomalies, kept, replace=False),
    )
    return np.sort(np.concatenate(parts))


def related_folds(tasks: Sequence[Task], seed: int, n_folds: int = 5) -> list[Fold]:
    """Folds over tables that keep those of the same origin together."""
    names = [task.name for task in tasks if task.testable]
    groups = [[name for name in group if name in names] for group in RELATED]
    related = {name for group in groups for name in group}
    groups = [group for group in groups if group] + [[n] for n in names if n not in related]
    order = np.random.default_rng(seed).permutation(len(groups))
    folds = []
    for part in np.array_split(order, min(n_folds, len(groups))):
        test = sorted(name for i in part for name in groups[i])
        folds.append(Fold(tuple(name for name in names if name not in test), tuple(test)))
    return folds
