"""Read the columns of frames as numbers: of pandas, polars and Arrow, none of them imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .entries import as_numbers, refuse_type

_PLAIN_OF_POLARS = {f"{kind}{size}" for kind in ("Int", "UInt") for size in (8, 16, 32, 64)}
_PLAIN_OF_POLARS |= {"Float32", "Float64"}


def is_frame(X: Any) -> bool:
    """Tell whether rows have columns of types of their own."""
    return hasattr(X, "columns") and (hasattr(X, "dtypes") or hasattr(X, "column_names"))


def column_names(X: Any) -> list[Any] | None:
    """List the names of columns; None for what is no frame."""
    if not is_frame(X):
        return None
    return list(X.column_names) if hasattr(X, "column_names") else list(X.columns)


def frame_numbers(X: Any) -> NDArray[Any] | None:
    """Read a frame column by column: (n, d); None where scikit-learn reads it as well.

    Raises
    ------
    ValueError, TypeError
        If a column holds no numbers; the message names it.
    """
    columns = list(frame_columns(X))
    if all(_is_plain(dtype) for _, dtype, _ in columns):
        return None
    return np.column_stack([numbers_of_column(*column) for column in columns])


def object_entries(X: Any) -> NDArray[Any]:
    """Return the entries of rows as Python's objects: (n, d)."""
    if not is_frame(X):
        return np.asarray(X, dtype=object)
    columns = [column for _, _, column in frame_columns(X)]
    entries = np.empty((len(columns[0]), len(columns)), dtype=object)
    for j, column in enumerate(columns):
        entries[:, j] = column.to_pylist() if hasattr(column, "to_pylist") else list(column)
    return entries


def frame_columns(X: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the name, the type and the entries of each column."""
    if hasattr(X, "iloc"):
        for i, (name, dtype) in enumerate(zip(X.columns, X.dtypes, strict=True)):
            yield name, dtype, X.iloc[:, i]
    elif hasattr(X, "column_names"):
        yield from zip(X.column_names, X.schema.types, X.columns, strict=True)
    else:
        yield from zip(X.columns, X.dtypes, X.get_columns(), strict=True)


def _is_plain(dtype: Any) -> bool:
    """Tell whether a type holds numbers and has no value for missing ones but NaN."""
    if isinstance(dtype, np.dtype):
        return dtype.kind in "biuf"
    # scikit-learn has its own word on sparse columns
    of_pandas = hasattr(dtype, "kind")
    return type(dtype).__name__ == "SparseDtype" if of_pandas else str(dtype) in _PLAIN_OF_POLARS


def numbers_of_column(name: Any, dtype: Any, column: Any) -> NDArray[Any]:
    """Read a column of a frame as numbers: (n,); a ValueError or TypeError names it."""
    refuse_type(dtype, f" in column {name!r}")
    refuse_type(held_type(dtype), f" in column {name!r}")
    values = values_of_column(dtype, column)
    if values.ndim != 1:
        raise ValueError(f"X holds several values per row in column {name!r} ({dtype}).")
    return as_numbers(values, [name])


def held_type(dtype: Any) -> Any:
    """Return the type of the categories, in a type that has some."""
    dtype = getattr(dtype, "pyarrow_dtype", dtype)
    categories = getattr(dtype, "categories", None)
    return getattr(categories, "dtype", getattr(dtype, "value_type", dtype))


def values_of_column(dtype: Any, column: Any) -> NDArray[Any]:
    """Return the entries of a column, with NaN, None or NA for missing ones: (n,)."""
    if hasattr(column, "iloc"):
        if not isinstance(dtype, np.dtype) and getattr(dtype, "kind", "O") in "biuf":
            return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
        return np.asarray(column)
    if str(dtype).startswith("dictionary"):  # its to_numpy takes missing entries for the last one
        column = column.cast(dtype.value_type)
    try:
        return np.asarray(column.to_numpy())
    except Exception:  # integers of 128 bits, which numpy has not
        return np.array(column.to_pylist() if hasattr(column, "to_pylist") else column.to_list())


def exact_values_of_column(dtype: Any, column: Any) -> NDArray[Any]:
    """Return the same, with truth values and whole numbers that gaps do not turn into floats."""
    if hasattr(column, "iloc"):
        return np.asarray(column, dtype=object)
    values = values_of_column(dtype, column)
    if values.dtype.kind == "f" and "int" in str(dtype).lower():
        entries = column.to_pylist() if hasattr(column, "to_pylist") else column.to_list()
        return np.array(entries, dtype=object)
    return values
