"""Evidence from the labelled anomalies of a support."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .._stats.column_sets import ColumnSets, nearest_in_sets
from .._stats.compiled import row_product
from .._stats.nearest import nearest_columns
from .._stats.neighbours import distance_share
from .._stats.ranking import column_aucs
from .._typing import Array
from .support import QueryRows, Support

_MOST_NEIGHBOURS = 1000


def discriminant_raw(support: Support, rows: QueryRows) -> Array:
    """Project on Fisher's discriminant towards the anomalies' prototype, raw features."""
    return row_product(rows.raw, support.raw.discriminant)


def discriminant_scaled(support: Support, rows: QueryRows) -> Array:
    """Project on Fisher's discriminant towards the anomalies' prototype, scaled features."""
    return row_product(rows.scaled, support.scaled.discriminant)


def discriminant_pooled(support: Support, rows: QueryRows) -> Array:
    """Project on the discriminant with the pooled metric of the normals."""
    return row_product(rows.pooled_raw, support.pooled_raw.normal_discriminant)


def ratio_scaled(support: Support, rows: QueryRows) -> Array:
    """Divide the distance to the nearest normal by its sum with that to the nearest anomaly."""
    to_normal, _ = nearest_columns(rows.scaled, support.scaled.columns, 1)
    to_anomaly, _ = nearest_columns(rows.scaled, support.scaled.anomaly_columns, 1)
    return distance_share(np.sqrt(to_normal[:, 0]), np.sqrt(to_anomaly[:, 0]))


def subspace_ratio(support: Support, rows: QueryRows) -> Array:
    """Average neighbour ratios over subspaces, weighted by how well each separates the support."""
    sets = _sets(rows.scaled.shape[1])
    columns = support.once(
        "some columns",
        lambda: np.ascontiguousarray(thinned(support.scaled.normals, _MOST_NEIGHBOURS).T),
    )
    to_normal = nearest_in_sets(rows.scaled, sets, columns)
    to_anomaly = nearest_in_sets(rows.scaled, sets, support.scaled.anomaly_columns)
    return row_product(distance_share(to_normal, to_anomaly), subspace_weights(support))


@lru_cache(maxsize=8)
def subspaces(n_features: int) -> list[NDArray[np.intp]]:
    """Return all single features and pairs up to 12 features, else 48 fixed random subsets."""
    if n_features <= 12:
        features = range(n_features)
        return [np.array(s) for size in (1, 2) for s in combinations(features, size)]
    size = max(2, int(np.sqrt(n_features) / 2))
    rng = np.random.default_rng(n_features)
    return [np.sort(rng.choice(n_features, size, replace=False)) for _ in range(48)]


@lru_cache(maxsize=8)
def _sets(n_features: int) -> ColumnSets:
    return ColumnSets.of(subspaces(n_features))


def subspace_weights(support: Support) -> Array:
    """Weigh each subspace by the leave-one-out AUC of its ratio on the support."""
    return support.once("subspace weights", lambda: _subspace_weights(support))


def _subspace_weights(support: Support) -> Array:
    N, A = thinned(support.scaled.normals, _MOST_NEIGHBOURS), support.scaled.anomalies
    sets = _sets(N.shape[1])
    if len(A) < 2 or len(N) < 2:
        return np.full(len(sets.sizes), 1.0 / len(sets.sizes))
    weights = np.maximum(separations(N, A, sets) - 0.5, 0.0) ** 2 + 1e-4
    return weights / weights.sum()


def separations(N: Array, A: Array, sets: ColumnSets) -> Array:
    """Compute the leave-one-out AUC of the neighbour ratio in each set of columns: (n_sets,).

    It is 0.6 where too few rows tell.
    """
    if len(A) < 2 or len(N) < 2:
        return np.full(len(sets.sizes), 0.6)
    rows, n = np.concatenate([N, A]), len(N)
    to_normal = nearest_in_sets(rows, sets, N.T, first=0)
    to_anomaly = nearest_in_sets(rows, sets, A.T, first=n)
    return column_aucs(distance_share(to_normal, to_anomaly), np.arange(len(rows)) >= n)


def thinned(rows: Array, most: int) -> Array:
    """Return at most so many rows, evenly spaced."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]
