"""Find rows that equal a row of the support, so that they get its leave-one-out score."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..._input.labels import ANOMALOUS
from ..._typing import Array, Codes

_MOST_MET_AGAIN = 0.1  # of fresh normals
_LONG_KEY = 16  # columns


class SupportLookup:
    """Normal rows of a support, found again among others by their values.

    A row is infinitely near to itself: where it takes part in its own comparison it looks more
    normal than any fresh row. Where many fresh normals are to be expected that equal one of the
    support, by how many of these there are twice [1]_, none is found.

    Parameters
    ----------
    positions : dict of bytes to int
        What a row holds, or a digest of it -> its position in the support.

    References
    ----------
    .. [1] I. J. Good, "The population frequencies of species and the estimation of population
       parameters", Biometrika 40, 1953.
    """

    def __init__(self, positions: dict[bytes, int]) -> None:
        self._positions = positions

    @classmethod
    def of(cls, X: Array, y: Codes) -> Self:
        """Those of a support: (n_support, d), (n_support,) with 1 for the anomalies."""
        normal = np.flatnonzero(y != ANOMALOUS)
        keys = row_keys(X[normal])
        times = Counter(keys)
        once = {k: i for k, i in zip(keys, normal.tolist(), strict=True) if times[k] == 1}
        met_again = 2 * sum(n == 2 for n in times.values()) / len(normal)
        return cls(once if met_again < _MOST_MET_AGAIN else {})

    def find(self, X: Array) -> NDArray[np.intp]:
        """Position in the support of each row, -1 where it is another: (m, d) -> (m,)."""
        return np.array([self._positions.get(key, -1) for key in row_keys(X)], dtype=np.intp)


def row_keys(X: Array) -> list[bytes]:
    """What tells rows apart: (m, d) -> m keys."""
    X = np.ascontiguousarray(X + 0.0)  # no minus zero
    if X.shape[1] <= _LONG_KEY:
        return [row.tobytes() for row in X]
    return [blake2b(row, digest_size=16).digest() for row in X]
