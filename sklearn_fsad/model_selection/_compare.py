"""Compare detectors on the same supports of held-out tasks."""

from __future__ import annotations

import numbers
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import FitFailedWarning

from .._input.labels import codes_to_labels
from .._training.progress import advance, expect_more, progress
from .._typing import Array
from .._values import plain_scalar
from .._warn import warn
from ..exceptions import TaskWarning
from ..metrics import AnomalyScorer, anomaly_scorer
from ..tasks._task_set import TaskSet
from ._comparison import Comparison
from ._comparison_tables import shots_name
from ._few_shot_split import FewShotSplit
from ._measure import Draws, Failure, measure_fold
from ._splits import draw_seed


def compare(
    detectors: Mapping[str, Any] | Iterable[Any],
    tasks: Any,
    shots: Sequence[tuple[int, int]] = ((10, 0), (50, 5)),
    *,
    scoring: str | Sequence[str] = ("roc_auc", "average_precision"),
    cv: Any = None,
    n_draws: int = 5,
    n_query: int | None = None,
    without_meta_fit: Collection[str] = (),
    outlier_label: Any = "auto",
    error_score: Any = np.nan,
    n_jobs: int | None = None,
    random_state: Any = None,
    verbose: int | None = None,
) -> Comparison:
    """Compare detectors on held-out tasks, as in the tables of papers.

    Detectors with ``meta_fit`` are meta-fitted on the tasks of the other folds. All detectors are
    then fitted to the same few rows of each held-out task (a support) and evaluated on the same
    other rows of it.

    Parameters
    ----------
    detectors : mapping of str to estimator, or list of estimators
        Detectors of this package, scikit-learn or PyOD, pipelines and classifiers; clones are
        fitted. Those of a list are named by their classes. Labels are given to detectors with
        ``meta_fit``, to classifiers and to detectors that cannot be fitted without ``y``, also at
        the end of a pipeline. All others are fitted only to the normal rows of each support, since
        they cannot tell its anomalies apart.
    tasks : TaskSet, list or mapping
        Tasks in any form that ``meta_fit`` accepts, with labelled anomalies.
    shots : sequence of (int, int), default=((10, 0), (50, 5))
        Numbers of normal and of anomalous rows of the supports. A task is left out of a setting,
        with a warning, unless it has more rows of each kind than that.
    scoring : str or sequence of str, default=("roc_auc", "average_precision")
        Names known to :func:`~sklearn_fsad.anomaly_scorer`.
    cv : int or cross-validator, default=None
        Folds over tasks. A number holds out whole groups of tasks; None means 5, or one for each
        group where there are fewer. A cross-validator is given positions of tasks and
        their groups, and holds out each task at most once.
    n_draws : int, default=5
        Supports drawn from each task.
    n_query : int, default=None
        Largest number of rows to score in each task, as in :class:`FewShotSplit`; None means all
        others.
    without_meta_fit : collection of str, default=()
        Names of detectors to use as they are, without meta-fitting.
    outlier_label : "auto", number or str, default="auto"
        The label of the anomalies in the tasks.
    error_score : "raise" or nan, default=nan
        What to do where a detector cannot be fitted or scored: raise its error, or set all scores
        to NaN there, with one warning for each detector and number of shots.
    n_jobs : int, default=None
        Number of joblib jobs, each for one detector and fold; None means 1. Results do not depend
        on it.
    random_state : int, RandomState or None, default=None
        Seed of the folds and draws, and of detectors without a seed of their own.
    verbose : int, default=None
        0 shows no bar, 1 shows one at once, None after five seconds in terminals and notebooks.

    Returns
    -------
    comparison : Comparison
        The scores, with means, ranks, tests and tables. Tables mark with a dagger a meta-fitted
        detector whose training was of no use on some held-out tasks, and say on how many.

    Raises
    ------
    ValueError
        If there is no detector, a name is unknown, there are fewer groups of tasks than folds, or
        no task has enough rows for some shots.

    See Also
    --------
    suggest_detector : Suggest the simplest detector that no other is clearly better than.
    sklearn_fsad.plotting.CriticalDifferenceDisplay : Plot the mean ranks.

    Notes
    -----
    A pipeline has no ``meta_fit``: it is only fitted to the supports.

    Examples
    --------
    >>> from pyod.models.knn import KNN
    >>> from sklearn_fsad import InContextDetector
    >>> from sklearn_fsad.datasets import make_related_tasks
    >>> from sklearn_fsad.model_selection import compare
    >>> found = compare(
    ...     {"in context": InContextDetector(), "nearest": KNN(n_neighbors=1)},
    ...     make_related_tasks(4, random_state=0),
    ...     shots=[(10, 0), (10, 3)],
    ...     without_meta_fit=["in context"],
    ...     n_draws=2,
    ...     random_state=0,
    ... )
    >>> found.mean("roc_auc").shape
    (2, 2)
    """
    named = _named(detectors)
    plain = _known_names(without_meta_fit, named)
    scorers = _read_scoring(scoring)
    may_fail = _may_fail(error_score)
    seed = draw_seed(random_state)
    settings = _read_shots(shots)
    tasks = TaskSet.make(tasks, outlier_label=outlier_label, allow_nan=True)
    folds = _folds(tasks, cv, seed)
    draws: dict[tuple[int, int], list[Any]] = {}
    for position, setting in enumerate(settings):
        how: dict[str, Any] = {
            "n_draws": n_draws,
            "n_query": n_query,
            "on_short": "skip",
            "random_state": seed,
        }
        draws |= _draws(tasks, FewShotSplit(*setting, **how), position)
    held_out = {i for fold in folds for i in fold}
    draws = {cell: found for cell, found in draws.items() if cell[0] in held_out}
    _tell_short(tasks, settings, draws, held_out)

    shape = len(named), tasks.n_tasks, len(settings), n_draws
    values = {metric: np.full(shape, np.nan) for metric in scorers}
    by_default = np.zeros(shape[:3], dtype=bool)
    learns = {name: hasattr(named[name], "meta_fit") and name not in plain for name in named}
    jobs = [(d, name, fold) for d, name in enumerate(named) for fold in folds]
    failures: dict[tuple[str, int], list[Failure]] = defaultdict(list)
    given = {"scorers": scorers, "seed": seed, "may_fail": may_fail}
    warned: dict[tuple[str, type[Warning]], list[str]] = defaultdict(list)
    with progress("compare", verbose):
        expect_more(len(jobs))
        results = Parallel(n_jobs=n_jobs, return_as="generator")(
            delayed(measure_fold)(named[name], tasks, fold, draws, learns=learns[name], **given)
            for _, name, fold in jobs
        )
        for (d, name, fold), (scores, failed, in_vain, told) in zip(jobs, results, strict=True):
            _store(values, d, scores, failed)
            for s, (_, n_anomalous) in enumerate(settings):
                by_default[d, fold, s] = in_vain[n_anomalous > 0]
            for category, message in told:
                warned[name, category].append(message)
            for failure in failed:
                failures[name, failure.shots].append(failure)
            advance()
    _tell_failures(failures, tasks, settings)
    for (name, category), messages in warned.items():
        warn(f"{name} gave {len(messages)} warning(s), the first: {messages[0]}", category)
    drawn = np.zeros((tasks.n_tasks, len(settings)), dtype=bool)
    drawn[tuple(np.array(list(draws)).T)] = True
    by_default &= drawn
    return Comparison(tuple(named), tuple(tasks.names), settings, values, drawn, by_default)


def _store(
    values: Mapping[str, Array],
    detector: int,
    scores: Mapping[tuple[int, int, int], Array],
    failed: Iterable[Failure],
) -> None:
    """Write the scores of a fold into the tables; where a draw failed, all of them are NaN."""
    for cell, row in scores.items():
        for table, value in zip(values.values(), row, strict=True):
            table[detector, *cell] = value
    for failure in failed:
        for table in values.values():
            table[detector, failure.task, failure.shots] = np.nan


def _read_scoring(scoring: str | Sequence[str]) -> dict[str, AnomalyScorer]:
    names = [scoring] if isinstance(scoring, str) else list(scoring)
    if not names:
        raise ValueError("scoring names no metric: give one, such as 'roc_auc'.")
    return {str(name): anomaly_scorer(name) for name in names}


def _named(detectors: Mapping[str, Any] | Iterable[Any]) -> dict[str, Any]:
    """Name the detectors of a list by their classes, with a number where that is not unique."""
    if isinstance(detectors, Mapping):
        named = {str(name): detector for name, detector in detectors.items()}
    elif hasattr(detectors, "fit"):
        raise TypeError(f"detectors must be a mapping or a list; got one: {detectors!r}.")
    else:
        named = {}
        for detector in detectors:
            name = base = type(detector).__name__
            number = 1
            while name in named:
                number += 1
                name = f"{base} {number}"
            named[name] = detector
    if not named:
        raise ValueError("There is no detector to compare: detectors is empty.")
    return named


def _known_names(names: Collection[str], detectors: Mapping[str, Any]) -> set[str]:
    found = {names} if isinstance(names, str) else {str(name) for name in names}
    unknown = found - set(detectors)
    if unknown:
        raise ValueError(
            f"without_meta_fit names {', '.join(sorted(unknown))}; "
            f"there are {', '.join(detectors)}."
        )
    return found


def _may_fail(error_score: Any) -> bool:
    if isinstance(error_score, str) and error_score == "raise":
        return False
    if isinstance(error_score, numbers.Real) and np.isnan(float(error_score)):
        return True
    raise ValueError(f"error_score must be 'raise' or nan, got {error_score!r}.")


def _read_shots(shots: Any) -> tuple[tuple[int, int], ...]:
    try:
        settings = tuple((plain_scalar(n), plain_scalar(k)) for n, k in shots)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"shots must be pairs of normal and anomalous rows, such as [(10, 0)]; got {shots!r}."
        ) from error
    if not settings or len(set(settings)) < len(settings):
        raise ValueError(f"shots must be different pairs, at least one; got {shots!r}.")
    return settings


def _folds(tasks: TaskSet, cv: Any, seed: int) -> list[list[int]]:
    """List the positions of the tasks of each fold."""
    if hasattr(cv, "get_n_splits"):
        groups = [str(group) for group in tasks.groups]
        parts = cv.split(np.zeros((tasks.n_tasks, 1)), None, groups)
        folds = [[int(i) for i in test] for _, test in parts]
        if len({i for fold in folds for i in fold}) < sum(map(len, folds)):
            raise ValueError(f"cv={cv!r} holds out a task more than once.")
        return folds
    n_groups = len(set(tasks.groups))
    n_folds: Any = min(5, n_groups) if cv is None else plain_scalar(cv)
    if isinstance(n_folds, bool) or not isinstance(n_folds, numbers.Integral):
        raise ValueError(f"cv must be a number of folds or a cross-validator, got {cv!r}.")
    if not 2 <= int(n_folds) <= n_groups:
        raise ValueError(
            f"cv={cv!r} folds of {n_groups} group(s) of tasks: there must be at least two folds, "
            "and a group for each."
        )
    return tasks.folds(int(n_folds), seed)


def _draws(tasks: TaskSet, splitter: FewShotSplit, shots: int) -> dict[tuple[int, int], list[Any]]:
    """Draw supports and queries of all tasks, as positions within each."""
    sizes = [len(task.y) for task in tasks]
    starts = np.cumsum([0, *sizes])
    y = np.concatenate([codes_to_labels(task.y) for task in tasks])
    task_of = np.repeat(np.arange(tasks.n_tasks), sizes)
    found = defaultdict(list)
    for train, test in splitter.split(y, y, task_of):
        task = int(task_of[train[0]])
        found[task, shots].append((train - starts[task], test - starts[task]))
    return dict(found)


def _tell_short(tasks: TaskSet, settings: Any, draws: Draws, held_out: set[int]) -> None:
    parts = []
    for position, setting in enumerate(settings):
        short = [tasks[i].name for i in sorted(held_out) if (i, position) not in draws]
        if len(short) == len(held_out):
            raise ValueError(f"No held-out task has enough rows for {shots_name(setting)} shots.")
        if short:
            parts.append(f"{shots_name(setting)} shots: {', '.join(map(repr, short))}")
    if parts:
        warn(f"Tasks with too few labelled rows are left out. {'; '.join(parts)}.", TaskWarning)


def _tell_failures(
    failures: Mapping[tuple[str, int], list[Failure]], tasks: TaskSet, settings: Any
) -> None:
    for (name, shots), failed in failures.items():
        first = failed[0]
        warn(
            f"{name} failed with {shots_name(settings[shots])} shots on {len(failed)} task(s), "
            f"where its scores are NaN. On task {tasks[first.task].name!r}: "
            f"{type(first.error).__name__}: {first.error}",
            FitFailedWarning,
        )
