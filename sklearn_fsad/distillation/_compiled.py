"""Compiled loops of a student: what they compute of a row depends on no other row, to the bit.

Four rows are computed together, so that what is loaded is used often; the last ones are repeated
where fewer are left.
"""

from __future__ import annotations

import numpy as np

from .._stats.compilation import FLOAT, MATRIX, NUMBER, OUT, compiled, inner, vector
from .._typing import Array, Positions

_FMA = ("contract",)  # multiply and add in one instruction
_AT_ONCE = 4
_GROUP, _DEPTH = 64, 128  # rows and columns whose products are added out of a cache


@inner
def _load(rows: Array, start: int, four: Array) -> None:
    """Copy four rows, the last one again where fewer are left: (m, d), (4, d)."""
    for r in range(4):
        row, target = rows[min(start + r, len(rows) - 1)], four[r]
        for j in range(rows.shape[1]):
            target[j] = row[j]


@inner
def _add_product(four: Array, matrix: Array, out: Array) -> None:
    """Add the products of four rows and a matrix: (4, d), (d, k), (4, k)."""
    d, k = matrix.shape
    out0, out1, out2, out3 = out[0], out[1], out[2], out[3]
    whole = d - d % 4
    for j in range(0, whole, 4):
        a, b, c, e = matrix[j], matrix[j + 1], matrix[j + 2], matrix[j + 3]
        w0, x0, y0, z0 = four[0, j], four[0, j + 1], four[0, j + 2], four[0, j + 3]
        w1, x1, y1, z1 = four[1, j], four[1, j + 1], four[1, j + 2], four[1, j + 3]
        w2, x2, y2, z2 = four[2, j], four[2, j + 1], four[2, j + 2], four[2, j + 3]
        w3, x3, y3, z3 = four[3, j], four[3, j + 1], four[3, j + 2], four[3, j + 3]
        for t in range(k):
            out0[t] = (((out0[t] + w0 * a[t]) + x0 * b[t]) + y0 * c[t]) + z0 * e[t]
            out1[t] = (((out1[t] + w1 * a[t]) + x1 * b[t]) + y1 * c[t]) + z1 * e[t]
            out2[t] = (((out2[t] + w2 * a[t]) + x2 * b[t]) + y2 * c[t]) + z2 * e[t]
            out3[t] = (((out3[t] + w3 * a[t]) + x3 * b[t]) + y3 * c[t]) + z3 * e[t]
    for j in range(whole, d):
        line = matrix[j]
        for r in range(4):
            x, total = four[r, j], out[r]
            for t in range(k):
                total[t] += x * line[t]


@inner
def _smallest(values: Array, first: int, last: int, least: Array) -> None:
    """Find the smallest values of four rows, ascending, without branches: (4, n), (k, 4)."""
    k = len(least)
    x0, x1, x2, x3 = values[0], values[1], values[2], values[3]
    for s in range(k):
        for r in range(4):
            least[s, r] = np.inf
    for t in range(first, last):
        v0, v1, v2, v3 = x0[t], x1[t], x2[t], x3[t]
        for s in range(k):
            line = least[s]
            w0, w1, w2, w3 = line[0], line[1], line[2], line[3]
            line[0], v0 = (v0, w0) if v0 < w0 else (w0, v0)
            line[1], v1 = (v1, w1) if v1 < w1 else (w1, v1)
            line[2], v2 = (v2, w2) if v2 < w2 else (w2, v2)
            line[3], v3 = (v3, w3) if v3 < w3 else (w3, v3)


@inner
def _write_row(shown: Array, length: float, near: Array, far: Array, r: int, line: Array) -> None:
    """Write the inputs of one row of four: what is shown, the length, and the distances."""
    d, k = len(shown), len(near)
    for j in range(d):
        line[j] = shown[j]
    line[d] = length
    for s in range(k):
        line[d + 1 + s] = max(near[s, r] + length, 0.0)
    for s in range(len(far)):
        line[d + 1 + k + s] = max(far[s, r] + length, 0.0)


@compiled(
    MATRIX, vector(FLOAT), vector(FLOAT), FLOAT, MATRIX, vector(FLOAT), NUMBER, NUMBER, MATRIX,
    OUT, fastmath=_FMA,
)  # fmt: skip
def network_inputs(
    rows: Array,
    centre: Array,
    factor: Array,
    slope: float,
    known: Array,
    lengths: Array,
    n_normal: int,
    n_nearest: int,
    directions: Array,
    out: Array,
) -> None:
    """Compute what :class:`Inputs` describes, but for logarithms: (m, d) -> (m, n_inputs).

    ``n_nearest`` distances to normal rows are written after the length, and as many to anomalies as
    there are columns left. Without directions, (n_known, 0), the scaled values are shown.
    """
    m, d = rows.shape
    n_known, q = len(lengths), directions.shape[1]
    n_far = out.shape[1] - (q if q else d) - 1 - n_nearest
    scaled, products = np.empty((_GROUP, d)), np.empty((_GROUP, n_known))
    shown, near, far = np.empty((4, q)), np.empty((n_nearest, 4)), np.empty((n_far, 4))
    for first in range(0, m, _GROUP):
        n = min(_GROUP, m - first)
        whole = n + -n % 4  # the last row is repeated
        for r in range(whole):
            row, z = rows[first + min(r, n - 1)], scaled[r]
            for j in range(d):
                x = (row[j] - centre[j]) * factor[j]
                z[j] = x / (1.0 + abs(x) * slope)
            for t in range(n_known):
                products[r, t] = 0.0
        for top in range(0, d, _DEPTH):
            bottom = min(top + _DEPTH, d)
            for r in range(0, whole, 4):
                part = scaled[r : r + 4, top:bottom]
                _add_product(part, known[top:bottom], products[r : r + 4])
        for start in range(0, whole, 4):
            four = products[start : start + 4]
            if q:
                shown[:] = 0.0
                _add_product(four, directions, shown)
            for r in range(4):
                for t in range(n_known):
                    four[r, t] += lengths[t]
            _smallest(four, 0, n_normal, near)
            _smallest(four, n_normal, n_known, far)
            for r in range(min(4, n - start)):
                z, length = scaled[start + r], 0.0
                for j in range(d):
                    length += z[j] * z[j]
                line = out[first + start + r]
                _write_row(shown[r] if q else z, length / d, near, far, r, line)


@compiled(MATRIX, vector(FLOAT), vector(NUMBER), OUT, fastmath=_FMA)
def propagate(rows: Array, numbers: Array, widths: Positions, out: Array) -> None:
    """Apply a perceptron with ReLU between layers: (m, n_in) -> (m, 1).

    Parameters
    ----------
    rows : ndarray of shape (m, n_in)
    numbers : ndarray
        Weights (n_in, n_out) and biases (n_out,) of each layer in turn, flattened.
    widths : ndarray of shape (n_layers + 1,)
        Widths of the input and of each layer.
    out : ndarray of shape (m, 1)
        Written to.
    """
    widest = 0
    for width in widths:
        widest = max(widest, width)
    given, found = np.empty((4, widest)), np.empty((4, widest))
    for start in range(0, len(rows), _AT_ONCE):
        _load(rows, start, given)
        place = 0
        for layer in range(len(widths) - 1):
            n_in, n_out = widths[layer], widths[layer + 1]
            weights = numbers[place : place + n_in * n_out].reshape((n_in, n_out))
            bias = numbers[place + n_in * n_out : place + (n_in + 1) * n_out]
            place += (n_in + 1) * n_out
            for r in range(4):
                total = found[r]
                for t in range(n_out):
                    total[t] = bias[t]
            _add_product(given, weights, found)
            if layer < len(widths) - 2:
                for r in range(4):
                    for t in range(n_out):
                        given[r, t] = max(found[r, t], 0.0)
        for r in range(min(4, len(rows) - start)):
            out[start + r, 0] = found[r, 0]
