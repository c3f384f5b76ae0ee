"""Read time stamps of steps, and split a series where steps are missing."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import UTC, timedelta
from numbers import Number
from typing import Any

import numpy as np

from .._typing import Array
from .codings import is_missing
from .containers import unwrapped
from .names import names_of

_GAP = 1.5  # times the usual distance of steps
_FEWEST = 3  # times, for a usual distance


def read_times(X: Any, times: Any, n: int) -> Array | None:
    """Return the times of steps, those given or the index of a frame of pandas: (n,).

    They are numbers, or time stamps or durations of numpy, as exact as given. An index that holds
    neither times nor growing whole numbers is ignored.
    """
    if times is None:
        index = getattr(unwrapped(X), "index", None)
        return _checked(index) if _tells_time(index) else None
    try:
        n_given = len(names_of(times))
    except ValueError as error:
        raise ValueError(f"times must hold one time for each row: {error}.") from error
    if n_given != n:
        raise ValueError(f"times must hold one time for each of the {n} rows, got {n_given}.")
    return _checked(times)


def times_with_more(former: Array | None, X: Any, times: Any, n: int) -> Array | None:
    """Return the times of all steps given so far and of n more; None if they just follow.

    Steps without times, or with an index that counts from 0 again, follow those that were counted.
    """
    more = read_times(X, times, n)
    if former is None and times is None:
        return None
    if former is not None and times is None and _counts(former) and (more is None or _counts(more)):
        more = np.array(range(len(former), len(former) + n))
    if former is None or more is None:
        with_times, without = ("new", "former") if former is None else ("former", "new")
        raise ValueError(
            f"The {with_times} steps have times, the {without} ones have none: give times to both."
        )
    if _kind(former) != _kind(more):
        raise ValueError(f"The former times are {_kind(former)}, the new ones {_kind(more)}.")
    if more[0] <= former[-1]:
        raise ValueError(
            "The new steps must be later than those given so far: they begin at "
            f"{more[0]!s}, those end at {former[-1]!s}."
        )
    return np.concatenate([former, more])


@dataclass(frozen=True)
class UsualDistance:
    """Hold how far apart steps usually are in time.

    Attributes
    ----------
    value : float
        The median distance.
    unit : dtype
        What it is measured in: that of numbers, or of durations of numpy.
    """

    value: float
    unit: np.dtype[Any]

    @classmethod
    def of(cls, times: Array | None) -> UsualDistance | None:
        """Take it from some times; None without any, and of fewer than three."""
        if times is None or len(times) < _FEWEST:
            return None
        steps = np.diff(times)
        return cls(float(np.median(steps.astype(np.float64))), steps.dtype)

    def measured_in(self, unit: np.dtype[Any]) -> float | None:
        """Return it in another unit; None where there is no such thing, as days in numbers."""
        if "m" not in (self.unit.kind, unit.kind):
            return self.value
        if self.unit.kind != unit.kind or bool(_calendar(self.unit)) != bool(_calendar(unit)):
            return None
        one = np.ones(1, dtype=np.int64)
        return self.value * float((one.astype(self.unit) / one.astype(unit))[0])

    def ratio(self, times: Array) -> float:
        """Tell how many times as far apart as that others are; 1 where it cannot be told."""
        other = UsualDistance.of(times)
        mine = None if other is None else self.measured_in(other.unit)
        return 1.0 if other is None or not mine else other.value / mine


def starts_of_series(times: Array | None, n: int, usual: UsualDistance | None = None) -> list[int]:
    """Return the positions at which a series starts or goes on after a gap, the first one is 0.

    ``usual`` tells how far apart steps usually are; None takes the median of these.
    """
    if times is None or n < 2:
        return [0]
    steps = np.diff(times)
    distance = None if usual is None else usual.measured_in(steps.dtype)
    if distance is None:
        own = UsualDistance.of(times)
        distance = np.inf if own is None else own.value
    return [0, *(np.flatnonzero(steps.astype(np.float64) > _GAP * distance) + 1).tolist()]


def _tells_time(index: Any) -> bool:
    kind = getattr(getattr(index, "dtype", None), "kind", "")
    if not hasattr(index, "is_monotonic_increasing"):
        return False
    grows = bool(index.is_monotonic_increasing and index.is_unique)
    return kind in ("M", "m") or hasattr(index, "to_timestamp") or (kind in "iu" and grows)


def _counts(times: Array) -> bool:
    """Tell whether times are 0, 1, 2, ..., which says no more than the order of the steps."""
    return times.dtype.kind == "i" and bool((times == np.arange(len(times))).all())


def _calendar(unit: np.dtype[Any]) -> bool:
    """Tell whether durations are months or years, which last for no fixed number of days."""
    return np.datetime_data(unit)[0] in ("M", "Y")


def _kind(times: Array) -> str:
    return {"M": "time stamps", "m": "durations"}.get(times.dtype.kind, "numbers")


def _checked(given: Any) -> Array:
    """Read times; refuse those that are missing or do not grow."""
    try:
        times = _as_times(given)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"times must hold numbers or time stamps: {error}.") from error
    is_number = times.dtype.kind in "if"
    missing = ~np.isfinite(times) if is_number else np.isnat(times)
    for row in np.flatnonzero(missing)[:1]:
        value = names_of(given)[row]
        raise ValueError(f"times holds {value!r} at row {row}: give a time for each step.")
    for row in np.flatnonzero(times[1:] <= times[:-1])[:1] + 1:
        values = names_of(given)
        raise ValueError(
            f"times must grow: row {row} has {values[row]!s}, after {values[row - 1]!s}. Sort the "
            "steps by time, such as by X.sort_index(), and keep one of each time."
        )
    return times


def _as_times(given: Any) -> Array:
    """Return numbers, time stamps or durations of numpy: (n,)."""
    held = unwrapped(given)
    is_numpy = isinstance(getattr(held, "dtype", None), np.dtype)
    values = np.asarray(held if is_numpy else names_of(held))
    kind = values.dtype.kind
    if kind in "Mm":
        return values
    if kind in "iuf":
        return values.astype(np.int64 if np.can_cast(values.dtype, np.int64) else np.float64)
    if kind in "OUST":
        return _of_objects(values.tolist())
    raise ValueError(f"got {values.dtype}")


def _of_objects(values: list[Any]) -> Array:
    if all(is_missing(v) or isinstance(v, Number) for v in values):
        return np.array([np.nan if is_missing(v) else float(v) for v in values])
    if isinstance(values[0], timedelta):
        return np.array([_plain(v, "to_timedelta64", np.timedelta64) for v in values])
    if len({getattr(v, "tzinfo", None) is None for v in values if not is_missing(v)}) > 1:
        raise ValueError("some time stamps have a time zone and others have none")
    with warnings.catch_warnings():  # numpy reads zones of words right, but warns
        warnings.filterwarnings("ignore", "no explicit representation of timezones")
        return np.array([_stamp(value) for value in values])


def _stamp(value: Any) -> Any:
    """Return a time stamp of numpy, in universal time if its zone is known."""
    if getattr(value, "tzinfo", None) is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    value = value.to_timestamp() if hasattr(value, "to_timestamp") else value
    return _plain(value, "to_datetime64", np.datetime64)


def _plain(value: Any, method: str, kind: Any) -> Any:
    """Convert by the method that values of pandas have, which keeps nanoseconds, or by numpy."""
    return getattr(value, method)() if hasattr(value, method) else kind(value)
