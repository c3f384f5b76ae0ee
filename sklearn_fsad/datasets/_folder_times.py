"""Put the rows of files in the order of their time stamps; find what windows would stumble over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._warn import warn
from ..exceptions import TaskWarning

_LONG = 1.5  # times the median step is a gap, as for windows
_MOST_TOLD = 5


def read_stamps(column: Any, time: Any) -> NDArray[Any]:
    """Read a column of numbers, dates or ISO texts: (n,), numbers or datetime64.

    Raises
    ------
    ValueError
        If a value is none of these or missing; the message tells its row.
    """
    if column.dtype.kind in "iufmM" and isinstance(column.dtype, np.dtype):
        stamps = np.asarray(column)
    else:
        stamps = _from_objects(column)
    unreadable = np.isnat(stamps) if stamps.dtype.kind in "mM" else ~np.isfinite(stamps)
    if unreadable.any():
        row = int(np.argmax(unreadable))
        more = f", and {unreadable.sum() - 1} more" if unreadable.sum() > 1 else ""
        raise ValueError(
            f"column {time!r}, row {row}: {list(column)[row]!r} is no time stamp{more}. Times are "
            "numbers, dates, or ISO texts such as '2026-01-31 12:00:00'; for others pass "
            f"csv_params={{'parse_dates': [{time!r}], 'date_format': '%d.%m.%Y %H:%M'}}."
        )
    return stamps


def time_order(stamps: NDArray[Any], time: Any) -> NDArray[np.intp]:
    """Return the positions of the rows in order of time; refuse stamps of several rows."""
    order = np.argsort(stamps, kind="stable")
    values, counts = np.unique(stamps, return_counts=True)
    if len(values) < len(stamps):
        first, n = values[counts > 1][0], int((counts > 1).sum())
        more = f" ({n} stamps stand in several rows)" if n > 1 else ""
        raise ValueError(
            f"column {time!r} holds {_readable(first)} in {counts[counts > 1][0]} rows{more}. Keep "
            f"one row of each, frame.drop_duplicates({time!r}), or write a file for each series if "
            "this one holds several."
        )
    return order


def warn_of_gaps(stamps: Mapping[str, NDArray[Any]]) -> None:
    """Warn of files in which some steps, of the ordered stamps, are longer than usual."""
    told = {name: _gaps(values) for name, values in stamps.items()}
    found = [f"{name!r} has {gaps}" for name, gaps in told.items() if gaps]
    if found:
        more = f"; and {len(found) - _MOST_TOLD} more files" if len(found) > _MOST_TOLD else ""
        warn(
            f"Time steps are missing: {'; '.join(found[:_MOST_TOLD])}{more}. Rows on both sides of "
            "a gap are no neighbours, and no window may hold both: split such files there.",
            TaskWarning,
        )


def _gaps(stamps: NDArray[Any]) -> str:
    """Describe the gaps between ordered stamps; empty if there are none."""
    if len(stamps) < 3:
        return ""
    steps = np.diff(stamps)
    lengths = steps.astype(np.float64)
    n = int((lengths > _LONG * np.median(lengths)).sum())
    if not n:
        return ""
    usual = np.sort(steps)[len(steps) // 2]
    gaps = "1 gap" if n == 1 else f"{n} gaps, the longest"
    return f"{gaps} of {_readable(steps.max())} where a step is usually {_readable(usual)}"


def _from_objects(column: Any) -> NDArray[Any]:
    """Read texts, and columns of types that numpy does not have; NaT or NaN where that fails."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "Times in words need pandas, `pip install 'sklearn-fsad[data]'`."
        ) from error
    column = pandas.Series(column)
    if pandas.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    dates = pandas.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
    numbers = pandas.to_numeric(column, errors="coerce")
    if numbers.notna().sum() > dates.notna().sum():
        return numbers.to_numpy(dtype=np.float64)
    return dates.dt.tz_localize(None).to_numpy()


def _readable(stamp: Any) -> str:
    if stamp.dtype.kind == "M":
        return str(np.datetime_as_string(stamp, unit="auto")).replace("T", " ")
    if stamp.dtype.kind == "m":
        return str(stamp.astype("timedelta64[us]").item())
    return f"{stamp:g}"
