"""Evidence from the normals of a support and of other tasks."""

from __future__ import annotations

from functools import lru_cache, wraps

import numpy as np
from scipy.linalg.lapack import dtrtrs

from .._stats.column_sets import ColumnSets, nearest_in_sets
from .._stats.compiled import row_product
from .._stats.covariance import ShrunkCovariance
from .._stats.nearest import nearest_columns
from .._typing import Array
from .support import QueryRows, Support
from .table_normals import EvidenceFunction

_TINY = 1e-100
_FEW_NORMALS = 100  # to which the gaps of a feature are computed one by one


def _once(function: EvidenceFunction) -> EvidenceFunction:
    """Return a function that computes evidence about rows once, though others build on it."""

    @wraps(function)
    def shared(support: Support, rows: QueryRows) -> Array:
        return rows.once(function, lambda: function(support, rows))

    return shared


# --- distance to the normals ----------------------------------------------------------------------
@_once
def mahalanobis_raw(support: Support, rows: QueryRows) -> Array:
    """Compute the log Mahalanobis distance, Ledoit-Wolf covariance of the raw normals."""
    return np.log(support.raw.covariance.distance(rows.raw) + _TINY)


@_once
def mahalanobis_scaled(support: Support, rows: QueryRows) -> Array:
    """Compute the log Mahalanobis distance, Ledoit-Wolf covariance of the scaled normals."""
    return np.log(support.scaled.covariance.distance(rows.scaled) + _TINY)


@_once
def mahalanobis_pooled(support: Support, rows: QueryRows) -> Array:
    """Compute the log Mahalanobis distance, covariance shrunk to the pooled one."""
    return np.log(support.pooled_raw.covariance.distance(rows.pooled_raw) + _TINY)


# --- nearest normals ------------------------------------------------------------------------------
def nearest_pooled(support: Support, rows: QueryRows) -> Array:
    """Compute the log distance to the nearest normal, metric of :func:`mahalanobis_pooled`."""
    space = support.pooled_raw
    white = space.covariance.whiten(rows.pooled_raw)
    return _log_nearest(white, space.white_columns, k=1)


@_once
def nearest_scaled(support: Support, rows: QueryRows) -> Array:
    """Compute the log mean distance to the five nearest scaled normals."""
    return _log_nearest(rows.scaled, support.scaled.columns)


def nearest_relevant(support: Support, rows: QueryRows) -> Array:
    """Compute the same with features stretched by how far anomalies of other tasks left."""
    stretch = np.sqrt(support.relevance)
    columns = support.once("relevant columns", lambda: support.scaled.columns * stretch[:, None])
    return _log_nearest(rows.scaled * stretch, columns)


def coordinatewise(support: Support, rows: QueryRows) -> Array:
    """Average over features the log distance to the nearest normal in that feature alone."""
    if len(support.normals) <= _FEW_NORMALS:
        gap = nearest_in_sets(rows.scaled, _single_columns(rows.X.shape[1]), support.scaled.columns)
        return np.log(gap + 0.05).mean(axis=1)
    total = np.zeros(len(rows.X))
    for u, v in zip(rows.scaled.T, np.sort(support.scaled.normals, axis=0).T, strict=True):
        above = np.searchsorted(v, u)
        below = np.maximum(above - 1, 0)
        gap = np.minimum(np.abs(u - v[below]), np.abs(u - v[np.minimum(above, len(v) - 1)]))
        total += np.log(gap + 0.05)  # a twentieth of the spread is as good as none
    return total / rows.scaled.shape[1]


@_once
def _nearest_raw(support: Support, rows: QueryRows) -> Array:
    return _log_nearest(rows.raw, support.raw.columns)


@lru_cache(maxsize=8)
def _single_columns(n_features: int) -> ColumnSets:
    return ColumnSets.of([np.array([j]) for j in range(n_features)])


def _log_nearest(U: Array, columns: Array, k: int = 5) -> Array:
    """Compute the log mean distance to the k nearest points: (m, d), (d, n) -> (m,)."""
    distance, _ = nearest_columns(U, columns, min(k, columns.shape[1]))
    return np.log(np.sqrt(distance).mean(axis=1) + _TINY)


# --- across the normals' own axes -----------------------------------------------------------------
def off_axis(support: Support, rows: QueryRows) -> Array:
    """Compute the log Mahalanobis distance minus twice the log distance to nearest normals.

    Large where a row leaves across the axes along which normals vary, however little it leaves;
    small where it goes far along them. Raw features in an embedding, scaled ones in a table.
    """
    if support.is_embedding:
        return mahalanobis_raw(support, rows) - 2.0 * _nearest_raw(support, rows)
    return mahalanobis_scaled(support, rows) - 2.0 * nearest_scaled(support, rows)


def off_axis_pooled(support: Support, rows: QueryRows) -> Array:
    """Compute the same with the pooled metric."""
    if support.is_embedding:
        return mahalanobis_pooled(support, rows) - 2.0 * _nearest_raw(support, rows)
    return mahalanobis_pooled(support, rows) - 2.0 * nearest_scaled(support, rows)


def own_over_pooled(support: Support, rows: QueryRows) -> Array:
    """Compute the log ratio of distances by the support's own and by the pooled covariance."""
    return mahalanobis_raw(support, rows) - mahalanobis_pooled(support, rows)


# --- directions in which anomalies of other tasks leave -------------------------------------------
def directions_pooled(support: Support, rows: QueryRows) -> Array:
    """Compare a Gaussian with one widened along pooled anomaly directions, raw features."""

    def found() -> Array:
        space = support.pooled_raw
        return _widening(space.covariance, support._whitening.raw.turned_directions)

    return _log_square(row_product(rows.pooled_raw, support.once("widening, raw", found)))


def directions_scaled(support: Support, rows: QueryRows) -> Array:
    """Compare a Gaussian with one widened along pooled anomaly directions, scaled features."""
    white = support._whitening.scaled

    def found() -> Array:
        widening = _widening(support.pooled_scaled.covariance, white.turned_directions)
        return widening if support.is_part else white.project(widening)

    # few rows are left out: to turn them takes less time than to project the widening
    U = rows.pooled_scaled if support.is_part else rows.scaled
    return _log_square(row_product(U, support.once("widening, scaled", found)))


def _widening(covariance: ShrunkCovariance, directions: Array) -> Array:
    """Find F with d2_S(u) - d2_{S + C}(u) = |F' u|^2, C = (tr S / d) L L', by Woodbury: (d, r)."""
    gain = covariance.solve(directions)  # (d, r)
    if not gain.size:  # of tasks without directions; LAPACK prints a complaint about them
        return gain
    core = np.eye(directions.shape[1]) / covariance.level + directions.T @ gain
    solved, _ = dtrtrs(np.linalg.cholesky(core), gain.T, lower=1)
    return np.asarray(solved).T


def _log_square(Z: Array) -> Array:
    """Compute the log squared length of rows: (m, r) -> (m,)."""
    return np.log((Z * Z).sum(axis=1) + _TINY)
