"""Statistics pooled over training tasks: covariances and directions of anomalies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from scipy.linalg import eigh

from .._stats.compiled import row_product
from .._stats.moments import TINY, feature_spread
from .._typing import Array


@dataclass(frozen=True)
class Whitening:
    """Map rows to the space in which a pooled covariance is the identity.

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
        inside = row_product(U, self._onto) * (self.gain - self.rest)
        return U * self.rest + row_product(inside, self._back)

    def embed(self, U: Array) -> Array:
        """Return coordinates along the leading directions: (m, d) -> (m, q)."""
        return row_product(U, self._onto) * self.gain

    def turned(self, U: Array) -> Array:
        """Whiten centred rows up to a rotation, which no distance sees: (m, d) -> (m, d)."""
        return self.embed(U) if self._is_full else self(U)

    def turned_together(self, U: Array) -> Array:
        """Do the same by BLAS, which is faster; the bits of a row depend on the others."""
        return (U @ self.basis) * self.gain if self._is_full else self(U)

    @cached_property
    def turned_directions(self) -> Array:
        """``directions`` in the coordinates of :meth:`turned`: (d, r)."""
        return self.basis.T @ self.directions if self._is_full else self.directions

    def project(self, directions: Array) -> Array:
        """Return what rows are multiplied by to get the products of the turned ones: (d, r)."""
        if self._is_full:
            return self.basis @ (self.gain[:, None] * directions)
        inside = (self.gain - self.rest)[:, None] * (self.basis.T @ directions)
        return self.rest * directions + self.basis @ inside

    @property
    def _is_full(self) -> bool:
        return self.basis.shape[0] == self.basis.shape[1]

    @cached_property
    def _onto(self) -> Array:
        return np.ascontiguousarray(self.basis)

    @cached_property
    def _back(self) -> Array:
        return np.ascontiguousarray(self.basis.T)


@dataclass(frozen=True)
class Pooled:
    """Hold the statistics pooled over training tasks.

    Attributes
    ----------
    raw, scaled : Whitening
        Of the raw features, and of those scaled by each task's own spread.
    relevance : ndarray of shape (d,)
        How far anomalies leave along each feature: the geometric mean over tasks of their median
        squared deviation, in units of the normals' variance.
    """

    raw: Whitening
    scaled: Whitening
    relevance: Array

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
        return cls(
            whitening(raw, rank, intensity),
            whitening(scaled, rank, intensity),
            _relevance([A for _, A in scaled]),
        )

    def to_arrays(self) -> dict[str, Array]:
        """Return named arrays for a :class:`MetaState`."""
        return {
            f"pooled_{space}_{name}": np.asarray(value)
            for space, white in (("raw", self.raw), ("scaled", self.scaled))
            for name, value in ((f.name, getattr(white, f.name)) for f in fields(white))
        } | {"pooled_relevance": self.relevance}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Pooled | None:
        """Return the pooled statistics in a state's arrays, if it has any."""
        if "pooled_raw_basis" not in arrays:
            return None
        names = ("basis", "gain", "rest", "directions")
        spaces = ([arrays[f"pooled_{space}_{n}"] for n in names] for space in ("raw", "scaled"))
        raw, scaled = (Whitening(b, gain, float(rest), dirs) for b, gain, rest, dirs in spaces)
        return cls(raw, scaled, arrays["pooled_relevance"])


def _relevance(anomalies: Sequence[Array]) -> Array:
    """Compute the relevance of :class:`Pooled`; ones where no task has anomalies."""
    medians = [np.log(np.median(A * A, axis=0) + 0.1) for A in anomalies if len(A)]
    return np.exp(np.mean(medians, axis=0)) if medians else np.ones(anomalies[0].shape[1])


def whitening(
    centred: Sequence[tuple[Array, Array]], rank: int | None, intensity: float = 0.1
) -> Whitening:
    """Make a whitening by the covariance pooled within tasks, from centred (normals, anomalies)."""
    d = centred[0][0].shape[1]
    pooled = np.zeros((d, d))
    for N, _ in centred:
        total = (N * N).sum()
        if total > TINY:
            weighed = N * np.sqrt(d / total)  # each task weighs the same, whatever its scale
            pooled += weighed.T @ weighed
    pooled /= max(len(centred), 1)
    eigenvalues, basis = np.linalg.eigh(pooled)
    eigenvalues, basis = np.maximum(eigenvalues[::-1], 0.0), basis[:, ::-1]
    level = eigenvalues.mean() if eigenvalues.mean() > TINY else 1.0  # no task varies
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
    """Find scaled eigenvectors of the anomalies' excess scatter over the normals', over tasks."""
    d, q = white.basis.shape
    excess, n_tasks = np.zeros((d, d)), 0
    for N, A in centred:
        if len(A) == 0:
            continue
        N, A = white.turned_together(N), white.turned_together(A)
        scale = (N * N).mean()
        if scale > TINY:
            N, A = N / np.sqrt(len(N) * scale), A / np.sqrt(len(A) * scale)
            excess += A.T @ A
            excess -= N.T @ N
            n_tasks += 1
    if n_tasks == 0:
        return np.zeros((d, 0))
    r = min(30 if d > 60 else 4, d)
    eigenvalues, vectors = eigh(excess / n_tasks, subset_by_index=[d - r, d - 1])
    directions = vectors[:, ::-1] * np.sqrt(np.maximum(eigenvalues[::-1], 0.0))
    return white.basis @ directions if q == d else directions
