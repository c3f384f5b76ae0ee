"""Train networks on the rows of one support: DeepSAD, DevNet, and MAML's network alone.

DeepSAD and DevNet are as their papers have them.

PyOD 3.6.7 has no DeepSAD, and the loss of its DevNet swaps scores and labels, so that it does not
learn from labels at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from bench.methods.base import Baseline
from torch import Tensor, nn

from sklearn_fsad._detectors.maml.learners import make_learner

TINY = 1e-6


class DeepSAD(Baseline):
    """Draws normals to a centre of an embedding and drives labelled anomalies away [1]_.

    Without labelled anomalies it is DeepSVDD. Half of the rows of a batch are labelled anomalies.

    References
    ----------
    .. [1] L. Ruff et al., "Deep semi-supervised anomaly detection", ICLR 2020.
    """

    uses_labels = True

    def __init__(self, random_state: int = 0, n_steps: int = 200, batch_size: int = 64) -> None:
        self.random_state, self.n_steps, self.batch_size = random_state, n_steps, batch_size

    def fit(self, X: np.ndarray, y: np.ndarray) -> DeepSAD:
        """Learn the embedding; no layer has a bias, or all rows could fall on the centre."""
        with seeded(self.random_state):
            self.network_ = network(X.shape[1], (100, 50, 128), bias=False)
            normals, anomalies = torch.as_tensor(X[y == 0]), torch.as_tensor(X[y == 1])
            with torch.no_grad():
                centre = self.network_(normals).mean(dim=0)
            away = torch.where(centre < 0, -0.1, 0.1)
            self.centre_ = torch.where(centre.abs() < 0.1, away, centre)
            optimizer = torch.optim.Adam(self.network_.parameters(), lr=1e-3, weight_decay=1e-6)
            for _ in range(self.n_steps):
                loss = self._distance(some(normals, self.batch_size)).mean()
                if len(anomalies):
                    far = self._distance(some(anomalies, self.batch_size))
                    loss = loss + (1.0 / (far + TINY)).mean()
                step(optimizer, loss)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the squared distance to the centre."""
        with torch.no_grad():
            return self._distance(torch.as_tensor(X)).numpy()

    def _distance(self, X: Tensor) -> Tensor:
        return (self.network_(X) - self.centre_).square().sum(dim=1)


class DevNet(Baseline):
    """Draws scores of normals to a reference and lifts anomalies five deviations above it [1]_.

    References
    ----------
    .. [1] G. Pang et al., "Deep anomaly detection with deviation networks", KDD 2019.
    """

    uses_labels = needs_labels = True
    margin, n_reference = 5.0, 5000

    def __init__(self, random_state: int = 0, n_steps: int = 500, batch_size: int = 64) -> None:
        self.random_state, self.n_steps, self.batch_size = random_state, n_steps, batch_size

    def fit(self, X: np.ndarray, y: np.ndarray) -> DevNet:
        """Learn the score; half of the rows of a batch are labelled anomalies."""
        with seeded(self.random_state):
            self.network_ = network(X.shape[1], (20, 1), bias=True)
            normals, anomalies = torch.as_tensor(X[y == 0]), torch.as_tensor(X[y == 1])
            optimizer = torch.optim.RMSprop(self.network_.parameters(), lr=1e-3, weight_decay=1e-2)
            for _ in range(self.n_steps):
                reference = torch.randn(self.n_reference, dtype=torch.float64)
                mean, sd = reference.mean(), reference.std()
                inside = (self.network_(some(normals, self.batch_size // 2)) - mean) / sd
                outside = (self.network_(some(anomalies, self.batch_size // 2)) - mean) / sd
                step(optimizer, inside.abs().mean() + (self.margin - outside).clamp(min=0).mean())
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the score of the network."""
        with torch.no_grad():
            return self.network_(torch.as_tensor(X)).squeeze(1).numpy()


class SupportAlone(Baseline):
    """The network that MAML adapts, from random weights and trained on the support alone.

    Parameters
    ----------
    kind : {"classifier", "svdd"}
        What it learns.
    """

    uses_labels = True

    def __init__(self, kind: str, n_steps: int = 150) -> None:
        self.kind, self.n_steps = kind, n_steps

    def fit(self, X: np.ndarray, y: np.ndarray) -> SupportAlone:
        """Learn the weights by Adam."""
        with seeded(0):
            self.learner_ = make_learner(self.kind, 2, 0, (64, 64), 16, residual=False)
        self.weights_ = list(self.learner_.weights)
        optimizer = torch.optim.Adam(self.weights_, lr=0.01)
        rows, labels = torch.tensor(np.arcsinh(X)).float(), torch.tensor(y)
        for _ in range(self.n_steps):
            step(optimizer, self.learner_.loss(self.weights_, rows, labels))
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the score of the network."""
        rows = torch.tensor(np.arcsinh(X)).float()
        with torch.no_grad():
            return self.learner_.score(self.weights_, rows).numpy()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch draws from a seed within, and as before afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def network(n_features: int, widths: tuple[int, ...], bias: bool) -> nn.Sequential:
    """Return linear layers with rectifiers between them, in double precision."""
    layers: list[nn.Module] = []
    for before, after in zip((n_features, *widths[:-1]), widths, strict=True):
        layers += [nn.Linear(before, after, bias=bias, dtype=torch.float64), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def some(rows: Tensor, most: int) -> Tensor:
    """Return rows of a batch, drawn with replacement where there are fewer."""
    if len(rows) <= most:
        return rows
    return rows[torch.randint(len(rows), (most,))]


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step of training."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
