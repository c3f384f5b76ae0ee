"""Train a torch module on episodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch

from .batches import Collate, EpisodeDataset
from .checkpoint import checkpoints_in, without_checkpoints
from .net import EpisodicNet, EpochProgress, Interrupted
from .seeding import torch_seed

M = TypeVar("M", bound=torch.nn.Module)


def train_episodic(
    module: M,
    train: EpisodeDataset,
    valid: EpisodeDataset | None,
    *,
    seed: int,
    dtype: torch.dtype = torch.float32,
    verbose: int = 0,
    parameters: Mapping[str, Any] | None = None,
    may_be_cut_short: bool = False,
    adversarial_eps: float = 0.0,
    **net_params: Any,
) -> tuple[M, list[dict[str, float]]]:
    """Train a module on episodes and return it with its history; global randomness is left alone.

    Parameters
    ----------
    module : torch.nn.Module
        Trained in place; its initial weights are the caller's choice.
    train, valid : EpisodeDataset
        Episodes to learn from and, if any, to validate on.
    seed : int
        Seed of torch within the training.
    dtype : torch.dtype, default=torch.float32
        Precision of the rows.
    verbose : int, default=0
        1 shows a progress bar.
    parameters : mapping, default=None
        Those of the detector that trains: they tell its checkpoints from those of others.
    may_be_cut_short : bool, default=False
        Whether Ctrl-C during a ``meta_fit`` ends this training alone, after its last whole epoch.
    adversarial_eps : float, default=0.0
        How far each step may move the values of the queries against the module.
    **net_params
        Handed to :class:`EpisodicNet`; with ``accelerator`` the training is shared by processes.
    """
    kind, ways = EpisodicNet, {"callbacks__print_log": None}
    make_accelerator = net_params.pop("accelerator", None)
    if make_accelerator is not None:
        from .shared import Share, SharedEpisodicNet, join, ways_of

        accelerator = join(make_accelerator, module, train, seed)
        train, valid = Share(train, accelerator), valid and Share(valid, accelerator)
        kind, ways = SharedEpisodicNet, ways_of(accelerator)
        net_params["device"] = None  # the accelerator's
        verbose = verbose if accelerator.is_main_process else 0
    given = net_params.pop("callbacks", None)
    callbacks = without_checkpoints(given)
    if verbose:
        callbacks.append(("progress", EpochProgress()))
    for checkpoint in checkpoints_in(given):
        weights = {name: value.cpu().numpy() for name, value in module.state_dict().items()}
        episodes = [data.facts() for data in (train, valid) if data is not None]
        facts = (weights, seed, str(dtype), parameters, net_params, episodes)
        callbacks.append(("checkpoint", checkpoint.keeper(*facts)))  # the last: it sees all others
    collate = Collate(dtype)
    settings: dict[str, Any] = {
        "train_split": _fixed_split(valid),
        "iterator_train__collate_fn": collate,
        "iterator_valid__collate_fn": collate,
        "verbose": 0,
        **ways,
        **net_params,
    }
    with torch_seed(seed):
        net = kind(module, callbacks=callbacks, **settings)
        net.adversarial_eps = adversarial_eps
        net.may_be_cut_short = may_be_cut_short and make_accelerator is None
        try:
            net.partial_fit(train, y=None)
        except Interrupted:
            raise KeyboardInterrupt from None
    history = [
        {k: float(v) for k, v in epoch.items() if k in ("train_loss", "valid_loss")}
        for epoch in net.history
    ]
    return net.module_.cpu(), history


def _fixed_split(valid: EpisodeDataset | None) -> Any:
    if valid is None:
        return None
    from skorch.helper import predefined_split

    return predefined_split(valid)
