"""Rank rows by their anomaly scores, and name the columns to blame, in a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._input.containers import unwrapped
from .._typing import Array

_USUAL = (5.0, 95.0)  # percentiles of the support's normals
_N_BLAMED = 2


def check_top(top: Any) -> int | None:
    """Return the number of rows to report as an int, or None for all of them."""
    if top is None:
        return None
    if isinstance(top, (bool, np.bool_)) or not isinstance(top, Integral) or top < 1:
        raise ValueError(f"top={top!r} must be a positive integer, or None for all rows.")
    return int(top)


def check_frames(X: Any) -> None:
    """Refuse to make a frame where the library for it is missing."""
    if _is_polars(unwrapped(X)):
        return
    try:
        import pandas  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "A report is a pandas frame and requires pandas. Install it with "
            "`pip install 'sklearn-fsad[data]'`, or give X as a polars frame."
        ) from error


def most_anomalous(scores: Array, top: int | None) -> NDArray[np.intp]:
    """Return the positions of the largest scores, largest first; of equal ones the first."""
    return np.argsort(-scores, kind="stable")[:top]


def columns_to_blame(
    contributions: Array,
    names: Sequence[Any],
    values: NDArray[Any],
    normals: Array,
    categorical: tuple[int, ...] = (),
) -> dict[str, Any]:
    """Describe the two columns of the largest contributions to each row's score.

    Parameters
    ----------
    contributions : ndarray of shape (m, d)
        As of ``feature_scores``, larger = more anomalous.
    names : sequence of length d
    values : ndarray of shape (m, d)
        The rows; of objects where some columns hold no numbers.
    normals : ndarray of shape (n, d)
        Normal rows, in the same units, whose 5th and 95th percentiles are the usual range.
    categorical : tuple of int, default=()
        Positions of columns of categories, which have no range.

    Returns
    -------
    columns : dict of str to array-like of length m
        ``column_1``, ``value_1``, ``usual_low_1``, ``usual_high_1``, and the same for 2 where there
        are two columns.
    """
    order = np.argsort(-contributions, axis=1, kind="stable")
    row = np.arange(len(values))
    usual: dict[int, Array] = {
        int(j): np.full(2, np.nan) if j in categorical else _usual_range(normals[:, j])
        for j in set(order[:, :2].flat)
    }
    found: dict[str, Any] = {}
    for k in range(min(_N_BLAMED, values.shape[1])):
        j = order[:, k]
        found[f"column_{k + 1}"] = [names[i] for i in j]
        found[f"value_{k + 1}"] = _plainest(values[row, j])
        found[f"usual_low_{k + 1}"] = np.array([usual[int(i)][0] for i in j])
        found[f"usual_high_{k + 1}"] = np.array([usual[int(i)][1] for i in j])
    return found


def as_frame(X: Any, positions: NDArray[np.intp], columns: Mapping[str, Any]) -> Any:
    """Make a frame: of polars where ``X`` is one, else of pandas with the index of ``X``."""
    X = unwrapped(X)
    if _is_polars(X):
        import polars

        return polars.DataFrame({name: _for_polars(values) for name, values in columns.items()})
    import pandas

    index = X.index.take(positions) if isinstance(X, pandas.DataFrame) else None
    return pandas.DataFrame(dict(columns), index=index)


def _plainest(values: NDArray[Any]) -> NDArray[Any]:
    """Return objects as numbers where all are."""
    if values.dtype.kind == "O" and all(
        isinstance(value, Real) and not isinstance(value, bool) for value in values
    ):
        return values.astype(np.float64)
    return values


def _usual_range(values: Array) -> Array:
    known = values[~np.isnan(values)]
    return np.percentile(known, _USUAL) if len(known) else np.full(2, np.nan)


def _for_polars(values: Any) -> Any:
    """Return objects of several types as words: a column of polars has one type."""
    if not isinstance(values, np.ndarray) or values.dtype.kind != "O":
        return values
    one_type = len({type(value) for value in values if value is not None}) == 1
    return list(values) if one_type else [None if v is None else str(v) for v in values]


def _is_polars(X: Any) -> bool:
    return type(X).__module__.split(".")[0] == "polars"
