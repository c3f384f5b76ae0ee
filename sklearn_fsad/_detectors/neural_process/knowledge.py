"""What past tasks teach a neural process beside the weights of its network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..._input.labels import ANOMALOUS
from ..._stats.moments import is_embedding
from ..._stats.ranking import column_aucs
from ..._training.held_out import LEAST_GROUPS, Judged, Verdict, falls_behind
from ..._typing import Array
from ...tasks._episodes import Episode, EpisodeSampler
from ...tasks._task_set import TaskSet
from .closed_forms import Prior
from .module import NeuralProcess, separation
from .representation import MaskedSupport

N_FOLDS = 3
_PRIOR_ROWS = (0.0, 2.0, 8.0, 32.0, 128.0)
_MOST_RANK = 64
_EPISODES_A_TASK, _MOST_EPISODES = 8, 192
_MOST_WIDE_EPISODES = 48  # which take long


@dataclass(frozen=True)
class Knowledge:
    """What closed forms of one task borrow from other tasks.

    Attributes
    ----------
    factor : ndarray of shape (d, r)
    rest : float
        Their pooled covariance is ``factor factor' + rest I``.
    prior_rows : float
        Rows of a support that it counts for.
    weights : ndarray of shape (d,)
        What the term of each feature counts.
    """

    factor: Array
    rest: float
    prior_rows: float
    weights: Array

    @property
    def prior(self) -> Prior | None:
        """The prior of the linear anchor."""
        if self.prior_rows == 0:
            return None
        return Prior(torch.tensor(self.factor), self.rest, self.prior_rows)

    def to_arrays(self) -> dict[str, Array]:
        """Named arrays for a :class:`MetaState`."""
        arrays = {"knowledge.weights": self.weights}
        if self.prior_rows:
            arrays |= {
                "knowledge.factor": self.factor,
                "knowledge.rest": np.array(self.rest),
                "knowledge.prior_rows": np.array(self.prior_rows),
            }
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Knowledge | None:
        """What a state's arrays hold of it."""
        if "knowledge.weights" not in arrays:
            return None
        weights = arrays["knowledge.weights"]
        if "knowledge.factor" not in arrays:
            return cls(np.empty((len(weights), 0)), 0.0, 0.0, weights)
        rest, rows = (float(arrays[f"knowledge.{name}"]) for name in ("rest", "prior_rows"))
        return cls(arrays["knowledge.factor"], rest, rows, weights)


Describe = Callable[[Array, NDArray[np.int8]], MaskedSupport]


def pooled_covariance(normals: Sequence[Array], describe: Describe) -> tuple[Array, float]:
    """Factor and rest of the covariance within tasks, each in its own units: (d, r), scalar."""
    parts = []
    for rows in normals:
        Z = describe(rows, np.zeros(len(rows), dtype=np.int8)).support
        values = Z[:, : Z.shape[1] // 3]
        parts.append((values - values.mean(axis=0)) / np.sqrt(len(rows) * len(normals)))
    centred = np.concatenate(parts)
    d = centred.shape[1]
    _, roots, basis = np.linalg.svd(centred, full_matrices=False)
    r = min(_MOST_RANK, d, len(roots))
    rest = float((roots[r:] ** 2).sum() / max(d - r, 1))
    kept = np.sqrt(np.maximum(roots[:r] ** 2 - rest, 0.0))
    return basis[:r].T * kept, rest


@dataclass(frozen=True)
class Judge:
    """Episodes of past tasks with anomalies, and in which fold each is held out."""

    episodes: list[Episode]
    folds: list[list[int]]
    groups: list[int]

    @classmethod
    def from_tasks(cls, tasks: TaskSet, sampler: EpisodeSampler, seed: int) -> Judge:
        """Draw episodes evenly from the tasks that have anomalies."""
        wide = is_embedding(tasks[0].X.shape[1])
        most = _MOST_WIDE_EPISODES if wide else _MOST_EPISODES
        n = min(_EPISODES_A_TASK * len(sampler.drawable), most)
        names = list(dict.fromkeys(tasks.groups))
        return cls(
            [sampler.episode(0, i) for i in range(n)],
            tasks.folds(N_FOLDS, seed),
            [names.index(group) for group in tasks.groups],
        )

    @property
    def is_fair(self) -> bool:
        """Whether there are enough groups of tasks with anomalies to tell which rival is better."""
        return len({self.groups[e.task] for e in self.episodes}) >= LEAST_GROUPS

    def fold_of(self, episode: Episode) -> int:
        """The fold in which its task is held out."""
        return next(f for f, fold in enumerate(self.folds) if episode.task in fold)

    def rest_of(self, fold: int) -> list[int]:
        """Positions of the tasks outside a fold."""
        return [i for f, part in enumerate(self.folds) if f != fold for i in part]

    def terms(self, module: NeuralProcess, describe: Describe, fold: int) -> list[Array]:
        """Terms of the queries of a fold's episodes: (m, d) each."""
        terms = []
        for e in self.of_fold(fold):
            normal = e.support_y != ANOMALOUS
            described = describe(e.support_X[normal], e.support_y[normal])
            with torch.no_grad():
                parts = [torch.from_numpy(p) for p in (described.support, described.support_y)]
                query = torch.from_numpy(described.transform(e.query_X))
                terms.append(module.terms(module.adapt(*parts), query).numpy())
        return terms

    def of_fold(self, fold: int) -> list[Episode]:
        """The episodes of a fold."""
        return [e for e in self.episodes if self.fold_of(e) == fold]

    def compared(self, fold: int, first: list[Array], second: list[Array]) -> list[Judged]:
        """Compare scores of two rivals on the episodes of a fold: the first is the sitting."""
        judged = []
        for e, *both in zip(self.of_fold(fold), first, second, strict=True):
            aucs = column_aucs(np.column_stack(both), e.query_y == ANOMALOUS)
            aucs = np.concatenate([aucs, np.full(3, np.nan)])
            judged.append(Judged(fold, self.groups[e.task], 0, aucs))
        return judged


def feature_weights(episodes: Sequence[Episode], terms: Sequence[Array]) -> Array:
    """What the term of each feature counts: by how far anomalies moved it in past tasks."""
    moved = [separation(t, e.query_y == ANOMALOUS) for e, t in zip(episodes, terms, strict=True)]
    return np.mean(moved, axis=0)


def learn_knowledge(
    tasks: TaskSet,
    judge: Judge,
    describe: Describe,
    new_module: Callable[[Knowledge], NeuralProcess],
    weigh: bool,
) -> tuple[Knowledge, dict[int, Knowledge], dict[str, Any]]:
    """Choose on held-out tasks what to borrow from others.

    Returns
    -------
    knowledge : Knowledge
        From all tasks.
    without : dict of int to Knowledge
        From all tasks but those of each fold.
    report : dict
        Mean held-out AUC of each choice.
    """

    def pooled(positions: Sequence[int]) -> tuple[Array, float]:
        return pooled_covariance([tasks[i].normals for i in positions], describe)

    folds = [f for f in range(len(judge.folds)) if judge.of_fold(f)]
    covariance = {f: pooled(judge.rest_of(f)) for f in folds}
    everything = pooled(range(tasks.n_tasks))
    n_features = len(everything[0])
    equal = np.ones(n_features)
    by_rows: dict[float, dict[int, list[Array]]] = {}
    quality: dict[float, float] = {}
    for rows in _PRIOR_ROWS:
        by_rows[rows] = {
            f: judge.terms(new_module(Knowledge(*covariance[f], rows, equal)), describe, f)
            for f in folds
        }
        quality[rows] = float(np.mean([
            column_aucs(t.sum(axis=1)[:, None], e.query_y == ANOMALOUS)[0]
            for f in folds
            for e, t in zip(judge.of_fold(f), by_rows[rows][f], strict=True)
        ]))  # fmt: skip
    rows = max(quality, key=quality.__getitem__)
    report: dict[str, Any] = {"prior_rows": {str(k): round(v, 4) for k, v in quality.items()}}
    weights, weights_without = equal, dict.fromkeys(folds, equal)
    if weigh:
        every = {f: feature_weights(judge.of_fold(f), by_rows[rows][f]) for f in folds}
        others = {f: np.mean([every[g] for g in folds if g != f], axis=0) for f in folds}
        judged = []
        for f in folds:
            terms = by_rows[rows][f]
            judged += judge.compared(
                f, [t.sum(axis=1) for t in terms], [t @ others[f] for t in terms]
            )
        verdict = Verdict(judged, gate=True)
        report["weights"] = verdict.report
        if verdict.approved[0]:
            weights, weights_without = np.mean(list(every.values()), axis=0), others
    without = {f: Knowledge(*covariance[f], rows, weights_without[f]) for f in folds}
    return Knowledge(*everything, rows, weights), without, report


def network_verdict(
    judge: Judge,
    without: Mapping[int, Knowledge],
    describe: Describe,
    closed: Callable[[Knowledge], NeuralProcess],
    network: Callable[[Knowledge, Sequence[int]], NeuralProcess],
) -> Verdict:
    """Compare networks trained without each fold, and their closed forms, on its tasks.

    The first fold in which a network falls behind decides: the others are not trained.
    """
    judged: list[Judged] = []
    for fold, known in without.items():
        modules = closed(known), network(known, judge.rest_of(fold))
        scores = (
            [terms.sum(axis=1) for terms in judge.terms(module, describe, fold)]
            for module in modules
        )
        judged += judge.compared(fold, *scores)
        if falls_behind([j for j in judged if j.fold == fold]):
            break
    return Verdict(judged, gate=True)
