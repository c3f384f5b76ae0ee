"""Refuse entries that are neither words, numbers nor dates, by column, row and value."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import time
from typing import Any

from .._input.codings import is_missing
from .._input.entries import TIMES
from ._frames import entries, kind_of

_TEXT = ("string", "utf8", "categor", "enum", "dictionary")  # how names of types begin


def refuse_objects(column: Any, name: str) -> None:
    """Refuse lists, periods and times of day in a frame of one column.

    Raises
    ------
    ValueError
        If there are some, which would become words or numbers without meaning.
    """
    if not _may_hold_objects(column):
        return
    for row, value in _first_of_each_type(column):
        told = _refusal(value, name, of_pandas=hasattr(column, "iloc"))
        if told:
            raise ValueError(f"X holds {_short(value)} in column {name!r}, row {row}, {told}")


def refuse_dates_among_words(column: Any, name: str) -> None:
    """Refuse dates in a frame of one column that is read as words."""
    if not _may_hold_objects(column):
        return
    for row, value in _first_of_each_type(column):
        if isinstance(value, TIMES) and not is_missing(value):  # NaT is of their types
            raise ValueError(
                f"X holds {_short(value)} in column {name!r}, row {row}, a date in a column that "
                f"is read as words: mend the entry, or make all text, X[{name!r}] = X[{name!r}]"
                f".astype(str). If all are dates: X[{name!r}] = pandas.to_datetime(X[{name!r}], "
                "utc=True), for fit too."
            )


def _may_hold_objects(column: Any) -> bool:
    dtype = str(next(iter(column.dtypes))).lower()
    return kind_of(column) == "words" and dtype != "str" and not dtype.startswith(_TEXT)


def _first_of_each_type(column: Any) -> list[tuple[int, Any]]:
    first: dict[type, tuple[int, Any]] = {}
    for row, value in enumerate(entries(column)):
        first.setdefault(type(value), (row, value))
    return list(first.values())


def _refusal(value: Any, name: str, *, of_pandas: bool) -> str:
    """Say why an entry is refused, and what to do; nothing where it is not."""
    if type(value).__name__ == "Period":
        line = f"X[{name!r}] = pandas.PeriodIndex(X[{name!r}]).to_timestamp()"
        return f"a period: make it a time stamp, {line}."
    if isinstance(value, time):
        line = f"X = X.with_columns(polars.col({name!r}).dt.hour())"
        if of_pandas:
            line = f"X[{name!r}] = X[{name!r}].map(lambda time: time.hour, na_action='ignore')"
        return f"a time of day: give the hour, {line}, or leave the column out."
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return "several values in one: give each a column of its own, or leave the column out."
    return ""


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:60]}..."
