"""Closed-form evidence that a row is anomalous, given a support: larger = more anomalous.

Each piece of evidence is a function ``(support, rows) -> (n_rows,)``. Evidence has no learned
parameters of its own; :class:`CalibratedEvidence` puts all of it on one scale by the scores that
the support's normals get when they are left out, and a detector learns how to mix it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from ._spaces import Rows, Support
from ._statistics import is_embedding

Array = NDArray[np.float64]
EvidenceFunction = Callable[[Support, Rows], Array]

_TINY = 1e-100
_MOST_NEIGHBOURS = 1000


# --- distance to the normals ----------------------------------------------------------------------
def mahalanobis_raw(support: Support, rows: Rows) -> Array:
    """Log Mahalanobis distance, Ledoit-Wolf covariance of the raw normals."""
    return np.log(support.raw.covariance.distance(rows.raw) + _TINY)


def mahalanobis_scaled(support: Support, rows: Rows) -> Array:
    """Log Mahalanobis distance, Ledoit-Wolf covariance of the scaled normals."""
    return np.log(support.scaled.covariance.distance(rows.scaled) + _TINY)


def mahalanobis_pooled(support: Support, rows: Rows) -> Array:
    """Log Mahalanobis distance, the normals' covariance shrunk to the pooled one."""
    return np.log(support.pooled_raw.covariance.distance(rows.pooled_raw) + _TINY)


# --- nearest normals ------------------------------------------------------------------------------
def nearest_pooled(support: Support, rows: Rows) -> Array:
    """Log distance to the nearest normal in the metric of :func:`mahalanobis_pooled`."""
    space = support.pooled_raw
    distances = cdist(space.covariance.whiten(rows.pooled_raw), space.white_normals)
    return np.log(distances.min(axis=1) + _TINY)


def nearest_scaled(support: Support, rows: Rows) -> Array:
    """Log mean distance to the five nearest scaled normals."""
    return _log_nearest(rows.scaled, support.scaled.normals)


def nearest_relevant(support: Support, rows: Rows) -> Array:
    """The same with features stretched by how far anomalies of other tasks left along them."""
    stretch = np.sqrt(support.relevance)
    return _log_nearest(rows.scaled * stretch, support.scaled.normals * stretch)


def coordinatewise(support: Support, rows: Rows) -> Array:
    """Mean over features of the log distance to the nearest normal in that feature alone."""
    total = np.zeros(len(rows.X))
    for u, v in zip(rows.scaled.T, np.sort(support.scaled.normals, axis=0).T, strict=True):
        above = np.searchsorted(v, u)
        below = np.maximum(above - 1, 0)
        gap = np.minimum(np.abs(u - v[below]), np.abs(u - v[np.minimum(above, len(v) - 1)]))
        total += np.log(gap + 0.05)  # a twentieth of the spread is as good as none
    return total / rows.scaled.shape[1]


def _log_nearest(U: Array, N: Array, k: int = 5) -> Array:
    """Log mean distance to the k nearest rows: (m, d), (n, d) -> (m,)."""
    distances = cdist(U, N)
    k = min(k, distances.shape[1])
    nearest = np.sort(np.partition(distances, k - 1, axis=1)[:, :k], axis=1)
    return np.log(nearest.mean(axis=1) + _TINY)


# --- across the normals' own axes -----------------------------------------------------------------
def off_axis(support: Support, rows: Rows) -> Array:
    """Mahalanobis distance of a row for its plain distance to the nearest normals.

    Large where a row leaves across the axes along which normals vary, however little it leaves;
    small where it goes far along them. Raw features in an embedding, scaled ones in a table.
    """
    if support.is_embedding:
        return mahalanobis_raw(support, rows) - 2.0 * _log_nearest(rows.raw, support.raw.normals)
    return mahalanobis_scaled(support, rows) - 2.0 * nearest_scaled(support, rows)


def off_axis_pooled(support: Support, rows: Rows) -> Array:
    """The same with the pooled metric."""
    if support.is_embedding:
        return mahalanobis_pooled(support, rows) - 2.0 * _log_nearest(rows.raw, support.raw.normals)
    return mahalanobis_pooled(support, rows) - 2.0 * nearest_scaled(support, rows)


def own_over_pooled(support: Support, rows: Rows) -> Array:
    """Log ratio of the distances by the support's own and by the pooled covariance."""
    return mahalanobis_raw(support, rows) - mahalanobis_pooled(support, rows)


# --- directions in which anomalies of other tasks leave -------------------------------------------
def directions_pooled(support: Support, rows: Rows) -> Array:
    """Log likelihood ratio of a normal law widened along the pooled anomaly directions, raw."""
    return _widened(support.pooled_raw, support._whitening.raw.directions, rows.pooled_raw)


def directions_scaled(support: Support, rows: Rows) -> Array:
    """The same on scaled features."""
    return _widened(support.pooled_scaled, support._whitening.scaled.directions, rows.pooled_scaled)


def _widened(space: Any, directions: Array, U: Array) -> Array:
    """Log [d2_S(u) - d2_{S + C}(u)], C = (tr S / d) L L', by Woodbury's identity."""
    covariance = space.covariance
    gain = covariance.solve(directions)  # (d, r)
    core = np.eye(directions.shape[1]) / covariance.level + directions.T @ gain
    half = np.linalg.solve(np.linalg.cholesky(core), gain.T)  # (r, d)
    projected = U @ half.T
    return np.log((projected * projected).sum(axis=1) + _TINY)


# --- towards the labelled anomalies ---------------------------------------------------------------
def discriminant_raw(support: Support, rows: Rows) -> Array:
    """Fisher's discriminant towards the anomalies' prototype, raw features."""
    return rows.raw @ support.raw.discriminant


def discriminant_scaled(support: Support, rows: Rows) -> Array:
    """Fisher's discriminant towards the anomalies' prototype, scaled features."""
    return rows.scaled @ support.scaled.discriminant


def discriminant_pooled(support: Support, rows: Rows) -> Array:
    """Discriminant towards the anomalies' prototype with the pooled metric of the normals."""
    return rows.pooled_raw @ support.pooled_raw.normal_discriminant


def ratio_scaled(support: Support, rows: Rows) -> Array:
    """Distance to the nearest normal over that plus the distance to the nearest anomaly."""
    return _ratio(
        cdist(rows.scaled, support.scaled.normals).min(axis=1),
        cdist(rows.scaled, support.scaled.anomalies).min(axis=1),
    )


def subspace_ratio(support: Support, rows: Rows) -> Array:
    """Neighbour ratios over small subspaces, weighted by how well each separates the support."""
    total = np.zeros(len(rows.X))
    weights = subspace_weights(support)
    N, A = _thinned(support.scaled.normals), support.scaled.anomalies
    for weight, features in zip(weights, subspaces(N.shape[1]), strict=True):
        part = rows.scaled[:, features]
        to_normal = cdist(N[:, features], part).min(axis=0)  # contiguous: three times as fast
        to_anomaly = cdist(A[:, features], part).min(axis=0)
        total += weight * _ratio(to_normal, to_anomaly)
    return total


def _ratio(to_normal: Array, to_anomaly: Array) -> Array:
    return (to_normal + _TINY) / (to_normal + to_anomaly + 2 * _TINY)


@lru_cache(maxsize=8)
def subspaces(n_features: int) -> list[NDArray[np.intp]]:
    """All single features and pairs up to 12 features, else 48 fixed random subsets."""
    if n_features <= 12:
        features = range(n_features)
        return [np.array(s) for size in (1, 2) for s in combinations(features, size)]
    size = max(2, int(np.sqrt(n_features) / 2))
    rng = np.random.default_rng(n_features)
    return [np.sort(rng.choice(n_features, size, replace=False)) for _ in range(48)]


def subspace_weights(support: Support) -> Array:
    """Weight of each subspace by the leave-one-out AUC of its ratio on the support."""
    cached = support.__dict__.get("_subspace_weights")
    if cached is None:
        cached = support.__dict__["_subspace_weights"] = _subspace_weights(support)
    return cached


def _subspace_weights(support: Support) -> Array:
    N, A = _thinned(support.scaled.normals), support.scaled.anomalies
    sets = subspaces(N.shape[1])
    if len(A) < 2 or len(N) < 2:
        return np.full(len(sets), 1.0 / len(sets))
    rows = np.concatenate([N, A])
    n = len(N)
    separation = np.empty(len(sets))
    for i, features in enumerate(sets):
        distances = cdist(rows[:, features], rows[:, features])
        np.fill_diagonal(distances, np.inf)
        ratio = _ratio(distances[:, :n].min(axis=1), distances[:, n:].min(axis=1))
        above = ratio[n:, None] - ratio[None, :n]
        separation[i] = (above > 0).mean() + 0.5 * (above == 0).mean()
    weights = np.maximum(separation - 0.5, 0.0) ** 2 + 1e-4
    return weights / weights.sum()


def _thinned(rows: Array) -> Array:
    """At most a thousand rows, evenly spaced: neighbours need no more."""
    if len(rows) <= _MOST_NEIGHBOURS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _MOST_NEIGHBOURS).astype(np.intp)]


@dataclass(frozen=True)
class Evidence:
    """One kind of evidence and what it needs.

    Attributes
    ----------
    name : str
        Name by which a user picks it.
    function : callable
        ``(support, rows) -> (n_rows,)``, larger = more anomalous.
    spread : float
        Typical standard deviation of its left-out scores: what a support of two or three rows,
        whose own says little, falls back on.
    needs_anomalies : bool
        Whether it speaks only when the support has anomalies.
    needs_pooled : bool
        Whether it needs statistics of training tasks.
    tables_only : bool
        Whether it is silent on embeddings, whose single coordinates mean nothing.
    """

    name: str
    function: EvidenceFunction
    spread: float = 1.0
    needs_anomalies: bool = False
    needs_pooled: bool = False
    tables_only: bool = False

    def speaks(self, n_features: int, n_anomalous: int) -> bool:
        """Whether it says anything about a support of that kind."""
        if self.tables_only and is_embedding(n_features):
            return False
        return n_anomalous > 0 or not self.needs_anomalies


EVIDENCE: dict[str, Evidence] = {
    e.name: e
    for e in (
        Evidence("mahalanobis_raw", mahalanobis_raw, 0.75),
        Evidence("mahalanobis_scaled", mahalanobis_scaled, 1.3),
        Evidence("mahalanobis_pooled", mahalanobis_pooled, 0.5, needs_pooled=True),
        Evidence("nearest_pooled", nearest_pooled, 0.3, needs_pooled=True),
        Evidence("nearest_scaled", nearest_scaled, 0.7),
        Evidence("nearest_relevant", nearest_relevant, 0.7, needs_pooled=True, tables_only=True),
        Evidence("coordinatewise", coordinatewise, 0.3, tables_only=True),
        Evidence("off_axis", off_axis, 0.5),
        Evidence("off_axis_pooled", off_axis_pooled, 0.5, needs_pooled=True),
        Evidence("own_over_pooled", own_over_pooled, 0.3, needs_pooled=True),
        Evidence("directions_pooled", directions_pooled, 1.0, needs_pooled=True),
        Evidence("directions_scaled", directions_scaled, 1.0, needs_pooled=True),
        Evidence("subspace_ratio", subspace_ratio, 0.075, True),
        Evidence("ratio_scaled", ratio_scaled, 0.085, True),
        Evidence("discriminant_raw", discriminant_raw, 6.0, True),
        Evidence("discriminant_scaled", discriminant_scaled, 12.0, True),
        Evidence("discriminant_pooled", discriminant_pooled, 1.0, True, True),
    )
}


def resolve_evidence(
    evidence: Sequence[str | EvidenceFunction] | str | None,
) -> tuple[Evidence, ...]:
    """The evidence that names and functions stand for.

    None stands for all that is built in, "support" for what needs no statistics of other tasks. A
    function of one's own may carry the attribute ``needs_anomalies = True``.
    """
    if evidence is None:
        return tuple(EVIDENCE.values())
    if isinstance(evidence, str) and evidence == "support":
        return tuple(e for e in EVIDENCE.values() if not e.needs_pooled)
    resolved = []
    for item in evidence:
        if isinstance(item, str) and item in EVIDENCE:
            resolved.append(EVIDENCE[item])
        elif callable(item):
            needs = bool(getattr(item, "needs_anomalies", False))
            name = getattr(item, "__name__", type(item).__name__)
            resolved.append(Evidence(name, item, needs_anomalies=needs))
        else:
            raise ValueError(
                f"evidence holds {item!r}: give functions (support, rows) -> scores or names out "
                f"of {', '.join(EVIDENCE)}."
            )
    if len({e.name for e in resolved}) != len(resolved) or not resolved:
        raise ValueError(f"evidence must name each kind once and at least one: got {evidence!r}.")
    return tuple(resolved)
