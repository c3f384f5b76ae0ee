"""Statistics of few rows: mean, spread and shrunken covariance, harmless for degenerate rows.

Mean and spread leave out missing entries; a column without any entry has mean 0 and a spread like
one that never varied.
"""

from __future__ import annotations

import numpy as np

from .._typing import Array

TINY = 1e-200
FAR = 1e100  # its square is finite
NEAR = 5.0  # spreads within which features are not compressed
_EPS = np.finfo(np.float64).eps
_LEAST_SPREAD = 1e-6
_DEAD_SPREAD = 1e-3
_MOST_COLUMNS = 100


def stable_mean(rows: Array) -> Array:
    """Mean of rows, exact for equal ones: (n, d) -> (d,)."""
    known = ~np.isnan(rows)
    if known.all():
        return rows[0] + (rows - rows[0]).mean(axis=0)
    first = np.where(known.any(axis=0), rows[known.argmax(axis=0), np.arange(rows.shape[1])], 0.0)
    return first + np.where(known, rows - first, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def feature_spread(normals: Array) -> Array:
    """Standard deviation of each feature, in its own unit: (n, d) -> (d,).

    A feature that never varied, or a million times less than others, gets a thousandth of the mean
    deviation: a row in which it does vary stands out, and finitely.
    """
    known = ~np.isnan(normals)
    if not known.all():
        normals = np.where(known, normals, stable_mean(normals))
    spread = normals.std(axis=0) * np.sqrt(len(normals) / np.maximum(known.sum(axis=0), 1))
    noise = 4.0 * _EPS * np.abs(normals).max(axis=0)  # what rounding alone makes of a constant
    alive = spread > np.maximum(noise, _LEAST_SPREAD * spread.mean())
    if not alive.any():
        return np.maximum(noise, 1.0)
    return np.where(alive, spread, _DEAD_SPREAD * spread[alive].mean())


def compressed(Z: Array) -> Array:
    """Features in their spreads: linear up to five, logarithmic beyond."""
    excess = np.maximum(np.abs(Z) - NEAR, 0.0)
    return np.clip(Z, -NEAR, NEAR) + np.sign(Z) * np.log1p(excess)


def is_embedding(n_features: int) -> bool:
    """Whether rows of so many features are taken for an embedding.

    The columns of a table have units of their own; the coordinates of an embedding share one, and
    their relative spread is information.
    """
    return n_features > _MOST_COLUMNS


def are_embeddings(rows: Array) -> bool:
    """Whether rows are taken for embeddings: so many features, of which few repeat a value."""
    return is_embedding(rows.shape[1]) and repeated_share(rows) < 0.5


def repeated_share(rows: Array) -> float:
    """Share of values that are not new in their column, mean over columns."""
    return 1.0 - float(np.mean([len(np.unique(column)) for column in rows.T])) / len(rows)
