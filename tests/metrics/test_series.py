"""Metrics of series are aeon's, with the anomaly positive whatever the coding and library."""

import pickle
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from pyod.models.knn import KNN
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.model_selection import GridSearchCV, cross_validate

from sklearn_fsad.metrics import SeriesScorer, anomaly_scorer, evaluation_report, series_scorer
from sklearn_fsad.model_selection import SeriesSplit

RANKING = ("vus_pr", "vus_roc", "range_pr_auc", "range_roc_auc")
DECISION = ("range_f1", "range_precision", "range_recall")
SMALL = {"max_buffer_size": 8}

RNG = np.random.default_rng(0)
TRUTH = np.zeros(300, dtype=int)
TRUTH[120:130] = TRUTH[200:215] = TRUTH[260] = 1
X = RNG.normal(size=(300, 2)) + 1.5 * TRUTH[:, None]


class Steps(OutlierMixin, BaseEstimator):
    """A detector that scores a step by its first column."""

    def __init__(self, weight=1.0):
        self.weight = weight

    def fit(self, X, y=None):
        self.offset_ = -1.0
        return self

    def decision_function(self, X, *, times=None):
        return -self.weight * np.asarray(X)[:, 0] - self.offset_

    def predict(self, X, *, times=None):
        return np.where(self.decision_function(X) < 0, -1, 1)


class Pairs(Steps):
    """A detector for series: a step is scored with the one before."""

    def decision_function(self, X, *, times=None):
        first = np.asarray(X)[:, 0]
        return -(first + np.r_[first[0], first[:-1]]) - self.offset_


@pytest.fixture(scope="module")
def aeon():
    reason = "metrics of series need aeon: the extra 'series'"
    return pytest.importorskip(
        "aeon.benchmarking.metrics.anomaly_detection", reason=reason, exc_type=ImportError
    )


def small(metric):
    return series_scorer(metric, **(SMALL if metric.startswith("vus") else {}))


# --- what aeon computes ---------------------------------------------------------------------------
def test_numbers_are_those_of_aeon(aeon):
    detector = IsolationForest(random_state=0).fit(X[:100])
    scores, flags = -detector.decision_function(X), (detector.predict(X) == -1).astype(int)
    of_aeon = {
        "vus_pr": aeon.range_pr_vus_score(TRUTH, scores, max_buffer_size=8),
        "vus_roc": aeon.range_roc_vus_score(TRUTH, scores, max_buffer_size=8),
        "range_pr_auc": aeon.range_pr_auc_score(TRUTH, scores),
        "range_roc_auc": aeon.range_roc_auc_score(TRUTH, scores),
        "range_f1": aeon.range_f_score(TRUTH, flags),
        "range_precision": aeon.range_precision(TRUTH, flags),
        "range_recall": aeon.range_recall(TRUTH, flags),
    }
    assert list(of_aeon) == [*RANKING, *DECISION]
    for metric, expected in of_aeon.items():
        assert 0 < small(metric)(detector, X, TRUTH) == expected < 1
    alpha = series_scorer("range_recall", alpha=1.0)(detector, X, TRUTH)
    assert alpha == aeon.range_recall(TRUTH, flags, alpha=1.0) != of_aeon["range_recall"]


@pytest.mark.usefixtures("aeon")
@pytest.mark.parametrize("metric", [*RANKING, *DECISION])
def test_a_series_found_without_error_scores_1_and_a_reversed_ranking_little(metric):
    detector = Steps().fit(X)
    exact = 2.0 * TRUTH[:, None] + 1e-3 * RNG.random((300, 1))
    scorer = series_scorer(metric, **({"max_buffer_size": 0} if metric[0] == "v" else {}))
    if metric.startswith("range_") and metric.endswith("auc"):
        scorer = series_scorer(metric, buffer_size=0)
    assert scorer(detector, exact, TRUTH) == pytest.approx(1, abs=0.01)
    assert scorer(detector, 2.0 - exact, TRUTH) < 0.2


@pytest.mark.usefixtures("aeon")
@pytest.mark.parametrize("metric", ["vus_pr", "range_f1"])
@pytest.mark.parametrize(
    "fitted",
    [
        lambda: IsolationForest(random_state=0).fit(X[:100]),
        lambda: KNN().fit(X[:100]),
        lambda: RandomForestClassifier(10, random_state=0).fit(X[::2], TRUTH[::2]),
    ],
    ids=["scikit-learn", "PyOD", "classifier"],
)
def test_scores_do_not_depend_on_coding_or_library(metric, fitted):
    scorer, detector = small(metric), fitted()
    expected = scorer(detector, X, TRUTH)
    assert 0 < expected < 1
    for y in (1 - 2 * TRUTH, TRUTH.astype(bool), pd.Series(TRUTH), TRUTH.tolist()):
        assert scorer(detector, X, y) == expected
    words = np.where(TRUTH, "fault", "ok")
    if not isinstance(detector, RandomForestClassifier):
        labelled = SeriesScorer(metric, scorer.params, outlier_label="fault")
        assert labelled(detector, X, words) == expected


@pytest.mark.usefixtures("aeon")
def test_a_metric_of_one_stretch_is_not_point_adjusted():
    y = np.r_[np.zeros(50), np.ones(50)].astype(int)
    one_hit = np.zeros((100, 1))
    one_hit[60] = 2.0
    assert series_scorer("range_recall")(Steps().fit(one_hit), one_hit, y) == 1 / 50


# --- unlabelled steps -----------------------------------------------------------------------------
@pytest.mark.usefixtures("aeon")
@pytest.mark.parametrize("metric", ["range_pr_auc", "range_f1"])
def test_unlabelled_steps_are_left_out_after_they_were_scored(aeon, metric):
    y = TRUTH.astype(float)
    y[[50, 125, 199, 205]] = np.nan
    keep = ~np.isnan(y)
    detector = Pairs().fit(X)
    scores = -detector.decision_function(X)[keep]
    flags = (detector.predict(X) == -1).astype(int)[keep]
    expected = {
        "range_pr_auc": aeon.range_pr_auc_score(TRUTH[keep], scores),
        "range_f1": aeon.range_f_score(TRUTH[keep], flags),
    }
    assert series_scorer(metric)(detector, X, y) == expected[metric]


def test_scorers_of_rows_score_the_unlabelled_steps_of_a_series_too():
    y = TRUTH.astype(float)
    y[::3] = np.nan
    keep = ~np.isnan(y)
    detector = Pairs().fit(X)
    of_all = Steps().fit(X)
    pairs = -detector.decision_function(X)[:, None]
    for metric in ("roc_auc", "f1"):
        expected = anomaly_scorer(metric)(of_all, (pairs - of_all.offset_)[keep], TRUTH[keep])
        assert anomaly_scorer(metric)(detector, X, y) == expected
        assert evaluation_report(detector, X, y)[metric] == expected


# --- what cannot be measured ----------------------------------------------------------------------
@pytest.mark.usefixtures("aeon")
@pytest.mark.parametrize("metric", RANKING)
@pytest.mark.parametrize("y", [np.zeros(300), [-1] * 300, [np.nan] * 300])
def test_one_class_gives_nan_with_a_warning(metric, y):
    with pytest.warns(UndefinedMetricWarning, match=metric):
        assert np.isnan(small(metric)(Steps().fit(X), X, y))


@pytest.mark.usefixtures("aeon")
@pytest.mark.parametrize("metric", DECISION)
def test_nothing_flagged_or_anomalous_gives_zero_without_a_warning(metric):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert small(metric)(Steps().fit(X), np.zeros((300, 1)), TRUTH) == 0
        assert small(metric)(Steps().fit(X), X, np.zeros(300)) == 0


@pytest.mark.usefixtures("aeon")
def test_scores_that_are_not_finite_are_refused_and_counted():
    holed = X.copy()
    holed[[3, 9], 0] = np.inf, np.nan
    with pytest.raises(ValueError, match="of Steps gave 2 of 300 scores that are infinite or NaN"):
        small("vus_pr")(Steps().fit(X), holed, TRUTH)


@pytest.mark.usefixtures("aeon")
def test_unknown_metrics_and_parameters_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'vus'.*vus_pr, vus_roc, range_pr_auc"):
        series_scorer("vus")
    with pytest.raises(TypeError, match=r"vus_pr has no parameter 'buffer'.*max_buffer_size"):
        series_scorer("vus_pr", buffer=3)
    with pytest.raises(ValueError, match="needs y"):
        small("vus_pr")(Steps().fit(X), X, None)


def test_without_aeon_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "aeon.benchmarking.metrics", None)
    with pytest.raises(ImportError, match=r'vus_pr.*pip install "sklearn-fsad\[series\]"'):
        series_scorer()


# --- in scikit-learn ------------------------------------------------------------------------------
@pytest.mark.usefixtures("aeon")
def test_series_scorers_pickle_and_compare_by_value():
    scorer = series_scorer("vus_pr", max_buffer_size=8, outlier_label="defect")
    assert pickle.loads(pickle.dumps(scorer)) == scorer == clone(scorer, safe=False)
    assert hash(scorer) == hash(clone(scorer, safe=False))
    assert scorer != series_scorer("vus_pr", max_buffer_size=9, outlier_label="defect")
    assert "max_buffer_size" in repr(scorer)


@pytest.mark.usefixtures("aeon")
def test_searches_and_cross_validation_over_series_use_them():
    split = SeriesSplit(60, embargo=5)
    groups, y = np.repeat(["a", "b"], 300), np.tile(TRUTH, 2)
    rows = np.concatenate([X, X + 0.1])
    found = cross_validate(
        IsolationForest(random_state=0),
        rows,
        y,
        groups=groups,
        cv=split,
        scoring={"vus": small("vus_pr"), "f1": series_scorer("range_f1")},
    )
    assert found["test_vus"].shape == (2,)
    assert (found["test_vus"] > 0.3).all()
    search = GridSearchCV(
        Steps(),
        {"weight": [-1.0, 1.0]},
        scoring=series_scorer("range_pr_auc"),
        cv=split,
        refit=False,
    ).fit(rows, y, groups=groups)
    assert search.best_params_ == {"weight": 1.0}
