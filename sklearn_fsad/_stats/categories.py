"""Columns of categories as numbers: dummy variables of a common weight, and how rare values are."""

from __future__ import annotations

import numpy as np

from .._typing import Array, Mask
from .moments import feature_spread, without_far_values

_MOST_DUMMIES = 30  # of a column: its most frequent values
_MOST_OF_TABLE = 2000  # what reads them takes time and memory by their square
_LEAST_ROWS = 5


class Dummies:
    """Turn columns of categories into dummy variables, by the rows of a support.

    A dummy variable is one where a row has that value of a column, else zero. Values that fewer
    than five rows have, and no labelled anomaly, get none, since such a row would differ from a new
    one in having it: of them only their rarity counts. A column of two values has one variable, a
    column without any has one that is zero everywhere. A column has 30 variables at most, and fewer
    where a table would have more than 2000.

    Parameters
    ----------
    codes : ndarray of shape (n, c)
        Rows of the support; values are numbers that are equal for equal values.
    anomalous : ndarray of shape (n,), dtype bool
        Which of them are labelled anomalies.
    unit : float, default=1.0
        What dummy variables are in place of one.

    Attributes
    ----------
    weights : ndarray of shape (n_dummies,)
        One over the square root of the number of dummy variables of a column: columns then weigh
        alike, however many values they have.
    column : ndarray of shape (n_dummies,)
        Positions of their columns.
    """

    def __init__(self, codes: Array, anomalous: Mask, unit: float = 1.0) -> None:
        self._unit = unit
        values = [_values_of_dummies(column, anomalous, _MOST_DUMMIES) for column in codes.T]
        if sum(map(len, values)) > _MOST_OF_TABLE:
            most = max(1, _MOST_OF_TABLE // codes.shape[1])
            values = [_values_of_dummies(column, anomalous, most) for column in codes.T]
        self._values = np.concatenate(values)
        self.column = np.repeat(np.arange(len(values)), [len(kept) for kept in values])
        self.weights = 1.0 / np.sqrt(np.bincount(self.column)[self.column])

    def transform(self, codes: Array) -> Array:
        """Make the dummy variables of rows: (m, c) -> (m, n_dummies)."""
        return np.where(codes[:, self.column] == self._values, self._unit, 0.0)


def _values_of_dummies(codes: Array, anomalous: Mask, most: int) -> Array:
    values, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    order = order[1:] if len(values) == 2 else order
    told = (counts >= _LEAST_ROWS) | np.isin(values, codes[anomalous])
    kept = values[order[told[order]][:most]]
    return np.sort(kept) if len(kept) else np.array([np.nan])


def unit_beside(numbers: Array) -> float:
    """Return half the median spread of columns of normal rows, as a power of two: a number.

    In this unit dummy variables are as small beside the columns of numbers (n, c), whatever these
    measure. A power of two, as it changes no rounding.
    """
    if not numbers.shape[1]:
        return 1.0
    spread = feature_spread(numbers)
    usual = without_far_values(numbers, spread)
    spread = usual[usual > 0.0] if usual.any() else spread
    return float(np.exp2(np.round(np.log2(np.median(spread) / 2.0))))


class Rarity:
    """Score rows by how rare their categories are among normal rows, larger = more anomalous.

    The sum over columns of minus the log frequency of a value, where half a row is added to its
    count: a value that no normal row has adds log(2 n + 2). It is put on the scale of the normal
    rows, each of them scored by the others.

    Parameters
    ----------
    codes : ndarray of shape (n, c)
        Normal rows of the support.
    n_anomalous : int
        Number of labelled anomalies: the more there are, the less rarity counts.
    """

    def __init__(self, codes: Array, n_anomalous: int) -> None:
        self._n = len(codes)
        self._counts = [np.unique(column, return_counts=True) for column in codes.T]
        others = self._surprise(codes, own=1)
        self._mean, self._spread = float(others.mean()), float(others.std()) + 0.3
        self._weight = 0.25 / (1.0 + 0.3 * n_anomalous)

    def __call__(self, codes: Array, own: int = 0) -> Array:
        """Score rows: (m, c) -> (m,); ``own=1`` scores normal rows of the support by the others."""
        z = (self._surprise(codes, own) - self._mean) / self._spread
        return np.asarray(self._weight * np.arcsinh(z))

    def _surprise(self, codes: Array, own: int = 0) -> Array:
        total = np.zeros(len(codes))
        for column, (values, counts) in zip(codes.T, self._counts, strict=True):
            place = np.searchsorted(values, column).clip(max=len(values) - 1)
            count = np.where(values[place] == column, counts[place], 0) - own
            total -= np.log((count + 0.5) / (self._n - own + 1.0))
        return total
