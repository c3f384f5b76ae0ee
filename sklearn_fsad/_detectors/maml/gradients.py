"""Take gradient steps of perceptrons on the loss of supports, and differentiate through them.

All derivatives of the perceptron are formulas: autograd would record and replay every step.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .learners import Change, Learner, Target

_silu_backward = torch.ops.aten.silu_backward.default


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


# --- steps without a graph ------------------------------------------------------------------------
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
        sums, hidden = _forward(moved, supports.inputs)
        yield moved, learner.loss_at(sums[-1], target)
        _backward(moved, sums, hidden, learner.slope_at(sums[-1], target), found)
        lengths = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
        rows.addcmul_(gradient, of_step * _shortening(lengths, supports.most), value=-1.0)
    yield moved, learner.loss_at(_forward(moved, supports.inputs)[0][-1], target)


def shortened_gradient(weights: Sequence[Tensor], supports: Supports) -> list[Tensor]:
    """Return the gradient of the loss of each task, of bounded length: (n_tasks, n_in, n_out)."""
    found = [torch.empty(w.shape, dtype=w.dtype, device=w.device) for w in weights]
    sums, hidden = _forward(weights, supports.inputs)
    slope = supports.learner.slope_at(sums[-1], supports.target)
    _backward(weights, sums, hidden, slope, found)
    shorter = _shortening(_lengths(found), supports.most)[..., None]
    return [g.mul_(shorter) for g in found]


def _unpacked(rows: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """Return views of rows in the shapes of weights: (n_tasks, n_weights)."""
    parts = rows.split_with_sizes([w.shape[1] * w.shape[2] for w in weights], -1)
    return [part.view(w.shape) for part, w in zip(parts, weights, strict=True)]


def _forward(layers: Sequence[Tensor], X: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return the sums and the inputs of each layer."""
    sums, hidden = [], [X]
    for i in range(0, len(layers), 2):
        sums.append(torch.baddbmm(layers[i + 1], hidden[-1], layers[i]))
        if i < len(layers) - 2:
            hidden.append(F.silu(sums[-1]))
    return sums, hidden


def _backward(
    layers: Sequence[Tensor],
    sums: Sequence[Tensor],
    hidden: Sequence[Tensor],
    slope: Tensor,
    found: Sequence[Tensor],
) -> None:
    """Write the gradient by the weights to ``found``, from that by the outputs."""
    for j in range(len(sums) - 1, -1, -1):
        _cross(hidden[j], slope, out=found[2 * j])
        torch.sum(slope, -2, keepdim=True, out=found[2 * j + 1])
        if j:
            slope = _silu_backward(_back(slope, layers[2 * j]), sums[j - 1])


def _lengths(gradient: Sequence[Tensor]) -> Tensor:
    """Return the length of the gradient of each task, whatever its tensors: (n_tasks, 1)."""
    rows = torch.cat([g.flatten(1) for g in gradient], 1)
    return torch.linalg.vector_norm(rows, dim=-1, keepdim=True)


def _shortening(lengths: Tensor, most: float) -> Tensor:
    """Return the factors that limit lengths: (n_tasks, 1)."""
    return (most / lengths).clamp_(max=1.0)


# --- a step with a graph --------------------------------------------------------------------------
class Step(torch.autograd.Function):
    """Take a gradient step that can be differentiated through, once.

    The product of the Hessian with a vector is the derivative of the gradient in its direction
    [1]_. The factor that shortens a gradient is taken for a constant.

    References
    ----------
    .. [1] B. A. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6,
       1994.
    """

    @staticmethod
    def forward(ctx: Any, supports: Supports, inputs: Tensor, n: int, *given: Tensor) -> Any:
        """Return the weights after the step; given are those before, rates, and parameters."""
        weights, rates = given[: 2 * n], given[2 * n : 4 * n]
        record, gradient, ctx.head = _recorded(weights, inputs, supports)
        shorter = _shortening(_lengths(gradient), supports.most)[..., None]
        scales = [rate * shorter for rate in rates]
        ctx.rate_shapes = [rate.shape for rate in rates]
        rates_are_learned = any(ctx.needs_input_grad[3 + 2 * n : 3 + 4 * n])
        kept = [[shorter], scales, gradient if rates_are_learned else [], *record]
        ctx.sizes = [len(part) for part in kept]
        ctx.save_for_backward(*itertools.chain(*kept))
        moved = zip(weights, gradient, scales, strict=True)
        return tuple(torch.addcmul(w, g, scale, value=-1.0) for w, g, scale in moved)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """Return the derivatives of the outer loss by all that the step depends on."""
        saved = iter(ctx.saved_tensors)
        parts = [list(itertools.islice(saved, size)) for size in ctx.sizes]
        [shorter], scales, gradient = parts[:3]
        record, n = _Record(*parts[3:]), len(outer)
        # the step subtracts: derivatives along these moves are subtracted too
        moves = [o * scale for o, scale in zip(outer, scales, strict=True)]
        sums, shifts = _changed_forward(moves, record)
        change, of_parameters = ctx.head(sums[-1])
        of_weights, change = _changed_backward(outer, moves, change, sums, shifts, record)
        of_inputs = None
        if ctx.needs_input_grad[1]:
            of_inputs = -(_back(change, record.weights[0]) + _back(record.passed[0], moves[0]))
        of_rates: Sequence[Tensor | None] = [None] * n
        if gradient:
            of_tasks = _of_rates(outer, gradient, scales, shorter)
            shapes = zip(of_tasks, ctx.rate_shapes, strict=True)
            of_rates = [found.sum_to_size(shape) for found, shape in shapes]
        return None, of_inputs, None, *of_weights, *of_rates, *(-found for found in of_parameters)


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
        rest = 1.0 - sigmoid
        hidden.append(total.mul_(sigmoid))
        slopes.append(torch.addcmul(sigmoid, hidden[-1], rest))
        # the second derivative of SiLU is (1 - sigmoid) (2 slope - silu)
        bends.append(rest.mul_(torch.sub(slopes[-1], hidden[-1], alpha=0.5)))
    outputs = _times(hidden[-1], weights[-2]).add_(weights[-1])
    slope, head = supports.learner.twice_at(outputs, supports.target)
    passed, gradient = [slope], list[Tensor]()
    for j in range(last, -1, -1):
        gradient[:0] = [_cross(hidden[j], passed[0]), passed[0].sum(-2, keepdim=True)]
        if j:
            below = _back(passed[0], weights[2 * j])
            bends[j - 1].mul_(below)
            passed.insert(0, below.mul_(slopes[j - 1]))
    return _Record(weights, hidden, slopes, bends, passed), gradient, head


def _changed_forward(moves: Sequence[Tensor], record: _Record) -> tuple[list[Tensor], list[Tensor]]:
    """Return how the sums and the values of SiLU change as the weights move."""
    sums, shifts = list[Tensor](), list[Tensor]()
    for j, slope in enumerate(record.slopes):
        total = torch.baddbmm(moves[2 * j + 1], record.hidden[j], moves[2 * j])
        if j:
            total.baddbmm_(shifts[-1], record.weights[2 * j])
        sums.append(total)
        shifts.append(total * slope)
    total = _times(record.hidden[-1], moves[-2]).add_(moves[-1])
    if shifts:
        total += _times(shifts[-1], record.weights[-2])
    return [*sums, total], shifts


def _changed_backward(
    outer: Sequence[Tensor],
    moves: Sequence[Tensor],
    change: Tensor,
    sums: Sequence[Tensor],
    shifts: Sequence[Tensor],
    record: _Record,
) -> tuple[list[Tensor], Tensor]:
    """Subtract how the gradient changes from ``outer``; also return that by the first sums."""
    found = list[Tensor]()
    for j in range(len(shifts), -1, -1):
        weight = _minus_cross(outer[2 * j], record.hidden[j], change)
        if j:
            weight = _minus_cross(weight, shifts[j - 1], record.passed[j])
        found[:0] = [weight, outer[2 * j + 1] - change.sum(-2, keepdim=True)]
        if j:
            below = _back(change, record.weights[2 * j])
            below += _back(record.passed[j], moves[2 * j])
            change = below.mul_(record.slopes[j - 1])
            change.addcmul_(record.bends[j - 1], sums[j - 1], value=2.0)
    return found, change


def _of_rates(
    outer: Sequence[Tensor], gradient: Sequence[Tensor], scales: Sequence[Tensor], shorter: Tensor
) -> Sequence[Tensor]:
    """Return the derivatives of the outer loss by the rates of each task: as ``scales``."""
    pairs = list(zip(outer, gradient, strict=True))
    if scales[0].shape[1:] != shorter.shape[1:]:
        return [-(o * g * shorter) for o, g in pairs]
    products = [torch.linalg.vecdot(o.flatten(1), g.flatten(1)) for o, g in pairs]
    return (torch.stack(products)[..., None, None] * -shorter).unbind()


# --- products; the last layer is often one column wide, for which bmm is slow ---------------------
def _times(X: Tensor, W: Tensor) -> Tensor:
    """Multiply rows by weights: (b, n, n_in), (b, n_in, n_out) -> (b, n, n_out)."""
    if W.shape[-1] == 1:
        return torch.linalg.vecdot(X, W.mT).unsqueeze(-1)
    return torch.bmm(X, W)


def _cross(X: Tensor, G: Tensor, out: Tensor | None = None) -> Tensor:
    """Sum products of rows: (b, n, n_in), (b, n, n_out) -> (b, n_in, n_out)."""
    if G.shape[-1] == 1:
        return torch.bmm(G.mT, X, out=None if out is None else out.mT).mT
    return torch.bmm(X.mT, G, out=out)


def _minus_cross(W: Tensor, X: Tensor, G: Tensor) -> Tensor:
    """Subtract products of rows: (b, n_in, n_out), (b, n, n_in), (b, n, n_out)."""
    if G.shape[-1] == 1:
        return torch.baddbmm(W.mT, G.mT, X, alpha=-1.0).mT
    return torch.baddbmm(W, X.mT, G, alpha=-1.0)


def _back(G: Tensor, W: Tensor) -> Tensor:
    """Multiply rows by transposed weights: (b, n, n_out), (b, n_in, n_out) -> (b, n, n_in)."""
    return G * W.mT if W.shape[-1] == 1 else torch.bmm(G, W.mT)
