"""Suggest a detector for a family of tasks by a comparison on held-out tasks."""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone

from .._input.labels import codes_to_labels
from .._stats.ranking import clearly_better, standard_error
from .._training.progress import advance, expect_more, phase, progress, worker_of
from .._typing import Array
from ..exceptions import TaskWarning
from ..tasks._task_set import TaskSet
from ._few_shot_split import FewShotSplit
from ._task_estimator import TaskEstimator, finite_mean

Pair = tuple[Array, Array]
_SHIPPED = "InContextDetector without meta_fit"
_CALL = "suggest_detector"
_WIDE = 100  # columns


@dataclass(frozen=True)
class Suggestion:
    """Hold the suggested detector and the scores of all on held-out tasks.

    Parameters
    ----------
    best : estimator
        The suggested detector, not fitted and not meta-fitted: call ``meta_fit`` with all tasks.
    best_name : str
        Its name.
    reason : str
        Why it is suggested, in words.
    scores : dict of str to ndarray of shape (n_tasks,)
        Name of each detector -> its mean score on each held-out task.
    """

    best: Any
    best_name: str
    reason: str
    scores: dict[str, Array]

    def __str__(self) -> str:
        order = sorted(self.scores, key=lambda name: -self.scores[name].mean())
        width = max(map(len, order))
        rows = [f"  {name:<{width}}  {self.scores[name].mean():.3f}" for name in order]
        return "\n".join([self.reason, *rows])


def suggest_detector(
    tasks: Any,
    detectors: Mapping[str, Any] | None = None,
    *,
    without_meta_fit: Collection[str] = (),
    splitter: Any = None,
    scoring: Any = None,
    n_folds: int = 5,
    n_jobs: int | None = None,
    random_state: int = 0,
    verbose: int | None = None,
) -> Suggestion:
    """Compare detectors on held-out tasks, and suggest one.

    Tasks are held out in folds, tasks of one group together. The simplest detector is suggested
    unless another one is better by more than one standard error over tasks. The simplest by default
    is the one that needs no meta-training.

    Parameters
    ----------
    tasks : TaskSet, list or mapping
        In any form that ``meta_fit`` accepts, with labelled anomalies in some.
    detectors : mapping of str to estimator, default=None
        Detectors to compare, the simplest first. None means :class:`InContextDetector` without
        meta-fitting, :class:`ProtoNetDetector`, and, where tasks share their columns,
        :class:`MAMLDetector` and :class:`NeuralProcessDetector`, else :class:`InContextDetector`.
        With more than 100 columns the network of :class:`NeuralProcessDetector` is left out
        (``max_epochs=0``), since it takes longest to train.
    without_meta_fit : collection of str, default=()
        Names of detectors to use without meta-fitting.
    splitter : cross-validator, default=None
        Splitter that draws the few-shot supports within each task; None means
        ``FewShotSplit(10, 2, n_draws=3, on_short="skip", random_state=random_state)``.
    scoring : str or callable, default=None
        As in :class:`TaskEstimator`; None means the ROC AUC. A score that is NaN or infinite is an
        error that names detector and task.
    n_folds : int, default=5
        Folds of tasks, at most as many as there are groups.
    n_jobs : int, default=None
        Jobs of joblib, each a detector on a fold; None means 1. Results do not depend on it.
    random_state : int, default=0
        Seed.
    verbose : int, default=None
        0 shows no bar, 1 shows one at once, None after five seconds in terminals and notebooks.

    Returns
    -------
    suggestion : Suggestion
        The detector, the reason for it, and the scores of all.

    Notes
    -----
    It takes as long as to meta-fit each detector once for each fold. On eight tasks of 120 rows and
    500 columns a fold took about 5 s of one core for :class:`ProtoNetDetector`, 15 s for
    :class:`MAMLDetector` and 8 s for :class:`NeuralProcessDetector` without its network.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import InContextDetector, ProtoNetDetector
    >>> from sklearn_fsad.model_selection import suggest_detector
    >>> rng, y = np.random.default_rng(0), np.repeat([0, 1], [30, 10])
    >>> tasks = [(rng.normal(size=(40, 3)) + 5 * y[:, None], y) for _ in range(4)]
    >>> few = {"n_normal": (5, 10), "episodes_per_epoch": 8, "max_epochs": 2, "random_state": 0}
    >>> candidates = {"context": InContextDetector(), "prototypes": ProtoNetDetector(**few)}
    >>> suggest_detector(tasks, candidates, without_meta_fit=["context"]).best_name
    'context'
    """
    tasks = TaskSet.make(tasks)
    folds = tasks.folds(n_folds, random_state)
    if len(folds) < 2:
        raise ValueError(
            f"Tasks of {len(folds)} group(s) cannot be held out: give at least two groups of tasks."
        )
    if splitter is None:
        splitter = FewShotSplit(10, 2, n_draws=3, on_short="skip", random_state=random_state)
    if detectors is None:
        detectors, without_meta_fit = _usual(tasks, random_state), {_SHIPPED}
    if isinstance(without_meta_fit, str):
        without_meta_fit = [without_meta_fit]
    plain = {str(name) for name in without_meta_fit}
    unknown = plain - set(detectors)
    if unknown:
        raise ValueError(
            f"without_meta_fit names {', '.join(sorted(unknown))}; "
            f"there are {', '.join(detectors)}."
        )
    pairs = {task.name: (task.X, codes_to_labels(task.y)) for task in tasks}
    jobs = [(name, i) for name in detectors for i in range(len(folds))]
    found: dict[str, dict[Any, float]] = defaultdict(dict)
    with progress(_CALL, verbose):
        expect_more(len(jobs))
        results = Parallel(n_jobs=n_jobs, return_as="generator")(
            delayed(_fold_scores)(
                name, detectors[name], pairs, folds, i, splitter, scoring, name not in plain
            )
            for name, i in jobs
        )
        for (name, _), part in zip(jobs, results, strict=True):
            found[name] |= part
            advance()
    scores = {
        name: np.array([part[task] for task in pairs if task in part])
        for name, part in found.items()
    }
    if not all(map(len, scores.values())):
        raise ValueError(
            "No task has enough labelled normal and anomalous rows for the splitter: ask for "
            "fewer shots."
        )
    name, reason = _choose(scores)
    return Suggestion(clone(detectors[name]), name, reason, scores)


def _usual(tasks: TaskSet, seed: int) -> dict[str, Any]:
    from .._detectors.in_context.detector import InContextDetector
    from .._detectors.maml.detector import MAMLDetector
    from .._detectors.neural_process.detector import NeuralProcessDetector
    from .._detectors.prototypes.detector import ProtoNetDetector

    given: dict[str, Any] = {
        _SHIPPED: InContextDetector(random_state=seed),
        "ProtoNetDetector": ProtoNetDetector(random_state=seed),
    }
    if tasks.n_features is None:
        given["ProtoNetDetector"].set_params(evidence="support")
        given["InContextDetector"] = InContextDetector(random_state=seed)
        return given
    given["MAMLDetector"] = MAMLDetector(random_state=seed)
    if tasks.n_features > _WIDE:  # to train the network of the last one would take longest by far
        without = NeuralProcessDetector(max_epochs=0, random_state=seed)
        return given | {"NeuralProcessDetector without network": without}
    return given | {"NeuralProcessDetector": NeuralProcessDetector(random_state=seed)}


@worker_of(_CALL)
def _fold_scores(
    name: str,
    detector: Any,
    pairs: Mapping[Any, Pair],
    folds: Sequence[Sequence[int]],
    fold: int,
    splitter: Any,
    scoring: Any,
    learns: bool,
) -> dict[Any, float]:
    """Score each task of a fold that can be scored by a detector that learned from the others."""
    tasks = list(pairs)
    held_out = [tasks[i] for i in folds[fold]]
    how = {"splitter": copy.deepcopy(splitter), "scoring": scoring}  # each job draws from the start
    estimator = TaskEstimator(clone(detector), **how)
    with phase(f"{name}, fold {fold + 1} of {len(folds)}"):
        if not learns:
            estimator.detector_ = clone(detector)
        else:
            rest = [pair for task, pair in pairs.items() if task not in held_out]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TaskWarning)
                estimator.fit(rest)
        parts = estimator.task_scores({task: pairs[task] for task in held_out})
    return {task: finite_mean(values, name, task) for task, values in parts.items()}


def _choose(scores: Mapping[str, Array]) -> tuple[str, str]:
    """Choose the simplest detector that the best one does not clearly beat, and give the reason."""
    names = list(scores)
    best = max(names, key=lambda name: scores[name].mean())
    for name in names[: names.index(best)]:
        gain = scores[best] - scores[name]
        if not clearly_better(gain, least=2):
            return name, (
                f"{name}: {best} is ahead by {gain.mean():.3f} on {len(gain)} held-out tasks, "
                f"which is within one standard error ({standard_error(gain):.3f})."
            )
    simpler = f" and clearly ahead of what is simpler than {best}" if names[0] != best else ""
    return best, f"{best}: best on {len(scores[best])} held-out tasks{simpler}."
