"""Whether held-out tasks favour a network that adapts over the closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ._exercises import Exercise
from ._inner_loop import GradientAdaptation
from ._labels import ANOMALOUS, NORMAL
from ._net import collate_episodes
from ._statistics import column_aucs

Array = NDArray[np.float64]

REGIMES = ("unlabelled", "labelled")
LEAST_GROUPS = 3
_JUDGED_AT_ONCE = 32
_COMPARED = ("closed form", "adapted", "not adapted", "swapped support", "permuted labels")


@dataclass(frozen=True)
class Judged:
    """AUCs of one held-out episode, in the order of ``_COMPARED``."""

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
                shown = zip(_COMPARED, aucs, strict=True)
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


def falls_behind(judged: Sequence[Judged]) -> bool:
    """Whether a network is behind the closed form on episodes of one fold and regime."""
    gains = [aucs[1] - aucs[0] for _, aucs in _by_group(judged)]
    return bool(np.mean(gains) < 0)


def _approved(means: Sequence[tuple[int, Array]]) -> bool:
    if len(means) < LEAST_GROUPS:
        return False
    folds = np.array([fold for fold, _ in means])
    gain = np.array([aucs[1] - aucs[0] for _, aucs in means])
    clear = gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain))
    return bool(clear and all(gain[folds == fold].mean() >= 0 for fold in set(folds)))


def judge(module: GradientAdaptation, exercises: Sequence[Exercise], fold: int) -> list[Judged]:
    """AUCs of a network, which never saw a fold of tasks, on the exercises of that fold."""
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
    shuffled = np.array([permuted_labels(labels) for labels in y.numpy()])
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


def permuted_labels(y: NDArray[Any]) -> NDArray[Any]:
    """Labels of a support dealt out anew among its own rows."""
    known = np.flatnonzero((y == NORMAL) | (y == ANOMALOUS))
    shuffled = y.copy()
    shuffled[known] = np.random.default_rng(0).permutation(y[known])
    return shuffled
