"""Score rows by a small network of their scaled values and their distances to known rows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from .._detectors.base.blocks import in_plain_blocks
from .._stats.compilation import plain
from .._typing import Array, Positions, Singles
from ._compiled import BEND, GROUP, NEAREST, network_inputs, propagate

CLOSEST = 1e-3  # squared distance a column, added so that the logarithm is finite


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
    known : ndarray of shape (n_known, d)
        Known rows, scaled and bent, times -2 / d: normal ones first.
    lengths : ndarray of shape (n_known,)
        Their mean squares.
    n_normal : int
        Number of the normal ones.
    directions : ndarray of shape (q, n_known)
        Directions to project wide rows on, in terms of their products with the known rows; none,
        (0, n_known), to read the values themselves.
    """

    columns: Array
    known: Array
    lengths: Array
    n_normal: int
    directions: Array

    def of(self, X: Array) -> Array:
        """Compute the inputs of rows: (m, d) -> (m, n_inputs)."""
        found, _ = self.in_groups(X)
        return found.transpose(0, 2, 1).reshape(-1, found.shape[1])[: len(X)]

    def in_groups(self, X: Array) -> tuple[Array, Array]:
        """Compute the inputs of groups of rows, and how many values are out of the range.

        Returns
        -------
        inputs : ndarray of shape (n_groups, n_inputs, GROUP)
        outside : ndarray of shape (n_groups, GROUP)
            Of the last group, what comes after the last row means nothing.
        """
        n_shown = len(self.directions) or X.shape[1]
        n_near, n_far = self.n_nearest
        n_groups = -(-len(X) // GROUP)
        found = np.empty((n_groups, n_shown + 1 + n_near + n_far, GROUP))
        outside = np.zeros((n_groups, GROUP))
        counts = np.array([n_shown, self.n_normal, n_near])
        network_inputs(
            plain(X), self.columns, self.known, self.lengths, self.directions, counts, found,
            outside,
        )  # fmt: skip
        means = found[:, n_shown:]
        np.log(means + CLOSEST, out=means)
        return found, outside

    @property
    def n_nearest(self) -> tuple[int, int]:
        """Return how many distances are read, to normal rows and to anomalies."""
        n_anomalous = len(self.lengths) - self.n_normal
        return min(self.n_normal, NEAREST[0]), min(n_anomalous, NEAREST[1])


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
        Weights (n_out, n_in) and biases (n_out,) of each layer in turn, flattened.
    widths : ndarray of shape (n_layers + 1,)
        Number of inputs, and widths of the layers.
    """

    scale: Array
    numbers: Singles
    widths: Positions

    @classmethod
    def of(cls, scale: Array, layers: Sequence[tuple[Array, Array]]) -> Self:
        """Make the network of weights (n_out, n_in) and biases (n_out,), for scaled inputs."""
        numbers = np.concatenate([part.ravel() for layer in layers for part in layer])
        widths = [scale.shape[1], *(len(bias) for _, bias in layers)]
        return cls(scale, numbers.astype(np.float32), np.array(widths, dtype=np.intp))

    @property
    def layers(self) -> list[tuple[Array, Array]]:
        """Weights (n_out, n_in) and biases (n_out,) of each layer, for scaled inputs."""
        found, rest = [], self.numbers.astype(np.float64)
        for n_in, n_out in itertools.pairwise(self.widths.tolist()):
            weights, bias, rest = np.split(rest, [n_in * n_out, (n_in + 1) * n_out])
            found.append((weights.reshape(n_out, n_in), bias))
        return found

    def outputs(self, inputs: Array) -> Array:
        """Apply the network: (n_groups, n_inputs, GROUP) -> (n_groups, GROUP)."""
        found = np.empty((len(inputs), GROUP))
        propagate(inputs, self.scale, self.numbers, self.widths, found)
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
        inputs, outside = self.inputs.in_groups(X)
        scores = np.interp(self.network.outputs(inputs), *self.knots)
        return np.where(outside, np.maximum(scores, self.highest), scores).ravel()[: len(X)]
