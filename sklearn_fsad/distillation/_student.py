"""Score rows by a small network of their scaled values and their distances to known rows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from .._detectors.base.blocks import in_plain_blocks
from .._stats.compilation import plain
from .._typing import Array, Mask, Positions
from ._compiled import network_inputs, propagate

BEND = 8.0  # spreads at which scaled values are halved
NEAREST = 4, 2  # distances that are read: to normal rows, to anomalies
CLOSEST = 1e-3  # squared distance a column, added so that the logarithm is finite


@dataclass(frozen=True)
class Inputs:
    """Turn rows into the inputs of a network.

    The inputs are the values of a row, scaled and bent so that far values stay finite, or their
    projections where the rows are wide, and the logarithms of the mean squares of the row and of
    its differences from the nearest known rows, normal ones and anomalies.

    Attributes
    ----------
    centre, spread : ndarray of shape (d,)
        Scale of the columns.
    low, high : ndarray of shape (d,)
        Range of the columns, out of which a row is always an anomaly.
    known : ndarray of shape (d, n_known)
        Known rows, scaled and bent, in columns and times -2 / d: normal ones first.
    lengths : ndarray of shape (n_known,)
        Their mean squares.
    n_normal : int
        Number of the normal ones.
    directions : ndarray of shape (n_known, q)
        Directions to project wide rows on, in terms of their products with the known rows; none,
        (n_known, 0), to read the values themselves.
    """

    centre: Array
    spread: Array
    low: Array
    high: Array
    known: Array
    lengths: Array
    n_normal: int
    directions: Array

    def of(self, X: Array) -> Array:
        """Compute the inputs of rows: (m, d) -> (m, n_inputs)."""
        n_normal, n_anomalous = self.n_nearest
        n_shown = self.directions.shape[1] or len(self.centre)
        found = np.empty((len(X), n_shown + 1 + n_normal + n_anomalous))
        network_inputs(
            plain(X),
            self.centre,
            1.0 / self.spread,
            1.0 / BEND,
            self.known,
            self.lengths,
            self.n_normal,
            n_normal,
            self.directions,
            found,
        )
        found[:, n_shown:] = np.log(found[:, n_shown:] + CLOSEST)
        return found

    @property
    def n_nearest(self) -> tuple[int, int]:
        """Return how many distances are read, to normal rows and to anomalies."""
        n_anomalous = len(self.lengths) - self.n_normal
        return min(self.n_normal, NEAREST[0]), min(n_anomalous, NEAREST[1])

    def outside(self, X: Array) -> Mask:
        """Find the rows with a value out of the range: (m, d) -> (m,)."""
        return np.asarray(((self.low > X) | (self.high < X)).any(axis=1))


def bent(Z: Array) -> Array:
    """Bend values: nearly linear up to a spread, and less than ``BEND`` however far."""
    return Z / (1.0 + np.abs(Z) / BEND)


@dataclass(frozen=True)
class Network:
    """Hold a perceptron with ReLU between layers and one output.

    Attributes
    ----------
    numbers : ndarray
        Weights (n_in, n_out) and biases (n_out,) of each layer in turn, flattened.
    widths : ndarray of shape (n_layers + 1,)
        Number of inputs, and widths of the layers.
    """

    numbers: Array
    widths: Positions

    @classmethod
    def of(cls, layers: Sequence[tuple[Array, Array]]) -> Self:
        """Make the network of weights (n_in, n_out) and biases (n_out,)."""
        numbers = np.concatenate([part.ravel() for layer in layers for part in layer])
        widths = [len(layers[0][0]), *(len(bias) for _, bias in layers)]
        return cls(numbers, np.array(widths, dtype=np.intp))

    @property
    def layers(self) -> list[tuple[Array, Array]]:
        """Weights (n_in, n_out) and biases (n_out,) of each layer."""
        found, start = [], 0
        for n_in, n_out in itertools.pairwise(self.widths.tolist()):
            part = self.numbers[start : start + (n_in + 1) * n_out].reshape(n_in + 1, n_out)
            found.append((part[:-1], part[-1]))
            start += part.size
        return found

    def outputs(self, Z: Array) -> Array:
        """Apply the network: (m, n_inputs) -> (m,)."""
        found = np.empty((len(Z), 1))
        propagate(Z, self.numbers, self.widths, found)
        return found[:, 0]


@dataclass(frozen=True)
class Student:
    """Score rows by a perceptron, whose output is mapped to the scores of the distilled detector.

    Attributes
    ----------
    inputs : Inputs
    network : Network
    outputs, scores : ndarray of shape (n_knots,)
        Outputs of the network in ascending order and the anomaly scores that they stand for.
    highest : float
        Anomaly score of rows out of the range.
    """

    inputs: Inputs
    network: Network
    outputs: Array
    scores: Array
    highest: float

    def score(self, X: Array) -> Array:
        """Score rows, larger = more anomalous: (m, d) -> (m,)."""
        return in_plain_blocks(self._score_block, X)

    def _score_block(self, X: Array) -> Array:
        outputs = self.network.outputs(self.inputs.of(X))
        scores = np.interp(outputs, self.outputs, self.scores)
        far = self.inputs.outside(X)
        return np.where(far, np.maximum(scores, self.highest), scores) if far.any() else scores
