"""Attribute anomaly scores to columns, for any score, by occlusion of one column at a time."""

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


def column_contributions(
    score: Callable[[Array], Array],
    X: Array,
    normals: Array,
    categorical: tuple[int, ...] = (),
) -> Array:
    """Attribute the anomaly scores of rows to their columns, by occlusion [1]_.

    The contribution of a column is the drop of the score when its value is replaced by that of the
    nearest normal row; nearest by all columns but this one, so that an anomalous value does not
    pick its own reference row. The rest of the score is divided evenly among the columns: the score
    of a row without anomalous values, and effects of columns together.

    Every row is scored once more for each of its columns, in stacks of at most 8 MiB.

    Parameters
    ----------
    score : callable
        ``(m, d) -> (m,)``, larger = more anomalous; a row's score must not depend on the others.
    X : ndarray of shape (m, d)
        Rows to explain.
    normals : ndarray of shape (n, d)
        At least one normal row to compare with.
    categorical : tuple of int, default=()
        Positions of columns whose values are equal or not, and neither near nor far.

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
    # a missing entry counts as the mean
    N, Z = (np.nan_to_num(compressed(V)) for V in (scale.support, scale.transform(X)))
    n_columns = X.shape[1]
    size = max(1, min(_stack_of(n_columns) // n_columns, _MOST_NUMBERS // len(N)))
    drops = np.zeros_like(X)
    for start in range(0, len(X), size):
        part = slice(start, start + size)
        references = np.take_along_axis(normals, nearest_by_others(Z[part], N, categorical), axis=0)
        drops[part] = score_drops(score, X[part], references, scores[part])
    # an equal share of the rest, so that contributions add up to the score
    return drops + ((scores - drops.sum(axis=1)) / n_columns)[:, None]


def nearest_by_others(Z: Array, N: Array, categorical: tuple[int, ...] = ()) -> Positions:
    """Find the nearest normal by all columns but one, for each column: (m, d), (n, d) -> (m, d).

    Distance is the sum of absolute differences, in which a few anomalous columns count little; of
    equally near normals the one that is nearest in that column too is taken. The row itself is left
    out.
    """
    numeric = np.setdiff1d(np.arange(Z.shape[1]), categorical)
    total = cdist(Z[:, numeric], N[:, numeric], "cityblock")
    for j in categorical:
        total += Z[:, j, None] != N[:, j]
    total[(total == 0.0) & (total.max(axis=1, keepdims=True) > 0.0)] = np.inf
    found = np.empty(Z.shape, dtype=np.intp)
    for j in range(Z.shape[1]):
        gap = np.abs(Z[:, j, None] - N[:, j])
        gap = (gap > 0).astype(np.float64) if j in categorical else gap
        # nearly all of the column is subtracted: what remains of it decides between equal distances
        found[:, j] = (total - (1.0 - _TIE) * gap).argmin(axis=1)
    return found


def score_drops(
    score: Callable[[Array], Array], X: Array, references: Array, scores: Array
) -> Array:
    """Compute the drop of the score when one entry is replaced: (m, d); 0 where it is equal."""
    drops, stack = np.zeros_like(X), _stack_of(X.shape[1])
    rows, columns = np.nonzero((references != X) & ~(np.isnan(references) & np.isnan(X)))
    for start in range(0, len(rows), stack):
        i, j = rows[start : start + stack], columns[start : start + stack]
        changed = X[i]
        changed[np.arange(len(i)), j] = references[i, j]
        drops[i, j] = scores[i] - score(changed)
    return drops


def _stack_of(n_columns: int) -> int:
    """Return how many changed rows are scored at once."""
    return int(np.clip(_MOST_NUMBERS // n_columns, _LEAST_STACK, _MOST_STACK))
