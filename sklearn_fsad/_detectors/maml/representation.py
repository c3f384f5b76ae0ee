"""Represent rows by features, evidence and the score of the closed form, as network input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._evidence.calibration import CalibratedEvidence
from ..._evidence.mix import EvidenceMix
from ..._evidence.pooled import whitening
from ..._input.labels import ANOMALOUS, INJECTED
from ..._stats.compiled import row_product
from ..._stats.moments import FAR
from ..._stats.scaling import ScaledSupport, ScalePrior, check_width
from ..._typing import Array, Codes
from ...tasks._task_set import TaskSet

_FOLDS = 5
_MOST_DIRECTIONS = 32
_LEAST_LEFT_OUT = 4


@dataclass(frozen=True)
class FeatureMap:
    """Map rows to the features of a network, in the same way for all tasks.

    Attributes
    ----------
    scaler : str or transformer
        As in :class:`ScaledSupport`.
    prior : ScalePrior or None, default=None
        Typical scale that ``scaler="shrunk"`` shrinks to.
    basis : ndarray of shape (d, q) or None, default=None
        Directions to project on before scaling.
    """

    scaler: Any
    prior: ScalePrior | None = None
    basis: Array | None = None

    @classmethod
    def from_tasks(cls, tasks: TaskSet, scaler: Any, embedding: bool) -> FeatureMap:
        """Learn the map of tasks: all features, or main directions of normals in an embedding."""
        normals, basis = [task.normals for task in tasks], None
        if embedding:
            basis = _main_directions(normals)
        return cls(scaler, ScalePrior.from_normals(normals, basis), basis)

    def to_arrays(self) -> dict[str, Array]:
        """Return named arrays for a :class:`MetaState`."""
        prior = {} if self.prior is None else self.prior.to_arrays()
        return prior if self.basis is None else {**prior, "view_basis": self.basis}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], scaler: Any) -> FeatureMap:
        """Make the map of a state; without arrays it only scales."""
        return cls(scaler, ScalePrior.from_arrays(arrays), arrays.get("view_basis"))

    def features(self, X: Array, y: Codes) -> NetworkFeatures:
        """Compute features relative to a support: (n_support, d), (n_support,)."""
        return NetworkFeatures(X, y, self.scaler, self.prior, self.basis)


def _main_directions(tasks: Sequence[Array]) -> Array:
    """Compute the leading axes of the covariance pooled within tasks: (d, q)."""
    centred = [(normals - normals.mean(axis=0), normals[:0]) for normals in tasks]
    return whitening(centred, rank=_MOST_DIRECTIONS).basis


class NetworkFeatures:
    """Scale features by a support, linear near its mean and logarithmic far out.

    The normals of the support are scaled by the others, as fresh rows will be.

    Parameters
    ----------
    X : ndarray of shape (n_support, d)
        Rows of the support.
    y : ndarray of shape (n_support,), dtype int8
        1 marks the anomalies.
    scaler : str or transformer
        As in :class:`ScaledSupport`.
    prior : ScalePrior or None, default=None
    basis : ndarray of shape (d, q) or None, default=None
        Directions to project on before scaling.

    Attributes
    ----------
    support : ndarray of shape (n_support, q)
        Features of the support.
    support_y : ndarray of shape (n_support,), dtype int8
        Its labels.
    """

    def __init__(
        self,
        X: Array,
        y: Codes,
        scaler: Any,
        prior: ScalePrior | None = None,
        basis: Array | None = None,
    ) -> None:
        self._basis = basis
        rows = self._project(X)
        self._scaled = ScaledSupport(rows, y, scaler, prior)
        described = self._scaled.support
        normal = np.flatnonzero(y != ANOMALOUS)
        if len(normal) >= _LEAST_LEFT_OUT:
            for fold in range(min(_FOLDS, len(normal))):
                out = normal[fold::_FOLDS]
                others = ScaledSupport(
                    np.delete(rows, out, axis=0), np.delete(y, out), scaler, prior
                )
                check_width(others.support, described.shape[1])
                described[out] = others.transform(rows[out])
        self.support = np.arcsinh(described)
        self.support_y = y

    def transform(self, X: Array) -> Array:
        """Represent rows: (m, d) -> (m, q)."""
        # linear near zero and logarithmic far out, so that no far value saturates the network
        return np.arcsinh(self._scaled.transform(self._project(X)))

    def _project(self, X: Array) -> Array:
        X = np.clip(X, -FAR, FAR)
        return X if self._basis is None else X @ self._basis


class EvidenceRepresentation:
    """Represent rows by features, evidence and the score of the closed form.

    Parameters
    ----------
    features : NetworkFeatures
        Features relative to the support.
    evidence : CalibratedEvidence
        Evidence relative to the support.
    mix : EvidenceMix
        Weighs the evidence to the score of the closed form.
    injected : ndarray of shape (n_injected, d)
        Rows to add to the support as anomalies.
    closed_form_only : bool, default=False
        Whether the score of the closed form is all that counts: other rows are represented by it
        alone.

    Attributes
    ----------
    support : ndarray of shape (n_support + n_injected, q + n_evidence + 1)
        Represented rows of the support, then the injected ones.
    support_y : ndarray of shape (n_support + n_injected,), dtype int8
        Their labels.
    """

    def __init__(
        self,
        features: NetworkFeatures,
        evidence: CalibratedEvidence,
        mix: EvidenceMix,
        injected: Array,
        closed_form_only: bool = False,
    ) -> None:
        self._features, self._evidence = features, evidence
        self._weights = mix.weights(evidence.support, evidence.support_y)
        self._closed_form_only = closed_form_only
        if closed_form_only:
            self._evidence = evidence.weighed(self._weights)
        self.support = anchored(features.support, evidence.support, self._weights)
        if len(injected):
            self.support = np.concatenate([self.support, self.transform(injected)])
        self.support_y = with_injected(evidence.support_y, len(injected))

    @property
    def row_by_row(self) -> bool:
        """Return whether a row is represented the same, to the bit, whatever rows join it."""
        return self._closed_form_only and self._evidence.row_by_row

    def transform(self, X: Array) -> Array:
        """Represent rows: (m, d) -> (m, q + n_evidence + 1), or (m, 1) by the closed form alone."""
        if self._closed_form_only:
            return row_product(self._evidence.transform(X), self._weights)[:, None]
        return anchored(self._features.transform(X), self._evidence.transform(X), self._weights)


class FeatureRepresentation:
    """Represent rows by features alone, for a network without a closed form.

    Parameters and attributes are those of :class:`EvidenceRepresentation`.
    """

    def __init__(self, features: NetworkFeatures, injected: Array) -> None:
        self._features = features
        self.support = np.concatenate([features.support, features.transform(injected)])
        self.support_y = with_injected(features.support_y, len(injected))

    def transform(self, X: Array) -> Array:
        """Represent rows: (m, d) -> (m, q)."""
        return self._features.transform(X)


def anchored(features: Array, evidence: Array, weights: Array) -> Array:
    """Stack columns of features, standardised evidence and the score of the closed form."""
    return np.concatenate([features, evidence, row_product(evidence, weights)[:, None]], axis=1)


def with_injected(y: Codes, n: int) -> Codes:
    """Append the labels of n injected rows to those of a support."""
    return np.concatenate([y, np.full(n, INJECTED, dtype=np.int8)])
