"""Read entries as numbers; refuse dates, intervals and complex numbers by column, row and value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time, timedelta
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

ADVICE = (
    " If the column holds numbers, mend the entry or make it missing (None). Columns of words are "
    "read by fit of InContextDetector and, without meta_fit, ProtoNetDetector: in a frame, or "
    "where categorical_features names them; any detector reads them behind "
    "sklearn_fsad.pipeline.make_table_pipeline."
)
TIMES = (np.datetime64, np.timedelta64, date, time, timedelta)
_COMPLEX = (complex, np.complexfloating)
_TIMES_OF_PANDAS = ("Period", "NaTType", "DateOffset")
_TIME_TYPES = ("date", "time", "duration", "period", "month_day_nano")  # how their names begin


def refuse_type(dtype: Any, where: str = "") -> None:
    """Refuse a type of dates, durations or intervals, of any library; ``where`` names a column."""
    name = str(getattr(dtype, "name", None) or dtype)
    if name.lower().startswith(_TIME_TYPES):
        raise ValueError(
            f"X holds dates or durations{where} ({name}), which are not numbers: leave them out, "
            "or convert them, for example to seconds or by skrub.TableVectorizer."
        )
    if name.lower().startswith("interval"):
        raise ValueError(
            f"X holds intervals{where} ({name}), which are not numbers: give their middle, or "
            "their two ends in two columns."
        )


def as_numbers(values: NDArray[Any], columns: Sequence[Any] | None = None) -> NDArray[Any]:
    """Read an array as numbers: objects and strings become float64, other numbers are kept.

    Parameters
    ----------
    values : ndarray of shape (n, d) or (n,)
        Entries; None and pandas' NA are missing. One column where it has one dimension.
    columns : sequence of length d, default=None
        Names for messages; positions when None.

    Returns
    -------
    numbers : ndarray of the same shape
        The same array where its type is one of numbers.

    Raises
    ------
    ValueError, TypeError
        If an entry is no number; the message names its column and row.
    """
    kind = values.dtype.kind
    where = "" if columns is None or values.ndim > 1 else f" in column {columns[0]!r}"
    if kind in "mM":
        refuse_type(values.dtype, where)
    if kind == "V":
        raise ValueError(
            f"X is a structured array ({', '.join(map(str, values.dtype.names or ()))}): give its "
            "fields as the columns of a frame or of a plain array."
        )
    if kind == "c":
        raise ValueError(f"Complex data not supported: X holds {values.dtype}{where}.")
    if kind not in "OSUT":
        return values
    missing = np.zeros(values.shape, dtype=bool)
    for entry in set(map(type, values.ravel())):
        if _is_time(entry) or entry.__name__ == "Interval" or issubclass(entry, _COMPLEX):
            _refuse_entry(values, entry, columns)
        if entry.__name__ == "NAType" or entry is type(np.ma.masked):
            missing |= _of_type(values, entry)
    readable = np.where(missing, np.nan, values) if missing.any() else values
    try:
        return readable.astype(np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        _refuse_unreadable(readable, columns, error)


def _is_time(entry: type) -> bool:
    return issubclass(entry, TIMES) or entry.__name__ in _TIMES_OF_PANDAS


def _of_type(values: NDArray[Any], kind: type) -> NDArray[np.bool_]:
    return np.array([type(v) is kind for v in values.ravel()], dtype=bool).reshape(values.shape)


def _place(values: NDArray[Any], position: int, columns: Sequence[Any] | None) -> str:
    """Name the column and row of an entry, given by its position among all."""
    row, column = divmod(position, values.shape[1] if values.ndim > 1 else 1)
    return f"in column {column if columns is None else columns[column]!r}, row {row}"


def _refuse_entry(values: NDArray[Any], kind: type, columns: Sequence[Any] | None) -> NoReturn:
    position = int(np.argmax(_of_type(values, kind)))
    held = f"X holds {values.ravel()[position]!r} {_place(values, position, columns)}"
    if issubclass(kind, _COMPLEX):
        raise ValueError(f"Complex data not supported: {held}.")
    if kind.__name__ == "Interval":
        raise ValueError(f"{held}, an interval, not a number: give its middle or its ends.")
    raise ValueError(
        f"{held}, a date or a duration, not a number: leave the column out, or convert it, for "
        "example to seconds or by skrub.TableVectorizer."
    )


def _refuse_unreadable(
    values: NDArray[Any], columns: Sequence[Any] | None, error: Exception
) -> NoReturn:
    """Raise the error of the first entry that is no number, with its place."""
    kind = TypeError if isinstance(error, TypeError) else ValueError
    for position, value in enumerate(values.ravel()):
        if value is None:
            continue
        try:
            float(value)
        except (ValueError, TypeError, OverflowError) as reason:
            place = _place(values, position, columns)
            advice = ADVICE if isinstance(value, str) else ""
            raise kind(f"{reason}: X holds {_short(value)} {place}.{advice}") from error
    raise kind(str(error)) from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
