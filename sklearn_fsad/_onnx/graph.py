"""Write a computation as a graph of ONNX, operation by operation."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._version import __version__

ROWS, SCORES, ANOMALY = "X", "scores", "anomaly"  # names of the input and the outputs
FLOAT64, INT64 = 11, 7  # numbers of types
_OPSET, _IR = 17, 8  # of 2022, so that older runtimes read the file
Value = str | NDArray[Any] | float  # the name of a result, or a constant


class Graph:
    """Collect operations; each returns the name of its result, which the next one takes.

    Constants are float64 unless they are arrays of another type.

    Parameters
    ----------
    n_features : int
        Number of columns of the rows.
    """

    def __init__(self, n_features: int) -> None:
        self._n_features = n_features
        self._nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = []
        self._constants: list[NDArray[Any]] = []

    def add(self, operation: str, *values: Value, **attributes: Any) -> str:
        """Add an operation with one result."""
        return self.add_several(operation, 1, *values, **attributes)[0]

    def add_several(
        self, operation: str, n_results: int, *values: Value, **attributes: Any
    ) -> list[str]:
        """Add an operation with several results."""
        outputs = [f"{operation}_{len(self._nodes)}_{i}" for i in range(n_results)]
        return self._add(operation, values, outputs, attributes)

    def as_type(self, value: str, to: int) -> str:
        """Convert a result to a type, by its number."""
        return self.add("Cast", value, to=to)

    def summed(self, value: str) -> str:
        """Sum over columns: (m, d) -> (m, 1)."""
        return self.add("ReduceSum", value, np.array([1]), keepdims=1)

    def any_column(self, mask: str) -> str:
        """Tell whether a mask selects any column: (m, d) -> (m, 1)."""
        return self.add("Greater", self.summed(self.as_type(mask, FLOAT64)), 0.0)

    def layers(self, value: str, layers: Sequence[Any], activation: str) -> str:
        """Apply a perceptron: weights (n_in, n_out) and biases, "Relu" or "Silu" between layers."""
        for i, (weights, bias) in enumerate(layers):
            if i:
                value = self.add("Relu", value) if activation == "Relu" else self._silu(value)
            value = self.add("Add", self.add("MatMul", value, weights), np.reshape(bias, (1, -1)))
        return value

    def _silu(self, value: str) -> str:
        """Add SiLU; some runtimes replace a product with a sigmoid by what has no float64."""
        return self.add("Div", value, self.add("Add", self.add("Exp", self.add("Neg", value)), 1.0))

    def save(
        self, path: Any, anomaly_scores: str, offset: float, columns: Sequence[Any] | None
    ) -> None:
        """Write the graph whose result are anomaly scores, (m, 1), to a file.

        Its outputs are ``scores``, larger = more normal, and ``anomaly``, 1 for rows below the
        threshold. Rows with values that are missing or infinite have the score NaN, and count as
        anomalies.
        """
        missing = self.any_column(self.add("IsNaN", self.add("Sub", ROWS, ROWS)))
        scores = self.add("Where", missing, np.nan, self.add("Neg", anomaly_scores))
        (scores,) = self._add("Reshape", [scores, np.array([-1])], [SCORES], {})
        normal = self.add("GreaterOrEqual", self.add("Sub", scores, offset), 0.0)
        self._add("Cast", [self.add("Not", normal)], [ANOMALY], {"to": INT64})
        self._write(path, {"offset": repr(offset), "columns": json.dumps(_names(columns))})

    def _add(
        self, operation: str, values: Sequence[Value], outputs: list[str], how: dict[str, Any]
    ) -> list[str]:
        inputs = [value if isinstance(value, str) else self._constant(value) for value in values]
        self._nodes.append((operation, inputs, outputs, how))
        return outputs

    def _constant(self, value: NDArray[Any] | float) -> str:
        self._constants.append(np.array(value, order="C"))
        return _name(len(self._constants) - 1)

    def _write(self, path: Any, about: dict[str, str]) -> None:
        onnx = import_onnx()
        make, value = onnx.helper, onnx.helper.make_tensor_value_info
        graph = make.make_graph(
            [make.make_node(op, ins, outs, **how) for op, ins, outs, how in self._nodes],
            "sklearn_fsad",
            [value(ROWS, FLOAT64, ["n", self._n_features])],
            [value(SCORES, FLOAT64, ["n"]), value(ANOMALY, INT64, ["n"])],
            [onnx.numpy_helper.from_array(a, _name(i)) for i, a in enumerate(self._constants)],
        )
        opset = [make.make_opsetid("", _OPSET)]
        model = make.make_model(
            graph, opset_imports=opset, ir_version=_IR, producer_name="sklearn-fsad"
        )
        model.producer_version = __version__
        make.set_model_props(model, about)
        onnx.checker.check_model(model)
        partial = f"{os.fspath(path)}.partial"
        onnx.save(model, partial)
        os.replace(partial, path)  # whole or not at all


def _name(position: int) -> str:
    return f"constant_{position}"


def import_onnx() -> Any:
    """Import onnx, or say what to install."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "to_onnx needs the package onnx: pip install 'sklearn-fsad[onnx]'."
        ) from error
    return onnx


def _names(columns: Sequence[Any] | None) -> list[str] | None:
    return None if columns is None else [str(name) for name in columns]
