"""A support set seen in several coordinate systems, each with a shrunken covariance.

The coordinate systems are the raw features, the features scaled by the support's own spread, and
both again after whitening by what the training tasks have in common (an empirical Bayes prior).
All are centred on the support's mean of the normals, in float64, so that features with a large
offset lose nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_EPS = np.finfo(np.float64).eps
_TINY = 1e-200
_LEAST_INTENSITY = 1e-6
_LEAST_SPREAD = 1e-6
_DEAD_SPREAD = 1e-3
_MOST_COLUMNS = 100


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
        self, centred: Array, intensity: float | None = None, least_level: float = _TINY
    ) -> None:
        n, d = centred.shape
        if n <= d:
            eigenvalues, vectors = np.linalg.eigh(centred @ centred.T)
            basis = centred.T @ vectors
        else:
            eigenvalues, basis = np.linalg.eigh(centred.T @ centred)
        keep = eigenvalues > max(eigenvalues[-1], _TINY) * max(n, d) * _EPS
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


@dataclass(frozen=True)
class Whitening:
    """Map to the space in which a pooled covariance is the identity.

    Attributes
    ----------
    basis : ndarray of shape (d, q)
        Leading eigenvectors of the pooled covariance.
    gain : ndarray of shape (q,)
        Inverse root of their (shrunken) eigenvalues.
    rest : float
        The same for all other directions.
    directions : ndarray of shape (d, r)
        Directions, in the whitened space, in which anomalies of other tasks leave.
    """

    basis: Array
    gain: Array
    rest: float
    directions: Array

    def __call__(self, U: Array) -> Array:
        """Whiten centred rows: (m, d) -> (m, d)."""
        return U * self.rest + ((U @ self.basis) * (self.gain - self.rest)) @ self.basis.T

    def embed(self, U: Array) -> Array:
        """Coordinates along the leading directions: (m, d) -> (m, q)."""
        return (U @ self.basis) * self.gain


@dataclass(frozen=True)
class Pooled:
    """What the training tasks have in common: a whitening of raw and one of scaled features."""

    raw: Whitening
    scaled: Whitening

    @classmethod
    def from_tasks(
        cls,
        tasks: Sequence[tuple[Array, Array]],
        *,
        rank: int | None = None,
        intensity: float = 0.1,
    ) -> Pooled:
        """Estimate from (normals, anomalies) of each training task.

        Parameters
        ----------
        tasks : sequence of (ndarray of shape (n, d), ndarray of shape (k, d))
            Rows of each task.
        rank : int or None, default=None
            Number of directions whitened one by one; None means all.
        intensity : float, default=0.1
            Share of the identity in the pooled covariance.
        """
        raw, scaled = [], []
        for normals, anomalies in tasks:
            mean = normals.mean(axis=0)
            N, A = normals - mean, anomalies - mean
            spread = feature_spread(normals)
            raw.append((N, A))
            scaled.append((N / spread, A / spread))
        return cls(_whitening(raw, rank, intensity), _whitening(scaled, rank, intensity))

    def to_arrays(self) -> dict[str, Array]:
        """Named arrays for a :class:`MetaState`."""
        return {
            f"pooled_{space}_{name}": np.asarray(value)
            for space, white in vars(self).items()
            for name, value in vars(white).items()
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Pooled | None:
        """The pooled statistics in a state's arrays, if it has any."""
        if "pooled_raw_basis" not in arrays:
            return None
        names = ("basis", "gain", "rest", "directions")
        spaces = ([arrays[f"pooled_{space}_{n}"] for n in names] for space in ("raw", "scaled"))
        return cls(*(Whitening(b, gain, float(rest), dirs) for b, gain, rest, dirs in spaces))


def _whitening(
    centred: Sequence[tuple[Array, Array]], rank: int | None, intensity: float
) -> Whitening:
    d = centred[0][0].shape[1]
    pooled = np.zeros((d, d))
    for N, _ in centred:
        total = (N * N).sum()
        if total > 0:
            pooled += (N.T @ N) * (d / total)  # each task weighs the same, whatever its scale
    pooled /= max(len(centred), 1)
    eigenvalues, basis = np.linalg.eigh(pooled)
    eigenvalues, basis = np.maximum(eigenvalues[::-1], 0.0), basis[:, ::-1]
    level = max(eigenvalues.mean(), _TINY)
    shrunk = (1.0 - intensity) * eigenvalues + intensity * level
    q = d if rank is None else min(rank, d)
    rest = shrunk[q:].mean() if q < d else intensity * level
    white = Whitening(
        np.ascontiguousarray(basis[:, :q]),
        1.0 / np.sqrt(shrunk[:q]),
        float(1.0 / np.sqrt(rest)),
        np.zeros((d, 0)),
    )
    return Whitening(white.basis, white.gain, white.rest, _anomaly_directions(centred, white))


def _anomaly_directions(centred: Sequence[tuple[Array, Array]], white: Whitening) -> Array:
    """Scaled eigenvectors of the anomalies' excess scatter over the normals', mean over tasks."""
    d = white.basis.shape[0]
    excess, n_tasks = np.zeros((d, d)), 0
    for N, A in centred:
        if len(A) == 0:
            continue
        N, A = white(N), white(A)
        scale = (N * N).mean()
        if scale > 0:
            excess += (A.T @ A / len(A) - N.T @ N / len(N)) / scale
            n_tasks += 1
    if n_tasks == 0:
        return np.zeros((d, 0))
    eigenvalues, vectors = np.linalg.eigh(excess / n_tasks)
    r = min(30 if d > 60 else 4, d)
    return vectors[:, ::-1][:, :r] * np.sqrt(np.maximum(eigenvalues[::-1][:r], 0.0))


def stable_mean(rows: Array) -> Array:
    """Mean of rows, exact for equal ones: (n, d) -> (d,)."""
    return rows[0] + (rows - rows[0]).mean(axis=0)


def feature_spread(normals: Array) -> Array:
    """Standard deviation of each feature, in its own unit: (n, d) -> (d,).

    A feature that never varied, or a million times less than others, gets a thousandth of the mean
    deviation: a row in which it does vary stands out, and finitely.
    """
    spread = normals.std(axis=0)
    noise = 4.0 * _EPS * np.abs(normals).max(axis=0)  # what rounding alone makes of a constant
    alive = spread > np.maximum(noise, _LEAST_SPREAD * spread.mean())
    if not alive.any():
        return np.maximum(noise, 1.0)
    return np.where(alive, spread, _DEAD_SPREAD * spread[alive].mean())


def is_embedding(n_features: int) -> bool:
    """Whether rows of so many features are taken for an embedding.

    The columns of a table have units of their own; the coordinates of an embedding share one, and
    their relative spread is information.
    """
    return n_features > _MOST_COLUMNS


class Space:
    """Normals and anomalies of a support in one coordinate system.

    Parameters
    ----------
    normals : ndarray of shape (n, d)
        Centred normal rows.
    anomalies : ndarray of shape (k, d)
        Anomalous rows, centred on the normals.
    intensity : float or None
        Shrinkage of the normals' covariance; None takes Ledoit and Wolf's.
    least_level : float
        Smallest mean variance to assume.
    """

    def __init__(
        self, normals: Array, anomalies: Array, intensity: float | None, least_level: float
    ) -> None:
        self.normals = normals
        self.anomalies = anomalies
        self.least_level = least_level
        self.covariance = ShrunkCovariance(normals, intensity, least_level)

    @cached_property
    def white_normals(self) -> Array:
        """Normals whitened by their own shrunken covariance."""
        return self.covariance.whiten(self.normals)

    @cached_property
    def anomaly_mean(self) -> Array:
        """Prototype of the anomalies relative to that of the normals: (d,)."""
        return self.anomalies.mean(axis=0)

    @cached_property
    def discriminant(self) -> Array:
        """Fisher's direction with the shrunken covariance within both classes: (d,)."""
        within = np.concatenate([self.normals, self.anomalies - self.anomaly_mean])
        covariance = ShrunkCovariance(within, None, self.least_level)
        return covariance.solve(self.anomaly_mean[:, None])[:, 0]

    @cached_property
    def normal_discriminant(self) -> Array:
        """The same with the normals' covariance alone, at unit length in its metric: (d,)."""
        direction = self.covariance.solve(self.anomaly_mean[:, None])[:, 0]
        return direction / np.sqrt(max(float(direction @ self.anomaly_mean), _TINY))


class Support:
    """A support set and the coordinate systems in which evidence looks at it.

    Parameters
    ----------
    normals : ndarray of shape (n, d)
    anomalies : ndarray of shape (k, d)
    pooled : Pooled or None, default=None
        What the training tasks have in common.
    reference : Support or None, default=None
        The whole support of which this one is a part: lends its spread to a part of one row, which
        has none of its own.
    """

    def __init__(
        self,
        normals: Array,
        anomalies: Array,
        pooled: Pooled | None = None,
        reference: Support | None = None,
    ) -> None:
        self.normals = normals
        self.anomalies = anomalies
        self.pooled = pooled
        self.mean = stable_mean(normals)
        self.N = normals - self.mean
        self.A = anomalies - self.mean
        lender = reference if reference is not None and len(normals) < 2 else None
        self.spread: Array = feature_spread(normals) if lender is None else lender.spread
        self._lender = lender

    @property
    def is_embedding(self) -> bool:
        """Whether the raw metric is information."""
        return is_embedding(self.normals.shape[1])

    def rows(self, X: Array) -> Rows:
        """Rows to be judged, relative to this support."""
        return Rows(X, self)

    def _space(self, N: Array, A: Array, intensity: float | None, name: str) -> Space:
        floor = _TINY if self._lender is None else getattr(self._lender, name).covariance.level
        return Space(N, A, intensity, floor)

    @cached_property
    def raw(self) -> Space:
        """Features as they are."""
        return self._space(self.N, self.A, None, "raw")

    @cached_property
    def scaled(self) -> Space:
        """Features divided by the support's own spread."""
        return self._space(self.N / self.spread, self.A / self.spread, None, "scaled")

    @cached_property
    def pooled_raw(self) -> Space:
        """Raw features, whitened by the pooled covariance."""
        white = self._whitening.raw
        return self._space(white(self.N), white(self.A), 0.05, "pooled_raw")

    @cached_property
    def pooled_scaled(self) -> Space:
        """Scaled features, whitened by the pooled correlation."""
        white = self._whitening.scaled
        N, A = white(self.N / self.spread), white(self.A / self.spread)
        return self._space(N, A, None, "pooled_scaled")

    @property
    def _whitening(self) -> Pooled:
        if self.pooled is None:
            raise ValueError("This evidence needs meta_fit: nothing pooled from training tasks.")
        return self.pooled


class Rows:
    """Rows to be judged, in each coordinate system of a support; each is computed once.

    Attributes
    ----------
    X : ndarray of shape (m, d)
        The rows as given.
    """

    def __init__(self, X: Array, support: Support) -> None:
        self.X = X
        self._support = support
        limit = 1e12 * max(float(support.spread.max()), float(np.abs(support.N).max(initial=0.0)))
        self._centred = np.clip(X - support.mean, -limit, limit)

    @property
    def raw(self) -> Array:
        return self._centred

    @cached_property
    def scaled(self) -> Array:
        return self._centred / self._support.spread

    @cached_property
    def pooled_raw(self) -> Array:
        return self._support._whitening.raw(self._centred)

    @cached_property
    def pooled_scaled(self) -> Array:
        return self._support._whitening.scaled(self.scaled)
