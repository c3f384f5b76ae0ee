"""Measure ROC AUC and average precision of methods on the test tasks of a family."""

from __future__ import annotations

import copy
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from bench.methods.base import Baseline
from bench.methods.detectors import Spec, meta_training_tasks
from bench.methods.meta import Boosting, Stack, stack_features
from bench.methods.named import SUPPORT_BASELINES
from bench.protocols.families import Episode, Fold, Protocol, Task, random_state_of
from bench.report.records import Row, Table
from sklearn.metrics import average_precision_score, roc_auc_score
from tqdm import tqdm

# by episode: what stacks mix, the labels of the query, and seconds
Stacked = dict[tuple[str, int, int, int], tuple[np.ndarray, np.ndarray, float]]


class Runner:
    """Measures methods on the test tasks of a family.

    Parameters
    ----------
    family : str
        Name of the family.
    tasks : sequence of Task
        All its tasks.
    split : {"random", "groups", "none"}
        How ``folds`` were made.
    folds : sequence of Fold
        Which tasks are learned from and which tested on.
    protocol : Protocol
        Cells, draws and seed.
    table : Table
        Takes the rows; those it already has are not measured again.
    baselines : dict
        Those that learn from the support alone: makers, of a seed, by name.
    told : callable
        Labels of a support that detectors are given, where these differ from those of baselines.
    """

    def __init__(
        self,
        family: str,
        tasks: Sequence[Task],
        split: str,
        folds: Sequence[Fold],
        protocol: Protocol,
        table: Table,
        baselines: Mapping[str, Callable[[int], Baseline]] = SUPPORT_BASELINES,
        told: Callable[[Episode], np.ndarray] = attrgetter("support_y"),
    ) -> None:
        self.family, self.split, self.folds = family, split, folds
        self.baselines, self.told = baselines, told
        self.protocol, self.table = protocol, table
        self.tasks = {task.name: task for task in tasks}
        self.test_names = [name for fold in folds for name in fold.test]

    def covers(self, method: str) -> bool:
        """Whether rows of an earlier run cover a method on every test task."""
        return all(self.table.has(method, name) for name in self.test_names)

    def record(self, episode: Episode, method: str, scores: np.ndarray, seconds: float) -> None:
        """Add the row of one method on one episode."""
        if not np.isfinite(scores).all():
            raise FloatingPointError(f"{method} gave scores that are not finite.")
        auc = float(roc_auc_score(episode.query_y, scores))
        ap = float(average_precision_score(episode.query_y, scores))
        used = episode.n_used, episode.k_used
        self.table.add(Row(self.family, self.split, *episode.key, *used, method, auc, ap, seconds))

    def bar(self, total: int, what: str) -> Any:
        """Return a progress bar on stderr."""
        return tqdm(total=total, desc=what, file=sys.stderr, mininterval=0.5)

    def run_support(self, methods: Sequence[str], save: Callable[[], None]) -> None:
        """Measure baselines that learn from the support alone; ``save`` after each task."""
        bar = self.bar(len(self.test_names), "support baselines")
        for name in self.test_names:
            todo = [method for method in methods if not self.table.has(method, name)]
            known: dict[Any, Any] = {}  # (method, draw, n) -> scores, seconds
            for episode in self.protocol.episodes(self.tasks[name]) if todo else ():
                for method in todo:
                    self.run_support_episode(method, episode, known)
            if todo:
                save()
            bar.update()
        bar.close()

    def run_support_episode(self, method: str, episode: Episode, known: dict[Any, Any]) -> None:
        """Measure one baseline; one that ignores labels is computed once for all k of a draw."""
        seed = random_state_of(self.protocol.seed, episode.task.name, episode.draw)
        baseline = self.baselines[method](seed)
        if baseline.needs_labels and not episode.k_used:
            return
        key = (method, episode.draw, episode.n)
        if baseline.uses_labels or key not in known:
            start = time.process_time()
            baseline.fit(episode.support_X, episode.support_y)
            scores = baseline.anomaly_score(episode.query_X)
            known[key] = scores, time.process_time() - start
        self.record(episode, method, *known[key])

    def run_meta(self, methods: Sequence[str], save: Callable[[], None]) -> None:
        """Measure baselines that learn from other tasks; each is taken over whole or not at all."""
        todo = [name for name in methods if not self.covers(name)]
        for name in todo:
            self.table.drop(name)  # learned from all tasks of a fold
        if "meta_boosting" in todo:
            self.run_boosting()
            save()
        stacks = [name for name in todo if name.startswith("meta_stack")]
        if stacks:
            self.run_stacks(stacks)
            save()

    def run_stacks(self, methods: Sequence[str]) -> None:
        """Measure the stacks; the support-only scores they mix are computed once an episode."""
        names = [name for name in self.test_names if self.tasks[name].testable]
        episodes: Stacked = {}
        bar = self.bar(len(names), ", ".join(methods))
        for name in names:
            for episode in self.protocol.episodes(self.tasks[name]):
                start = time.process_time()
                features = stack_features(episode, self.protocol.seed)
                episodes[episode.key] = features, episode.query_y, time.process_time() - start
            bar.update()
        bar.close()
        for method in methods:
            for fold in self.folds:
                self.run_stack_fold(method, fold, episodes)

    def run_stack_fold(self, method: str, fold: Fold, episodes: Stacked) -> None:
        """Learn one stack a cell on the training tasks of a fold, then score its test tasks."""
        stacks = {}
        for cell in self.protocol.cells:
            known = [episodes[key] for key in episodes if key[0] in fold.train and key[2:] == cell]
            stack = Stack(positive=method.endswith("positive"))
            stacks[cell] = stack.fit([part[0] for part in known], [part[1] for part in known])
        for name in fold.test:
            for episode in self.protocol.episodes(self.tasks[name]):
                features, _, seconds = episodes[episode.key]
                scores = stacks[episode.n, episode.k].anomaly_score(features)
                self.record(episode, method, scores, seconds)

    def run_boosting(self, method: str = "meta_boosting") -> None:
        """Measure gradient boosting, learned once a fold and n; it ignores a support's labels."""
        bar = self.bar(len(self.folds) * len(self.protocol.n), method)
        first_k = self.protocol.k[0]
        for fold in self.folds:
            for n in self.protocol.n:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    self.run_boosting_cell(method, fold, n, first_k)
                bar.update()
        bar.close()

    def run_boosting_cell(self, method: str, fold: Fold, n: int, first_k: int) -> None:
        """Learn on the training tasks at one n, then score the test tasks."""
        tasks = [self.tasks[name] for name in fold.train if self.tasks[name].testable]
        episodes = [e for task in tasks for e in self.protocol.episodes(task)]
        training = [e for e in episodes if (e.n, e.k) == (n, first_k)]
        model = Boosting(self.protocol.seed).fit(training)
        for name in fold.test:
            scores, seconds = np.empty(0), 0.0
            for episode in (e for e in self.protocol.episodes(self.tasks[name]) if e.n == n):
                if episode.k == first_k:
                    start = time.process_time()
                    scores = model.anomaly_score(episode)
                    seconds = time.process_time() - start
                self.record(episode, method, scores, seconds)

    def run_detector(self, spec: Spec) -> dict[str, Any]:
        """Measure a detector from the command line.

        Where it has ``meta_fit`` and tasks are held out, a fresh one is meta-fitted once a fold.
        Every support is then learned by a copy of it, so that nothing passes from one support to
        the next. A support that raises, or gives scores that are not finite, counts as equal
        scores for all rows.

        Returns
        -------
        dict
            Seconds of meta-training in each fold, and the errors.
        """
        notes: dict[str, Any] = {"meta_fit_seconds": [], "failures": []}
        bar = self.bar(len(self.test_names), spec.label)
        for fold in self.folds:
            detector = spec.make()
            if fold.train and hasattr(detector, "meta_fit"):
                tasks = [self.tasks[name] for name in fold.train]
                start = time.process_time()
                detector.meta_fit(meta_training_tasks(tasks, self.split))
                notes["meta_fit_seconds"].append(round(time.process_time() - start, 3))
            for name in fold.test:
                for episode in self.protocol.episodes(self.tasks[name]):
                    self.run_detector_episode(spec.label, copy.deepcopy(detector), episode, notes)
                bar.update()
        bar.close()
        return notes

    def run_detector_episode(
        self, label: str, detector: Any, episode: Episode, notes: dict[str, Any]
    ) -> None:
        """Fit on one support and score its query; scikit-learn's sign is turned."""
        start = time.process_time()
        try:
            detector.fit(episode.support_X, self.told(episode))
            scores = -np.asarray(detector.decision_function(episode.query_X), dtype=float)
            self.record(episode, label, scores, time.process_time() - start)
        except Exception as error:
            if not notes["failures"]:
                traceback.print_exc()
            notes["failures"].append([*episode.key, f"{type(error).__name__}: {error}"])
            self.record(episode, label, np.zeros(len(episode.query_y)), time.process_time() - start)
