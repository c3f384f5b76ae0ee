"""Treat each group of parameters of an optimiser as if it were trained alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from skorch.callbacks import Callback
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR


class GroupClipping(Callback):
    """Shorten the gradient of each group to a largest norm.

    Parameters
    ----------
    most : float
        Largest norm.
    """

    def __init__(self, most: float) -> None:
        self.most = most

    def on_grad_computed(self, net: Any, **kwargs: Any) -> None:
        """Shorten the gradients in place."""
        for group in net.optimizer_.param_groups:
            clip_grad_norm_(group["params"], self.most)


class GroupCycles:
    """Step a one-cycle schedule for each group, which takes the first steps of every epoch.

    Parameters
    ----------
    optimizer : Optimizer
    per_epoch : sequence of int
        Steps of each group in an epoch; the longest epoch counts.
    n_epochs : int
        Epochs.
    **how
        Arguments of :class:`torch.optim.lr_scheduler.OneCycleLR`.
    """

    def __init__(
        self, optimizer: Optimizer, per_epoch: Sequence[int], n_epochs: int, **how: Any
    ) -> None:
        self._per_epoch = per_epoch
        self._n_steps = 0
        self._cycles = [
            OneCycleLR(_Group(optimizer, i), total_steps=n_epochs * n_steps, **how)
            for i, n_steps in enumerate(per_epoch)
        ]

    def step(self) -> None:
        """Step the schedule of each group that took part in the step of the optimiser."""
        position = self._n_steps % max(self._per_epoch)
        for n_steps, cycle in zip(self._per_epoch, self._cycles, strict=True):
            if position < n_steps:
                cycle.step()
        self._n_steps += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all schedules."""
        return {
            "n_steps": self._n_steps,
            "cycles": [cycle.state_dict() for cycle in self._cycles],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the state of all schedules."""
        self._n_steps = state["n_steps"]
        for cycle, of_one in zip(self._cycles, state["cycles"], strict=True):
            cycle.load_state_dict(of_one)


class _Group(Optimizer):
    """Show one group of an optimiser to a schedule as an optimiser of its own."""

    _opt_called = True  # steps are those of the whole optimiser: torch need not warn of none

    def __init__(self, whole: Optimizer, position: int) -> None:
        self._whole, self._position = whole, position
        self.defaults = whole.defaults

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]  # it is read alone
        """Return the group, which another replaces when a checkpoint is read."""
        return [self._whole.param_groups[self._position]]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Do nothing: the whole optimiser takes the steps."""
