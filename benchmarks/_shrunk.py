"""Ledoit-Wolf covariance from few rows, without ever building a matrix of features by features."""

from __future__ import annotations

import numpy as np

TINY = 1e-12


def ledoit_wolf_intensity(Z: np.ndarray) -> float:
    """Return how much Ledoit and Wolf shrink the covariance of centred rows to the identity.

    It equals ``sklearn.covariance.ledoit_wolf_shrinkage(Z, assume_centered=True)``, from inner
    products of rows only.

    Parameters
    ----------
    Z : ndarray of shape (n, d)
        Centred rows.

    References
    ----------
    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004.
    """
    n, d = Z.shape
    gram = Z @ Z.T if n < d else Z.T @ Z  # the same sum of squares either way
    of_squares = (gram**2).sum() / n**2
    lengths = (Z**2).sum(axis=1)
    mean_variance = lengths.sum() / (n * d)
    beta = ((lengths**2).sum() / n - of_squares) / (n * d)
    delta = of_squares / d - mean_variance**2
    return float(np.clip(beta / delta, 0.0, 1.0)) if delta > TINY * mean_variance**2 else 1.0


class ShrunkCovariance:
    """Ledoit-Wolf covariance of centred rows, kept as the rows' singular vectors.

    Parameters
    ----------
    Z : ndarray of shape (n, d)
        Centred rows.
    """

    def __init__(self, Z: np.ndarray) -> None:
        n, d = Z.shape
        intensity = ledoit_wolf_intensity(Z)
        _, singular, vectors = np.linalg.svd(Z, full_matrices=False)
        floor = intensity * (Z**2).sum() / (n * d)
        largest = singular[0] ** 2 / n if len(singular) else 0.0
        self.rest = max(floor, TINY * largest, TINY)  # variance in the directions no row spans
        self.variances = np.maximum((1 - intensity) * singular**2 / n + floor, self.rest)  # (r,)
        self.vectors = vectors  # (r, d)

    def squared_distance(self, Z: np.ndarray) -> np.ndarray:
        """Return z' C^-1 z for every row z."""
        along = Z @ self.vectors.T  # (m, r)
        inside = (along**2 / self.variances).sum(axis=1)
        if len(self.vectors) == Z.shape[1]:
            return inside
        outside = (Z**2).sum(axis=1) - (along**2).sum(axis=1)
        return inside + np.maximum(outside, 0.0) / self.rest

    def solve(self, v: np.ndarray) -> np.ndarray:
        """Return C^-1 v for one vector."""
        along = self.vectors @ v  # (r,)
        inside = self.vectors.T @ (along / self.variances)
        if len(self.vectors) == len(v):
            return inside
        return inside + (v - self.vectors.T @ along) / self.rest
