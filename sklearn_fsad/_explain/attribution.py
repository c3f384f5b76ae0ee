"""Which columns make a row strange, for any score: occlusion, one column at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from .._stats.moments import compressed
from .._stats.scaling import ScaledSupport
from .._typing import Array

Positions = NDArray[np.intp]
_MOST_NUMBERS = 2**20  # in one stack of changed rows, or one matrix of distances: 8 MiB
_LEAST_STACK, _MOST_STACK = 256, 4096
_TIE = 1e-6


def column_contributions(score: Callable[[Array], Array], X: Array, normals: Array) -> Array:
    """Deal the scores of rows out to their columns, by occlusion [1]_.

    A column counts by how much less strange the row is with the value that it has in the nearest
    normal row; nearest by all columns but this one, so that a value that is off does not choose
    what it is compared with. What is left of the score is dealt out evenly: how strange a row is in
    which nothing is off, and what columns only do together.

    Every row is scored once more for each of its columns, in stacks of at most 8 MiB.

    Parameters
    ----------
    score : callable
        ``(m, d) -> (m,)``, larger = more anomalous; a row's score must not depend on the others.
    X : ndarray of shape (m, d)
        Rows to explain.
    normals : ndarray of shape (n, d)
        At least one normal row to compare with.

    Returns
    -------
    contributions : ndarray of shape (m, d)
        They add up to ``score(X)``.

    References
    ----------
    .. [1] M. D. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks",
       ECCV 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad._explain.attribution import column_contributions
    >>> normals = np.repeat([[0.0], [1.0], [2.0]], 4, axis=1)
    >>> row = np.array([[1.0, 1.0, 9.0, 1.0]])
    >>> column_contributions(lambda X: np.abs(X - 1).sum(axis=1), row, normals)
    array([[0., 0., 8., 0.]])
    """
    scores = score(X)
    scale = ScaledSupport(normals, np.zeros(len(normals), dtype=np.int8), "task")
    N, Z = compressed(scale.support), compressed(scale.transform(X))
    n_columns = X.shape[1]
    stack = int(np.clip(_MOST_NUMBERS // n_columns, _LEAST_STACK, _MOST_STACK))
    size = max(1, min(stack // n_columns, _MOST_NUMBERS // len(N)))
    gains = np.zeros_like(X)
    for start in range(0, len(X), size):
        part = slice(start, start + size)
        mended = np.take_along_axis(normals, nearest_by_others(Z[part], N), axis=0)
        gains[part] = _gains(score, X[part], mended, scores[part], stack)
    return gains + ((scores - gains.sum(axis=1)) / n_columns)[:, None]


def nearest_by_others(Z: Array, N: Array) -> Positions:
    """Which normal is nearest to a row by all columns but one: (m, d), (n, d) -> (m, d).

    By the sum of absolute differences, in which a few columns that are off count little; of normals
    that are equally near, the one that is nearest in that column too. Not the row itself.
    """
    total = cdist(Z, N, "cityblock")
    total[(total == 0.0) & (total.max(axis=1, keepdims=True) > 0.0)] = np.inf
    found = np.empty(Z.shape, dtype=np.intp)
    for j in range(Z.shape[1]):
        gap = np.abs(Z[:, j, None] - N[:, j])
        found[:, j] = (total - (1.0 - _TIE) * gap).argmin(axis=1)
    return found


def _gains(
    score: Callable[[Array], Array], X: Array, mended: Array, scores: Array, stack: int
) -> Array:
    """How much less strange rows are with one entry mended: (m, d); 0 where nothing changes."""
    gains = np.zeros_like(X)
    rows, columns = np.nonzero(mended != X)
    for start in range(0, len(rows), stack):
        i, j = rows[start : start + stack], columns[start : start + stack]
        changed = X[i]
        changed[np.arange(len(i)), j] = mended[i, j]
        gains[i, j] = scores[i] - score(changed)
    return gains
