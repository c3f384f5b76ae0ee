"""Split tables into rows to learn from and to test: our draws, and two published protocols.

Ours are a pure function of the seed, the table's name and the number of the draw. Few labels: C.
Jiang et al., "ADGym: design choices for deep anomaly detection", NeurIPS 2023. One class: V.
Livernoche et al., "On diffusion modeling for anomaly detection", ICLR 2024, which Y. Shen et al.,
"FoMo-0D", 2024, took over. Their random numbers are drawn in the order in which their code draws
them, from numpy's global generator, which is put back afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from bench.protocols.families import MIN_QUERY_NORMALS, Episode, Fold, Task, random_state_of
from bench.protocols.frames import encoded, with_frames
from bench.report.records import Row
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

MOST_ROWS, LEAST_ANOMALIES, TEST_SHARE = 5000, 30, 0.3
RELATED = (("cardio", "Cardiotocography"), ("http", "smtp"), ("mnist", "optdigits", "pendigits"))


@dataclass(frozen=True)
class TableSplits:
    """Hold the settings of a run: the cells, the draws, the seed, and how clean the supports are.

    A draw takes at most 5000 rows of a table, stratified, with at least 30 anomalies where they
    exist, and tests on 30 % of them. Supports are nested: the first n of one order of the other
    normals and the first k of one order of the other anomalies.

    Attributes
    ----------
    contamination : float
        Share of the n rows taken for normal that are anomalies.
    max_query : int or None
        Cap on the rows to test on; they keep at least 30 anomalies where these exist.
    paired : bool
        Whether the cells are the pairs of n and k, in order, and not all their combinations.
    """

    n: tuple[int, ...]
    k: tuple[int, ...]
    draws: int
    seed: int
    contamination: float = 0.0
    max_query: int | None = None
    paired: bool = False

    @property
    def cells(self) -> list[tuple[int, int]]:
        """Every (n, k), n first."""
        if self.paired:
            return list(zip(self.n, self.k, strict=True))
        return [(n, k) for n in self.n for k in self.k]

    def episodes(self, task: Task) -> Iterator[Episode]:
        """Yield every episode of a table, draw by draw and cell by cell."""
        for number in range(self.draws):
            yield from self.episodes_of_draw(task, number)

    def episodes_of_draw(self, task: Task, number: int) -> Iterator[Episode]:
        """Yield the episodes of one draw, cell by cell."""
        state = random_state_of(self.seed, task.name, number)
        rng = np.random.default_rng(state)
        rows = some_rows(task.y, rng)
        train, test = train_test_split(
            rows, test_size=TEST_SHARE, stratify=task.y[rows], random_state=state
        )
        X = encoded(task, train)
        normals = rng.permutation(train[task.y[train] == 0])
        anomalies = rng.permutation(train[task.y[train] == 1])
        test = capped(test, task.y, self.max_query)
        for n, k in self.cells:
            labelled, hidden = anomalies[:k], anomalies[max(self.k) :]
            hidden = hidden[: round(self.contamination * min(n, len(normals)))]
            clean = normals[: n - len(hidden)]
            taken = np.concatenate([clean, hidden, labelled])
            y = np.repeat([0, 1], [len(clean) + len(hidden), len(labelled)])
            episode = Episode(
                task, number, n, k, len(y) - len(labelled), len(labelled),
                X[taken], y, X[test], task.y[test],
            )  # fmt: skip
            yield with_frames(episode, taken, test)


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


def capped(test: np.ndarray, y: np.ndarray, most: int | None) -> np.ndarray:
    """Return the first rows to test on; labels keep their shares, but for a few anomalies more."""
    if most is None or len(test) <= most:
        return test
    normals, anomalies = test[y[test] == 0], test[y[test] == 1]
    kept = max(round(most * len(anomalies) / len(test)), LEAST_ANOMALIES)
    kept = min(kept, len(anomalies))
    return np.concatenate([normals[: max(most - kept, MIN_QUERY_NORMALS)], anomalies[:kept]])


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


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Global random numbers from a seed within, and as before afterwards."""
    before, before_python = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
        random.setstate(before_python)


@dataclass(frozen=True)
class FewLabels:
    """Rows of which 5, 10 or 20 anomalies are labelled and nothing is known of the others.

    At most 3000 rows, 70 % to learn from; seeds 1 to 3; raw features.
    """

    k: tuple[int, ...] = (5, 10, 20)
    draws: int = 3
    seed: int = 1
    most_rows: int = 3000
    file: str = "adgym_weak.csv"

    @property
    def n(self) -> tuple[int, ...]:
        """Most rows of a support."""
        return (round(0.7 * self.most_rows),)

    @property
    def cells(self) -> list[tuple[int, int]]:
        """Every (n, k)."""
        return [(self.n[0], k) for k in self.k]

    def episodes(self, task: Task) -> Iterator[Episode]:
        """Yield every episode of a table; a table with too few anomalies has fewer."""
        for number in range(self.draws):
            for n, k in self.cells:
                split = self._split(task, self.seed + number, k)
                if split is not None:
                    X, y, query_X, query_y = split
                    yield Episode(task, number, n, k, len(y) - k, k, X, y, query_X, query_y)

    def _split(self, task: Task, seed: int, k: int) -> tuple[np.ndarray, ...] | None:
        with seeded(seed):
            X, y = task.X, task.y
            if len(y) > self.most_rows:
                kept = np.random.choice(np.arange(len(y)), self.most_rows, replace=False)  # noqa: NPY002
                X, y = X[kept], y[kept]
            X, query_X, y, query_y = train_test_split(
                X, y, test_size=0.3, shuffle=True, stratify=y, random_state=None
            )
            anomalies = np.flatnonzero(y == 1)
            if k > len(anomalies):
                return None
            labelled = np.random.choice(anomalies, k, replace=False)  # noqa: NPY002
        return X, np.isin(np.arange(len(y)), labelled).astype(np.int64), query_X, query_y

    def rows(self, folder: Path, family: str, names: Sequence[str]) -> list[Row]:
        """Published rows of every method on the tables of these names."""
        frame = pd.read_csv(folder / self.file)
        wide = frame.pivot_table(
            index=["dataset", "seed", "n_labelled", "method"], columns="metric", values="value"
        )
        rows = []
        for (dataset, seed, k, method), found in wide.iterrows():
            name = dataset.split("_", 1)[1]
            if name in names:
                cell = int(seed) - self.seed, self.n[0], int(k)
                rows.append(published(family, name, cell, method, found.AUCROC, found.AUCPR))
        return rows


@dataclass(frozen=True)
class OneClass:
    """The first half of the normals to learn from; the others and all anomalies to test on.

    Tables of less than 1000 rows are filled up with copies before they are split, so that rows to
    test on were seen: it leaks, and only stands beside figures that were measured the same way.
    """

    draws: int = 5
    seed: int = 0
    least_rows: int = 1000
    most_rows: int = 50_000
    k: tuple[int, ...] = (0,)
    file: str = "dte_one_class.csv"

    @property
    def n(self) -> tuple[int, ...]:
        """Most rows of a support."""
        return (self.most_rows // 2,)

    @property
    def cells(self) -> list[tuple[int, int]]:
        """The only (n, k)."""
        return [(self.n[0], 0)]

    def episodes(self, task: Task) -> Iterator[Episode]:
        """Yield every draw of a table."""
        for number in range(self.draws):
            X, y = task.X, task.y
            wanted = min(max(len(y), self.least_rows), self.most_rows)
            if wanted != len(y):
                with seeded(self.seed + number):
                    more = wanted > len(y)
                    rows = np.random.choice(np.arange(len(y)), wanted, replace=more)  # noqa: NPY002
                X, y = X[rows], y[rows]
            elif number:  # the rows are those of the first draw
                return
            normals, anomalies = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
            half = round(0.5 * len(normals))
            test = np.append(normals[half:], anomalies)
            scaler = StandardScaler().fit(X[normals[:half]])
            support, query = (
                np.nan_to_num(scaler.transform(X[part])) for part in (normals[:half], test)
            )
            none = np.zeros(half, dtype=np.int64)
            yield Episode(task, number, self.n[0], 0, half, 0, support, none, query, y[test])

    def rows(self, folder: Path, family: str, names: Sequence[str]) -> list[Row]:
        """Published means of every method on the tables of these names."""
        frame = pd.read_csv(folder / self.file)
        wide = frame.pivot_table(index=["dataset", "method"], columns="metric", values="mean")
        known = {name.lower(): name for name in names}
        return [
            published(
                family, known[dataset], (0, self.n[0], 0), method, v.AUROC / 100, v.AUPR / 100
            )
            for (dataset, method), v in wide.iterrows()
            if dataset in known
        ]


def published(
    family: str, task: str, cell: tuple[int, int, int], method: str, auc: float, ap: float
) -> Row:
    """A row of somebody else's."""
    draw, n, k = cell
    return Row(family, "published", task, draw, n, k, n, k, f"({method})", auc, ap, np.nan)
