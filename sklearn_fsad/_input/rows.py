"""Validate rows: refuse values that are not numbers instead of converting them silently."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from .categories import Categories
from .columns import check_columns, known_columns, refuse_repeated_columns, remember_columns
from .containers import unwrapped
from .entries import as_numbers
from .frames import column_names, frame_numbers, is_frame

_MOST = 1e60


def validated_rows(
    estimator: Any,
    X: Any,
    *,
    reset: bool = True,
    categories: Categories | None = None,
    **checks: Any,
) -> NDArray[Any]:
    """Read rows from any container, then validate them as scikit-learn does.

    Dates, durations, intervals and complex numbers are refused. Column names that are no strings,
    which scikit-learn does not compare, are compared too.

    Parameters
    ----------
    estimator : estimator
        Remembers the columns, or has done so.
    X : array-like, frame or tensor of shape (n_samples, n_features)
        Rows; masked entries, None and pandas' NA are missing.
    reset : bool, default=True
        Whether to remember the columns; otherwise they must be those remembered.
    categories : Categories, default=None
        Columns of categories, which are read as the places of their values among the known ones.
    **checks
        As of :func:`~sklearn.utils.check_array`.

    Returns
    -------
    rows : ndarray of shape (n_samples, n_features)
        Numbers.
    """
    X = unwrapped(X)
    if reset:
        refuse_repeated_columns(X)
    else:
        check_columns(estimator, X)
    numbers = categories.numbers(X) if categories and categories.positions else _numbers(X)
    try:
        # what is too large becomes infinite and is refused; what follows computes with numpy
        with np.errstate(over="ignore"), config_context(array_api_dispatch=False):
            if numbers is X or not is_frame(X):
                rows = validate_data(estimator, numbers, reset=reset, **checks)
            else:  # the frame has the names, the array the numbers
                validate_data(estimator, X, reset=reset, skip_check_array=True)
                rows = check_array(numbers, estimator=estimator, input_name="X", **checks)
    except ValueError as error:
        told = _without_advice(error, estimator)
        raise ValueError(f"{told}{_place_of(error, numbers, X)}") from error
    if reset:
        remember_columns(estimator, X)
    return rows


def refuse_other_columns(estimator: Any, X: Any) -> None:
    """Refuse a frame whose columns are not those that an estimator remembers."""
    X = unwrapped(X)
    if is_frame(X):
        validate_data(estimator, X, reset=False, skip_check_array=True)


def named_rows(X: Any, **checks: Any) -> tuple[NDArray[Any], tuple[Any, ...] | None]:
    """Read and validate rows without an estimator; return them with the names of their columns."""
    probe = BaseEstimator()
    rows = validated_rows(probe, X, **checks)
    names = known_columns(probe)
    unnamed = names is None or list(names) == list(range(rows.shape[1]))
    return rows, None if unnamed else tuple(names)


def refuse_other_than_numbers(X: Any) -> None:
    """Refuse rows that hold dates, words or other things that are no numbers."""
    _numbers(unwrapped(X))


def refuse_huge(rows: NDArray[np.float64], name: str = "X", columns: Any = None) -> None:
    """Refuse values above 1e60 in rows to learn from: their squares and products may overflow."""
    most = float(np.nanmax(np.abs(rows), initial=0.0))
    if most > _MOST:
        raise ValueError(
            f"{name} holds {most:.3g}, too large to learn from (the limit is {_MOST:g}): remove "
            "such rows, or give the feature a larger unit. "
            f"{_place_of_first(np.abs(rows) > _MOST, columns)}"
        )


def _numbers(X: Any) -> Any:
    """Read rows as an array of numbers; what scikit-learn reads or refuses as well is kept."""
    if is_frame(X):
        numbers = frame_numbers(X)
        return X if numbers is None else numbers
    if isinstance(X, np.ndarray):
        return as_numbers(X)
    is_series = hasattr(X, "to_frame")  # of one dimension
    if is_series or not (isinstance(X, (list, tuple)) or hasattr(X, "__array__")):
        return X
    try:
        values = np.asarray(X)
    except (ValueError, TypeError):  # scikit-learn raises the error
        return X
    return as_numbers(values)


def first_missing(rows: NDArray[Any], names: Any = None) -> str:
    """Say in which column and row the first missing or infinite entry is: a sentence, or none."""
    return _place_of_first(~np.isfinite(rows), names)


def _place_of_first(wrong: NDArray[np.bool_], names: Any) -> str:
    if not wrong.any():
        return ""
    row, column = np.argwhere(wrong)[0].tolist()
    return f"The first one is in column {column if names is None else names[column]!r}, row {row}."


def _without_advice(error: ValueError, estimator: Any) -> str:
    """Return the message of an error; of missing values without advice to use a classifier."""
    if "contains NaN" not in str(error):
        return str(error)
    by = "" if type(estimator) is BaseEstimator else f" by {type(estimator).__name__}"
    return (
        f"Input X contains NaN, which is not accepted here{by}: fill the gaps by an imputer, such "
        "as KNNImputer."
    )


def _place_of(error: ValueError, numbers: Any, X: Any) -> str:
    """Name the entry that an error is about, where that is about a missing or infinite one."""
    if "contains NaN" not in str(error) and "contains infinity" not in str(error):
        return ""
    with np.errstate(over="ignore"):
        return "\n" + first_missing(np.asarray(numbers, dtype=np.float64), column_names(X))
