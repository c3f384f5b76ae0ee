"""Take the gradient steps of several networks of one shape together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..._input.labels import PADDING
from ..._training.losses import PairwiseLoss
from ..._training.stacked import StackedLoss
from .inner_loop import GradientAdaptation

_AT_ONCE = 24  # tasks: with fewer there are more operations, with more of them more padding


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
        owners = order % len(self.networks)
        taking_part, owners = owners.unique(return_inverse=True)
        weights = self._weights(taking_part.tolist())
        X, y, query = (part.flatten(0, 1) for part in (support_X, support_y, query_X))
        scores = []
        for tasks, owner in zip(order.split(_AT_ONCE), owners.split(_AT_ONCE), strict=True):
            n = int(sizes[tasks[-1]])
            inputs = X[tasks, :n], y[tasks, :n], query[tasks]
            of_tasks = {name: weight.index_select(0, owner) for name, weight in weights.items()}
            scores.append(functional_call(self.networks[0], of_tasks, inputs))
        found = torch.cat(scores, -2)
        padded = found.new_zeros(*found.shape[:-2], len(X), found.shape[-1])
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


def _sizes(y: Tensor) -> Tensor:
    """Count the rows of supports, whose ends are padding: (..., n) -> (...)."""
    positions = torch.arange(1, y.shape[-1] + 1, device=y.device)
    return ((y != PADDING) * positions).amax(-1)
