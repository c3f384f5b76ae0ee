"""Find rows that only one value tells from the others, where many rows share that value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..._explain.attribution import score_drops
from ..._typing import Array, Mask, Positions

_LEAST_ROWS, _LEAST_SHARE = 5, 0.05  # that have a value, of the normal rows
_MOST_VALUES = 2  # of a column of numbers: more are near or far
_LOOKS_NORMAL = 0.9  # quantile of the scores of rows kept

Scores = tuple[Callable[[Array], Array], Array]


def usual_but_for_one_value(
    X: Array,
    normal: Mask,
    kept: Mask,
    categorical: tuple[int, ...],
    scores_by_kept: Callable[[], Scores],
) -> Mask:
    """Mark normals that are not kept, but look like those kept with a usual value in one column.

    A value that many rows share is no reason to doubt them: all would be left out, and the value
    would count as one that was never seen. A row looks like those kept where its score is not above
    the nine-tenths quantile of theirs.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows, with NaN for missing entries.
    normal, kept : ndarray of shape (n,), dtype bool
        Rows that are not labelled as anomalies, and those of them that are kept.
    categorical : tuple of int
        Positions of columns of categories.
    scores_by_kept : callable
        Makes a function that scores other rows by those kept, and leave-one-out scores of these.
        Called only where rows have such values.

    Returns
    -------
    found : ndarray of shape (n,), dtype bool
    """
    usual = with_usual_values(X, normal, kept, categorical)
    differs = (usual != X) & ~np.isnan(X)
    rows = np.flatnonzero(normal & ~kept & differs.any(axis=1))
    found = np.zeros(len(X), dtype=bool)
    if len(rows):
        score, of_kept = scores_by_kept()
        scores = score(X[rows])
        drops = score_drops(score, X[rows], usual[rows], scores)
        found[rows] = scores - drops.max(axis=1) <= np.quantile(of_kept, _LOOKS_NORMAL)
    return found


def with_usual_values(X: Array, normal: Mask, kept: Mask, categorical: tuple[int, ...]) -> Array:
    """Put the usual value of a column in place of others that many rows share: (n, d) -> (n, d).

    At least five normal rows share such a value, and at least a twentieth of them. The usual value
    is the most frequent one of the rows kept. Only columns of categories, and columns of two
    numbers, are changed.
    """
    least, changed = max(_LEAST_ROWS, _LEAST_SHARE * normal.sum()), X.copy()
    for j in range(X.shape[1]):
        values, counts = _values_of(X[normal, j])
        known, times = _values_of(X[kept, j])
        if len(known) and (j in categorical or len(values) <= _MOST_VALUES):
            shared = np.isin(X[:, j], values[counts >= least])
            changed[shared, j] = known[times.argmax()]
    return changed


def _values_of(column: Array) -> tuple[Array, Positions]:
    return np.unique(column[~np.isnan(column)], return_counts=True)
