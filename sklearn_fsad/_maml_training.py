"""Meta-training of a network that gradient steps adapt; whether held-out tasks approve of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.callbacks import GradientNormClipping, LRScheduler
from torch.optim.lr_scheduler import OneCycleLR

from ._description import NetworkView, anchored, with_injected
from ._episodes import Episode
from ._inner_loop import GradientAdaptation
from ._labels import ANOMALOUS, NORMAL
from ._losses import PairwiseLoss
from ._mix_training import Observation
from ._mixing import EvidenceMix
from ._net import EpisodeDataset, collate_episodes, train_episodic
from ._statistics import column_aucs

Array = NDArray[np.float64]

_GATE_FOLDS = 3
_LEAST_GROUPS = 3
_JUDGED_AT_ONCE = 32
REGIMES = ("unlabelled", "labelled")
_SCORES = ("closed form", "adapted", "not adapted", "swapped support", "permuted labels")


@dataclass(frozen=True)
class Exercise:
    """An episode as the network sees it.

    Attributes
    ----------
    fold : int
        Fold of its task.
    group : int
        Number of the group of siblings that its task belongs to.
    episode : Episode
        Its rows described.
    closed : ndarray of shape (n_query,)
        What the closed form, which never saw the fold, says of the queries.
    """

    fold: int
    group: int
    episode: Episode
    closed: Array


def exercise(
    observation: Observation, mix: EvidenceMix, view: NetworkView, residual: bool
) -> Exercise:
    """An episode as the network sees it, the closed form being a mix of evidence."""
    raw, calibration = observation.raw, observation.support
    support, query, injected = map(
        calibration.standardise, (calibration.left_out, observation.query, observation.injected)
    )
    weights = mix.weights(support, raw.support_y)
    features = view.features(raw.support_X, raw.support_y)
    parts = [
        (features.support, support),
        (features.transform(observation.injected_X), injected),
        (features.transform(raw.query_X), query),
    ]
    described = [anchored(*part, weights) if residual else part[0] for part in parts]
    episode = replace(
        raw,
        support_X=np.concatenate(described[:2]),
        support_y=with_injected(raw.support_y, len(injected)),
        query_X=described[2],
    )
    return Exercise(observation.fold, observation.group, episode, query @ weights)


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
    variants = (False, True) if augment == "auto" else (bool(augment),)

    def trained(part: Sequence[Exercise], permute: bool, **more: Any) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = new_module()
        return _train(module, part, permute=permute, seed=seed, **{**net_params, **more})

    def judged(permute: bool) -> Verdict:
        outcome: list[Judged] = []
        for fold in sorted(set(folds)):
            rest = [e for e, f in zip(exercises, folds, strict=True) if f != fold]
            held_out = [e for e, f in zip(exercises, folds, strict=True) if f == fold]
            module, _ = trained(rest, permute, verbose=0, callbacks=None)
            outcome += _judge(module, held_out, fold)
        return Verdict(outcome, gate)

    comparable = len(set(folds)) > 1 and len({e.group for e in exercises}) >= _LEAST_GROUPS
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


def permuted_features(episode: Episode, n_features: int, rng: np.random.Generator) -> Episode:
    """The episode with its features in another order and with other signs.

    Which sensor moves, and to which side, then says nothing: a network cannot memorise it.
    """
    order = rng.permutation(n_features)
    sign = rng.choice([-1.0, 1.0], size=n_features)

    def view(Z: Array) -> Array:
        return np.concatenate([Z[:, order] * sign, Z[:, n_features:]], axis=1)

    return Episode(
        episode.task,
        view(episode.support_X),
        episode.support_y,
        view(episode.query_X),
        episode.query_y,
    )


# --- judging --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Judged:
    """AUCs of one held-out episode, in the order of ``_SCORES``."""

    fold: int
    group: int
    regime: int
    aucs: Array


class Verdict:
    """What held-out episodes say of a network, group by group of sibling tasks.

    A network is used where it beats the closed form by more than one standard error over at least
    three groups, and in no fold falls behind it: what is learned on siblings often fails others,
    and two groups that were left out tell little about a third.
    """

    def __init__(self, judged: Sequence[Judged], gate: bool) -> None:
        self.report: list[dict[str, Any]] = []
        approvals, quality = [], []
        for regime, name in enumerate(REGIMES):
            means = _by_group([j for j in judged if j.regime == regime])
            approved = not gate or _approved(means)
            approvals.append(approved)
            if means:
                aucs = np.mean([auc for _, auc in means], axis=0)
                quality.append(aucs[1] if approved else aucs[0])
                shown = zip(_SCORES, aucs, strict=True)
                self.report.append(
                    {"regime": name, "used": "network" if approved else "closed form"}
                    | {score: round(float(auc), 4) for score, auc in shown if np.isfinite(auc)}
                )
        self.approved = (approvals[0], approvals[1])
        self.quality = float(np.mean(quality)) if quality else 0.0


def _by_group(judged: Sequence[Judged]) -> list[tuple[int, Array]]:
    """(fold, mean AUCs) of each group."""
    groups: dict[tuple[int, int], list[Array]] = {}
    for j in judged:
        groups.setdefault((j.fold, j.group), []).append(j.aucs)
    return [(fold, np.mean(aucs, axis=0)) for (fold, _), aucs in groups.items()]


def _approved(means: Sequence[tuple[int, Array]]) -> bool:
    if len(means) < _LEAST_GROUPS:
        return False
    folds = np.array([fold for fold, _ in means])
    gain = np.array([aucs[1] - aucs[0] for _, aucs in means])
    clear = gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain))
    return bool(clear and all(gain[folds == fold].mean() >= 0 for fold in set(folds)))


def _judge(module: GradientAdaptation, exercises: Sequence[Exercise], fold: int) -> list[Judged]:
    judged = []
    for regime in range(len(REGIMES)):
        part = [
            e
            for e in exercises
            if int((e.episode.support_y == 1).any()) == regime
            and 0 < (e.episode.query_y == 1).sum() < len(e.episode.query_y)
        ]
        for start in range(0, len(part), _JUDGED_AT_ONCE):
            some = part[start : start + _JUDGED_AT_ONCE]
            for exercise, scores in zip(some, _all_scores(module, some, regime), strict=True):
                e = exercise.episode
                columns = np.column_stack([exercise.closed, scores[: len(e.query_y)]])
                judged.append(
                    Judged(fold, exercise.group, regime, column_aucs(columns, e.query_y == 1))
                )
    return judged


def _all_scores(module: GradientAdaptation, exercises: Sequence[Exercise], regime: int) -> Array:
    """Scores adapted, not adapted, on another support, on other labels: (n_episodes, m, 4)."""
    episodes = [e.episode for e in exercises]
    parts, _ = collate_episodes(episodes, torch.float64)
    X, y, query = parts["support_X"], parts["support_y"], parts["query_X"]
    tasks = np.array([e.task for e in episodes])
    other = _positions_of_others(tasks)
    shuffled = np.array([_permuted_labels(labels) for labels in y.numpy()])
    with torch.no_grad():
        columns = [module(X, y, query), module.unadapted(query)]
        unknown = torch.full_like(columns[0], torch.nan)
        columns.append(
            module(X[other], y[other], query) if (tasks[other] != tasks).all() else unknown
        )
        columns.append(module(X, torch.from_numpy(shuffled), query) if regime else unknown)
    return torch.stack(columns, -1).numpy()


def _positions_of_others(tasks: NDArray[np.intp]) -> NDArray[np.intp]:
    """For each episode the next one of another task, or itself if there is none."""
    n = len(tasks)
    following = [np.roll(np.arange(n), -i) for i in range(n)]
    return np.array([next((j for j in row if tasks[j] != tasks[i]), i)
                     for i, row in enumerate(following)])  # fmt: skip


def _permuted_labels(y: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels of a support dealt out anew among its own rows."""
    known = np.flatnonzero((y == NORMAL) | (y == ANOMALOUS))
    shuffled = y.copy()
    shuffled[known] = np.random.default_rng(0).permutation(y[known])
    return shuffled
