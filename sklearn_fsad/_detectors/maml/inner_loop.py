"""Adapt weights by gradient steps, in one batched computation over all tasks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..._input.labels import PADDING
from ..._typing import Array
from .gradients import Supports, descent, shortened_gradient
from .learners import Learner
from .perceptron import perceptron
from .second_order import Descent

ALGORITHMS = ("maml", "fomaml", "anil", "metasgd", "reptile")
FIRST_ORDER = ("fomaml", "reptile")


class GradientAdaptation(nn.Module):
    """Adapt a learner to each task by a few gradient steps from meta-learned initial weights.

    Parameters
    ----------
    learner : Learner
        The network, its loss and its score.
    algorithm : {"maml", "fomaml", "anil", "metasgd", "reptile"}, default="maml"
        MAML [1]_ differentiates through the steps; first-order MAML does not; ANIL [2]_ adapts the
        last layer alone; Meta-SGD [3]_ learns a rate for every weight; Reptile [4]_ moves the
        initial weights towards the adapted ones.
    n_steps : int, default=5
        Number of gradient steps; 0 makes one network for all tasks, which never adapts.
    inner_lr : float, default=0.1
        Rate of the steps, or where learned ones start.
    learn_rates : bool, default=True
        Whether rates are learned, one for each layer and step.
    one_class : bool, default=False
        Whether the steps ignore labelled anomalies.
    multi_step_loss : bool, default=False
        Whether training scores the queries after every step [5]_, not after the last alone.

    References
    ----------
    .. [1] C. Finn, P. Abbeel and S. Levine, "Model-agnostic meta-learning for fast adaptation of
       deep networks", ICML 2017.
    .. [2] A. Raghu et al., "Rapid learning or feature reuse? Towards understanding the
       effectiveness of MAML", ICLR 2020.
    .. [3] Z. Li et al., "Meta-SGD: learning to learn quickly for few-shot learning", 2017.
    .. [4] A. Nichol, J. Achiam and J. Schulman, "On first-order meta-learning algorithms", 2018.
    .. [5] A. Antoniou, H. Edwards and A. Storkey, "How to train your MAML", ICLR 2019.
    """

    # longer gradients are shortened, so that few steps cannot diverge; the outer gradient treats
    # the factor as a constant
    most_gradient = 3.0

    def __init__(
        self,
        learner: Learner,
        *,
        algorithm: str = "maml",
        n_steps: int = 5,
        inner_lr: float = 0.1,
        learn_rates: bool = True,
        one_class: bool = False,
        multi_step_loss: bool = False,
    ) -> None:
        super().__init__()
        self.learner = learner
        self.algorithm = algorithm
        self.n_steps = n_steps
        self.one_class = one_class
        self.multi_step_loss = multi_step_loss
        n_tensors = len(learner.weights)
        self.n_kept = n_tensors - 2 if algorithm == "anil" else 0
        self.sizes = [w.numel() for w in learner.weights][self.n_kept :]  # of what steps move
        start = math.log(inner_lr)
        self.log_rates: nn.ParameterList | nn.Parameter
        if algorithm == "metasgd":
            self.log_rates = nn.ParameterList(torch.full_like(w, start) for w in learner.weights)
        else:
            learned = learn_rates and algorithm != "reptile"
            rates = torch.full((n_steps, n_tensors), start)
            self.log_rates = nn.Parameter(rates, requires_grad=learned)

    def adapt(self, X: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Adapt weights to a support, without a graph of the steps: (..., n, columns), (..., n)."""
        with torch.no_grad():
            supports = self._supports(X, y)
            steps = list(descent(self._start(supports), supports, self._joined_rates()))
            weights = self._all(steps[-1][0], y.shape[:-1])
            state = {f"weights_{i}": weight for i, weight in enumerate(weights)}
            losses = torch.stack([loss for _, loss in steps], -1)
            state["losses"] = losses.view(*y.shape[:-1], -1)
        return state

    def score(self, state: dict[str, Tensor], X: Tensor) -> Tensor:
        """Score rows: (..., m, columns) -> (..., m)."""
        return self.learner.score(self.weights_in(state), X)

    def weights_in(self, state: dict[str, Tensor]) -> list[Tensor]:
        """Extract the weights of the learner from what :meth:`adapt` returned."""
        return [state[f"weights_{i}"] for i in range(len(self.learner.weights))]

    def forward(self, support_X: Tensor, support_y: Tensor, query_X: Tensor) -> Tensor:
        """Score queries; in training with a multi-step loss after each step.

        Returns
        -------
        scores : Tensor of shape (..., m) or (n_steps, ..., m)
            Larger = more anomalous.
        """
        trajectory = list(self._trajectory(support_X, support_y))
        if self.training and self.multi_step_loss and self.n_steps:
            scores = torch.stack([self.learner.score(w, query_X) for w in trajectory[1:]])
        else:
            scores = self.learner.score(trajectory[-1], query_X)
        if self.training and self.algorithm == "reptile":
            return _AlsoDescend.apply(scores, self._towards(trajectory[-1]))
        return scores

    def _trajectory(self, X: Tensor, y: Tensor) -> Iterator[list[Tensor]]:
        """Yield weights before and after each step; differentiable where gradients are enabled."""
        supports, lead = self._supports(X, y), y.shape[:-1]
        weights = self._start(supports)
        if self.algorithm == "reptile" or not torch.is_grad_enabled():
            with torch.no_grad():
                steps = descent(weights, supports, self._joined_rates())
                kept = [self._all([w.clone() for w in moved], lead) for moved, _ in steps]
            yield from kept
            return
        yield self._all(weights, lead)
        if not self.n_steps:
            return
        if self.algorithm in FIRST_ORDER:
            after = list(self._first_order(weights, supports))
        else:
            after = self._second_order(weights, supports)
        for moved in after:
            yield self._all(moved, lead)

    def _supports(self, X: Tensor, y: Tensor) -> Supports:
        """Return what the steps learn from, all tasks in one dimension."""
        X, y = X.reshape(-1, *X.shape[-2:]), self._seen(y).reshape(-1, y.shape[-1])
        inputs = self.learner.inputs(X)
        if self.n_kept:
            inputs = perceptron(list(self.learner.weights)[: self.n_kept], inputs, ends=False)
        with torch.no_grad():
            target = self.learner.target(X, y)
        return Supports(self.learner, inputs, target, self.most_gradient)

    def _start(self, supports: Supports) -> Sequence[Tensor]:
        """Return the initial weights that steps move: (n_tasks, n_in, n_out) each."""
        n_tasks = len(supports.inputs)
        return [w.expand(n_tasks, -1, -1) for w in list(self.learner.weights)[self.n_kept :]]

    def _all(self, moved: Sequence[Tensor], lead: Sequence[int]) -> list[Tensor]:
        """Return the weights of all layers, of those that steps move and of the others."""
        own = list(moved) if len(lead) == 1 else [w.view(*lead, *w.shape[1:]) for w in moved]
        if not self.n_kept:
            return own
        kept = [w.expand(*lead, *w.shape[-2:]) for w in list(self.learner.weights)[: self.n_kept]]
        return [*(kept if torch.is_grad_enabled() else (w.detach() for w in kept)), *own]

    def _log_rates(self) -> list[Tensor]:
        """Return logarithms of the rates of what steps move, as :class:`Descent` takes them."""
        # logarithms are learned, so that rates stay positive and change by factors
        if isinstance(self.log_rates, nn.ParameterList):
            return list(self.log_rates)[self.n_kept :]
        rates = self.log_rates[..., self.n_kept :]
        of_tasks = rates.movedim(0, -1) if rates.dim() == 3 else rates.unsqueeze(-1)
        return [of_tasks[..., None, None]]

    def _joined_rates(self) -> Sequence[Tensor]:
        """Return the rate in each step of each weight that steps move: (n_weights,) each."""
        if isinstance(self.log_rates, nn.ParameterList):
            rates = torch.cat([r.exp().flatten() for r in list(self.log_rates)[self.n_kept :]])
            return [rates] * self.n_steps
        rates = self.log_rates[:, self.n_kept :].exp()
        parts = zip(rates.split(1, 1), self.sizes, strict=True)
        return torch.cat([rate.expand(-1, size) for rate, size in parts], 1).unbind()

    def _second_order(
        self, weights: Sequence[Tensor], supports: Supports
    ) -> list[Sequence[Tensor]]:
        """Take all steps with a graph of them; return the weights after each."""
        n = len(weights)
        given = [*weights, *self.learner.loss_parameters, *self._log_rates()]
        moved = Descent.apply(supports, self.n_steps, n, supports.inputs, *given)
        return [moved[i : i + n] for i in range(0, len(moved), n)]

    def _first_order(
        self, weights: Sequence[Tensor], supports: Supports
    ) -> Iterator[Sequence[Tensor]]:
        """Take steps with a graph of their lengths alone; yield the weights after each."""
        (rates,) = self._log_rates()
        for of_step in rates.exp():
            with torch.no_grad():
                gradient = shortened_gradient(weights, supports)
            steps = zip(weights, gradient, of_step, strict=True)
            weights = [torch.addcmul(w, g, rate, value=-1.0) for w, g, rate in steps]
            yield weights

    def unadapted(self, X: Tensor) -> Tensor:
        """Score rows before any step: (n_tasks, m, columns) -> (n_tasks, m)."""
        weights = [w.expand(len(X), *w.shape) for w in self.learner.weights]
        return self.learner.score(weights, X)

    def _seen(self, y: Tensor) -> Tensor:
        """Mask the labels that the steps ignore: (..., n) -> (..., n)."""
        return y.masked_fill(y == 1, PADDING) if self.one_class else y

    def _towards(self, adapted: list[Tensor]) -> Tensor:
        """Compute a surrogate loss whose gradient is Reptile's update, a scalar."""
        total = torch.zeros(())
        for weight, target in zip(self.learner.weights, adapted, strict=True):
            mean = target.reshape(-1, *weight.shape).mean(0)
            # its gradient is weight - mean: a step leads to the mean of the adapted weights
            total = total + (weight * (weight - mean).detach()).sum()
        return total


class ClosedFormOnly(nn.Module):
    """Score rows by the closed form, their last column, where no network was learned."""

    def adapt(self, X: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Return no tensors: there is nothing to adapt."""
        return {}

    def score(self, state: dict[str, Tensor], X: Tensor) -> Tensor:
        """Return the last column: (..., m, columns) -> (..., m)."""
        return X[..., -1]

    def score_rows(self, state: Mapping[str, Array], Z: Array) -> Array:
        """Return the last column: (m, columns) -> (m,)."""
        return Z[:, -1]


class _AlsoDescend(torch.autograd.Function):
    """Return scores unchanged; in backward, add the gradient of a second loss."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, number: Tensor) -> Tensor:
        return scores.view_as(scores)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, gradient.new_ones(())
