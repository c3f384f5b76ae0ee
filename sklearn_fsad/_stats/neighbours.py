"""Find nearest rows and the distances to them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._typing import Array
from .moments import TINY
from .nearest import nearest_columns

MOST_NEIGHBOURS = 20
_LEAST = 1e-4  # distance below which rows are alike


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


def nearest(
    rows: Array,
    others: Array,
    metric: str,
    n_neighbours: int = MOST_NEIGHBOURS,
    columns: Array | None = None,
) -> Neighbours:
    """Find the nearest others of each row, at most so many: (m, q), (n, q) -> (m, k).

    ``columns``, the others transposed, save time where they are known.
    """
    columns = others.T if columns is None else columns
    return _found(rows, columns, metric, min(n_neighbours, len(others)), own=-1)


def nearest_others(rows: Array, metric: str, n_neighbours: int = MOST_NEIGHBOURS) -> Neighbours:
    """Find the nearest other rows of each row, at most so many: (m, q) -> (m, k).

    One row alone is its own neighbour.
    """
    k = min(n_neighbours, max(len(rows) - 1, 1))
    return _found(rows, rows.T, metric, k, own=0 if len(rows) > 1 else -1)


def _found(rows: Array, columns: Array, metric: str, k: int, own: int) -> Neighbours:
    cityblock = metric == "cityblock"
    distance, position = nearest_columns(rows, columns, k, cityblock=cityblock, own=own)
    return Neighbours(distance if cityblock else np.sqrt(distance), position)


def distance_share(to_normal: Array, to_anomaly: Array) -> Array:
    """Divide the distance to the normals by the sum of those to normals and anomalies: (m,)."""
    return (to_normal + TINY) / (to_normal + to_anomaly + 2 * TINY)
