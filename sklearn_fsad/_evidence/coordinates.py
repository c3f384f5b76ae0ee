"""Coordinate systems that the normals of a support define."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.special import ndtri

from .._stats.compiled import interpolated
from .._stats.covariance import LEAST_VARIANCE, ShrunkCovariance
from .._stats.moments import TINY, compressed, without_traces
from .._stats.neighbours import MOST_NEIGHBOURS, Neighbours, nearest_others
from .._typing import Array


class Coordinates:
    """Hold the normals and anomalies of a support in one coordinate system.

    Parameters
    ----------
    normals : ndarray of shape (n, q)
    anomalies : ndarray of shape (k, q)
    centre : ndarray of shape (q,), default=None
        Around which the normals vary; None means their mean.
    intensity : float, default=None
        Shrinkage of the normals' covariance; None takes Ledoit and Wolf's.
    least_variance : float, default=1e-6
        Smallest mean variance to assume: that of a column in units of its spread.
    """

    def __init__(
        self,
        normals: Array,
        anomalies: Array,
        *,
        centre: Array | None = None,
        intensity: float | None = None,
        least_variance: float = LEAST_VARIANCE,
    ) -> None:
        self.normals = normals
        self.anomalies = anomalies
        self.centre: Array = normals.mean(axis=0) if centre is None else centre
        self._intensity = intensity
        self._least_variance = least_variance
        self._neighbours: dict[str, tuple[int, Neighbours]] = {}

    @cached_property
    def columns(self) -> Array:
        """Normals, one column after the other: (q, n)."""
        return np.ascontiguousarray(self.normals.T)

    @cached_property
    def anomaly_columns(self) -> Array:
        """Anomalies, one column after the other: (q, k)."""
        return np.ascontiguousarray(self.anomalies.T)

    @cached_property
    def covariance(self) -> ShrunkCovariance:
        """Covariance of the normals, shrunk."""
        centred = self.normals - self.centre
        return ShrunkCovariance(centred, self._intensity, self._least_variance)

    @cached_property
    def white_columns(self) -> Array:
        """Normals whitened by their own shrunken covariance, one column after the other: (q, n)."""
        return np.ascontiguousarray(self.covariance.whiten(self.normals).T)

    @cached_property
    def anomaly_mean(self) -> Array:
        """Prototype of the anomalies relative to that of the normals: (q,)."""
        return self.anomalies.mean(axis=0)

    @cached_property
    def discriminant(self) -> Array:
        """Fisher's direction with the shrunken covariance within both classes: (q,)."""
        within = np.concatenate([self.normals, self.anomalies - self.anomaly_mean])
        covariance = ShrunkCovariance(within, None, self._least_variance)
        return covariance.solve(self.anomaly_mean[:, None])[:, 0]

    @cached_property
    def normal_discriminant(self) -> Array:
        """Fisher's direction with the normals' covariance alone, of unit length in it: (q,)."""
        direction = self.covariance.solve(self.anomaly_mean[:, None])[:, 0]
        return direction / np.sqrt(max(float(direction @ self.anomaly_mean), TINY))

    def own_neighbours(self, metric: str, n_neighbours: int = MOST_NEIGHBOURS) -> Neighbours:
        """Find the nearest other normals of each normal, so many or more, once for each metric."""
        n_found, found = self._neighbours.get(metric, (0, None))
        if found is None or n_found < n_neighbours:
            found = nearest_others(self.normals, metric, n_neighbours)
            self._neighbours[metric] = n_neighbours, found
        return found


class NormalScores:
    """Map each value to the normal quantile of its rank in its column of the normals [1]_.

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
        n, d = normals.shape
        columns = np.sort(without_traces(normals), axis=0).T
        differs = np.ones((d, n), dtype=bool)  # from the value before, or is the first
        differs[:, 1:] = columns[:, 1:] != columns[:, :-1]
        first = np.flatnonzero(differs)
        quantiles = np.tile(ndtri((np.arange(n) + 0.5) / n), d)
        heights = np.add.reduceat(quantiles, first) / np.diff(first, append=n * d)
        starts = np.concatenate([[0], np.cumsum(differs.sum(axis=1))])
        self._knots = columns.ravel()[first], heights, starts
        self._ends = columns[:, 0].copy(), columns[:, -1].copy()

    def __call__(self, Z: Array) -> Array:
        """Map rows in the same units: (m, d) -> (m, d)."""
        Z = without_traces(Z)
        scores, beyond = interpolated(Z, *self._knots), Z - np.clip(Z, *self._ends)
        if beyond.any():
            scores += np.sign(beyond) * np.log1p(np.abs(beyond))
        return scores


class Boxes:
    """Map each value to its place between the extremes of its column of the normals."""

    def __init__(self, normals: Array) -> None:
        normals = without_traces(normals)
        self._low = normals.min(axis=0)
        width = normals.max(axis=0) - self._low
        self._width = np.where(width > 0, width, 1.0)

    def __call__(self, Z: Array) -> Array:
        """Map rows in the same units: (m, d) -> (m, d)."""
        return compressed((Z - self._low) / self._width)
