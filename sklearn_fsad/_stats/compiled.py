"""Compiled loops over rows: what they compute of a row depends on no other row, to the bit.

Sums run over columns in their order, in vectors over points: neither the number of rows nor the
place of a row among them changes its rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self, TypeVar

import numba
import numpy as np

from .._typing import Array, Positions

F = TypeVar("F", bound=Callable[..., Any])


class ColumnSets(NamedTuple):
    """Hold sets of columns.

    Attributes
    ----------
    columns : ndarray of shape (n_sets, most)
        Columns of each set, filled up.
    sizes : ndarray of shape (n_sets,)
        How many of them count.
    """

    columns: Positions
    sizes: Positions

    @classmethod
    def of(cls, sets: Sequence[Positions]) -> Self:
        """Put sets of columns in one array."""
        sizes = np.array([len(columns) for columns in sets], dtype=np.intp)
        filled = np.zeros((len(sets), sizes.max()), dtype=np.intp)
        for i, columns in enumerate(sets):
            filled[i, : len(columns)] = columns
        return cls(filled, sizes)


_AT_ONCE = 4  # rows that pass over the points together
_POINTS = 512  # points that they pass over together
_WIDTH = 256  # columns of a product that are summed together


def compiled(function: F, **how: Any) -> F:
    """Compile a function; kept in a cache on disk where one can be written."""
    options = {"nogil": True, "error_model": "numpy", **how}
    try:
        made: F = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # there is no folder for the cache: each process compiles for itself
        made = numba.njit(**options)(function)
    return made


@compiled
def _nearest_columns(
    rows: Array, columns: Array, k: int, cityblock: bool, own: int
) -> tuple[Array, Positions]:
    m, q = rows.shape
    n = columns.shape[1]
    distance = np.full((m, k), np.inf)
    position = np.zeros((m, k), dtype=np.intp)
    total = np.empty((_AT_ONCE, _POINTS))
    for start in range(0, m, _AT_ONCE):
        n_rows = min(_AT_ONCE, m - start)
        for left in range(0, n, _POINTS):
            size = min(_POINTS, n - left)
            total[:] = 0.0
            for j in range(q):
                column = columns[j, left : left + size]
                for i in range(n_rows):
                    x = rows[start + i, j]
                    if cityblock:
                        for t in range(len(column)):
                            total[i, t] += abs(x - column[t])
                    else:
                        for t in range(len(column)):
                            gap = x - column[t]
                            total[i, t] += gap * gap
            for i in range(n_rows):
                row = start + i
                if own >= 0 and left <= own + row < left + size:
                    total[i, own + row - left] = np.inf
                worst = distance[row, k - 1]
                for t in range(size):
                    value = total[i, t]
                    if value < worst:
                        place = k - 1
                        while place > 0 and distance[row, place - 1] > value:
                            distance[row, place] = distance[row, place - 1]
                            position[row, place] = position[row, place - 1]
                            place -= 1
                        distance[row, place] = value
                        position[row, place] = left + t
                        worst = distance[row, k - 1]
    return distance, position


def nearest_columns(
    rows: Array, columns: Array, k: int, *, cityblock: bool = False, own: int = -1
) -> tuple[Array, Positions]:
    """Find the k nearest of some points: (m, q), (q, n) -> distances and positions, (m, k) each.

    Distances are squared unless ``cityblock``. With ``own`` of 0 or more, row i is not compared
    with point ``own + i``.
    """
    return _nearest_columns(plain(rows), plain(columns), k, cityblock, own)


@compiled
def _row_product(rows: Array, matrix: Array) -> Array:
    m, d = rows.shape
    k = matrix.shape[1]
    out = np.zeros((m, k))
    for start in range(0, m, _AT_ONCE):
        for left in range(0, k, _WIDTH):
            right = min(left + _WIDTH, k)
            for j in range(d):
                line = matrix[j, left:right]
                for i in range(start, min(start + _AT_ONCE, m)):
                    x, total = rows[i, j], out[i, left:right]
                    for t in range(len(line)):
                        total[t] += x * line[t]
    return out


def row_product(rows: Array, matrix: Array) -> Array:
    """Multiply matrices, or a matrix and a vector: (m, d), (d, k) or (d,) -> (m, k) or (m,)."""
    if matrix.ndim == 1:
        return _row_product(plain(rows), plain(matrix[:, None]))[:, 0]
    return _row_product(plain(rows), plain(matrix))


def plain(array: Array) -> Array:
    """Return an array that may be written to, in C order: others would be compiled for anew."""
    return np.require(array, np.float64, ["C", "W"])


@compiled
def _nearest_in_sets(
    rows: Array, sets: Positions, sizes: Positions, columns: Array, first: int
) -> Array:
    m, n_sets, n = len(rows), len(sets), columns.shape[1]
    distance = np.empty((m, n_sets))
    total = np.empty(n)
    for i in range(m):
        for s in range(n_sets):
            j = sets[s, 0]
            x = rows[i, j]
            for t in range(n):
                gap = x - columns[j, t]
                total[t] = gap * gap
            for p in range(1, sizes[s]):
                j = sets[s, p]
                x = rows[i, j]
                for t in range(n):
                    gap = x - columns[j, t]
                    total[t] += gap * gap
            if first >= 0 and first <= i < first + n:
                total[i - first] = np.inf
            left = n
            while left > 8:  # fold the second half on the first: in vectors, and in any order
                half = (left + 1) // 2
                for t in range(left - half):
                    other = total[t + half]
                    total[t] = other if other < total[t] else total[t]
                left = half
            least = total[0]
            for t in range(1, left):
                least = min(least, total[t])
            distance[i, s] = np.sqrt(least)
    return distance


def nearest_in_sets(rows: Array, sets: ColumnSets, columns: Array, *, first: int = -1) -> Array:
    """Compute the distance to the nearest point in each set of columns: (m, n_sets).

    Parameters
    ----------
    rows : ndarray of shape (m, d)
    sets : ColumnSets
    columns : ndarray of shape (d, n)
        Points.
    first : int, default=-1
        With 0 or more, row ``first + i`` is not compared with point i.
    """
    return _nearest_in_sets(plain(rows), sets.columns, sets.sizes, plain(columns), first)
