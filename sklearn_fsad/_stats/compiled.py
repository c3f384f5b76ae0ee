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
    inner,
    plain,
    vector,
)

_AT_ONCE = 4  # rows that pass over the columns together
_WIDTH = 512  # columns of a product that are summed together
_DEPTH = 128  # lines of a large matrix that are added to all rows, out of a cache
_FEW_NUMBERS = 2**16  # that fit in a cache
_BLOCK = 256  # values of a column that are looked up together
_ONE, _TWO = np.uint64(1), np.uint64(2)  # unsigned: numba looks for negative positions otherwise


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


@compiled(MATRIX, MATRIX, OUT)
def _summed_differences(rows: Array, columns: Array, out: Array) -> None:
    for i in range(len(rows)):
        total = out[i]
        for j in range(rows.shape[1]):
            x, line = rows[i, j], columns[j]
            for t in range(len(line)):
                total[t] += abs(x - line[t])


def summed_differences(rows: Array, columns: Array) -> Array:
    """Compute the sums of absolute differences of rows and points: (m, d), (d, n) -> (m, n)."""
    out = np.zeros((len(rows), columns.shape[1]))
    _summed_differences(plain(rows), plain(columns), out)
    return out
