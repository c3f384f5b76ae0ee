"""Evidence from the labelled anomalies of a support."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from .._stats.neighbours import distance_share
from .._typing import Array
from .support import QueryRows, Support

_MOST_NEIGHBOURS = 1000


def discriminant_raw(support: Support, rows: QueryRows) -> Array:
    """Project on Fisher's discriminant towards the anomalies' prototype, raw features."""
    return rows.raw @ support.raw.discriminant


def discriminant_scaled(support: Support, rows: QueryRows) -> Array:
    """Project on Fisher's discriminant towards the anomalies' prototype, scaled features."""
    return rows.scaled @ support.scaled.discriminant


def discriminant_pooled(support: Support, rows: QueryRows) -> Array:
    """Project on the discriminant with the pooled metric of the normals."""
    return rows.pooled_raw @ support.pooled_raw.normal_discriminant


def ratio_scaled(support: Support, rows: QueryRows) -> Array:
    """Divide the distance to the nearest normal by its sum with that to the nearest anomaly."""
    return distance_share(
        cdist(rows.scaled, support.scaled.normals).min(axis=1),
        cdist(rows.scaled, support.scaled.anomalies).min(axis=1),
    )


def subspace_ratio(support: Support, rows: QueryRows) -> Array:
    """Average neighbour ratios over subspaces, weighted by how well each separates the support."""
    total = np.zeros(len(rows.X))
    weights = subspace_weights(support)
    N, A = thinned(support.scaled.normals, _MOST_NEIGHBOURS), support.scaled.anomalies
    for weight, features in zip(weights, subspaces(N.shape[1]), strict=True):
        part = rows.scaled[:, features]
        to_normal = cdist(N[:, features], part).min(axis=0)  # contiguous: three times as fast
        to_anomaly = cdist(A[:, features], part).min(axis=0)
        total += weight * distance_share(to_normal, to_anomaly)
    return total


@lru_cache(maxsize=8)
def subspaces(n_features: int) -> list[NDArray[np.intp]]:
    """Return all single features and pairs up to 12 features, else 48 fixed random subsets."""
    if n_features <= 12:
        features = range(n_features)
        return [np.array(s) for size in (1, 2) for s in combinations(features, size)]
    size = max(2, int(np.sqrt(n_features) / 2))
    rng = np.random.default_rng(n_features)
    return [np.sort(rng.choice(n_features, size, replace=False)) for _ in range(48)]


def subspace_weights(support: Support) -> Array:
    """Weigh each subspace by the leave-one-out AUC of its ratio on the support."""
    return support.once("subspace weights", lambda: _subspace_weights(support))


def _subspace_weights(support: Support) -> Array:
    N, A = thinned(support.scaled.normals, _MOST_NEIGHBOURS), support.scaled.anomalies
    sets = subspaces(N.shape[1])
    if len(A) < 2 or len(N) < 2:
        return np.full(len(sets), 1.0 / len(sets))
    rows = np.concatenate([N, A])
    n = len(N)
    separation = np.empty(len(sets))
    for i, features in enumerate(sets):
        distances = cdist(rows[:, features], rows[:, features])
        np.fill_diagonal(distances, np.inf)
        ratio = distance_share(distances[:, :n].min(axis=1), distances[:, n:].min(axis=1))
        above = ratio[n:, None] - ratio[None, :n]
        separation[i] = (above > 0).mean() + 0.5 * (above == 0).mean()
    weights = np.maximum(separation - 0.5, 0.0) ** 2 + 1e-4
    return weights / weights.sum()


def thinned(rows: Array, most: int) -> Array:
    """Return at most so many rows, evenly spaced."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]
