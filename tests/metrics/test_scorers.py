"""Scorers: the anomaly is positive whatever the coding of the labels and whichever library."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from pyod.models.knn import KNN
from sklearn.base import clone
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sklearn_fsad.adapters import PyODDetector, to_pyod
from sklearn_fsad.metrics import anomaly_scorer, anomaly_scorers, evaluation_report

METRICS = ["roc_auc", "average_precision", "f1", "precision", "recall", "accuracy"]

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(size=(80, 3)), RNG.normal(1.5, 2, size=(20, 3))])
TRUTH = np.array([0] * 80 + [1] * 20)
CODINGS = {
    "zero_one": TRUTH,
    "signed": 1 - 2 * TRUTH,
    "bool": TRUTH.astype(bool),
    "series": pd.Series(1 - 2 * TRUTH),
    "polars": pl.Series(TRUTH),
    "list": TRUTH.tolist(),
}


def fitted_search(detector, **grid):
    search = GridSearchCV(detector, grid, scoring=anomaly_scorer(), cv=StratifiedKFold(2))
    return search.fit(X[::2], TRUTH[::2])


ESTIMATORS = {
    "sklearn": lambda: IsolationForest(random_state=0).fit(X[:80]),
    "sklearn_pipeline": lambda: make_pipeline(
        StandardScaler(), LocalOutlierFactor(novelty=True)
    ).fit(X[:80]),
    "pyod": lambda: KNN().fit(X[:80]),
    "pyod_pipeline": lambda: make_pipeline(StandardScaler(), KNN()).fit(X[:80]),
    "pyod_in_a_search": lambda: fitted_search(KNN(), n_neighbors=[3, 5]),
    "pyod_pipeline_in_a_search": lambda: fitted_search(
        make_pipeline(StandardScaler(), KNN()), knn__n_neighbors=[3, 5]
    ),
    "pyod_frozen": lambda: FrozenEstimator(KNN().fit(X[:80])),
    "pyod_adapted": lambda: PyODDetector(KNN()).fit(X[:80]),
    "sklearn_as_pyod": lambda: to_pyod(IsolationForest(random_state=0)).fit(X[:80]),
}


def truth_by_hand(estimator, inverted):
    scores, labels = estimator.decision_function(X), estimator.predict(X)
    scores, flags = (-scores, labels == -1) if inverted else (scores, labels == 1)
    return {
        "roc_auc": roc_auc_score(TRUTH, scores),
        "average_precision": average_precision_score(TRUTH, scores),
        "f1": f1_score(TRUTH, flags),
        "precision": precision_score(TRUTH, flags),
        "recall": recall_score(TRUTH, flags),
        "accuracy": accuracy_score(TRUTH, flags),
    }


@pytest.mark.parametrize("name", ESTIMATORS)
def test_scores_do_not_depend_on_coding_or_library(name):
    estimator = ESTIMATORS[name]()
    inverted = name in ("sklearn", "sklearn_pipeline", "pyod_adapted")
    expected = truth_by_hand(estimator, inverted)
    assert expected["roc_auc"] > 0.7
    assert list(expected) == METRICS
    for y in CODINGS.values():
        assert evaluation_report(estimator, X, y) == pytest.approx(expected)
        for metric, scorer in anomaly_scorers().items():
            assert scorer(estimator, X, y) == pytest.approx(expected[metric])


@pytest.mark.parametrize("labels", [[0, 1], [1, -1], [2, 4]])
@pytest.mark.parametrize(
    "classifier",
    [RandomForestClassifier(10, random_state=0), LogisticRegression(), LinearSVC()],
    ids=lambda c: type(c).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn_fsad.exceptions.LabelConventionWarning")
def test_binary_classifiers_are_read_by_the_class_of_the_anomalies(classifier, labels):
    y = np.array(labels)[TRUTH]
    classifier = clone(classifier).fit(X[::2], y[::2])
    report = evaluation_report(classifier, X, y)
    assert report["roc_auc"] > 0.6
    assert report["average_precision"] > 0.4
    assert report["f1"] == f1_score(TRUTH, classifier.predict(X) == labels[1])


def test_classifier_of_three_classes_is_refused():
    y = np.arange(100) % 3
    with pytest.raises(ValueError, match="two classes"):
        anomaly_scorer(outlier_label=2)(LogisticRegression().fit(X, y), X, y)


@pytest.mark.parametrize("to_frame", [lambda a: a, pd.DataFrame, pl.DataFrame])
def test_unlabelled_rows_are_dropped_from_any_container(to_frame):
    columns = ["a", "b", "c"]
    frame = to_frame(X) if to_frame(X) is X else to_frame(dict(zip(columns, X.T, strict=True)))
    y = TRUTH.astype(float)
    y[::3] = np.nan
    keep = np.flatnonzero(~np.isnan(y))
    detector = IsolationForest(random_state=0).fit(frame)
    expected = roc_auc_score(TRUTH[keep], -detector.decision_function(frame)[keep])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a frame that lost its column names would warn
        assert anomaly_scorer()(detector, frame, y) == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
@pytest.mark.parametrize("y", [np.zeros(100), [-1] * 100, [np.nan] * 100])
def test_one_class_gives_nan_with_a_warning(metric, y):
    detector = IsolationForest(random_state=0).fit(X)
    with pytest.warns(UndefinedMetricWarning, match=metric):
        assert np.isnan(anomaly_scorer(metric)(detector, X, y))


def test_report_of_one_class_has_nan_for_the_ranking_metrics_only():
    with pytest.warns(UndefinedMetricWarning):
        report = evaluation_report(ESTIMATORS["sklearn"](), X, np.zeros(100))
    assert [name for name, value in report.items() if np.isnan(value)] == METRICS[:2]
    with pytest.warns(UndefinedMetricWarning, match="no labelled row"):
        report = evaluation_report(ESTIMATORS["sklearn"](), X, [np.nan] * 100)
    assert all(np.isnan(value) for value in report.values())


def test_nothing_flagged_gives_zero_without_a_warning():
    detector = PyODDetector(KNN(contamination=0.01)).fit(X)
    detector.offset_ = -1e9
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluation_report(detector, X, TRUTH)
    assert report["f1"] == report["precision"] == report["recall"] == 0
    assert report["accuracy"] == 0.8


@pytest.mark.parametrize("scoring", [anomaly_scorer(), anomaly_scorers("roc_auc", "f1")])
@pytest.mark.parametrize("sign", [1, -1])
def test_grid_search_picks_the_better_detector_in_either_coding(scoring, sign):
    y = TRUTH if sign == 1 else 1 - 2 * TRUTH
    rows = np.random.default_rng(1).permutation(100)
    search = GridSearchCV(
        IsolationForest(random_state=0),
        {"max_samples": [2, 50]},
        scoring=scoring,
        refit="roc_auc" if isinstance(scoring, dict) else True,
        cv=2,
    ).fit(X[rows], y[rows])
    assert search.best_params_ == {"max_samples": 50}
    assert search.best_score_ > 0.7


def test_scorer_works_in_cross_validate_with_two_processes():
    rows = np.random.default_rng(1).permutation(100)
    result = cross_validate(
        KNN(), X[rows], TRUTH[rows], scoring=anomaly_scorers("roc_auc"), cv=2, n_jobs=2
    )
    assert (result["test_roc_auc"] > 0.7).all()


def test_scorers_pickle_and_compare_by_value():
    scorer = anomaly_scorer("f1", outlier_label="defect")
    assert pickle.loads(pickle.dumps(scorer)) == scorer == clone(scorer, safe=False)
    assert scorer != anomaly_scorer("f1")
    assert "f1" in repr(scorer)


def test_outlier_label_is_passed_on():
    y = np.where(TRUTH == 1, "defect", "ok")
    detector = IsolationForest(random_state=0).fit(X)
    expected = anomaly_scorer()(detector, X, TRUTH)
    assert anomaly_scorer(outlier_label="defect")(detector, X, y) == expected
    assert evaluation_report(detector, X, y, outlier_label="defect")["roc_auc"] == expected


def test_unknown_metric_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'auc'.*roc_auc, average_precision, f1"):
        anomaly_scorer("auc")
    with pytest.raises(ValueError, match="mcc"):
        anomaly_scorers("roc_auc", "mcc")


def test_missing_labels_are_refused():
    with pytest.raises(ValueError, match="needs y"):
        anomaly_scorer()(ESTIMATORS["sklearn"](), X, None)


def test_a_report_prints_rounded_and_holds_what_was_measured(monkeypatch):
    monkeypatch.setattr("sklearn_fsad.metrics._scorers._measure", lambda *_: 0.9999999999999999)
    X = np.array([[0.0], [0.1], [0.2], [9.0]])
    report = evaluation_report(IsolationForest(random_state=0).fit(X), X, [0, 0, 0, 1])
    assert set(report.values()) == {0.9999999999999999}
    assert str(report).startswith("{'roc_auc': 1.0, 'average_precision': 1.0")
    assert pickle.loads(pickle.dumps(report)) == report
