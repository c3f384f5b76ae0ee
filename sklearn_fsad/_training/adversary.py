"""Queries moved against a network, which so learns to hold out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_N_STEPS = 3


def attacked(loss: Callable[[Tensor], Tensor], query: Tensor, eps: float) -> Tensor:
    """Move query rows to where the loss is larger, by projected gradient [1]_, [2]_.

    Parameters
    ----------
    loss : callable
        Of query rows, such as these.
    query : Tensor of shape (..., n_query, d)
    eps : float
        Furthest that any value moves.

    Returns
    -------
    query : Tensor of shape (..., n_query, d)
        Detached from everything.

    References
    ----------
    .. [1] A. Madry et al., "Towards deep learning models resistant to adversarial attacks",
       ICLR 2018.
    .. [2] M. Goldblum, L. Fowl and T. Goldstein, "Adversarially robust few-shot learning: a
       meta-learning approach", NeurIPS 2020.
    """
    move = torch.zeros_like(query)
    for _ in range(_N_STEPS):
        move.requires_grad_()
        (slope,) = torch.autograd.grad(loss(query + move), move)
        move = (move.detach() + eps / 2 * slope.sign()).clamp(-eps, eps)
    return query + move
