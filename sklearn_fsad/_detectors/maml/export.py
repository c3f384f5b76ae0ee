"""Write the score of adapted networks as a graph of ONNX."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._onnx.graph import Graph
from ..._stats.moments import FAR
from ..._typing import Array
from ..base.adaptation import Adaptation
from ..base.export import write_scaled
from .learners import TINY, Autoencoder, Classifier, Hypersphere
from .representation import NetworkFeatures


def write_networks(graph: Graph, X: str, adaptation: Adaptation) -> str:
    """Add the mean score of the adapted networks: (m, d) -> (m, 1)."""
    Z = _features(graph, X, adaptation.representation._features)
    weights = adaptation.module.weights_in(adaptation.values)
    scores = [_score(graph, Z, w, adaptation.module.learner) for w in weights]
    total = scores[0] if len(scores) == 1 else graph.add("Sum", *scores)
    return graph.add("Div", total, np.array(float(len(scores))))


def _features(graph: Graph, X: str, features: NetworkFeatures) -> str:
    """Add the features that the networks read: (m, d) -> (m, q)."""
    rows = graph.add("Min", graph.add("Max", X, -FAR), FAR)
    if features._basis is not None:
        rows = graph.add("MatMul", rows, features._basis)
    scaled = write_scaled(graph, rows, features._scaled)
    size = graph.add("Abs", scaled)
    # arcsinh, of which runtimes have no float64 version
    root = graph.add("Sqrt", graph.add("Add", graph.add("Mul", size, size), 1.0))
    return graph.add(
        "Mul", graph.add("Sign", scaled), graph.add("Log", graph.add("Add", size, root))
    )


def _score(
    graph: Graph, Z: str, weights: Sequence[Array], learner: Classifier | Autoencoder | Hypersphere
) -> str:
    """Add the score of one network: the logit, or the log error: (m, q) -> (m, 1)."""
    layers = [*zip(weights[::2], weights[1::2], strict=True)]
    output = graph.layers(Z, layers, "Silu")
    if isinstance(learner, Classifier):
        return output
    aim = learner.centre.numpy()[None] if isinstance(learner, Hypersphere) else Z
    gap = graph.add("Sub", output, aim)
    error = graph.add("ReduceMean", graph.add("Mul", gap, gap), axes=[1], keepdims=1)
    return graph.add("Log", graph.add("Add", error, TINY))
