"""Learn states of a neural process from past tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..._state import MetaState
from ..._training.progress import expect_more, phase
from ..._training.settings import TrainingSettings
from ..._training.weights import to_arrays
from ..._typing import Array, Codes
from ..._warn import warn
from ...exceptions import AdaptationWarning
from ...tasks._episodes import EpisodeSampler
from ...tasks._task_set import TaskSet
from ..base.detector import BaseFewShotDetector
from .knowledge import HeldOutTasks, Knowledge, compare_network, learn_knowledge
from .label_weights import learn_label_weights
from .module import NeuralProcess
from .representation import MaskedRepresentation
from .states import WEIGHT, describe, draft, module_of, new_module
from .training import NormalEpisodes, train_process

RATE = 5e-3
EPISODES, _META_EPOCHS = 200, 20
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
    arrays = knowledge.to_arrays()
    labelled = past.labelled(held_out, seed)
    if labelled is not None:
        states = {fold: past.known(of_others) for fold, of_others in without.items()}
        weights, report = learn_label_weights(detector, tasks, labelled, states, seed)
        arrays, reports = arrays | weights, [*reports, report]
    used = True
    if detector.gate and past.settings.max_epochs:
        comparison = compare_network(held_out, without, past.describe, past.closed, past.network)
        reports += comparison.reports
        used = comparison.used[0]
    state = past.draft.with_arrays(arrays, held_out=[report.to_info() for report in reports])
    if used:
        return past.train(state)
    warn(
        "On held-out tasks the network was not clearly better than the default formula, which is "
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
        settings = detector._net_settings(lr=RATE, seed=seed, max_epochs=_META_EPOCHS)
        normals = [task.normals for task in tasks]
        common = draft(detector, normals, seed, tasks.feature_names_in, tasks.n_tasks)
        return cls(detector, tasks, common, settings)

    def held_out(self, seed: int) -> HeldOutTasks | None:
        """Draw held-out episodes; None where there is nothing to compare, or too few groups."""
        if self.draft.architecture["anchor"] == "none" or self.draft.info["targets"] is not None:
            return None
        found = HeldOutTasks.from_tasks(self.tasks, self._sampler((0, 0), seed), seed)
        return found if found.suffice else None

    def labelled(self, held_out: HeldOutTasks, seed: int) -> HeldOutTasks | None:
        """Draw held-out episodes with labelled anomalies; None if not asked for, or too few."""
        low, high = self.detector.n_anomalous
        if not (self.detector.label_evidence and high):
            return None
        found = held_out.labelled(self._sampler((max(low, 1), high), seed))
        return found if found.suffice else None

    def _sampler(self, n_anomalous: tuple[int, int], seed: int) -> EpisodeSampler:
        return EpisodeSampler(
            self.tasks,
            n_normal=self.detector.n_normal,
            n_anomalous=n_anomalous,
            n_query=_HELD_OUT_QUERIES,
            seed=seed,
            support_contamination=self.detector.support_contamination,
        )

    @property
    def work(self) -> float:
        """Work of one training."""
        return (self.detector.episodes_per_epoch or EPISODES) * self.settings.max_epochs

    def train(self, state: MetaState) -> MetaState:
        """Train a network on all tasks, and add it to a state."""
        return self._trained(state, self.tasks, self.settings)

    def known(self, known: Knowledge) -> MetaState:
        """Return the draft with what is known of some tasks."""
        return self.draft.with_arrays(known.to_arrays())

    def network(self, known: Knowledge, positions: Sequence[int]) -> NeuralProcess:
        """Train a network on some tasks, and make the process with it."""
        state = self.known(known)
        part = self.tasks.subset(positions)
        return module_of(self.detector, self._trained(state, part, self.settings.for_held_out()))

    def closed(self, known: Knowledge) -> NeuralProcess:
        """Make the process without a network."""
        return module_of(self.detector, self.known(known))

    def describe(self, X: Array, y: Codes) -> MaskedRepresentation:
        """Represent a support as input of these processes."""
        return describe(self.detector, X, y, self.draft)

    def _trained(self, state: MetaState, part: TaskSet, settings: TrainingSettings) -> MetaState:
        """Train a network; none with 0 epochs and an anchor."""
        detector = self.detector
        if not settings.max_epochs and state.architecture["anchor"] != "none":
            return state
        module = new_module(detector, state, [], True)
        history: list[dict[str, float]] = []
        if settings.max_epochs:
            episodes = NormalEpisodes(
                [task.normals for task in part],
                self.describe,
                n_normal=detector.n_normal,
                n_query=detector.n_query,
                targets=state.info["targets"],
                seed=state.info["seed"],
                anomalies=[task.anomalies for task in part],
                support_contamination=detector.support_contamination,
            )
            n_episodes = detector.episodes_per_epoch or EPISODES
            module, history = train_process(module, episodes, n_episodes, settings)
        return with_network(state, module, history)


def with_network(
    draft: MetaState, module: NeuralProcess, history: Sequence[dict[str, float]]
) -> MetaState:
    """Add the weights of the network of a module to a draft."""
    weights = to_arrays(module.network.double().state_dict(), WEIGHT)
    return draft.with_arrays(weights, history=list(history))
