"""Torch bricks that several methods share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def mlp(n_in: int, hidden: Sequence[int], n_out: int) -> nn.Sequential:
    """Perceptron with SiLU between its layers and no batch norm: (..., n_in) -> (..., n_out)."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(n_in, width), nn.SiLU()]
        n_in = width
    return nn.Sequential(*layers, nn.Linear(n_in, n_out))


def masked_mean(X: Tensor, mask: Tensor) -> Tensor:
    """Mean of the rows that a mask picks: (..., n, d), (..., n) -> (..., d); zeros if none."""
    weight = mask.to(X.dtype).unsqueeze(-1)
    return (X * weight).sum(-2) / weight.sum(-2).clamp(min=1)


def log_shots(y: Tensor) -> tuple[Tensor, Tensor]:
    """Log n and log(k + 1) of supports with n normal and k anomalous rows: (..., n) -> (...)."""
    n = (y == 0).sum(-1).clamp(min=1)
    k = (y == 1).sum(-1)
    return torch.log(n.double()), torch.log1p(k.double())
