"""Compute means and spreads of few rows, finite for degenerate rows too.

Mean and spread leave out missing entries; a column without any entry has mean 0 and the spread of
a constant column.
"""

from __future__ import annotations

import numpy as np

from .._typing import Array

TINY = 1e-200
FAR = 1e100  # its square is finite
NEAR = 5.0  # spreads within which features are not compressed
_EPS = np.finfo(np.float64).eps
_LEAST_SPREAD = 1e-6
_LEAST_VALUE = 1e-250
_DEAD_SPREAD = 1e-3
_FAR_VALUE = 1e6  # median deviations
_MOST_VALUES = 2**20  # that are sorted together
MOST_COLUMNS = 100  # of a table; wider rows may be embeddings, and take long


def stable_mean(rows: Array) -> Array:
    """Compute the mean of rows, exact for equal ones: (n, d) -> (d,)."""
    known = ~np.isnan(rows)
    if known.all():
        return rows[0] + (rows - rows[0]).mean(axis=0)
    first = np.where(known.any(axis=0), rows[known.argmax(axis=0), np.arange(rows.shape[1])], 0.0)
    return first + np.where(known, rows - first, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def feature_spread(normals: Array) -> Array:
    """Compute the standard deviation of each feature, in its own unit: (n, d) -> (d,).

    A feature that is constant, or varies a million times less than the mean of all, gets a
    thousandth of the mean deviation of the others: a row in which it differs gets a large but
    finite score. Single values that lie a million times as far out as the others of their feature,
    such as marks of a failed sensor, do not count for these means.
    """
    known, given = ~np.isnan(normals), normals
    if not known.all():
        normals = np.where(known, normals, stable_mean(normals))
    spread = normals.std(axis=0) * np.sqrt(len(normals) / np.maximum(known.sum(axis=0), 1))
    noise = 4.0 * _EPS * np.abs(normals).max(axis=0)  # spread of a constant, by rounding alone
    alive = spread > np.maximum(noise, _LEAST_SPREAD * spread.mean())
    if not alive.any():
        return np.maximum(noise, 1.0)
    if alive.all():
        return np.asarray(spread)
    usual = without_far_values(given, spread)
    alive = spread > np.maximum(noise, _LEAST_SPREAD * usual.mean())
    if not usual[alive].any():  # ones among zeros lie far out beside values next to zero
        usual = spread
    return np.where(alive, spread, _DEAD_SPREAD * usual[alive].mean())


def without_far_values(normals: Array, spread: Array) -> Array:
    """Replace spreads by those without values far from the others: (n, d), (d,) -> (d,)."""
    normals = np.where(np.isnan(normals).all(axis=0), 0.0, normals)
    centre = np.nanmedian(normals, axis=0)
    away = np.abs(normals - centre)
    typical = np.nanmedian(away, axis=0)
    typical = np.where(typical > 0, typical, typical.max())  # most rows may hold the same value
    far = (away > _FAR_VALUE * typical) & (typical > 0)
    if not far.any():
        return spread
    return np.where(far.any(axis=0), np.nanstd(np.where(far, centre, normals), axis=0), spread)


def without_traces(Z: Array) -> Array:
    """Take values within 1e-250 of zero for zero: ratios and slopes of them may overflow."""
    return np.where(np.abs(Z) < _LEAST_VALUE, 0.0, Z)


def compressed(Z: Array) -> Array:
    """Compress features given in their spreads: linear up to five, logarithmic beyond."""
    excess = np.maximum(np.abs(Z) - NEAR, 0.0)
    return np.clip(Z, -NEAR, NEAR) + np.sign(Z) * np.log1p(excess)


def are_embeddings(rows: Array) -> bool:
    """Tell whether rows are embeddings: more than 100 features, under half the values repeated.

    The columns of a table have units of their own; the coordinates of an embedding share one, and
    their relative spread is information. A wide table of counts or of ones and zeros is a table.
    Rows of many zeros, as networks with rectified outputs give, are embeddings too if what is not
    zero hardly repeats.
    """
    if rows.shape[1] <= MOST_COLUMNS:
        return False
    return repeated_share(rows) < 0.5 or _distinct_beside_zero(rows) > 0.9


def _distinct_beside_zero(rows: Array) -> float:
    """Compute how many values there are for each entry that is neither zero nor missing."""
    values = rows[(rows != 0.0) & ~np.isnan(rows)]
    return len(np.unique(values)) / max(len(values), 1)


def repeated_share(rows: Array) -> float:
    """Compute the share of repeated values in a column, averaged over columns."""
    n, d = rows.shape
    at_once = max(1, _MOST_VALUES // n)
    n_values = 0
    for first in range(0, d, at_once):
        ordered = np.sort(rows[:, first : first + at_once], axis=0)  # missing entries come last
        new = (ordered[1:] != ordered[:-1]) & ~np.isnan(ordered[:-1])
        n_values += ordered.shape[1] + int(np.count_nonzero(new))
    return 1.0 - n_values / d / n
