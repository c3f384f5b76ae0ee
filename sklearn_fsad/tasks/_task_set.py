"""Collect and validate training tasks, given in any form that ``meta_fit`` accepts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._input.codings import Coding, agreed, is_auto
from .._input.containers import n_rows
from .._input.labels import common_coding, encode_labels, warn_if_mostly_anomalous
from .._input.names import names_of
from ._forms import FORMS, Given, named_tasks, split_flat
from ._task import Task, refuse_missing, renamed_task, validated_task

__all__ = ["Task", "TaskSet"]


class TaskSet:
    """Collect tasks in order, validated.

    It has no length and no shape, so that scikit-learn's searches pass it on as a whole instead of
    slicing it by row index.

    Parameters
    ----------
    tasks : iterable or mapping
        ``(X_t, y_t)`` pairs, arrays ``X_t`` of tasks without labels, or tasks of another set,
        which keep their labels and groups; a mapping names them. Rows are copied.
    names : sequence, default=None
        Names of the tasks; positions when None.
    groups : sequence, default=None
        A group label for each task. Tasks of one group are related, such as recordings of one
        machine, and are held out together. When None each task is its own group.
    outlier_label : "auto", label or list of labels, default="auto"
        The label of the anomalies, as in the detectors. If the labels of a task are all 1, the
        coding of the other tasks decides what they mean.
    allow_nan : bool, default=True
        Whether rows may have missing values (NaN), which detectors read.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad.tasks import TaskSet
    >>> X = np.arange(12.0).reshape(6, 2)
    >>> TaskSet({"pump": (X, [0, 0, 0, 0, 0, 1]), "fan": (X + 1, None)})
    TaskSet(2 tasks, 12 rows, n_features=2)
    """

    def __init__(
        self,
        tasks: Iterable[Any] | Mapping[Any, Any],
        names: Sequence[Any] | None = None,
        groups: Sequence[Any] | None = None,
        *,
        outlier_label: Any = "auto",
        allow_nan: bool = True,
    ) -> None:
        named = named_tasks(tasks, names)
        if len({name for name, _ in named}) < len(named):
            raise ValueError(
                "names must differ: tasks are told apart by name in messages and results."
            )
        groups = None if groups is None else names_of(groups)
        if groups is not None and len(groups) != len(named):
            raise ValueError(f"groups has {len(groups)} entries for {len(named)} tasks.")
        self.tasks: tuple[Task, ...] = ()
        known = _known_coding([given for _, given in named], outlier_label)
        read: list[Task] = []
        codings: list[Coding | None] = []
        for i, (name, given) in enumerate(named):
            if isinstance(given, Task):
                own = name if given.group == given.name else given.group  # none was given
                task = renamed_task(given, name, own if groups is None else groups[i], allow_nan)
            else:
                group = name if groups is None else groups[i]
                task, coding = validated_task(
                    name, *given, group, outlier_label, known=known, allow_nan=allow_nan
                )
                read.append(task)
                codings.append(coding)
            self.tasks += (task,)
            self._refuse_other_columns(task)
        if read:
            codes = np.concatenate([task.y for task in read])
            warn_if_mostly_anomalous(codes, agreed(codings), outlier_label)

    def _refuse_other_columns(self, task: Task) -> None:
        if task.columns != self.feature_names_in:
            raise ValueError(
                f"Task {task.name!r} has columns {task.columns}; the first task has "
                f"{self.feature_names_in}. Give all tasks the same columns in the same order."
            )

    @property
    def feature_names_in(self) -> tuple[Any, ...] | None:
        """Names of the columns of all tasks; None if they have none."""
        return self.tasks[0].columns

    @classmethod
    def make(
        cls,
        X: Any,
        y: Any = None,
        groups: Any = None,
        *,
        outlier_label: Any = "auto",
        allow_nan: bool = True,
    ) -> TaskSet:
        """Build a set of tasks from any form that ``meta_fit`` accepts.

        Parameters
        ----------
        X : TaskSet, list, mapping, generator or array-like of shape (n_samples, n_features)
            Tasks, or flat rows together with ``groups``.
        y : array-like of shape (n_samples,), default=None
            Labels of flat rows, or one label vector per task.
        groups : array-like of shape (n_samples,), default=None
            Task id of each flat row.
        outlier_label : "auto", number or str, default="auto"
            As in the constructor.
        allow_nan : bool, default=True
            As in the constructor.

        Returns
        -------
        tasks : TaskSet
            A ``TaskSet`` is returned unchanged.
        """
        if isinstance(X, TaskSet):
            if not allow_nan:
                X._refuse_nan()
            return X
        given = split_tasks(X, y, groups)
        return cls(given, outlier_label=outlier_label, allow_nan=allow_nan)

    def _refuse_nan(self) -> None:
        for task in self.tasks:
            refuse_missing(task, task.name)

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return len(self.tasks)

    @property
    def names(self) -> list[Any]:
        """Names of the tasks in their order."""
        return [task.name for task in self.tasks]

    @property
    def groups(self) -> list[Any]:
        """Group of each task."""
        return [task.group for task in self.tasks]

    @property
    def n_features(self) -> int | None:
        """Width of the tasks; None when they differ."""
        widths = {task.X.shape[1] for task in self.tasks}
        return widths.pop() if len(widths) == 1 else None

    def one_feature_space(self) -> int:
        """Return the common width, or raise a ValueError that names the task that differs.

        Returns
        -------
        n_features : int
            Width of every task.
        """
        width = self.tasks[0].X.shape[1]
        for task in self.tasks:
            if task.X.shape[1] != width:
                raise ValueError(
                    f"Task {task.name!r} has {task.X.shape[1]} features, the first task has "
                    f"{width}: this detector needs the same features in all tasks."
                )
        return width

    def folds(self, n_folds: int, seed: int) -> list[list[int]]:
        """Assign the tasks to up to ``n_folds`` folds, tasks of one group together.

        Parameters
        ----------
        n_folds : int
            Largest number of folds; there are at most as many as groups.
        seed : int
            Seed of the order of the groups.

        Returns
        -------
        folds : list of list of int
            Positions of the tasks in each fold; no fold is empty.
        """
        labels = list(dict.fromkeys(self.groups))
        order = np.random.default_rng(seed).permutation(len(labels))
        fold_of = {labels[g]: i % n_folds for i, g in enumerate(order)}
        folds: list[list[int]] = [[] for _ in range(n_folds)]
        for i, group in enumerate(self.groups):
            folds[fold_of[group]].append(i)
        return [fold for fold in folds if fold]

    def subset(self, positions: Iterable[int]) -> TaskSet:
        """Select the tasks at the given positions, in that order.

        Parameters
        ----------
        positions : iterable of int
            Positions of the tasks.

        Returns
        -------
        tasks : TaskSet
            Those tasks.
        """
        return self.with_tasks([self.tasks[i] for i in positions])

    def with_tasks(self, tasks: Iterable[Task]) -> TaskSet:
        """Make a set of other validated tasks, with the column names of this set.

        Parameters
        ----------
        tasks : iterable of Task
            The tasks; they are not validated again.

        Returns
        -------
        tasks : TaskSet
            A set of them.
        """
        other = object.__new__(TaskSet)
        other.tasks = tuple(tasks)
        return other

    def regrouped(self, groups: Sequence[Any]) -> TaskSet:
        """Make a set of the same tasks with other groups.

        Parameters
        ----------
        groups : sequence
            A label for each task.

        Returns
        -------
        tasks : TaskSet
            A new set.
        """
        groups = names_of(groups)
        if len(groups) != self.n_tasks:
            raise ValueError(f"groups has {len(groups)} entries for {self.n_tasks} tasks.")
        return self.with_tasks(
            replace(task, group=group) for task, group in zip(self.tasks, groups, strict=True)
        )

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __getitem__(self, position: int) -> Task:
        return self.tasks[position]

    def __sklearn_clone__(self) -> TaskSet:
        return self

    def __repr__(self) -> str:
        rows = sum(len(task.X) for task in self.tasks)
        return f"TaskSet({self.n_tasks} tasks, {rows} rows, n_features={self.n_features})"


def split_tasks(X: Any, y: Any = None, groups: Any = None) -> dict[Any, Given]:
    """Read name -> (X_t, y_t) from any accepted form; containers of rows and tasks are kept."""
    if groups is not None:
        return dict(split_flat(X, y, groups))
    if y is not None:
        if isinstance(X, Mapping) or not isinstance(X, (list, tuple)) or len(X) != len(y):
            raise ValueError(f"y was given without groups. {FORMS}")
        X = list(zip(X, y, strict=True))
    return dict(named_tasks(X, None))


def coded_tasks(
    X: Any, y: Any = None, groups: Any = None, *, outlier_label: Any = "auto"
) -> dict[Any, tuple[Any, NDArray[np.int8]]]:
    """Read name -> (X_t, codes of y_t) from any accepted form; containers of rows are kept."""
    tasks: dict[Any, tuple[Any, NDArray[np.int8]]] = {}
    given = split_tasks(X, y, groups)
    known = _known_coding(list(given.values()), outlier_label)
    for name, task in given.items():
        if isinstance(task, Task):
            tasks[name] = task.X, task.y
            continue
        X_t, y_t = task
        try:
            n = n_rows(X_t)
            tasks[name] = X_t, encode_labels(y_t, n, outlier_label=outlier_label, known=known)
        except (ValueError, TypeError) as error:
            raise type(error)(f"Task {name!r}: {error}") from error
    return tasks


def _known_coding(tasks: Sequence[Given], outlier_label: Any) -> Coding | None:
    """Return the coding of labels on which the tasks agree that tell one."""
    if not is_auto(outlier_label):
        return None
    return common_coding(task[1] for task in tasks if not isinstance(task, Task))
