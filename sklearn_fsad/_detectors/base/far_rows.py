"""Find rows far outside of the support, so that they always count as anomalies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ..._stats.moments import feature_spread
from ..._typing import Array, Mask

_MOST_SPREADS = 1e12


@dataclass(frozen=True)
class Range:
    """Hold the range of a support's columns, widened by 1e12 spreads of its normals.

    A discriminant between normals and labelled anomalies would call a row far out on the side of
    the normals the most normal of all, and a network loses its precision there. No real measurement
    lies so far out: it is a failed sensor, a wrong unit or a code for a missing value.

    Attributes
    ----------
    low, high : ndarray of shape (d,)
    may_be_empty : bool
        Whether some normal row has no value at all; otherwise such a row counts as far outside.
    """

    low: Array
    high: Array
    may_be_empty: bool

    @classmethod
    def of(cls, X: Array, normals: Array) -> Self:
        """Measure the rows of a support and the normals among them: (n, d), (m, d)."""
        margin = _MOST_SPREADS * feature_spread(normals)
        known = ~np.isnan(X)
        low = np.where(known, X, np.inf).min(axis=0)
        high = np.where(known, X, -np.inf).max(axis=0)
        empty = ~known.any(axis=0)
        low, high = np.where(empty, -np.inf, low - margin), np.where(empty, np.inf, high + margin)
        return cls(low, high, bool(np.isnan(normals).all(axis=1).any()))

    def outside(self, X: Array) -> Mask:
        """Find the rows with a value outside of the range, or without any: (m, d) -> (m,)."""
        far = np.asarray(((self.low > X) | (self.high < X)).any(axis=1))
        return far if self.may_be_empty else far | np.isnan(X).all(axis=1)

    def nearest(self, X: Array) -> Array:
        """Clip values to the range: (m, d) -> (m, d)."""
        return np.clip(X, self.low, self.high)


def floor_of_far_rows(left_out: Array) -> float:
    """Return a score above those of all training rows, so above every threshold from them."""
    return float(left_out.max() + max(np.ptp(left_out), 1.0))
