"""Train and fine-tune the network that weighs evidence about any table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback, GradientNormClipping

from ..._evidence.episodes import FoldedEvidence, Observation, observe, typical_spread
from ..._evidence.kinds import POOLED, Evidence
from ..._evidence.pooled import Pooled
from ..._input.labels import ANOMALOUS
from ..._stats.ranking import clear_gain, column_aucs
from ..._training.batches import EpisodeDataset
from ..._training.held_out import (
    REGIMES,
    HeldOutEpisode,
    HeldOutReport,
    gain_error,
    group_means,
)
from ..._training.loop import train_episodic
from ..._training.losses import TopLoss
from ..._training.optimizers import AdamW
from ..._training.progress import expect_more, phase, phases
from ..._training.settings import TrainingSettings
from ..._typing import Array
from ...tasks._episodes import Episode, EpisodeSampler
from ...tasks._task_set import TaskSet
from .closed_form import KINDS, kinds_of, names_array
from .module import NET, ContextMix, arrays_of, module_of
from .representation import support_summary

N_FOLDS, _N_STAGES = 5, 3
_DRAWING_COST, _COST = 10.0, 0.25  # of drawing an episode and training on it


def described(observations: Sequence[Observation], typical: Array) -> list[Episode]:
    """Represent episodes by evidence and a summary of the support, as network input."""
    episodes = []
    for o in observations:
        raw, e = o.raw, o.episode(typical)
        facts = support_summary(raw.support_X, raw.support_y == ANOMALOUS, e.support_X)
        support, query = (
            np.column_stack([part, np.tile(facts, (len(part), 1))])
            for part in (e.support_X, e.query_X)
        )
        episodes.append(replace(e, support_X=support, query_X=query))
    return episodes


def kinds_with_pooled(arrays: Mapping[str, Array]) -> tuple[Evidence, ...]:
    """List the evidence of a state, and after it what is pooled over a family."""
    known = kinds_of(arrays)
    return known + tuple(e for e in POOLED.values() if e not in known)


def with_pooled(arrays: Mapping[str, Array], pooled: Pooled) -> dict[str, Array]:
    """Extend arrays by the evidence pooled over a family, with zero weights to start with."""
    kinds = kinds_with_pooled(arrays)
    more = len(kinds) - arrays["closed"].shape[-1]
    wider: dict[str, Any] = {
        name: np.pad(value, [(0, 0)] * (value.ndim - 1) + [(0, more)])
        for name, value in arrays.items()
        if name in ("closed", f"{NET}own", "typical_spread")
    }
    if f"{NET}kind" in arrays:
        wider[f"{NET}kind"] = np.pad(arrays[f"{NET}kind"], [(0, more), (0, 0)])
    if KINDS in arrays:
        wider[KINDS] = names_array(e.name for e in kinds)
    return {**arrays, **wider, **pooled.to_arrays()}


def train(
    module: ContextMix, episodes: Sequence[Episode], settings: TrainingSettings
) -> tuple[ContextMix, list[dict[str, float]]]:
    """Train a module in place on episodes, each once an epoch; in float32 while it trains."""
    if not settings.max_epochs:
        return module, []
    data = EpisodeDataset(lambda epoch, index: episodes[index], len(episodes))
    settings = settings.with_callbacks([("clip", GradientNormClipping(1.0))]).with_defaults(
        criterion=TopLoss,
        optimizer=AdamW,
        optimizer__weight_decay=1e-3,
        iterator_train__shuffle=True,
    )
    module, history = train_episodic(module.float().train(), data, None, settings)
    return module.double().eval(), history


@dataclass(frozen=True)
class FineTuned:
    """Hold a fine-tuned network and its held-out reports.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Arrays of the network that is used.
    reports : list of HeldOutReport
        Mean ROC AUC of each stage on held-out tasks, in each regime.
    history : list of dict
        Loss of each epoch up to the stage that is used.
    """

    arrays: dict[str, Array]
    reports: list[HeldOutReport]
    history: list[dict[str, float]]


def fine_tune(
    arrays: Mapping[str, Array],
    tasks: TaskSet,
    sampler: EpisodeSampler,
    n_episodes: int,
    settings: TrainingSettings,
) -> FineTuned:
    """Fine-tune a network on tasks, up to the stage that is best on held-out tasks.

    Tasks that share their columns also have evidence pooled over tasks. The tasks are held out in
    five folds; after each third of the epochs the network scores them, with and without labelled
    anomalies. The stage that is better than the given network by more than one standard error over
    groups is trained on all tasks and used.
    """
    folds = tasks.folds(N_FOLDS, settings.seed)
    shared = tasks.n_features is not None and len(folds) > 1
    kinds = kinds_with_pooled(arrays) if shared else kinds_of(arrays)
    evidence = FoldedEvidence(tasks, kinds, "none", None)
    expect_more(n_episodes * (_DRAWING_COST + _COST * settings.max_epochs * len(folds)))
    observations = observe(evidence, sampler, n_episodes, folds, cost=_DRAWING_COST)
    pooled = evidence.pooled()
    start = arrays if pooled is None else with_pooled(arrays, pooled)
    typical = typical_spread(observations, evidence.evidence)
    tuning = _Tuning(
        start,
        observations,
        described(observations, typical),
        described(observations, start.get("typical_spread", typical)),
        settings,
    )
    held_out = tuning.held_out() if len(folds) > 1 else []
    stage, used = _choose(held_out)
    modules, history = tuning.train_on_all() if stage else ([], [])
    stage = min(stage, len(modules))  # fewer where it was cut short
    reports = _reports(held_out, stage, used)
    if not stage:
        return FineTuned(dict(arrays), reports, [])
    departs = np.tile(np.array(used), (2, 1)).astype(np.float64)
    tuned = {} if pooled is None else pooled.to_arrays()
    tuned |= {**arrays_of(modules[stage - 1], departs), "typical_spread": typical}
    return FineTuned(tuned, reports, history[: tuning.stages[stage - 1]])


@dataclass(frozen=True)
class _Tuning:
    """Fine-tune one network on all episodes, or without those of a fold.

    Attributes
    ----------
    start : mapping of str to ndarray
        Arrays of that network.
    observations : sequence of Observation
        Evidence about the rows of the episodes.
    episodes, before : sequence of Episode
        The represented episodes, for the fine-tuned network and for the given one.
    settings : TrainingSettings
        Settings of the training on all episodes.
    """

    start: Mapping[str, Array]
    observations: Sequence[Observation]
    episodes: Sequence[Episode]
    before: Sequence[Episode]
    settings: TrainingSettings

    @property
    def stages(self) -> list[int]:
        """Epochs after which the network is scored."""
        last = self.settings.max_epochs
        return sorted({-(-last * i // _N_STAGES) for i in range(1, _N_STAGES + 1)} - {0})

    def train(
        self, positions: Iterable[int], settings: TrainingSettings
    ) -> tuple[list[ContextMix], list[dict[str, float]]]:
        """Train on some episodes; return the network after each stage, and the history."""
        module = module_of(self.start, departs=None)
        snapshots = _Snapshots(module, self.stages)
        module.own.requires_grad_(True)
        settings = settings.with_callbacks([("snapshots", snapshots)])
        _, history = train(module, [self.episodes[i] for i in positions], settings)
        return [module_of(taken) for taken in snapshots.taken_], history

    def train_on_all(self) -> tuple[list[ContextMix], list[dict[str, float]]]:
        """Train on all episodes; return the same."""
        with phase("training", _COST):
            return self.train(range(len(self.episodes)), self.settings)

    def held_out(self) -> list[HeldOutEpisode]:
        """Score the episodes of each fold by the given network and by stages trained without it."""
        if not self.stages:
            return []
        baseline, scored = module_of(self.start), []
        fold = np.array([o.fold for o in self.observations])
        for f in phases(sorted(set(fold)), "held-out tasks, fold", _COST):
            candidates, _ = self.train(
                np.flatnonzero(fold != f).tolist(), self.settings.for_held_out()
            )
            for i in np.flatnonzero(fold == f).tolist():
                e = self.episodes[i]
                if not 0 < (e.query_y == 1).sum() < len(e.query_y):
                    continue
                scores = [_scores(baseline, self.before[i])]
                scores += [_scores(candidate, e) for candidate in candidates]
                regime = int((e.support_y == ANOMALOUS).any())
                aucs = column_aucs(np.column_stack(scores), e.query_y == 1)
                scored.append(HeldOutEpisode(self.observations[i].group, regime, aucs, fold=f))
        return scored


class _Snapshots(Callback):
    """Copy the arrays of a network after given epochs."""

    def __init__(self, module: ContextMix, epochs: Sequence[int]) -> None:
        self.module, self.epochs = module, epochs
        self.taken_: list[dict[str, Array]] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Copy the arrays, if the epoch is one of the given ones."""
        if len(net.history) in self.epochs:
            self.taken_.append(arrays_of(self.module))


def _scores(module: ContextMix, e: Episode) -> Array:
    with torch.no_grad():
        parts = (torch.from_numpy(p) for p in (e.support_X, e.support_y, e.query_X))
        return module(*parts).numpy()


def _choose(held_out: Sequence[HeldOutEpisode]) -> tuple[int, tuple[bool, bool]]:
    """Choose the stage, 0 for none, and whether to use it without and with labelled anomalies."""
    means = {r: group_means([e for e in held_out if e.regime == r])[1] for r in (0, 1)}
    clear = {r: clear_gain(aucs[:, 1:] - aucs[:, :1]) for r, aucs in means.items() if len(aucs)}
    best = int(np.argmax(sum(np.maximum(c, 0.0) for c in clear.values())))
    unlabelled, labelled = (r in clear and bool(clear[r][best] > 0) for r in (0, 1))
    return (best + 1 if unlabelled or labelled else 0), (unlabelled, labelled)


def _reports(
    held_out: Sequence[HeldOutEpisode], stage: int, used: tuple[bool, bool]
) -> list[HeldOutReport]:
    """Report the mean ROC AUC of each stage on held-out tasks, if any, and the stage used."""
    reports = []
    for regime, name in enumerate(REGIMES):
        _, aucs = group_means([e for e in held_out if e.regime == regime])
        if len(aucs):
            options = ["before", *(f"stage {i}" for i in range(1, aucs.shape[1]))]
            roc_auc = dict(zip(options, map(float, aucs.mean(axis=0)), strict=True))
            now = stage if used[regime] else 0
            error = gain_error(aucs[:, now] - aucs[:, 0]) if now else None
            report = HeldOutReport("fine-tuning", name, options[now], roc_auc, standard_error=error)
            reports.append(report)
    return reports
