"""Evidence about rows of any table from the labelled anomalies of a support."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .._stats.column_sets import ColumnSets, nearest_in_sets
from .._stats.compiled import row_product
from .._stats.covariance import LEAST_VARIANCE, ShrunkCovariance
from .._stats.moments import TINY
from .._stats.nearest import nearest_columns
from .._stats.neighbours import distance_share
from .._stats.ranking import column_aucs
from .._stats.trees import Forest, grow_forest
from .._typing import Array
from .coordinates import Coordinates
from .family_anomalies import separations, thinned
from .support import QueryRows, Support
from .table_normals import EvidenceFunction

_LEAST = 1e-4
_SHARED = 8  # columns of which all pairs are looked at
_MOST_SETS, _MOST_NORMALS = 32, 300
_MOST_KERNELS = 2**16  # that are held at a time
_BANDWIDTH = 0.5
_OUTLYING = 0.8  # the mean of a standard normal variable without its sign
_MOST_NUMBERS = 2**20  # in one array of differences
_N_TREES, _N_TREES_OF_PART = 40, 12


@dataclass(frozen=True)
class Ratio:
    """Compare the log distance to the nearest normals with that to the nearest labelled anomaly."""

    coordinates: str
    k: int = 5
    metric: str = "euclidean"

    def __call__(self, support: Support, rows: QueryRows) -> Array:
        """Score rows: (m,)."""
        near = _to_anomaly(self.coordinates, self.metric, support, rows)
        return rows.neighbours(self.coordinates, self.metric).reach(self.k) - np.log(near + _LEAST)


@dataclass(frozen=True)
class Closeness:
    """Compute minus the log distance to the labelled anomalies: the nearest, or their centre."""

    coordinates: str
    centre: bool = False

    def __call__(self, support: Support, rows: QueryRows) -> Array:
        """Score rows: (m,)."""
        if not self.centre:
            return -np.log(_to_anomaly(self.coordinates, "euclidean", support, rows) + _LEAST)
        anomalies = getattr(support, self.coordinates).anomalies
        away = getattr(rows, self.coordinates) - anomalies.mean(axis=0)
        return -0.5 * np.log((away**2).mean(axis=1) + _LEAST)


@dataclass(frozen=True)
class Cosine:
    """Compute the largest cosine of the angle to a labelled anomaly, about the normals' mean."""

    coordinates: str

    def __call__(self, support: Support, rows: QueryRows) -> Array:
        """Score rows: (m,)."""
        space: Coordinates = getattr(support, self.coordinates)
        centre = space.centre
        U, A = getattr(rows, self.coordinates) - centre, space.anomalies - centre
        U = U / (np.linalg.norm(U, axis=1, keepdims=True) + _LEAST)
        A = A / (np.linalg.norm(A, axis=1, keepdims=True) + _LEAST)
        return row_product(U, A.T).max(axis=1)


@dataclass(frozen=True)
class Discriminant:
    """Project on Fisher's discriminant, with the covariance within classes or its diagonal."""

    coordinates: str
    diagonal: bool = False

    def __call__(self, support: Support, rows: QueryRows) -> Array:
        """Score rows: (m,)."""
        centre, direction = support.once(self, lambda: self._direction(support))
        return row_product(getattr(rows, self.coordinates) - centre, direction)

    def _direction(self, support: Support) -> tuple[Array, Array]:
        space: Coordinates = getattr(support, self.coordinates)
        centre, prototype = space.centre, space.anomalies.mean(axis=0)
        within = np.concatenate([space.normals - centre, space.anomalies - prototype])
        gap = prototype - centre
        if self.diagonal:
            variance = within.var(axis=0)
            direction = gap / (variance + 0.1 * variance.mean() + _LEAST)
        else:
            direction = ShrunkCovariance(within, None, LEAST_VARIANCE).solve(gap[:, None])[:, 0]
        return centre, direction / np.sqrt(max(float(direction @ gap), _LEAST))


@dataclass(frozen=True)
class Excess:
    """Sum squared deviations, each column weighted by the anomalies' excess variance."""

    coordinates: str

    def __call__(self, support: Support, rows: QueryRows) -> Array:
        """Score rows: (m,)."""
        space: Coordinates = getattr(support, self.coordinates)
        centre = space.centre
        normal = ((space.normals - centre) ** 2).mean(axis=0)
        weight = np.maximum(((space.anomalies - centre) ** 2).mean(axis=0) - normal, 0.0)
        weight = np.sqrt(weight / (normal + 0.1 * normal.mean() + _LEAST))
        weight = weight / (weight.sum() + _LEAST)
        away = getattr(rows, self.coordinates) - centre
        return np.log(row_product(away**2, weight) + _LEAST)


def column_likelihoods(support: Support, rows: QueryRows) -> Array:
    """Compute the log ratio of densities of anomalies and normals by column: naive Bayes."""
    total = np.zeros(len(rows.gaussian))
    for of_column in _column_ratios(support, rows):
        total += of_column
    return total / rows.gaussian.shape[1]


def column_likelihoods_outlying(support: Support, rows: QueryRows) -> Array:
    """Weigh the same by how far out the anomalies lie in a column: one anomaly tells where."""
    weights = np.abs(support.gaussian.anomalies).mean(axis=0)
    weights = np.maximum(weights - _OUTLYING, 0.0) + 0.05
    total = np.zeros(len(rows.gaussian))
    for weight, of_column in zip(weights, _column_ratios(support, rows), strict=True):
        total += weight * of_column
    return total / weights.sum()


def _column_ratios(support: Support, rows: QueryRows) -> Iterator[Array]:
    """Yield the log ratio of the densities of anomalies and normals in each column: (m,)."""
    G, A = rows.gaussian, support.gaussian.anomalies
    normaliser = -0.5 * np.log(2 * np.pi)
    at_once = max(1, _MOST_KERNELS // max(G.shape[0] * len(A), 1))
    for start in range(0, G.shape[1], at_once):
        columns = slice(start, start + at_once)
        g, a = np.ascontiguousarray(G.T[columns]), np.ascontiguousarray(A.T[columns])
        normal = np.exp(normaliser - 0.5 * g**2)
        broad = np.exp(normaliser - 0.5 * (g / 3.0) ** 2) / 3.0
        gaps = (g[:, :, None] - a[:, None, :]) / _BANDWIDTH  # (columns, m, k)
        kernels = np.exp(normaliser - 0.5 * gaps**2) / _BANDWIDTH
        anomalous = (kernels.sum(axis=2) + broad) / (a.shape[1] + 1.0)
        yield from np.log((0.9 * anomalous + 0.1 * normal + TINY) / (normal + 0.01 * broad + TINY))


@dataclass(frozen=True)
class SubspaceRatio:
    """Average neighbour ratios over columns and pairs, weighted by how well each separates."""

    coordinates: str

    def __call__(self, support: Support, rows: QueryRows) -> Array:
        """Score rows: (m,)."""
        space: Coordinates = getattr(support, self.coordinates)
        sets, weights, columns = support.once(self, lambda: _weighed_subspaces(space))
        U = getattr(rows, self.coordinates)
        to_normal = nearest_in_sets(U, sets, columns)
        to_anomaly = nearest_in_sets(U, sets, space.anomaly_columns)
        return row_product(distance_share(to_normal, to_anomaly), weights)


def _weighed_subspaces(space: Coordinates) -> tuple[ColumnSets, Array, Array]:
    """Return sets of columns, their weights, and the columns of the normals to compare with."""
    N, A = thinned(space.normals, _MOST_NORMALS), space.anomalies
    sets = [np.array([j]) for j in range(N.shape[1])]
    weights = _column_separations(N, A)
    best = np.sort(np.argsort(-weights, kind="stable")[:_SHARED])
    pairs = [np.array(pair) for pair in combinations(best, 2)]
    if pairs:
        weights = np.concatenate([weights, separations(N, A, ColumnSets.of(pairs))])
    weights = np.maximum(weights - 0.5, 0.0) ** 2 + 1e-4
    sets += pairs
    kept = np.argsort(-weights, kind="stable")[:_MOST_SETS]
    shares = weights[kept] / weights[kept].sum()
    return ColumnSets.of([sets[i] for i in kept]), shares, np.ascontiguousarray(N.T)


def forest(support: Support, rows: QueryRows) -> Array:
    """Let extremely randomised trees tell labelled anomalies from normals [1]_.

    Columns that are equal in the support cannot be told apart: the trees see their mean.

    References
    ----------
    .. [1] P. Geurts, D. Ernst and L. Wehenkel, "Extremely randomized trees", Machine Learning 63,
       2006.
    """

    def grown() -> Forest:
        space = support.compressed
        X = np.concatenate([space.normals, space.anomalies])
        n = _N_TREES_OF_PART if support.is_part else _N_TREES
        return grow_forest(X, np.arange(len(X)) >= len(space.normals), n)

    groups = support.once("equal columns", lambda: equal_columns(support.compressed))
    Z = rows.compressed if groups is None else means_of_columns(rows.compressed, groups)
    share = support.once("forest", grown).vote(Z)
    return np.log((share + 0.01) / (1.01 - share))


def equal_columns(space: Coordinates) -> NDArray[np.intp] | None:
    """Group columns that are equal in the support; None if no two are."""
    columns = np.concatenate([space.normals, space.anomalies]).T + 0.0  # no minus zero
    numbers: dict[bytes, int] = {}
    groups = [numbers.setdefault(column.tobytes(), len(numbers)) for column in columns]
    return None if len(numbers) == len(columns) else np.array(groups)


def means_of_columns(Z: Array, groups: NDArray[np.intp]) -> Array:
    """Replace each column by the mean of its group: (m, d) -> (m, d)."""
    member = groups[:, None] == np.arange(groups.max() + 1)  # (d, n_groups)
    return row_product(Z, member / member.sum(axis=0))[:, groups]


def _column_separations(N: Array, A: Array) -> Array:
    """Compute the leave-one-out AUC of the ratio in each column alone: (d,)."""
    if len(A) < 2 or len(N) < 2:
        return np.full(N.shape[1], 0.6)
    anomalous = np.arange(len(N) + len(A)) >= len(N)
    at_once, aucs = max(1, _MOST_NUMBERS // (len(N) * len(A))), []
    for start in range(0, N.shape[1], at_once):
        n, a = N[:, start : start + at_once], A[:, start : start + at_once]
        across = np.abs(n[:, None] - a)  # (n, k, columns)
        to_normal = np.concatenate([_to_others(n), across.min(axis=0)])
        to_anomaly = np.concatenate([across.min(axis=1), _to_others(a)])
        aucs.append(column_aucs(distance_share(to_normal, to_anomaly), anomalous))
    return np.concatenate(aucs)


def _to_others(V: Array) -> Array:
    """Compute distances of values to the nearest other one of their column: (n, d) -> (n, d)."""
    order = np.argsort(V, axis=0)
    gaps = np.diff(np.take_along_axis(V, order, axis=0), axis=0)
    beyond = np.full((1, V.shape[1]), np.inf)
    nearest = np.minimum(np.concatenate([beyond, gaps]), np.concatenate([gaps, beyond]))
    distance = np.empty_like(V)
    np.put_along_axis(distance, order, nearest, axis=0)
    return distance


def _to_anomaly(name: str, metric: str, support: Support, rows: QueryRows) -> Array:
    """Compute the distance to the nearest labelled anomaly: (m,)."""
    space: Coordinates = getattr(support, name)
    cityblock = metric == "cityblock"
    distance, _ = nearest_columns(
        getattr(rows, name), space.anomaly_columns, 1, cityblock=cityblock
    )
    return distance[:, 0] if cityblock else np.sqrt(distance[:, 0])


# --- all of it ------------------------------------------------------------------------------------
ANOMALIES: dict[str, EvidenceFunction] = {
    **{f"ratio_{name}": Ratio(name) for name in ("compressed", "gaussian", "white", "boxed")},
    "ratio_1_compressed": Ratio("compressed", 1),
    "ratio_compressed_l1": Ratio("compressed", 5, "cityblock"),
    **{f"close_{name}": Closeness(name) for name in ("compressed", "gaussian")},
    "close_centre": Closeness("compressed", centre=True),
    **{f"cosine_{name}": Cosine(name) for name in ("compressed", "gaussian", "white")},
    **{f"discriminant_{name}": Discriminant(name) for name in ("compressed", "gaussian")},
    **{
        f"discriminant_diagonal_{name}": Discriminant(name, diagonal=True)
        for name in ("compressed", "gaussian")
    },
    **{f"excess_{name}": Excess(name) for name in ("compressed", "gaussian", "white")},
    "column_likelihoods": column_likelihoods,
    "column_likelihoods_outlying": column_likelihoods_outlying,
    **{f"subspaces_{name}": SubspaceRatio(name) for name in ("compressed", "gaussian")},
    "forest": forest,
}
