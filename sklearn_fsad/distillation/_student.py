"""Score rows by a small network of their scaled values and their distances to known rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._detectors.base.blocks import in_plain_blocks
from .._stats.compiled import row_product
from .._typing import Array, Mask

Layers = tuple[tuple[Array, Array], ...]  # weights (n_in, n_out) and biases (n_out,)

BEND = 8.0  # spreads at which scaled values are halved
NEAREST = 4, 2  # distances that are read: to normal rows, to anomalies
CLOSEST = 1e-3  # squared distance a column, added so that the logarithm is finite


@dataclass(frozen=True)
class Inputs:
    """Turn rows into the inputs of a network.

    The inputs are the values of a row, scaled and bent so that far values stay finite, or their
    projections where the rows are wide, and the logarithms of the distances to the nearest known
    rows.

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
    directions : ndarray of shape (d, q), or None
        Directions to project scaled rows on.
    """

    centre: Array
    spread: Array
    low: Array
    high: Array
    known: Array
    lengths: Array
    n_normal: int
    directions: Array | None = None

    def of(self, X: Array) -> Array:
        """Compute the inputs of rows: (m, d) -> (m, n_inputs)."""
        Z = self.scaled(X)
        shown = Z if self.directions is None else row_product(Z, self.directions)
        return np.concatenate([shown, self._nearest(Z)], axis=1)

    def scaled(self, X: Array) -> Array:
        """Scale and bend rows: (m, d) -> (m, d)."""
        return bent((X - self.centre) / self.spread)

    def outside(self, X: Array) -> Mask:
        """Find the rows with a value out of the range: (m, d) -> (m,)."""
        return np.asarray(((self.low > X) | (self.high < X)).any(axis=1))

    def _nearest(self, Z: Array) -> Array:
        """Compute the logarithms of distances to the nearest known rows: (m, d) -> (m, n)."""
        length = np.einsum("ij,ij->i", Z, Z)[:, None] / Z.shape[1]
        squared = row_product(Z, self.known)  # to which the products are scaled
        squared += self.lengths
        squared += length
        parts = (squared[:, : self.n_normal], squared[:, self.n_normal :])
        nearest = [smallest(part, n) for part, n in zip(parts, NEAREST, strict=True)]
        means = np.concatenate([length, *nearest], axis=1)
        return np.log(np.maximum(means, 0.0) + CLOSEST)


def bent(Z: Array) -> Array:
    """Bend values: nearly linear up to a spread, and less than ``BEND`` however far."""
    return Z / (1.0 + np.abs(Z) / BEND)


def smallest(values: Array, n: int) -> Array:
    """Return the n smallest values of each row in ascending order, all where there are fewer."""
    if values.shape[1] > n:
        values = np.partition(values, n - 1, axis=1)[:, :n]
    return np.sort(values, axis=1)


@dataclass(frozen=True)
class Student:
    """Score rows by a perceptron, whose output is mapped to the scores of the distilled detector.

    Attributes
    ----------
    inputs : Inputs
    layers : tuple of (weights, bias)
        Of shapes (n_in, n_out) and (n_out,), with ReLU between layers, one output.
    outputs, scores : ndarray of shape (n_knots,)
        Outputs of the network in ascending order and the anomaly scores that they stand for.
    highest : float
        Anomaly score of rows out of the range.
    """

    inputs: Inputs
    layers: Layers
    outputs: Array
    scores: Array
    highest: float

    def score(self, X: Array) -> Array:
        """Score rows, larger = more anomalous: (m, d) -> (m,)."""
        return in_plain_blocks(self._score_block, X)

    def _score_block(self, X: Array) -> Array:
        outputs = propagate(self.layers, self.inputs.of(X))
        scores = np.interp(outputs, self.outputs, self.scores)
        far = self.inputs.outside(X)
        return np.where(far, np.maximum(scores, self.highest), scores) if far.any() else scores


def propagate(layers: Layers, Z: Array) -> Array:
    """Apply a perceptron: (m, n_inputs) -> (m,)."""
    for weights, bias in layers[:-1]:
        Z = row_product(Z, weights)
        Z += bias
        np.maximum(Z, 0.0, out=Z)
    weights, bias = layers[-1]
    return row_product(Z, weights[:, 0]) + bias[0]
