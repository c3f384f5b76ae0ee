"""Apply perceptrons, one set of weights for each task, with derivatives by formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..._training.layers import row_product

Weights = Sequence[Tensor]  # weight (..., n_in, n_out) and bias (..., 1, n_out) of each layer

_silu_backward = torch.ops.aten.silu_backward.default


def perceptron(weights: Weights, X: Tensor, ends: bool = True) -> Tensor:
    """Apply a perceptron, SiLU between layers, no batch norm: (..., n_in) -> (..., n_out).

    Without its end, SiLU follows on every layer. With weights of each task, (n_tasks, n_in, n_out),
    it can be differentiated once.
    """
    if ends and torch.is_grad_enabled() and X.ndim == weights[0].ndim == 3:
        return _Outputs.apply(X, *weights)
    last = len(weights) - 2 if ends else len(weights)
    for i in range(0, len(weights), 2):
        X = _affine(weights[i], weights[i + 1], X)
        if i < last:
            X = F.silu(X)
    return X


def _affine(weight: Tensor, bias: Tensor, X: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return row_product(X, weight) + bias
    return torch.baddbmm(bias, X, weight) if weight.ndim == 3 else X @ weight + bias


class _Outputs(torch.autograd.Function):
    """Compute the outputs of a perceptron; autograd would take a node for each operation."""

    @staticmethod
    def forward(ctx: Any, X: Tensor, *weights: Tensor) -> Tensor:
        """Return the outputs: (n_tasks, n, n_in) -> (n_tasks, n, n_out)."""
        sums, hidden = forward_pass(weights, X)
        outputs = sums.pop()
        ctx.save_for_backward(*weights, *hidden, *sums)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient by the rows and by the weights, from that by the outputs."""
        saved, n_layers = ctx.saved_tensors, (len(ctx.saved_tensors) + 1) // 4
        weights, hidden = saved[: 2 * n_layers], saved[2 * n_layers : 3 * n_layers]
        found = [torch.empty_like(weight) for weight in weights]
        slope = backward_pass(weights, saved[3 * n_layers :], hidden, slope, found)
        return back(slope, weights[0]) if ctx.needs_input_grad[0] else None, *found


def forward_pass(weights: Weights, X: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return the sums and the inputs of each layer: (n_tasks, n, width) each."""
    sums, hidden = list[Tensor](), [X]
    for i in range(0, len(weights) - 2, 2):
        sums.append(torch.baddbmm(weights[i + 1], hidden[-1], weights[i]))
        hidden.append(F.silu(sums[-1]))
    sums.append(plus_times(weights[-1], hidden[-1], weights[-2]))
    return sums, hidden


def backward_pass(
    weights: Weights,
    sums: Sequence[Tensor],
    hidden: Sequence[Tensor],
    slope: Tensor,
    found: Sequence[Tensor],
) -> Tensor:
    """Write the gradient by the weights to ``found``; return that by the first sums."""
    for j in range(len(hidden) - 1, -1, -1):
        cross(hidden[j], slope, out=found[2 * j])
        torch.sum(slope, -2, keepdim=True, out=found[2 * j + 1])
        if j:
            slope = _silu_backward(back(slope, weights[2 * j]), sums[j - 1])
    return slope


# --- products -------------------------------------------------------------------------------------
def _is_narrow(W: Tensor) -> bool:
    """Return whether weights of several tasks have one column, for which bmm is slow."""
    return W.shape[-1] == 1 and W.shape[0] > 1


def plus_times(B: Tensor, X: Tensor, W: Tensor) -> Tensor:
    """Add products of rows and weights: (b, 1 or n, n_out), (b, n, n_in), (b, n_in, n_out)."""
    if _is_narrow(W):
        return torch.linalg.vecdot(X, W.mT).unsqueeze(-1).add_(B)
    return torch.baddbmm(B, X, W)


def cross(X: Tensor, G: Tensor, out: Tensor | None = None) -> Tensor:
    """Sum products of rows: (b, n, n_in), (b, n, n_out) -> (b, n_in, n_out)."""
    if _is_narrow(G):
        return torch.bmm(G.mT, X, out=None if out is None else out.mT).mT
    return torch.bmm(X.mT, G, out=out)


def subtract_cross(W: Tensor, X: Tensor, G: Tensor) -> None:
    """Subtract products of rows in place: (b, n_in, n_out), (b, n, n_in), (b, n, n_out)."""
    if _is_narrow(G):
        W.mT.baddbmm_(G.mT, X, alpha=-1.0)
    else:
        W.baddbmm_(X.mT, G, alpha=-1.0)


def back(G: Tensor, W: Tensor) -> Tensor:
    """Multiply rows by transposed weights: (b, n, n_out), (b, n_in, n_out) -> (b, n, n_in)."""
    return G * W.mT if W.shape[-1] == 1 else torch.bmm(G, W.mT)


def add_back(X: Tensor, G: Tensor, W: Tensor) -> None:
    """Add that product in place: (b, n, n_in), (b, n, n_out), (b, n_in, n_out)."""
    if W.shape[-1] == 1:
        X.addcmul_(G, W.mT)
    else:
        X.baddbmm_(G, W.mT)
