"""Fill the gaps of tasks to learn from, and of rows to compare with each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..._input.labels import ANOMALOUS
from ..._stats.gaps import GapFiller
from ..._stats.moments import feature_spread, stable_mean
from ..._typing import Array, Mask
from ...tasks._task_set import TaskSet

_MOST_POOLED = 5000  # rows of all tasks


def filled_rows(X: Array, normal: Mask | None = None) -> Array:
    """Fill the gaps of each row by the others, all of them normal by default: (n, d) -> (n, d)."""
    if not np.isnan(X).any():
        return X
    return GapFiller(X, np.ones(len(X), dtype=bool) if normal is None else normal).filled_support()


def without_gaps(tasks: TaskSet) -> TaskSet:
    """Fill the gaps of tasks to learn from, each by its own rows.

    A column that one task has no entry of, and others do, is filled by what it has in common with
    other columns in these.
    """
    if not any(np.isnan(task.X).any() for task in tasks):
        return tasks
    if tasks.n_features is not None:  # the tasks have the same columns
        tasks = _with_all_columns(tasks)
    return tasks.with_tasks(
        replace(task, X=filled_rows(task.X, task.y != ANOMALOUS)) for task in tasks
    )


def _with_all_columns(tasks: TaskSet) -> TaskSet:
    """Fill columns without any entry in a task, in tasks of the same columns."""
    lacks = np.array([np.isnan(task.X).all(axis=0) for task in tasks])
    if not lacks.any():
        return tasks
    means = np.array([stable_mean(task.normals) for task in tasks])
    spreads = np.array([feature_spread(task.normals) for task in tasks])
    means, spreads = (_averaged(values, lacks) for values in (means, spreads))
    scaled = [(t.X - mean) / spread for t, mean, spread in zip(tasks, means, spreads, strict=True)]
    rows = np.concatenate(scaled)
    normal = np.concatenate([task.y for task in tasks]) != ANOMALOUS
    step = -(-len(rows) // _MOST_POOLED)
    filler = GapFiller(rows[::step], normal[::step])
    filled = []
    for i, task in enumerate(tasks):
        predicted = filler.fill(scaled[i]) * spreads[i] + means[i]
        filled.append(replace(task, X=np.where(lacks[i], predicted, task.X)))
    return tasks.with_tasks(filled)


def _averaged(values: Array, lacks: Mask) -> Array:
    """Replace the values of tasks that lack a column by the mean of the others: (n_tasks, d)."""
    known = np.where(lacks, 0.0, values).sum(axis=0) / np.maximum((~lacks).sum(axis=0), 1)
    return np.where(lacks, known, values)
