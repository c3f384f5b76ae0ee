"""A part of a support, which shares with the whole what does not depend on what is left out."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .._stats.moments import stable_mean
from .._typing import Array, Mask
from .coordinates import Coordinates
from .support import QueryRows, Support

_MOST_OFFSET = 1e6  # of a part among the rows of the whole, in units of its own size


class Part(Support):
    """Hold some rows of a support.

    Parameters
    ----------
    whole : Support
    normals : ndarray of shape (n,), dtype bool
        Which of its normals are in the part.
    anomalies : ndarray of shape (k,), dtype bool
        Which of its anomalies are.
    """

    def __init__(self, whole: Support, normals: Mask, anomalies: Mask) -> None:
        super().__init__(whole.normals[normals], whole.anomalies[anomalies], whole.pooled, whole)
        self._whole = whole
        self._kept = normals, anomalies

    def left_out(self, n_neighbours: int) -> LeftOutRows:
        """Return the rows of the whole that are not in the part, normals first."""
        normals, anomalies = self._kept
        X = np.concatenate([self._whole.normals[~normals], self._whole.anomalies[~anomalies]])
        return LeftOutRows(X, self, n_neighbours)

    @cached_property
    def pooled_raw(self) -> Coordinates:
        """Raw features, whitened by the pooled covariance up to a rotation."""
        if self._turned is None:
            return super().pooled_raw
        N, A, _ = self._turned
        return self._centred(N, A, 0.05, "pooled_raw")

    @cached_property
    def _turned(self) -> tuple[Array, Array, Array] | None:
        """Normals, anomalies and left-out rows as the whole has whitened them, centred anew.

        None where these have lost digits, since a row far from all others has moved their centre.
        """
        space, (normals, anomalies) = self._whole.pooled_raw, self._kept
        N = space.normals[normals]
        mean = stable_mean(N)
        if np.abs(mean).max() > _MOST_OFFSET * np.abs(N - mean).max():
            return None
        out = np.concatenate([space.normals[~normals], space.anomalies[~anomalies]])
        return N - mean, space.anomalies[anomalies] - mean, out - mean


class LeftOutRows(QueryRows):
    """Hold the rows of a support that are not in a part of it."""

    def __init__(self, X: Array, part: Part, n_neighbours: int) -> None:
        super().__init__(X, part, n_neighbours)
        self._part = part

    @cached_property
    def pooled_raw(self) -> Array:
        """Raw features, whitened by the pooled covariance up to a rotation."""
        turned = self._part._turned
        is_clipped = not np.array_equal(self.raw, self.X - self._part.mean)
        return super().pooled_raw if turned is None or is_clipped else turned[2]
