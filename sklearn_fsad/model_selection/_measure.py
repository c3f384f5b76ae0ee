"""Measure a detector on the tasks of a fold, which it was not meta-fitted on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from .._explain.in_vain import trained_in_vain
from .._input.estimators import seeded, uses_labels
from .._input.labels import ANOMALOUS, NORMAL
from .._state import MetaState
from .._training.progress import worker_of
from .._typing import Array
from ..exceptions import TaskWarning
from ..metrics import AnomalyScorer
from ..tasks._task_set import TaskSet

Support = tuple[NDArray[np.intp], NDArray[np.intp]]  # rows of the support and of the query
Told = tuple[type[Warning], str]
Draws = Mapping[tuple[int, int], Sequence[Support]]  # (task, shots) -> the draws, by position


@dataclass(frozen=True)
class Failure:
    """Hold where a detector failed, by positions, and why."""

    task: int
    shots: int
    error: Exception


@worker_of("compare")
def measure_fold(
    detector: Any,
    tasks: TaskSet,
    fold: Sequence[int],
    draws: Draws,
    **how: Any,
) -> tuple[dict[tuple[int, int, int], Array], list[Failure], tuple[bool, bool], list[Told]]:
    """Score a detector on the tasks of a fold, after it was meta-fitted on the other tasks.

    Parameters are those of :func:`_measured`.

    Returns
    -------
    scores : dict of (task, shots, draw) to ndarray of shape (n_scorers,)
        Positions -> the score by each scorer.
    failures : list of Failure
    in_vain : (bool, bool)
        Whether what was trained is not used on supports without and with labelled anomalies.
    told : list of (type of Warning, str)
        Warnings that were issued meanwhile, maybe in another process.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", TaskWarning)
        found = _measured(detector, tasks, fold, draws, **how)
    return *found, [(warning.category, str(warning.message)) for warning in caught]


def _measured(
    detector: Any,
    tasks: TaskSet,
    fold: Sequence[int],
    draws: Draws,
    scorers: Mapping[str, AnomalyScorer],
    learns: bool,
    seed: int,
    may_fail: bool,
) -> tuple[dict[tuple[int, int, int], Array], list[Failure], tuple[bool, bool]]:
    """Score a detector; without ``may_fail`` its errors are raised."""
    cells = [cell for cell in draws if cell[0] in fold]
    try:
        ready = seeded_coded(detector, seed)
        if learns:
            ready = ready.meta_fit(tasks.subset(i for i in range(tasks.n_tasks) if i not in fold))
    except Exception as error:  # any that another library may raise
        if not may_fail:
            raise
        return {}, [Failure(*cell, error) for cell in cells], (False, False)
    scores, failures = {}, []
    for task, shots in cells:
        try:
            for i, support in enumerate(draws[task, shots]):
                values = _scores(ready, tasks[task].X, tasks[task].y, support, scorers)
                scores[task, shots, i] = values
        except Exception as error:  # as above
            if not may_fail:
                raise
            failures.append(Failure(task, shots, error))
    state = getattr(ready, "pretrained", None) if learns else None
    in_vain = trained_in_vain(state) if isinstance(state, MetaState) else (False, False)
    return scores, failures, in_vain


def seeded_coded(detector: Any, seed: int) -> Any:
    """Clone a detector, with a seed where it and its parts have none, and 1 as the anomalies."""
    copy = seeded(detector, seed)
    for name in copy.get_params(deep=True):
        if name.rpartition("__")[2] == "outlier_label":
            copy.set_params(**{name: ANOMALOUS})
    return copy


def _scores(
    detector: Any,
    X: Array,
    codes: NDArray[np.int8],
    support: Support,
    scorers: Mapping[str, AnomalyScorer],
) -> Array:
    """Fit a clone to a support and score the query by each scorer: (n_scorers,)."""
    train, test = support
    fitted = clone(detector)
    if uses_labels(detector):
        fitted.fit(X[train], codes[train].astype(int))
    else:
        fitted.fit(X[train[codes[train] == NORMAL]])
    y = codes[test].astype(int)
    values = np.array([scorer(fitted, X[test], y) for scorer in scorers.values()])
    if not np.isfinite(values).all():
        raise ValueError(f"scores by {', '.join(scorers)} are not finite: {values.tolist()}")
    return values
