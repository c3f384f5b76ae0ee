"""Train several networks together: a sample of a batch is one episode of each network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .._input.labels import PADDING
from ..tasks._episodes import Episode
from .batches import collate_episodes


class StackedCollate:
    """Collate one episode of each network a sample; picklable."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, samples: Sequence[Sequence[Episode]]) -> tuple[dict[str, Tensor], Tensor]:
        inputs, y = collate_episodes([e for sample in samples for e in sample], self.dtype)
        shape = len(samples), -1
        return {name: part.unflatten(0, shape) for name, part in inputs.items()}, y.unflatten(
            0, shape
        )


def filler(episode: Episode) -> Episode:
    """Make an episode of padding, for a network that has fewer episodes than others."""
    padding = episode.query_y[:1] * 0 + PADDING
    return dataclasses.replace(
        episode,
        support_X=episode.support_X[:1],
        support_y=padding,
        query_X=episode.query_X[:1],
        query_y=padding,
    )


class StackedLoss(nn.Module):
    """Add the losses of several networks: the value of the first, with the gradient of all.

    Parameters
    ----------
    loss : Module
        Loss of one network: ``(..., batch, n_query), (batch, n_query) -> scalar``.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, scores: Any, y: Tensor) -> Tensor:
        """Add losses: (..., batch, networks, n_query), (batch, networks, n_query) -> scalar."""
        of_each = self.of_each(scores, y)
        others = of_each[1:].sum()
        return of_each[0] + others - others.detach()

    def of_each(self, scores: Tensor, y: Tensor) -> Tensor:
        """Compute the loss of each network: (networks,)."""
        parts = zip(scores.unbind(-2), y.unbind(-2), strict=True)
        return torch.stack([self.loss(*part) for part in parts])
