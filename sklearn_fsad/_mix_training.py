"""Learning how to weigh evidence: from episodes to a mix that held-out tasks approve of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ._calibration import CalibratedEvidence, Calibration
from ._episodes import Episode, EpisodeSampler
from ._evidence import Evidence
from ._labels import ANOMALOUS
from ._losses import PairwiseLoss
from ._mixing import CLOSED_FORM, MIX, SINGLE, EvidenceMix
from ._net import EpisodeDataset, train_episodic
from ._pooled import Pooled
from ._scaling import ScaledSupport, ScalePrior
from ._statistics import column_aucs
from ._task_set import Task, TaskSet
from .callbacks import checkpoints_in

Array = NDArray[np.float64]


class FoldedEvidence:
    """Calibrated evidence of supports, ignorant of the tasks of one fold at a time.

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
        """What the other tasks have in common; None where no evidence asks for it."""
        if not any(e.needs_pooled for e in self.evidence):
            return None
        kept = (task for i, task in enumerate(self.tasks) if i not in left_out)
        return Pooled.from_tasks([self._scaled_classes(task) for task in kept], rank=self._rank)

    def without(self, fold: Sequence[int]) -> Callable[..., CalibratedEvidence]:
        """``(X, y) -> evidence`` of a support that knows nothing of a fold of tasks."""
        pooled = self.pooled(fold)
        return lambda X, y: CalibratedEvidence(
            ScaledSupport(X, y, self._scaler, self._prior), y, self.evidence, pooled
        )

    def _scaled_classes(self, task: Task) -> tuple[Array, Array]:
        """Normals and anomalies of a training task, scaled as a support would be."""
        codes = (task.y == ANOMALOUS).astype(np.int8)
        rows = ScaledSupport(task.X, codes, self._scaler, self._prior).support
        return rows[codes == 0], rows[codes == 1]


@dataclass(frozen=True)
class Observation:
    """What the evidence of one episode says, before it is standardised.

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

    def episode(self, typical: Array) -> Episode:
        """The episode in standardised evidence."""
        self.support.shrink_to_line(typical)
        support, query = map(self.support.standardise, (self.support.left_out, self.query))
        return replace(self.raw, support_X=support, query_X=query)


def observe(
    evidence: FoldedEvidence,
    sampler: EpisodeSampler,
    n_episodes: int,
    folds: Sequence[Sequence[int]],
    *,
    inject: Callable[[Episode, int], Array] | None = None,
    verbose: int = 0,
) -> list[Observation]:
    """Evidence in episodes, each with what is pooled over the tasks of the other folds.

    Parameters
    ----------
    evidence : FoldedEvidence
    sampler : EpisodeSampler
    n_episodes : int
    folds : sequence of sequence of int
        Positions of the tasks in each fold.
    inject : callable, default=None
        ``(episode, index) -> rows`` made from its support, to be looked at too.
    verbose : int, default=0
        1 shows a progress bar.
    """
    fold_of = {position: f for f, fold in enumerate(folds) for position in fold}
    representers = [evidence.without(fold) for fold in folds]
    observations = []
    for i in tqdm(range(n_episodes), "episodes", unit="episode", disable=not verbose):
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
    """Straight line of log spread against log n, per kind of evidence: (2, n_evidence)."""
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


@dataclass(frozen=True)
class LearnedMix:
    """A trained mix and how it fared on held-out tasks.

    Attributes
    ----------
    theta : ndarray of shape (3, n_evidence)
    typical_spread : ndarray of shape (2, n_evidence)
    choice : tuple of two int
        What held-out tasks favour without and with labelled anomalies.
    report : list of dict
        Per regime, mean held-out AUC of the mix, the closed form and the best single evidence.
    history : list of dict
        Loss of each epoch.
    theta_without : dict of int to ndarray
        Weights learned without a fold.
    """

    theta: Array
    typical_spread: Array
    choice: tuple[int, int]
    report: list[dict[str, Any]]
    history: list[dict[str, float]]
    theta_without: dict[int, Array]

    def arrays(self) -> dict[str, Array]:
        """Named arrays for a :class:`MetaState`."""
        choice = np.array(self.choice)
        return {"theta": self.theta, "typical_spread": self.typical_spread, "choice": choice}

    def info(self) -> dict[str, Any]:
        """Facts for a :class:`MetaState`."""
        return {"held_out": self.report, "history": self.history}


def learn_mix(
    observations: Sequence[Observation],
    evidence: Sequence[Evidence],
    new_mix: Callable[..., EvidenceMix],
    *,
    seed: int,
    **net_params: Any,
) -> LearnedMix:
    """Train a mix on all tasks, and judge on held-out ones whether to use it.

    Parameters
    ----------
    observations : sequence of Observation
    evidence : sequence of Evidence
    new_mix : callable
        Makes an untrained mix; takes ``choice``.
    seed : int
        Seed of the training.
    **net_params
        Settings of the training net.
    """
    folds = np.array([o.fold for o in observations])
    typical = typical_spread(observations, evidence)
    episodes = [o.episode(typical) for o in observations]

    def trained(keep: NDArray[np.bool_], **more: Any) -> tuple[EvidenceMix, list[dict[str, float]]]:
        part = [e for e, kept in zip(episodes, keep, strict=True) if kept]
        data = EpisodeDataset(lambda epoch, index: part[index], len(part))
        settings = {"criterion": PairwiseLoss, **net_params, **more, "batch_size": len(part)}
        return train_episodic(new_mix(), data, None, seed=seed, dtype=torch.float64, **settings)

    mix, history = trained(np.ones(len(folds), dtype=bool))
    kept = checkpoints_in(net_params.get("callbacks"))
    held_out: dict[tuple[int, int], list[Array]] = {}
    theta_without = {}
    if len(set(folds)) > 1:
        for fold in sorted(set(folds)):
            candidate, _ = trained(folds != fold, verbose=0, callbacks=kept, may_be_cut_short=False)
            theta = theta_without[int(fold)] = candidate.theta.detach().numpy()
            options = [new_mix(theta=theta, choice=(o, o)) for o in (MIX, CLOSED_FORM)]
            for e, o in zip(episodes, observations, strict=True):
                if o.fold == fold and 0 < (e.query_y == 1).sum() < len(e.query_y):
                    regime = int((e.support_y == 1).any())
                    held_out.setdefault((regime, o.group), []).append(_judge(e, options))
    choices, report = [], []
    for regime in (0, 1):
        choice, summary = _choose(regime, held_out, evidence)
        choices.append(choice)
        report.append(summary)
    theta = mix.theta.detach().numpy()
    used = choices[0], choices[1]
    return LearnedMix(theta, typical, used, report, history, theta_without)


def _judge(episode: Episode, options: Sequence[EvidenceMix]) -> Array:
    """AUC of the mix, the closed form and every single kind of evidence on a held-out episode."""
    weights = np.array([o.weights(episode.support_X, episode.support_y) for o in options])
    scores = np.concatenate([episode.query_X @ weights.T, episode.query_X], axis=1)
    return column_aucs(scores, episode.query_y == 1)


def _choose(
    regime: int, held_out: dict[tuple[int, int], list[Array]], evidence: Sequence[Evidence]
) -> tuple[int, dict[str, Any]]:
    """What to use in a regime: the mix, unless another option clearly beats it on held-out tasks.

    Clearly means by more than one standard error over at least three groups of sibling tasks: the
    best of a dozen options looks better than it is. Evidence that needs labels never stands alone,
    since it would be blind to anomalies unlike the labelled ones.
    """
    name = "labelled" if regime else "unlabelled"
    aucs = np.array([np.mean(a, axis=0) for (seen, _), a in held_out.items() if seen == regime])
    if len(aucs) < 2:
        return CLOSED_FORM, {"regime": name, "used": "closed form"}
    means = aucs.mean(axis=0)  # (2 + n_evidence,)
    label_free = [SINGLE + j for j, e in enumerate(evidence) if not e.needs_anomalies]
    single = max(label_free, key=means.__getitem__) if label_free else CLOSED_FORM
    rival = max(CLOSED_FORM, single, key=means.__getitem__)
    gain = aucs[:, rival] - aucs[:, MIX]
    clear = len(gain) > 2 and gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain))
    names = {MIX: "mix", CLOSED_FORM: "closed form"}
    if single != CLOSED_FORM:
        names[single] = evidence[single - SINGLE].name
    best = rival if clear else MIX
    return best, {
        "regime": name,
        "used": names[best],
        **{names[o]: round(float(means[o]), 4) for o in names},
    }
