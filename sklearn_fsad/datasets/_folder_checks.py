"""Find in a folder of tasks what is there by accident: empty files, copies, row numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from hashlib import blake2b
from typing import Any

import numpy as np

from .._input.codings import is_auto, is_missing
from .._warn import warn
from ..exceptions import TaskWarning
from ..tasks._task_set import TaskSet

# headers of the row numbers that pandas and Arrow write: none at all, or one of these
_UNNAMED = re.compile(r"Unnamed: 0(\.\d+)*|__index_level_\d+__|")
_ALSO_OF_FEATURES = ("index", "level_0")
_MOST_TOLD = 5


def refuse_empty(tasks: Mapping[str, tuple[Any, Any]]) -> None:
    """Raise a ValueError that names all files without rows."""
    reasons = []
    for name, (X, _) in tasks.items():
        shape = getattr(X, "shape", ())
        if shape[:1] == (0,):
            found = "0 sample(s)" if shape[1:] != (0,) else "No columns to parse from file"
            reasons.append(f"Task {name!r}: {found}")
    if reasons:
        raise ValueError(
            f"{'; '.join(reasons)}: a file without rows is not a task. Remove them, or choose "
            "others by pattern."
        )


def refuse_unknown_label(
    tasks: Mapping[str, tuple[Any, Any]], label: str | None, outlier_label: Any
) -> None:
    """Raise a ValueError if the label of the anomalies is in no file, though others are."""
    labels = [y for _, y in tasks.values() if y is not None]
    if label is None or is_auto(outlier_label):
        return
    several = isinstance(outlier_label, (Set, list, tuple, np.ndarray))
    wanted = list(outlier_label) if several else [outlier_label]
    entries = (value for y in labels for value in np.asarray(y, dtype=object).tolist())
    held = dict.fromkeys(value for value in entries if not is_missing(value))
    if len(held) > 1 and not any(value in held for value in wanted):
        raise ValueError(
            f"outlier_label={outlier_label!r} is in none of the {len(tasks)} files: column "
            f"{label!r} holds {_some([repr(value) for value in held])}."
        )


def warn_of_counters(tasks: Mapping[str, tuple[Any, Any]]) -> None:
    """Warn of columns that count the rows, which a file has got by being written with its index."""
    found: dict[Any, list[str]] = {}
    for name, (X, _) in tasks.items():
        for position, column in enumerate(getattr(X, "columns", ())):
            if _counts_rows(column, X.iloc[:, position], first=position == 0):
                found.setdefault(column, []).append(name)
    if found:
        names = list(dict.fromkeys(name for files in found.values() for name in files))
        warn(
            f"{', '.join(map(repr, found))} only counts the rows in {_some(names)} and is not a "
            f"feature: leave it out by drop={list(found)}.",
            TaskWarning,
        )


def warn_of_copies(tasks: TaskSet) -> None:
    """Warn of files that hold the same rows and labels: validation may see what was trained on."""
    same: dict[bytes, list[str]] = {}
    for task in tasks:
        digest = blake2b(repr(task.X.shape).encode() + task.X.tobytes() + task.y.tobytes())
        same.setdefault(digest.digest(), []).append(task.name)
    copies = [names for names in same.values() if len(names) > 1]
    if copies:
        told = "; ".join(_some(names) for names in copies[:_MOST_TOLD])
        more = f"; and {len(copies) - _MOST_TOLD} more" if len(copies) > _MOST_TOLD else ""
        warn(
            f"Files hold the same rows: {told}{more}. Remove the copies: they count as different "
            "tasks, of which one may validate what was learned from the other.",
            TaskWarning,
        )


def _counts_rows(name: Any, column: Any, *, first: bool) -> bool:
    """Tell whether a column is an index that was written to a file."""
    if isinstance(name, str):
        is_unnamed = _UNNAMED.fullmatch(name.strip()) is not None
        may_count = is_unnamed or name.lower() in _ALSO_OF_FEATURES
    else:  # read without a header
        is_unnamed, may_count = False, first
    if not may_count or column.dtype.kind not in "iuf":
        return False
    values = np.asarray(column, dtype=np.float64)
    if is_unnamed:  # rows may have been shuffled or selected, and tables put below each other
        return bool((values % 1 == 0).all())
    return len(values) > 1 and bool((np.diff(values) == 1).all())


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_TOLD} more" if len(names) > _MOST_TOLD else ""
    return ", ".join(names[:_MOST_TOLD]) + more
