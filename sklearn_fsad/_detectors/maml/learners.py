"""Networks that gradient steps adapt to a task: their weights are arguments, one set per task.

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
    """A network with explicit weights, a loss of the support and a score of rows.

    Parameters
    ----------
    widths : sequence of int
        Input, hidden and output widths of the perceptron.
    n_features : int
        How many of the columns are features.
    residual : bool
        Whether the score is that of the closed form, the last column, plus what the network adds:
        nothing before training.
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
        """Loss of a support: (..., n, columns), (..., n) -> (...)."""

    @abstractmethod
    def score(self, weights: Weights, Z: Tensor) -> Tensor:
        """Scores, larger = more anomalous: (..., m, columns) -> (..., m)."""

    def _described(self, Z: Tensor) -> Tensor:
        """What the network sees of the rows."""
        return Z[..., :-1] if self.residual else Z


class Classifier(Learner):
    """Logistic classifier of anomalies, both classes weighing the same."""

    def __init__(self, n_in: int, n_features: int, hidden: Sequence[int], residual: bool) -> None:
        super().__init__([n_in, *hidden, 1], n_features, residual)
        self.log_slope = nn.Parameter(torch.zeros(()))
        if residual:
            nn.init.zeros_(self.weights[-2])

    def loss(self, weights: Weights, Z: Tensor, y: Tensor) -> Tensor:
        """Mean logistic loss of the normals plus that of the anomalies."""
        logit = self.log_slope.exp() * self.score(weights, Z)
        normal, anomalous = y == 0, (y == 1) | (y == INJECTED)
        share = _shares(normal, Z.dtype) + _shares(anomalous, Z.dtype)
        wrong = torch.where(anomalous, -logit, logit)
        return (F.softplus(wrong) * share).sum(-1)

    def score(self, weights: Weights, Z: Tensor) -> Tensor:
        """Logit of a row being anomalous."""
        added = perceptron(weights, self._described(Z)).squeeze(-1)
        return Z[..., -1] + added if self.residual else added


class OneClassLearner(Learner):
    """A network whose error is small on normals; labelled anomalies push theirs above it."""

    def __init__(self, widths: Sequence[int], n_features: int, residual: bool) -> None:
        super().__init__(widths, n_features, residual)
        if residual:
            self.gain = nn.Parameter(torch.zeros(()))

    @abstractmethod
    def error(self, weights: Weights, Z: Tensor) -> Tensor:
        """Error of rows: (..., m, columns) -> (..., m)."""

    def loss(self, weights: Weights, Z: Tensor, y: Tensor) -> Tensor:
        """Mean error of the normals, and a logistic loss of log errors against theirs."""
        error = self.error(weights, Z)
        log_error = torch.log(error + _TINY)
        level = _mean_where(log_error, y == 0).unsqueeze(-1)
        return _mean_where(error, y == 0) + _mean_where(F.softplus(level - log_error), y == 1)

    def score(self, weights: Weights, Z: Tensor) -> Tensor:
        """Log error."""
        log_error = torch.log(self.error(weights, Z) + _TINY)
        return Z[..., -1] + self.gain * log_error if self.residual else log_error


class Autoencoder(OneClassLearner):
    """Reconstructs the features through a bottleneck; the error is the squared difference."""

    def __init__(
        self, n_features: int, hidden: Sequence[int], embedding_dim: int, residual: bool
    ) -> None:
        widths = [n_features, *hidden, embedding_dim, *reversed(hidden), n_features]
        super().__init__(widths, n_features, residual)

    def feature_errors(self, weights: Weights, Z: Tensor) -> Tensor:
        """Squared difference feature by feature: (..., m, columns) -> (..., m, n_features)."""
        features = Z[..., : self.n_features]
        return (perceptron(weights, features) - features).square()

    def error(self, weights: Weights, Z: Tensor) -> Tensor:
        """Mean squared difference."""
        return self.feature_errors(weights, Z).mean(-1)


class Hypersphere(OneClassLearner):
    """Maps normals near a meta-learned centre; the error is the squared distance [1]_.

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
        """Squared distance to the centre, a mean over dimensions."""
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
    """A learner of rows with so many features and, where it is residual, kinds of evidence."""
    n_in = n_features + n_evidence if residual else n_features
    if kind == "classifier":
        return Classifier(n_in, n_features, hidden, residual)
    if kind == "svdd":
        return Hypersphere(n_in, n_features, hidden, embedding_dim, residual)
    return Autoencoder(n_features, hidden, embedding_dim, residual)


def perceptron(weights: Weights, X: Tensor) -> Tensor:
    """SiLU between layers, no batch norm: (..., n, n_in) -> (..., n, n_out)."""
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
    """Mean of the values that a mask picks, 0 where it picks none: (..., n) -> (...)."""
    return (values * _shares(mask, values.dtype)).sum(-1)


def _shares(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Equal weights of the rows that a mask picks, of sum 1 where it picks any."""
    weight = mask.to(dtype)
    return weight / weight.sum(-1, keepdim=True).clamp(min=1)
