"""Meta-train a network that gradient steps adapt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._stats.ranking import LEAST_GROUPS
from ..._training.batches import EpisodeDataset
from ..._training.groups import GroupClipping
from ..._training.held_out import HeldOutComparison, HeldOutEpisode, HeldOutReport
from ..._training.loop import train_episodic
from ..._training.losses import PairwiseLoss
from ..._training.optimizers import Adam
from ..._training.progress import phase
from ..._training.seeding import torch_seed
from ..._training.settings import TrainingSettings
from ..._training.stacked import StackedCollate, filler
from ...tasks._episodes import Episode
from .episodes import PreparedEpisode, permuted_features
from .held_out import OPTIONS, score_held_out
from .inner_loop import GradientAdaptation
from .stacked import StackedAdaptation, StackedPairwiseLoss

_GATE_FOLDS = 3
_OPTIMIZER: dict[str, Any] = {"optimizer": Adam, "optimizer__fused": True}
_MOST_GRADIENT = 5.0  # norm
TOGETHER = 0.75  # work of learning from an episode, of that of a network that is trained alone


@dataclass(frozen=True)
class Trained:
    """Hold a trained network and the result of its held-out comparison.

    Attributes
    ----------
    module : GradientAdaptation or None
        The network, in float64; None where the closed form is used in all regimes.
    used : tuple of two bool
        Whether the network won the comparison without and with labelled anomalies.
    permuted : bool
        Whether its training permuted the features.
    reports : list of HeldOutReport
        ROC AUC in each regime of the closed form and of the network: adapted, not adapted, adapted
        to the support of another task and to permuted labels.
    history : list of dict
        Loss of each epoch.
    """

    module: GradientAdaptation | None
    used: tuple[bool, bool]
    permuted: bool
    reports: list[HeldOutReport]
    history: list[dict[str, float]]


def learn_to_adapt(
    prepared: Sequence[PreparedEpisode],
    new_module: Callable[[], GradientAdaptation],
    *,
    augment: str | bool,
    gate: bool,
    needed: bool,
    settings: TrainingSettings,
) -> Trained:
    """Train on all tasks; choose on held-out ones how to train and whether to use the network.

    Parameters
    ----------
    prepared : sequence of PreparedEpisode
        Episodes to train on.
    new_module : callable
        Makes an untrained module.
    augment : "auto" or bool
        Whether to permute the features of episodes and flip their signs; "auto" chooses on held-out
        tasks.
    gate : bool
        Whether to compare the network with the closed form on held-out tasks.
    needed : bool
        Whether a network is trained even where it does not beat the closed form.
    settings : TrainingSettings
        Settings of the training on all tasks.
    """
    folds = np.unique([e.fold for e in prepared], return_inverse=True)[1] % _GATE_FOLDS
    names = sorted(set(folds))
    variants = (False, True) if augment == "auto" else (bool(augment),)

    def untrained() -> GradientAdaptation:
        with torch_seed(settings.seed):
            return new_module()

    def compared() -> dict[bool, HeldOutComparison]:
        trainings = [
            _Training(
                untrained(), [e for e, f in zip(prepared, folds, strict=True) if f != fold], p
            )
            for p in variants
            for fold in names
        ]
        scored: dict[bool, list[HeldOutEpisode]] = {p: [] for p in variants}
        how = settings.for_held_out()
        with phase("held-out tasks", _work_of(trainings, how)):
            _train_for_held_out(trainings, how)
            for fold, training in zip(names * len(variants), trainings, strict=True):
                held_out = [e for e, f in zip(prepared, folds, strict=True) if f == fold]
                scored[training.permute] += score_held_out(training.module, held_out, fold)
        return {p: HeldOutComparison(scored[p], "network", OPTIONS, gate) for p in variants}

    comparable = len(names) > 1 and len({e.group for e in prepared}) >= LEAST_GROUPS
    if comparable and (gate or len(variants) > 1):
        comparisons = compared()
    else:
        comparisons = {variants[-1]: HeldOutComparison([], "network", OPTIONS, gate)}
    permute = max(comparisons, key=lambda p: comparisons[p].quality)
    best = comparisons[permute]
    module: GradientAdaptation | None = None
    history: list[dict[str, float]] = []
    if needed or any(best.used):
        module, history = _train(untrained(), prepared, settings, permute=permute)
    return Trained(module, best.used, permute, best.reports, history)


@dataclass(frozen=True)
class _Training:
    """Hold a network, what it is trained on, and whether with permuted features."""

    module: GradientAdaptation
    prepared: Sequence[PreparedEpisode]
    permute: bool


def _train_for_held_out(trainings: Sequence[_Training], settings: TrainingSettings) -> None:
    """Train networks in place, together where the settings allow it."""
    if _can_be_stacked(trainings[0].module, settings):
        _train_together(trainings, settings)
        return
    for training in trainings:
        _train(training.module, training.prepared, settings, permute=training.permute)


def _work_of(trainings: Sequence[_Training], settings: TrainingSettings) -> float:
    """Return the work of an episode of these trainings, which count those of the longest."""
    if not _can_be_stacked(trainings[0].module, settings):
        return 1.0
    sizes = [len(training.prepared) for training in trainings]
    return TOGETHER * sum(sizes) / max(sizes)


def _can_be_stacked(module: GradientAdaptation, settings: TrainingSettings) -> bool:
    """Return whether networks can be trained together: not with any settings of the user."""
    own = [name for name in settings.skorch if not name.startswith("optimizer__")]
    own += [name for name in settings.skorch if name.startswith("optimizer__param_groups")]
    plain = settings.accelerator is None and not settings.adversarial_eps and not own
    return plain and module.algorithm != "reptile"


def _train(
    module: GradientAdaptation,
    prepared: Sequence[PreparedEpisode],
    settings: TrainingSettings,
    *,
    permute: bool,
) -> tuple[GradientAdaptation, list[dict[str, float]]]:
    """Train on prepared episodes, each once an epoch; return the module in float64."""
    usual = {} if "optimizer" in settings.skorch else _OPTIMIZER
    settings = settings.with_defaults(criterion=PairwiseLoss, **usual)
    draw = _drawing(_Training(module, prepared, permute), settings.seed)
    data = EpisodeDataset(draw, len(prepared))
    module, history = train_episodic(
        module, data, None, settings.one_cycle(len(prepared), clip=_MOST_GRADIENT)
    )
    return module.double().eval(), history


def _train_together(trainings: Sequence[_Training], settings: TrainingSettings) -> None:
    """Train networks in place, each as :func:`_train` would, but in one pass of torch."""
    # the loss that is shown is that of the first, which is to take part in every step
    trainings = sorted(trainings, key=lambda training: -len(training.prepared))
    sizes = [len(training.prepared) for training in trainings]
    draws = [_drawing(training, settings.seed) for training in trainings]
    filling = filler(trainings[0].prepared[0].episode)

    def draw(epoch: int, index: int) -> list[Episode]:
        return [
            of_one(epoch, index) if index < size else filling
            for of_one, size in zip(draws, sizes, strict=True)
        ]

    settings = settings.with_defaults(
        criterion=StackedPairwiseLoss,
        iterator_train__collate_fn=StackedCollate(settings.dtype),
        optimizer__param_groups=[(f"networks.{i}.*", {}) for i in range(len(trainings))],
        **_OPTIMIZER,
    ).one_cycle(sizes, GroupClipping(_MOST_GRADIENT))
    stack = StackedAdaptation([training.module for training in trainings])
    train_episodic(stack, EpisodeDataset(draw, max(sizes)), None, settings)
    stack.double().eval()


def _drawing(training: _Training, seed: int) -> Callable[[int, int], Episode]:
    """Return what draws the episodes of a training, a pure function of epoch and index."""
    prepared, n_features = training.prepared, training.module.learner.n_features

    @lru_cache(maxsize=1)
    def order_of(epoch: int) -> NDArray[np.intp]:
        return np.random.default_rng([seed, epoch]).permutation(len(prepared))

    def draw(epoch: int, index: int) -> Episode:
        episode = prepared[order_of(epoch)[index]].episode
        if not training.permute:
            return episode
        return permuted_features(episode, n_features, np.random.default_rng([seed, epoch, index]))

    return draw
