"""Take gradient steps of perceptrons that can be differentiated through.

All derivatives are formulas: autograd would record and replay every step.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .gradients import Supports, lengths_of, shortening
from .learners import Change
from .perceptron import add_back, back, cross, plus_times, subtract_cross


class Descent(torch.autograd.Function):
    """Take gradient steps that can be differentiated through, once.

    The product of the Hessian with a vector is the derivative of the gradient in its direction
    [1]_. The factor that shortens a gradient is taken for a constant.

    References
    ----------
    .. [1] B. A. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6,
       1994.
    """

    @staticmethod
    def forward(
        ctx: Any, supports: Supports, n_steps: int, n: int, inputs: Tensor, *given: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the n tensors of weights after each step, one step after another.

        Given are the n initial weights, the parameters of the loss and the logarithms of rates: one
        tensor of shape (n_steps, n, n_tasks or 1, 1, 1), or one for each tensor of weights.
        """
        log_rates = given[n + len(supports.learner.loss_parameters) :]
        ctx.rate_shapes = [rate.shape for rate in log_rates]
        ctx.rates_are_learned = any(ctx.needs_input_grad[-len(log_rates) :])
        rates = [rate.exp() for rate in log_rates]
        weights: Sequence[Tensor] = given[:n]
        after, kept, ctx.heads = list[Tensor](), list[Tensor](), []
        for k in range(n_steps):
            record, gradient, head = _recorded(weights, inputs, supports)
            shorter = shortening(lengths_of(gradient), supports.most)[..., None]
            scales = _scales(rates, k, shorter)
            moved = zip(weights, gradient, scales, strict=True)
            weights = [torch.addcmul(w, g, scale, value=-1.0) for w, g, scale in moved]
            after += weights
            parts = (*record, scales, gradient if len(rates) > 1 else gradient[1::2])
            kept += itertools.chain(*parts)
            ctx.heads.append(head)
        ctx.sizes = [len(part) for part in parts]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*kept)
        return tuple(after)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the derivatives of the outer loss by all that the steps depend on."""
        saved, n_steps = iter(ctx.saved_tensors), len(ctx.heads)
        kept = [[list(itertools.islice(saved, n)) for n in ctx.sizes] for _ in range(n_steps)]
        ctx.maybe_clear_saved_tensors()  # the memory of each step is free as soon as it is used
        n = len(outer) // n_steps
        of_weights: list[Tensor] = []
        of_inputs, of_parameters, of_rates = list[Tensor](), list[Sequence[Tensor]](), []
        for k in range(n_steps - 1, -1, -1):
            *parts, scales, gradient = kept.pop()
            record = _Record(*parts)
            of_weights = _added(of_weights, outer[k * n : (k + 1) * n], record.weights)
            # the step subtracts: derivatives along these moves are subtracted too
            moves = [o * scale for o, scale in zip(of_weights, scales, strict=True)]
            sums, shifts, along = _changed_forward(moves, record, ctx.rates_are_learned)
            change, found = ctx.heads[k](sums[-1])
            of_parameters.append(found)
            if ctx.rates_are_learned:
                of_rates.append(_of_rates(moves, gradient, along))
            change = _changed_backward(of_weights, moves, change, sums, shifts, record)
            if ctx.needs_input_grad[3]:
                of_inputs.append(back(change, record.weights[0]))
                add_back(of_inputs[-1], record.passed[0], moves[0])
        return (
            *(None, None, None, -sum(of_inputs) if of_inputs else None),
            *of_weights,
            *(-sum(found) for found in zip(*of_parameters, strict=True)),
            *_summed(of_rates, ctx.rate_shapes),
        )


def _scales(rates: Sequence[Tensor], k: int, shorter: Tensor) -> list[Tensor]:
    """Return what the gradient by each tensor of weights is multiplied by in a step."""
    if len(rates) > 1:
        return [rate * shorter for rate in rates]
    return list((rates[0][k] * shorter).unbind())


class _Record(NamedTuple):
    """Hold what the derivative of a gradient needs, of each layer.

    Attributes
    ----------
    weights : sequence of Tensor of shape (n_tasks, n_in, n_out)
        Weights and biases.
    hidden : sequence of Tensor of shape (n_tasks, n, n_in)
        Inputs.
    slopes : sequence of Tensor of shape (n_tasks, n, n_out)
        Derivatives of SiLU at the sums of all layers but the last.
    bends : sequence of Tensor of shape (n_tasks, n, n_out)
        Half its second derivatives there, times the gradient by its values.
    passed : sequence of Tensor of shape (n_tasks, n, n_out)
        Gradient by the sums.
    """

    weights: Sequence[Tensor]
    hidden: Sequence[Tensor]
    slopes: Sequence[Tensor]
    bends: Sequence[Tensor]
    passed: Sequence[Tensor]


def _recorded(
    weights: Sequence[Tensor], inputs: Tensor, supports: Supports
) -> tuple[_Record, list[Tensor], Change]:
    """Return a record of the gradient, the gradient, and how that by the outputs changes."""
    last = len(weights) // 2 - 1
    hidden, slopes, bends = [inputs], [], []
    for j in range(last):
        total = torch.baddbmm(weights[2 * j + 1], hidden[j], weights[2 * j])
        sigmoid = torch.sigmoid(total)
        rest = torch.rsub(sigmoid, 1.0)
        hidden.append(total.mul_(sigmoid))
        slopes.append(torch.addcmul(sigmoid, hidden[-1], rest))
        # the second derivative of SiLU is (1 - sigmoid) (2 slope - silu)
        bends.append(rest.mul_(torch.sub(slopes[-1], hidden[-1], alpha=0.5)))
    outputs = plus_times(weights[-1], hidden[-1], weights[-2])
    slope, head = supports.learner.twice_at(outputs, supports.target)
    passed, gradient = [slope], list[Tensor]()
    for j in range(last, -1, -1):
        gradient[:0] = [cross(hidden[j], passed[0]), passed[0].sum(-2, keepdim=True)]
        if j:
            below = back(passed[0], weights[2 * j])
            bends[j - 1].mul_(below)
            passed.insert(0, below.mul_(slopes[j - 1]))
    return _Record(weights, hidden, slopes, bends, passed), gradient, head


def _added(
    own: list[Tensor], outer: Sequence[Tensor | None], weights: Sequence[Tensor]
) -> list[Tensor]:
    """Add derivatives by the weights after a step to those that later steps brought, in place."""
    if own:
        return [o if more is None else o.add_(more) for o, more in zip(own, outer, strict=True)]
    pairs = zip(outer, weights, strict=True)
    return [torch.zeros_like(w) if o is None else o.clone() for o, w in pairs]


def _changed_forward(
    moves: Sequence[Tensor], record: _Record, lengths: bool
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Return how the sums and the values of SiLU change as the weights move.

    Where ``lengths`` are asked for, also return the product of the moves of each layer with its
    gradient: (n_tasks,) each.
    """
    sums, shifts, along = list[Tensor](), list[Tensor](), list[Tensor]()
    for j, hidden in enumerate(record.hidden):
        total = plus_times(moves[2 * j + 1], hidden, moves[2 * j])
        if lengths:
            along.append((record.passed[j] * total).sum((1, 2)))
        if j:
            total = plus_times(total, shifts[-1], record.weights[2 * j])
        sums.append(total)
        if j < len(record.slopes):
            shifts.append(total * record.slopes[j])
    return sums, shifts, along


def _changed_backward(
    outer: Sequence[Tensor],
    moves: Sequence[Tensor],
    change: Tensor,
    sums: Sequence[Tensor],
    shifts: Sequence[Tensor],
    record: _Record,
) -> Tensor:
    """Subtract how the gradient changes from ``outer``, in place; return that by the first sums."""
    for j in range(len(shifts), -1, -1):
        subtract_cross(outer[2 * j], record.hidden[j], change)
        outer[2 * j + 1].sub_(change.sum(-2, keepdim=True))
        if j:
            subtract_cross(outer[2 * j], shifts[j - 1], record.passed[j])
            below = back(change, record.weights[2 * j])
            add_back(below, record.passed[j], moves[2 * j])
            change = below.mul_(record.slopes[j - 1])
            change.addcmul_(record.bends[j - 1], sums[j - 1], value=2.0)
    return change


def _of_rates(
    moves: Sequence[Tensor], gradient: Sequence[Tensor], along: Sequence[Tensor]
) -> list[Tensor]:
    """Return the derivatives by the logarithms of rates: of each weight, or of each tensor."""
    if len(gradient) == len(moves):
        return [move * g for move, g in zip(moves, gradient, strict=True)]
    found = list[Tensor]()
    for move, g, total in zip(moves[1::2], gradient, along, strict=True):
        of_bias = (move * g).sum((1, 2))
        found += [total - of_bias, of_bias]
    return found


def _summed(
    of_steps: Sequence[Sequence[Tensor]], shapes: Sequence[Sequence[int]]
) -> list[Tensor | None]:
    """Sum the derivatives by rates, of the last step first, to the shapes of the rates."""
    if not of_steps:
        return [None] * len(shapes)
    if len(shapes) == 1:
        of_all = torch.stack([torch.stack(list(found)) for found in reversed(of_steps)])
        return [-of_all[..., None, None].sum_to_size(shapes[0])]
    totals = (sum(found) for found in zip(*of_steps, strict=True))
    return [-total.sum_to_size(shape) for total, shape in zip(totals, shapes, strict=True)]
