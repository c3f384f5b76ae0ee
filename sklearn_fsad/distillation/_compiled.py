"""Compiled loops of a student: what they compute of a row depends on no other row, to the bit.

Matrices are held in panels of ``WIDTH`` columns, (n_panels, n_in, WIDTH), filled up by zeros: the
product of a few rows and a panel is summed in registers.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from .._stats.compilation import FLOAT, MATRIX, NUMBER, OUT, compiled, inner, vector
from .._typing import Array, Positions
from ._registers import (
    FMA,
    HALF,
    LANES,
    MOST,
    ROWS,
    WIDTH,
    add_one,
    add_one_half,
    add_several,
    add_several_halves,
    rectify_one,
    rectify_several,
    smallest,
)

_LN2 = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # in two parts
_LOG = (  # coefficients of fdlibm for the logarithm
    6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
    2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
    1.479819860511658591e-01,
)  # fmt: skip

Singles = NDArray[np.float32]
BEND = 8.0  # spreads at which scaled values are halved
FARTHEST = 1e150  # spreads, so that all that is computed is finite
CLOSEST = 1e-3  # squared distance a column, added so that the logarithm is finite
_PANELS = types.Array(types.float64, 3, "C", readonly=True)
_VECTOR, _OUT = vector(FLOAT), vector(FLOAT, out=True)
_GROUP, _DEPTH = 64, 128  # rows and columns whose products are added out of a cache
_NARROW = 32  # columns, below which several rows are scaled in one loop


# --- sums over columns ----------------------------------------------------------------------------
def _summing(function: Any) -> Any:
    """Compile a sum over columns in vectors: its order depends on their number alone."""
    return numba.njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})(function)


@_summing
def _mean_square(z: Array) -> float:
    total = 0.0
    for j in range(len(z)):
        total += z[j] * z[j]
    return total / len(z)


@_summing
def _is_outside(row: Array, low: Array, high: Array) -> bool:
    total = 0.0
    for j in range(len(row)):
        total += 1.0 if (row[j] < low[j]) | (row[j] > high[j]) else 0.0
    return total > 0.0


@_summing
def _dot(a: Singles, b: Singles) -> np.float32:
    total = np.float32(0.0)
    for j in range(len(b)):
        total += a[j] * b[j]
    return total


@inner
def _multiply(
    rows: Array, n: int, panels: Array, depth: int, n_out: int, zeros: Array, out: Array
) -> None:
    """Multiply the first columns of n rows with panels: (n, >= depth) -> (n, n_out)."""
    whole = n - n % ROWS
    for start in range(0, depth, _DEPTH):
        stop = min(start + _DEPTH, depth)
        for panel in range(len(panels)):
            if n_out - panel * WIDTH > HALF:
                for r in range(0, whole, ROWS):
                    add_several(rows, r, panels, panel, start, stop, zeros, out)
                for r in range(whole, n):
                    add_one(rows, r, panels, panel, start, stop, zeros, out)
            else:
                for r in range(0, whole, ROWS):
                    add_several_halves(rows, r, panels, panel, start, stop, zeros, out)
                for r in range(whole, n):
                    add_one_half(rows, r, panels, panel, start, stop, zeros, out)


# --- inputs ---------------------------------------------------------------------------------------
@inner
def _repeated(columns: Array, times: int) -> Array:
    """Repeat centres and factors: (>= 2, d) -> (2, times * d)."""
    d = columns.shape[1]
    found = np.empty((2, times * d))
    for place in range(times * d):
        found[0, place], found[1, place] = columns[0, place % d], columns[1, place % d]
    return found


@inner
def _bend(rows: Array, scale: Array, out: Array) -> None:
    """Scale and bend rows, as many at once as their scale is repeated: (n, d) -> (n, d)."""
    given, found = rows.reshape(rows.size), out.reshape(out.size)
    centre, factor, step = scale[0], scale[1], scale.shape[1]
    for start in range(0, len(given), step):
        part, bent = given[start : start + step], found[start : start + step]
        for j in range(len(part)):
            x = min(max((part[j] - centre[j]) * factor[j], -FARTHEST), FARTHEST)
            bent[j] = x / (1.0 + abs(x) * (1.0 / BEND))


@inner
def _take_logarithms(values: Array) -> None:
    """Replace normal numbers by their logarithms, in vectors: as log of fdlibm does."""
    bits = values.view(np.int64)
    for place in range(len(values)):
        shifted = bits[place] + (0x3FF00000 - 0x3FE6A09E << 32)
        exponent = float((shifted >> 52) - 0x3FF)
        bits[place] = (shifted & 0xFFFFFFFFFFFFF) + (0x3FE6A09E << 32)
        f = values[place] - 1.0  # of a number from sqrt(1/2) to sqrt(2)
        s = f / (2.0 + f)
        z = s * s
        w = z * z
        odd = z * (_LOG[0] + w * (_LOG[2] + w * (_LOG[4] + w * _LOG[6])))
        even = w * (_LOG[1] + w * (_LOG[3] + w * _LOG[5]))
        half = 0.5 * f * f
        rest = s * (half + odd + even) + exponent * _LN2[1]
        values[place] = exponent * _LN2[0] - ((half - rest) - f)


@inner
def _write_logarithms(
    scaled: Array, products: Array, n: int, lengths: Array, counts: Positions, out: Array
) -> None:
    """Write the logarithms of mean squares: of n rows and of their differences to known rows."""
    n_shown, n_normal, n_near, n_far = counts
    near, far = np.empty((MOST, LANES)), np.empty((MOST, LANES))
    n_values = 1 + n_near + n_far
    values = np.empty((LANES, n_values))
    for start in range(0, n, LANES):
        size = min(LANES, n - start)
        smallest(products, start, lengths, 0, n_normal, near)
        if n_far:
            smallest(products, start, lengths, n_normal, len(lengths), far)
        for r in range(LANES):
            length, line = _mean_square(scaled[start + min(r, size - 1)]), values[r]
            line[0] = length + CLOSEST
            for s in range(n_near):
                line[1 + s] = max(near[s, r] + length, 0.0) + CLOSEST
            for s in range(n_far):
                line[1 + n_near + s] = max(far[s, r] + length, 0.0) + CLOSEST
        _take_logarithms(values.reshape(values.size))
        for r in range(size):
            line = out[start + r]
            for s in range(n_values):
                line[n_shown + s] = values[r, s]


@inner
def _scratch(d: int, known: Array, directions: Array) -> tuple[Array, Array, Array, Array]:
    """Make arrays for a group of rows: scaled, products with known rows, projected; and zeros."""
    n_known, q = len(known) * WIDTH, len(directions) * WIDTH
    zeros = np.zeros(max(n_known, q))
    return np.empty((_GROUP, d)), np.empty((_GROUP, n_known)), np.empty((_GROUP, q)), zeros


@inner
def _write_inputs(
    rows: Array,
    scale: Array,
    known: Array,
    lengths: Array,
    directions: Array,
    counts: Positions,
    scratch: tuple[Array, Array, Array, Array],
    out: Array,
) -> None:
    """Write the inputs of a group of rows: (n, d) -> (n, n_inputs)."""
    n, (scaled, products, projected, zeros) = len(rows), scratch
    _bend(rows, scale, scaled)
    _multiply(scaled, n, known, rows.shape[1], len(lengths), zeros, products)
    shown = scaled
    if len(directions):
        _multiply(products, n, directions, len(lengths), counts[0], zeros, projected)
        shown = projected
    for r in range(n):
        line, values = out[r], shown[r]
        for j in range(counts[0]):
            line[j] = values[j]
    _write_logarithms(scaled, products, n, lengths, counts, out)


# --- scores ---------------------------------------------------------------------------------------
@inner
def _propagate(
    given: Singles, found: Singles, n: int, numbers: Singles, widths: Positions, out: Array
) -> None:
    """Apply a perceptron with ReLU between layers to n rows: -> (n,).

    ``numbers`` has panels of weights and then biases of each layer; weights and bias of the last.
    """
    place, n_in = 0, widths[0]
    for n_out in widths[1:-1]:
        n_panels = (n_out + WIDTH - 1) // WIDTH
        after = place + n_panels * n_in * WIDTH
        panels = numbers[place:after].reshape((n_panels, n_in, WIDTH))
        bias = numbers[after : after + n_panels * WIDTH]
        whole = n - n % ROWS
        for panel in range(n_panels):
            for r in range(0, whole, ROWS):
                rectify_several(given, r, panels, panel, 0, n_in, bias, found)
            for r in range(whole, n):
                rectify_one(given, r, panels, panel, 0, n_in, bias, found)
        given, found = found, given
        place, n_in = after + n_panels * WIDTH, n_out
    weights, bias_of_last = numbers[place : place + n_in], numbers[place + n_in]
    for r in range(n):
        out[r] = _dot(given[r], weights) + bias_of_last


@inner
def _interpolated(x: float, knots: Array, heights: Array) -> float:
    """Interpolate between knots; beyond them the height is that of the last one."""
    if x <= knots[0]:
        return heights[0]
    if x >= knots[-1]:
        return heights[-1]
    place, n = 0, len(knots)
    while n > 1:  # without branches
        half = n // 2
        place += half * (knots[place + half] <= x)
        n -= half
    share = (x - knots[place]) / (knots[place + 1] - knots[place])
    return heights[place] + share * (heights[place + 1] - heights[place])


@compiled(
    MATRIX, MATRIX, _PANELS, _VECTOR, _PANELS, vector(NUMBER), MATRIX, vector(types.float32),
    vector(NUMBER), MATRIX, FLOAT, OUT, _OUT, fastmath=FMA,
)  # fmt: skip
def score_rows(
    rows: Array,
    columns: Array,
    known: Array,
    lengths: Array,
    directions: Array,
    counts: Positions,
    scale: Array,
    numbers: Singles,
    widths: Positions,
    knots: Array,
    highest: float,
    only_inputs: Array,
    out: Array,
) -> None:
    """Score rows by a student, (m, d) -> (m,), or compute the inputs of its network alone.

    One function does both because it takes seconds to compile.

    Parameters
    ----------
    rows : ndarray of shape (m, d)
    columns, known, lengths, directions, counts
        As of :class:`Inputs`.
    scale, numbers, widths
        As of :class:`Network`.
    knots, highest
        As of :class:`Student`.
    only_inputs : ndarray of shape (m, n_inputs) or (0, n_inputs)
        Unless it is empty, the inputs are written to it, and no scores are computed.
    out : ndarray of shape (m,)
        Scores are written to it.
    """
    m, d = rows.shape
    scratch = _scratch(d, known, directions)
    repeated = _repeated(columns, LANES if d < _NARROW and m > 1 else 1)
    low, high, mean, factor = columns[2], columns[3], scale[0], scale[1]
    widest = widths.max() + WIDTH  # the last panel may be wider
    inputs, outputs = np.empty((_GROUP, only_inputs.shape[1])), np.empty(_GROUP)
    given = np.empty((_GROUP, widest), dtype=np.float32)
    found = np.empty((_GROUP, widest), dtype=np.float32)
    for start in range(0, m, _GROUP):
        part = rows[start : start + _GROUP]
        written = only_inputs[start : start + _GROUP] if len(only_inputs) else inputs
        _write_inputs(part, repeated, known, lengths, directions, counts, scratch, written)
        if len(only_inputs):
            continue
        for r in range(len(part)):
            line, values = given[r], inputs[r]
            for j in range(len(mean)):
                line[j] = (values[j] - mean[j]) * factor[j]
        _propagate(given, found, len(part), numbers, widths, outputs)
        for r in range(len(part)):
            score = _interpolated(outputs[r], knots[0], knots[1])
            is_far = _is_outside(part[r], low, high)
            out[start + r] = max(score, highest) if is_far else score
