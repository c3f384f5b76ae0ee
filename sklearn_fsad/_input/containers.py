"""Unwrap what holds rows: tensors, masked arrays, batches and wrapped frames; refuse lazy ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

# what makes a lazy frame an eager one, in polars, narwhals, Spark, Ibis and DuckDB
_COLLECTORS = ("toPandas", "collect", "to_pandas", "execute", "df")


def unwrapped(X: Any) -> Any:
    """Return rows in a container that scikit-learn knows, with NaN or None for masked entries.

    Parameters
    ----------
    X : array-like, frame or tensor
        Rows. Frames, lists, and arrays of numpy are kept.

    Raises
    ------
    ValueError
        If ``X`` is a lazy frame; the message names the method that collects it.
    """
    kind = type(X)
    if isinstance(X, np.ma.MaskedArray):
        return _filled(X)
    if isinstance(X, np.ndarray):
        return X
    if isinstance(X, (list, tuple)):
        return [unwrapped(row) for row in X] if any(map(_is_wrapped, X)) else X
    if _is_tensor(X):
        return _from_tensor(X)
    if hasattr(kind, "__dask_graph__"):
        return unwrapped(X.compute())
    _refuse_lazy(X)
    if hasattr(kind, "to_native"):  # of narwhals
        return unwrapped(X.to_native())
    if kind.__name__ == "RecordBatch" and hasattr(kind, "from_arrays"):
        import pyarrow

        return pyarrow.Table.from_batches([X])
    return np.asarray(X) if hasattr(kind, "__array_namespace__") else X


def take_rows(X: Any, positions: NDArray[np.intp]) -> Any:
    """Select rows by their positions; frames stay frames of the same library."""
    X = unwrapped(X)
    of = type(X).__module__
    if of.startswith("pyarrow") or (of.startswith("pandas") and not hasattr(X, "iloc")):
        return X.take(positions)
    return _safe_indexing(X, positions)


def n_rows(X: Any) -> int:
    """Count the rows of any container."""
    return int(_num_samples(unwrapped(X)))


def _is_wrapped(row: Any) -> bool:
    return isinstance(row, np.ma.MaskedArray) or _is_tensor(row)


def _is_tensor(X: Any) -> bool:
    return hasattr(type(X), "detach") and hasattr(type(X), "cpu")


def _from_tensor(X: Any) -> NDArray[Any]:
    X = X.detach().cpu()
    try:
        return np.asarray(X.numpy())
    except TypeError:  # numpy has no bfloat16
        return np.asarray(X.double().numpy())


def _filled(X: np.ma.MaskedArray[Any, Any]) -> NDArray[Any]:
    """Replace masked entries by NaN, NaT or None, in a type that has it."""
    values, masked = np.asarray(X.data), np.ma.getmaskarray(X)
    if not masked.any() or values.dtype.kind in "cV":
        return values
    if values.dtype.kind in "mM":
        return np.where(masked, np.array("NaT", dtype=values.dtype), values)
    if values.dtype.kind == "f":
        return np.where(masked, values.dtype.type(np.nan), values)
    if values.dtype.kind in "biu":
        return np.where(masked, np.nan, values.astype(np.float64))
    entries = values.astype(object)
    entries[masked] = None
    return entries


def _refuse_lazy(X: Any) -> None:
    kind = type(X)
    if any(hasattr(kind, name) for name in ("__array__", "__len__", "shape", "__next__")):
        return
    method = next((name for name in _COLLECTORS if callable(getattr(kind, name, None))), None)
    if method is not None:
        raise ValueError(
            f"Got a {kind.__name__} of {kind.__module__.split('.')[0]}, which is lazy and holds no "
            f"rows yet: call its .{method}() first."
        )
