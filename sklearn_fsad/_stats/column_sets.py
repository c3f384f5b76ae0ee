"""Find the distances to the nearest points in sets of columns, by compiled loops.

What they compute of a row depends on no other row, to the bit: sums run over columns in their
order, and the least of some numbers is the same in any order.
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
    compiled,
    inner,
    plain,
    plain_positions,
    vector,
)

_MANY = 16  # rows from which on loops in vectors over rows are faster than over points
_BLOCK = 256  # of rows


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
    if len(rows) >= _MANY and sets.columns.shape[1] <= 2:
        across = np.empty((len(sets.columns), len(rows)))
        _nearest_in_pairs(plain(rows.T), *of_sets, plain(columns), first, across)
        return across.T
    distance = np.empty((len(rows), len(sets.columns)))
    _nearest_in_sets(plain(rows), *of_sets, plain(columns), first, distance)
    return distance


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


@inner
def _square(
    rows: Array, i: int, columns: Array, t: int, sets: Positions, s: int, size: int
) -> float:
    """Compute the squared distance of a row to a point in a set of one or two columns."""
    gap = rows[sets[s, 0], i] - columns[sets[s, 0], t]
    if size == 1:
        return float(gap * gap)
    other = rows[sets[s, 1], i] - columns[sets[s, 1], t]
    return float(gap * gap + other * other)


@compiled(MATRIX, POSITIONS, vector(NUMBER), MATRIX, NUMBER, OUT)
def _nearest_in_pairs(
    rows: Array, sets: Positions, sizes: Positions, columns: Array, first: int, distance: Array
) -> None:
    """Do the same for sets of one or two columns, in vectors over rows, four points at once."""
    m, n = rows.shape[1], columns.shape[1]
    kept, zeros = np.empty(_BLOCK), np.zeros(_BLOCK)  # which a second column adds nothing by
    for s in range(len(sets)):
        size = sizes[s]
        a, b = sets[s, 0], sets[s, size - 1]
        for begin in range(0, m, _BLOCK):
            stop = min(begin + _BLOCK, m)
            x, least = rows[a, begin:stop], distance[s, begin:stop]
            y = rows[b, begin:stop] if size == 2 else zeros[: stop - begin]
            for i in range(len(least)):
                least[i] = np.inf
            for t in range(0, n, 4):
                t1, t2, t3 = min(t + 1, n - 1), min(t + 2, n - 1), min(t + 3, n - 1)
                # rows that are among these points are compared with the others of them later
                own, own_stop = max(first + t - begin, 0), min(first + t + 4, stop) - begin
                if first < 0:
                    own_stop = own
                for i in range(own, own_stop):
                    kept[i] = least[i]
                c0, c1, c2, c3 = columns[a, t], columns[a, t1], columns[a, t2], columns[a, t3]
                e0 = e1 = e2 = e3 = 0.0
                if size == 2:
                    e0, e1, e2, e3 = columns[b, t], columns[b, t1], columns[b, t2], columns[b, t3]
                for i in range(len(least)):
                    g0, g1, g2, g3 = x[i] - c0, x[i] - c1, x[i] - c2, x[i] - c3
                    h0, h1, h2, h3 = y[i] - e0, y[i] - e1, y[i] - e2, y[i] - e3
                    d0, d1 = g0 * g0 + h0 * h0, g1 * g1 + h1 * h1
                    d2, d3 = g2 * g2 + h2 * h2, g3 * g3 + h3 * h3
                    d0 = d0 if d0 < d1 else d1
                    d2 = d2 if d2 < d3 else d3
                    d0 = d0 if d0 < d2 else d2
                    least[i] = d0 if d0 < least[i] else least[i]
                for i in range(own, own_stop):
                    least[i] = kept[i]
                    for u in range(t, min(t + 4, n)):
                        if first + u != begin + i:
                            square = _square(rows, begin + i, columns, u, sets, s, size)
                            least[i] = min(least[i], square)
            for i in range(len(least)):
                least[i] = math.sqrt(least[i])
