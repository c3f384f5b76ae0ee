"""Validate rows: refuse values that are not numbers instead of converting them silently."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, time, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.utils.validation import validate_data

_TIMES = (np.datetime64, np.timedelta64, date, time, timedelta)
_MOST = 1e60
_TIME_TYPES = ("date", "time", "duration", "period")  # how their names begin in every library


def validated_rows(estimator: Any, X: Any, **checks: Any) -> NDArray[Any]:
    """Refuse times and complex numbers, then validate rows as scikit-learn does."""
    _refuse_times_and_complex(X)
    with config_context(array_api_dispatch=False):  # what follows computes with numpy
        return validate_data(estimator, X, **checks)


def refuse_huge(rows: NDArray[np.float64], name: str = "X") -> None:
    """Refuse values above 1e60 in rows to learn from: their squares and products may overflow."""
    most = float(np.nanmax(np.abs(rows), initial=0.0))
    if most > _MOST:
        raise ValueError(
            f"{name} holds {most:.3g}, too large to learn from (the limit is {_MOST:g}): remove "
            "such rows, or give the feature a larger unit."
        )


def _refuse_times_and_complex(X: Any) -> None:
    """Refuse times and complex numbers: numpy converts times to nanoseconds without a warning."""
    for where, dtype in _types_of(X):
        name = str(getattr(dtype, "name", dtype)).lower()
        if name.startswith(_TIME_TYPES):
            raise ValueError(
                f"X holds dates or durations{where} ({name}), which are no numbers: convert them "
                "first, for example to seconds since a fixed moment."
            )
    values = _as_array(X) if isinstance(X, (list, tuple)) else X
    if isinstance(values, np.ndarray) and values.dtype.kind in "OmMc":
        _refuse_entries(values)


def _types_of(X: Any) -> Iterator[tuple[str, Any]]:
    """Yield each column of a frame (as words for a message) and its type, or an array's type."""
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        for column, dtype in zip(X.columns, X.dtypes, strict=True):
            yield f" in column {column!r}", dtype
    elif hasattr(X, "dtype"):
        yield "", X.dtype


def _as_array(X: Any) -> NDArray[Any] | None:
    try:
        return np.asarray(X)
    except (ValueError, TypeError):  # scikit-learn raises the error
        return None


def _refuse_entries(values: NDArray[Any]) -> None:
    entries = values.ravel()[:1] if values.dtype.kind != "O" else values.ravel()
    for entry in entries:
        if isinstance(entry, _TIMES):
            raise ValueError(
                f"X holds {entry!r}, a date or a duration, which is no number: convert it first, "
                "for example to seconds since a fixed moment."
            )
        if isinstance(entry, (complex, np.complexfloating)):
            raise ValueError(f"Complex data not supported: X holds {entry!r}.")
