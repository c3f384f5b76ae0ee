"""Define networks whose weights are arguments, one set per task, for adaptation by gradients.

Rows come as ``(..., n, n_features + n_evidence + 1)``: scaled features, standardised evidence, and
last the closed form's score; or as the features alone. Labels are 0 normal, 1 anomalous, 2 injected
and -1 padding.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..._input.labels import INJECTED
from ..._training.layers import row_product

Weights = Sequence[Tensor]  # weight (..., n_in, n_out) and bias (..., 1, n_out) of each layer
_TINY = 1e-6


class Learner(nn.Module):
    """Compute a loss of the support and scores of rows, with explicit weights.

    Parameters
    ----------
    widths : sequence of int
        Input, hidden and output widths of the perceptron.
    n_features : int
        Number of columns that are features.
    residual : bool
        Whether the output of the network is added to the score of the closed form, the last column;
        it is zero before training.
    """

    def __init__(self, widths: Sequence[int], n_features: int, residual: bool) -> None:
        super().__init__()
        self.n_features = n_features
        self.residual = residual
        self.weights = nn.ParameterList()
        for n_in, n_out in itertools.pairwise(widths):
            bound = n_in**-0.5
            self.weights.append(torch.empty(n_in, n_out).uniform_(-bound, bound))
            self.weights.append(torch.zeros(1, n_out))

    @abstractmethod
    def loss(self, weights: Weights, Z: Tensor, y: Tensor) -> Tensor:
        """Compute the loss of a support: (..., n, columns), (..., n) -> (...)."""

    @abstractmethod
    def score(self, weights: Weights, Z: Tensor) -> Tensor:
        """Score rows, larger = more anomalous: (..., m, columns) -> (..., m)."""

    def _described(self, Z: Tensor) -> Tensor:
        """Select the columns that the network reads: all but the score of the closed form."""
        return Z[..., :-1] if self.residual else Z


class Classifier(Learner):
    """Classify anomalies by a logistic loss, both classes with the same weight."""

    def __init__(self, n_in: int, n_features: int, hidden: Sequence[int], residual: bool) -> None:
        super().__init__([n_in, *hidden, 1], n_features, residual)
        self.log_slope = nn.Parameter(torch.zeros(()))
        if residual:
            nn.init.zeros_(self.weights[-2])

    def loss(self, weights: Weights, Z: Tensor, y: Tensor) -> Tensor:
        """Add the mean logistic losses of normals and anomalies: (...)."""
        logit = self.log_slope.exp() * self.score(weights, Z)
        normal, anomalous = y == 0, (y == 1) | (y == INJECTED)
        # means per class, not over rows: anomalies are few, and would hardly count
        share = _shares(normal, Z.dtype) + _shares(anomalous, Z.dtype)
        wrong = torch.where(anomalous, -logit, logit)
        return (F.softplus(wrong) * share).sum(-1)

    def score(self, weights: Weights, Z: Tensor) -> Tensor:
        """Compute the logit that rows are anomalous: (..., m, columns) -> (..., m)."""
        added = perceptron(weights, self._described(Z)).squeeze(-1)
        return Z[..., -1] + added if self.residual else added


class OneClassLearner(Learner):
    """Minimise an error of normals, and raise that of labelled anomalies above it."""

    def __init__(self, widths: Sequence[int], n_features: int, residual: bool) -> None:
        super().__init__(widths, n_features, residual)
        if residual:
            self.gain = nn.Parameter(torch.zeros(()))

    @abstractmethod
    def error(self, weights: Weights, Z: Tensor) -> Tensor:
        """Compute the error of rows: (..., m, columns) -> (..., m)."""

    def loss(self, weights: Weights, Z: Tensor, y: Tensor) -> Tensor:
        """Add the mean error of normals and a logistic loss of anomalies against it: (...)."""
        error = self.error(weights, Z)
        log_error = torch.log(error + _TINY)
        # logarithms make the comparison one of ratios, whatever the size of errors on a task
        level = _mean_where(log_error, y == 0).unsqueeze(-1)
        return _mean_where(error, y == 0) + _mean_where(F.softplus(level - log_error), y == 1)

    def score(self, weights: Weights, Z: Tensor) -> Tensor:
        """Score rows by their log error, added to the closed form if residual: (..., m)."""
        log_error = torch.log(self.error(weights, Z) + _TINY)
        return Z[..., -1] + self.gain * log_error if self.residual else log_error


class Autoencoder(OneClassLearner):
    """Reconstruct features through a bottleneck; the error is the mean squared difference."""

    def __init__(
        self, n_features: int, hidden: Sequence[int], embedding_dim: int, residual: bool
    ) -> None:
        widths = [n_features, *hidden, embedding_dim, *reversed(hidden), n_features]
        super().__init__(widths, n_features, residual)

    def feature_errors(self, weights: Weights, Z: Tensor) -> Tensor:
        """Compute the squared error of each feature: (..., m, columns) -> (..., m, n_features)."""
        features = Z[..., : self.n_features]
        return (perceptron(weights, features) - features).square()

    def error(self, weights: Weights, Z: Tensor) -> Tensor:
        """Compute the mean squared error of rows: (..., m, columns) -> (..., m)."""
        return self.feature_errors(weights, Z).mean(-1)


class Hypersphere(OneClassLearner):
    """Map normals near a meta-learned centre; the error is the squared distance [1]_.

    References
    ----------
    .. [1] L. Ruff et al., "Deep one-class classification", ICML 2018.
    """

    def __init__(
        self,
        n_in: int,
        n_features: int,
        hidden: Sequence[int],
        embedding_dim: int,
        residual: bool,
    ) -> None:
        super().__init__([n_in, *hidden, embedding_dim], n_features, residual)
        self.centre = nn.Parameter(torch.zeros(embedding_dim))

    def error(self, weights: Weights, Z: Tensor) -> Tensor:
        """Compute the squared distance to the centre, averaged over dimensions: (..., m)."""
        return (perceptron(weights, self._described(Z)) - self.centre).square().mean(-1)


LEARNERS = ("classifier", "autoencoder", "svdd")


def make_learner(
    kind: str,
    n_features: int,
    n_evidence: int,
    hidden: Sequence[int],
    embedding_dim: int,
    residual: bool,
) -> Learner:
    """Make a learner for rows of ``n_features`` and, where residual, ``n_evidence`` columns."""
    n_in = n_features + n_evidence if residual else n_features
    if kind == "classifier":
        return Classifier(n_in, n_features, hidden, residual)
    if kind == "svdd":
        return Hypersphere(n_in, n_features, hidden, embedding_dim, residual)
    return Autoencoder(n_features, hidden, embedding_dim, residual)


def perceptron(weights: Weights, X: Tensor) -> Tensor:
    """Apply a perceptron, SiLU between layers, no batch norm: (..., n_in) -> (..., n_out)."""
    last = len(weights) - 2
    for i in range(0, len(weights), 2):
        X = _affine(weights[i], weights[i + 1], X)
        if i < last:
            X = F.silu(X)
    return X


def _affine(weight: Tensor, bias: Tensor, X: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return row_product(X, weight) + bias
    return torch.baddbmm(bias, X, weight) if X.ndim == 3 else X @ weight + bias


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Average the values that a mask selects, 0 where it selects none: (..., n) -> (...)."""
    return (values * _shares(mask, values.dtype)).sum(-1)


def _shares(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Weigh the rows that a mask selects equally, of sum 1 where it selects any: (..., n)."""
    weight = mask.to(dtype)
    return weight / weight.sum(-1, keepdim=True).clamp(min=1)
