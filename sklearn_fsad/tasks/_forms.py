"""Read tasks given as pairs, as tasks, as a mapping, or as flat rows with a task id each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length

from .._input.containers import take_rows, unwrapped
from .._input.names import names_of, rows_by_name
from ._task import Task

FORMS = (
    "meta_fit needs tasks: a list of (X_t, y_t) pairs, a dict name -> (X_t, y_t), a TaskSet or a "
    "list of its tasks, or flat X, y with groups=<task id of each row>."
)
Given = Task | tuple[Any, Any]  # a validated task, or rows and labels as the user gave them


def split_flat(X: Any, y: Any, groups: Any) -> dict[Any, tuple[Any, Any]]:
    """Split flat rows and labels by task: name -> (X_t, y_t)."""
    X, y, groups = unwrapped(X), unwrapped(y), unwrapped(groups)
    rows_of = rows_by_task(groups)
    check_consistent_length(X, groups, y)
    return {
        name: (take_rows(X, rows), None if y is None else take_rows(y, rows))
        for name, rows in rows_of.items()
    }


def rows_by_task(groups: Any) -> dict[Any, NDArray[np.intp]]:
    """Map each task id to the positions of its rows; ids are in the order of their first row."""
    return rows_by_name(groups, "groups", "task id")


def named_tasks(tasks: Any, names: Sequence[Any] | None) -> list[tuple[Any, Given]]:
    """List name and content of each task, or raise a ValueError that lists the accepted forms."""
    if not isinstance(tasks, (Mapping, list, tuple)):
        tasks = unwrapped(tasks)
    is_table = hasattr(tasks, "columns") or hasattr(tasks, "dtype")
    if is_table or isinstance(tasks, str) or not isinstance(tasks, Iterable):
        raise ValueError(f"Got {type(tasks).__name__} without groups. {FORMS}")
    if isinstance(tasks, Mapping):
        names, tasks = list(tasks), tasks.values()
    tasks, names = list(tasks), None if names is None else names_of(names)
    if not tasks:
        raise ValueError(f"Got no task. {FORMS}")
    if names is not None and len(names) != len(tasks):
        raise ValueError(f"names has {len(names)} entries for {len(tasks)} tasks.")
    told = range(len(tasks)) if names is None else names
    given = [_given(i, name, item) for i, (name, item) in enumerate(zip(told, tasks, strict=True))]
    if names is None:
        names = _own_names(given) or range(len(given))
    return list(zip(names, given, strict=True))


def _given(i: int, name: Any, item: Any) -> Given:
    if isinstance(item, Task):
        return item
    X, y = item if isinstance(item, (tuple, list)) and len(item) == 2 else (item, None)
    try:
        X = unwrapped(X)
    except ValueError as error:
        raise ValueError(f"Task {name!r}: {error}") from error
    if _n_dimensions(X) != 2:
        raise ValueError(f"Entry {i} of the tasks is not a task. {FORMS}")
    return X, y


def _own_names(given: Sequence[Given]) -> list[Any] | None:
    """Return the names of validated tasks where all differ, else None."""
    names = [task.name for task in given if isinstance(task, Task)]
    return names if len(set(names)) == len(given) else None


def _n_dimensions(X: Any) -> int | None:
    """Return the number of dimensions; None for a ragged sequence."""
    if hasattr(X, "shape"):
        return len(X.shape)
    try:
        return np.ndim(X)
    except ValueError:
        return None
