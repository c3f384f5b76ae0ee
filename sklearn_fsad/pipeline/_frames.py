"""Read tables as frames of pandas or polars, and tell what their columns hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._input.containers import unwrapped
from .._input.frames import frame_numbers, is_frame

_KINDS_OF_POLARS = {"Date": "M", "Datetime": "M", "Duration": "m", "Boolean": "b"}


def as_frame(X: Any, names: Sequence[str] | None = None) -> Any:
    """Return a frame of pandas or polars; columns of arrays get ``names`` if these fit."""
    X = unwrapped(X)
    if hasattr(X, "column_names") and hasattr(X, "to_pandas"):  # a table of Arrow
        return _with_plain_dates(X.to_pandas())
    if is_frame(X):
        return _with_plain_dates(X) if hasattr(X, "iloc") else X
    if not isinstance(X, (list, tuple)) and np.ndim(X) != 2:
        return X  # skrub raises the error
    import pandas

    frame = pandas.DataFrame(X)
    fits = names is not None and len(names) == frame.shape[1]
    frame.columns = list(names) if fits and names else frame.columns.map(str)
    return frame


def column(X: Any, j: int) -> Any:
    """Return a frame of one column."""
    return X.iloc[:, [j]] if hasattr(X, "iloc") else X[:, [j]]


def entries(column: Any) -> list[Any]:
    """List the entries of a frame of one column."""
    return list(column.iloc[:, 0] if hasattr(column, "iloc") else column.to_series())


def kind_of(column: Any) -> str:
    """Tell what a frame of one column holds, by its type: numbers, dates, words or others."""
    dtype = next(iter(column.dtypes))
    kind = getattr(dtype, "kind", None)
    if kind is None:  # of polars
        plain = "f" if dtype.is_numeric() else "O"
        kind = _KINDS_OF_POLARS.get(str(dtype).split("(")[0], plain)
    named = {"M": "dates", "m": "durations", "c": "complex numbers"}
    return named.get(kind, "numbers" if kind in "biuf" else "words")


def numbers_of(column: Any) -> NDArray[np.float64]:
    """Return the numbers of a frame of one column, NaN where they are missing: (n,)."""
    numbers = frame_numbers(column)
    return np.asarray(column if numbers is None else numbers, dtype=np.float64).ravel()


def numbers_in_words(values: list[Any]) -> NDArray[np.float64]:
    """Read words and other objects as numbers, NaN where they are none: (n,)."""
    import pandas

    read = pandas.to_numeric(pandas.Series(values, dtype=object), errors="coerce")
    return np.asarray(read, dtype=np.float64)


def with_columns(Z: Any, columns: dict[str, NDArray[np.float64]]) -> Any:
    """Return a frame with some columns replaced."""
    if hasattr(Z, "iloc"):
        Z = Z.copy()
        for name, values in columns.items():
            Z[name] = values
        return Z
    import polars

    return Z.with_columns([polars.Series(name, values) for name, values in columns.items()])


def _with_plain_dates(X: Any) -> Any:
    """Return a frame of pandas whose Arrow dates are pandas' own: skrub does not read them all."""
    types = {}
    for name, dtype in zip(X.columns, X.dtypes, strict=True):
        held = str(getattr(dtype, "pyarrow_dtype", ""))
        if held.startswith(("date", "timestamp")):
            zone = re.search("tz=([^]]+)", held)
            types[name] = f"datetime64[ns, {zone[1]}]" if zone else "datetime64[ns]"
    return X.astype(types) if types else X
