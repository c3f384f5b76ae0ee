"""Evidence about rows of any table from its normals, without units or an order of columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from .._stats.compiled import row_product
from .._stats.moments import TINY
from .._typing import Array
from .coordinates import Coordinates
from .support import QueryRows, Support

EvidenceFunction = Callable[[Support, QueryRows], Array]
_LEAST = 1e-4


# --- neighbours -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Nearest:
    """Compute the log mean distance to the k nearest normals in a coordinate system [1]_.

    References
    ----------
    .. [1] S. Ramaswamy, R. Rastogi and K. Shim, "Efficient algorithms for mining outliers from
       large data sets", SIGMOD 2000.
    """

    coordinates: str
    k: int
    metric: str = "euclidean"

    def __call__(self, support: Support, rows: QueryRows) -> Array:
        """Score rows: (m,)."""
        return rows.neighbours(self.coordinates, self.metric).reach(self.k)


@dataclass(frozen=True)
class LocalDensity:
    """Compute the same relative to the neighbours' own distances: the local outlier factor [1]_.

    References
    ----------
    .. [1] M. M. Breunig et al., "LOF: identifying density-based local outliers", SIGMOD 2000.
    """

    coordinates: str
    k: int

    def __call__(self, support: Support, rows: QueryRows) -> Array:
        """Score rows: (m,)."""
        space: Coordinates = getattr(support, self.coordinates)
        found = rows.neighbours(self.coordinates, "euclidean")
        n_found = rows.n_neighbours(self.coordinates, "euclidean")
        own = space.own_neighbours("euclidean", n_found).reach(self.k)
        return found.reach(self.k) - own[found.position[:, : self.k]].mean(axis=1)


# --- covariance -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Distance:
    """Compute the log Mahalanobis distance along some of the normals' axes.

    ``axes="minor"`` are those that hold the last fifth of their variance, "major" the others [1]_.

    References
    ----------
    .. [1] M.-L. Shyu et al., "A novel anomaly detection scheme based on principal component
       classifier", ICDM 2003.
    """

    coordinates: str
    axes: str = "all"

    def __call__(self, support: Support, rows: QueryRows) -> Array:
        """Score rows: (m,)."""
        space: Coordinates = getattr(support, self.coordinates)
        U = getattr(rows, self.coordinates) - space.centre
        covariance = space.covariance
        if self.axes == "all":
            return np.log(covariance.distance(U) + TINY)
        above = np.cumsum(covariance.shrunk[::-1])[::-1] - covariance.shrunk  # of larger axes
        major = above < (0.8 - 1e-6) * covariance.shrunk.sum()
        along = row_product(U, covariance.basis[:, major]) ** 2 / covariance.shrunk[major]
        if self.axes == "major":
            return np.log(along.sum(axis=1) + _LEAST)
        return np.log(np.maximum(covariance.distance(U) - along.sum(axis=1), 0.0) + _LEAST)


@dataclass(frozen=True)
class Conditional:
    """Score each column given the others, under a Gaussian with heavy tails.

    The mean over columns, or the largest: a row may be in range everywhere and break a relation.
    """

    coordinates: str
    most: bool = False

    def __call__(self, support: Support, rows: QueryRows) -> Array:
        """Score rows: (m,)."""
        space: Coordinates = getattr(support, self.coordinates)
        U = getattr(rows, self.coordinates) - space.centre
        precision = support.once(
            (Conditional, self.coordinates), lambda: space.covariance.solve(np.eye(U.shape[1]))
        )
        residual = row_product(U, precision) ** 2 / np.diag(precision)
        surprise = np.log1p(residual / 4.0)
        return np.log(surprise.max(axis=1) + _LEAST) if self.most else surprise.mean(axis=1)


# --- one column at a time -------------------------------------------------------------------------
@dataclass(frozen=True)
class Tails:
    """Compute minus the log tail probability of values in their columns [1]_.

    ``how`` is "mean", "most", "three" (the mean of the largest three) or "side" (the larger sum of
    the one-sided ones).

    References
    ----------
    .. [1] Z. Li et al., "ECOD: unsupervised outlier detection using empirical cumulative
       distribution functions", IEEE TKDE 35, 2023.
    """

    how: str

    def __call__(self, support: Support, rows: QueryRows) -> Array:
        """Score rows: (m,)."""
        G = rows.gaussian
        if self.how == "side":
            return np.maximum(-log_ndtr(G).mean(axis=1), -log_ndtr(-G).mean(axis=1))
        tails = -log_ndtr(-np.abs(G))
        if self.how == "mean":
            return tails.mean(axis=1)
        k = 1 if self.how == "most" else min(3, tails.shape[1])
        return np.log(np.sort(tails, axis=1)[:, -k:].mean(axis=1))


@dataclass(frozen=True)
class Size:
    """Compute the log size of a row in spreads: root mean square, mean or largest."""

    how: str

    def __call__(self, support: Support, rows: QueryRows) -> Array:
        """Score rows: (m,)."""
        Z = np.abs(rows.compressed)
        if self.how == "most":
            return np.log(Z.max(axis=1) + _LEAST)
        return np.log((Z.mean(axis=1) if self.how == "mean" else (Z**2).mean(axis=1)) + _LEAST)


def departures(support: Support, rows: QueryRows) -> Array:
    """Count the columns that never varied among the normals and differ in a row."""
    constant = (support.N[0] == support.N).all(axis=0)
    return (rows.raw[:, constant] != support.N[0, constant]).sum(axis=1).astype(np.float64)


# --- all of it ------------------------------------------------------------------------------------
NEAREST: dict[str, EvidenceFunction] = {
    f"nearest_{k}_{name}{'_l1' if metric == 'cityblock' else ''}": Nearest(name, k, metric)
    for name, metric in (
        ("compressed", "euclidean"),
        ("gaussian", "euclidean"),
        ("white", "euclidean"),
        ("boxed", "euclidean"),
        ("compressed", "cityblock"),
        ("gaussian", "cityblock"),
    )
    for k in (1, 5)
}
NORMALS: dict[str, EvidenceFunction] = {
    **NEAREST,
    **{f"nearest_20_{name}": Nearest(name, 20) for name in ("compressed", "gaussian")},
    **{f"density_5_{name}": LocalDensity(name, 5) for name in ("compressed", "gaussian", "white")},
    "density_20_compressed": LocalDensity("compressed", 20),
    "distance_compressed": Distance("compressed"),
    "distance_gaussian": Distance("gaussian"),
    "distance_minor": Distance("compressed", "minor"),
    "distance_major": Distance("compressed", "major"),
    "conditional_compressed": Conditional("compressed"),
    "conditional_gaussian": Conditional("gaussian"),
    "conditional_most": Conditional("compressed", most=True),
    **{f"tails_{how}": Tails(how) for how in ("mean", "most", "three", "side")},
    **{f"size_{how}": Size(how) for how in ("square", "mean", "most")},
    "departures": departures,
}


def reads_columns(name: str) -> bool:
    """Return whether evidence reads single columns, which mean nothing in an embedding."""
    columns = (
        "gaussian", "boxed", "tails", "column_likelihoods", "subspaces", "conditional", "wide",
    )  # fmt: skip
    return any(part in name for part in columns)
