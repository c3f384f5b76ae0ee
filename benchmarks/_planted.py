"""Normal rows with a few columns put out of order, and whether an explanation names those."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

KINDS = {
    "one shifted": "one column moved by three of its standard deviations",
    "three shifted": "three columns moved by three of their standard deviations each",
    "one swapped": "one column with the value of another normal row",
}
SHIFT = 3.0


class Planted(NamedTuple):
    """Rows of one kind and where they were changed.

    Attributes
    ----------
    X : ndarray of shape (m, d)
    off : ndarray of shape (m, d), dtype bool
        Which entries are not those of the normal row; at least one in each row.
    """

    X: np.ndarray
    off: np.ndarray


def plant(rows: np.ndarray, normals: np.ndarray, kind: str, rng: np.random.Generator) -> Planted:
    """Put normal rows out of order in columns drawn at random of those that vary.

    Parameters
    ----------
    rows : ndarray of shape (m, d)
    normals : ndarray of shape (n, d)
        All normals of the table: their standard deviation is the unit of a shift.
    kind : {"one shifted", "three shifted", "one swapped"}
    rng : numpy.random.Generator
    """
    spread = normals.std(axis=0)
    varies = np.flatnonzero(spread > 0)
    n_off = min(3, len(varies)) if kind == "three shifted" else 1
    X = rows.copy()
    for i in range(len(X)):
        columns = rng.choice(varies, n_off, replace=False)
        if kind == "one swapped":
            X[i, columns] = normals[rng.integers(len(normals)), columns]
        else:
            X[i, columns] += rng.choice([-SHIFT, SHIFT], n_off) * spread[columns]
    off = rows != X
    changed = off.any(axis=1)
    return Planted(X[changed], off[changed])


def named_first(parts: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Whether the largest term of each row is one that is off; of equal ones their share.

    Examples
    --------
    >>> off = np.array([[True, False], [True, False], [True, False]])
    >>> named_first(np.array([[2.0, 1.0], [1.0, 2.0], [1.0, 1.0]]), off)
    array([1. , 0. , 0.5])
    """
    top = parts == parts.max(axis=1, keepdims=True)
    return (top & off).sum(axis=1) / top.sum(axis=1)


def robust_z(X: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """How far each column is from the normals' median, in units of their interquartile range.

    A range of 0 counts as a thousandth of the mean standard deviation.
    """
    low, centre, high = np.percentile(normals, [25, 50, 75], axis=0)
    least = max(1e-3 * normals.std(axis=0).mean(), 1e-12)
    return np.abs(X - centre) / np.maximum((high - low) / 1.349, least)
