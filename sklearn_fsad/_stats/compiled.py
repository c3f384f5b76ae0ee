"""Compiled loops over rows: what they compute of a row depends on no other row, to the bit.

Sums run over columns in their order, in vectors over points: neither the number of rows nor the
place of a row among them changes its rounding.
"""

from __future__ import annotations

import numpy as np

from .._typing import Array, Positions
from .compilation import (
    FLOAT,
    MATRIX,
    NUMBER,
    OUT,
    compiled,
    plain,
    vector,
)

_AT_ONCE = 4  # rows that pass over the columns together
_WIDTH = 256  # columns of a product that are summed together
_BLOCK = 256  # values of a column that are looked up together
_ONE, _TWO = np.uint64(1), np.uint64(2)  # unsigned: numba looks for negative positions otherwise


@compiled(MATRIX, MATRIX, OUT)
def _row_product(rows: Array, matrix: Array, out: Array) -> None:
    m, d = rows.shape
    k = matrix.shape[1]
    for start in range(0, m, _AT_ONCE):
        for left in range(0, k, _WIDTH):
            right = min(left + _WIDTH, k)
            for j in range(d):
                line = matrix[j, left:right]
                for i in range(start, min(start + _AT_ONCE, m)):
                    x, total = rows[i, j], out[i, left:right]
                    for t in range(len(line)):
                        total[t] += x * line[t]


def row_product(rows: Array, matrix: Array) -> Array:
    """Multiply matrices, or a matrix and a vector: (m, d), (d, k) or (d,) -> (m, k) or (m,)."""
    columns = matrix[:, None] if matrix.ndim == 1 else matrix
    out = np.zeros((len(rows), columns.shape[1]))
    _row_product(plain(rows), plain(columns), out)
    return out[:, 0] if matrix.ndim == 1 else out


@compiled(MATRIX, vector(FLOAT), vector(FLOAT), vector(NUMBER), OUT)
def _interpolated(rows: Array, knots: Array, heights: Array, starts: Positions, out: Array) -> None:
    below, values = np.empty(_BLOCK, dtype=np.uint64), np.empty(_BLOCK)
    for j in range(rows.shape[1]):
        first, last = np.uint64(starts[j]), np.uint64(starts[j + 1] - 1)
        for begin in range(0, len(rows), _BLOCK):
            n = min(_BLOCK, len(rows) - begin)
            place, x = below[:n], values[:n]  # of the last knot that is not above a value
            for i in range(n):
                place[i], x[i] = first, rows[begin + i, j]
            left = last + _ONE - first
            while left > _ONE:  # each value's lies among so many: halve them for all values at once
                half = left // _TWO
                for i in range(n):
                    middle = place[i] + half
                    place[i] = middle if knots[middle] <= x[i] else place[i]
                left -= half
            for i in range(n):
                at = place[i]
                y = heights[at]
                if at < last and knots[at] < x[i]:
                    slope = (heights[at + _ONE] - y) / (knots[at + _ONE] - knots[at])
                    y += slope * (x[i] - knots[at])
                out[begin + i, j] = y


def interpolated(rows: Array, knots: Array, heights: Array, starts: Positions) -> Array:
    """Interpolate between the knots of each column, and keep the outer ones beyond: (m, d).

    Parameters
    ----------
    rows : ndarray of shape (m, d)
    knots, heights : ndarray of shape (n_knots,)
        Ascending knots of the first column, those of the second, and so on; values there.
    starts : ndarray of shape (d + 1,)
        Where the knots of each column start, and those of the last one end.
    """
    out = np.empty(rows.shape)
    _interpolated(plain(rows), knots, heights, starts, out)
    return out
