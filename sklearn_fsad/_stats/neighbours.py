"""Find nearest rows and the distances to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from .._typing import Array
from .moments import TINY

MOST_NEIGHBOURS = 20
_LEAST = 1e-4  # distance below which rows are alike
_MOST_NUMBERS = 2**20  # in one matrix of distances


class Neighbours(NamedTuple):
    """Hold the distances and positions of the nearest normals of rows, nearest first.

    Attributes
    ----------
    distance : ndarray of shape (m, k)
    position : ndarray of shape (m, k)
        Positions among the normals.
    """

    distance: Array
    position: NDArray[np.intp]

    def reach(self, k: int) -> Array:
        """Compute the log mean distance to the k nearest: (m,)."""
        return np.log(self.distance[:, :k].mean(axis=1) + _LEAST)


def nearest(rows: Array, others: Array, metric: str, themselves: bool = True) -> Neighbours:
    """Find the up to 20 nearest others of each row: (m, q), (n, q) -> (m, k).

    Without ``themselves`` row i is not compared with other i.
    """
    k = min(MOST_NEIGHBOURS, len(others))
    size = max(1, _MOST_NUMBERS // len(others))
    parts = []
    for start in range(0, len(rows), size):
        distance = cdist(rows[start : start + size], others, metric)
        if not themselves and len(others) > 1:
            within = np.arange(len(distance))
            distance[within, start + within] = np.inf
        index = np.argpartition(distance, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(distance, index, axis=1)
        order = np.argsort(near, axis=1)
        parts.append([np.take_along_axis(part, order, axis=1) for part in (near, index)])
    distance, index = (np.concatenate(part) for part in zip(*parts, strict=True))
    if not themselves and k == len(others) > 1:  # a row was its own last neighbour
        distance, index = distance[:, :-1], index[:, :-1]
    return Neighbours(distance, index)


Search = Callable[[Array], Array]
_FEW = 20  # points


@dataclass(frozen=True)
class NearestOnLine:
    """Compute the distance of rows of one column to the nearest of some points."""

    points: Array  # (n,) in order, between infinities

    def __call__(self, rows: Array) -> Array:
        """Return the distances: (m, 1) -> (m,)."""
        at = rows[:, 0]
        after = np.searchsorted(self.points, at).clip(1, len(self.points) - 1)
        return np.minimum(at - self.points[after - 1], self.points[after] - at)


@dataclass(frozen=True)
class NearestOfFew:
    """Compute the distance of rows to the nearest of a few points, where a tree is slower."""

    points: Array

    def __call__(self, rows: Array) -> Array:
        """Return the distances: (m, q) -> (m,)."""
        return cdist(rows, self.points).min(axis=1)


@dataclass(frozen=True)
class NearestInTree:
    """Compute the distance of rows to the nearest of many points."""

    tree: KDTree

    def __call__(self, rows: Array) -> Array:
        """Return the distances: (m, q) -> (m,)."""
        return self.tree.query(rows)[0]


def nearest_search(points: Array) -> Search:
    """Choose the fastest search for the distance of rows to the nearest of these points."""
    if points.shape[1] == 1:
        return NearestOnLine(np.concatenate([[-np.inf], np.sort(points[:, 0]), [np.inf]]))
    return NearestOfFew(points) if len(points) <= _FEW else NearestInTree(KDTree(points))


def distance_share(to_normal: Array, to_anomaly: Array) -> Array:
    """Divide the distance to the normals by the sum of those to normals and anomalies: (m,)."""
    return (to_normal + TINY) / (to_normal + to_anomaly + 2 * TINY)
