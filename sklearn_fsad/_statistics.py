"""Statistics of few rows: mean, spread and shrunken covariance, harmless for degenerate rows.

Mean and spread leave out missing entries; a column without any entry has mean 0 and a spread like
one that never varied.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]

TINY = 1e-200
FAR = 1e100  # its square is finite
NEAR = 5.0  # spreads within which features are not compressed
_EPS = np.finfo(np.float64).eps
_LEAST_INTENSITY = 1e-6
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


def column_aucs(scores: Array, anomalous: NDArray[np.bool_]) -> Array:
    """ROC AUC of each column of scores: (m, c), (m,) -> (c,); NaN for a column that has one."""
    n1, n0 = anomalous.sum(), (~anomalous).sum()
    ranks = rankdata(scores, axis=0)[anomalous].sum(axis=0)
    return (ranks - n1 * (n1 + 1) / 2) / (n1 * n0)


class ShrunkCovariance:
    """Covariance of centred rows, shrunk to a multiple of the identity.

    ``(1 - a) S + a (tr S / d) I`` with the intensity ``a`` given or that of Ledoit and Wolf [1]_,
    held by its eigenvectors within the rows' span, so that nothing of size d x d is ever made when
    there are fewer rows than features.

    Parameters
    ----------
    centred : ndarray of shape (n, d)
        Rows minus their mean.
    intensity : float or None, default=None
        Share of the identity; None takes Ledoit and Wolf's.
    least_level : float, default=1e-200
        Smallest mean variance to assume: what makes identical rows harmless.

    References
    ----------
    .. [1] O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance
       matrices", Journal of Multivariate Analysis 88, 2004.
    """

    def __init__(
        self, centred: Array, intensity: float | None = None, least_level: float = TINY
    ) -> None:
        n, d = centred.shape
        if n <= d:
            eigenvalues, vectors = np.linalg.eigh(centred @ centred.T)
            basis = centred.T @ vectors
        else:
            eigenvalues, basis = np.linalg.eigh(centred.T @ centred)
        keep = eigenvalues > max(eigenvalues[-1], TINY) * max(n, d) * _EPS
        basis = basis[:, keep] / (np.sqrt(eigenvalues[keep]) if n <= d else 1.0)
        variances = eigenvalues[keep] / n
        level = float(variances.sum() / d)
        if intensity is None:
            intensity = _ledoit_wolf_intensity(centred, variances)
        self.level = max(level, least_level)
        self.intensity = max(intensity, _LEAST_INTENSITY)
        self.basis = basis  # (d, r)
        self.rest = self.intensity * self.level  # variance outside the span
        self.shrunk = (1.0 - self.intensity) * variances + self.rest  # (r,)

    def distance(self, U: Array) -> Array:
        """Squared Mahalanobis distance of centred rows: (m, d) -> (m,)."""
        inside = U @ self.basis
        outside = np.maximum((U * U).sum(axis=1) - (inside * inside).sum(axis=1), 0.0)
        return (inside * inside / self.shrunk).sum(axis=1) + outside / self.rest

    def solve(self, V: Array) -> Array:
        """Inverse covariance times the columns of V: (d, c) -> (d, c)."""
        inside = self.basis.T @ V
        gain = (1.0 / self.shrunk - 1.0 / self.rest)[:, None]
        return V / self.rest + self.basis @ (gain * inside)

    def whiten(self, U: Array) -> Array:
        """Rows times the inverse square root of the covariance: (m, d) -> (m, d)."""
        gain = 1.0 / np.sqrt(self.shrunk) - 1.0 / np.sqrt(self.rest)
        return U / np.sqrt(self.rest) + ((U @ self.basis) * gain) @ self.basis.T


def _ledoit_wolf_intensity(centred: Array, variances: Array) -> float:
    """Ledoit and Wolf's shrinkage from the eigenvalues of the empirical covariance."""
    n, d = centred.shape
    level = variances.sum() / d
    squared_norm = (variances * variances).sum()
    fourth_moment = ((centred * centred).sum(axis=1) ** 2).sum()
    delta = (squared_norm - d * level * level) / d
    beta = min((fourth_moment / n - squared_norm) / (d * n), delta)
    return float(beta / delta) if delta > 0 and beta > 0 else 0.0 if delta > 0 else 1.0
