"""Learn states of a neural process from past tasks, or from one support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..._state import MetaState
from ..._training.progress import expect_more, expect_only, phase
from ..._training.settings import TrainingSettings
from ..._training.weights import to_arrays
from ..._typing import Array, Codes
from ..._warn import warn
from ...exceptions import AdaptationWarning
from ...tasks._episodes import EpisodeSampler
from ...tasks._task_set import TaskSet
from ..base.detector import BaseFewShotDetector
from .knowledge import HeldOutTasks, Knowledge, compare_network, learn_knowledge
from .module import NeuralProcess
from .representation import MaskedRepresentation
from .states import WEIGHT, describe, draft, module_of, new_module
from .training import MOST_CONTEXT, MOST_QUERIES, NormalEpisodes, train_process

_RATE = 5e-3
_EPISODES, _META_EPOCHS = 200, 20
_EPOCHS = {50: 4, 400: 8, np.inf: 16}  # of self-teaching, below so many rows
_HELD_OUT_QUERIES = 100


def meta_learned_state(detector: BaseFewShotDetector, tasks: TaskSet, seed: int) -> MetaState:
    """Learn a state from normal rows of past tasks, gated by held-out comparisons."""
    tasks.one_feature_space()
    tasks = tasks.subset(i for i, task in enumerate(tasks) if len(task.normals) >= 2)
    if not tasks.n_tasks:
        raise ValueError("No task has two normal rows: there is nothing to learn from.")
    past = _PastTasks.of(detector, tasks, seed)
    held_out = past.held_out(seed)
    expect_more(past.work)
    if held_out is None:
        return past.train(past.draft)
    expect_more(5 * len(held_out.episodes) + 3 * detector.gate * past.work)
    with phase("closed form on held-out tasks"):
        knowledge, without, reports = learn_knowledge(
            tasks, held_out, past.describe, past.closed, detector.weigh_features
        )
    used = True
    if detector.gate and past.settings.max_epochs:
        comparison = compare_network(held_out, without, past.describe, past.closed, past.network)
        reports += comparison.reports
        used = comparison.used[0]
    state = past.draft.with_arrays(
        knowledge.to_arrays(), held_out=[report.to_info() for report in reports]
    )
    if used:
        return past.train(state)
    warn(
        "On held-out tasks the network was not clearly better than its closed form, which is "
        "used. See pretrained.info['held_out']; gate=False keeps the network.",
        AdaptationWarning,
    )
    return state


@dataclass(frozen=True)
class _PastTasks:
    """Train neural processes on past tasks, or on some of them.

    Attributes
    ----------
    detector : NeuralProcessDetector
        The detector whose parameters are used.
    tasks : TaskSet
        Past tasks with two normal rows at least.
    draft : MetaState
        The part of the state that all of them share.
    settings : TrainingSettings
        Settings of the training on all tasks.
    """

    detector: BaseFewShotDetector
    tasks: TaskSet
    draft: MetaState
    settings: TrainingSettings

    @classmethod
    def of(cls, detector: BaseFewShotDetector, tasks: TaskSet, seed: int) -> _PastTasks:
        settings = detector._net_settings(lr=_RATE, seed=seed, max_epochs=_META_EPOCHS)
        normals = [task.normals for task in tasks]
        common = draft(detector, normals, seed, tasks.feature_names_in, tasks.n_tasks)
        return cls(detector, tasks, common, settings)

    def held_out(self, seed: int) -> HeldOutTasks | None:
        """Draw held-out episodes; None where there is nothing to compare, or too few groups."""
        if self.draft.architecture["anchor"] == "none" or self.draft.info["targets"] is not None:
            return None
        sampler = EpisodeSampler(
            self.tasks,
            n_normal=self.detector.n_normal,
            n_anomalous=(0, 0),
            n_query=_HELD_OUT_QUERIES,
            seed=seed,
            support_contamination=self.detector.support_contamination,
        )
        found = HeldOutTasks.from_tasks(self.tasks, sampler, seed)
        return found if found.suffice else None

    @property
    def work(self) -> float:
        """Work of one training."""
        return (self.detector.episodes_per_epoch or _EPISODES) * self.settings.max_epochs

    def train(self, state: MetaState) -> MetaState:
        """Train a network on all tasks, and add it to a state."""
        return self._trained(state, self.tasks, self.settings)

    def network(self, known: Knowledge, positions: Sequence[int]) -> NeuralProcess:
        """Train a network on some tasks, and make the process with it."""
        state = self.draft.with_arrays(known.to_arrays())
        part = self.tasks.subset(positions)
        return module_of(self.detector, self._trained(state, part, self.settings.for_held_out()))

    def closed(self, known: Knowledge) -> NeuralProcess:
        """Make the process without a network."""
        return module_of(self.detector, self.draft.with_arrays(known.to_arrays()))

    def describe(self, X: Array, y: Codes) -> MaskedRepresentation:
        """Represent a support as input of these processes."""
        return describe(self.detector, X, y, self.draft)

    def _trained(self, state: MetaState, part: TaskSet, settings: TrainingSettings) -> MetaState:
        return _trained(
            self.detector,
            state,
            [task.normals for task in part],
            [task.anomalies for task in part],
            n_normal=self.detector.n_normal,
            n_query=self.detector.n_query,
            settings=settings,
        )


def self_taught_state(
    detector: BaseFewShotDetector,
    normals: Array,
    seed: int,
    share: float = 1.0,
    n_rows: int | None = None,
) -> MetaState:
    """Learn a state from the normal rows of a support, some of them as the context of others.

    Parameters
    ----------
    detector : NeuralProcessDetector
        The detector whose parameters are used.
    normals : ndarray of shape (n, d)
        Normal rows.
    seed : int
        Seed of draws and initial weights.
    share : float, default=1.0
        Share of the number of epochs that is used for ``n_rows`` rows.
    n_rows : int, default=None
        Number of rows that sets the number of epochs; None means those there are.
    """
    n = len(normals)
    usual = next(e for most, e in _EPOCHS.items() if (n_rows or n) < most)
    settings = detector._net_settings(lr=_RATE, seed=seed, max_epochs=usual)
    n_epochs = round(share * settings.max_epochs)
    settings = replace(settings, max_epochs=n_epochs, accelerator=None)
    if n_rows is None:  # a fit, which trains threshold networks too
        expect_only(3.25 * n_epochs * (detector.episodes_per_epoch or _EPISODES))
    names = getattr(detector, "feature_names_in_", None)
    n_context = min(max(n * 4 // 5, 1), MOST_CONTEXT)
    return _trained(
        detector,
        draft(detector, [normals], seed, names, n_tasks=0),
        [normals],
        n_normal=(n_context, n_context),
        n_query=MOST_QUERIES,
        settings=settings,
    )


def _trained(
    detector: BaseFewShotDetector,
    draft: MetaState,
    normals: Sequence[Array],
    anomalies: Sequence[Array] = (),
    *,
    n_normal: tuple[int, int],
    n_query: int,
    settings: TrainingSettings,
) -> MetaState:
    """Train a network on normal rows, and add it to a draft; none with 0 epochs and an anchor."""
    if not settings.max_epochs and draft.architecture["anchor"] != "none":
        return draft
    module = new_module(detector, draft, [], True)
    history: list[dict[str, float]] = []
    if settings.max_epochs:

        def described(X: Array, y: Codes) -> MaskedRepresentation:
            return describe(detector, X, y, draft)

        one_task = not draft.info["n_tasks"]
        if one_task:  # its contexts share their units
            zeros = np.zeros(len(normals[0]), dtype=np.int8)
            normals = [described(normals[0], zeros).support]
        episodes = NormalEpisodes(
            normals,
            None if one_task else described,
            n_normal=n_normal,
            n_query=n_query,
            targets=draft.info["targets"],
            seed=draft.info["seed"],
            anomalies=anomalies,
            support_contamination=detector.support_contamination,
        )
        n_episodes = detector.episodes_per_epoch or _EPISODES
        module, history = train_process(module, episodes, n_episodes, settings)
    weights = to_arrays(module.network.double().state_dict(), WEIGHT)
    return draft.with_arrays(weights, history=history)
