"""Compiled loops over rows: what they compute of a row depends on no other row, to the bit.

Sums run over columns in their order, in vectors over points: neither the number of rows nor the
place of a row among them changes its rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from .._typing import Array, Positions
from .compilation import (
    MATRIX,
    NUMBER,
    OUT,
    POSITIONS,
    POSITIONS_OUT,
    YES_OR_NO,
    compiled,
    inner,
    plain,
    plain_positions,
    vector,
)


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
_WIDTH = 512  # columns of a product that are summed together
_DEPTH = 128  # lines of a large matrix that are added to all rows, out of a cache
_FEW_NUMBERS = 2**16  # that fit in a cache


@compiled(MATRIX, MATRIX, YES_OR_NO, NUMBER, OUT, POSITIONS_OUT)
def _nearest_columns(
    rows: Array, columns: Array, cityblock: bool, own: int, distance: Array, position: Positions
) -> None:
    m, q = rows.shape
    n, k = columns.shape[1], distance.shape[1]
    total = np.empty((_AT_ONCE, _POINTS))  # faster than one from outside
    for start in range(0, m, _AT_ONCE):
        n_rows = min(_AT_ONCE, m - start)
        for left in range(0, n, _POINTS):
            size = min(_POINTS, n - left)
            for i in range(n_rows):
                for t in range(size):
                    total[i, t] = 0.0
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


def nearest_columns(
    rows: Array, columns: Array, k: int, *, cityblock: bool = False, own: int = -1
) -> tuple[Array, Positions]:
    """Find the k nearest of some points: (m, q), (q, n) -> distances and positions, (m, k) each.

    Distances are squared unless ``cityblock``. With ``own`` of 0 or more, row i is not compared
    with point ``own + i``.
    """
    distance = np.full((len(rows), k), np.inf)
    position = np.zeros((len(rows), k), dtype=np.intp)
    _nearest_columns(plain(rows), plain(columns), cityblock, own, distance, position)
    return distance, position


@inner
def _four(rows: Array, i: int, j: int) -> tuple[float, float, float, float]:
    return rows[i, j], rows[i, j + 1], rows[i, j + 2], rows[i, j + 3]


@compiled(MATRIX, MATRIX, OUT)
def _row_product(rows: Array, matrix: Array, out: Array) -> None:
    m, d = rows.shape
    k = matrix.shape[1]
    depth = max(d, 1) if d * k <= _FEW_NUMBERS else _DEPTH
    for left in range(0, k, _WIDTH):
        right = min(left + _WIDTH, k)
        for top in range(0, d, depth):
            bottom = min(top + depth, d)
            whole = bottom - (bottom - top) % 4
            for start in range(0, m, _AT_ONCE):
                stop = min(start + _AT_ONCE, m)
                if stop - start == 4:  # four lines for four rows: what is loaded is used often
                    out0, out1 = out[start, left:right], out[start + 1, left:right]
                    out2, out3 = out[start + 2, left:right], out[start + 3, left:right]
                    for j in range(top, whole, 4):
                        a, b = matrix[j, left:right], matrix[j + 1, left:right]
                        c, e = matrix[j + 2, left:right], matrix[j + 3, left:right]
                        w0, x0, y0, z0 = _four(rows, start, j)
                        w1, x1, y1, z1 = _four(rows, start + 1, j)
                        w2, x2, y2, z2 = _four(rows, start + 2, j)
                        w3, x3, y3, z3 = _four(rows, start + 3, j)
                        for t in range(len(a)):
                            out0[t] = (((out0[t] + w0 * a[t]) + x0 * b[t]) + y0 * c[t]) + z0 * e[t]
                            out1[t] = (((out1[t] + w1 * a[t]) + x1 * b[t]) + y1 * c[t]) + z1 * e[t]
                            out2[t] = (((out2[t] + w2 * a[t]) + x2 * b[t]) + y2 * c[t]) + z2 * e[t]
                            out3[t] = (((out3[t] + w3 * a[t]) + x3 * b[t]) + y3 * c[t]) + z3 * e[t]
                else:
                    for j in range(top, whole, 4):
                        a, b = matrix[j, left:right], matrix[j + 1, left:right]
                        c, e = matrix[j + 2, left:right], matrix[j + 3, left:right]
                        for i in range(start, stop):
                            w, x, y, z = _four(rows, i, j)
                            total = out[i, left:right]
                            for t in range(len(a)):
                                total[t] = (((total[t] + w * a[t]) + x * b[t]) + y * c[t]) + z * e[
                                    t
                                ]
                for j in range(whole, bottom):
                    line = matrix[j, left:right]
                    for i in range(start, stop):
                        x, total = rows[i, j], out[i, left:right]
                        for t in range(len(line)):
                            total[t] += x * line[t]


def row_product(rows: Array, matrix: Array) -> Array:
    """Multiply matrices, or a matrix and a vector: (m, d), (d, k) or (d,) -> (m, k) or (m,)."""
    columns = matrix[:, None] if matrix.ndim == 1 else matrix
    out = np.zeros((len(rows), columns.shape[1]))
    _row_product(plain(rows), plain(columns), out)
    return out[:, 0] if matrix.ndim == 1 else out


@compiled(MATRIX, POSITIONS, vector(NUMBER), MATRIX, NUMBER, OUT)
def _nearest_in_sets(
    rows: Array, sets: Positions, sizes: Positions, columns: Array, first: int, distance: Array
) -> None:
    m, n_sets, n = len(rows), len(sets), columns.shape[1]
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
            distance[i, s] = math.sqrt(least)


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
    of_sets = plain_positions(sets.columns), plain_positions(sets.sizes)
    distance = np.empty((len(rows), len(sets.columns)))
    _nearest_in_sets(plain(rows), *of_sets, plain(columns), first, distance)
    return distance
