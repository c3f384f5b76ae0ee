"""Coordinates in which rows of a table are near each other or far apart."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from .._stats.moments import compressed
from .._stats.scaling import ScaledSupport
from .._typing import Array, Mask, Positions


def coordinates(X: Array, normal: Mask, categorical: tuple[int, ...] = ()) -> Array:
    """Put all columns of a table on one scale, so that rows can be compared: (m, d) -> (m, q).

    Numbers are in units of the spread of the normal rows, far values compressed; missing entries
    count as the mean. Two categories are one such unit apart.

    Parameters
    ----------
    X : ndarray of shape (m, d)
        Rows, with NaN for missing entries.
    normal : ndarray of shape (m,), dtype bool
        Rows by whose spread the columns are scaled, at least one.
    categorical : tuple of int, default=()
        Positions of columns of categories.

    Returns
    -------
    Z : ndarray of shape (m, q)
    """
    numeric = np.setdiff1d(np.arange(X.shape[1]), categorical)
    parts = []
    if len(numeric):
        scaled = ScaledSupport(X[:, numeric], (~normal).astype(np.int8), "task").support
        parts.append(np.nan_to_num(compressed(scaled)))
    for j in categorical:
        parts.append((X[:, j, None] == np.unique(X[:, j])) / np.sqrt(2.0))
    return np.concatenate(parts, axis=1)


def distance_to(Z: Array, others: Array) -> Array:
    """Compute the distance of rows to the nearest of others, infinite without any: (m,)."""
    return cdist(Z, others).min(axis=1) if len(others) else np.full(len(Z), np.inf)


def farthest_first(Z: Array, n: int, near: Array | None = None) -> Positions:
    """Choose rows one by one, each as far as possible from those before it [1]_: (m, q) -> (n,).

    Parameters
    ----------
    Z : ndarray of shape (m, q)
        Coordinates of rows; the first of equally far ones is taken.
    n : int
        Rows to choose, at most m.
    near : ndarray of shape (m,) or None, default=None
        Distance of each row to what is chosen already; with None the first row is chosen first.

    References
    ----------
    .. [1] T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical
       Computer Science 38, 1985.
    """
    near = np.full(len(Z), np.inf) if near is None else near.copy()
    chosen = np.empty(n, dtype=np.intp)
    for i in range(n):
        chosen[i] = near.argmax()
        near = np.minimum(near, distance_to(Z, Z[chosen[i], None]))
        near[chosen[: i + 1]] = -1.0  # never twice, also where all others are at distance 0
    return chosen
