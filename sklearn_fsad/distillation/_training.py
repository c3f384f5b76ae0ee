"""Train the network of a student on rows and the scores of the detector to distil."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata
from sklearn.cluster import kmeans_plusplus
from torch import Tensor, nn

from .._detectors.base.far_rows import Range
from .._training.seeding import torch_seed
from .._training.usual_torch import usual_torch
from .._typing import Array
from ._rows import KnownRows
from ._student import Inputs, Network, Student, bent

_BATCH = 256
_HIGHEST_RATE = 4e-3
_MOST_KNOWN = 256, 64  # normals and anomalies whose distances are read
_WIDE, _DIRECTIONS = 100, 48  # columns that are projected, and on how many directions
_LEAST_SIZE = 1e-6  # of a direction, of the largest one
_KNOTS = ndtr(np.linspace(-3.7, 3.7, 65))  # shares of rows below; dense in the tails


def inputs_for(known: KnownRows, seed: int) -> Inputs:
    """Choose the scale, the known rows and the directions of a student."""
    X = np.concatenate([known.normals, known.anomalies])
    limits = Range.of(X, known.normals)
    normals = _spread_out(known.normals, _MOST_KNOWN[0], known, seed)
    anomalies = _spread_out(known.anomalies, _MOST_KNOWN[1], known, seed)
    rows = np.concatenate([normals, anomalies])
    Z = bent((rows - known.centre) / known.spread)
    factors = Z * (-2.0 / Z.shape[1])
    return Inputs(
        np.stack([known.centre, 1.0 / known.spread, limits.low, limits.high]),
        factors,
        np.einsum("ij,ij->i", Z, Z) / Z.shape[1],
        len(normals),
        _directions(Z, factors) if Z.shape[1] > _WIDE else np.empty((0, len(Z))),
    )


def _spread_out(rows: Array, most: int, known: KnownRows, seed: int) -> Array:
    """Choose rows that lie far from each other, where there are many: (n, d) -> (m, d)."""
    if len(rows) <= most:
        return rows
    Z = (rows - known.centre) / known.spread
    return rows[np.sort(kmeans_plusplus(Z, most, random_state=seed)[1])]


def _directions(Z: Array, factors: Array) -> Array:
    """Return the principal directions of rows in terms of factors: (n, d), (n, d) -> (q, n).

    They lie in the span of the rows, so that products with these are all that is needed.
    """
    _, sizes, vectors = np.linalg.svd(Z - Z.mean(axis=0), full_matrices=False)
    vectors = vectors[sizes > _LEAST_SIZE * sizes[0]][:_DIRECTIONS]
    return np.ascontiguousarray(np.linalg.lstsq(factors.T, vectors.T, rcond=None)[0].T)


def train(
    inputs: Inputs,
    X: Array,
    scores: Array,
    hidden: Sequence[int],
    max_epochs: int,
    seed: int,
) -> Student:
    """Train a student on rows and their anomaly scores: (n, d), (n,).

    The network learns the normal quantiles of the ranks, which is what a rank correlation is
    about; its outputs are mapped back to scores by their quantiles.
    """
    values = inputs.of(X)
    target = ndtri((rankdata(scores) - 0.5) / len(scores))
    mean, spread = values.mean(axis=0), values.std(axis=0)
    spread = np.where(spread > 1e-6, spread, 1.0)
    Z = _tensor((values - mean) / spread)
    with usual_torch(), torch_seed(seed):
        network = _network(Z.shape[1], hidden)
        _descend(network, Z, _tensor(target), max_epochs)
        with torch.no_grad():
            outputs = _array(network(Z).squeeze(-1))
    parts = [part for part in network if isinstance(part, nn.Linear)]
    layers = [(_array(part.weight), _array(part.bias)) for part in parts]
    trained = Network.of(np.stack([mean, 1.0 / spread]), layers)
    return Student(inputs, trained, _knots(outputs, scores), highest=float(scores.max()))


def _tensor(values: Array) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _array(values: Tensor) -> Array:
    return values.detach().numpy().astype(np.float64)


def _network(n_in: int, hidden: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, width in itertools.pairwise([n_in, *hidden]):
        layers += [nn.Linear(before, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden[-1] if hidden else n_in, 1))


def _descend(network: nn.Module, Z: Tensor, target: Tensor, max_epochs: int) -> None:
    """Minimise the squared error by Adam, with a rate that rises once and then falls."""
    n_batches = max(len(Z) // _BATCH, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=_HIGHEST_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _HIGHEST_RATE, total_steps=max_epochs * n_batches
    )
    for _ in range(max_epochs):
        for rows in torch.randperm(len(Z)).chunk(n_batches):
            loss = (network(Z[rows]).squeeze(-1) - target[rows]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def _knots(outputs: Array, scores: Array) -> Array:
    """Match the quantiles of outputs and scores; continue them beyond: (2, n_knots)."""
    levels = np.concatenate([[0.0], _KNOTS, [1.0]])
    u, heights = (np.quantile(np.float64(values), levels) for values in (outputs, scores))
    u, first = np.unique(u, return_index=True)
    heights = heights[first]
    size = max(u[-1] - u[0], 1.0)
    slope = max((heights[-1] - heights[0]) / size, 1e-12)
    beyond = 10.0 * size
    return np.stack(
        [
            [u[0] - beyond, *u, u[-1] + beyond],
            [heights[0] - beyond * slope, *heights, heights[-1] + beyond * slope],
        ]
    )
