"""Provide torch functions and layers that several methods share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

_VECTOR = 8  # numbers: whole vectors on every processor


def aligned(array: NDArray[Any]) -> Tensor:
    """Copy an array to memory of torch, whose alignment the rounding of products depends on."""
    return torch.tensor(np.asarray(array, order="C"))


def row_product(X: Tensor, W: Tensor) -> Tensor:
    """Multiply matrices, each row of X rounded alike in any place: (..., n, d), (..., d, k).

    Where the right factor is not contiguous, or its columns do not fill whole vectors, the kernels
    of some processors round rows of X differently by their position and their address.
    """
    k = W.shape[-1]
    missing = -k % _VECTOR
    if not missing:
        return X @ W.contiguous()
    return (X @ F.pad(W, (0, missing)).contiguous())[..., :k]


class Linear(nn.Linear):
    """Apply a linear layer that, where no gradient is wanted, rounds every row alike."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer: (..., n_in) -> (..., n_out)."""
        if torch.is_grad_enabled():
            return super().forward(input)
        return row_product(input, self.weight.mT) + self.bias


def mlp(n_in: int, hidden: Sequence[int], n_out: int) -> nn.Sequential:
    """Make a perceptron with SiLU between layers, no batch norm: (..., n_in) -> (..., n_out)."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [Linear(n_in, width), nn.SiLU()]
        n_in = width
    return nn.Sequential(*layers, Linear(n_in, n_out))


def masked_mean(X: Tensor, mask: Tensor) -> Tensor:
    """Average the rows that a mask selects: (..., n, d), (..., n) -> (..., d); zeros if none."""
    weight = mask.to(X.dtype).unsqueeze(-1)
    return (X * weight).sum(-2) / weight.sum(-2).clamp(min=1)


def log_shots(y: Tensor) -> tuple[Tensor, Tensor]:
    """Compute log n and log(k + 1) of n normal and k anomalous rows: (..., n) -> (...) each."""
    n = (y == 0).sum(-1).clamp(min=1)
    k = (y == 1).sum(-1)
    return torch.log(n.double()), torch.log1p(k.double())
