"""Choose the rows of a support that others are compared with, where there are too many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..._input.labels import ANOMALOUS
from ..._typing import Array, Codes, Mask, Positions
from ..._warn import warn

MOST_ANOMALIES = 5000
_Keys = NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def context_of(
    X: Array, codes: Codes, most_normals: int, most_others: int
) -> tuple[Mask, Positions]:
    """Select the context, up to so many normals and 5000 labelled anomalies, and other normals.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    codes : ndarray of shape (n,), dtype int8
        1 marks the anomalies.
    most_normals : int
        Normals in the context; of more, a random part is taken.
    most_others : int
        Normals to choose from those that are not in the context.

    Returns
    -------
    context : ndarray of shape (n,), dtype bool
    others : ndarray of shape (n_others,)
        Positions of other normals.
    """
    normals = _shuffled(X, np.flatnonzero(codes != ANOMALOUS), most_normals)
    anomalies = _shuffled(X, np.flatnonzero(codes == ANOMALOUS), MOST_ANOMALIES)
    context = np.zeros(len(X), dtype=bool)
    context[normals[:most_normals]] = context[anomalies[:MOST_ANOMALIES]] = True
    return context, normals[most_normals:][:most_others]


def _shuffled(X: Array, positions: Positions, most: int) -> Positions:
    """Shuffle the positions of rows where there are more than ``most``."""
    return positions if len(positions) <= most else positions[random_order(X[positions])]


def warn_of_rest(codes: Codes, chosen: Mask, most_normals: int) -> None:
    """Warn of the rows that are left out of the context, if there are any."""
    parts = []
    for kind, rows in (("normal rows", codes != ANOMALOUS), ("anomalies", codes == ANOMALOUS)):
        n, kept = int(rows.sum()), int((rows & chosen).sum())
        if kept < n:
            parts.append(f"{n - kept} of {n} {kind}")
    if parts:
        warn(
            f"{' and '.join(parts)} are left out of the context that rows are compared with, a "
            f"random part of what fit was given: max_context={most_normals} normal rows and "
            f"{MOST_ANOMALIES} labelled anomalies are the most. Raise max_context to use more "
            "rows, which takes longer, or give fit fewer rows.",
        )


def random_order(X: Array) -> Positions:
    """Shuffle rows, the same for any order of rows and columns and any units: (n, d) -> (n,).

    Rows are sorted by a hash of the ranks of their values. Rows that repeat each other have hashes
    of their own, by their number among these.
    """
    keys = _keys_of(X)
    order = np.lexsort([*X.T[::-1], keys]) if _repeat(keys) else np.argsort(keys)
    ordered = keys[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    position = np.arange(len(X), dtype=np.uint64)
    number = position - np.maximum.accumulate(np.where(first, position, np.uint64(0)))
    return order[np.argsort(_mixed(ordered + number * _GOLDEN), kind="stable")]


def _repeat(keys: _Keys) -> bool:
    return len(np.unique(keys)) < len(keys)


def _keys_of(X: Array) -> _Keys:
    """Hash rows by ranks in their columns, and columns by how often their values occur: (m,)."""
    keys = np.zeros(len(X), dtype=np.uint64)
    for column in X.T:
        _, rank, count = np.unique(column, return_inverse=True, return_counts=True)
        shape = _mixed(np.arange(len(count), dtype=np.uint64) + _mixed(count.astype(np.uint64)))
        keys += _mixed(rank.astype(np.uint64) + shape.sum(dtype=np.uint64))
    return keys


def _mixed(keys: _Keys) -> _Keys:
    """Mix the bits of keys, as splitmix64 does."""
    keys = keys + _GOLDEN
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
