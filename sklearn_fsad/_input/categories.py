"""Read columns of categories: their values become numbers, the same for equal values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._warn import warn
from .containers import unwrapped
from .entries import TIMES, as_numbers, refuse_type
from .frames import (
    column_names,
    exact_values_of_column,
    frame_columns,
    held_type,
    is_frame,
    numbers_of_column,
)

UNSEEN = -1.0  # number of a value that was never given to fit
_TRUTH_VALUES = {"False": "0", "True": "1"}
_CATEGORICAL = ("categor", "enum", "dictionary")  # how names of types begin


@dataclass(frozen=True)
class Categories:
    """Hold which columns are categories, and the values of each that training rows have.

    Attributes
    ----------
    positions : tuple of int
        Positions of the columns.
    values : tuple of tuple
        Their values in the order of their numbers; None stands for a missing value, which is a
        category too.
    """

    positions: tuple[int, ...] = ()
    values: tuple[tuple[Any, ...], ...] = ()

    @classmethod
    def of(cls, X: Any, which: Any) -> Categories:
        """Find the columns of categories in training rows; their values are not known yet.

        Parameters
        ----------
        X : array-like or frame of shape (n_samples, n_features)
            Training rows.
        which : "from_dtype", sequence or None
            The types of a frame's columns, or a mask, positions or names of the columns.

        Raises
        ------
        ValueError
            If ``which`` names no column, or a column twice.
        """
        X = unwrapped(X)
        if which is None:
            return cls()
        if isinstance(which, str) and which == "from_dtype":
            return cls(_by_type(X))
        return cls(_by_choice(X, which))

    def extended(self, X: Any) -> Categories:
        """Number the values of more training rows after those that are known."""
        columns, known = _columns(unwrapped(X)), self.values or ((),) * len(self.positions)
        values = []
        for position, old in zip(self.positions, known, strict=True):
            new = set(_keys(columns[position])) - set(old)
            values.append((*old, *sorted(new, key=lambda key: (key is not None, key or ""))))
        return replace(self, values=tuple(values))

    def numbers(self, X: Any) -> NDArray[np.float64]:
        """Read rows as numbers: (n, d); categories by their place among the known values."""
        columns = _columns(unwrapped(X))
        found = []
        numbers_of = {p: {v: i for i, v in enumerate(known)} for p, known in self._known}
        for position, column in enumerate(columns):
            if position not in numbers_of:
                found.append(column.numbers())
                continue
            places = numbers_of[position]
            found.append(np.array([places.get(key, UNSEEN) for key in _keys(column)], dtype=float))
        return np.column_stack(found).astype(np.float64)

    def shown(self, X: Any, numbers: NDArray[np.float64]) -> NDArray[Any]:
        """Put the values of categories in place of the numbers that stand for them: (n, d)."""
        if not self.positions:
            return numbers
        shown, columns = numbers.astype(object), _columns(unwrapped(X))
        for position in self.positions:
            entries, keys = columns[position].values(), _keys(columns[position])
            shown[:, position] = [
                None if key is None else value for value, key in zip(entries, keys, strict=True)
            ]
        return shown

    @property
    def _known(self) -> Iterable[tuple[int, tuple[Any, ...]]]:
        return zip(self.positions, self.values, strict=True)


@dataclass(frozen=True)
class _Column:
    """Hold one column of rows: its name, its type and its entries."""

    name: Any
    dtype: Any
    entries: Any
    of_frame: bool

    def values(self) -> NDArray[Any]:
        return exact_values_of_column(self.dtype, self.entries) if self.of_frame else self.entries

    def numbers(self) -> NDArray[Any]:
        if self.of_frame:
            return numbers_of_column(self.name, self.dtype, self.entries)
        return as_numbers(self.entries, [self.name])


def _columns(X: Any) -> list[_Column]:
    if is_frame(X):
        return [_Column(*column, of_frame=True) for column in frame_columns(X)]
    values = X if isinstance(X, np.ndarray) else np.asarray(X, dtype=object)
    if values.ndim != 2:
        raise ValueError(f"Expected 2D array, got {values.ndim}D array instead: give rows.")
    return [_Column(j, values.dtype, values[:, j], of_frame=False) for j in range(values.shape[1])]


# --- which columns --------------------------------------------------------------------------------
def _by_type(X: Any) -> tuple[int, ...]:
    if not is_frame(X):
        return ()
    return tuple(j for j, column in enumerate(_columns(X)) if _holds_categories(column))


def _holds_categories(column: _Column) -> bool:
    """Tell whether a column of a frame holds categories, text or booleans, and no numbers."""
    name = str(getattr(column.dtype, "name", None) or column.dtype).lower()
    if name.startswith(_CATEGORICAL):
        refuse_type(held_type(column.dtype), f" in column {column.name!r}")
        return True
    if name.startswith("bool"):
        return True
    kind = getattr(column.dtype, "kind", None)
    if kind not in (None, "O", "U", "S", "T"):
        return False
    if kind is None and not any(part in name for part in ("str", "utf8", "object")):
        return False
    values = column.values().ravel()
    if any(issubclass(of, TIMES) for of in set(map(type, values))):
        return False  # read as numbers, dates are refused
    if not any(map(_is_word, values)):
        return False
    n_text = sum(isinstance(value, (str, bool, np.bool_)) for value in values)
    n_numbers = sum(_key(value, column.name, 0) is not None for value in values) - n_text
    if n_text < n_numbers:
        return False  # a word among numbers is refused by its place
    _warn_of_words(column.name, values)
    return True


def _warn_of_words(name: Any, values: NDArray[Any]) -> None:
    """Warn of a column most of whose text is numbers: each number becomes a category."""
    rows = [i for i, value in enumerate(values) if _is_word(value)]
    n_text = sum(isinstance(value, (str, bool, np.bool_)) for value in values)
    if 2 * len(rows) < n_text:
        warn(
            f"Column {name!r} holds numbers as text but for entries such as {values[rows[0]]!r} in "
            f"row {rows[0]}, so that it is read as categories. To read it as numbers: "
            f"X[{name!r}] = pandas.to_numeric(X[{name!r}], errors='coerce'). If it holds "
            "categories, name it in categorical_features."
        )


def _is_word(value: Any) -> bool:
    """Tell whether an entry is a word or a truth value: text that is a number is none."""
    if isinstance(value, (bool, np.bool_)):
        return True
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False


def _by_choice(X: Any, which: Any) -> tuple[int, ...]:
    names, chosen = column_names(X), list(which)
    n = len(_columns(X))
    if chosen and all(isinstance(c, (bool, np.bool_)) for c in chosen):
        if len(chosen) != n:
            raise ValueError(
                f"categorical_features is a mask of {len(chosen)} entries for {n} columns."
            )
        return tuple(int(j) for j in np.flatnonzero(np.asarray(chosen, dtype=bool)))
    positions = sorted(_position(c, names, n) for c in chosen)
    if len(set(positions)) < len(positions):
        raise ValueError(f"categorical_features={chosen} names a column twice.")
    return tuple(positions)


def _position(chosen: Any, names: Sequence[Any] | None, n: int) -> int:
    """Find a column by its name or position; whole numbers are positions, as in scikit-learn."""
    if isinstance(chosen, (str, tuple)):  # a tuple names a column of several levels
        if names is None or chosen not in names:
            known = "X has no column names" if names is None else f"the columns are {list(names)}"
            raise ValueError(f"categorical_features names {chosen!r}, but {known}.")
        return list(names).index(chosen)
    if isinstance(chosen, (bool, np.bool_)) or not isinstance(chosen, (int, np.integer)):
        raise ValueError(
            f"categorical_features names column {chosen!r}, of type {type(chosen).__name__}: give "
            f"names, whole numbers from 0 to {n - 1}, or a mask of truth values for all columns."
        )
    if not -n <= chosen < n:
        at = list(names).index(chosen) if names is not None and chosen in names else None
        told = "" if at is None else f" The column named {chosen!r} has position {at}."
        raise ValueError(
            f"categorical_features names column {chosen!r}; there are {n} columns, and numbers "
            f"are their positions.{told}"
        )
    return int(chosen) % n


# --- values ---------------------------------------------------------------------------------------
def _keys(column: _Column) -> list[Any]:
    """Return the entries of a column as text, None where missing: 1, 1.0, "1", True are equal."""
    values = column.values()
    if values.ndim != 1:
        raise ValueError(f"X holds several values per row in column {column.name!r}.")
    return [_key(value, column.name, row) for row, value in enumerate(values.tolist())]


def _key(value: Any, name: Any, row: int) -> Any:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, (bytes, np.bytes_)):
        value = value.decode(errors="replace")
    if isinstance(value, (str, bool, np.bool_)):
        return _TRUTH_VALUES.get(str(value), str(value))
    if isinstance(value, Integral):  # exact, however large
        return str(int(value))
    if isinstance(value, (Real, Decimal)):
        number = float(value)
        if np.isnan(number):
            return None
        return str(int(number)) if number.is_integer() else str(number)
    raise ValueError(
        f"X holds {value!r} in column {name!r}, row {row}, of type {type(value).__name__}: a "
        "category is text, a number or a truth value. Convert the column, for example by "
        f"X[{name!r}].astype(str), or leave it out."
    )
