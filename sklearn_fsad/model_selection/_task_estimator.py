"""Wrap a detector so that its samples are tasks, for searches over meta-training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils.validation import check_is_fitted

from .._input.containers import take_rows
from .._input.labels import codes_to_labels
from .._values import as_number
from .._version import doc_link_template
from ..metrics import anomaly_scorer
from ..tasks._task_set import coded_tasks
from ._few_shot_split import FewShotSplit
from ._times import fitted_at, scoring_at, times_of


class TaskEstimator(MetaEstimatorMixin, BaseEstimator):
    """Wrap a detector as an estimator whose samples are tasks, to search over meta-training.

    ``fit`` meta-trains a clone of the detector on the given tasks; ``score`` fits it to a few rows
    of each given task and evaluates it on the other rows of the task. Since a sample is a task,
    ``GridSearchCV(TaskEstimator(detector), {"detector__lr": [...]}, cv=3).fit(tasks)`` trains and
    validates on different tasks. There ``tasks`` is a list of ``(X_t, y_t)``, which scikit-learn
    can slice; of a dict pass ``list(tasks.values())``, of a ``TaskSet`` ``list(tasks)``. Flat rows
    work with ``GroupKFold`` and metadata routing: the requests for ``groups`` are set.

    Tasks may be series, whose rows are time steps in order, with
    ``splitter=SeriesSplit(...)``. A detector whose methods take ``times`` is given the positions
    of the rows in their task, or the times in the index of a pandas frame, so that its windows do
    not cross the steps that a split leaves out.

    Parameters
    ----------
    detector : estimator
        A detector with ``meta_fit``; it is not changed.
    splitter : cross-validator, default=None
        Draws the few-shot supports inside each scored task;
        ``FewShotSplit(5, 5, n_draws=5, on_short="skip", random_state=0)`` when None.
    scoring : str or callable, default=None
        A name known to :func:`~sklearn_fsad.anomaly_scorer` or ``scorer(estimator, X, y)``;
        ``"roc_auc"`` when None. For any coding of the tasks, splitter and scorer see 0 for normal,
        1 for anomalous and NaN for unlabelled rows.

    Attributes
    ----------
    detector_ : estimator
        The meta-fitted clone, ready for ``fit`` on a new task.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV, KFold
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.model_selection import TaskEstimator
    >>> rng, y = np.random.default_rng(0), np.array([0] * 30 + [1] * 10)
    >>> tasks = [(rng.normal(size=(40, 3)) + 5 * y[:, None], y) for _ in range(6)]
    >>> detector = ProtoNetDetector(  # so little training is for a quick example only
    ...     n_normal=(5, 20), n_anomalous=(0, 5), episodes_per_epoch=8, max_epochs=1
    ... )
    >>> grid = {"detector__scaler": ["task", "none"]}
    >>> search = GridSearchCV(TaskEstimator(detector), grid, cv=KFold(2)).fit(tasks)
    >>> bool(search.best_score_ > 0.9)
    True
    """

    __metadata_request__fit = {"groups": True}  # noqa: RUF012
    __metadata_request__score = {"groups": True}  # noqa: RUF012

    _doc_link_module, _doc_link_template = "sklearn_fsad", doc_link_template

    def __init__(self, detector: Any, *, splitter: Any = None, scoring: Any = None) -> None:
        self.detector = detector
        self.splitter = splitter
        self.scoring = scoring

    def fit(self, X: Any, y: Any = None, *, groups: Any = None) -> TaskEstimator:
        """Meta-train a clone of the detector.

        Parameters
        ----------
        X : list of (X_t, y_t), mapping, TaskSet or array-like of shape (n_samples, n_features)
            Tasks in any form that ``meta_fit`` accepts.
        y : array-like of shape (n_samples,), default=None
            Labels of flat rows.
        groups : array-like of shape (n_samples,), default=None
            Task ids of flat rows.

        Returns
        -------
        self : TaskEstimator
            The meta-trained estimator.
        """
        if not hasattr(self.detector, "meta_fit"):
            raise TypeError(
                f"TaskEstimator needs a detector with meta_fit; {type(self.detector).__name__} has "
                "none. Compare other detectors by cross_validate with cv=FewShotSplit(...)."
            )
        self.detector_ = clone(self.detector).meta_fit(X, y, groups=groups)
        return self

    def score(self, X: Any, y: Any = None, *, groups: Any = None) -> float:
        """Return the mean few-shot score over the given tasks.

        Parameters
        ----------
        X : list of (X_t, y_t), mapping, TaskSet or array-like of shape (n_samples, n_features)
            Tasks as in :meth:`fit`.
        y : array-like of shape (n_samples,), default=None
            Labels of flat rows.
        groups : array-like of shape (n_samples,), default=None
            Task ids of flat rows.

        Returns
        -------
        score : float
            Mean over the tasks; each counts the same.

        Raises
        ------
        ValueError
            If no task has enough labelled rows, or a score is NaN or infinite: the mean would then
            be over other tasks than for other candidates.
        """
        scores = self.task_scores(X, y, groups=groups)
        name = type(self.detector_).__name__
        means = [finite_mean(values, name, task) for task, values in scores.items()]
        if not means:
            raise ValueError(
                "No task can be scored: none has enough labelled normal and anomalous rows for the "
                "splitter. Ask for fewer shots, or use more or other tasks in each fold."
            )
        return float(np.mean(means))

    def task_scores(
        self, X: Any, y: Any = None, *, groups: Any = None
    ) -> dict[Any, NDArray[np.float64]]:
        """Compute the few-shot scores of each task.

        Parameters
        ----------
        X : list of (X_t, y_t), mapping, TaskSet or array-like of shape (n_samples, n_features)
            Tasks as in :meth:`fit`.
        y : array-like of shape (n_samples,), default=None
            Labels of flat rows.
        groups : array-like of shape (n_samples,), default=None
            Task ids of flat rows.

        Returns
        -------
        scores : dict of ndarray of shape (n_draws,)
            Task name -> score of each draw, which may be NaN; tasks that the splitter cannot split
            are left out.
        """
        check_is_fitted(self)
        outlier_label = _outlier_label(self.detector_)
        tasks = coded_tasks(X, y, groups, outlier_label=outlier_label)
        results = {}
        for name, (X_t, codes) in tasks.items():
            try:
                scores = self._few_shot_scores(X_t, codes_to_labels(codes))
            except ValueError as error:
                raise ValueError(f"Task {name!r}: {error}") from error
            if scores:
                results[name] = np.array(scores)
        return results

    def _few_shot_scores(self, X: Any, y: NDArray[np.float64]) -> list[float]:
        splitter, scorer = self.splitter, self.scoring
        if splitter is None:
            splitter = FewShotSplit(on_short="skip", random_state=0)
        if scorer is None or isinstance(scorer, str):
            scorer = anomaly_scorer(scorer or "roc_auc")
        if splitter.get_n_splits(X, y) == 0:
            return []
        times = times_of(self.detector_, X)
        scores = []
        for train, test in splitter.split(X, y):
            detector = clone(self.detector_)
            detector.set_params(**dict.fromkeys(_label_parameters(detector), 1))
            fitted_at(detector, take_rows(X, train), y[train], _some(times, train))
            fitted = scoring_at(detector, _some(times, test))
            score = scorer(fitted, take_rows(X, test), y[test])
            scores.append(as_number(score, f"scoring={scorer!r} of {type(detector).__name__}"))
        return scores


def _some(times: NDArray[Any] | None, positions: NDArray[np.intp]) -> NDArray[Any] | None:
    return None if times is None else times[positions]


def _label_parameters(detector: Any) -> list[str]:
    """List the parameters that name the label of the anomalies, its own before those of parts."""
    names = [n for n in detector.get_params() if n.rpartition("__")[2] == "outlier_label"]
    return sorted(names, key=len)


def _outlier_label(detector: Any) -> Any:
    """Return the label of the anomalies that the detector, or else a part of it, is given."""
    names = _label_parameters(detector)
    return getattr(detector, "outlier_label", detector.get_params()[names[0]] if names else "auto")


def finite_mean(scores: NDArray[np.float64], detector: str, task: Any) -> float:
    """Average the scores of a detector on a task; refuse NaN and infinity."""
    if not np.isfinite(scores).all():
        raise ValueError(
            f"scoring gave {scores.tolist()} for {detector} on the supports of task {task!r}: "
            "nothing can be chosen by scores that are not finite."
        )
    return float(scores.mean())
