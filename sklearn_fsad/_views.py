"""A support and rows as columns of a table: coordinates that do not depend on units.

A view is a coordinate system that the normals of a support define, column by column or by their
covariance. All distances that evidence asks for are computed once for each view.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import ndtri

from ._statistics import ShrunkCovariance, compressed

Array = NDArray[np.float64]

MOST_NEIGHBOURS = 20
_LEAST = 1e-4  # distance below which rows are alike
_LEAST_VARIANCE = 1e-6
_MOST_NUMBERS = 2**20  # in one matrix of distances


class Neighbours(NamedTuple):
    """The nearest normals of rows, nearest first.

    Attributes
    ----------
    distance : ndarray of shape (m, k)
    position : ndarray of shape (m, k)
        Where they stand among the normals.
    """

    distance: Array
    position: NDArray[np.intp]

    def reach(self, k: int) -> Array:
        """Log mean distance to the k nearest: (m,)."""
        return np.log(self.distance[:, :k].mean(axis=1) + _LEAST)


class View:
    """Normals and anomalies of a support in one coordinate system.

    Parameters
    ----------
    normals : ndarray of shape (n, q)
    anomalies : ndarray of shape (k, q)
    """

    def __init__(self, normals: Array, anomalies: Array) -> None:
        self.normals = normals
        self.anomalies = anomalies
        self._own: dict[str, Neighbours] = {}

    @cached_property
    def covariance(self) -> ShrunkCovariance:
        """Of the normals, shrunk."""
        return shrunk(self.normals - self.normals.mean(axis=0))

    def own_neighbours(self, metric: str) -> Neighbours:
        """Nearest other normals of each normal, found once."""
        if metric not in self._own:
            self._own[metric] = nearest(self.normals, self.normals, metric, themselves=False)
        return self._own[metric]


def nearest(rows: Array, others: Array, metric: str, themselves: bool = True) -> Neighbours:
    """The 20 nearest others of rows, or all of fewer: (m, q), (n, q) -> (m, k).

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


def shrunk(centred: Array) -> ShrunkCovariance:
    """Covariance of centred rows whose spread is one or nothing."""
    return ShrunkCovariance(centred, None, _LEAST_VARIANCE)


class NormalScores:
    """Column by column the normal quantile of a value's rank among the normals [1]_.

    Between two values of the normals it is interpolated, and beyond the last it grows with the
    distance in spreads.

    Parameters
    ----------
    normals : ndarray of shape (n, d)
        In units of their spread.

    References
    ----------
    .. [1] B. L. van der Waerden, "Order tests for the two-sample problem and their power",
       Indagationes Mathematicae 14, 1952.
    """

    def __init__(self, normals: Array) -> None:
        n = len(normals)
        quantiles = ndtri((np.arange(n) + 0.5) / n)
        self._knots = []
        for column in np.sort(normals, axis=0).T:
            values, first, count = np.unique(column, return_index=True, return_counts=True)
            heights = np.add.reduceat(quantiles, first) / count
            self._knots.append((values, heights))

    def __call__(self, Z: Array) -> Array:
        """Scores of rows in the same units: (m, d) -> (m, d)."""
        scores = np.empty_like(Z)
        for j, (values, heights) in enumerate(self._knots):
            z = Z[:, j]
            inside = np.interp(z, values, heights)
            beyond = z - np.clip(z, values[0], values[-1])
            scores[:, j] = inside + np.sign(beyond) * np.log1p(np.abs(beyond))
        return scores


class Boxes:
    """Column by column the place of a value between the least and the greatest of the normals."""

    def __init__(self, normals: Array) -> None:
        self._low = normals.min(axis=0)
        width = normals.max(axis=0) - self._low
        self._width = np.where(width > 0, width, 1.0)

    def __call__(self, Z: Array) -> Array:
        """Places of rows in the same units: (m, d) -> (m, d)."""
        return compressed((Z - self._low) / self._width)
