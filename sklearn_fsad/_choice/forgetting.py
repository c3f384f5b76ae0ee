"""Choose the rows that a bounded support keeps."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np

from .._input.labels import ANOMALOUS
from .._typing import Array, Codes, Positions
from .coordinates import coordinates, farthest_first

KEEP = ("newest", "diverse")
LEAST_NORMALS = 2  # as in ``fit``


@dataclass(frozen=True)
class Bound:
    """Keep at most so many rows: labelled anomalies fill up to half of them.

    Parameters
    ----------
    most : int
        Rows to keep.
    keep : {"newest", "diverse"}
        Which rows of each kind to keep: the last ones, or rows as different as possible.
    """

    most: int
    keep: str

    @classmethod
    def of(cls, max_support: Any, keep: Any) -> Self | None:
        """Read the parameters of ``partial_fit``; None where nothing bounds the support.

        Raises
        ------
        ValueError
            If ``max_support`` is no whole number of at least 2, or ``keep`` is not known.
        """
        if keep not in KEEP:
            raise ValueError(f"keep={keep!r} must be one of {', '.join(map(repr, KEEP))}.")
        if max_support is None:
            return None
        whole = isinstance(max_support, Integral) and not isinstance(max_support, bool)
        if not whole or max_support < LEAST_NORMALS:
            raise ValueError(
                f"max_support={max_support!r} must be None or a whole number of rows of at least "
                f"{LEAST_NORMALS}."
            )
        return cls(int(max_support), keep)

    def kept(self, X: Array, codes: Codes, categorical: tuple[int, ...] = ()) -> Positions:
        """Choose the rows to keep, in their order: (n, d), (n,) -> at most ``most`` positions.

        Normal rows and rows without a label are one kind, labelled anomalies the other: half of
        the rows, and more where there are few normal ones.
        """
        anomalous = codes == ANOMALOUS
        anomalies, normals = np.flatnonzero(anomalous), np.flatnonzero(~anomalous)
        if len(X) <= self.most:
            return np.arange(len(X))
        most = max(self.most // 2, self.most - len(normals))
        n_anomalies = min(len(anomalies), most, self.most - LEAST_NORMALS)
        parts = (anomalies, n_anomalies), (normals, self.most - n_anomalies)
        if self.keep == "newest":
            return np.sort(np.concatenate([rows[max(len(rows) - n, 0) :] for rows, n in parts]))
        Z = coordinates(X, ~anomalous, categorical)
        return np.sort(np.concatenate([_diverse(Z, rows, n) for rows, n in parts]))


def _diverse(Z: Array, rows: Positions, n: int) -> Positions:
    """Choose rows far from each other, beginning with the newest: at most n positions."""
    newest_first = rows[::-1]
    return newest_first[farthest_first(Z[newest_first], min(n, len(rows)))]
