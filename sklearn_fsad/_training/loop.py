"""Train a torch module on episodes."""

from __future__ import annotations

from typing import Any, TypeVar

import torch

from .batches import Collate, EpisodeDataset
from .checkpoint import checkpoints_in, without_checkpoints
from .checks import check_training
from .net import EpisodicNet, EpochProgress, Interrupted
from .progress import unless_named
from .seeding import torch_seed
from .settings import TrainingSettings
from .usual_torch import training_threads
from .weights import to_arrays

M = TypeVar("M", bound=torch.nn.Module)


def train_episodic(
    module: M, train: EpisodeDataset, valid: EpisodeDataset | None, settings: TrainingSettings
) -> tuple[M, list[dict[str, float]]]:
    """Train a module on episodes, without changing the global random state.

    Parameters
    ----------
    module : torch.nn.Module
        Trained in place; its initial weights are the caller's choice.
    train, valid : EpisodeDataset
        Episodes to learn from and, if any, to validate on.
    settings : TrainingSettings
        How to train.

    Returns
    -------
    module : torch.nn.Module
        The same module, on the CPU.
    history : list of dict
        Losses of each epoch.
    """
    check_training(settings, validates=valid is not None)
    kind = EpisodicNet
    arguments = {"callbacks__print_log": None, **settings.of_net()}
    if settings.accelerator is not None:
        from .shared import Share, SharedEpisodicNet, join, ways_of

        accelerator = join(settings.accelerator, module, train, settings.seed)
        train, valid = Share(train, accelerator), valid and Share(valid, accelerator)
        kind = SharedEpisodicNet
        arguments = {**ways_of(accelerator), **settings.of_net(), "device": None}
    callbacks = _callbacks(module, train, valid, settings)
    collate = Collate(settings.dtype)
    with unless_named("training"), torch_seed(settings.seed):
        net = kind(module, **{
            "callbacks": callbacks,
            "train_split": _fixed_split(valid),
            "iterator_train__collate_fn": collate,
            "iterator_valid__collate_fn": collate,
            "verbose": 0,
            **arguments,
        })  # fmt: skip
        net.adversarial_eps = settings.adversarial_eps
        net.may_be_cut_short = settings.keep_on_interrupt and settings.accelerator is None
        try:
            with training_threads():
                net.partial_fit(train, y=None)
        except Interrupted:
            raise KeyboardInterrupt from None
    history = [
        {k: float(v) for k, v in epoch.items() if k in ("train_loss", "valid_loss")}
        for epoch in net.history
    ]
    return module.cpu(), history  # net.module_ may be a compiled one around it


def _callbacks(
    module: torch.nn.Module,
    train: EpisodeDataset,
    valid: EpisodeDataset | None,
    settings: TrainingSettings,
) -> list[Any]:
    """List the callbacks of a training: given ones, its progress and last the checkpoints."""
    callbacks = [*without_checkpoints(settings.callbacks), ("progress", EpochProgress())]
    for checkpoint in checkpoints_in(settings.callbacks):
        weights = to_arrays(module.state_dict(), "")
        episodes = [data.fingerprint() for data in (train, valid) if data is not None]
        how = (settings.seed, str(settings.dtype), settings.parameters, settings.of_net())
        callbacks.append(("checkpoint", checkpoint.keeper(weights, *how, episodes)))
    return callbacks


def _fixed_split(valid: EpisodeDataset | None) -> Any:
    if valid is None:
        return None
    from skorch.helper import predefined_split

    return predefined_split(valid)
