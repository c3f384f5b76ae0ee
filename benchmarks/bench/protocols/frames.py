"""Read tables with text and gaps, and encode them by the rows that are not tested on.

A folder of such tables holds csv.gz files, one task each, with one header line and the label in the
column ``anomaly`` (1 = anomaly).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench.protocols.families import (
    MIN_QUERY_ANOMALIES,
    MIN_QUERY_NORMALS,
    Episode,
    Task,
    load_family,
)

LABEL = "anomaly"


@dataclass(frozen=True)
class FrameTask(Task):
    """A task whose columns may be text or have gaps; ``X`` numbers the values of text columns."""

    frame: pd.DataFrame  # (n_rows, n_features)


@dataclass(frozen=True)
class FrameEpisode(Episode):
    """An episode that also holds its rows as they stand in the table."""

    support_frame: pd.DataFrame  # (n_used + k_used, n_features)
    query_frame: pd.DataFrame  # (n_query, n_features)


def with_frames(episode: Episode, support: np.ndarray, query: np.ndarray) -> Episode:
    """Add the rows of these numbers as they stand in the table, where it has a frame."""
    if not isinstance(episode.task, FrameTask):
        return episode
    frame = episode.task.frame
    return FrameEpisode(
        **vars(episode), support_frame=frame.iloc[support], query_frame=frame.iloc[query]
    )


def load_tables(folder: str | Path) -> list[Task]:
    """Load every npz or, where there is none, every csv.gz of a folder, in the order of names.

    Raises
    ------
    ValueError
        When there is neither, or a table has no label or too few rows to be tested on.
    """
    paths = sorted(Path(folder).glob("*.csv.gz"))
    if any(Path(folder).glob("*.npz")) or not paths:
        return load_family(folder)
    return [read_table(path) for path in paths]


def read_table(path: Path) -> FrameTask:
    """Read one csv.gz."""
    frame = pd.read_csv(path)
    if LABEL not in frame or not set(frame[LABEL].unique()) <= {0, 1}:
        raise ValueError(f"{path.name}: the column {LABEL!r} must hold a 0 or 1 for every row.")
    y = frame.pop(LABEL).to_numpy(np.int64)
    n_normals, n_anomalies = int((y == 0).sum()), int(y.sum())
    if n_normals < MIN_QUERY_NORMALS + 2 or n_anomalies <= MIN_QUERY_ANOMALIES:
        raise ValueError(
            f"{path.name}: a table needs {MIN_QUERY_NORMALS + 2} normal rows and "
            f"{MIN_QUERY_ANOMALIES + 1} anomalies; it has {n_normals} and {n_anomalies}."
        )
    name = path.name.removesuffix(".csv.gz")
    return FrameTask(name, name, numbered(frame), y, frame)


def numbered(frame: pd.DataFrame) -> np.ndarray:
    """Number the values of text columns in the order of their first rows: (n_rows, n_features)."""
    columns = [
        column if pd.api.types.is_numeric_dtype(column) else pd.factorize(column)[0]
        for _, column in frame.items()
    ]
    return np.column_stack(columns).astype(np.float64)


def encoded(task: Task, rows: Sequence[int]) -> np.ndarray:
    """Return the rows of a table as numbers, with what some of the rows tell: (n_rows, d).

    Text goes through skrub's TableVectorizer, and gaps are filled with means, both fitted on the
    given rows without their labels. Tables of numbers are returned as they are.
    """
    if not isinstance(task, FrameTask):
        return task.X
    steps = encoder().fit(task.frame.iloc[rows])
    return np.asarray(steps.transform(task.frame), dtype=np.float64)


def encoder() -> Any:
    """Return what turns text into numbers and fills gaps with means."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from skrub import TableVectorizer

    return make_pipeline(TableVectorizer(), SimpleImputer())


def is_category(column: pd.Series) -> bool:
    """Tell whether a column holds categories: text, or true and false."""
    types = pd.api.types
    return types.is_bool_dtype(column) or not types.is_numeric_dtype(column)
