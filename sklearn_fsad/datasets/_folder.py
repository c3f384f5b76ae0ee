"""Read tasks from a folder of files."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from .._input.codings import is_auto
from .._input.containers import take_rows
from ..tasks._task_set import TaskSet
from ._folder_checks import refuse_empty, refuse_unknown_label, warn_of_copies, warn_of_counters
from ._folder_times import read_stamps, time_order, warn_of_gaps

_SUFFIXES = (".csv", ".parquet", ".npz")
_AS_WORDS = {"keep_default_na": False, "na_values": [""]}
_OF_SYSTEMS = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN")  # folders that they add


def tasks_from_folder(
    path: str | os.PathLike[str],
    *,
    label: str | None = "label",
    pattern: str | None = None,
    drop: Collection[str] = (),
    time: str | None = None,
    csv_params: Mapping[str, Any] | None = None,
    outlier_label: Any = "auto",
    allow_nan: bool = True,
) -> TaskSet:
    """Read tasks from a folder: one file for each task, one sub-folder for related tasks.

    Parameters
    ----------
    path : str or path
        The folder, with csv, parquet and npz files. The first two need pandas, parquet pyarrow too.
    label : str or None, default="label"
        Column of csv and parquet files with the labels; in an npz file the array of that name, or
        else ``y``. None means that no row is labelled.
    pattern : str, default=None
        Files to read, such as ``"*.csv"`` or ``"valve*/[0-9].csv"``, relative to the folder; None
        means all files of the three kinds in it and its sub-folders. Hidden files, files in hidden
        folders such as ``.ipynb_checkpoints``, and Excel's lock files ``~$...`` are never read.
    drop : str or collection of str, default=()
        Columns that are not features, such as a serial number; a file need not have them.
    time : str or None, default=None
        Column of csv and parquet files, or array of npz files, with time stamps: numbers, dates or
        ISO texts; without a time zone they are read as UTC. The rows of each file are sorted by
        it, so the rows of a task are time steps in order. It is no feature, and not kept. None
        leaves the rows in the order of the file.
    csv_params : dict, default=None
        Parameters of ``pandas.read_csv``, such as ``{"sep": ";"}``, except those that read a file
        in pieces.
    outlier_label : "auto", number or str, default="auto"
        The label of the anomalies, as in the detectors. It may be a word that pandas reads as
        missing, such as "NA".
    allow_nan : bool, default=True
        Whether values may be missing (NaN), which detectors read.

    Returns
    -------
    tasks : TaskSet
        Named by their files, relative to the folder, in the order of their names. The tasks of a
        sub-folder form a group, which is held out together. A file directly in the folder is a
        group of its own.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no such file in it.
    ValueError
        If a file cannot be read or used, has no rows or no features, or a time stamp that cannot be
        read or stands in several rows; the message names it. If ``pattern`` is an absolute path,
        ``drop`` names the labels or the time, or ``csv_params`` reads in pieces.
    ImportError
        If pandas or pyarrow is needed and missing.

    Warns
    -----
    TaskWarning
        If a column only counts the rows, like the index that ``DataFrame.to_csv`` writes, files
        hold the same rows, or steps of ``time`` are longer than 1.5 times the median step; the
        message names them.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn_fsad.datasets import tasks_from_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("fan", "pump"):
    ...         np.savez(Path(folder) / name, X=np.random.rand(20, 3), y=np.repeat([0, 1], [18, 2]))
    ...     tasks_from_folder(folder)
    TaskSet(2 tasks, 40 rows, n_features=3)
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    drop = [drop] if isinstance(drop, (str, int)) else list(drop)
    csv_params = dict(csv_params or {})
    _refuse_what_contradicts(label, pattern, drop, time, csv_params)
    files = [
        file
        for file in sorted(folder.glob("**/*" if pattern is None else pattern))
        if file.is_file() and (pattern is not None or file.suffix.lower() in _SUFFIXES)
    ]
    names = {file: file.relative_to(folder).as_posix() for file in files}
    hidden = [file for file in files if _is_hidden(names[file])]
    files = [file for file in files if file not in hidden]
    if not files:
        wanted = "csv, parquet or npz file" if pattern is None else f"file like {pattern!r}"
        left_out = f", hidden ones left out: {names[hidden[0]]}" if hidden else ""
        raise FileNotFoundError(f"There is no {wanted} in {folder}{left_out}.")
    tasks, stamps = {}, {}
    for file in files:
        name = names[file]
        X, y, times = _task(file, name, label, time, drop, csv_params, outlier_label)
        tasks[name] = X, y
        if times is not None:
            stamps[name] = times
    refuse_empty(tasks)
    refuse_unknown_label(tasks, label, outlier_label)
    warn_of_counters(tasks)
    warn_of_gaps(stamps)
    groups = [name.rpartition("/")[0] or name for name in tasks]
    how = {"outlier_label": outlier_label, "allow_nan": allow_nan}
    task_set = TaskSet(tasks.values(), list(tasks), groups, **how)
    warn_of_copies(task_set)
    return task_set


def _is_hidden(name: str) -> bool:
    """Tell whether a part of a path is hidden, or was added by an operating system or Excel."""
    return any(part.startswith((".", "~$")) or part in _OF_SYSTEMS for part in name.split("/"))


def _refuse_what_contradicts(
    label: str | None,
    pattern: str | None,
    drop: Sequence[str],
    time: str | None,
    csv_params: Mapping[str, Any],
) -> None:
    if pattern is not None and Path(pattern).anchor:
        raise ValueError(
            f"pattern={pattern!r} is an absolute path: patterns are relative to the folder, such "
            "as '*.csv'. Give the folder as the first argument."
        )
    if label is not None and label in drop:
        raise ValueError(
            f"drop={drop!r} names {label!r}, the column of the labels, which is never a "
            "feature: leave it out of drop, or pass label=None if no row is labelled."
        )
    if time is not None and (time in drop or time == label):
        other = "label" if time == label else "drop"
        raise ValueError(
            f"time={time!r} is named by {other} too: a column of times is never a feature, and the "
            "labels are another one. Leave it out of one of the two."
        )
    pieces = [name for name in ("chunksize", "iterator") if csv_params.get(name)]
    if pieces:
        raise ValueError(
            f"csv_params has {pieces[0]!r}, which reads a file in pieces: a task is read whole, so "
            "leave it out; nrows reads the first rows only."
        )


def _task(
    file: Path,
    name: str,
    label: str | None,
    time: str | None,
    drop: Sequence[str],
    csv_params: dict[str, Any],
    outlier_label: Any,
) -> tuple[Any, Any, Any]:
    """Read (X, y, time stamps) from a file, in order of time; without ``time`` the last is None."""
    kind = file.suffix.lower()
    if kind not in _SUFFIXES:
        raise ValueError(f"Task {name!r}: a file must be one of {', '.join(_SUFFIXES)}.")
    try:
        if kind == ".npz":
            X, y, column = _from_npz(file, label, time)
        else:
            pandas = _pandas(name)
            read: Callable[..., Any] = pandas.read_csv if kind == ".csv" else pandas.read_parquet
            params = csv_params if kind == ".csv" else {}
            try:
                X, y, column = _from_frame(read(file, **params), label, time, drop)
            except pandas.errors.EmptyDataError:
                return pandas.DataFrame(), None, None
            if kind == ".csv" and y is not None and y.isna().any() and not is_auto(outlier_label):
                y = _with_words(y, read(file, **csv_params | _AS_WORDS)[label], outlier_label)
        return (X, y, None) if column is None else _in_time_order(X, y, column, time)
    except (ValueError, KeyError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"Task {name!r}: {error}") from error


def _from_frame(
    frame: Any, label: str | None, time: str | None, drop: Sequence[str]
) -> tuple[Any, Any, Any]:
    """Take a frame apart into features, labels and time stamps."""
    columns = ", ".join(map(str, frame.columns))
    frame = frame.drop(columns=[c for c in drop if c in frame.columns])
    if label is not None and label not in frame.columns:
        raise ValueError(
            f"there is no column {label!r}, only {columns}. Pass label=<column>, or label=None "
            "if no row is labelled."
        )
    if time is not None and time not in frame.columns:
        raise ValueError(
            f"there is no column {time!r}, only {columns}. Pass time=<column>, or time=None to "
            "leave the rows in the order of the file."
        )
    X = frame.drop(columns=[c for c in (label, time) if c is not None])
    if not X.shape[1]:
        raise ValueError(
            f"no feature is left of its columns ({columns}) without the labels, the times and "
            "those in drop. If there are more columns, pass csv_params={'sep': <what separates "
            "them>}."
        )
    return X, *(None if name is None else frame[name] for name in (label, time))


def _in_time_order(X: Any, y: Any, column: Any, time: Any) -> tuple[Any, Any, Any]:
    stamps = read_stamps(column, time)
    order = time_order(stamps, time)
    return take_rows(X, order), None if y is None else take_rows(y, order), stamps[order]


def _with_words(y: Any, words: Any, outlier_label: Any) -> Any:
    """Put the label of the anomalies where pandas took it, such as "NA", for a missing entry."""
    is_set = isinstance(outlier_label, Set)
    wanted = np.ravel(list(outlier_label) if is_set else outlier_label).tolist()
    lost = y.isna() & words.isin(wanted)
    return y.astype(object).where(~lost, words) if lost.any() else y


def _from_npz(file: Path, label: str | None, time: str | None) -> tuple[Any, Any, Any]:
    with np.load(file) as arrays:
        held = ", ".join(arrays)
        if "X" not in arrays:
            raise ValueError(f"there is no array 'X', only {held}.")
        if time is not None and time not in arrays:
            raise ValueError(f"there is no array {time!r}, only {held}. Pass time=None without it.")
        stamps = None if time is None else arrays[time]
        if stamps is not None and stamps.shape != arrays["X"].shape[:1]:
            raise ValueError(
                f"array {time!r} of shape {stamps.shape} is not one time for each of the "
                f"{len(arrays['X'])} rows of 'X'."
            )
        if label is None:
            return arrays["X"], None, stamps
        key = label if label in arrays else "y"
        if key not in arrays:
            raise ValueError(
                f"there is no array {label!r} or 'y', only {held}. Pass label=None "
                "if no row is labelled."
            )
        return arrays["X"], arrays[key], stamps


def _pandas(name: str) -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"Task {name!r}: csv and parquet files need pandas, `pip install 'sklearn-fsad[data]'`."
        ) from error
    return pandas
