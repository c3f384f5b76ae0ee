"""Meta-training of a network that gradient steps adapt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skorch.callbacks import GradientNormClipping, LRScheduler
from torch.optim.lr_scheduler import OneCycleLR

from ..._training.batches import EpisodeDataset
from ..._training.checkpoint import checkpoints_in
from ..._training.held_out import LEAST_GROUPS, Judged, Verdict
from ..._training.loop import train_episodic
from ..._training.losses import PairwiseLoss
from ..._training.seeding import torch_seed
from ...tasks._episodes import Episode
from .episodes import Exercise, permuted_features
from .held_out import judge
from .inner_loop import GradientAdaptation

_GATE_FOLDS = 3


@dataclass(frozen=True)
class Trained:
    """A trained network and what held-out tasks say about it.

    Attributes
    ----------
    module : GradientAdaptation or None
        In float64; None where held-out tasks favour the closed form throughout.
    approved : tuple of two bool
        Whether held-out tasks favour it without and with labelled anomalies.
    permuted : bool
        Whether its training permuted the features.
    report : list of dict
        Per regime, mean held-out AUC of the closed form and of the network: adapted, not adapted,
        adapted to the support of another task and to permuted labels.
    history : list of dict
        Loss of each epoch.
    """

    module: GradientAdaptation | None
    approved: tuple[bool, bool]
    permuted: bool
    report: list[dict[str, Any]]
    history: list[dict[str, float]]


def learn_to_adapt(
    exercises: Sequence[Exercise],
    new_module: Callable[[], GradientAdaptation],
    *,
    augment: str | bool,
    gate: bool,
    needed: bool,
    seed: int,
    **net_params: Any,
) -> Trained:
    """Train on all tasks, and judge on held-out ones how to train and whether to use the network.

    Parameters
    ----------
    exercises : sequence of Exercise
    new_module : callable
        Makes an untrained module.
    augment : "auto" or bool
        Whether episodes permute the features and flip their signs; "auto" lets held-out tasks say.
    gate : bool
        Whether to compare the network with the closed form on held-out tasks.
    needed : bool
        Whether there must be a network even where it does not beat the closed form.
    seed : int
    **net_params
        Settings of the training net.
    """
    folds = np.unique([e.fold for e in exercises], return_inverse=True)[1] % _GATE_FOLDS
    kept = checkpoints_in(net_params.get("callbacks"))
    variants = (False, True) if augment == "auto" else (bool(augment),)

    def trained(part: Sequence[Exercise], permute: bool, **more: Any) -> Any:
        with torch_seed(seed):
            module = new_module()
        return _train(module, part, permute=permute, seed=seed, **{**net_params, **more})

    def judged(permute: bool) -> Verdict:
        outcome: list[Judged] = []
        for fold in sorted(set(folds)):
            rest = [e for e, f in zip(exercises, folds, strict=True) if f != fold]
            held_out = [e for e, f in zip(exercises, folds, strict=True) if f == fold]
            module, _ = trained(rest, permute, verbose=0, callbacks=kept, may_be_cut_short=False)
            outcome += judge(module, held_out, fold)
        return Verdict(outcome, gate)

    comparable = len(set(folds)) > 1 and len({e.group for e in exercises}) >= LEAST_GROUPS
    if comparable and (gate or len(variants) > 1):
        verdicts = {permute: judged(permute) for permute in variants}
    else:
        verdicts = {variants[-1]: Verdict([], gate)}
    permute = max(verdicts, key=lambda p: verdicts[p].quality)
    verdict = verdicts[permute]
    module, history = None, []
    if needed or any(verdict.approved):
        module, history = trained(exercises, permute)
    return Trained(module, verdict.approved, permute, verdict.report, history)


def _train(
    module: GradientAdaptation,
    exercises: Sequence[Exercise],
    *,
    permute: bool,
    seed: int,
    lr: float,
    max_epochs: int,
    batch_size: int,
    callbacks: Sequence[Any] | None = None,
    **net_params: Any,
) -> tuple[GradientAdaptation, list[dict[str, float]]]:
    n_features = module.learner.n_features

    def draw(epoch: int, index: int) -> Episode:
        order = np.random.default_rng([seed, epoch]).permutation(len(exercises))
        episode = exercises[order[index]].episode
        rng = np.random.default_rng([seed, epoch, index])
        return permuted_features(episode, n_features, rng) if permute else episode

    n_steps = max_epochs * -(-len(exercises) // batch_size)
    schedule = [
        ("clip", GradientNormClipping(5.0)),
        (
            "schedule",
            LRScheduler(OneCycleLR, max_lr=lr, total_steps=max(n_steps, 1), step_every="batch"),
        ),
    ]
    settings = {
        "criterion": PairwiseLoss,
        "optimizer": torch.optim.Adam,
        **net_params,
        "lr": lr,
        "max_epochs": max_epochs,
        "batch_size": batch_size,
        "callbacks": [*schedule, *(callbacks or [])],
    }
    data = EpisodeDataset(draw, len(exercises))
    module, history = train_episodic(module, data, None, seed=seed, **settings)
    return module.cpu().double().eval(), history
