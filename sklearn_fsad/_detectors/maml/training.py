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
from ..._training.held_out import HeldOutComparison, HeldOutEpisode, HeldOutReport
from ..._training.loop import train_episodic
from ..._training.losses import PairwiseLoss
from ..._training.optimizers import Adam
from ..._training.progress import phases
from ..._training.seeding import torch_seed
from ..._training.settings import TrainingSettings
from ...tasks._episodes import Episode
from .episodes import PreparedEpisode, permuted_features
from .held_out import OPTIONS, score_held_out
from .inner_loop import GradientAdaptation

_GATE_FOLDS = 3
_OPTIMIZER = {"optimizer": Adam, "optimizer__fused": True}


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
    variants = (False, True) if augment == "auto" else (bool(augment),)

    def trained(part: Sequence[PreparedEpisode], permute: bool, how: TrainingSettings) -> Any:
        with torch_seed(settings.seed):
            module = new_module()
        return _train(module, part, how, permute=permute)

    def compared(permute: bool) -> HeldOutComparison:
        scored: list[HeldOutEpisode] = []
        name = "held-out tasks, permuted features, fold" if permute else "held-out tasks, fold"
        for fold in phases(sorted(set(folds)), name):
            rest = [e for e, f in zip(prepared, folds, strict=True) if f != fold]
            held_out = [e for e, f in zip(prepared, folds, strict=True) if f == fold]
            module, _ = trained(rest, permute, settings.for_held_out())
            scored += score_held_out(module, held_out, fold)
        return HeldOutComparison(scored, "network", OPTIONS, gate)

    comparable = len(set(folds)) > 1 and len({e.group for e in prepared}) >= LEAST_GROUPS
    if comparable and (gate or len(variants) > 1):
        comparisons = {permute: compared(permute) for permute in variants}
    else:
        comparisons = {variants[-1]: HeldOutComparison([], "network", OPTIONS, gate)}
    permute = max(comparisons, key=lambda p: comparisons[p].quality)
    best = comparisons[permute]
    module, history = None, []
    if needed or any(best.used):
        module, history = trained(prepared, permute, settings)
    return Trained(module, best.used, permute, best.reports, history)


def _train(
    module: GradientAdaptation,
    prepared: Sequence[PreparedEpisode],
    settings: TrainingSettings,
    *,
    permute: bool,
) -> tuple[GradientAdaptation, list[dict[str, float]]]:
    """Train on prepared episodes, each once an epoch; return the module in float64."""
    n_features, seed = module.learner.n_features, settings.seed

    @lru_cache(maxsize=1)
    def order_of(epoch: int) -> NDArray[np.intp]:
        return np.random.default_rng([seed, epoch]).permutation(len(prepared))

    def draw(epoch: int, index: int) -> Episode:
        episode = prepared[order_of(epoch)[index]].episode
        if not permute:
            return episode
        return permuted_features(episode, n_features, np.random.default_rng([seed, epoch, index]))

    usual = {} if "optimizer" in settings.skorch else _OPTIMIZER
    settings = settings.with_defaults(criterion=PairwiseLoss, **usual)
    data = EpisodeDataset(draw, len(prepared))
    module, history = train_episodic(
        module, data, None, settings.one_cycle(len(prepared), clip=5.0)
    )
    return module.double().eval(), history
