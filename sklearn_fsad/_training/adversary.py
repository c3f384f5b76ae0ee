"""Perturb query rows by projected gradient, for robust meta-training."""

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
        Loss of query rows of this shape.
    query : Tensor of shape (..., n_query, d)
    eps : float
        Largest change of any value.

    Returns
    -------
    query : Tensor of shape (..., n_query, d)
        The moved rows, detached from the graph.

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
