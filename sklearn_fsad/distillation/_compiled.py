"""Compiled steps of a student: what they compute of a row depends on no other row, to the bit.

Rows are computed in groups of ``GROUP``, the last one filled up: BLAS multiplies matrices of one
size, and so rounds each row alike. The rows of a group lie beside each other in memory.
"""

from __future__ import annotations

import numpy as np
from numba import types

from .._stats.compilation import CUBE_OUT, FLOAT, MATRIX, NUMBER, OUT, compiled, inner, vector
from .._typing import Array, Positions, Singles

GROUP = 16
NEAREST = 4, 2  # distances that are read: to normal rows, to anomalies
BEND = 8.0  # spreads at which scaled values are halved
FARTHEST = 1e150  # spreads, so that all that is computed is finite
_SUMS = "contract", "reassoc"  # sum in vectors, in an order that depends on the length alone
_PRODUCTS = 2**18  # multiplications, above which OpenBLAS may wait for other threads
_MOST = max(NEAREST)
_CUBE = types.Array(types.float64, 3, "C", readonly=True)


@inner
def _multiply(matrix: Array, values: Array, out: Array) -> None:
    """Multiply a matrix and a group of rows: (n_out, n_in), (n_in, GROUP) -> (n_out, GROUP)."""
    step = max(_PRODUCTS // values.size, 1)
    for start in range(0, len(matrix), step):
        np.dot(matrix[start : start + step], values, out[start : start + step])


@inner
def _bend(rows: Array, columns: Array, out: Array, outside: Array) -> None:
    """Scale and bend rows, and count the values out of the range: (n, d) -> (n, d), (n,)."""
    centre, factor, low, high = columns[0], columns[1], columns[2], columns[3]
    for r in range(len(rows)):
        row, line, n_outside = rows[r], out[r], 0
        for j in range(len(row)):
            n_outside += (row[j] < low[j]) | (row[j] > high[j])
            x = min(max((row[j] - centre[j]) * factor[j], -FARTHEST), FARTHEST)
            line[j] = x / (1.0 + abs(x) * (1.0 / BEND))
        outside[r] = n_outside


@inner
def _nearest(products: Array, lengths: Array, own: Array, least: Array, out: Array) -> None:
    """Find the smallest squared distances, ascending: (n, GROUP), (n,), (GROUP,) -> (k, GROUP)."""
    least[:] = np.inf
    for t in range(len(products)):
        for r in range(GROUP):
            x = products[t, r] + lengths[t]
            for s in range(_MOST):  # without branches
                y = least[s, r]
                least[s, r], x = min(x, y), max(x, y)
    for s in range(len(out)):
        for r in range(GROUP):
            out[s, r] = max(least[s, r] + own[r], 0.0)


@compiled(
    MATRIX, MATRIX, MATRIX, vector(FLOAT), MATRIX, vector(NUMBER), CUBE_OUT, OUT, fastmath=_SUMS,
)  # fmt: skip
def network_inputs(
    rows: Array,
    columns: Array,
    known: Array,
    lengths: Array,
    directions: Array,
    counts: Positions,
    out: Array,
    outside: Array,
) -> None:
    """Compute what :class:`Inputs` describes, but for logarithms.

    Parameters
    ----------
    rows : ndarray of shape (m, d)
    columns, known, lengths, directions, counts
        As of :class:`Inputs`.
    out : ndarray of shape (n_groups, n_inputs, GROUP)
        Inputs are written to it.
    outside : ndarray of shape (n_groups, GROUP)
        How many values are out of the range of their columns is written to it.
    """
    d, (n_shown, n_normal, n_near) = rows.shape[1], counts
    scaled, products = np.zeros((GROUP, d)), np.empty((len(known), GROUP))
    least = np.empty((_MOST, GROUP))
    for group in range(len(out)):
        found = out[group]
        shown, own = found[:n_shown], found[n_shown]
        near, far = found[n_shown + 1 : n_shown + 1 + n_near], found[n_shown + 1 + n_near :]
        _bend(rows[group * GROUP : (group + 1) * GROUP], columns, scaled, outside[group])
        if len(directions):
            _multiply(known, scaled.T, products)
            _multiply(directions, products, shown)
        else:
            shown[:] = scaled.T
            _multiply(known, shown, products)
        for r in range(GROUP):
            total = 0.0
            for x in scaled[r]:
                total += x * x
            own[r] = total / d
        _nearest(products[:n_normal], lengths[:n_normal], own, least, near)
        _nearest(products[n_normal:], lengths[n_normal:], own, least, far)


@compiled(_CUBE, MATRIX, vector(types.float32), vector(NUMBER), OUT)
def propagate(inputs: Array, scale: Array, numbers: Singles, widths: Positions, out: Array) -> None:
    """Apply a perceptron with ReLU between layers.

    Parameters
    ----------
    inputs : ndarray of shape (n_groups, n_inputs, GROUP)
    scale, numbers, widths
        As of :class:`Network`.
    out : ndarray of shape (n_groups, GROUP)
        Outputs are written to it.
    """
    widest, n_layers = widths.max(), len(widths) - 1
    given = np.empty((widest, GROUP), dtype=np.float32)
    found = np.empty((widest, GROUP), dtype=np.float32)
    for group in range(len(inputs)):
        values = inputs[group]
        for j in range(len(values)):
            mean, factor = scale[0, j], scale[1, j]
            for r in range(GROUP):
                given[j, r] = (values[j, r] - mean) * factor
        place = 0
        for layer in range(n_layers):
            n_in, n_out = widths[layer], widths[layer + 1]
            weights = numbers[place : place + n_in * n_out].reshape((n_out, n_in))
            bias = numbers[place + n_in * n_out : place + (n_in + 1) * n_out]
            place += (n_in + 1) * n_out
            _multiply(weights, given[:n_in], found[:n_out])
            least = np.float32(0.0 if layer < n_layers - 1 else -np.inf)
            for t in range(n_out):
                for r in range(GROUP):
                    given[t, r] = max(found[t, r] + bias[t], least)
        for r in range(GROUP):
            out[group, r] = given[0, r]
