"""Take the gradient steps of several networks of one shape together."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..._input.labels import PADDING
from ..._training.losses import PairwiseLoss, pairwise_losses
from ..._training.stacked import StackedLoss
from .inner_loop import GradientAdaptation

_MOST_PADDING = 120  # rows: with fewer there are more operations, with more they take longer


class StackedAdaptation(nn.Module):
    """Adapt several networks, each to its own tasks: a batch is (batch, networks, ...).

    The tasks of all networks are taken together in order of the size of their supports, so that
    little of the computation is of padding. Every task has the weights of its network, and what a
    network learns is what it would learn alone.

    Parameters
    ----------
    networks : sequence of GradientAdaptation
        Networks of one shape, trained in place; not by Reptile.
    """

    def __init__(self, networks: Sequence[GradientAdaptation]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, support_X: Tensor, support_y: Tensor, query_X: Tensor) -> Tensor:
        """Score queries; networks whose supports are all padding take no part, nor get gradients.

        Returns
        -------
        scores : Tensor of shape (batch, networks, m) or (n_steps, batch, networks, m)
            Larger = more anomalous.
        """
        sizes = _sizes(support_y).flatten()
        order = sizes.argsort(stable=True)[int((sizes == 0).sum()) :]
        taking_part, owners = (order % len(self.networks)).unique(return_inverse=True)
        ascending = sizes[order].tolist()
        counts = _counts(ascending)
        weights = {
            name: weight.index_select(0, owners).split(counts)
            for name, weight in self._weights(taking_part.tolist()).items()
        }
        given = (
            part.flatten(0, 1)[order].split(counts) for part in (support_X, support_y, query_X)
        )
        scores = []
        for i, (X, y, query) in enumerate(zip(*given, strict=True)):
            n = ascending[sum(counts[: i + 1]) - 1]
            of_tasks = {name: parts[i] for name, parts in weights.items()}
            inputs = X[:, :n], y[:, :n], query
            scores.append(functional_call(self.networks[0], of_tasks, inputs))
        found = torch.cat(scores, -2)
        padded = found.new_zeros(*found.shape[:-2], len(sizes), found.shape[-1])
        return padded.index_copy(-2, order, found).unflatten(-2, support_X.shape[:2])

    def _weights(self, positions: Sequence[int]) -> Mapping[str, Tensor]:
        """Stack the weights of some networks, in shapes that rows of their tasks broadcast with."""
        of_each = [dict(self.networks[i].named_parameters()) for i in positions]
        return {
            name: torch.stack([weights[name] for weights in of_each]).view(
                len(positions), *[1] * (first.dim() < 2), *first.shape
            )
            for name, first in of_each[0].items()
        }


class StackedPairwiseLoss(StackedLoss):
    """Add the :class:`PairwiseLoss` of several networks."""

    def __init__(self) -> None:
        super().__init__(PairwiseLoss())

    def of_each(self, scores: Tensor, y: Tensor) -> Tensor:
        """Compute the losses of all networks together, not one after another."""
        losses, has_pair = (part.flatten(0, -2) for part in pairwise_losses(scores, y))
        return losses.sum(0) / has_pair.sum(0).clamp(min=1)


def _sizes(y: Tensor) -> Tensor:
    """Count the rows of supports, whose ends are padding: (..., n) -> (...)."""
    positions = torch.arange(1, y.shape[-1] + 1, device=y.device)
    return ((y != PADDING) * positions).amax(-1)


def _counts(ascending: Sequence[int]) -> list[int]:
    """Count the tasks that are taken together, so that the padding of each group is limited."""
    counts, padding = [1], 0
    for smaller, size in itertools.pairwise(ascending):
        padding += counts[-1] * (size - smaller)
        if padding > _MOST_PADDING:
            counts, padding = [*counts, 0], 0
        counts[-1] += 1
    return counts
