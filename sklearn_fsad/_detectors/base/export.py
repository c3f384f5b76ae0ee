"""Write a fitted detector whose score is a network as a graph of ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._input.columns import known_columns
from ..._onnx.graph import ROWS, Graph
from ..._stats.scaling import ScaledSupport
from .adaptation import Adaptation
from .far_rows import floor_of_far_rows
from .fitted import FittedDetector


class Export(FittedDetector):
    """Write the scores and the threshold of a fitted detector to a file of ONNX."""

    def to_onnx(self, path: Any) -> None:
        """Write the fitted detector as a graph of ONNX, where its score is a network.

        These are ``ProtoNetDetector(embedding="mlp")`` and ``MAMLDetector(residual=False)``.
        Other scores compare rows with the training rows in ways that no graph holds: distil such a
        detector, :func:`sklearn_fsad.distil`, and write the result. The file can be used without
        this package and without torch.

        Parameters
        ----------
        path : str or path-like
            File to write. The graph takes ``X``, float64 of shape (n, n_features), and gives
            ``scores``, those of :meth:`score_samples`, and ``anomaly``, 1 for the rows that
            :meth:`predict` calls anomalies. Rows with missing values get NaN, and count as
            anomalies.

        Raises
        ------
        ValueError
            If the score is not a network, or training rows have missing values or categories.
        ImportError
            If the package onnx is not installed.
        """
        self._check_fitted()
        adaptation = self._adaptation
        graph, limits = Graph(self.n_features_in_), adaptation.range
        inside = graph.add("Min", graph.add("Max", ROWS, limits.low), limits.high)
        scores = self._write_scores(graph, inside, adaptation)
        if adaptation.reader.is_needed:
            raise ValueError(
                "The training rows have missing values or categories, which the graph could not "
                "read: fill or encode them, and fit the detector anew."
            )
        scores = _with_far_rows(graph, scores, adaptation)
        scores = _with_known_rows(graph, scores, adaptation)
        graph.save(path, scores, self.offset_, known_columns(self))

    def _write_scores(self, graph: Graph, X: str, adaptation: Adaptation) -> str:
        """Add the anomaly scores of new rows to the graph, where they are a network: (m, 1)."""
        raise ValueError(
            f"The score of this {type(self).__name__} is not a network alone: it compares rows "
            "with the training rows. Distil it, and write the copy: "
            "sklearn_fsad.distil(detector).to_onnx(path)."
        )


def write_scaled(graph: Graph, X: str, scaled: ScaledSupport) -> str:
    """Add the scaling of rows to the graph: (m, d) -> (m, d)."""
    if not scaled.row_by_row:
        raise ValueError(
            "A scaler that is a transformer cannot be written to the graph: use one by name, such "
            "as scaler='task', or distil the detector."
        )
    return graph.add("Div", graph.add("Sub", X, scaled._centre), scaled._scale)


def _with_far_rows(graph: Graph, scores: str, adaptation: Adaptation) -> str:
    """Raise the scores of rows out of the range of the training rows: (m, 1) -> (m, 1)."""
    assert adaptation.left_out is not None
    limits = adaptation.range
    outside = graph.add(
        "Or", graph.add("Less", ROWS, limits.low), graph.add("Greater", ROWS, limits.high)
    )
    raised = graph.add("Max", scores, np.array(floor_of_far_rows(adaptation.left_out)))
    return graph.add("Where", graph.any_column(outside), raised, scores)


def _with_known_rows(graph: Graph, scores: str, adaptation: Adaptation) -> str:
    """Give rows that equal a training row its leave-one-out score: (m, 1) -> (m, 1).

    The row to compare with is that whose projection on a random direction is nearest.
    """
    known = adaptation.lookup.positions
    if not len(known):
        return scores
    assert adaptation.left_out is not None
    rows, left_out = adaptation.support.X[known], adaptation.left_out[known]
    spread = rows.std(axis=0)[:, None]
    drawn = np.random.default_rng(0).normal(size=spread.shape)
    direction = np.divide(drawn, spread, out=np.zeros_like(drawn), where=spread > 0.0)
    places = (rows @ direction).T  # (1, n_known)
    gap = graph.add("Abs", graph.add("Sub", graph.add("MatMul", ROWS, direction), places))
    nearest = graph.add("ArgMin", gap, axis=1, keepdims=0)
    other = graph.add("Not", graph.add("Equal", ROWS, graph.add("Gather", rows, nearest, axis=0)))
    known_score = graph.add("Gather", left_out[:, None], nearest, axis=0)
    return graph.add("Where", graph.any_column(other), scores, known_score)
