"""Hold the rows that a method adapts to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ..._input.labels import ANOMALOUS, NORMAL, UNLABELLED
from ..._stats.moments import without_traces
from ..._typing import Array, Codes, Mask, Positions

_MOST_SINGLE_FOLDS, _FOLDS = 20, 5


@dataclass(frozen=True)
class SupportSet:
    """Hold the rows to adapt to, sorted, so that their given order does not change rounding.

    Parameters
    ----------
    X : ndarray of shape (n_support, d)
        Rows.
    y : ndarray of shape (n_support,), dtype int8
        0 normal, 1 anomalous; unlabelled rows count as normal.
    unlabelled : ndarray of shape (n_support,), dtype bool
        True for rows without a label.
    order : ndarray of shape (n_support,)
        Their positions among the rows of the context.
    n_given : int
        Number of rows in the context, those left out by ``clean_support`` included.
    categorical : tuple of int, default=()
        Positions of columns of categories; their values are numbers that mean nothing but equality.
    weights : ndarray of shape (d,) or None, default=None
        By what to multiply columns after they are scaled; None means one.
    """

    X: Array
    y: Codes
    unlabelled: Mask
    order: Positions
    n_given: int
    categorical: tuple[int, ...] = ()
    weights: Array | None = None

    @classmethod
    def of(cls, X: Array, codes: Codes, kept: Mask, categorical: tuple[int, ...] = ()) -> Self:
        """Make a support of the kept rows and their labels, sorted: (n, d), (n,), (n,).

        Parameters
        ----------
        X : ndarray of shape (n, d)
            Rows given to ``fit``.
        codes : ndarray of shape (n,), dtype int8
            Their labels: 0 normal, 1 anomalous, -1 unlabelled.
        kept : ndarray of shape (n,), dtype bool
            Rows to keep.
        categorical : tuple of int, default=()
            Positions of columns of categories.

        Returns
        -------
        support : SupportSet
            The kept rows.
        """
        X = without_traces(X)
        order = np.lexsort([codes == ANOMALOUS, *X.T[::-1]])
        order = order[kept[order]]
        y = np.where(codes[order] == ANOMALOUS, ANOMALOUS, NORMAL).astype(np.int8)
        return cls(X[order], y, codes[order] == UNLABELLED, order, len(X), categorical)

    def without(self, out: Mask) -> SupportSet:
        """Leave out rows by a mask; none are left out if no normal row would remain.

        Parameters
        ----------
        out : ndarray of shape (n_support,), dtype bool
            Rows to leave out.

        Returns
        -------
        support : SupportSet
            The other rows.
        """
        rest = ~out if (self.y[~out] == NORMAL).any() else np.ones(len(self.X), dtype=bool)
        return replace(
            self,
            X=self.X[rest],
            y=self.y[rest],
            unlabelled=self.unlabelled[rest],
            order=self.order[rest],
        )

    @property
    def normals(self) -> Array:
        """Normal rows of the support: (n_normal, d)."""
        return self.X[self.y == NORMAL]

    def folds(self) -> Positions:
        """Assign each row to the fold that leaves it out: one row a fold up to 20, else 5 folds.

        Returns
        -------
        fold : ndarray of shape (n_support,)
            Number of each row's fold.
        """
        n_folds = len(self.X) if len(self.X) <= _MOST_SINGLE_FOLDS else _FOLDS
        order = np.lexsort(self.X.T[::-1])  # the folds do not depend on the order of the rows
        fold = np.empty(len(self.X), dtype=np.intp)
        for label in (NORMAL, ANOMALOUS):
            rows = order[self.y[order] == label]
            fold[rows] = np.arange(len(rows)) % n_folds
        return fold
