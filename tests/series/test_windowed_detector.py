"""Detectors of series: one score for each step, by the window that ends with it."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.series import WindowedDetector, WindowStatistics

pytestmark = pytest.mark.filterwarnings("ignore:A rate of false alarms")


def series(n=400, channels=2, seed=0):
    """Make an autoregression, and labels of a stretch in which it is rougher."""
    rng = np.random.default_rng(seed)
    X = np.zeros((n, channels))
    for i in range(1, n):
        X[i] = 0.7 * X[i - 1] + rng.normal(size=channels)
    y = np.zeros(n, dtype=int)
    y[n // 2 : n // 2 + 40] = 1
    X[y == 1, 0] += 3.0 * rng.normal(size=y.sum())
    return X, y


def windowed(**parameters):
    return WindowedDetector(ProtoNetDetector(), **{"window": 8, **parameters})


@pytest.fixture(scope="module")
def fitted():
    X, y = series()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return windowed().fit(X[:150]), X, y


def test_a_rougher_stretch_is_found_by_windows_better_than_by_rows(fitted):
    detector, X, y = fitted
    later = np.arange(len(X)) >= 160
    by_rows = -ProtoNetDetector().fit(X[:150]).score_samples(X[later])
    assert detector.score(X[160:], y[160:]) > 0.85 > roc_auc_score(y[later], by_rows)


def test_the_future_changes_no_past_score(fitted):
    detector, X, _ = fitted
    shuffled = X.copy()
    shuffled[300:] = np.random.default_rng(1).permutation(X[300:])
    np.testing.assert_array_equal(
        detector.score_samples(shuffled)[:300], detector.score_samples(X)[:300]
    )


def test_windows_of_one_series_never_see_another(fitted):
    detector, X, _ = fitted
    times = np.arange(len(X)) + 100 * (np.arange(len(X)) >= 200)
    other = X.copy()
    other[:200] += 50.0
    np.testing.assert_array_equal(
        detector.score_samples(other, times=times)[200:], detector.score_samples(X[200:])
    )


def test_training_windows_do_not_cross_gaps():
    X, _ = series()
    times = np.arange(150) + 100 * (np.arange(150) >= 80)
    together = windowed().fit(X[:150], times=times)
    steps = together._windows.steps
    assert steps.min() == 7
    assert not np.isin(np.arange(80, 87), steps).any()


def test_left_out_scores_are_those_of_training_windows(fitted):
    detector, X, _ = fitted
    scores = detector.score_samples(X[:150])
    np.testing.assert_array_equal(scores[7:], -detector._left_out)
    assert scores[7:].mean() < detector.detector_.score_samples(detector._windows.rows).mean()


@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_false_alarms_on_later_steps_keep_their_promise(phi):
    rates = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X = np.zeros((1200, 2))
        for i in range(1, len(X)):
            X[i] = phi * X[i - 1] + rng.normal(size=2)
        detector = windowed(alpha=0.1).fit(X[:300])
        rates.append((detector.predict(X[300:])[8:] == -1).mean())
    assert np.mean(rates) < 0.12


def test_a_series_that_is_too_short_for_the_rate_of_false_alarms_is_told():
    X, _ = series()
    with pytest.warns(
        UserWarning, match=r"worth \d+ independent ones, and it takes 29. Give about"
    ):
        detector = windowed().fit(X[:60])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector.set_threshold(alpha=0.5)


def test_a_number_is_a_threshold_until_the_next_fit():
    X, _ = series()
    detector = windowed().fit(X[:150])
    former, median = detector.offset_, np.median(detector.score_samples(X))
    assert (detector.set_threshold(median).predict(X) == -1).sum() == 200
    assert detector.fit(X[:150]).offset_ == former
    with pytest.raises(ValueError, match="threshold"):
        detector.set_threshold(np.nan)


def test_labels_make_a_threshold_by_f1_where_two_stretches_have_them():
    X, y = series()
    both = y.copy()
    both[260:300] = 1
    X[260:300, 0] += 3.0 * np.random.default_rng(2).normal(size=40)
    one, two = windowed().fit(X[:250], y[:250]), windowed().fit(X[:320], both[:320])
    assert one._independent.n_stretches == 1
    assert two._independent.n_stretches == 2
    assert two.offset_ != windowed(threshold="conformal").fit(X[:320], both[:320]).offset_


def test_of_a_labelled_stretch_only_windows_that_share_no_step_are_used():
    X, y = series()
    detector = windowed().fit(X[:300], y[:300])
    of_anomalies = detector._windows.steps[detector._windows.groups > 0]
    np.testing.assert_array_equal(of_anomalies, [207, 215, 223, 231, 239])


def test_normal_windows_that_hold_a_labelled_anomaly_are_left_out():
    X, y = series()
    detector = windowed().fit(X[:300], y[:300])
    normals = detector._windows.steps[detector._windows.groups == 0]
    assert not np.isin(np.arange(240, 247), normals).any()
    assert np.isin(247, normals)


def test_more_steps_are_as_if_all_had_been_given_at_once():
    X, y = series()
    once = windowed().fit(X[:300], y[:300])
    twice = windowed().fit(X[:120], y[:120]).partial_fit(X[120:300], y[120:300])
    np.testing.assert_array_equal(once.score_samples(X), twice.score_samples(X))
    assert once.offset_ == twice.offset_


def test_contributions_of_channels_add_up_to_the_score_of_the_window(fitted):
    detector, X, _ = fitted
    contributions = detector.feature_scores(X[200:260])
    assert contributions.shape == (60, 2)
    np.testing.assert_allclose(
        contributions.sum(axis=1), -detector.score_samples(X[200:260]), atol=1e-9
    )
    assert (contributions[15:40, 0] > contributions[15:40, 1]).mean() > 0.8


def test_p_values_and_probabilities_follow_the_scores(fitted):
    detector, X, _ = fitted
    scores, p = detector.score_samples(X), detector.p_values(X)
    order = np.argsort(scores)
    assert (np.diff(p[order]) >= 0).all()
    assert p.min() == 1.0 / (detector.n_independent_ + 1)
    proba = detector.predict_proba(X)
    assert detector.classes_.tolist() == [-1, 1]
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    assert (np.diff(proba[order, 0]) <= 1e-12).all()


@pytest.mark.parametrize("features", ["statistics", "mean", "raw", WindowStatistics(("last",))])
def test_every_description_of_windows_scores_each_step(features):
    X, _ = series()
    detector = windowed(features=features, stride=3, causal=False).fit(X[:200])
    scores = detector.score_samples(X[:399])
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores.reshape(-1, 3).T, np.tile(scores[::3], (3, 1)))


def test_other_detectors_and_pipelines_judge_windows_too():
    X, y = series()
    for inner in (
        IsolationForest(random_state=0),
        make_pipeline(StandardScaler(), ProtoNetDetector()),
    ):
        detector = WindowedDetector(inner, window=8).fit(X[:150])
        assert detector.score(X[160:], y[160:]) > 0.8
    with pytest.raises(TypeError, match="IsolationForest has no meta_fit"):
        WindowedDetector(IsolationForest()).meta_fit([(X, y)])


def test_missing_values_are_read_by_detectors_that_accept_them():
    X, _ = series()
    X[::7, 1] = np.nan
    assert np.isfinite(windowed().fit(X[:150]).score_samples(X)).all()
    with pytest.raises(ValueError, match="NaN, which is not accepted here by WindowedDetector"):
        WindowedDetector(LocalOutlierFactor(novelty=True), window=8).fit(X[:150])


def test_bad_input_leaves_the_fitted_detector_as_it_was(fitted):
    detector, X, _ = fitted
    before = detector.score_samples(X)
    with pytest.raises(ValueError, match="times must grow"):
        detector.fit(X[:5], times=[0, 1, 3, 2, 4])
    np.testing.assert_array_equal(detector.score_samples(X), before)


def test_clones_and_pickles_are_what_they_are_of(fitted):
    detector, X, _ = fitted
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(again.score_samples(X), detector.score_samples(X))
    assert clone(detector).get_params()["window"] == 8
    with pytest.raises(NotFittedError):
        clone(detector).predict(X)
