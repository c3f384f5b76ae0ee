"""Train several networks of one shape together, each on its own rows, in one pass of torch.

Every weight of a stacked network has a first dimension of networks; rows are (..., networks, batch,
n, width). What a network learns is what it would learn alone.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn import functional as F

from ..._training.losses import MeanLoss
from ..._training.stacked import StackedLoss
from .grids import Convolutions, apply_to_distinct
from .networks import Network


def stacked(network: Network, n: int) -> Network:
    """Make a stack of n copies of a network, whose weights are the caller's to change."""
    stack = copy.deepcopy(network)
    for name, layer in network.named_modules():
        for of, kind in _KINDS.items():
            if isinstance(layer, of):
                stack.set_submodule(name, kind(layer, n))
    return stack


def weights_of(stack: Network, position: int) -> dict[str, Tensor]:
    """Return the weights of one network of a stack, under their names in it alone."""
    return {name: weight[position] for name, weight in stack.state_dict().items()}


# --- layers ---------------------------------------------------------------------------------------
class Stacked(nn.Module):
    """Hold the weights of n copies of a layer."""

    def __init__(self, layer: Any, n: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().expand(n, *layer.weight.shape).clone())
        self.bias = nn.Parameter(layer.bias.detach().expand(n, *layer.bias.shape).clone())


class StackedLinear(Stacked):
    """Apply the linear layer of each network to its rows."""

    def forward(self, rows: Tensor) -> Tensor:
        """Apply the layers: (..., networks, batch, n, n_in) -> (..., networks, batch, n, n_out)."""
        first = rows.movedim(-4, 0)
        out = torch.baddbmm(self.bias.unsqueeze(1), first.flatten(1, -2), self.weight.mT)
        return out.unflatten(1, first.shape[1:-1]).movedim(0, -4)


class StackedLayerNorm(Stacked):
    """Normalise the rows of each network by its layer."""

    def __init__(self, layer: nn.LayerNorm, n: int) -> None:
        super().__init__(layer, n)
        self.shape, self.eps = layer.normalized_shape, layer.eps

    def forward(self, rows: Tensor) -> Tensor:
        """Apply the layers: (..., networks, batch, n, width) -> the same."""
        weight, bias = (part[:, None, None] for part in (self.weight, self.bias))
        return torch.addcmul(bias, F.layer_norm(rows, self.shape, eps=self.eps), weight)


class StackedConvolutions(Convolutions):
    """Apply the convolutions of each network to its grids, one network after another.

    Convolutions in groups would be slower.
    """

    def __init__(self, layers: Convolutions, n: int) -> None:
        nn.Sequential.__init__(
            self, *(x if isinstance(x, nn.SiLU) else Stacked(x, n) for x in layers)
        )
        self.n_networks = n

    def forward(self, grids: Tensor, shared: Tensor | None = None) -> Tensor:
        """Apply the layers: (networks, m, n_in, *grid) -> (networks, m, n_out, *grid)."""
        found = []
        for i, part in enumerate(grids):
            of_one = partial(self.apply_layers, position=i)
            if shared is None:
                found.append(apply_to_distinct(of_one, part))
            else:
                found.append(of_one(part, shared[i]))
        return torch.stack(found)


_KINDS: dict[Any, Any] = {
    nn.Linear: StackedLinear,
    nn.LayerNorm: StackedLayerNorm,
    Convolutions: StackedConvolutions,
}


# --- training -------------------------------------------------------------------------------------
class StackedProcess(nn.Module):
    """Compute what several networks lose on their own episodes: batches are (batch, networks, ...).

    Parameters
    ----------
    process : NeuralProcess
        With a stacked network.
    """

    def __init__(self, process: nn.Module) -> None:
        super().__init__()
        self.process = process

    def forward(self, **inputs: Tensor) -> Tensor:
        """Compute the losses of the queries: (batch, networks, n_query)."""
        first = {name: part.transpose(0, 1) for name, part in inputs.items()}
        losses: Tensor = self.process(**first)
        return losses.transpose(0, 1)


class StackedMeanLoss(StackedLoss):
    """Average the losses of each network: the value of the first, with the gradient of all."""

    def __init__(self) -> None:
        super().__init__(MeanLoss())


class StackedNormClipping(Callback):
    """Shorten the gradients of each network to a largest norm.

    Parameters
    ----------
    most : float
        Largest norm.
    """

    def __init__(self, most: float) -> None:
        self.most = most

    def on_grad_computed(self, net: Any, named_parameters: Any, **kwargs: Any) -> None:
        """Shorten the gradients in place."""
        gradients = [p.grad for _, p in named_parameters if p.grad is not None]
        norm = torch.cat([gradient.flatten(1) for gradient in gradients], 1).norm(dim=1)
        factor = (self.most / (norm + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(
            gradients, [factor.reshape(-1, *[1] * (g.dim() - 1)) for g in gradients]
        )
