"""Take gradient steps of perceptrons on the loss of supports, without a graph of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .learners import Learner, Target
from .perceptron import backward_pass, forward_pass


@dataclass(frozen=True)
class Supports:
    """Hold what the steps of some tasks learn from.

    Attributes
    ----------
    learner : Learner
        Defines the loss.
    inputs : Tensor of shape (n_tasks, n, n_in)
        Rows that the perceptron reads.
    target : Target
        What the loss compares outputs with.
    most : float
        Longest gradient of a task: longer ones are shortened.
    """

    learner: Learner
    inputs: Tensor
    target: Target
    most: float


def descent(
    weights: Sequence[Tensor], supports: Supports, rates: Sequence[Tensor]
) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Take gradient steps, without a graph of them, for which gradients have to be disabled.

    Parameters
    ----------
    weights : sequence of Tensor of shape (n_tasks, n_in, n_out)
        Initial weights and biases of the layers.
    supports : Supports
    rates : sequence of Tensor of shape (n_weights,)
        Rates of all weights in each step.

    Yields
    ------
    weights : list of Tensor of shape (n_tasks, n_in, n_out)
        Weights before and after each step; the next step changes them in place.
    losses : Tensor of shape (n_tasks,)
        Losses with these weights.
    """
    rows = torch.cat([w.flatten(1) for w in weights], 1)  # of all tensors, for fewer operations
    gradient = torch.empty_like(rows)
    moved, found = _unpacked(rows, weights), _unpacked(gradient, weights)
    learner, target = supports.learner, supports.target
    for of_step in rates:
        sums, hidden = forward_pass(moved, supports.inputs)
        loss, slope = learner.loss_and_slope_at(sums[-1], target)
        yield moved, loss
        backward_pass(moved, sums, hidden, slope, found)
        lengths = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
        rows.addcmul_(gradient, of_step * shortening(lengths, supports.most), value=-1.0)
    yield moved, learner.loss_at(forward_pass(moved, supports.inputs)[0][-1], target)


def shortened_gradient(weights: Sequence[Tensor], supports: Supports) -> list[Tensor]:
    """Return the gradient of the loss of each task, of bounded length: (n_tasks, n_in, n_out)."""
    found = [torch.empty(w.shape, dtype=w.dtype, device=w.device) for w in weights]
    sums, hidden = forward_pass(weights, supports.inputs)
    slope = supports.learner.slope_at(sums[-1], supports.target)
    backward_pass(weights, sums, hidden, slope, found)
    shorter = shortening(lengths_of(found), supports.most)[..., None]
    return [g.mul_(shorter) for g in found]


def _unpacked(rows: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """Return views of rows in the shapes of weights: (n_tasks, n_weights)."""
    parts = rows.split_with_sizes([w.shape[1] * w.shape[2] for w in weights], -1)
    return [part.view(w.shape) for part, w in zip(parts, weights, strict=True)]


def lengths_of(gradient: Sequence[Tensor]) -> Tensor:
    """Return the length of the gradient of each task, whatever its tensors: (n_tasks, 1)."""
    rows = torch.cat([g.flatten(1) for g in gradient], 1)
    return torch.linalg.vector_norm(rows, dim=-1, keepdim=True)


def shortening(lengths: Tensor, most: float) -> Tensor:
    """Return the factors that limit lengths: (n_tasks, 1)."""
    return lengths.reciprocal().mul_(most).clamp_(max=1.0)
