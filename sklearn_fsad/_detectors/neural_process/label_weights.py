"""Learn across tasks how much the evidence of labelled anomalies weighs beside a process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..._evidence.episodes import Observation
from ..._evidence.mix import SINGLE, EvidenceMix
from ..._evidence.mix_training import MIX_EPOCHS, LearnedMix, learn_mix, work_of_mix
from ..._state import MetaState
from ..._stats.moments import are_embeddings
from ..._training.held_out import HeldOutReport
from ..._training.progress import expect_more, steps
from ..._training.settings import TrainingSettings
from ..._typing import Array
from ...tasks._episodes import Episode
from ...tasks._task_set import TaskSet
from ..base.adaptation import Adaptation, left_out_scores
from ..base.checks import unfitted_copy
from ..base.detector import BaseFewShotDetector
from ..base.support_set import SupportSet
from .knowledge import HeldOutTasks
from .label_evidence import PROCESS, SHOTS, closed_form, kinds_of
from .labelled import LEARNED, label_evidence, process_and_rows

_LABELLED = 1  # the second regime
_COST = 3.0  # of an episode, whose process is adapted to each fold of its support


def learn_label_weights(
    detector: BaseFewShotDetector,
    tasks: TaskSet,
    held_out: HeldOutTasks,
    states: Mapping[int, MetaState],
    seed: int,
) -> tuple[dict[str, Array], HeldOutReport]:
    """Learn the weights, and compare them with the default ones on held-out tasks.

    The process is that of the default formulas: a network would have to be trained without each
    fold.

    Parameters
    ----------
    detector : NeuralProcessDetector
        The detector whose parameters are used.
    tasks : TaskSet
        Past tasks.
    held_out : HeldOutTasks
        Episodes whose supports have labelled anomalies.
    states : mapping of int to MetaState
        Of the process, without what the tasks of each fold tell.
    seed : int
        Seed of the training.

    Returns
    -------
    arrays : dict of str to ndarray
        For a state.
    report : HeldOutReport
        The comparison.
    """
    n_episodes = len(held_out.episodes)
    expect_more(_COST * n_episodes + work_of_mix(n_episodes, MIX_EPOCHS, len(states)))
    embedding = all(are_embeddings(task.normals) for task in tasks)
    observations = _observed(detector, held_out, states)
    shots: dict[str, Any] = {name: getattr(detector, name) for name in SHOTS}
    closed = closed_form(embedding)

    def new_mix(**given: Any) -> EvidenceMix:
        return EvidenceMix(closed, **shots, **given)

    settings = TrainingSettings(lr=1.0, max_epochs=MIX_EPOCHS, seed=seed)
    kinds = kinds_of(detector.anomaly_score, embedding)
    learned = _unless_labels_mislead(learn_mix(observations, kinds, new_mix, settings))
    arrays = {"closed": closed, **learned.arrays()}
    arrays |= {name: np.array(bounds) for name, bounds in shots.items()}
    return {LEARNED + name: array for name, array in arrays.items()}, learned.reports[_LABELLED]


def _unless_labels_mislead(learned: LearnedMix) -> LearnedMix:
    """Use the process alone where its mean ROC AUC is above that of all weights of the evidence."""
    unlabelled, labelled = learned.reports
    if max(labelled.roc_auc, key=labelled.roc_auc.__getitem__, default="") != PROCESS:
        return learned
    reports = [unlabelled, labelled.using(PROCESS)]
    return replace(learned, choice=(learned.choice[0], SINGLE), reports=reports)


def _observed(
    detector: BaseFewShotDetector, held_out: HeldOutTasks, states: Mapping[int, MetaState]
) -> list[Observation]:
    """Compute the score of the process and the evidence about the episodes."""
    method = unfitted_copy(detector)
    found = []
    for e in steps(held_out.episodes, "evidence of labels", _COST):
        fold = held_out.fold_of(e)
        found.append(_observation(method, states[fold], e, fold, held_out.groups[e.task]))
    return found


def _observation(
    method: BaseFewShotDetector, state: MetaState, episode: Episode, fold: int, group: int
) -> Observation:
    support_X, support_y = episode.support_X, episode.support_y
    support = SupportSet.of(support_X, support_y, np.ones(len(support_y), dtype=bool))
    process = Adaptation.of(method, state, support)
    labels = label_evidence(process, left_out_scores(process))
    query = labels.evaluate(*process_and_rows(process, episode.query_X))
    episode = replace(episode, support_y=support.y)
    nothing = episode.query_X[:0], query[:0]
    return Observation(fold, group, episode, labels.calibration, query, *nothing)
