"""Draw one table's support, fresh rows to test on, and anomalies made of those."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from bench.protocols.families import Task, random_state_of

STUDY = (
    "cardio",
    "PageBlocks",
    "Pima",
    "Waveform",
    "letter",
    "mammography",
    "pendigits",
    "shuttle",
    "vowels",
    "yeast",
    "ALOI",
    "donors",
)
MOST_FEATURES = 70
N_FRESH, N_ANOMALIES = 250, 150
PLANTED = {
    "one shifted": "one column moved by three of its standard deviations",
    "three shifted": "three columns moved by three of their standard deviations each",
    "one swapped": "one column with the value of another normal row",
}
SHIFT = 3.0


@dataclass(frozen=True)
class TestRows:
    """Rows to score.

    Attributes
    ----------
    fresh : ndarray of shape (m, d)
        Normals that are in no support.
    anomalies : dict of str to ndarray of shape (k, d)
        By kind.
    replaced : ndarray of shape (m,) or None
        Column of each row of kind ``one`` that was replaced; -1 where it holds the same value.
    bound : tuple of int or None
        Columns whose relation the anomalies break, where all break the same.
    """

    __test__ = False  # no test case of pytest

    fresh: np.ndarray
    anomalies: dict[str, np.ndarray]
    replaced: np.ndarray | None = None
    bound: tuple[int, ...] | None = None

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> TestRows:
        """Change all rows alike; which column was replaced is forgotten."""
        anomalies = {kind: change(X) for kind, X in self.anomalies.items()}
        return TestRows(change(self.fresh), anomalies)


def choose_tables(tasks: Sequence[Task], names: Sequence[str]) -> list[Task]:
    """Tables by name; ``all`` stands for every one that is not too wide.

    Raises
    ------
    ValueError
        When a table is not there, or has no anomalies.
    """
    testable = {task.name: task for task in tasks if task.testable}
    if list(names) == ["all"]:
        return [task for task in testable.values() if task.X.shape[1] <= MOST_FEATURES]
    unknown = [name for name in names if name not in testable]
    if unknown:
        raise ValueError(f"No table of that name that has anomalies: {', '.join(unknown)}.")
    return [testable[name] for name in names]


def most_support(task: Task) -> int:
    """Two thirds of the normals: a third is left to test on."""
    return 2 * int((task.y == 0).sum()) // 3


def support_sizes(task: Task, wanted: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Sizes wanted and given, without those where a table gives no more than at a smaller one.

    Examples
    --------
    >>> task = Task("short", "short", np.zeros((180, 1)), np.zeros(180))
    >>> list(support_sizes(task, [50, 200, 1000]))
    [(50, 50), (200, 120)]
    """
    given = 0
    for n in sorted(wanted):
        if min(n, most_support(task)) > given:
            given = min(n, most_support(task))
            yield n, given


def draw_table(task: Task, n: int, seed: int, number: int) -> tuple[np.ndarray, TestRows]:
    """Draw a support of n normals and the rows to test on.

    Supports are nested; what is tested on is the same for all of them.
    """
    rng = np.random.default_rng(random_state_of(seed, task.name, number))
    normals = rng.permutation(np.flatnonzero(task.y == 0))
    anomalies = rng.permutation(np.flatnonzero(task.y == 1))[:N_ANOMALIES]
    n_fresh = min(N_FRESH, len(normals) - most_support(task))
    support, fresh = normals[: min(n, most_support(task))], normals[len(normals) - n_fresh :]
    return task.X[support], with_made_anomalies(task.X[fresh], task.X[anomalies], rng)


def with_made_anomalies(fresh: np.ndarray, real: np.ndarray, rng: np.random.Generator) -> TestRows:
    """Rows to test on: normals, real anomalies and two kinds made of the normals."""
    one, replaced = replace_one(fresh, rng)
    return TestRows(fresh, {"real": real, "one": one, "all": permute_all(fresh, rng)}, replaced)


def replace_one(X: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Replace one random column of each row by another row's value.

    Returns
    -------
    changed : ndarray of shape (m, d)
    column : ndarray of shape (m,)
        -1 where the other row holds the same value.
    """
    rows = np.arange(len(X))
    columns = rng.integers(X.shape[1], size=len(X))
    others = (rows + rng.integers(1, len(X), size=len(X))) % len(X)
    changed = X.copy()
    changed[rows, columns] = X[others, columns]
    same = changed[rows, columns] == X[rows, columns]
    return changed, np.where(same, -1, columns)


def permute_all(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Permute every column on its own: each keeps its values, none its relation to others."""
    return rng.permuted(X, axis=0)


def punch_holes(X: np.ndarray, share: float | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Remove entries at random; a row that would lose all of them keeps one.

    Parameters
    ----------
    share : float or ndarray of shape (n, d)
        The probability with which an entry is removed.
    """
    missing = rng.random(X.shape) < share
    empty = np.flatnonzero(missing.all(axis=1))
    missing[empty, rng.integers(X.shape[1], size=len(empty))] = False
    return np.where(missing, np.nan, X)


def hide_columns(X: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Remove whole columns."""
    hidden = X.copy()
    hidden[:, columns] = np.nan
    return hidden


class Planted(NamedTuple):
    """Rows of one kind and where they were changed.

    Attributes
    ----------
    X : ndarray of shape (m, d)
    off : ndarray of shape (m, d), dtype bool
        Which entries are not those of the normal row; at least one in each row.
    """

    X: np.ndarray
    off: np.ndarray


def plant(rows: np.ndarray, normals: np.ndarray, kind: str, rng: np.random.Generator) -> Planted:
    """Put normal rows out of order in columns drawn at random of those that vary.

    Parameters
    ----------
    rows : ndarray of shape (m, d)
    normals : ndarray of shape (n, d)
        All normals of the table: their standard deviation is the unit of a shift.
    kind : {"one shifted", "three shifted", "one swapped"}
    rng : numpy.random.Generator
    """
    spread = normals.std(axis=0)
    varies = np.flatnonzero(spread > 0)
    n_off = min(3, len(varies)) if kind == "three shifted" else 1
    X = rows.copy()
    for i in range(len(X)):
        columns = rng.choice(varies, n_off, replace=False)
        if kind == "one swapped":
            X[i, columns] = normals[rng.integers(len(normals)), columns]
        else:
            X[i, columns] += rng.choice([-SHIFT, SHIFT], n_off) * spread[columns]
    off = rows != X
    changed = off.any(axis=1)
    return Planted(X[changed], off[changed])
