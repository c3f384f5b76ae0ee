"""Find query rows that equal a row of the support, so that they get its leave-one-out score."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..._input.labels import ANOMALOUS
from ..._typing import Array, Codes, Mask

_MOST_MET_AGAIN = 0.1  # of fresh normals
_LONG_KEY = 16  # columns
_ODD = np.uint64(0x9E3779B97F4A7C15)


class SupportLookup:
    """Find the normal rows of a support among other rows, by their values.

    The distance of a row to itself is 0, so that it gets a lower anomaly score than any fresh row
    when it is part of the support. Where many fresh normals are expected to equal a row of the
    support, as estimated from the number of rows that occur twice in it [1]_, none is found.

    Parameters
    ----------
    positions : dict of bytes to int
        Bytes of a row, or a digest of them -> its position in the support.
    sums : ndarray of shape (n_known,), dtype uint64
        Check sums of these rows: only rows that have one of them are looked up.

    References
    ----------
    .. [1] I. J. Good, "The population frequencies of species and the estimation of population
       parameters", Biometrika 40, 1953.
    """

    def __init__(self, positions: dict[bytes, int], sums: NDArray[np.uint64]) -> None:
        self._positions = positions
        self._sums = np.unique(sums)

    @classmethod
    def of(cls, X: Array, y: Codes) -> Self:
        """Index the normals of a support: (n_support, d), (n_support,) with 1 for the anomalies."""
        normal = np.flatnonzero(y != ANOMALOUS)
        keys = row_keys(X[normal])
        times = Counter(keys)
        once = {k: i for k, i in zip(keys, normal.tolist(), strict=True) if times[k] == 1}
        # Good's estimate of the probability that a fresh row equals one that occurs once
        met_again = 2 * sum(n == 2 for n in times.values()) / len(normal)
        if met_again >= _MOST_MET_AGAIN:
            once = {}
        return cls(once, check_sums(X[list(once.values())]))

    @property
    def positions(self) -> NDArray[np.intp]:
        """Positions in the support of the rows that are found."""
        return np.array([*self._positions.values()], dtype=np.intp)

    def find(self, X: Array) -> NDArray[np.intp]:
        """Look up the position of each row in the support, -1 if it has none: (m, d) -> (m,)."""
        found = np.full(len(X), -1, dtype=np.intp)
        if not self._positions:
            return found
        sums = check_sums(X)
        place = np.searchsorted(self._sums, sums).clip(max=len(self._sums) - 1)
        known = np.flatnonzero(self._sums[place] == sums)
        found[known] = [self._positions.get(key, -1) for key in row_keys(X[known])]
        return found


def occur_in(X: Array, known: Array) -> Mask:
    """Mark the rows that equal one of the known rows: (m, d), (n, d) -> (m,)."""
    # of many rows only these; the other kind of search overflows in NumPy 2.0
    candidates = known[np.isin(check_sums(known), check_sums(X), kind="sort")]
    keys = set(row_keys(candidates))
    return np.array([key in keys for key in row_keys(X)], dtype=bool)


def check_sums(X: Array) -> NDArray[np.uint64]:
    """Sum the bits of each row, times odd numbers; equal for equal rows: (m, d) -> (m,)."""
    bits = np.ascontiguousarray(X + 0.0).view(np.uint64)  # no minus zero
    factors = _ODD ** np.arange(1, X.shape[1] + 1, dtype=np.uint64)
    return np.asarray(bits @ factors, dtype=np.uint64)


def row_keys(X: Array) -> list[bytes]:
    """Make a hashable key for each row, equal for equal rows: (m, d) -> m keys."""
    X = np.ascontiguousarray(X + 0.0)  # no minus zero
    if X.shape[1] <= _LONG_KEY:
        return [row.tobytes() for row in X]
    return [blake2b(row, digest_size=16).digest() for row in X]
