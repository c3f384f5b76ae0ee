"""Find the nearest points of rows: a compiled loop in which no row depends on another, to the bit.

A distance is a sum over columns in their order, computed in vectors over points. Positions are
unsigned, since numba looks for negative ones otherwise, and arrays are not sliced within, since it
counts references to each part.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._typing import Array, Positions
from .compilation import MATRIX, NUMBER, OUT, POSITIONS_OUT, YES_OR_NO, compiled, inner, plain

Unsigned = Any  # which mypy takes for signed after ``range``
_U = np.uint64
_0, _1, _2, _3, _4 = _U(0), _U(1), _U(2), _U(3), _U(4)
_ROWS = _U(4)  # that pass over the points together: an even number
_POINTS = _U(1024)  # that they pass over together
_LANES = _U(64)  # in which the least of a row's distances are looked for
_LOOKED_THROUGH = _U(32)  # distances that are looked through together
_FEW = _U(16)  # numbers for each one looked for, up to which all are looked through


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
def _add_columns(
    x: Array, row: Unsigned, columns: Array, first: Unsigned, cityblock: bool,
    total: Array, i: Unsigned, size: Unsigned,
) -> None:  # fmt: skip
    """Compute the distances of two rows, ``row`` and the next one, to points from ``first`` on.

    Two rows and four columns at once, so that the sums are read and written less often.
    """
    other, i_other = min(row + _1, _U(len(x)) - _1), i + _1
    for t in range(size):
        total[i, t] = 0.0
    for t in range(size):
        total[i_other, t] = 0.0
    q, j = _U(x.shape[1]), _0
    while j + _4 <= q:
        j1, j2, j3 = j + _1, j + _2, j + _3
        x0, x1, x2, x3 = x[row, j], x[row, j1], x[row, j2], x[row, j3]
        y0, y1, y2, y3 = x[other, j], x[other, j1], x[other, j2], x[other, j3]
        if cityblock:
            for t in range(size):
                s = first + t
                c0, c1, c2, c3 = columns[j, s], columns[j1, s], columns[j2, s], columns[j3, s]
                total[i, t] = (
                    total[i, t] + abs(x0 - c0) + abs(x1 - c1) + abs(x2 - c2) + abs(x3 - c3)
                )
                total[i_other, t] = (
                    total[i_other, t] + abs(y0 - c0) + abs(y1 - c1) + abs(y2 - c2) + abs(y3 - c3)
                )
        else:
            for t in range(size):
                s = first + t
                c0, c1, c2, c3 = columns[j, s], columns[j1, s], columns[j2, s], columns[j3, s]
                g0, g1, g2, g3 = x0 - c0, x1 - c1, x2 - c2, x3 - c3
                total[i, t] = total[i, t] + g0 * g0 + g1 * g1 + g2 * g2 + g3 * g3
                g0, g1, g2, g3 = y0 - c0, y1 - c1, y2 - c2, y3 - c3
                total[i_other, t] = total[i_other, t] + g0 * g0 + g1 * g1 + g2 * g2 + g3 * g3
        j += _4
    while j < q:
        x0, y0 = x[row, j], x[other, j]
        for t in range(size):
            c0 = columns[j, first + t]
            g0, g1 = x0 - c0, y0 - c0
            total[i, t] += abs(g0) if cityblock else g0 * g0
            total[i_other, t] += abs(g1) if cityblock else g1 * g1
        j += _1


@inner
def _insert(
    value: float, place: np.intp | int, distance: Array, position: Positions, row: Unsigned
) -> None:
    """Insert a distance and its position in those of a row, which are sorted."""
    k = distance.shape[1] - 1
    while k > 0 and distance[row, k - 1] > value:
        distance[row, k] = distance[row, k - 1]
        position[row, k] = position[row, k - 1]
        k -= 1
    distance[row, k], position[row, k] = value, place


@inner
def _bound(
    total: Array, i: Unsigned, size: Unsigned, lanes: Array, least: Array, unused: Positions
) -> float:
    """Bound the k-th least of some numbers from above: by that of the least ones of k lanes."""
    k, width = least.shape[1], min(_LANES, size)
    for t in range(width):
        lanes[t] = total[i, t]
    for start in range(width, size, width):
        for t in range(min(width, size - start)):
            value, best = total[i, start + t], lanes[t]
            lanes[t] = value if value < best else best
    while width >= _U(6 * k):
        width //= _2
        for t in range(width):
            value, best = lanes[width + t], lanes[t]
            lanes[t] = value if value < best else best
    for p in range(k):
        least[0, p] = np.inf
    for t in range(width):
        if lanes[t] < least[0, k - 1]:
            _insert(lanes[t], 0, least, unused, _0)
    return float(least[0, k - 1])


@compiled(MATRIX, MATRIX, YES_OR_NO, NUMBER, OUT, POSITIONS_OUT)
def _nearest_columns(
    rows: Array, columns: Array, cityblock: bool, own: int, distance: Array, position: Positions
) -> None:
    m, n, k = _U(len(rows)), _U(columns.shape[1]), distance.shape[1]
    total, lanes = np.empty((_ROWS, min(n, _POINTS))), np.empty(_LANES)
    least, unused = np.empty((1, k)), np.empty((1, k), dtype=np.intp)
    for begin in range(_0, m, _ROWS):
        n_rows = min(_ROWS, m - begin)
        for first in range(_0, n, _POINTS):
            size = min(_POINTS, n - first)
            for i in range(_0, n_rows, _2):
                _add_columns(rows, begin + i, columns, first, cityblock, total, i, size)
            for i in range(n_rows):
                row = begin + i
                same = own + np.intp(row) - np.intp(first)
                if own >= 0 and 0 <= same < np.intp(size):
                    total[i, same] = np.inf
                bound = distance[row, k - 1]
                if size > _FEW * _U(k):
                    bound = min(bound, _bound(total, i, size, lanes, least, unused))
                for start in range(_0, size, _LOOKED_THROUGH):
                    n_values, n_near = min(_LOOKED_THROUGH, size - start), 0
                    for t in range(n_values):
                        n_near += total[i, start + t] <= bound
                    if n_near == 0:
                        continue
                    for t in range(n_values):
                        value = total[i, start + t]
                        if value <= bound and value < distance[row, k - 1]:
                            place = np.intp(first + start + t)
                            _insert(value, place, distance, position, row)
