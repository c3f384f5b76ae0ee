"""Compute evidence about episodes, with what is pooled over the tasks of other folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._input.labels import ANOMALOUS
from .._stats.scaling import ScaledSupport, ScalePrior, check_width
from .._training.progress import phase, steps
from .._typing import Array
from ..tasks._episodes import Episode, EpisodeSampler
from ..tasks._task import Task
from ..tasks._task_set import TaskSet
from .calibration import CalibratedEvidence, Calibration
from .kinds import Evidence
from .pooled import Pooled

DRAWING_COST = 2.5


class FoldedEvidence:
    """Make calibrated evidence that knows nothing of the tasks of one fold.

    Parameters
    ----------
    tasks : TaskSet
    evidence : sequence of Evidence
    scaler, prior
        As in :class:`ScaledSupport`.
    rank : int or None, default=None
        Directions of the pooled covariance that are whitened one by one.
    """

    def __init__(
        self,
        tasks: TaskSet,
        evidence: Sequence[Evidence],
        scaler: Any,
        prior: ScalePrior | None,
        rank: int | None = None,
    ) -> None:
        self.tasks = tasks
        numbers = {group: i for i, group in enumerate(dict.fromkeys(tasks.groups))}
        self.group_of = [numbers[group] for group in tasks.groups]  # number of each task's group
        self.evidence = tuple(evidence)
        self._scaler, self._prior, self._rank = scaler, prior, rank

    def pooled(self, left_out: Sequence[int] = ()) -> Pooled | None:
        """Pool the other tasks; None if no evidence needs that."""
        if not any(e.needs_pooled for e in self.evidence):
            return None
        kept = (task for i, task in enumerate(self.tasks) if i not in left_out)
        with phase("pooling tasks without a fold" if left_out else "pooling tasks"):
            scaled = [self._scaled_classes(task) for task in kept]
            for normals, _ in scaled:
                check_width(normals, scaled[0][0].shape[1])
            return Pooled.from_tasks(scaled, rank=self._rank)

    def without(self, fold: Sequence[int]) -> Callable[..., CalibratedEvidence]:
        """Return ``(X, y) -> evidence`` of a support, without what a fold of tasks tells."""
        pooled = self.pooled(fold)
        return lambda X, y: CalibratedEvidence(
            ScaledSupport(X, y, self._scaler, self._prior), y, self.evidence, pooled
        )

    def _scaled_classes(self, task: Task) -> tuple[Array, Array]:
        """Scale the normals and anomalies of a training task as a support would be."""
        codes = (task.y == ANOMALOUS).astype(np.int8)
        rows = ScaledSupport(task.X, codes, self._scaler, self._prior).support
        return rows[codes == 0], rows[codes == 1]


@dataclass(frozen=True)
class Observation:
    """Hold the evidence about one episode before it is standardised.

    Attributes
    ----------
    fold : int
        Fold of the episode's task.
    group : int
        Number of the group of siblings that the task belongs to.
    raw : Episode
        The episode itself.
    support : Calibration
    query : ndarray of shape (n_query, n_evidence)
    injected_X : ndarray of shape (n_injected, n_features)
        Rows made from the support to stand for anomalies.
    injected : ndarray of shape (n_injected, n_evidence)
    """

    fold: int
    group: int
    raw: Episode
    support: Calibration
    query: Array
    injected_X: Array
    injected: Array

    def shrunk_to(self, line: Array) -> Observation:
        """Return the observation with its calibration shrunk, see :meth:`Calibration.shrunk_to`."""
        return replace(self, support=self.support.shrunk_to(line))

    def episode(self, typical: Array) -> Episode:
        """Return the episode in evidence standardised by a typical spread: (2, n_evidence)."""
        calibration = self.support.shrunk_to(typical)
        support, query = map(calibration.standardise, (calibration.left_out, self.query))
        return replace(self.raw, support_X=support, query_X=query)


def observe(
    evidence: FoldedEvidence,
    sampler: EpisodeSampler,
    n_episodes: int,
    folds: Sequence[Sequence[int]],
    *,
    inject: Callable[[Episode, int], Array] | None = None,
    cost: float = DRAWING_COST,
) -> list[Observation]:
    """Compute evidence about episodes, each with what is pooled over the tasks of other folds.

    Parameters
    ----------
    evidence : FoldedEvidence
    sampler : EpisodeSampler
    n_episodes : int
    folds : sequence of sequence of int
        Positions of the tasks in each fold.
    inject : callable, default=None
        ``(episode, index) -> rows`` made from its support, to be looked at too.
    cost : float, default=2.5
        Work of an episode, see :func:`phase`.
    """
    fold_of = {position: f for f, fold in enumerate(folds) for position in fold}
    representers = [evidence.without(fold) for fold in folds]
    observations = []
    for i in steps(range(n_episodes), "drawing episodes", cost):
        e = sampler.episode(0, i)
        fold = fold_of[e.task]
        seen = representers[fold](e.support_X, e.support_y)
        rows = e.query_X[:0] if inject is None else inject(e, i)
        scores = seen.evaluate(np.concatenate([e.query_X, rows]))
        n = len(e.query_X)
        observations.append(
            Observation(
                fold,
                evidence.group_of[e.task],
                e,
                seen.calibration,
                scores[:n],
                rows,
                scores[n:],
            )
        )
    return observations


def typical_spread(observations: Sequence[Observation], evidence: Sequence[Evidence]) -> Array:
    """Fit a line of log spread against log n to each kind of evidence: (2, n_evidence)."""
    log_n = np.log([o.support.n_normal for o in observations])
    spreads = np.array([o.support.own_spread for o in observations])
    line = np.zeros((2, len(evidence)))
    for j, e in enumerate(evidence):
        seen = spreads[:, j] > 0
        line[0, j] = np.log(e.spread)
        if seen.any():
            degree = 1 if np.ptp(log_n[seen]) > 0.5 else 0
            fit = np.polyfit(log_n[seen], np.log(spreads[seen, j]), degree)[::-1]
            line[: degree + 1, j] = fit
    return line
