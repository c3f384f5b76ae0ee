"""Estimate the covariance of few rows, shrunk towards a multiple of the identity."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .._typing import Array
from .compiled import row_product
from .moments import _EPS, TINY

_LEAST_INTENSITY = 1e-6
LEAST_VARIANCE = 1e-6  # of columns in units of their spread


class ShrunkCovariance:
    """Shrink the covariance of centred rows to a multiple of the identity.

    The covariance is ``(1 - a) S + a (tr S / d) I`` with the intensity ``a`` given or that of
    Ledoit and Wolf [1]_. Only its eigenvectors within the span of the rows are stored, so that no
    d x d matrix is needed when there are fewer rows than features.

    Parameters
    ----------
    centred : ndarray of shape (n, d)
        Rows minus their mean.
    intensity : float or None, default=None
        Share of the identity; None takes Ledoit and Wolf's.
    least_level : float, default=1e-200
        Smallest mean variance to assume, so that identical rows do not lead to a division by zero.

    References
    ----------
    .. [1] O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance
       matrices", Journal of Multivariate Analysis 88, 2004.
    """

    def __init__(
        self, centred: Array, intensity: float | None = None, least_level: float = TINY
    ) -> None:
        n, d = centred.shape
        gram = centred @ centred.T if n <= d else centred.T @ centred
        eigenvalues, vectors = np.linalg.eigh(gram)
        keep = eigenvalues > max(eigenvalues[-1], TINY) * max(n, d) * _EPS
        basis = vectors[:, keep]
        if n <= d:  # the n x n matrix has the same eigenvalues other than 0
            basis = centred.T @ (basis / np.sqrt(eigenvalues[keep]))
        variances = eigenvalues[keep] / n
        level = float(variances.sum() / d)
        if intensity is None:
            squares = gram.diagonal() if n <= d else (centred * centred).sum(axis=1)
            intensity = _ledoit_wolf_intensity(squares, d, variances)
        self.level = max(level, least_level)
        self.intensity = max(intensity, _LEAST_INTENSITY)
        self.basis: Array = np.ascontiguousarray(basis)  # (d, r)
        self.rest = self.intensity * self.level  # variance outside the span
        self.shrunk = (1.0 - self.intensity) * variances + self.rest  # (r,)

    def distance(self, U: Array) -> Array:
        """Compute the squared Mahalanobis distance of centred rows: (m, d) -> (m,)."""
        inside = row_product(U, self.basis)
        # Pythagoras gives the part outside the span; rounding may make it negative
        outside = np.maximum((U * U).sum(axis=1) - (inside * inside).sum(axis=1), 0.0)
        return (inside * inside / self.shrunk).sum(axis=1) + outside / self.rest

    def solve(self, V: Array) -> Array:
        """Multiply the columns of V by the inverse covariance: (d, c) -> (d, c)."""
        inside = self.basis.T @ V
        # I / rest is right outside the span; within it the difference is corrected
        gain = (1.0 / self.shrunk - 1.0 / self.rest)[:, None]
        return V / self.rest + self.basis @ (gain * inside)

    def whiten(self, U: Array) -> Array:
        """Multiply rows by the inverse square root of the covariance: (m, d) -> (m, d)."""
        gain = 1.0 / np.sqrt(self.shrunk) - 1.0 / np.sqrt(self.rest)
        inside = row_product(U, self.basis) * gain
        return U / np.sqrt(self.rest) + row_product(inside, self._back)

    @cached_property
    def _back(self) -> Array:
        return np.ascontiguousarray(self.basis.T)


def _ledoit_wolf_intensity(squares: Array, d: int, variances: Array) -> float:
    """Compute Ledoit and Wolf's shrinkage.

    Parameters
    ----------
    squares : ndarray of shape (n,)
        Squared length of each centred row.
    d : int
        Number of columns.
    variances : ndarray
        Eigenvalues of the empirical covariance other than 0.
    """
    n = len(squares)
    level = variances.sum() / d
    squared_norm = (variances * variances).sum()
    fourth_moment = (squares * squares).sum()
    # delta: squared distance of S to the target; beta: sampling error of S, at most delta
    delta = (squared_norm - d * level * level) / d
    beta = min((fourth_moment / n - squared_norm) / (d * n), delta)
    return float(beta / delta) if delta > 0 and beta > 0 else 0.0 if delta > 0 else 1.0
