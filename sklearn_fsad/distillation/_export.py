"""Write a student as a graph of ONNX."""

from __future__ import annotations

import numpy as np

from .._onnx.graph import ROWS, Graph
from ._compiled import BEND, FARTHEST
from ._student import CLOSEST, Inputs, Student


def write_student(graph: Graph, student: Student) -> str:
    """Add the anomaly scores of rows to the graph, as the student computes them: (m, 1)."""
    inputs, network = student.inputs, student.network
    mean, factor = network.scale
    scaled = graph.add("Mul", graph.add("Sub", _inputs(graph, inputs), mean), factor)
    layers = [(weights.T, bias) for weights, bias in network.layers]
    outputs = graph.layers(scaled, layers, "Relu")
    scores = _interpolated(graph, outputs, student)
    low, high = inputs.columns[2:]
    below, above = graph.add("Less", ROWS, low), graph.add("Greater", ROWS, high)
    raised = graph.add("Max", scores, student.highest)
    return graph.add("Where", graph.any_column(graph.add("Or", below, above)), raised, scores)


def _inputs(graph: Graph, inputs: Inputs) -> str:
    """Add the inputs of the network: (m, d) -> (m, n_inputs)."""
    centre, factor = inputs.columns[:2]
    scaled = graph.add("Mul", graph.add("Sub", ROWS, centre), factor)
    scaled = graph.add("Min", graph.add("Max", scaled, -FARTHEST), FARTHEST)
    bend = graph.add("Add", graph.add("Div", graph.add("Abs", scaled), BEND), 1.0)
    Z = graph.add("Div", scaled, bend)
    products = graph.add("MatMul", Z, inputs.known.T)
    directions = inputs.directions
    shown = graph.add("MatMul", products, directions.T) if len(directions) else Z
    return graph.add("Concat", shown, _nearest(graph, Z, products, inputs), axis=1)


def _nearest(graph: Graph, Z: str, products: str, inputs: Inputs) -> str:
    """Add the logarithms of the length and of the distances to known rows: (m, n)."""
    n_known = len(inputs.lengths)
    length = graph.add("ReduceMean", graph.add("Mul", Z, Z), axes=[1], keepdims=1)
    squared = graph.add("Add", products, inputs.lengths[None])
    squared = graph.add("Add", squared, length)
    means, start = [length], 0
    for stop, k in zip((inputs.n_normal, n_known), inputs.n_nearest, strict=True):
        if k:
            part = graph.add("Slice", squared, np.array([start]), np.array([stop]), np.array([1]))
            nearest = graph.add_several("TopK", 2, part, np.array([k]), axis=1, largest=0)
            means.append(nearest[0])
        start = stop
    positive = graph.add("Max", graph.add("Concat", *means, axis=1), 0.0)
    return graph.add("Log", graph.add("Add", positive, CLOSEST))


def _interpolated(graph: Graph, outputs: str, student: Student) -> str:
    """Add the scores that outputs of the network stand for: (m, 1) -> (m, 1)."""
    knots, heights = student.knots
    widths, rises = np.diff(knots), np.diff(heights)
    within = graph.add("Max", graph.add("Sub", outputs, knots[None, :-1]), 0.0)
    parts = graph.add("Div", graph.add("Min", within, widths[None]), widths[None])
    return graph.add("Add", graph.add("MatMul", parts, rises[:, None]), heights[0])
