"""Optimisers of torch without the import of its compiler, which takes a second of a first training.

torch's own import it to tell it what not to trace; nobody traces the training of an episodic net.
Everything else, results to the bit included, is theirs.
"""

from __future__ import annotations

import inspect
from types import MethodType
from typing import Any

import torch


class _Untraced:
    """Call the methods of an optimiser without the wrappers that import torch's compiler."""

    defaults: dict[str, Any]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, as at the start."""
        _unwrapped(super().add_param_group)(param_group)  # type: ignore[misc]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        _unwrapped(super().zero_grad)(set_to_none)  # type: ignore[misc]

    def step(self, closure: Any = None) -> Any:
        """Take a step, and return the loss that the closure returns."""
        with torch.set_grad_enabled(self.defaults.get("differentiable", False)):
            return _unwrapped(super().step)(closure)  # type: ignore[misc]


def _unwrapped(method: Any) -> Any:
    return MethodType(inspect.unwrap(method.__func__), method.__self__)


class Adam(_Untraced, torch.optim.Adam):
    """``torch.optim.Adam``, not traced."""


class AdamW(_Untraced, torch.optim.AdamW):
    """``torch.optim.AdamW``, not traced."""


class LBFGS(_Untraced, torch.optim.LBFGS):
    """``torch.optim.LBFGS``, not traced."""
