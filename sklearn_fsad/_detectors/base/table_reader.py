"""Read rows with gaps and categories as plain numbers, by a support, and score both."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from ..._input.labels import NORMAL
from ..._stats.categories import Dummies, Rarity, unit_beside
from ..._stats.gaps import GapEvidence, GapFiller
from ..._typing import Array, Positions
from .support_set import SupportSet


class TableReader:
    """Read rows as numbers without gaps, for methods that read neither gaps nor categories.

    Gaps are filled, and categories become dummy variables behind the other columns.

    Parameters
    ----------
    support : SupportSet
        Rows, with NaN for missing entries.
    """

    def __init__(self, support: SupportSet) -> None:
        self._support = support
        self._normal = support.y == NORMAL
        self._categorical: Positions = np.array(support.categorical, dtype=np.intp)
        self._numeric: Positions = np.setdiff1d(np.arange(support.X.shape[1]), self._categorical)
        self._n_anomalous = int((~self._normal).sum())
        self._numbers, codes = self._split(support.X)
        self._has_gaps = bool(np.isnan(self._numbers).any())
        self._dummies, self._rarity = None, None
        if len(self._categorical):
            unit = unit_beside(self._numbers[self._normal])
            self._dummies = Dummies(codes, ~self._normal, unit)
            self._rarity = Rarity(codes[self._normal], self._n_anomalous)

    @cached_property
    def _evidence(self) -> GapEvidence:
        return GapEvidence(np.isnan(self._numbers[self._normal]), self._n_anomalous)

    @cached_property
    def _filler(self) -> GapFiller:
        return GapFiller(self._numbers, self._normal)

    @property
    def is_needed(self) -> bool:
        """Return whether the support has gaps or categories, so that all rows have to be read."""
        return self._has_gaps or self._dummies is not None

    @cached_property
    def support(self) -> SupportSet:
        """Support as numbers: the gaps of each row are filled by the others."""
        if not self.is_needed:
            return self._support
        numbers, codes = self._split(self._support.X)
        if self._has_gaps:
            numbers = self._filler.filled_support()
        if self._dummies is None:
            return replace(self._support, X=numbers)
        weights = np.concatenate([np.ones(numbers.shape[1]), self._dummies.weights])
        X = np.concatenate([numbers, self._dummies.transform(codes)], axis=1)
        return replace(self._support, X=X, categorical=(), weights=weights)

    def read(self, X: Array) -> Array:
        """Read rows, each on its own: (m, d) -> (m, q)."""
        numbers, codes = self._split(X)
        if self._has_gaps or np.isnan(numbers).any():
            numbers = self._filler.fill(numbers)
        if self._dummies is None:
            return numbers
        return np.concatenate([numbers, self._dummies.transform(codes)], axis=1)

    def scores(self, X: Array) -> dict[str, Array]:
        """Score rows by which entries are missing, and by how rare their categories are: (m,)."""
        numbers, codes = self._split(X)
        scores = {"missing_entries": self._evidence(np.isnan(numbers))}
        if self._rarity is not None:
            scores["rare_categories"] = self._rarity(codes)
        return scores

    def support_scores(self) -> Array:
        """Score the rows of the support likewise, normal ones by the others: (n_support,)."""
        scores = self.scores(self._support.X)
        if self._rarity is not None:
            _, codes = self._split(self._support.X)
            scores["rare_categories"][self._normal] = self._rarity(codes[self._normal], own=1)
        return np.asarray(sum(scores.values()))

    def _split(self, X: Array) -> tuple[Array, Array]:
        if not len(self._categorical):
            return X, X[:, :0]
        return np.ascontiguousarray(X[:, self._numeric]), X[:, self._categorical]
