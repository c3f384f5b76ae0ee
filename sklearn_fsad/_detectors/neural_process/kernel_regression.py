"""Compiled kernel regression: the closed form that scoring spends most of its time on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..._stats.compilation import CUBE_OUT, FLOAT, MATRIX, NUMBER, OUT, compiled, plain, vector
from ..._typing import Array

_MOST_NUMBERS = 2**18  # weights that are held at a time: two MiB
FAR = 1e9  # squared distance of a row that is left out
_FAST = ("reassoc", "nnan", "nsz")  # sums and minima in vectors: each row alike
SAME = 1e-12  # squared distance of rows that are equal, relative to their squared length


class Smoothed(NamedTuple):
    """Hold what a kernel regression says of hidden features.

    Attributes
    ----------
    mean, variance : ndarray of shape (m, q, d)
        Weighted moments of the context, for hidden features; elsewhere 0.
    nearest : ndarray of shape (m, q)
        Squared distance to the nearest row of the context, in the features that are not hidden.
    """

    mean: Array
    variance: Array
    nearest: Array


def smooth(rows: Array, columns: Array, hidden: Array, width: Array) -> Smoothed:
    """Predict the hidden features of whole rows from a context of whole rows.

    A row that equals a row of the context is predicted from the others.

    Parameters
    ----------
    rows : ndarray of shape (q, d)
        Rows without missing entries.
    columns : ndarray of shape (d, n)
        Rows of the context, transposed.
    hidden : ndarray of shape (m, d)
        1 for features to predict, else 0, for each of m masks.
    width : ndarray of shape (m,)
        Squared width of the kernel, for each mask.

    Returns
    -------
    smoothed : Smoothed
        Moments and distances.
    """
    rows, columns, hidden, width = plain(rows), plain(columns), plain(hidden), plain(width)
    m, n, (q, d) = len(hidden), columns.shape[1], rows.shape
    mean, variance, nearest = np.zeros((m, q, d)), np.zeros((m, q, d)), np.empty((m, q))
    size = max(1, _MOST_NUMBERS // (m * n))
    weight = np.empty((m, min(size, q), n))
    for start in range(0, q, size):
        part = rows[start : start + size]
        _exponents(part, columns, hidden, width, weight, nearest, start)
        np.exp(weight, out=weight)
        _moments(weight, columns, hidden, mean, variance, start, len(part))
    return Smoothed(mean, variance, nearest)


@compiled(MATRIX, MATRIX, MATRIX, vector(FLOAT), CUBE_OUT, OUT, NUMBER, fastmath=_FAST)
def _exponents(
    rows: Array,
    columns: Array,
    hidden: Array,
    width: Array,
    out: Array,
    nearest: Array,
    start: int,
) -> None:
    """Write the exponents of the weights, 0 for the nearest row, and its squared distances."""
    n_masks, d = hidden.shape
    n = columns.shape[1]
    square, total = np.empty((d, n)), np.empty(n)
    for i in range(len(rows)):
        total[:] = 0.0
        length = 0.0
        for j in range(d):
            x, column, line = rows[i, j], columns[j], square[j]
            length += x * x
            for t in range(n):
                gap = x - column[t]
                line[t] = gap * gap
                total[t] += line[t]
        twin = -1
        for t in range(n):
            if total[t] <= SAME * (1.0 + length):
                twin = t
                break
        for s in range(n_masks):
            n_hidden = 0.0
            for j in range(d):
                n_hidden += hidden[s, j]
            distance = out[s, i]
            few = 2.0 * n_hidden <= d  # the shorter sum: of what is hidden, or of what is not
            distance[:] = 0.0
            for j in range(d):
                if (hidden[s, j] == 1.0) == few:
                    line = square[j]
                    for t in range(n):
                        distance[t] += line[t]
            if few:
                for t in range(n):
                    distance[t] = max(total[t] - distance[t], 0.0)
            if twin >= 0:
                distance[twin] = FAR
            least = np.inf
            for t in range(n):
                least = distance[t] if distance[t] < least else least
            nearest[s, start + i] = least
            scale = -0.5 / width[s]
            for t in range(n):
                distance[t] = (distance[t] - least) * scale


@compiled(CUBE_OUT, MATRIX, MATRIX, CUBE_OUT, CUBE_OUT, NUMBER, NUMBER, fastmath=_FAST)
def _moments(
    weight: Array,
    columns: Array,
    hidden: Array,
    mean: Array,
    variance: Array,
    start: int,
    n_rows: int,
) -> None:
    """Write the weighted mean and variance of hidden features."""
    n_masks, d = hidden.shape
    n = columns.shape[1]
    for s in range(n_masks):
        for i in range(n_rows):
            line = weight[s, i]
            whole = 0.0
            for t in range(n):
                whole += line[t]
            for j in range(d):
                if hidden[s, j] == 1.0:
                    column = columns[j]
                    first, second = 0.0, 0.0
                    for t in range(n):
                        part = line[t] * column[t]
                        first += part
                        second += part * column[t]
                    first /= whole
                    mean[s, start + i, j] = first
                    variance[s, start + i, j] = max(second / whole - first * first, 0.0)
