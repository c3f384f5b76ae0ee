"""Tell whether time stamps have a time zone, and refuse to mix those with and those without one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas

from .._input.codings import is_missing
from ._frames import entries, kind_of

Zone = str | None  # of time stamps; None where they have none


def zone_of(column: Any) -> Zone | bool:
    """Return the zone of a frame of one column of dates or text; False where it cannot be told."""
    if kind_of(column) == "dates":
        dtype = next(iter(column.dtypes))
        zone = getattr(dtype, "tz", None) or getattr(dtype, "time_zone", None)
        return None if zone is None else str(zone)
    first = next((value for value in entries(column) if not is_missing(value)), None)
    try:
        stamp = pandas.Timestamp(first) if isinstance(first, (str, datetime)) else pandas.NaT
    except (ValueError, TypeError):  # a word, which is refused elsewhere
        return False
    if stamp is pandas.NaT:
        return False
    return None if stamp.tz is None else str(stamp.tz)


def refuse_other_zones(column: Any, name: str, known: Zone | bool) -> None:
    """Refuse time stamps with a zone where those of ``fit`` had none, and the other way round.

    Raises
    ------
    ValueError
        The message says how to give both the same.
    """
    zone = zone_of(column)
    if False in (zone, known) or (zone is None) == (known is None):
        return  # other zones are converted
    with_zone, without = f"times of the time zone {zone or known}", "times without a time zone"
    held, before = (with_zone, without) if zone else (without, with_zone)
    raise ValueError(
        f"X holds {held} in column {name!r}, where fit saw {before}. "
        f"{_advice(column, name, str(zone or known), drop=zone is not None)}"
    )


def with_times_for_text(X: Any, name: str) -> Any:
    """Return a frame of polars with times for text, where ``fit`` saw times in that column.

    skrub does not read text there. Columns without any entry are converted, others refused.
    """
    import polars

    dtype = X.schema[name]
    if dtype not in (polars.String, polars.Null):
        return X
    if X[name].null_count() < len(X):
        raise ValueError(
            f"X holds text in column {name!r}, where fit saw times. Convert it: "
            f"X = X.with_columns(polars.col({name!r}).str.to_datetime())."
        )
    return X.with_columns(polars.col(name).cast(polars.Datetime))


def _advice(column: Any, name: str, zone: str, *, drop: bool) -> str:
    if not hasattr(column, "iloc"):
        as_times = "" if kind_of(column) == "dates" else ".str.to_datetime()"
        return _advice_for_polars(name, zone, as_times, drop=drop)
    stamps = f"X[{name!r}]" if kind_of(column) == "dates" else f"pandas.to_datetime(X[{name!r}])"
    if drop:
        return (
            f"If the times of fit are in UTC: X[{name!r}] = {stamps}.dt.tz_convert(None). If they "
            f"are in {zone}: X[{name!r}] = {stamps}.dt.tz_localize(None)."
        )
    return f"If these times are in that zone: X[{name!r}] = {stamps}.dt.tz_localize({zone!r})."


def _advice_for_polars(name: str, zone: str, as_times: str, *, drop: bool) -> str:
    line = f"X = X.with_columns(polars.col({name!r}){as_times}.dt."
    if drop:
        return (
            f"If the times of fit are in UTC: {line}convert_time_zone('UTC')"
            f".dt.replace_time_zone(None)). If they are in {zone}: {line}replace_time_zone(None))."
        )
    return f"If these times are in that zone: {line}replace_time_zone({zone!r}))."
