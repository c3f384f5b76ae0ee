"""A support set in several coordinate systems, each with a shrunken covariance.

The coordinate systems are the raw features, the features scaled by the support's own spread, and
both again after whitening by what the training tasks have in common (an empirical Bayes prior).
All are centred on the support's mean of the normals, in float64, so that features with a large
offset lose nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from .._stats.moments import TINY, are_embeddings, compressed, feature_spread, stable_mean
from .._stats.neighbours import MOST_NEIGHBOURS, Neighbours, nearest
from .._typing import Array
from .coordinates import Boxes, Coordinates, NormalScores
from .pooled import Pooled

_GIVEN = {"normals", "anomalies", "pooled", "weights", "mean", "N", "A", "spread"}
_GIVEN |= {"_lender", "is_part", "is_embedding"}  # what a support sets when it is made
_GIVEN |= {"_models"}  # of the user, which may take long to fit again


class Support:
    """Hold a support set in the coordinate systems that evidence uses.

    Parameters
    ----------
    normals : ndarray of shape (n, d)
    anomalies : ndarray of shape (k, d)
    pooled : Pooled or None, default=None
        What the training tasks have in common.
    reference : Support or None, default=None
        The whole support of which this one is a part: lends its spread to a part of one row, which
        has none of its own.
    weights : ndarray of shape (d,) or None, default=None
        By what to multiply columns in the coordinates by column; None means one.
    """

    def __init__(
        self,
        normals: Array,
        anomalies: Array,
        pooled: Pooled | None = None,
        reference: Support | None = None,
        weights: Array | None = None,
    ) -> None:
        self.normals = normals
        self.anomalies = anomalies
        self.pooled = pooled
        self.weights = weights
        self.mean = stable_mean(normals)
        self.N = normals - self.mean
        self.A = anomalies - self.mean
        lender = reference if reference is not None and len(normals) < 2 else None
        self.spread: Array = feature_spread(normals) if lender is None else lender.spread
        self._lender = lender
        self.is_part = reference is not None
        self.is_embedding: bool = (  # whether the raw metric is information
            are_embeddings(normals) if reference is None else reference.is_embedding
        )
        self._found: dict[Hashable, Any] = {}
        self._models: dict[Hashable, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is found when rows are scored: it is found again, but for models."""
        kept = {name: value for name, value in self.__dict__.items() if name in _GIVEN}
        return {**kept, "_found": {}}

    @property
    def whole(self) -> Support:
        """The support of which this one is a part, or itself."""
        return self

    def once(self, key: Hashable, find: Callable[[], Any], *, keep: bool = False) -> Any:
        """Return what evidence computes from the support alone, once; pickles may keep it."""
        known = self._models if keep else self._found
        if key not in known:
            known[key] = find()
        return known[key]

    def rows(self, X: Array, most: Mapping[tuple[str, str], int] | None = None) -> QueryRows:
        """Return query rows relative to this support; see :class:`QueryRows`."""
        return QueryRows(X, self, most or {})

    def _centred(self, N: Array, A: Array, intensity: float | None, name: str) -> Coordinates:
        floor = TINY if self._lender is None else getattr(self._lender, name).covariance.level
        zero = np.zeros(N.shape[1])
        return Coordinates(N, A, centre=zero, intensity=intensity, least_variance=floor)

    @cached_property
    def raw(self) -> Coordinates:
        """Features as they are."""
        return self._centred(self.N, self.A, None, "raw")

    @cached_property
    def scaled(self) -> Coordinates:
        """Features divided by the support's own spread."""
        return self._centred(self.N / self.spread, self.A / self.spread, None, "scaled")

    @cached_property
    def pooled_raw(self) -> Coordinates:
        """Raw features, whitened by the pooled covariance up to a rotation."""
        white = self._whitening.raw.turned
        return self._centred(white(self.N), white(self.A), 0.05, "pooled_raw")

    @cached_property
    def pooled_scaled(self) -> Coordinates:
        """Scaled features, whitened by the pooled correlation up to a rotation."""
        white = self._whitening.scaled.turned_together
        N, A = white(self.N / self.spread), white(self.A / self.spread)
        return self._centred(N, A, None, "pooled_scaled")

    @cached_property
    def compressed(self) -> Coordinates:
        """Columns in their spreads, logarithmic far out."""
        return self._by_column(compressed)

    @cached_property
    def gaussian(self) -> Coordinates:
        """Columns by their ranks among the normals."""
        return self._by_column(self._normal_scores)

    @cached_property
    def boxed(self) -> Coordinates:
        """Columns by their places between the extremes of the normals."""
        return self._by_column(self._boxes)

    @cached_property
    def white(self) -> Coordinates:
        """The compressed columns, whitened by the normals' covariance."""
        space = self.compressed
        return Coordinates(self._whiten(space.normals), self._whiten(space.anomalies))

    @cached_property
    def _normal_scores(self) -> NormalScores:
        return NormalScores(self.N / self.spread)

    @cached_property
    def _boxes(self) -> Boxes:
        return Boxes(self.N / self.spread)

    def _whiten(self, U: Array) -> Array:
        covariance = self.compressed.covariance
        return covariance.whiten(U - self.compressed.normals.mean(axis=0))

    def _by_column(self, transform: Callable[[Array], Array]) -> Coordinates:
        return Coordinates(
            self.weighed(transform(self.N / self.spread)),
            self.weighed(transform(self.A / self.spread)),
        )

    def weighed(self, Z: Array) -> Array:
        """Multiply columns by their weights, where they have some: (m, d) -> (m, d)."""
        return Z if self.weights is None else Z * self.weights

    @property
    def relevance(self) -> Array:
        """Distance that anomalies of the training tasks leave along each feature: (d,)."""
        return self._whitening.relevance

    @property
    def _whitening(self) -> Pooled:
        if self.pooled is None:
            raise ValueError(
                "This evidence needs meta_fit, to pool statistics over training tasks."
            )
        return self.pooled


class QueryRows:
    """Hold query rows in each coordinate system of a support, computed once.

    Parameters
    ----------
    X : ndarray of shape (m, d)
        The rows as given.
    support : Support
    most : mapping of (str, str) to int
        How many neighbours count in a coordinate system and a metric; 20 if it is not there.
    """

    def __init__(self, X: Array, support: Support, most: Mapping[tuple[str, str], int]) -> None:
        self.X = X
        self._most = most
        self._support = support
        self._neighbours: dict[tuple[str, str], Neighbours] = {}
        self._found: dict[Hashable, Array] = {}
        limit = 1e12 * max(float(support.spread.max()), float(np.abs(support.N).max(initial=0.0)))
        self._centred = np.clip(X - support.mean, -limit, limit)

    def once(self, key: Hashable, find: Callable[[], Array]) -> Array:
        """Return what several kinds of evidence compute about the rows, computed once."""
        if key not in self._found:
            self._found[key] = find()
        return self._found[key]

    @property
    def raw(self) -> Array:
        return self._centred

    @cached_property
    def scaled(self) -> Array:
        return self._centred / self._support.spread

    @cached_property
    def compressed(self) -> Array:
        return self._support.weighed(compressed(self.scaled))

    @cached_property
    def gaussian(self) -> Array:
        return self._support.weighed(self._support._normal_scores(self.scaled))

    @cached_property
    def boxed(self) -> Array:
        return self._support.weighed(self._support._boxes(self.scaled))

    @cached_property
    def white(self) -> Array:
        return self._support._whiten(self.compressed)

    def n_neighbours(self, name: str, metric: str) -> int:
        """Return how many neighbours are found in a coordinate system."""
        return self._most.get((name, metric), MOST_NEIGHBOURS)

    def neighbours(self, name: str, metric: str) -> Neighbours:
        """Find the nearest normals in a coordinate system of the support, once."""
        if (name, metric) not in self._neighbours:
            space: Coordinates = getattr(self._support, name)
            self._neighbours[name, metric] = nearest(
                getattr(self, name), space.normals, metric, self.n_neighbours(name, metric),
                space.columns,
            )  # fmt: skip
        return self._neighbours[name, metric]

    @cached_property
    def pooled_raw(self) -> Array:
        return self._support._whitening.raw.turned(self._centred)

    @cached_property
    def pooled_scaled(self) -> Array:
        return self._support._whitening.scaled.turned(self.scaled)
