"""sample_weight: which rows are learned from where labels are trusted by part."""

import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
from families import make_detector, new_task
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fsad import AnomalyClassifier
from sklearn_fsad._detectors.base.trust import (
    credible_rows,
    reference_rows,
    share_of_anomalies,
)
from sklearn_fsad.adapters import to_pyod
from sklearn_fsad.metrics import anomaly_scorer

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")
WRONG_NORMAL, WRONG_ANOMALY = 0, 42  # rows whose label is wrong


@cache
def support():
    """Forty normal rows, five anomalies far from them, a wrong label of each kind, and weights."""
    y = np.repeat([0, 1], [40, 5])
    X = np.random.default_rng(0).normal(size=(45, 5)) + 8.0 * y[:, None]
    told, weights = y.copy(), np.ones(45)
    told[[WRONG_NORMAL, WRONG_ANOMALY]] = 1, 0
    weights[[WRONG_NORMAL, 1, 2, WRONG_ANOMALY, 43]] = 0.5
    return X, told, weights


@pytest.fixture
def detector():
    return make_detector("closed form")


# --- the rule -------------------------------------------------------------------------------------
def test_a_row_stays_where_its_label_is_more_likely_right_than_wrong():
    trust = np.array([1.0, 3.0, 0.5, 0.5, 0.8, 0.8, 0.9, 0.1])
    codes = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    p = np.array([0.99, 0.99, 0.4, 0.6, 0.7, 0.1, 0.2, 0.95])
    kept = credible_rows(trust, codes, p)
    np.testing.assert_array_equal(kept, [1, 1, 1, 0, 1, 0, 1, 1])
    t, p, codes = trust[2:], p[2:], codes[2:]
    odds = t / (1 - t) * np.where(codes == 0, (1 - p) / p, p / (1 - p))  # Bayes' rule
    np.testing.assert_array_equal(kept[2:], odds >= 1.0)


def test_two_normal_rows_stay_whatever_is_said_of_them():
    kept = credible_rows(np.full(4, 0.1), np.array([0, 0, 0, 1]), np.array([0.9, 0.7, 0.8, 0.0]))
    np.testing.assert_array_equal(kept, [0, 1, 1, 0])


def test_certain_rows_judge_and_all_where_too_few_normals_are_certain():
    trust, codes = np.repeat([1.0, 0.5], [5, 3]), np.array([0, 0, 0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(reference_rows(trust, codes), trust == 1.0)
    trust[0] = 0.9
    assert reference_rows(trust, codes).all()


def test_the_share_of_anomalies_is_never_none():
    assert share_of_anomalies(np.zeros(8)) == 0.1
    assert share_of_anomalies(np.array([0, 0, -1, 1])) == pytest.approx(1 / 3)


# --- every detector -------------------------------------------------------------------------------
def test_certain_labels_change_nothing(detector_of_each_kind):
    X, y, query, _ = new_task()
    expected = clone(detector_of_each_kind).fit(X, y).decision_function(query)
    for weights in (np.ones(len(X)), np.full(len(X), 3.0), [2] * len(X)):
        found = clone(detector_of_each_kind).fit(X, y, sample_weight=weights)
        np.testing.assert_array_equal(found.decision_function(query), expected)
        assert found.support_kept_.all()


def test_rows_of_no_weight_are_left_out(detector_of_each_kind):
    X, y, query, _ = new_task()
    weights = np.ones(len(X))
    weights[[2, 13]] = 0.0
    for contamination in ("auto", 0.2):
        detector_of_each_kind.set_params(contamination=contamination)
        found = clone(detector_of_each_kind).fit(X, y, sample_weight=weights)
        expected = clone(detector_of_each_kind).fit(X[weights > 0], y[weights > 0])
        np.testing.assert_array_equal(
            found.decision_function(query), expected.decision_function(query)
        )
        np.testing.assert_array_equal(found.support_kept_, weights > 0)
        np.testing.assert_array_equal(found.support_X_, X)


@pytest.mark.filterwarnings("ignore::sklearn_fsad.exceptions.FarTaskWarning")
@pytest.mark.filterwarnings("ignore::sklearn_fsad.exceptions.AdaptationWarning")
def test_doubtful_rows_stay_only_where_the_others_do_not_speak_against_them(detector_of_each_kind):
    X, told, weights = support()
    kept = detector_of_each_kind.fit(X, told, sample_weight=weights).support_kept_
    assert not kept[[WRONG_NORMAL, WRONG_ANOMALY]].any()
    assert kept[weights == 1.0].all()
    assert kept[[1, 2, 43]].sum() >= 2


def test_rows_given_later_bring_their_weights(detector_of_each_kind):
    X, y, query, _ = new_task()
    weights = np.ones(len(X))
    weights[[2, 9, 13]] = 0.0, 0.6, 0.7
    expected = clone(detector_of_each_kind).fit(X, y, weights)
    detector_of_each_kind.fit(X[:8], y[:8], weights[:8]).partial_fit(X[8:], y[8:], weights[8:])
    np.testing.assert_array_equal(detector_of_each_kind.support_kept_, expected.support_kept_)
    np.testing.assert_array_equal(
        detector_of_each_kind.decision_function(query), expected.decision_function(query)
    )


@pytest.fixture(params=["closed form", "meta-fitted", "residual maml", "meta-fitted tnp"])
def detector_of_each_kind(request):
    return make_detector(request.param)


# --- what is remembered ---------------------------------------------------------------------------
def test_rows_given_later_without_weights_are_certain(detector):
    X, told, weights = support()
    detector.fit(X[:20], told[:20], weights[:20]).partial_fit(X[20:], told[20:])
    expected = clone(detector).fit(X, told, np.where(np.arange(45) < 20, weights, 1.0))
    np.testing.assert_array_equal(detector.support_kept_, expected.support_kept_)
    detector.fit(X[:20], told[:20]).partial_fit(X[20:], told[20:], weights[20:])
    assert detector.support_kept_[:20].all()
    assert not detector.support_kept_[WRONG_ANOMALY]


def test_a_new_fit_forgets_the_weights(detector):
    X, told, weights = support()
    assert not detector.fit(X, told, weights).support_kept_.all()
    assert detector.fit(X, told).support_kept_.all()
    assert detector.fit(X[:30], told[:30]).partial_fit(X[30:], told[30:]).support_kept_.all()


def test_a_pickle_takes_the_weights_along(detector):
    X, told, weights = support()
    again = pickle.loads(pickle.dumps(detector.fit(X[:44], told[:44], weights[:44])))
    again.partial_fit(X[44:], told[44:])
    np.testing.assert_array_equal(
        again.support_kept_, clone(detector).fit(X, told, weights).support_kept_
    )


def test_what_is_kept_is_then_cleaned(detector):
    X, told, weights = support()
    X = X.copy()
    X[5] += 300.0  # certain, but far off
    kept = detector.set_params(clean_support=True).fit(X, told, weights).support_kept_
    assert not kept[[5, WRONG_NORMAL, WRONG_ANOMALY]].any()


@pytest.mark.filterwarnings("ignore:.*left out of the context:UserWarning")
def test_many_rows_are_judged_too(detector):
    rng = np.random.default_rng(0)
    X, weights = rng.normal(size=(400, 3)), np.where(np.arange(400) < 200, 1.0, 0.5)
    X[-20:] += 9.0
    detector.set_params(max_context=50).fit(X, sample_weight=weights)
    assert not detector.support_kept_[-20:].any()
    assert detector.support_kept_[:-20].mean() > 0.9
    assert detector.p_values(X[:1]).min() >= 1.0 / 381  # others that are kept set the threshold


# --- bad weights ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda w: np.where(np.arange(45) == 7, -0.5, w),
            "sample_weight=-0.5 of row 7 is negative",
        ),
        (lambda w: np.where(np.arange(45) == 7, np.nan, w), "NaN"),
        (lambda w: np.where(np.arange(45) == 7, np.inf, w), "infinity"),
        (lambda w: w[:-1], r"\(44,\), expected \(45,\)"),
        (lambda w: w[:, None], "1D array"),
        (lambda w: ["sure"] * 45, "sample_weight cannot be used"),
    ],
)
def test_bad_weights_are_refused_and_nothing_is_lost(detector, change, told):
    X, y, weights = support()
    before = detector.fit(X, y, weights).decision_function(X)
    for method in (detector.fit, detector.partial_fit):
        with pytest.raises(ValueError, match=f"{told}.*probability that its label is right"):
            method(X, y, sample_weight=change(weights))
        np.testing.assert_array_equal(detector.decision_function(X), before)


def test_normal_rows_without_weight_are_no_normal_rows(detector):
    X, y, _ = support()
    with pytest.raises(ValueError, match=r"Found 1 sample\(s\).*sample_weight above 0"):
        detector.fit(X, y, np.where((y == 0) & (np.arange(45) != 3), 0.0, 1.0))


def test_weights_that_add_up_to_one_are_told(detector):
    X, y, _ = support()
    with pytest.warns(UserWarning, match="add up to 1"):
        detector.fit(X, y, np.full(45, 1 / 45))


# --- containers and tools -------------------------------------------------------------------------
def test_weights_come_in_any_container(detector):
    polars = pytest.importorskip("polars", reason="polars is not installed")
    X, told, weights = support()
    expected = clone(detector).fit(X, told, weights).support_kept_
    assert not expected.all()
    for given in (weights.tolist(), pd.Series(weights, index=range(9, 54)), polars.Series(weights)):
        np.testing.assert_array_equal(detector.fit(X, told, given).support_kept_, expected)
    np.testing.assert_array_equal(weights, support()[2])


def test_weights_go_through_pipelines_and_searches(detector):
    X, told, weights = support()
    expected = clone(detector).fit(StandardScaler().fit_transform(X), told, weights)
    pipe = make_pipeline(StandardScaler(), clone(detector))
    pipe.fit(X, told, protonetdetector__sample_weight=weights)
    np.testing.assert_array_equal(pipe[-1].support_kept_, expected.support_kept_)
    with config_context(enable_metadata_routing=True):
        asked = clone(detector).set_fit_request(sample_weight=True)
        steps = StandardScaler().set_fit_request(sample_weight=False)
        routed = make_pipeline(steps, asked)
        grid = {"protonetdetector__alpha": [0.05, 0.1]}
        scorer = anomaly_scorer("f1")
        search = GridSearchCV(routed, grid, scoring=scorer, cv=3, error_score="raise")
        search.fit(X, told, sample_weight=weights)
        best = search.best_estimator_[-1]
        np.testing.assert_array_equal(best.support_kept_, expected.support_kept_)


def test_weights_reach_a_detector_in_its_wrappers(detector):
    X, told, weights = support()
    expected = clone(detector).fit(X, told, weights)
    labels = clone(detector).fit_predict(X, told, sample_weight=weights)
    np.testing.assert_array_equal(labels, expected.predict(X))
    for wrapped in (AnomalyClassifier(clone(detector)), to_pyod(clone(detector))):
        wrapped.fit(X, told, sample_weight=weights)
        inner = getattr(wrapped, "detector_", None) or wrapped.estimator_
        np.testing.assert_array_equal(inner.support_kept_, expected.support_kept_)


def test_bags_leave_out_the_rows_they_did_not_draw(detector):
    X, y, _ = support()
    y = np.repeat([0, 1], [40, 5])
    bags = BaggingClassifier(AnomalyClassifier(detector), n_estimators=3, random_state=0).fit(X, y)
    for rows, member in zip(bags.estimators_samples_, bags.estimators_, strict=True):
        drawn = np.isin(np.arange(45), rows)
        np.testing.assert_array_equal(member.detector_.support_kept_, drawn)
    assert bags.score(X, y) > 0.9
