"""Score detectors on series, by the metrics of aeon for anomalies that last for many steps."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._input.estimators import anomaly_predictions, anomaly_scores
from .._values import plain_scalar
from ._scorers import answers_for, read_truth, undefined

_RANKING = {
    "vus_pr": "range_pr_vus_score",
    "vus_roc": "range_roc_vus_score",
    "range_pr_auc": "range_pr_auc_score",
    "range_roc_auc": "range_roc_auc_score",
}
_DECISION = {
    "range_f1": "range_f_score",
    "range_precision": "range_precision",
    "range_recall": "range_recall",
}
_METRICS = _RANKING | _DECISION


@dataclass(frozen=True)
class SeriesScorer:
    """Score ``(estimator, X, y)`` on a series; made by :func:`series_scorer`, and picklable.

    Parameters
    ----------
    metric : str
        Name of the metric.
    params : mapping of str to Any, default={}
        Parameters of aeon's function.
    outlier_label : "auto", number or str, default="auto"
        The label of the anomalies in the ``y`` that the scorer is called with.
    """

    metric: str
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)
    outlier_label: Any = "auto"

    def __post_init__(self) -> None:
        if self.metric not in _METRICS:
            raise ValueError(
                f"Unknown metric {self.metric!r}: choose one of {', '.join(_METRICS)}."
            )
        known = list(inspect.signature(_of_aeon(self.metric)).parameters)[2:]  # but y_true, y_score
        unknown = [name for name in self.params if name not in known]
        if unknown:
            raise TypeError(f"{self.metric} has no parameter {unknown[0]!r}, only {known}.")

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        """Score a fitted estimator on the steps of a series, in order, and their labels."""
        labelled, truth = read_truth(estimator, X, y, self.outlier_label)
        ranks = self.metric in _RANKING
        if len(truth) == 0 or (ranks and truth.min() == truth.max()):
            return undefined(self.metric, truth)
        answer = anomaly_scores if ranks else anomaly_predictions
        answers = answers_for(answer, estimator, X, labelled, self.outlier_label)
        if ranks:
            _refuse_infinite(answers, estimator)
        elif not answers.any():
            return 0.0  # where aeon warns that all answers are the same
        measure = _of_aeon(self.metric)
        return float(measure(truth.astype(int), answers, **self.params))


def series_scorer(
    metric: str = "vus_pr", *, outlier_label: Any = "auto", **params: Any
) -> SeriesScorer:
    """Make a scorer for series, in which the anomaly is the positive class.

    Anomalies in series last for many steps, and a detector may be early or late by a few. These
    metrics allow for that, and nothing is point-adjusted: a stretch is not counted as found because
    one of its steps was. They are those of aeon, which is an optional dependency:
    ``pip install "sklearn-fsad[series]"``. As for :func:`anomaly_scorer`, labels may have any
    coding, and detectors may be of scikit-learn or PyOD.

    Parameters
    ----------
    metric : {"vus_pr", "vus_roc", "range_pr_auc", "range_roc_auc", "range_f1", \
"range_precision", "range_recall"}, default="vus_pr"
        The metric. The first four [1]_ rank by ``decision_function`` and count steps next to an
        anomaly in part, those within ``buffer_size // 2``; "vus" is the mean over all buffers up
        to ``max_buffer_size``. If all labelled steps are of one class they are NaN, with
        scikit-learn's ``UndefinedMetricWarning``. The others [2]_ evaluate ``predict``; if nothing
        is flagged or anomalous they are 0.
    outlier_label : "auto", label or list of labels, default="auto"
        The label of the anomalies, read as in the detectors.
    **params : Any
        Parameters of aeon's function, such as ``max_buffer_size`` for "vus" (default 500),
        ``buffer_size`` (default: the median length of the anomalies) for the two after them, and
        ``cardinality`` for the others.

    Returns
    -------
    scorer : SeriesScorer
        ``scorer(estimator, X, y) -> float``, for the steps of one series in order: ``X`` of shape
        (n_steps, n_features), ``y`` of shape (n_steps,).

    Raises
    ------
    ImportError
        If aeon cannot be imported.
    ValueError
        If ``metric`` is unknown; when the scorer is called, if ``y`` is None or its coding is not
        accepted, or scores are infinite or NaN.
    TypeError
        If the metric has no such parameter.

    Notes
    -----
    Unlabelled steps are scored with the others, if the detector takes ``times``, and then left
    out: the steps before and after them count as neighbours.

    Set ``max_buffer_size`` to about the length of the anomalies. A buffer that is far longer makes
    most steps count as anomalous in part, so bad detectors look good; and time grows with it, and
    with the number of steps: aeon's default takes seconds for some thousand steps.

    References
    ----------
    .. [1] J. Paparrizos, P. Boniol, T. Palpanas, R. S. Tsay, A. Elmore, M. J. Franklin, "Volume
       under the surface: a new accuracy evaluation measure for time-series anomaly detection",
       PVLDB 15(11), 2022.
    .. [2] N. Tatbul, T. J. Lee, S. Zdonik, M. Alam, J. Gottschlich, "Precision and recall for time
       series", NeurIPS 2018.

    Examples
    --------
    >>> from sklearn_fsad.metrics import series_scorer
    >>> scorer = series_scorer("vus_pr", max_buffer_size=20)  # doctest: +SKIP
    """
    return SeriesScorer(plain_scalar(metric), params, outlier_label)


def _of_aeon(metric: str) -> Callable[..., Any]:
    try:
        from aeon.benchmarking.metrics import anomaly_detection
    except ImportError as error:
        raise ImportError(
            f'{metric} is computed by aeon, pip install "sklearn-fsad[series]". Importing it '
            f"failed: {error}"
        ) from error
    function: Callable[..., Any] = getattr(anomaly_detection, _METRICS[metric])
    return function


def _refuse_infinite(scores: NDArray[np.float64], estimator: Any) -> None:
    """Refuse what aeon would replace by 0 or 1."""
    n = int((~np.isfinite(scores)).sum())
    if n:
        raise ValueError(
            f"decision_function of {type(estimator).__name__} gave {n} of {len(scores)} scores "
            "that are infinite or NaN: steps cannot be ranked by them."
        )
