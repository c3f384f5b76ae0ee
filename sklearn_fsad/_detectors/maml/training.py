"""Meta-train networks that gradient steps adapt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._stats.ranking import LEAST_GROUPS
from ..._training.batches import EpisodeDataset
from ..._training.groups import GroupClipping
from ..._training.held_out import HeldOutCorrection, HeldOutReport
from ..._training.loop import train_episodic
from ..._training.losses import PairwiseLoss
from ..._training.optimizers import Adam
from ..._training.progress import phase, phases
from ..._training.seeding import torch_seed
from ..._training.settings import TrainingSettings
from ..._training.stacked import StackedCollate, filler
from ..._typing import Mask
from ...tasks._episodes import Episode
from .episodes import PreparedEpisode, permuted_features
from .held_out import OPTIONS, score_held_out
from .inner_loop import GradientAdaptation
from .stacked import StackedAdaptation, StackedPairwiseLoss

_N_REPEATS, _N_PARTS = 2, 3  # of the division of groups into parts, one of which is held out
_N_NETWORKS = _N_REPEATS * _N_PARTS
_OPTIMIZER: dict[str, Any] = {"optimizer": Adam, "optimizer__fused": True}
_MOST_GRADIENT = 5.0  # norm
_TOGETHER = 0.75  # work of learning from an episode, of that of a network that is trained alone


@dataclass(frozen=True)
class Trained:
    """Hold trained networks and the result of their held-out comparison.

    Attributes
    ----------
    networks : sequence of GradientAdaptation
        The networks, in float64; none where there is nothing to tell from whether to use any.
    sizes : tuple of two float
        Share of their correction to use without and with labelled anomalies.
    permuted : bool
        Whether their training permuted the features.
    reports : list of HeldOutReport
        ROC AUC in each regime of the closed form, with the chosen share of the correction and with
        all of it; of the networks not adapted, and adapted to the support of another task and to
        permuted labels.
    history : list of dict
        Loss of each epoch, of the first network.
    """

    networks: Sequence[GradientAdaptation]
    sizes: tuple[float, float]
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
    """Train networks, and choose on tasks held out from each how much of their correction to use.

    Each of six networks is trained without a third of the groups of tasks; with fewer than three
    groups, on all of them.

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
        Whether held-out tasks choose a share of the correction; otherwise all of it is used, and
        one network is trained on all tasks unless ``augment`` is to be chosen.
    needed : bool
        Whether networks are trained even where there is one group of tasks alone.
    settings : TrainingSettings
        Settings of the trainings.
    """
    groups = np.array([e.group for e in prepared])
    n_groups = len(np.unique(groups))
    chooses = augment == "auto" and n_groups >= LEAST_GROUPS
    variants = (False, True) if chooses else (bool(augment),)
    if not gate and not chooses:
        module, history = _train(
            _seeded(new_module, settings.seed), prepared, settings, variants[0]
        )
        return Trained([module], (1.0, 1.0), variants[0], [], history)
    if n_groups < 2 and not needed:
        return Trained([], (0.0, 0.0), False, [], [])
    unseen = held_out_of_each(groups, settings.seed)
    trainings = [
        Training(
            _seeded(new_module, settings.seed + i),
            [e for e, held_out in zip(prepared, out, strict=True) if not held_out],
            permute,
        )
        for permute in variants
        for i, out in enumerate(unseen)
    ]
    history = train_all(trainings, settings)
    networks = {p: [t.module for t in trainings if t.permute == p] for p in variants}
    compared = {
        p: HeldOutCorrection(score_held_out(networks[p], unseen, prepared), "network", OPTIONS)
        for p in variants
    }
    permute = max(compared, key=lambda p: compared[p].quality)
    best = compared[permute]
    return Trained(
        networks[permute], best.sizes if gate else (1.0, 1.0), permute, best.reports, history
    )


def work_of_training(augment: str | bool, gate: bool, n_groups: int) -> float:
    """Return the work of :func:`learn_to_adapt` with an episode, in trainings of one network."""
    chooses = augment == "auto" and n_groups >= LEAST_GROUPS
    if not gate and not chooses:
        return 1.0
    share = 1.0 - 1.0 / _N_PARTS if n_groups >= LEAST_GROUPS else 1.0
    return _N_NETWORKS * share * _TOGETHER * (1 + chooses)


def held_out_of_each(groups: NDArray[np.intp], seed: int) -> list[Mask]:
    """Choose the episodes that each network is not trained on: (n_episodes,) each.

    The groups are divided into three parts, twice, at random; none is held out of fewer than three.
    """
    names = np.unique(groups)
    if len(names) < LEAST_GROUPS:
        return [np.zeros(len(groups), dtype=bool)] * _N_NETWORKS
    rng, unseen = np.random.default_rng(seed), []
    for _ in range(_N_REPEATS):
        order = rng.permutation(names)
        unseen += [np.isin(groups, order[part::_N_PARTS]) for part in range(_N_PARTS)]
    return unseen


def _seeded(new_module: Callable[[], GradientAdaptation], seed: int) -> GradientAdaptation:
    with torch_seed(seed):
        return new_module()


@dataclass(frozen=True)
class Training:
    """Hold a network, what it is trained on, and whether with permuted features."""

    module: GradientAdaptation
    prepared: Sequence[PreparedEpisode]
    permute: bool


def train_all(trainings: Sequence[Training], settings: TrainingSettings) -> list[dict[str, float]]:
    """Train networks in place, together where the settings allow it; return the first's history."""
    sizes = [len(training.prepared) for training in trainings]
    if _can_be_stacked(trainings[0].module, settings):
        with phase("training", _TOGETHER * sum(sizes) / max(sizes)):
            return _train_together(trainings, settings)
    # one that is cut short would leave others untrained
    settings = replace(settings, keep_on_interrupt=False)
    histories = [
        _train(training.module, training.prepared, settings, training.permute)[1]
        for training in phases(trainings, "training, network")
    ]
    return histories[0]


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
    permute: bool,
) -> tuple[GradientAdaptation, list[dict[str, float]]]:
    """Train on prepared episodes, each once an epoch; return the module in float64."""
    usual = {} if "optimizer" in settings.skorch else _OPTIMIZER
    settings = settings.with_defaults(criterion=PairwiseLoss, **usual)
    draw = _drawing(Training(module, prepared, permute), settings.seed)
    data = EpisodeDataset(draw, len(prepared))
    module, history = train_episodic(
        module, data, None, settings.one_cycle(len(prepared), clip=_MOST_GRADIENT)
    )
    return module.double().eval(), history


def _train_together(
    trainings: Sequence[Training], settings: TrainingSettings
) -> list[dict[str, float]]:
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
    _, history = train_episodic(stack, EpisodeDataset(draw, max(sizes)), None, settings)
    stack.double().eval()
    return history


def _drawing(training: Training, seed: int) -> Callable[[int, int], Episode]:
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
