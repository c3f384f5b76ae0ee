"""Read values that callers or their functions give: numbers of numpy, sequences of any kind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_KINDS = {np.bool_: bool, np.integer: int, np.floating: float, np.str_: str}


def plain(value: Any) -> Any:
    """Convert numbers, text and sequences of numpy or pandas to those of Python.

    Parameters
    ----------
    value : object
        Scalars of numpy and arrays without dimensions become Python scalars; arrays, series, lists,
        ranges and tuples become tuples of plain values, dicts those of plain scalars.

    Returns
    -------
    value : object
        Anything else is returned as it is.
    """
    if is_sequence(value):
        return tuple(plain(part) for part in value)
    return plain_scalar(value)


def plain_scalar(value: Any) -> Any:
    """Convert numbers and text of numpy, also in a dict; sequences stay what they are.

    Parameters
    ----------
    value : object
        Arrays without dimensions count as scalars.

    Returns
    -------
    value : object
        Anything else is returned as it is.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, np.timedelta64):  # a kind of integer to numpy
        return value
    for kind, python in _KINDS.items():
        if isinstance(value, kind):
            return python(value)
    if type(value) is dict:
        return {plain_scalar(key): plain_scalar(part) for key, part in value.items()}
    return value


def is_sequence(value: Any) -> bool:
    """Tell whether the value is a list, tuple, range, array or series, with elements.

    Parameters
    ----------
    value : object
        Any value.

    Returns
    -------
    is_sequence : bool
        False for text, mappings and arrays without dimensions.
    """
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    is_series = hasattr(value, "to_numpy") and hasattr(value, "name")
    return is_series or isinstance(value, (list, tuple, range))


def as_number(value: Any, what: str) -> float:
    """Convert what a function returned to a float, which may be NaN or infinite.

    Parameters
    ----------
    value : object
        Number of Python, numpy or torch.
    what : str
        Where it is from, for the message of the error.

    Returns
    -------
    number : float
        The number.
    """
    if not isinstance(value, (str, bytes, np.complexfloating)) and not getattr(value, "ndim", 0):
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError):  # torch's complex numbers raise the last
            pass
    raise ValueError(f"{what} returned {value!r}, which is not a number.")


def as_finite(value: Any, what: str) -> float:
    """Convert what a function returned to a float; refuse NaN and infinity too.

    Parameters
    ----------
    value : object
        Number of Python, numpy or torch.
    what : str
        Where it is from, for the message of the error.

    Returns
    -------
    number : float
        A finite number.
    """
    number = as_number(value, what)
    if not math.isfinite(number):
        raise ValueError(f"{what} returned {number}, which is not a finite number.")
    return number
