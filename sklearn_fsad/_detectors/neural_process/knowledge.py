"""Pool the covariance prior and feature weights over training tasks, and compare networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..._input.labels import ANOMALOUS
from ..._stats.moments import MOST_COLUMNS
from ..._stats.ranking import LEAST_GROUPS, column_aucs
from ..._training.held_out import (
    REGIMES,
    HeldOutComparison,
    HeldOutEpisode,
    HeldOutReport,
    is_behind,
)
from ..._training.progress import advance, phases
from ..._typing import Array
from ...tasks._episodes import Episode, EpisodeSampler
from ...tasks._task_set import TaskSet
from .closed_forms import CovariancePrior
from .module import NeuralProcess, separation
from .representation import MaskedRepresentation

N_FOLDS = 3
_PRIOR_ROWS = (0.0, 2.0, 8.0, 32.0, 128.0)
_MOST_RANK = 64
_EPISODES_A_TASK, _MOST_EPISODES = 8, 192
_MOST_WIDE_EPISODES = 48  # which take long


@dataclass(frozen=True)
class Knowledge:
    """Hold the covariance and feature weights that are pooled over tasks.

    Attributes
    ----------
    factor : ndarray of shape (d, r)
        Factor of the pooled covariance ``factor factor' + rest I``.
    rest : float
        Its level.
    prior_rows : float
        Number of rows of a support that it counts as.
    weights : ndarray of shape (d,)
        Weight of the term of each feature.
    """

    factor: Array
    rest: float
    prior_rows: float
    weights: Array

    @property
    def prior(self) -> CovariancePrior | None:
        """Covariance prior of the linear anchor, None without one."""
        if self.prior_rows == 0:
            return None
        return CovariancePrior(torch.tensor(self.factor), self.rest, self.prior_rows)

    def to_arrays(self) -> dict[str, Array]:
        """Return named arrays for a :class:`MetaState`."""
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
        """Read the knowledge in the arrays of a state, None without any."""
        if "knowledge.weights" not in arrays:
            return None
        weights = arrays["knowledge.weights"]
        if "knowledge.factor" not in arrays:
            return cls(np.empty((len(weights), 0)), 0.0, 0.0, weights)
        rest, rows = (float(arrays[f"knowledge.{name}"]) for name in ("rest", "prior_rows"))
        return cls(arrays["knowledge.factor"], rest, rows, weights)


Describe = Callable[[Array, NDArray[np.int8]], MaskedRepresentation]


def pooled_covariance(normals: Sequence[Array], describe: Describe) -> tuple[Array, float]:
    """Pool the covariance within tasks, each in own units, as factor (d, r) and level."""
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
class HeldOutTasks:
    """Hold episodes of past tasks with anomalies, and the folds in which they are held out."""

    episodes: list[Episode]
    folds: list[list[int]]
    groups: list[int]

    @classmethod
    def from_tasks(cls, tasks: TaskSet, sampler: EpisodeSampler, seed: int) -> HeldOutTasks:
        """Draw episodes evenly from the tasks that have anomalies."""
        wide = tasks[0].X.shape[1] > MOST_COLUMNS
        most = _MOST_WIDE_EPISODES if wide else _MOST_EPISODES
        n = min(_EPISODES_A_TASK * len(sampler.drawable), most)
        names = list(dict.fromkeys(tasks.groups))
        return cls(
            [sampler.episode(0, i) for i in range(n)],
            tasks.folds(N_FOLDS, seed),
            [names.index(group) for group in tasks.groups],
        )

    @property
    def suffice(self) -> bool:
        """Return whether enough groups of tasks have anomalies for a held-out comparison."""
        return len({self.groups[e.task] for e in self.episodes}) >= LEAST_GROUPS

    def labelled(self, sampler: EpisodeSampler) -> HeldOutTasks:
        """Return as many episodes of another sampler, those without labelled anomalies left out."""
        drawn = [sampler.episode(0, i) for i in range(len(self.episodes))]
        return replace(self, episodes=[e for e in drawn if (e.support_y == ANOMALOUS).any()])

    def fold_of(self, episode: Episode) -> int:
        """Return the fold in which the task of an episode is held out."""
        return next(f for f, fold in enumerate(self.folds) if episode.task in fold)

    def rest_of(self, fold: int) -> list[int]:
        """List the positions of the tasks outside a fold."""
        return [i for f, part in enumerate(self.folds) if f != fold for i in part]

    def terms(self, module: NeuralProcess, describe: Describe, fold: int) -> list[Array]:
        """Compute the score terms of the queries of a fold's episodes: (m, d) each."""
        terms = []
        for e in self.of_fold(fold):
            normal = e.support_y != ANOMALOUS
            described = describe(e.support_X[normal], e.support_y[normal])
            with torch.no_grad():
                parts = [torch.from_numpy(p) for p in (described.support, described.support_y)]
                query = torch.from_numpy(described.transform(e.query_X))
                terms.append(module.terms(module.adapt(*parts), query).numpy())
            advance()
        return terms

    def of_fold(self, fold: int) -> list[Episode]:
        """List the episodes of a fold."""
        return [e for e in self.episodes if self.fold_of(e) == fold]

    def compared(
        self, fold: int, baseline: list[Array], candidate: list[Array]
    ) -> list[HeldOutEpisode]:
        """Compute ROC AUCs of a baseline and a candidate on the episodes of a fold."""
        compared = []
        for e, *both in zip(self.of_fold(fold), baseline, candidate, strict=True):
            aucs = column_aucs(np.column_stack(both), e.query_y == ANOMALOUS)
            compared.append(HeldOutEpisode(self.groups[e.task], 0, aucs, fold=fold))
        return compared


def feature_weights(episodes: Sequence[Episode], terms: Sequence[Array]) -> Array:
    """Weigh features by how far anomalies raised their terms in past tasks: (d,)."""
    moved = [separation(t, e.query_y == ANOMALOUS) for e, t in zip(episodes, terms, strict=True)]
    return np.mean(moved, axis=0)


def learn_knowledge(
    tasks: TaskSet,
    held_out: HeldOutTasks,
    describe: Describe,
    new_module: Callable[[Knowledge], NeuralProcess],
    weigh: bool,
) -> tuple[Knowledge, dict[int, Knowledge], list[HeldOutReport]]:
    """Learn the covariance prior and feature weights, by comparisons on held-out tasks.

    Returns
    -------
    knowledge : Knowledge
        Learned from all tasks.
    without : dict of int to Knowledge
        Learned from all tasks but those of each fold.
    reports : list of HeldOutReport
        Comparisons of the number of rows that the covariance counts as and, if asked for, of
        weighted with unweighted features.
    """

    def pooled(positions: Sequence[int]) -> tuple[Array, float]:
        return pooled_covariance([tasks[i].normals for i in positions], describe)

    folds = [f for f in range(len(held_out.folds)) if held_out.of_fold(f)]
    covariance = {f: pooled(held_out.rest_of(f)) for f in folds}
    everything = pooled(range(tasks.n_tasks))
    equal = np.ones(len(everything[0]))
    by_rows = {
        rows: {
            f: held_out.terms(new_module(Knowledge(*covariance[f], rows, equal)), describe, f)
            for f in folds
        }
        for rows in _PRIOR_ROWS
    }
    rows, report = _best_rows(held_out, by_rows)
    reports, weights, weights_without = [report], equal, dict.fromkeys(folds, equal)
    if weigh:
        learned, learned_without = _weights(held_out, by_rows[rows])
        comparison = _compare_weights(held_out, by_rows[rows], learned_without)
        reports += comparison.reports
        if comparison.used[0]:
            weights, weights_without = learned, learned_without
    without = {f: Knowledge(*covariance[f], rows, weights_without[f]) for f in folds}
    return Knowledge(*everything, rows, weights), without, reports


Terms = Mapping[int, list[Array]]  # of the queries of each fold's episodes: (m, d) each


def _best_rows(
    held_out: HeldOutTasks, by_rows: Mapping[float, Terms]
) -> tuple[float, HeldOutReport]:
    """Choose the number of rows, as prior weight, that ranks held-out queries best."""
    quality = {
        rows: float(np.mean([
            column_aucs(t.sum(axis=1)[:, None], e.query_y == ANOMALOUS)[0]
            for f in terms
            for e, t in zip(held_out.of_fold(f), terms[f], strict=True)
        ]))
        for rows, terms in by_rows.items()
    }  # fmt: skip
    best = max(quality, key=quality.__getitem__)
    names = {rows: f"{rows:g} rows" for rows in quality}
    roc_auc = {names[rows]: auc for rows, auc in quality.items()}
    return best, HeldOutReport("covariance prior", REGIMES[0], names[best], roc_auc)


def _weights(held_out: HeldOutTasks, terms: Terms) -> tuple[Array, dict[int, Array]]:
    """Learn feature weights from all folds, and without each of them."""
    every = {f: feature_weights(held_out.of_fold(f), terms[f]) for f in terms}
    without = {f: np.mean([every[g] for g in terms if g != f], axis=0) for f in terms}
    return np.mean(list(every.values()), axis=0), without


def _compare_weights(
    held_out: HeldOutTasks, terms: Terms, weights: Mapping[int, Array]
) -> HeldOutComparison:
    """Compare equal weights with weights learned without the fold, on each fold."""
    compared: list[HeldOutEpisode] = []
    for f in terms:
        equal, weighted = [t.sum(axis=1) for t in terms[f]], [t @ weights[f] for t in terms[f]]
        compared += held_out.compared(f, equal, weighted)
    return HeldOutComparison(compared, "feature weights", ("equal weights", "learned weights"))


def compare_network(
    held_out: HeldOutTasks,
    without: Mapping[int, Knowledge],
    describe: Describe,
    closed: Callable[[Knowledge], NeuralProcess],
    network: Callable[[Knowledge, Sequence[int]], NeuralProcess],
) -> HeldOutComparison:
    """Compare closed forms and networks trained without a fold, on the tasks of each fold.

    The comparison ends at the first fold in which a network is behind: no others are trained.
    """
    compared: list[HeldOutEpisode] = []
    for fold, known in phases([*without.items()], "held-out tasks, fold"):
        modules = closed(known), network(known, held_out.rest_of(fold))
        scores = (
            [terms.sum(axis=1) for terms in held_out.terms(module, describe, fold)]
            for module in modules
        )
        of_fold = held_out.compared(fold, *scores)
        compared += of_fold
        if is_behind(of_fold):
            break
    return HeldOutComparison(compared, "network", ("closed form", "network"))
