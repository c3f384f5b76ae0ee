"""Hold the validated rows and labels of one task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._input.codings import Coding
from .._input.entries import ADVICE
from .._input.labels import ANOMALOUS, read_labels
from .._input.rows import first_missing, named_rows

_NUMBERS = (
    " Tasks hold numbers: read tables by sklearn_fsad.pipeline.meta_fit_pipeline, or transform "
    "each by pipe[:-1] of a fitted make_table_pipeline(detector)."
)


@dataclass(frozen=True)
class Task:
    """Hold the validated rows and labels of one task.

    Parameters
    ----------
    name : object
        Key or position by which messages name the task.
    X : ndarray of shape (n_samples, n_features)
        Rows, float64.
    y : ndarray of shape (n_samples,), dtype int8
        0 normal, 1 anomalous, -1 unlabelled.
    group : object
        Tasks of one group are related: validation holds them out together.
    columns : tuple or None, default=None
        Names of the columns; None if they are 0, 1, 2 and so on.
    """

    name: Any
    X: NDArray[np.float64]
    y: NDArray[np.int8]
    group: Any
    columns: tuple[Any, ...] | None = None

    @property
    def normals(self) -> NDArray[np.float64]:
        """Rows that are not labelled as anomalies: unlabelled rows count as normal."""
        return self.X[self.y != ANOMALOUS]

    @property
    def anomalies(self) -> NDArray[np.float64]:
        """Rows labelled as anomalies."""
        return self.X[self.y == ANOMALOUS]


def renamed_task(task: Task, name: Any, group: Any, allow_nan: bool) -> Task:
    """Return a validated task with another name and group; refuse missing values if asked to."""
    if not allow_nan:
        refuse_missing(task, name)
    return replace(task, name=name, group=group)


def refuse_missing(task: Task, name: Any) -> None:
    """Raise a ValueError that names the first missing value of a task, if there is one."""
    if np.isnan(task.X).any():
        raise ValueError(
            f"Task {name!r} contains NaN, which is not accepted here: fill the gaps by an imputer. "
            f"{first_missing(task.X, task.columns)}"
        )


def validated_task(
    name: Any,
    X: Any,
    y: Any,
    group: Any,
    outlier_label: Any,
    *,
    known: Coding | None,
    allow_nan: bool,
) -> tuple[Task, Coding | None]:
    """Validate rows and labels of a task; also return the coding of its labels.

    The task owns its rows: what becomes of ``X`` later does not change them.
    """
    finite: Any = "allow-nan" if allow_nan else True
    try:
        rows, columns = named_rows(X, dtype=np.float64, order="C", ensure_all_finite=finite)
        codes, coding = read_labels(y, len(rows), outlier_label=outlier_label, known=known)
    except (ValueError, TypeError) as error:
        told = str(error).replace(ADVICE, _NUMBERS)
        raise type(error)(f"Task {name!r}: {told}") from error
    if rows is X or not rows.flags.owndata:
        rows = rows.copy()
    return Task(name, rows, codes, group, columns), coding
