"""Convert weights of torch modules to the named arrays of a state, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .._typing import Array


def to_arrays(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Array]:
    """Convert weights to arrays whose names begin with a prefix.

    Parameters
    ----------
    weights : mapping of str to Tensor
        As of ``module.state_dict()``.
    prefix : str
    """
    return {prefix + name: value.detach().cpu().numpy() for name, value in weights.items()}


def from_arrays(arrays: Mapping[str, Array], prefix: str) -> dict[str, Tensor]:
    """Return the weights among arrays, in float64: those whose names begin with a prefix.

    Parameters
    ----------
    arrays : mapping of str to ndarray
    prefix : str
    """
    return {
        name.removeprefix(prefix): torch.tensor(value, dtype=torch.float64)
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
