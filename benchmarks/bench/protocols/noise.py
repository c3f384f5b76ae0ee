"""Draw supports in which some normal rows are anomalies, or some labels are wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from bench.protocols.families import Task, draw_rows, random_state_of

CLEAN, TURNED = "none", "10 % turned"
HIDDEN = {"10 % hidden": 0.1, "20 % hidden": 0.2}
TURNED_SHARE = 0.1


class Support(NamedTuple):
    """A support as a detector gets it: the noise, its rows, their labels and which are wrong."""

    noise: str
    X: np.ndarray  # (n_support, n_features)
    y: np.ndarray  # (n_support,)
    wrong: np.ndarray  # (n_support,)


def supports(
    task: Task, seed: int, number: int, n: int, k: int, k_max: int, most_query: int
) -> tuple[list[Support], np.ndarray, np.ndarray]:
    """Draw a support with each noise, and the query, which is the same for all."""
    n_hidden = {noise: round(share * n) for noise, share in HIDDEN.items()}
    draw = draw_rows(task, seed, number, n, k_max + max(n_hidden.values()), most_query)
    rows, hidden = draw.support(n, k), draw.anomalies[k:]
    y = task.y[rows]
    rng = np.random.default_rng(random_state_of(seed, task.name, number, "noise"))
    normal = rng.permutation(np.flatnonzero(y == 0))
    made = [Support(CLEAN, task.X[rows], y, np.zeros(len(y), dtype=bool))]
    for noise, count in n_hidden.items():
        count = min(count, len(hidden))
        mixed = rows.copy()
        mixed[normal[:count]] = hidden[:count]
        made.append(Support(noise, task.X[mixed], y, task.y[mixed] != y))
    if k:
        told = y.copy()
        told[normal[: round(TURNED_SHARE * len(normal))]] = 1
        told[np.flatnonzero(y == 1)[: max(1, round(TURNED_SHARE * k))]] = 0
        made.append(Support(TURNED, task.X[rows], told, told != y))
    return made, task.X[draw.query], task.y[draw.query]


def with_turned_labels(task: Task, share: float, seed: int) -> Task:
    """Turn a share of the labels of a task, of either kind."""
    rng = np.random.default_rng(random_state_of(seed, task.name, 0, "turned labels"))
    y = task.y.copy()
    for label in (0, 1):
        rows = rng.permutation(np.flatnonzero(task.y == label))
        y[rows[: round(share * len(rows))]] = 1 - label
    return replace(task, y=y)
