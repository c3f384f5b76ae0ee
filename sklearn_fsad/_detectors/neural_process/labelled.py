"""Score rows by an adapted process together with the evidence of labelled anomalies."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from ..._explain.attribution import column_contributions
from ..._input.labels import ANOMALOUS
from ..._training.layers import aligned
from ..._training.usual_torch import scoring_torch
from ..._typing import Array
from ..base.adaptation import Adaptation
from ..base.blocks import in_plain_blocks
from .label_evidence import LabelEvidence

LEARNED = "labels."  # prefix of learned weights in the arrays of a state


@dataclass(frozen=True)
class LabelledAdaptation(Adaptation):
    """Hold an adapted process and the evidence that labelled anomalies add to its scores.

    Attributes
    ----------
    labels : LabelEvidence
        The evidence. Scores, ``left_out`` and ``others`` hold it too; the other attributes are
        those of the process alone.
    """

    labels: LabelEvidence = field(kw_only=True)

    def score(self, X: Array) -> Array:
        """Score rows, those of the support and far ones as :meth:`Adaptation.score` does."""
        return in_plain_blocks(self._score_block, X)

    def score_fresh(self, X: Array) -> Array:
        """Score rows without looking them up in the support: (m, d) -> (m,)."""
        return in_plain_blocks(self.score_block, X)

    def score_block(self, X: Array) -> Array:
        """Score the rows of one block: (m, d) -> (m,)."""
        return self.labels.combined(*process_and_rows(self, X))

    def terms(self, Z: Array, process: Array) -> Array:
        """Split the scores of represented rows over features.

        The part of the process is split as its own terms are, that of the evidence by what it drops
        when a feature takes the value of a normal row. A missing entry adds nothing.

        Parameters
        ----------
        Z : ndarray of shape (m, 3 q)
            Represented rows.
        process : ndarray of shape (m, q)
            Terms of the scores of the process.

        Returns
        -------
        terms : ndarray of shape (m, q)
            They add up to the scores.
        """
        visible = np.split(Z, 3, axis=1)[1]
        visible = np.where(visible.any(axis=1, keepdims=True), visible, 1.0)
        share = visible / visible.sum(axis=1, keepdims=True)
        centre = self.labels.calibration.mean[0]
        gap = process.sum(axis=1) - centre
        slope = np.full(len(gap), self.labels.of_process(np.array([centre + 1.0]))[0])
        np.divide(self.labels.of_process(gap + centre), gap, out=slope, where=gap != 0)
        evidence = column_contributions(
            self.labels.of_labels, filled_rows(self, Z), self.labels.normals
        )
        lost = (evidence * (1.0 - visible)).sum(axis=1, keepdims=True)
        own = slope[:, None] * (process - centre * share)
        return own + evidence * visible + share * lost


def with_label_evidence(adaptation: Adaptation) -> Adaptation:
    """Add the evidence of labelled anomalies to an adaptation, where there are any and it is asked.

    Parameters
    ----------
    adaptation : Adaptation
        To a support whose leave-one-out scores are known.
    """
    method, support, state = adaptation.method, adaptation.support, adaptation.state
    is_labelled = (support.y == ANOMALOUS).any() and state.info["targets"] is None
    if not (method.label_evidence and is_labelled):
        return adaptation
    assert adaptation.left_out is not None
    labels = label_evidence(adaptation, adaptation.left_out).weighed()
    of_process = {part.name: getattr(adaptation, part.name) for part in fields(adaptation)}
    of_process["left_out"] = labels.left_out_scores
    return LabelledAdaptation(**of_process, labels=labels)._sharing(adaptation)


def label_evidence(adaptation: Adaptation, left_out: Array) -> LabelEvidence:
    """Compute the evidence of labelled anomalies, given the leave-one-out scores of the process."""
    support, arrays = adaptation.support, adaptation.state.arrays
    learned = {k.removeprefix(LEARNED): v for k, v in arrays.items() if k.startswith(LEARNED)}
    _, rows = process_and_rows(adaptation, support.X)
    score = adaptation.method.anomaly_score
    return LabelEvidence.of(rows, support.y, left_out, score, learned)


def process_and_rows(adaptation: Adaptation, X: Array) -> tuple[Array, Array]:
    """Score rows by the process alone, and fill their gaps: (m, d) -> (m,), (m, q)."""

    def of_block(part: Array) -> Array:
        Z = adaptation.representation.transform(part)
        scores = Adaptation.score_represented(adaptation, Z)
        return np.column_stack([scores, filled_rows(adaptation, Z)])

    found = adaptation.in_score_blocks(of_block, X)
    return found[:, 0], found[:, 1:]


def filled_rows(adaptation: Adaptation, Z: Array) -> Array:
    """Fill missing entries of represented rows by what the process predicts: (m, 3 q) -> (m, q)."""
    values, visible, departed = np.split(Z, 3, axis=1)
    rows = values + departed
    if (visible != 0).all():
        return rows
    with scoring_torch():
        predicted = adaptation.module.predict(adaptation.tensors, aligned(Z)).mean.numpy()
    known = adaptation.representation.is_known  # a feature without any value in the support is not
    return np.where(visible != 0, rows, np.where(known, predicted, 0.0))
