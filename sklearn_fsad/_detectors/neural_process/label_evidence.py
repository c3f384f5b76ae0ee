"""Add what labelled anomalies tell to the anomaly score of a process, on one calibrated scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ..._evidence.calibration import CalibratedEvidence, Calibration
from ..._evidence.kinds import EVIDENCE, Evidence
from ..._evidence.mix import EvidenceMix, default_weights
from ..._evidence.support import QueryRows, Support
from ..._input.labels import ANOMALOUS
from ..._stats.compiled import row_product
from ..._stats.moments import are_embeddings
from ..._stats.scaling import ScaledSupport
from ..._typing import Array, Codes, Mask

PROCESS = "process"  # name of the score of the process among the evidence
LABEL_KINDS = tuple(
    EVIDENCE[name]
    for name in ("subspace_ratio", "ratio_scaled", "discriminant_raw", "discriminant_scaled")
)
# typical standard deviation of the leave-one-out scores of ten normals: of tables, of embeddings
_SPREADS = {
    "surprise": (0.8, 0.2),
    "nll": (0.6, 0.2),
    "density": (0.5, 0.2),
    "variance": (1.5, 0.04),
    "error": (1.7, 0.6),
}
# the process stands for all evidence from normals, and has the default weight of all of it
_OF_PROCESS = {False: (1.0, 0.5, 0.0, 0.0), True: (1.4, 0.0, 0.0, 0.0)}
SHOTS = {"n_normal": (5, 50), "n_anomalous": (0, 10)}  # on which no default weight depends


def kinds_of(anomaly_score: str, embedding: bool) -> tuple[Evidence, ...]:
    """List what is weighed: the score of the process first, then the evidence from labels."""
    spread = _SPREADS[anomaly_score][int(embedding)]
    return Evidence(PROCESS, _by_process, spread), *LABEL_KINDS


def _by_process(support: Support, rows: QueryRows) -> Array:
    raise NotImplementedError("The module of a process computes its score.")


def closed_form(embedding: bool) -> Array:
    """Return the default weights: (4, 1 + n_kinds), see :func:`default_weights`."""
    return np.column_stack([_OF_PROCESS[embedding], default_weights(LABEL_KINDS, embedding)])


@dataclass(frozen=True)
class LabelEvidence:
    """Weigh the score of a process and evidence from labelled anomalies.

    Attributes
    ----------
    evidence : CalibratedEvidence
        Evidence about rows in the units of the process, without missing entries.
    calibration : Calibration
        Scale of the score of the process and of each kind of evidence.
    weights : ndarray of shape (1 + n_kinds,)
        Their weights.
    normals : ndarray of shape (n_normal, d)
        Normal rows of the support, in the same units.
    """

    evidence: CalibratedEvidence
    calibration: Calibration
    weights: Array
    normals: Array

    @classmethod
    def of(
        cls,
        rows: Array,
        y: Codes,
        left_out: Array,
        anomaly_score: str,
        learned: Mapping[str, Array],
    ) -> Self:
        """Compute the evidence of a support.

        Parameters
        ----------
        rows : ndarray of shape (n_support, d)
            Rows of the support.
        y : ndarray of shape (n_support,), dtype int8
            1 marks the anomalies.
        left_out : ndarray of shape (n_support,)
            Score of the process for each row from the others.
        anomaly_score : str
            Name of that score.
        learned : mapping of str to ndarray
            Arrays that past tasks taught; empty for the default weights.
        """
        normals = rows[y != ANOMALOUS]
        embedding = are_embeddings(normals)
        evidence = CalibratedEvidence(ScaledSupport(rows, y, "none"), y, LABEL_KINDS)
        own = evidence.calibration
        calibration = Calibration.of_support(
            np.column_stack([left_out, own.left_out]),
            y,
            kinds_of(anomaly_score, embedding),
            np.concatenate([[True], own.active]),
        )
        if "typical_spread" in learned:
            calibration = calibration.shrunk_to(learned["typical_spread"])
        weights = _mix_of(learned, embedding).weights(calibration.left_out, y)
        return cls(evidence, calibration, weights, normals)

    def weighed(self) -> LabelEvidence:
        """Return what computes the same scores without the evidence that has no weight."""
        return replace(self, evidence=self.evidence.weighed(self.weights[1:]))

    @property
    def left_out_scores(self) -> Array:
        """Scores of the rows of the support from the others: (n_support,)."""
        return self._weighed(self.calibration.left_out)

    def evaluate(self, scores: Array, rows: Array) -> Array:
        """Put evidence beside scores of the process: (m,), (m, d) -> (m, 1 + n_kinds)."""
        return np.column_stack([scores, self.evidence.evaluate(rows)])

    def combined(self, scores: Array, rows: Array) -> Array:
        """Add weighted evidence to weighted scores of the process: (m,), (m, d) -> (m,)."""
        return self._weighed(self.evaluate(scores, rows))

    def of_process(self, scores: Array) -> Array:
        """Compute what scores of the process add to the combined ones: (m,) -> (m,)."""
        is_process = np.arange(len(self.weights)) == 0
        return self._weighed(scores[:, None] * is_process, is_process)

    def of_labels(self, rows: Array) -> Array:
        """Compute what the evidence adds to the combined scores of rows: (m, d) -> (m,)."""
        nothing = np.zeros(len(rows))
        return self._weighed(self.evaluate(nothing, rows), np.arange(len(self.weights)) > 0)

    def _weighed(self, evidence: Array, counted: Mask | None = None) -> Array:
        return row_product(self.calibration.standardise(evidence, counted), self.weights)


def _mix_of(learned: Mapping[str, Array], embedding: bool) -> EvidenceMix:
    """Make the mix of what past tasks taught, or of the default weights."""
    if not learned:
        return EvidenceMix.from_arrays({"closed": closed_form(embedding)}, **SHOTS)
    shots = {name: tuple(learned[name].tolist()) for name in SHOTS}
    return EvidenceMix.from_arrays(learned, **shots)
