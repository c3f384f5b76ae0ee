"""Read names of tasks, classes and groups, one for each row or task, from any container."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .codings import is_missing
from .containers import unwrapped


def names_of(values: Any) -> list[Any]:
    """List names as Python objects that can be keys; time stamps stay what they are.

    Parameters
    ----------
    values : array-like of shape (n,)
        A list, an array, or a series, category or column of pandas, polars, narwhals or Arrow.

    Returns
    -------
    names : list of length n
        Numbers and words of numpy and Arrow become Python's.

    Raises
    ------
    ValueError
        If they are not of one dimension.
    """
    values = unwrapped(values)
    for method in ("to_pylist", "tolist", "to_list"):
        if not isinstance(values, np.ndarray) and hasattr(values, method):
            return [_plain(value) for value in getattr(values, method)()]
    if isinstance(values, (list, tuple, range)):
        return [_plain(value) for value in values]
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"got shape {array.shape}")
    return [_plain(value) for value in array]


def rows_by_name(values: Any, what: str, name: str) -> dict[Any, NDArray[np.intp]]:
    """Map each name to the positions of its rows; names are in the order of their first row.

    Parameters
    ----------
    values : array-like of shape (n,)
        A name for each row.
    what, name : str
        What is read and what it names, for messages: "groups" and "task id".
    """
    try:
        names = names_of(values)
        _refuse_unhashable(names)
    except ValueError as error:
        raise ValueError(f"{what} must be one {name} per row, {error}.") from error
    rows: dict[Any, list[int]] = {}
    for i, value in enumerate(names):
        if is_missing(value) or type(value).__name__ == "NaTType":
            raise ValueError(f"{what} has no {name} for row {i}: got {value!r}.")
        rows.setdefault(value, []).append(i)
    return {value: np.array(positions, dtype=np.intp) for value, positions in rows.items()}


def in_order(names: Iterable[Any]) -> list[Any]:
    """Sort names; those of several types, which have no order, stay in the given one."""
    try:
        return sorted(names)
    except TypeError:
        return list(names)


def _refuse_unhashable(names: Iterable[Any]) -> None:
    """Refuse rows of several columns, which are no names."""
    for name in names:
        try:
            hash(name)
        except TypeError as error:
            raise ValueError(f"got {name!r}, a {type(name).__name__}") from error


def _plain(value: Any) -> Any:
    """Return a scalar of numpy or Arrow as Python's; time stamps of nanoseconds have none there."""
    if hasattr(value, "as_py"):
        return value.as_py()
    if not isinstance(value, np.generic):
        return value
    plain = value.item()
    is_count = isinstance(value, (np.datetime64, np.timedelta64)) and isinstance(plain, int)
    return value if is_count else plain
