"""Take gradient steps of perceptrons on the loss of supports, and differentiate through them.

All derivatives of the perceptron are formulas: autograd would record and replay every step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .learners import Learner, Target

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
    parts = [torch.linalg.vector_norm(g.flatten(1), dim=-1, keepdim=True) for g in gradient]
    return torch.linalg.vector_norm(torch.cat(parts, 1), dim=-1, keepdim=True)


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
        hidden, slopes, rests = [inputs], [], []
        for j in range(n - 1):
            total = torch.baddbmm(weights[2 * j + 1], hidden[j], weights[2 * j])
            sigmoid = torch.sigmoid(total)
            rests.append(1.0 - sigmoid)
            hidden.append(total.mul_(sigmoid))
            slopes.append(torch.addcmul(sigmoid, hidden[-1], rests[-1]))  # of SiLU
        outputs = _times(hidden[-1], weights[-2]).add_(weights[-1])
        with torch.enable_grad():
            above = supports.learner.slope_at(outputs.requires_grad_(), supports.target)
        passed = [above.detach()]
        gradient: list[Tensor] = []
        for j in range(n - 1, -1, -1):
            gradient[:0] = [_cross(hidden[j], passed[0]), passed[0].sum(-2, keepdim=True)]
            if j:
                below = _back(passed[0], weights[2 * j])
                # the second derivative of SiLU is (1 - sigmoid) (2 slope - silu)
                bend = torch.sub(slopes[j - 1], hidden[j], alpha=0.5)
                rests[j - 1].mul_(bend).mul_(below)
                passed.insert(0, below.mul_(slopes[j - 1]))
        shorter = _shortening(_lengths(gradient), supports.most)[..., None]
        ctx.n, ctx.head, ctx.parameters = n, (outputs, above), given[4 * n :]
        kept = [*hidden, *slopes, *rests, *passed]
        ctx.save_for_backward(shorter, *weights, *rates, *gradient, *kept)
        moved = zip(weights, gradient, rates, strict=True)
        return tuple(torch.addcmul(w, g, r * shorter, value=-1.0) for w, g, r in moved)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """Return the derivatives of the outer loss by all that the step depends on."""
        n = ctx.n
        shorter, *rest = ctx.saved_tensors
        weights, rates, gradient, kept = (
            rest[: 2 * n],
            rest[2 * n : 4 * n],
            rest[4 * n : 6 * n],
            rest[6 * n :],
        )
        hidden, slopes = kept[:n], kept[n : 2 * n - 1]
        bends, passed = kept[2 * n - 1 : 3 * n - 2], kept[3 * n - 2 :]
        moves = [o * (r * shorter) for o, r in zip(outer, rates, strict=True)]  # sign: at the end
        sums: list[Tensor] = []
        shifts: list[Tensor] = []
        for j in range(n - 1):
            total = torch.baddbmm(moves[2 * j + 1], hidden[j], moves[2 * j])
            if j:
                total.baddbmm_(shifts[-1], weights[2 * j])
            sums.append(total)
            shifts.append(total * slopes[j])
        total = _times(hidden[-1], moves[-2]).add_(moves[-1])
        if shifts:
            total += _times(shifts[-1], weights[-2])
        wanted = ctx.needs_input_grad[3 + 4 * n :]
        learned = [p for p, w in zip(ctx.parameters, wanted, strict=True) if w]
        outputs, above = ctx.head
        grad, *others = torch.autograd.grad(above, [outputs, *learned], total, retain_graph=True)
        left = iter(others)
        of_parameters = [-next(left) if w else None for w in wanted]
        of_weights: list[Tensor] = []
        of_inputs = None
        for j in range(n - 1, -1, -1):
            found = _minus_cross(outer[2 * j], hidden[j], grad)
            if j:
                found = _minus_cross(found, shifts[j - 1], passed[j])
            of_weights[:0] = [found, outer[2 * j + 1] - grad.sum(-2, keepdim=True)]
            if j:
                below = _back(grad, weights[2 * j]).add_(_back(passed[j], moves[2 * j]))
                grad = below.mul_(slopes[j - 1]).addcmul_(bends[j - 1], sums[j - 1], value=2.0)
            elif ctx.needs_input_grad[1]:
                of_inputs = -(_back(grad, weights[0]) + _back(passed[0], moves[0]))
        of_rates = [
            _of_rate(o, g, r, shorter) if w else None
            for o, g, r, w in zip(
                outer, gradient, rates, ctx.needs_input_grad[3 + 2 * n :], strict=False
            )
        ]
        return None, of_inputs, None, *of_weights, *of_rates, *of_parameters


def _of_rate(outer: Tensor, gradient: Tensor, rate: Tensor, shorter: Tensor) -> Tensor:
    """Return the derivative of the outer loss by the rate of a tensor or of each weight."""
    if rate.ndim:
        return -(outer * gradient * shorter).sum(0)
    products = torch.linalg.vecdot(outer.flatten(1), gradient.flatten(1))
    return -torch.dot(products, shorter.flatten())


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
