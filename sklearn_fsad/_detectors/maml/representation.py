"""How a network that adapts by gradient steps sees rows: features, evidence, the closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._evidence.calibration import CalibratedEvidence
from ..._evidence.mix import EvidenceMix
from ..._evidence.pooled import whitening
from ..._input.labels import ANOMALOUS, INJECTED
from ..._stats.moments import FAR, is_embedding
from ..._stats.scaling import ScaledSupport, ScalePrior
from ..._typing import Array, Codes
from ...tasks._task_set import TaskSet

_FOLDS = 5
_MOST_DIRECTIONS = 32
_LEAST_LEFT_OUT = 4


@dataclass(frozen=True)
class FeatureMap:
    """What turns rows into the features of a network: the same for all tasks.

    Attributes
    ----------
    scaler : str or transformer
        As in :class:`ScaledSupport`.
    prior : ScalePrior or None, default=None
    basis : ndarray of shape (d, q) or None, default=None
        Directions to project on before scaling.
    """

    scaler: Any
    prior: ScalePrior | None = None
    basis: Array | None = None

    @classmethod
    def from_tasks(cls, tasks: TaskSet, scaler: Any) -> FeatureMap:
        """A view of all features, in an embedding of the main directions of the normals."""
        normals, basis = [task.normals for task in tasks], None
        if is_embedding(tasks[0].X.shape[1]):
            basis = _main_directions(normals)
        return cls(scaler, ScalePrior.from_normals(normals, basis), basis)

    def to_arrays(self) -> dict[str, Array]:
        """Named arrays for a :class:`MetaState`."""
        prior = {} if self.prior is None else self.prior.to_arrays()
        return prior if self.basis is None else {**prior, "view_basis": self.basis}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], scaler: Any) -> FeatureMap:
        """The view in a state's arrays: of plain features where it has none."""
        return cls(scaler, ScalePrior.from_arrays(arrays), arrays.get("view_basis"))

    def features(self, X: Array, y: Codes) -> NetworkFeatures:
        """Features relative to a support."""
        return NetworkFeatures(X, y, self.scaler, self.prior, self.basis)


def _main_directions(tasks: Sequence[Array]) -> Array:
    """Leading axes of the covariance pooled within tasks: (d, q)."""
    centred = [(normals - normals.mean(axis=0), normals[:0]) for normals in tasks]
    return whitening(centred, rank=_MOST_DIRECTIONS).basis


class NetworkFeatures:
    """Features in units of a support, linear near its mean and logarithmic far out.

    The normals of the support are described by the others, as fresh rows will be.

    Parameters
    ----------
    X : ndarray of shape (n_support, d)
    y : ndarray of shape (n_support,), dtype int8
    scaler : str or transformer
        As in :class:`ScaledSupport`.
    prior : ScalePrior or None, default=None
    basis : ndarray of shape (d, q) or None, default=None
        Directions to project on before scaling.

    Attributes
    ----------
    support : ndarray of shape (n_support, q)
    support_y : ndarray of shape (n_support,), dtype int8
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
                described[out] = others.transform(rows[out])
        self.support = np.arcsinh(described)
        self.support_y = y

    def transform(self, X: Array) -> Array:
        """Describe rows: (m, d) -> (m, q)."""
        return np.arcsinh(self._scaled.transform(self._project(X)))

    def _project(self, X: Array) -> Array:
        X = np.clip(X, -FAR, FAR)
        return X if self._basis is None else X @ self._basis


class EvidenceRepresentation:
    """Features, evidence and the closed form's score of rows, side by side.

    Parameters
    ----------
    features : NetworkFeatures
    evidence : CalibratedEvidence
    mix : EvidenceMix
        Weighs the evidence to the closed form's score.
    injected : ndarray of shape (n_injected, d)
        Rows to show beside the support as anomalies.

    Attributes
    ----------
    support : ndarray of shape (n_support + n_injected, q + n_evidence + 1)
    support_y : ndarray of shape (n_support + n_injected,), dtype int8
    """

    def __init__(
        self,
        features: NetworkFeatures,
        evidence: CalibratedEvidence,
        mix: EvidenceMix,
        injected: Array,
    ) -> None:
        self._features, self._evidence = features, evidence
        self._weights = mix.weights(evidence.support, evidence.support_y)
        support = anchored(features.support, evidence.support, self._weights)
        self.support = np.concatenate([support, self.transform(injected)])
        self.support_y = with_injected(evidence.support_y, len(injected))

    def transform(self, X: Array) -> Array:
        """Describe rows: (m, d) -> (m, q + n_evidence + 1)."""
        return anchored(self._features.transform(X), self._evidence.transform(X), self._weights)


class FeatureRepresentation:
    """Features of rows alone, for a network that stands on its own.

    Parameters and attributes are those of :class:`EvidenceRepresentation`.
    """

    def __init__(self, features: NetworkFeatures, injected: Array) -> None:
        self._features = features
        self.support = np.concatenate([features.support, features.transform(injected)])
        self.support_y = with_injected(features.support_y, len(injected))

    def transform(self, X: Array) -> Array:
        """Describe rows: (m, d) -> (m, q)."""
        return self._features.transform(X)


def anchored(features: Array, evidence: Array, weights: Array) -> Array:
    """Columns of features, standardised evidence and the closed form's score."""
    return np.concatenate([features, evidence, (evidence @ weights)[:, None]], axis=1)


def with_injected(y: Codes, n: int) -> Codes:
    """Labels of a support and of injected rows after it."""
    return np.concatenate([y, np.full(n, INJECTED, dtype=np.int8)])
