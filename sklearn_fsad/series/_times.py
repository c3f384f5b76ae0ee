"""Read time stamps of steps, and split a series where steps are missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._input.containers import unwrapped
from .._input.names import names_of
from .._typing import Array

_GAP = 1.5  # times the median distance of steps


def read_times(X: Any, times: Any, n: int) -> Array | None:
    """Return the times of steps as numbers, those given or the index of a frame of pandas: (n,).

    Time stamps become seconds. An index that is neither of time stamps nor of growing whole numbers
    is ignored.
    """
    if times is None:
        index = getattr(unwrapped(X), "index", None)
        if not _tells_time(index):
            return None
        return _checked(_as_numbers(index), index)
    held = names_of(times)
    if len(held) != n:
        raise ValueError(f"times must hold one time for each of the {n} rows, got {len(held)}.")
    return _checked(_as_numbers(held), held)


def starts_of_series(times: Array | None, n: int) -> list[int]:
    """Return the positions at which a series starts or goes on after a gap, the first one is 0."""
    if times is None or n < 3:
        return [0]
    steps = np.diff(times)
    return [0, *(np.flatnonzero(steps > _GAP * np.median(steps)) + 1).tolist()]


def _tells_time(index: Any) -> bool:
    kind = getattr(getattr(index, "dtype", None), "kind", "")
    if not hasattr(index, "is_monotonic_increasing"):
        return False
    grows = bool(index.is_monotonic_increasing and index.is_unique)
    return kind == "M" or (kind in "iu" and grows)


def _as_numbers(times: Any) -> Array:
    """Return numbers, or the seconds of time stamps since 1970."""
    values = np.asarray(times)
    if values.dtype.kind == "O" and all(getattr(v, "tzinfo", None) is not None for v in values):
        return np.array([value.timestamp() for value in values])
    try:
        if values.dtype.kind in "OUST":
            values = values.astype("datetime64[ns]")
        if values.dtype.kind == "M":
            seconds = (values - np.datetime64(0, "s")) / np.timedelta64(1, "s")
            return np.where(np.isnat(values), np.nan, seconds)
        return values.astype(np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError(f"times must hold numbers or time stamps: {error}.") from error


def _checked(times: Array, given: Any) -> Array:
    """Refuse times that are missing or do not grow."""
    values = list(given)
    for row in np.flatnonzero(~np.isfinite(times))[:1]:
        raise ValueError(f"times holds {values[row]!r} at row {row}: give a time for each step.")
    for row in np.flatnonzero(np.diff(times) <= 0.0)[:1] + 1:
        raise ValueError(
            f"times must grow: row {row} has {values[row]!s}, after {values[row - 1]!s}. Sort the "
            "steps by time, such as by X.sort_index(), and keep one of each time."
        )
    return times
