"""Score rows by a small network of their scaled values and their distances to known rows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from .._detectors.base.blocks import in_plain_blocks
from .._stats.compilation import plain
from .._typing import Array, Positions
from ._compiled import BEND, Singles, score_rows
from ._panels import from_panels, in_panels
from ._registers import WIDTH

NEAREST = 4, 2  # distances that are read: to normal rows, to anomalies
_NO_NETWORK = (
    np.empty((2, 0)), np.empty(0, np.float32), np.zeros(1, np.intp), np.empty((2, 0)), 0.0
)  # fmt: skip


@dataclass(frozen=True)
class Inputs:
    """Turn rows into the inputs of a network.

    The inputs are the values of a row, scaled and bent so that far values stay finite, or their
    projections where the rows are wide, and the logarithms of the mean squares of the row and of
    its differences from the nearest known rows, normal ones and anomalies.

    Attributes
    ----------
    columns : ndarray of shape (4, d)
        Centre of each column, one over its spread, and its lowest and highest value, out of which a
        row is always an anomaly.
    known : ndarray of shape (n_panels, d, WIDTH)
        Known rows, scaled and bent, in columns and times -2 / d: normal ones first; in panels.
    lengths : ndarray of shape (n_known,)
        Their mean squares.
    directions : ndarray of shape (n_panels, n_known, WIDTH)
        Directions to project wide rows on, in terms of their products with the known rows; none
        to read the values themselves.
    counts : ndarray of shape (4,)
        Numbers of values or projections, of normal known rows, and of the distances that are read
        to normal rows and to anomalies.
    """

    columns: Array
    known: Array
    lengths: Array
    directions: Array
    counts: Positions

    def of(self, X: Array) -> Array:
        """Compute the inputs of rows: (m, d) -> (m, n_inputs)."""
        found = np.empty((len(X), self.n_inputs))
        score_rows(plain(X), *self.parts, *_NO_NETWORK, found, np.empty(0))
        return found

    @property
    def n_inputs(self) -> int:
        """Number of inputs of the network."""
        return int(self.counts[0] + 1 + self.counts[2] + self.counts[3])

    @property
    def parts(self) -> tuple[Array, Array, Array, Array, Positions]:
        """Everything, as :func:`score_rows` takes it."""
        return self.columns, self.known, self.lengths, self.directions, self.counts


def bent(Z: Array) -> Array:
    """Bend values: nearly linear up to a spread, and less than ``BEND`` however far."""
    return Z / (1.0 + np.abs(Z) / BEND)


@dataclass(frozen=True)
class Network:
    """Hold a perceptron with ReLU between layers and one output, computed in float32.

    Attributes
    ----------
    scale : ndarray of shape (2, n_inputs)
        Mean of each input and one over its spread.
    numbers : ndarray, dtype float32
        Weights, in panels, and biases of each layer in turn, flattened.
    widths : ndarray of shape (n_layers + 1,)
        Number of inputs, and widths of the layers.
    """

    scale: Array
    numbers: Singles
    widths: Positions

    @classmethod
    def of(cls, scale: Array, layers: Sequence[tuple[Array, Array]]) -> Self:
        """Make the network of weights (n_in, n_out) and biases (n_out,), for scaled inputs."""
        parts = []
        for weights, bias in layers[:-1]:
            parts += [in_panels(weights), np.pad(bias, (0, -len(bias) % WIDTH))]
        parts += layers[-1]
        numbers = np.concatenate([part.ravel() for part in parts]).astype(np.float32)
        widths = [len(layers[0][0]), *(len(bias) for _, bias in layers)]
        return cls(scale, numbers, np.array(widths, dtype=np.intp))

    @property
    def layers(self) -> list[tuple[Array, Array]]:
        """Weights (n_in, n_out) and biases (n_out,) of each layer, for scaled inputs."""
        found: list[tuple[Array, Array]] = []
        start = 0
        for n_in, n_out in itertools.pairwise(self.widths.tolist()):
            filled = n_out if len(found) == len(self.widths) - 2 else n_out + -n_out % WIDTH
            size = n_in * filled
            part = self.numbers[start : start + size + n_out].astype(np.float64)
            weights = part[:size].reshape(-1, n_in, min(filled, WIDTH))
            found.append((from_panels(weights, n_out), part[size:]))
            start += size + filled
        return found


@dataclass(frozen=True)
class Student:
    """Score rows by a perceptron, whose output is mapped to the scores of the distilled detector.

    Attributes
    ----------
    inputs : Inputs
    network : Network
    knots : ndarray of shape (2, n_knots)
        Outputs of the network in ascending order and the anomaly scores that they stand for.
    highest : float
        Least anomaly score of rows out of the range.
    """

    inputs: Inputs
    network: Network
    knots: Array
    highest: float

    def score(self, X: Array) -> Array:
        """Score rows, larger = more anomalous: (m, d) -> (m,)."""
        return in_plain_blocks(self._score_block, X, keep_traces=True)

    def _score_block(self, X: Array) -> Array:
        found, network = np.empty(len(X)), self.network
        score_rows(
            plain(X), *self.inputs.parts, network.scale, network.numbers, network.widths,
            self.knots, self.highest, np.empty((0, self.inputs.n_inputs)), found,
        )  # fmt: skip
        return found
