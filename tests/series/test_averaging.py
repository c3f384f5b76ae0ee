"""Labelled stretches: scores with labels are averaged with those without."""

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.series import WindowedDetector

pytestmark = pytest.mark.filterwarnings("ignore:A rate of false alarms")
STRETCHES = [(200, 216), (240, 256)]


def series(n=400, seed=0):
    """Steps of three channels, the first of which is higher in two stretches."""
    X = np.random.default_rng(seed).normal(size=(n, 3))
    y = np.zeros(n, dtype=int)
    for a, b in STRETCHES:
        X[a:b, 0] += 2.0
        y[a:b] = 1
    return X, y


def windowed(**how):
    return WindowedDetector(ProtoNetDetector(), window=8, **how)


def test_without_labels_scores_are_those_of_the_detector():
    X, _ = series()
    detector = windowed().fit(X[:200])
    rows = detector._reader.rows(X[220:], [0])
    expected = detector.detector_.score_samples(rows)
    np.testing.assert_array_equal(detector.score_samples(X[220:]), expected)


@pytest.mark.parametrize("k", [1, 2])
def test_k_labelled_stretches_count_k_times_and_what_is_seen_without_them_once(k):
    X, y = series()
    n = STRETCHES[k - 1][1] + 10
    detector = windowed().fit(X[:n], y[:n])
    normal = detector._windows.groups == 0
    unlabelled = ProtoNetDetector(outlier_label=-1).fit(detector._windows.rows[normal])
    rows = detector._reader.rows(X[300:], [0])
    scorer = detector._scorer
    assert scorer.share == k / (k + 1)
    expected = scorer.share * detector.detector_.score_samples(rows)
    expected += (1 - scorer.share) * scorer.unit * unlabelled.score_samples(rows)
    np.testing.assert_allclose(detector.score_samples(X[300:])[8:], expected[8:], rtol=1e-12)


def test_both_have_the_same_spread_over_normal_windows():
    X, y = series()
    scorer = windowed().fit(X[:260], y[:260])._scorer
    fits = scorer.labelled, scorer.unlabelled
    rows = windowed().fit(X[:200])._reader.rows(series(seed=1)[0][:190], [0])
    spreads = [np.subtract(*np.percentile(fit.score_samples(rows), [84, 16])) for fit in fits]
    assert spreads[0] == pytest.approx(scorer.unit * spreads[1], rel=0.5)


def test_a_stretch_that_looks_normal_does_little_harm():
    X, y = series(600)
    X[400:500, 1] += 1.5  # what is to be found
    y[400:500] = 1
    dull = np.zeros(600, dtype=int)
    dull[100:116] = 1
    later = slice(300, 600)
    found = [
        roc_auc_score(y[later], -windowed().fit(X[:190], labels).score_samples(X)[later])
        for labels in (None, dull[:190])
    ]
    assert found[1] > found[0] - 0.08


def test_contributions_add_up_to_the_averaged_score():
    X, y = series()
    detector = windowed().fit(X[:260], y[:260])
    later = X[300:]
    np.testing.assert_allclose(
        detector.feature_scores(later).sum(axis=1), -detector.score_samples(later), rtol=1e-9
    )


def test_training_windows_get_averaged_left_out_scores():
    X, y = series()
    detector = windowed().fit(X[:260], y[:260])
    own = detector._windows
    scores = detector.score_samples(X[:260])[own.steps]
    np.testing.assert_array_equal(scores, -detector._left_out)


def test_series_that_never_vary_have_no_spread_to_average_by():
    X, y = np.ones((60, 3)), np.zeros(60)
    X[40:50], y[40:50] = 2.0, 1
    detector = WindowedDetector(ProtoNetDetector(), window=4).fit(X, y)
    assert detector._scorer.unit == 1.0
    assert np.abs(detector.score_samples(X)).max() < 1e6


def test_a_detector_that_uses_no_labels_is_fitted_once():
    X, y = series()
    detector = WindowedDetector(IsolationForest(), window=8).fit(X[:260], y[:260])
    assert detector._scorer is detector.detector_
