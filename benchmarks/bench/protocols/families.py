"""Draw supports and queries of the tasks of a family, and folds over its tasks.

A family is a folder of npz files, one task a file, each with ``X`` of shape (n_rows, n_features)
and ``y`` of shape (n_rows,), 1 for an anomaly. Every number here is a pure function of the seed,
the task's name and the number of the draw, so that every method sees the same rows, whatever else
runs beside it.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MIN_QUERY_NORMALS = 20
MIN_QUERY_ANOMALIES = 3
MIN_KEPT_ANOMALIES = 30  # a capped query keeps this many where they exist
SPLITS = ("random", "groups", "none")


@dataclass(frozen=True)
class Task:
    """One task: a name, its group of siblings, its rows and their labels (1 = anomaly)."""

    name: str
    group: str
    X: np.ndarray  # (n_rows, n_features)
    y: np.ndarray  # (n_rows,)

    @property
    def testable(self) -> bool:
        """Whether the task can be tested on; one without any anomaly can only be learned from."""
        return bool(self.y.any())


@dataclass(frozen=True)
class Draw:
    """Rows of one draw: normals and anomalies in the order they enter supports, and the query."""

    normals: np.ndarray  # (min(n_max, cap),)
    anomalies: np.ndarray  # (min(k_max, cap),)
    query: np.ndarray  # (n_query,)

    def support(self, n: int, k: int) -> np.ndarray:
        """Row numbers of the support with at most n normals and k anomalies, normals first."""
        return np.concatenate([self.normals[:n], self.anomalies[:k]])


@dataclass(frozen=True)
class Episode:
    """One support and its query, of one task, draw and cell (n, k)."""

    task: Task
    draw: int
    n: int
    k: int
    n_used: int
    k_used: int
    support_X: np.ndarray  # (n_used + k_used, n_features)
    support_y: np.ndarray  # (n_used + k_used,)
    query_X: np.ndarray  # (n_query, n_features)
    query_y: np.ndarray  # (n_query,)

    @property
    def key(self) -> tuple[str, int, int, int]:
        """What names the episode within a run."""
        return self.task.name, self.draw, self.n, self.k


@dataclass(frozen=True)
class Fold:
    """Names of the tasks to learn from and of those to test on."""

    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Protocol:
    """Hold the settings of a run: the cells, the draws and the seed."""

    n: tuple[int, ...]
    k: tuple[int, ...]
    draws: int
    seed: int
    max_query: int | None = None

    @property
    def cells(self) -> list[tuple[int, int]]:
        """Every (n, k), n first."""
        return [(n, k) for n in self.n for k in self.k]

    def episodes(self, task: Task) -> Iterator[Episode]:
        """Yield every episode of a task, draw by draw and cell by cell."""
        for number in range(self.draws):
            draw = draw_rows(task, self.seed, number, max(self.n), max(self.k), self.max_query)
            query_X, query_y = task.X[draw.query], task.y[draw.query]
            for n, k in self.cells:
                rows = draw.support(n, k)
                k_used = min(k, len(draw.anomalies))
                n_used = len(rows) - k_used
                yield Episode(
                    task, number, n, k, n_used, k_used, task.X[rows], task.y[rows], query_X, query_y
                )


def group_of(name: str) -> str:
    """Return the part of a task's name before the first underscore that a digit follows.

    Examples
    --------
    >>> group_of("valve1_13"), group_of("metal_nut"), group_of("anomaly-free_anomaly-free")
    ('valve1', 'metal_nut', 'anomaly-free_anomaly-free')
    """
    return re.split(r"_(?=\d)", name, maxsplit=1)[0]


def load_family(folder: str | Path) -> list[Task]:
    """Load every npz of a folder as a task, in the order of their names.

    Raises
    ------
    ValueError
        When there is no npz, or a task has too few rows to be tested on.
    """
    tasks = []
    for path in sorted(Path(folder).glob("*.npz")):
        with np.load(path) as data:
            X, y = data["X"].astype(np.float64), data["y"].astype(np.int64)
        if not set(np.unique(y)) <= {0, 1} or len(X) != len(y):
            raise ValueError(f"{path.name}: y must hold one 0 or 1 for every row of X.")
        n_anomalies = int(y.sum())
        if 0 < n_anomalies <= MIN_QUERY_ANOMALIES or len(y) - n_anomalies < MIN_QUERY_NORMALS + 2:
            raise ValueError(
                f"{path.name}: a task needs {MIN_QUERY_NORMALS + 2} normal rows and either no "
                f"anomaly or at least {MIN_QUERY_ANOMALIES + 1}; it has "
                f"{len(y) - n_anomalies} and {n_anomalies}."
            )
        tasks.append(Task(path.stem, group_of(path.stem), X, y))
    if not tasks:
        raise ValueError(f"No npz file in {folder}.")
    return tasks


def fingerprint(tasks: Sequence[Task]) -> str:
    """Return a short hash of the names, rows and labels of a family."""
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(f"{task.name}{task.X.shape}".encode())
        digest.update(task.X.tobytes())
        digest.update(task.y.tobytes())
    return digest.hexdigest()[:16]


def random_state_of(seed: int, *parts: object) -> int:
    """Return a seed that is a pure function of a run's seed and of the parts."""
    return zlib.crc32(repr((seed, *parts)).encode())


def draw_rows(
    task: Task, seed: int, number: int, n_max: int, k_max: int, max_query: int | None = None
) -> Draw:
    """Draw the supports and the query of a task.

    Supports are nested: the first n of one order of the normals and the first k of one order of
    the anomalies. The query is every row that is in no support, so it is the same in all cells. At
    least 20 normals and 3 anomalies are left to it; a support gets fewer rows than asked where
    that is needed.

    Parameters
    ----------
    max_query : int or None
        Cap on the query. Labels keep their shares, except that 30 anomalies are kept where they
        exist.
    """
    rng = np.random.default_rng(random_state_of(seed, task.name, number))
    normals = rng.permutation(np.flatnonzero(task.y == 0))
    anomalies = rng.permutation(np.flatnonzero(task.y == 1))
    n = min(n_max, len(normals) - MIN_QUERY_NORMALS)
    k = min(k_max, max(len(anomalies) - MIN_QUERY_ANOMALIES, 0))
    left_normals, left_anomalies = normals[n:], anomalies[k:]
    if max_query is not None and len(left_normals) + len(left_anomalies) > max_query:
        share = len(left_anomalies) / (len(left_normals) + len(left_anomalies))
        kept = min(max(round(share * max_query), MIN_KEPT_ANOMALIES), len(left_anomalies))
        left_anomalies = left_anomalies[:kept]
        left_normals = left_normals[: max(max_query - kept, MIN_QUERY_NORMALS)]
    query = np.sort(np.concatenate([left_normals, left_anomalies]))
    return Draw(normals[:n], anomalies[:k], query)


def make_folds(tasks: Sequence[Task], split: str, seed: int, n_folds: int = 5) -> list[Fold]:
    """Split a family into folds over its tasks.

    Parameters
    ----------
    split : {"random", "groups", "none"}
        Five seeded folds of tasks; one fold a group of siblings; or one fold that tests on all
        tasks and learns from none. Tasks without anomalies are never tested on, and are learned
        from in every fold that does not hold out their group.
    """
    testable = [task for task in tasks if task.testable]
    if split == "none":
        return [Fold((), tuple(task.name for task in testable))]
    if split == "random":
        order = np.random.default_rng(seed).permutation(len(testable))
        parts = [part for part in np.array_split(order, n_folds) if len(part)]
        tests = [sorted(testable[i].name for i in part) for part in parts]
    elif split == "groups":
        groups = sorted({task.group for task in testable})
        tests = [[task.name for task in testable if task.group == group] for group in groups]
    else:
        raise ValueError(f"split must be one of {SPLITS}; got {split!r}.")
    if len(tests) < 2:
        raise ValueError(
            f"split {split!r} needs at least two folds; this family gives {len(tests)}."
        )
    folds = []
    for test in tests:
        out = {task.group for task in testable if split == "groups" and task.name in test}
        train = [t.name for t in tasks if t.name not in test and t.group not in out]
        folds.append(Fold(tuple(train), tuple(test)))
    return folds
