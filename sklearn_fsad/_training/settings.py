"""Hold the settings of a training on episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import Parameter, signature
from typing import Any

import torch
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler
from torch.optim.lr_scheduler import OneCycleLR

from .checkpoint import checkpoints_in
from .groups import GroupCycles
from .optimizers import Adam

_OF_NET_PARAMS = ("lr", "max_epochs", "batch_size", "device", "callbacks", "accelerator")


@dataclass(frozen=True)
class TrainingSettings:
    """Hold the settings by which :func:`train_episodic` trains a module.

    Parameters
    ----------
    lr : float
        Learning rate; the highest one of a schedule.
    max_epochs : int
        Epochs.
    batch_size : int, default=16
        Episodes per training step.
    device : str, default="cpu"
        Where the module trains.
    seed : int, default=0
        Seed of torch within the training.
    dtype : torch.dtype, default=torch.float32
        Precision of the rows.
    callbacks : sequence of Callback or (str, Callback), default=()
        skorch callbacks.
    accelerator : callable, default=None
        Makes the accelerator with which several processes share the training.
    parameters : mapping, default=None
        Parameters of the detector that trains; its checkpoints are identified by them.
    keep_on_interrupt : bool, default=False
        Whether Ctrl-C during ``meta_fit`` ends this training alone, after its last whole epoch.
    adversarial_eps : float, default=0.0
        Largest change of a value of the queries by projected gradient before each step.
    skorch : mapping, default={}
        All other arguments of the skorch net, such as ``criterion`` and ``optimizer``.
    """

    lr: float
    max_epochs: int
    batch_size: int = 16
    device: str = "cpu"
    seed: int = 0
    dtype: torch.dtype = torch.float32
    callbacks: Sequence[Any] = ()
    accelerator: Callable[[], Any] | None = None
    parameters: Mapping[str, Any] | None = None
    keep_on_interrupt: bool = False
    adversarial_eps: float = 0.0
    skorch: Mapping[str, Any] = field(default_factory=dict)

    def with_net_params(self, net_params: Mapping[str, Any]) -> TrainingSettings:
        """Return settings in which a detector's ``net_params`` override these.

        Parameters
        ----------
        net_params : mapping
            Settings of the user.

        Returns
        -------
        settings : TrainingSettings
            A copy.
        """
        own = {name: net_params[name] for name in _OF_NET_PARAMS if name in net_params}
        if "callbacks" in own:
            own["callbacks"] = own["callbacks"] or ()
        rest = {
            name: value
            for name, value in net_params.items()
            if name not in own and name != "verbose"
        }
        return replace(self, **own, skorch={**self.skorch, **rest})

    def with_defaults(self, **skorch: Any) -> TrainingSettings:
        """Return settings with default arguments of the skorch net, used where these have none.

        Of an optimiser that the user chose, only those arguments are set that it takes.

        Parameters
        ----------
        **skorch
            Arguments of the skorch net.

        Returns
        -------
        settings : TrainingSettings
            A copy.
        """
        optimizer = self.skorch.get("optimizer")
        if optimizer is not None:
            skorch = {k: v for k, v in skorch.items() if _takes(optimizer, k)}
        return replace(self, skorch={**skorch, **self.skorch})

    def with_callbacks(
        self, before: Sequence[Any] = (), after: Sequence[Any] = ()
    ) -> TrainingSettings:
        """Return settings with more callbacks, run before and after these.

        Parameters
        ----------
        before, after : sequence of Callback or (str, Callback), default=()
            More callbacks.

        Returns
        -------
        settings : TrainingSettings
            A copy.
        """
        return replace(self, callbacks=[*before, *self.callbacks, *after])

    def one_cycle(
        self, n_episodes: int | Sequence[int], clip: float | Callback
    ) -> TrainingSettings:
        """Return settings with a learning rate that rises once and falls, and clipped gradients.

        Parameters
        ----------
        n_episodes : int or sequence of int
            Episodes of an epoch; several numbers are those of the groups of parameters of the
            optimiser, each of which has a schedule of its own.
        clip : float or Callback
            Largest norm of a gradient, or what clips gradients.

        Returns
        -------
        settings : TrainingSettings
            A copy.
        """
        how: dict[str, Any] = {"max_lr": self.lr, "step_every": "batch"}
        optimizer = self.skorch.get("optimizer", Adam)
        if not any(_takes(optimizer, f"optimizer__{name}") for name in ("momentum", "betas")):
            how["cycle_momentum"] = False  # it has none
        if isinstance(n_episodes, Sequence):
            per_epoch = [-(-n // self.batch_size) for n in n_episodes]
            how |= {"per_epoch": per_epoch, "n_epochs": self.max_epochs}
            schedule = LRScheduler(GroupCycles, **how)
        else:
            n_steps = max(self.max_epochs * -(-n_episodes // self.batch_size), 1)
            schedule = LRScheduler(OneCycleLR, total_steps=n_steps, **how)
        clipping = clip if isinstance(clip, Callback) else GradientNormClipping(clip)
        return self.with_callbacks([("clip", clipping), ("schedule", schedule)])

    def for_held_out(self) -> TrainingSettings:
        """Return settings of a training with held-out tasks: with checkpoints alone.

        Returns
        -------
        settings : TrainingSettings
            A copy.
        """
        kept = checkpoints_in(self.callbacks)
        return replace(self, callbacks=kept, keep_on_interrupt=False)

    def of_net(self) -> dict[str, Any]:
        """Return the arguments of the skorch net except its callbacks.

        Returns
        -------
        arguments : dict
            Keyword arguments of :class:`skorch.NeuralNet`.
        """
        own = {name: getattr(self, name) for name in ("lr", "max_epochs", "batch_size", "device")}
        return {**own, **self.skorch}


def _takes(optimizer: Any, name: str) -> bool:
    """Tell whether an argument of the net is none of its optimiser, or one that this takes."""
    if not name.startswith("optimizer__"):
        return True
    parameters = signature(optimizer).parameters if callable(optimizer) else {}
    any_name = any(p.kind == Parameter.VAR_KEYWORD for p in parameters.values())
    return any_name or name.partition("__")[2] in parameters
