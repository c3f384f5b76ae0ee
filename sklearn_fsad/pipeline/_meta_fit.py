"""Meta-fit pipelines: preprocessing is learned on past tasks, not on the few rows of a new one."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from .._input.containers import take_rows
from .._input.frames import column_names
from .._input.labels import ANOMALOUS, codes_to_labels
from .._input.rows import refuse_other_than_numbers
from ..tasks._task import Task
from ..tasks._task_set import TaskSet, coded_tasks, split_tasks

_READ_OTHER_THINGS = (  # scikit-learn's modules of transformers for more than numbers
    "sklearn.compose",
    "sklearn.feature_extraction",
    "sklearn.frozen",
    "sklearn.impute",
    "sklearn.pipeline",
    "sklearn.preprocessing._encoders",
    "sklearn.preprocessing._function_transformer",
    "sklearn.preprocessing._target_encoder",
)


def meta_fit_pipeline(
    pipe: Pipeline,
    X: Any,
    y: Any = None,
    *,
    groups: Any = None,
    per_task: Sequence[str] = (),
) -> Pipeline:
    """Meta-fit a pipeline that ends in a few-shot detector, including its preprocessing.

    Each step before the detector is fitted, without labels, on the rows of all tasks that are not
    labelled as anomalies. Then it is frozen: later calls of ``fit`` with a few rows do not change
    it. The steps named in ``per_task`` are fitted on the rows of each task instead, and again in
    each ``fit``. The detector is meta-fitted on the tasks as transformed by the steps before it.

    Parameters
    ----------
    pipe : Pipeline
        Steps that transform, then a detector with ``meta_fit``; it is not changed.
    X : list of (X_t, y_t), mapping, TaskSet or array-like of shape (n_samples, n_features)
        Tasks in any form that ``meta_fit`` accepts. Frames keep their column names, so that a
        ``ColumnTransformer`` can select columns by name. Tasks of a ``TaskSet`` with column names
        become pandas frames if pandas is installed.
    y : array-like of shape (n_samples,), default=None
        Labels of flat rows.
    groups : array-like of shape (n_samples,), default=None
        Task ids of flat rows.
    per_task : sequence of str, default=()
        Names of the steps to fit in each task, such as a scaler. Put a scaler before steps that mix
        features, such as PCA.

    Returns
    -------
    pipe : Pipeline
        A new pipeline, ready for ``fit`` with a few rows of a new task.

    Raises
    ------
    TypeError
        If ``pipe`` is not a pipeline that ends in a detector with ``meta_fit``.
    ValueError
        If ``per_task`` names an unknown step, or tasks cannot be read, pooled or transformed. Dates
        are an error if the first step is one of scikit-learn's that reads only numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.pipeline import meta_fit_pipeline
    >>> rng, y = np.random.default_rng(0), np.array([0] * 30 + [1] * 10)
    >>> tasks = [(rng.normal(size=(40, 3)) + 5 * y[:, None], y) for _ in range(6)]
    >>> detector = ProtoNetDetector(  # so little training is for a quick example only
    ...     n_normal=(5, 20), n_anomalous=(0, 5), episodes_per_epoch=8, max_epochs=1
    ... )
    >>> pipe = make_pipeline(StandardScaler(), PCA(whiten=True), detector)
    >>> pipe = meta_fit_pipeline(pipe, tasks[:5], per_task=["standardscaler"])
    >>> X, y = tasks[5]
    >>> bool(pipe.fit(X[:10]).score(X, y) > 0.9)
    True
    """
    per_task = [per_task] if isinstance(per_task, str) else list(per_task)
    detector = _checked_detector(pipe, per_task)
    pipe = clone(pipe)
    outlier_label = getattr(detector, "outlier_label", "auto")
    given = split_tasks(X, y, groups)
    tasks = coded_tasks(given, outlier_label=outlier_label)
    codes = {name: task_codes for name, (_, task_codes) in tasks.items()}
    rows = _with_names(given, {name: _as_table(X_t) for name, (X_t, _) in tasks.items()})
    _refuse_dates(pipe, rows)
    steps = []
    for step, transformer in pipe.steps[:-1]:
        if transformer is not None and transformer != "passthrough":
            transformer, rows = _learn(transformer, rows, codes, anew=step in per_task)
        steps.append((step, transformer))
    name, detector = pipe.steps[-1]
    task_set = TaskSet(
        [(rows[task], codes_to_labels(codes[task])) for task in rows],
        names=list(rows),
        groups=[task.group if isinstance(task, Task) else name for name, task in given.items()],
        outlier_label=1,
        allow_nan=get_tags(detector).input_tags.allow_nan,
    )
    pipe.steps = [*steps, (name, detector.meta_fit(task_set))]
    return pipe


def _checked_detector(pipe: Any, per_task: Sequence[str]) -> Any:
    if not isinstance(pipe, Pipeline):
        raise TypeError(f"meta_fit_pipeline needs a Pipeline, got {type(pipe).__name__}.")
    detector = pipe.steps[-1][1]
    if not hasattr(detector, "meta_fit"):
        raise TypeError(
            "The last step of the pipeline must be a detector with meta_fit, got "
            f"{type(detector).__name__}."
        )
    names = [name for name, _ in pipe.steps[:-1]]
    unknown = [name for name in per_task if name not in names]
    if unknown:
        raise ValueError(f"per_task names {unknown}; the steps before the detector are {names}.")
    return detector


def _refuse_dates(pipe: Pipeline, rows: dict[Any, Any]) -> None:
    """Refuse what is no number where the first step would read it as one without a word."""
    steps = [step for _, step in pipe.steps[:-1] if step is not None and step != "passthrough"]
    module = type(steps[0]).__module__ if steps else ""
    if not module.startswith("sklearn.") or module.startswith(_READ_OTHER_THINGS):
        return
    for name, X_t in rows.items():
        try:
            refuse_other_than_numbers(X_t)
        except (ValueError, TypeError) as error:
            raise type(error)(f"Task {name!r}: {error}") from error


def _learn(
    transformer: Any, rows: dict[Any, Any], codes: dict[Any, Any], *, anew: bool
) -> tuple[Any, dict[Any, Any]]:
    """Fit a step; return it for the new pipeline, and the rows of all tasks after it."""
    normals = {
        name: take_rows(X_t, np.flatnonzero(codes[name] != ANOMALOUS)) for name, X_t in rows.items()
    }
    if anew:
        fitted = {name: clone(transformer).fit(X_t) for name, X_t in normals.items()}
        return transformer, {name: fitted[name].transform(X_t) for name, X_t in rows.items()}
    if not isinstance(transformer, FrozenEstimator):
        transformer = FrozenEstimator(clone(transformer).fit(_pooled(normals)))
    return transformer, {name: _transformed(transformer, name, X_t) for name, X_t in rows.items()}


def _transformed(transformer: Any, name: Any, X: Any) -> Any:
    try:
        return transformer.transform(X)
    except (ValueError, TypeError) as error:
        raise type(error)(f"Task {name!r}: {error}") from error


def _with_names(given: dict[Any, Any], rows: dict[Any, Any]) -> dict[Any, Any]:
    """Make frames of the rows where all are of tasks with names, so that steps learn the names."""
    names = {task: t.columns for task, t in given.items() if isinstance(t, Task) and t.columns}
    if len(names) < len(rows) or find_spec("pandas") is None:
        return rows
    import pandas as pd

    return {task: pd.DataFrame(X_t, columns=list(names[task])) for task, X_t in rows.items()}


def _as_table(X: Any) -> Any:
    if type(X) is np.ndarray:
        return X.copy()  # a step may work in place
    return X if hasattr(X, "columns") or hasattr(X, "shape") else np.asarray(X)


def _pooled(tables: dict[Any, Any]) -> Any:
    """Pool all rows in one table of the same kind; a ValueError names a task that does not fit."""
    first = next(iter(tables.values()))
    for name, table in tables.items():
        same_columns = column_names(table) == column_names(first)
        if type(table) is not type(first) or table.shape[1:] != first.shape[1:] or not same_columns:
            raise ValueError(
                f"Task {name!r} has other columns or another type than the first task, so their "
                f"rows cannot be pooled{_differences(table, first)}. Give all tasks the same "
                "columns and type, or name the steps in per_task."
            )
    if hasattr(first, "iloc"):
        import pandas as pd

        return pd.concat(list(tables.values()))
    if hasattr(first, "column_names"):
        import pyarrow

        return pyarrow.concat_tables(list(tables.values()), promote_options="permissive")
    if hasattr(first, "columns"):
        import polars as pl

        return pl.concat(list(tables.values()))
    if hasattr(first, "tocsr"):
        from scipy.sparse import vstack

        return vstack(list(tables.values()), format="csr")
    return np.concatenate(list(tables.values()))


def _differences(table: Any, first: Any) -> str:
    """Name the columns that only one of two frames has; nothing where both have the same."""
    names, known = column_names(table) or [], column_names(first) or []
    missing, more = [n for n in known if n not in names], [n for n in names if n not in known]
    told = [f"{missing[:8]} missing"] * bool(missing) + [f"{more[:8]} added"] * bool(more)
    return f" (columns: {', '.join(told)})" if names and known and told else ""
