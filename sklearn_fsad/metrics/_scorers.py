"""Score detectors with the anomaly as the positive class, for any label coding and library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from .._input.callers import warn_if_search_ties
from .._input.containers import n_rows, take_rows
from .._input.estimators import (
    anomaly_predictions,
    anomaly_scores,
    coding_of_fit,
    takes_times,
)
from .._input.labels import ANOMALOUS, UNLABELLED, encode_labels
from .._stats.ranking import known_weights
from .._values import plain_scalar
from .._warn import warn

_RANKING: dict[str, Callable[..., Any]] = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
}
_DECISION: dict[str, Callable[..., Any]] = {
    "f1": f1_score,
    "precision": precision_score,
    "recall": recall_score,
    "accuracy": accuracy_score,
}
_METRICS = (*_RANKING, *_DECISION)


@dataclass(frozen=True)
class AnomalyScorer:
    """Score ``(estimator, X, y)``; made by :func:`anomaly_scorer`, and picklable.

    Parameters
    ----------
    metric : str
        Name of the metric.
    outlier_label : "auto", number or str, default="auto"
        The label of the anomalies in the ``y`` that the scorer is called with.
    """

    metric: str
    outlier_label: Any = "auto"

    def __post_init__(self) -> None:
        if self.metric not in _METRICS:
            raise ValueError(
                f"Unknown metric {self.metric!r}: choose one of {', '.join(_METRICS)}."
            )

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Score a fitted estimator on the labelled rows of ``(X, y)``, which may have weights."""
        labelled, truth = read_truth(estimator, X, y, self.outlier_label)
        weight = known_weights(sample_weight, labelled)
        if self.metric in _RANKING:
            warn_if_search_ties()
        if len(truth) == 0 or (self.metric in _RANKING and truth.min() == truth.max()):
            return undefined(self.metric, truth)
        answer = anomaly_scores if self.metric in _RANKING else anomaly_predictions
        answers = answers_for(answer, estimator, X, labelled, self.outlier_label)
        return _measure(self.metric, truth, answers, weight)


def anomaly_scorer(metric: str = "roc_auc", *, outlier_label: Any = "auto") -> AnomalyScorer:
    """Make a scorer in which the anomaly is the positive class.

    scikit-learn's own names (``scoring="roc_auc"``) take the label 1 as positive: with labels 0 and
    1 a search then picks the worst detector, and with 1 and -1 ``"f1"`` and ``"average_precision"``
    describe the inliers. These scorers give the same number for every coding. They accept outlier
    detectors of scikit-learn and of PyOD, whose scores have the opposite sign, and binary
    classifiers, also at the end of a pipeline or inside a fitted search. Unlabelled rows are left
    out; of a series, whose detector takes ``times``, they are scored with the others first.

    Parameters
    ----------
    metric : {"roc_auc", "average_precision", "f1", "precision", "recall", "accuracy"}, \
default="roc_auc"
        The metric. The first two rank by ``decision_function``; if all labelled rows are of one
        class they are NaN, with scikit-learn's ``UndefinedMetricWarning``. The others evaluate
        ``predict``; if nothing is flagged or anomalous they are 0.
    outlier_label : "auto", label or list of labels, default="auto"
        The label of the anomalies, read as in the detectors. With "auto", labels that are all 1
        have the meaning they had when the estimator was fitted.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y) -> float`` for ``scoring=`` of searches and
        ``cross_validate``; ``X`` of shape (n_samples, n_features) as array or frame, ``y`` of shape
        (n_samples,).

    Raises
    ------
    ValueError
        If ``metric`` is unknown; when the scorer is called, if ``y`` is None or its coding is not
        accepted.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from sklearn_fsad.metrics import anomaly_scorer
    >>> X = np.array([[0.0], [0.1], [0.2], [0.1], [9.0]])
    >>> forest = IsolationForest(random_state=0).fit(X)
    >>> scorer = anomaly_scorer("roc_auc")
    >>> scorer(forest, X, [0, 0, 0, 0, 1]), scorer(forest, X, [1, 1, 1, 1, -1])
    (1.0, 1.0)
    """
    return AnomalyScorer(plain_scalar(metric), outlier_label)


def anomaly_scorers(*metrics: str, outlier_label: Any = "auto") -> dict[str, AnomalyScorer]:
    """Make the ``scoring=`` dict of a multi-metric search.

    Parameters
    ----------
    *metrics : str
        Names as in :func:`anomaly_scorer`; all six when none is given.
    outlier_label : "auto", number or str, default="auto"
        The label of the anomalies.

    Returns
    -------
    scorers : dict of str to callable
        A scorer for each name.

    Examples
    --------
    >>> from sklearn_fsad.metrics import anomaly_scorers
    >>> list(anomaly_scorers("roc_auc", "f1"))
    ['roc_auc', 'f1']
    """
    return {name: AnomalyScorer(name, outlier_label) for name in metrics or _METRICS}


def evaluation_report(
    estimator: Any, X: Any, y: Any, *, outlier_label: Any = "auto"
) -> dict[str, float]:
    """Evaluate a fitted detector by all six metrics; rows are scored once.

    Parameters
    ----------
    estimator : estimator
        A fitted outlier detector of scikit-learn or PyOD, or a binary classifier.
    X : array-like or frame of shape (n_samples, n_features)
        Rows to score.
    y : array-like of shape (n_samples,)
        Their labels; unlabelled rows are left out.
    outlier_label : "auto", number or str, default="auto"
        The label of the anomalies.

    Returns
    -------
    report : dict of str to float
        ``roc_auc``, ``average_precision``, ``f1``, ``precision``, ``recall``, ``accuracy``; printed
        with four decimals.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from sklearn_fsad.metrics import evaluation_report
    >>> X = np.array([[0.0], [0.1], [0.2], [0.1], [9.0]])
    >>> report = evaluation_report(IsolationForest(random_state=0).fit(X), X, [0, 0, 0, 0, 1])
    >>> report["average_precision"], report["recall"]
    (1.0, 1.0)
    """
    labelled, truth = read_truth(estimator, X, y, outlier_label)
    if len(truth) == 0:
        return _Figures({name: undefined(name, truth) for name in _METRICS})
    scores = answers_for(anomaly_scores, estimator, X, labelled, outlier_label)
    flags = answers_for(anomaly_predictions, estimator, X, labelled, outlier_label)
    one_class = truth.min() == truth.max()
    ranking = {
        n: undefined(n, truth) if one_class else _measure(n, truth, scores) for n in _RANKING
    }
    found = ranking | {name: _measure(name, truth, flags) for name in _DECISION}
    return _Figures(found)


class _Figures(dict[str, float]):
    """A dict of figures that prints them rounded."""

    def __repr__(self) -> str:
        return repr({name: round(value, 4) for name, value in self.items()})


def read_truth(
    estimator: Any, X: Any, y: Any, outlier_label: Any
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows are labelled, (n_samples,), and which of those are anomalous."""
    if y is None:
        raise ValueError("An anomaly metric needs y, the labels of the rows; got None.")
    codes = encode_labels(
        y,
        n_rows(X),
        outlier_label=outlier_label,
        require_normal=False,
        known=coding_of_fit(estimator),
    )
    labelled = codes != UNLABELLED
    return labelled, codes[labelled] == ANOMALOUS


def answers_for(
    answer: Callable[..., NDArray[Any]],
    estimator: Any,
    X: Any,
    labelled: NDArray[np.bool_],
    outlier_label: Any,
) -> NDArray[Any]:
    """Return the answers for the labelled rows; a detector for series needs the others too."""
    if labelled.all() or takes_times(estimator, "decision_function"):
        return answer(estimator, X, outlier_label)[labelled]
    return answer(estimator, take_rows(X, np.flatnonzero(labelled)), outlier_label)


def _measure(
    metric: str, truth: NDArray[np.bool_], answer: NDArray[Any], weight: NDArray[Any] | None = None
) -> float:
    if metric in _RANKING:
        return float(_RANKING[metric](truth, answer, sample_weight=weight))
    quiet = {} if metric == "accuracy" else {"zero_division": 0}
    return float(_DECISION[metric](truth, answer, sample_weight=weight, **quiet))


def undefined(metric: str, truth: NDArray[np.bool_]) -> float:
    """Warn that a metric is not defined without rows of both classes, and return NaN."""
    found = "no labelled row" if len(truth) == 0 else "labelled rows of one class only"
    warn(f"{metric} is not defined for {found}; it is NaN.", UndefinedMetricWarning)
    return float("nan")
