"""Put all evidence about a row on one scale, by the leave-one-out scores of the support."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._input.labels import ANOMALOUS
from .._stats.scaling import ScaledSupport, check_width
from .._typing import Array, Mask
from .kinds import Evidence, OwnFunction
from .part import parts_and_rest
from .pooled import Pooled
from .support import QueryRows, Support


@dataclass(frozen=True)
class Calibration:
    """Standardise each kind of evidence by its leave-one-out scores of a support's normals.

    Attributes
    ----------
    left_out : ndarray of shape (n_support, n_evidence)
        Evidence about each row of the support from the others.
    n_normal : int
        Number of normals in the support.
    mean, own_spread : ndarray of shape (n_evidence,)
        Mean and standard deviation of the normals' left-out evidence.
    active : ndarray of shape (n_evidence,), dtype bool
        Whether each kind of evidence is defined for this support.
    prior_spread : ndarray of shape (n_evidence,)
        Spread towards which ``own_spread`` is shrunk.
    n_prior_rows : float
        Rows that ``prior_spread`` counts for.
    """

    left_out: Array
    n_normal: int
    mean: Array
    own_spread: Array
    active: NDArray[np.bool_]
    prior_spread: Array
    n_prior_rows: float

    @classmethod
    def of_support(
        cls,
        left_out: Array,
        y: NDArray[np.int8],
        evidence: Sequence[Evidence],
        active: NDArray[np.bool_],
    ) -> Calibration:
        """Calibrate by the leave-one-out scores of a support with labels ``y``."""
        normals = left_out[y != ANOMALOUS]
        spread = np.array([e.spread for e in evidence])
        mean, own_spread = normals.mean(axis=0), normals.std(axis=0)
        return cls(left_out, len(normals), mean, own_spread, active, spread, n_prior_rows=1.0)

    def shrunk_to(self, line: Array) -> Calibration:
        """Return a calibration shrunk to a log spread of ``line[0] + line[1] log n``.

        Parameters
        ----------
        line : ndarray of shape (2, n_evidence)
        """
        spread = np.exp(line[0] + line[1] * np.log(self.n_normal))
        return replace(self, prior_spread=spread, n_prior_rows=5.0)

    def standardise(self, scores: Array, counted: Mask | None = None) -> Array:
        """Standardise evidence by its leave-one-out spread: linear near 0, logarithmic far out.

        With ``counted`` only that evidence is, and the rest is 0.
        """
        kept = self.active if counted is None else self.active & counted
        z = np.zeros(scores.shape)
        z[:, kept] = 2.0 * np.arcsinh(
            (scores[:, kept] - self.mean[kept]) / (2.0 * self._spread[kept])
        )
        return z

    @property
    def _spread(self) -> Array:
        n, m = self.n_normal, self.n_prior_rows
        shrunk = np.sqrt((n * self.own_spread**2 + m * self.prior_spread**2) / (n + m))
        return np.maximum(shrunk, 1e-9 * (1.0 + np.abs(self.mean)))


class CalibratedEvidence:
    """Score rows by all evidence of a support, standardised by leave-one-out scores.

    Features are scaled first, by a scale that the support was given.

    Parameters
    ----------
    scaled : ScaledSupport
        The support in its own units.
    y : ndarray of shape (n_support,), dtype int8
        Rows that are not 1 (anomalous) count as normal.
    evidence : sequence of Evidence
    pooled : Pooled or None, default=None
        What the training tasks have in common, in those units.
    typical_spread : ndarray of shape (2, n_evidence) or None, default=None
        Line of the log spread over training supports, see :meth:`Calibration.shrunk_to`.
    weights : ndarray of shape (d,) or None, default=None
        By what to multiply columns in the coordinates by column; None means one.

    Attributes
    ----------
    calibration : Calibration
    support_y : ndarray of shape (n_support,), dtype int8
    """

    n_folds = 5
    _counted: Mask | None = None

    def __init__(
        self,
        scaled: ScaledSupport,
        y: NDArray[np.int8],
        evidence: Sequence[Evidence],
        pooled: Pooled | None = None,
        typical_spread: Array | None = None,
        weights: Array | None = None,
    ) -> None:
        X = scaled.support
        if pooled is not None:
            check_width(X, len(pooled.relevance))
        normal = _canonical_order(X, np.flatnonzero(y != ANOMALOUS))
        anomalous = _canonical_order(X, np.flatnonzero(y == ANOMALOUS))
        self._scaled = scaled
        self.support_y = y
        self._support = Support(X[normal], X[anomalous], pooled, weights=weights)
        self._evidence = tuple(evidence)
        self._active = np.array(
            [
                e.applies(self._support.is_embedding, len(anomalous), pooled is not None)
                for e in evidence
            ],
            dtype=bool,
        )
        left_out = np.empty((len(X), len(self._evidence)))
        left_out[np.concatenate([normal, anomalous])] = self._left_out()
        for j in np.flatnonzero(self._active):
            function = self._evidence[j].function
            if isinstance(function, OwnFunction):
                function.prepare(self._support)
        own = Calibration.of_support(left_out, y, evidence, self._active)
        self.calibration = own if typical_spread is None else own.shrunk_to(typical_spread)

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, Array],
        scaled: ScaledSupport,
        y: NDArray[np.int8],
        evidence: Sequence[Evidence],
        weights: Array | None = None,
    ) -> CalibratedEvidence:
        """Make evidence with what a state's arrays have learned from other tasks."""
        pooled = Pooled.from_arrays(arrays)
        return cls(scaled, y, evidence, pooled, arrays.get("typical_spread"), weights)

    @property
    def support(self) -> Array:
        """Standardised leave-one-out evidence of the support: (n_support, n_evidence)."""
        return self.calibration.standardise(self.calibration.left_out)

    @property
    def row_by_row(self) -> bool:
        """Return whether the evidence of a row is the same, to the bit, whatever rows join it.

        That of functions of the user may, and that of their scalers.
        """
        own = any(isinstance(e.function, OwnFunction) for e in self._evidence)
        return not own and self._scaled.row_by_row

    def weighed(self, weights: Array) -> CalibratedEvidence:
        """Return the evidence without what has no weight: its scores of rows are 0."""
        part = copy.copy(self)
        part._counted = weights != 0.0
        return part

    def transform(self, X: Array) -> Array:
        """Compute standardised evidence about rows: (m, d) -> (m, n_evidence)."""
        return self.calibration.standardise(self.evaluate(X), self._counted)

    def evaluate(self, X: Array) -> Array:
        """Compute evidence about rows, each kind on its own scale: (m, d) -> (m, n_evidence)."""
        rows = self._support.rows(self._scaled.transform(X), self._most_neighbours(self._counted))
        return self._evaluate(self._support, rows, self._counted)

    def embed(self, X: Array) -> Array:
        """Map rows to the pooled-whitened space, or scale them by the support: (m, d) -> (m, q)."""
        rows = self._support.rows(self._scaled.transform(X))
        pooled = self._support.pooled
        return rows.scaled if pooled is None else pooled.raw.embed(rows.raw)

    def _evaluate(self, support: Support, rows: QueryRows, counted: Mask | None = None) -> Array:
        scores = np.zeros((len(rows.X), len(self._evidence)))
        for j in self._asked(counted):
            scores[:, j] = self._evidence[j].function(support, rows)
        return scores

    def _asked(self, counted: Mask | None) -> NDArray[np.intp]:
        return np.flatnonzero(self._active if counted is None else self._active & counted)

    def _most_neighbours(self, counted: Mask | None = None) -> dict[tuple[str, str], int]:
        """Return how many neighbours count in each coordinate system and metric, where any do."""
        most: dict[tuple[str, str], int] = {}
        for function in (self._evidence[j].function for j in self._asked(counted)):
            k, name = getattr(function, "k", 0), getattr(function, "coordinates", None)
            if k and name:
                where = name, getattr(function, "metric", "euclidean")
                most[where] = max(most.get(where, 1), k)
        return most

    def _left_out(self) -> Array:
        """Compute leave-one-out evidence of the support, normals first: (n + k, n_evidence)."""
        whole, most = self._support, self._most_neighbours()
        n, k = len(whole.normals), len(whole.anomalies)
        folds = min(self.n_folds, n)
        fold_of_normal = np.arange(n) % folds
        fold_of_anomaly = np.arange(k) % folds if k >= 2 else np.full(k, -1)
        scores = np.empty((n + k, len(self._evidence)))
        if k == 1:  # a single anomaly cannot be left out
            scores[n:] = self._evaluate(whole, whole.rows(whole.anomalies, most))
        held = [(fold_of_normal == fold, fold_of_anomaly == fold) for fold in range(folds)]
        parts = parts_and_rest(whole, [(~out, ~out_a) for out, out_a in held], most)
        for rows, (part, left_out) in zip(map(np.concatenate, held), parts, strict=True):
            scores[rows] = self._evaluate(part, left_out)
        return scores


def _canonical_order(X: Array, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Sort rows by value: folds and scores do not depend on their given order."""
    if not len(rows):
        return rows
    first = X[rows, 0]
    if len(np.unique(first)) == len(rows):  # no other column is asked
        return rows[np.argsort(first)]
    return rows[np.lexsort(X[rows].T[::-1])]
