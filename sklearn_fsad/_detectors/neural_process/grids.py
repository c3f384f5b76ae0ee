"""Encode and decode rows that are grids, by convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..._training.layers import row_product
from .closed_forms import MaskedRows

_CELLS = 5  # that a convolution spans in each direction


class GridEncoder(nn.Module):
    """Encode rows that are grids by convolutions of a value and a density channel [1]_.

    References
    ----------
    .. [1] J. Gordon et al., "Convolutional conditional neural processes", ICLR 2020.
    """

    def __init__(self, grid_shape: Sequence[int], width: int) -> None:
        super().__init__()
        self.grid_shape = tuple(grid_shape)
        self.net = Convolutions(len(grid_shape), 2, width, width)

    def forward(self, rows: MaskedRows) -> Tensor:
        """Encode rows: (..., n, d) -> (..., n, width * d)."""
        grids = torch.stack(torch.broadcast_tensors(*rows), -2)  # (..., n, 2, d)
        return _on_grids(self.net, grids, self.grid_shape).flatten(-2)


class GridDecoder(nn.Module):
    """Decode queries that are grids by convolutions over them and the context at each cell.

    Attributes
    ----------
    most_a_feature : int
        Numbers that a cell of a query takes in the largest step.
    """

    def __init__(self, grid_shape: Sequence[int], width: int, n_out: int) -> None:
        super().__init__()
        self.grid_shape = tuple(grid_shape)
        self.most_a_feature = (2 + width) * _CELLS ** len(grid_shape)
        self.net = Convolutions(len(grid_shape), 2 + width, width, n_out)

    @property
    def last(self) -> nn.Module:
        """Last layer, whose zeros mean no departure from the anchors."""
        return self.net[-1]

    def forward(self, query: MaskedRows, read: Tensor) -> Tensor:
        """Decode queries: (..., q, d), (..., q or 1, width * d) -> (..., q, d, n_out)."""
        rows = torch.stack(query, -2)  # (..., q, 2, d)
        cells = read.unflatten(-1, (-1, rows.shape[-1]))  # (..., q or 1, width, d)
        if torch.is_grad_enabled() and cells.shape[:-2] == (*rows.shape[:-3], 1):
            return _on_grids(self.net, rows, self.grid_shape, cells.squeeze(-3)).mT
        shape = torch.broadcast_tensors(rows[..., 0, 0], cells[..., 0, 0])[0].shape
        parts = [part.expand(*shape, *part.shape[-2:]) for part in (rows, cells)]
        return _on_grids(self.net, torch.cat(parts, -2), self.grid_shape).mT


class Convolutions(nn.Sequential):
    """Apply three layers of convolutions, five cells wide, and a linear one, on the same grid."""

    def __init__(self, n_dims: int, n_in: int, width: int, n_out: int) -> None:
        conv: Any = nn.Conv1d if n_dims == 1 else nn.Conv2d
        wide = {"kernel_size": _CELLS, "padding": _CELLS // 2}
        super().__init__(
            conv(n_in, width, **wide),
            nn.SiLU(),
            conv(width, width, **wide),
            nn.SiLU(),
            conv(width, width, **wide),
            nn.SiLU(),
            conv(width, n_out, 1),
        )

    def forward(self, grids: Tensor, shared: Tensor | None = None) -> Tensor:
        """Apply the layers: (m, n_in, *grid) -> (m, n_out, *grid).

        ``shared`` are the last of the n_in channels of k runs of m / k grids: (k, n, *grid).
        """
        if shared is not None:
            return self.apply_layers(grids, shared)
        return apply_to_distinct(self.apply_layers, grids)

    def apply_layers(
        self, grids: Tensor, shared: Tensor | None = None, position: int | None = None
    ) -> Tensor:
        """Apply the layers in turn; of stacked ones those of the network at ``position``."""
        grids = channels_last(grids)
        layer: Any
        for i, layer in enumerate(self):
            if isinstance(layer, nn.SiLU):
                grids = layer(grids)
                continue
            weight, bias = layer.weight, layer.bias
            if position is not None:
                weight, bias = weight[position], bias[position]
            if i == 0 and shared is not None:
                grids = _convolve_beside(grids, channels_last(shared), weight, bias)
            else:
                grids = convolve(grids, weight, bias)
        return grids


def channels_last(grids: Tensor) -> Tensor:
    """Store the channels of each cell side by side: torch trains convolutions faster so."""
    if not torch.is_grad_enabled():
        return grids
    return grids.movedim(1, -1).contiguous().movedim(-1, 1)


def apply_to_distinct(layers: Callable[[Tensor], Tensor], grids: Tensor) -> Tensor:
    """Apply layers once to grids that occur more than once: (m, ...) -> (m, ...).

    In training the episodes of a batch share rows of their contexts.
    """
    if grids.requires_grad or not torch.is_grad_enabled():
        return layers(grids)
    rows = np.ascontiguousarray(grids.flatten(1).cpu().numpy())
    as_bytes = rows.view(f"V{rows.shape[1] * rows.itemsize}").ravel()
    _, first, which = np.unique(as_bytes, return_index=True, return_inverse=True)
    of_first, of_each = (torch.from_numpy(part).to(grids.device) for part in (first, which))
    return layers(grids[of_first]).index_select(0, of_each)


def _convolve_beside(grids: Tensor, shared: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve grids and the channels that runs of them share, these once for each run."""
    own = grids.shape[1]
    of_shared = convolve(shared, weight[:, own:], torch.zeros_like(bias))  # (k, n_out, *grid)
    of_grids = convolve(grids, weight[:, :own], bias).unflatten(0, (len(shared), -1))
    return (of_grids + of_shared.unsqueeze(1)).flatten(0, 1)


def convolve(grids: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply a convolution: (m, n_in, *grid) -> (m, n_out, *grid).

    Where no gradient is wanted, it is a product of matrices: torch has no fast convolution of
    float64.
    """
    grid, size = grids.shape[2:], weight.shape[2:]
    if torch.is_grad_enabled():
        padding = tuple(cells // 2 for cells in size)
        if len(grid) == 2:
            return F.conv2d(grids, weight, bias, padding=padding)
        one_high = F.conv2d(grids.unsqueeze(2), weight.unsqueeze(2), bias, padding=(0, *padding))
        return one_high.squeeze(2)
    around = F.pad(grids, [cells // 2 for cells in reversed(size) for _ in range(2)])
    for axis, cells in enumerate(size):
        around = around.unfold(2 + axis, cells, 1)  # (m, n_in, *grid, *size)
    patches = around.movedim(1, 1 + len(grid)).flatten(1 + len(grid))  # (m, *grid, n_in * cells)
    found = row_product(patches.flatten(0, -2), weight.flatten(1).mT) + bias
    return found.unflatten(0, (len(grids), *grid)).movedim(-1, 1)


def _on_grids(
    net: Any, grids: Tensor, grid_shape: tuple[int, ...], shared: Tensor | None = None
) -> Tensor:
    """Apply convolutions to flattened grids: (..., n_in, d) -> (..., n_out, d).

    Channels ``shared`` by all grids of an episode are (..., n, d), without the dimension of grids.
    """
    n_networks = getattr(net, "n_networks", None)  # of a stack: (networks, ..., n_in, d)
    first = (-1,) if n_networks is None else (n_networks, -1)
    parts = [
        part.reshape(*first, part.shape[-2], *grid_shape)
        for part in (grids, shared)
        if part is not None
    ]
    return net(*parts).reshape(*grids.shape[:-2], -1, grids.shape[-1])
