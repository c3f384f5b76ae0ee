"""Write the score of a prototypical network as a graph of ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from ..._onnx.graph import Graph
from ..._typing import Array
from ..base.adaptation import Adaptation
from ..base.export import write_scaled


def write_network(graph: Graph, X: str, adaptation: Adaptation) -> str:
    """Add the squared distance to the normal minus that to the anomalous prototype: (m, 1)."""
    values, scaled = adaptation.values, write_scaled(graph, X, adaptation.representation)
    Z = graph.layers(scaled, _layers(adaptation.module.embed), "Silu")
    to_normal = _squared_distance(graph, Z, values["normal"])
    if not values["has_anomalies"]:
        return to_normal
    return graph.add("Sub", to_normal, _squared_distance(graph, Z, values["anomalous"]))


def _layers(embed: nn.Module) -> list[tuple[Array, Array]]:
    """Return the weights (n_in, n_out) and biases of an embedding."""
    parts: list[Any] = [part for part in embed.modules() if isinstance(part, nn.Linear)]
    return [(part.weight.detach().numpy().T, part.bias.detach().numpy()) for part in parts]


def _squared_distance(graph: Graph, Z: str, prototype: Array) -> str:
    """Add the squared distance to a prototype, 0 within rounding: (m, e) -> (m, 1)."""
    gap = graph.add("Sub", Z, prototype[None])
    distance = graph.summed(graph.add("Mul", gap, gap))
    noise = (16 * np.finfo(np.float64).eps) ** 2
    least = graph.add("Mul", graph.summed(graph.add("Mul", Z, Z)), noise)
    return graph.add("Where", graph.add("Less", distance, least), 0.0, distance)
