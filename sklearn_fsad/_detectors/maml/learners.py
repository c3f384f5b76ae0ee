"""Define networks whose weights are arguments, one set per task, for adaptation by gradients.

Rows come as ``(..., n, n_features + n_evidence + 1)``: scaled features, standardised evidence, and
last the closed form's score; or as the features alone. Labels are 0 normal, 1 anomalous, 2 injected
and -1 padding.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..._input.labels import INJECTED
from .perceptron import Weights, perceptron

Target = tuple[Tensor, ...]  # what outputs are compared with, and weights of rows
# the change of a gradient with the outputs, and derivatives by parameters
Change = Callable[[Tensor], tuple[Tensor, Sequence[Tensor]]]
TINY = 1e-6


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

    def loss(self, weights: Weights, Z: Tensor, y: Tensor) -> Tensor:
        """Compute the loss of a support: (..., n, columns), (..., n) -> (...)."""
        return self.loss_at(perceptron(weights, self.inputs(Z)), self.target(Z, y))

    @abstractmethod
    def score(self, weights: Weights, Z: Tensor) -> Tensor:
        """Score rows, larger = more anomalous: (..., m, columns) -> (..., m)."""

    def inputs(self, Z: Tensor) -> Tensor:
        """Select the columns that the network reads: all but the score of the closed form."""
        return Z[..., :-1] if self.residual else Z

    @abstractmethod
    def target(self, Z: Tensor, y: Tensor) -> Target:
        """Return what the loss compares outputs with: (..., n, columns), (..., n)."""

    @abstractmethod
    def loss_at(self, outputs: Tensor, target: Target) -> Tensor:
        """Compute the loss of outputs of the network: (..., n, n_out) -> (...)."""

    @abstractmethod
    def slope_at(self, outputs: Tensor, target: Target) -> Tensor:
        """Compute the gradient of the loss by the outputs: (..., n, n_out) -> (..., n, n_out)."""

    def loss_and_slope_at(self, outputs: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        """Compute both together."""
        return self.loss_at(outputs, target), self.slope_at(outputs, target)

    @property
    def loss_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the parameters of the loss, other than the weights of the network."""
        return ()

    def twice_at(self, outputs: Tensor, target: Target) -> tuple[Tensor, Change]:
        """Return the gradient of the loss by the outputs, and its own derivatives.

        Returns
        -------
        slope : Tensor of shape (..., n, n_out)
            The gradient.
        change : callable
            Takes a change of the outputs; returns the change of the gradient, and the derivatives
            by ``loss_parameters`` of the product of the gradient and the change of the outputs.
        """
        outputs = outputs.detach().requires_grad_()
        with torch.enable_grad():
            slope = self.slope_at(outputs, target)
        inputs = [outputs, *self.loss_parameters]

        def change(shift: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
            learned = [x for x in inputs if x.requires_grad]
            found = iter(torch.autograd.grad(slope, learned, shift, retain_graph=True))
            of_outputs, *others = [next(found) if x.requires_grad else x * 0 for x in inputs]
            return of_outputs, others

        return slope.detach(), change


class Classifier(Learner):
    """Classify anomalies by a logistic loss, both classes with the same weight."""

    def __init__(self, n_in: int, n_features: int, hidden: Sequence[int], residual: bool) -> None:
        super().__init__([n_in, *hidden, 1], n_features, residual)
        self.log_slope = nn.Parameter(torch.zeros(()))
        if residual:
            nn.init.zeros_(self.weights[-2])

    def target(self, Z: Tensor, y: Tensor) -> Target:
        """Return of logits that are wrong if large the start, slope, weight and slope x weight."""
        anomalous = (y == 1) | (y == INJECTED)
        # means per class, not over rows: anomalies are few, and would hardly count
        share = _shares(torch.stack([y == 0, anomalous]), Z.dtype).sum(0)
        slope = self.log_slope.exp()
        steep = torch.where(anomalous, -slope, slope)
        start = Z[..., -1] * steep if self.residual else torch.zeros_like(steep)
        return start, steep, share, steep * share

    def loss_at(self, outputs: Tensor, target: Target) -> Tensor:
        """Add the mean logistic losses of normals and anomalies: (...)."""
        return self.loss_and_slope_at(outputs, target)[0]

    def slope_at(self, outputs: Tensor, target: Target) -> Tensor:
        """Compute the gradient of the loss by the outputs: (..., n, 1)."""
        return self.loss_and_slope_at(outputs, target)[1]

    def loss_and_slope_at(self, outputs: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        """Compute both together, of what is wrong if large."""
        start, steep, share, factor = target
        wrong = torch.addcmul(start, outputs.squeeze(-1), steep)
        loss = torch.linalg.vecdot(F.softplus(wrong), share)
        return loss, (torch.sigmoid(wrong) * factor).unsqueeze(-1)

    def twice_at(self, outputs: Tensor, target: Target) -> tuple[Tensor, Change]:
        """Return the gradient of the loss by the outputs, and its own derivatives, by formulas."""
        start, steep, _, factor = target
        wrong = torch.addcmul(start, outputs.squeeze(-1), steep)
        sigmoid = torch.sigmoid(wrong)
        slope = sigmoid * factor
        shape = self.log_slope.shape

        def change(shift: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
            shift = shift.squeeze(-1)
            bend = (1.0 - sigmoid).mul_(slope)  # by what is wrong
            # of the logarithm of the slope: what is wrong and the factor are proportional to it
            by_slope = (torch.addcmul(slope, bend, wrong) * shift).sum_to_size(shape)
            return (bend * steep).mul_(shift).unsqueeze(-1), (by_slope,)

        return slope.unsqueeze(-1), change

    @property
    def loss_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the slope."""
        return (self.log_slope,)

    def score(self, weights: Weights, Z: Tensor) -> Tensor:
        """Compute the logit that rows are anomalous: (..., m, columns) -> (..., m)."""
        added = perceptron(weights, self.inputs(Z)).squeeze(-1)
        return Z[..., -1] + added if self.residual else added


class OneClassLearner(Learner):
    """Minimise an error of normals, and raise that of labelled anomalies above it."""

    def __init__(self, widths: Sequence[int], n_features: int, residual: bool) -> None:
        super().__init__(widths, n_features, residual)
        if residual:
            self.gain = nn.Parameter(torch.zeros(()))

    @abstractmethod
    def aim(self, Z: Tensor) -> Tensor:
        """Return what outputs are to be near: broadcast to (..., m, n_out)."""

    def error(self, weights: Weights, Z: Tensor) -> Tensor:
        """Compute the mean squared error of rows: (..., m, columns) -> (..., m)."""
        return (perceptron(weights, self.inputs(Z)) - self.aim(Z)).square().mean(-1)

    def target(self, Z: Tensor, y: Tensor) -> Target:
        """Return the rows and the weights of normals and labelled anomalies: (..., n) each."""
        return Z, _shares(y == 0, Z.dtype), _shares(y == 1, Z.dtype)

    def loss_at(self, outputs: Tensor, target: Target) -> Tensor:
        """Add the mean error of normals and a logistic loss of anomalies against it: (...)."""
        Z, normal, anomalous = target
        error = (outputs - self.aim(Z)).square().mean(-1)
        below = _below_level(error, normal)
        return (error * normal + F.softplus(below) * anomalous).sum(-1)

    def slope_at(self, outputs: Tensor, target: Target) -> Tensor:
        """Compute the gradient of the loss by the outputs: (..., n, n_out)."""
        Z, normal, anomalous = target
        gap = outputs - self.aim(Z)
        error = gap.square().mean(-1)
        pull = torch.sigmoid(_below_level(error, normal)) * anomalous
        by_error = normal + (normal * pull.sum(-1, keepdim=True) - pull) / (error + TINY)
        return (2.0 / gap.shape[-1]) * by_error.unsqueeze(-1) * gap

    def score(self, weights: Weights, Z: Tensor) -> Tensor:
        """Score rows by their log error, added to the closed form if residual: (..., m)."""
        log_error = torch.log(self.error(weights, Z) + TINY)
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
        return (perceptron(weights, self.inputs(Z)) - self.aim(Z)).square()

    def inputs(self, Z: Tensor) -> Tensor:
        """Select the features."""
        return Z[..., : self.n_features]

    def aim(self, Z: Tensor) -> Tensor:
        """Return the features: (..., m, n_features)."""
        return Z[..., : self.n_features]


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

    def aim(self, Z: Tensor) -> Tensor:
        """Return the centre: (embedding_dim,)."""
        return self.centre

    @property
    def loss_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the centre."""
        return (self.centre,)


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


def _below_level(error: Tensor, normal: Tensor) -> Tensor:
    """Compute by how much log errors are below their mean over normals: (..., n) -> (..., n)."""
    log_error = torch.log(error + TINY)
    # logarithms make the comparison one of ratios, whatever the size of errors on a task
    return (log_error * normal).sum(-1, keepdim=True) - log_error


def _shares(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Weigh the rows that a mask selects equally, of sum 1 where it selects any: (..., n)."""
    weight = mask.to(dtype)
    return weight / weight.sum(-1, keepdim=True).clamp(min=1)
