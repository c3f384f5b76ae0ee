"""Read scores and predictions of scikit-learn and PyOD with one sign: larger, True = anomalous."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from .codings import Coding
from .labels import ANOMALOUS, common_coding, encode_labels


def anomaly_scores(estimator: Any, X: Any, outlier_label: Any = "auto") -> NDArray[np.float64]:
    """Return anomaly scores of any supported estimator, larger = more anomalous: (n_samples,)."""
    if is_classifier(estimator):
        column = anomaly_column(estimator, outlier_label)
        if hasattr(estimator, "predict_proba"):
            return np.asarray(estimator.predict_proba(X), dtype=np.float64)[:, column]
        margin = np.asarray(estimator.decision_function(X), dtype=np.float64)
        return margin if column == 1 else -margin
    scores = np.asarray(estimator.decision_function(X), dtype=np.float64).ravel()
    return scores if is_pyod(estimator) else -scores


def anomaly_predictions(estimator: Any, X: Any, outlier_label: Any = "auto") -> NDArray[np.bool_]:
    """Return predictions of any supported estimator, True = anomalous: (n_samples,)."""
    answer = np.asarray(estimator.predict(X)).ravel()
    if is_classifier(estimator):
        anomalous = estimator.classes_[anomaly_column(estimator, outlier_label)]
        return np.array([label == anomalous for label in answer], dtype=np.bool_)
    return np.equal(answer, 1 if is_pyod(estimator) else -1)


def without_nan(scores: NDArray[np.float64], n: int, name: str) -> NDArray[np.float64]:
    """Return the scores of n rows; refuse NaN, which is no answer, and another number of them."""
    n_missing = int(np.isnan(scores).sum())
    if n_missing or len(scores) != n:
        raise ValueError(f"{name} gave {len(scores)} scores for {n} rows, {n_missing} of them NaN.")
    return scores


def final_estimator(estimator: Any) -> Any:
    """Return the detector at the end of pipelines, fitted searches and frozen estimators."""
    while True:
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return estimator


def seeded(estimator: Any, seed: int) -> Any:
    """Clone an estimator, with a seed where it and its parts have none."""
    copy = clone(estimator)
    for name, value in copy.get_params(deep=True).items():
        if name.rpartition("__")[2] == "random_state" and value is None:
            copy.set_params(**{name: seed})
    return copy


def preprocessed(estimator: Any, X: Any) -> Any:
    """Apply the steps before the detector, in pipelines, fitted searches and frozen estimators."""
    while estimator is not final_estimator(estimator):
        if isinstance(estimator, Pipeline):
            X = estimator[:-1].transform(X) if len(estimator) > 1 else X
            estimator = estimator.steps[-1][1]
        else:
            estimator = getattr(estimator, "best_estimator_", None) or estimator.estimator
    return X


def settable_detector(estimator: Any) -> Any:
    """Return the detector in pipelines and unfitted searches; None where it is frozen."""
    while not isinstance(estimator, FrozenEstimator):
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "estimator") and not hasattr(estimator, "outlier_label"):
            estimator = estimator.estimator
        else:
            return estimator
    return None


def coding_of_fit(estimator: Any) -> Coding | None:
    """Return the coding of the labels that a detector or classifier was fitted with, if known."""
    fitted = final_estimator(estimator)
    if is_pyod(fitted):
        fitted = final_estimator(getattr(fitted, "estimator_", fitted))  # one of ours, converted
    coding: Coding | None = getattr(fitted, "_coding", None)
    if coding is None and is_classifier(fitted):
        coding = common_coding([getattr(fitted, "classes_", None)])
    return coding


def is_pyod(estimator: Any) -> bool:
    """Tell whether the detector is PyOD's, by its base class: PyOD's tags have the other sign."""
    return any(
        cls.__name__ == "BaseDetector" and cls.__module__ == "pyod.models.base"
        for cls in type(final_estimator(estimator)).__mro__
    )


def requires_labels(detector: Any) -> bool:
    """Tell whether ``fit`` cannot do without ``y``, as that of PyOD's XGBOD and DevNet."""
    y = inspect.signature(detector.fit).parameters.get("y") if hasattr(detector, "fit") else None
    if y is not None and y.default is inspect.Parameter.empty:
        return True
    has_tags = hasattr(detector, "__sklearn_tags__") and not is_pyod(detector)
    return has_tags and bool(get_tags(detector).target_tags.required)


def uses_labels(detector: Any) -> bool:
    """Tell whether a detector is to be given labels; others are to be fitted to normal rows alone.

    They are given to detectors of this package, to classifiers, to whatever says that it requires
    them, and to searches, which rank candidates by them.
    """
    from sklearn.model_selection._search import BaseSearchCV

    if isinstance(detector, Pipeline):
        *before, (_, last) = detector.steps
        return uses_labels(last) or any(requires_labels(step) for _, step in before)
    if isinstance(detector, BaseSearchCV):
        return True
    last = final_estimator(detector)
    return hasattr(last, "meta_fit") or requires_labels(last)


def takes_times(estimator: Any, method: str) -> bool:
    """Tell whether a method takes the times of rows: then they are steps of a series, in order."""
    function = getattr(final_estimator(estimator), method, None)
    try:
        return function is not None and "times" in inspect.signature(function).parameters
    except ValueError:  # of compiled functions
        return False


def anomaly_column(classifier: Any, outlier_label: Any) -> int:
    """Return the position of the anomalous class in ``classes_`` of a fitted classifier."""
    classes = classifier.classes_
    codes = encode_labels(classes, len(classes), outlier_label=outlier_label, require_normal=False)
    if len(classes) != 2 or (codes == ANOMALOUS).sum() != 1:
        raise ValueError(
            f"{type(classifier).__name__} was fitted on the classes {list(classes)}: an anomaly "
            "metric needs a classifier of two classes, one of them the anomalies."
        )
    return int(np.argmax(codes == ANOMALOUS))
