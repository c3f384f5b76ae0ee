"""Thresholds keep what they promise: ranks, warnings, and the rate of false alarms."""

import warnings

import numpy as np
import pytest
from families import new_task

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.thresholds import AutoThreshold, ConformalThreshold, best_f1_cut, conformal_cut

NONE = np.array([])


@pytest.mark.parametrize(
    ("n", "alpha", "rank"),
    [(19, 0.05, 19), (19, 0.1, 18), (99, 0.05, 95), (100, 0.05, 96), (9, 0.5, 5), (50, 0.05, 49)],
)
def test_conformal_cut_is_the_finite_sample_rank(n, alpha, rank):
    scores = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    assert conformal_cut(scores, alpha) == rank
    assert ConformalThreshold(alpha)(scores, NONE) == rank


def test_conformal_rate_is_at_most_alpha_for_exchangeable_scores():
    for n in range(2, 120):
        for alpha in (0.01, 0.05, 0.1, 0.3):
            beyond = (n + 1 - conformal_cut(np.arange(1.0, n + 1), alpha)) / (n + 1)
            assert beyond <= max(alpha, 1 / (n + 1)) + 1e-12


def test_conformal_warns_when_the_rows_cannot_promise_the_rate():
    scores = np.arange(10.0)
    with pytest.warns(UserWarning, match=r"alpha=0.05 cannot .* 10 normal rows.*0.0909"):
        assert ConformalThreshold(0.05)(scores, NONE) == 9.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ConformalThreshold(0.05)(np.arange(19.0), NONE)
        AutoThreshold(0.05)(scores, NONE)


def test_conformal_uses_no_anomalies():
    scores = np.arange(30.0)
    assert ConformalThreshold(0.1)(scores, scores + 3) == ConformalThreshold(0.1)(scores, NONE)


def f1(cut, normal, anomalies):
    hits, alarms = (anomalies > cut).sum(), (normal > cut).sum()
    return 2 * hits / (hits + alarms + len(anomalies))


@pytest.mark.parametrize("seed", range(20))
def test_f1_cut_is_the_best_of_all_cuts(seed):
    rng = np.random.default_rng(seed)
    normal, anomalies = rng.normal(size=12).round(1), rng.normal(1.0, 1.0, size=4).round(1)
    cut = best_f1_cut(normal, anomalies)
    everything = np.unique(np.concatenate([normal, anomalies]))
    best = max(f1(c, normal, anomalies) for c in (everything[1:] + everything[:-1]) / 2)
    assert f1(cut, normal, anomalies) == pytest.approx(best)
    assert cut not in everything


def test_of_equal_f1_cuts_the_highest_is_taken():
    normal, anomalies = np.array([0.0, 3.0, 2.0]), np.array([1.0, 4.0])
    cuts = {c: f1(c, normal, anomalies) for c in (0.5, 1.5, 2.5, 3.5)}
    assert cuts[0.5] == cuts[3.5] == max(cuts.values())
    assert best_f1_cut(normal, anomalies) == 3.5


def test_f1_cut_of_equal_scores_flags_nothing():
    assert best_f1_cut(np.zeros(5), np.zeros(2)) == 0.0


def test_auto_takes_f1_from_two_anomalies_on_and_the_conformal_rank_before():
    normal = np.arange(40.0)
    assert AutoThreshold(0.1)(normal, NONE) == conformal_cut(normal, 0.1)
    assert AutoThreshold(0.1)(normal, np.array([90.0])) == conformal_cut(normal, 0.1)
    assert AutoThreshold(0.1)(normal, np.array([90.0, 95.0])) == 64.5


# --- in a detector --------------------------------------------------------------------------------
def test_a_callable_gets_the_left_out_scores_of_both_classes(detector):
    X, y, query, _ = new_task(n_support=14, k_support=3)
    seen = {}

    def halfway(normal, anomalies):
        seen["normal"], seen["anomalies"] = normal, anomalies
        return (normal.mean() + anomalies.mean()) / 2

    detector.set_params(threshold=halfway).fit(X, y)
    assert len(seen["normal"]) == 14
    assert len(seen["anomalies"]) == 3
    cut = (seen["normal"].mean() + seen["anomalies"].mean()) / 2
    assert detector.offset_ == -cut
    np.testing.assert_array_equal(
        detector.predict(query) == -1, detector.score_samples(query) < -cut
    )


def test_a_larger_alpha_flags_more(detector):
    X, _, query, _ = new_task(n_support=60, k_support=0)
    flagged = []
    for alpha in (0.05, 0.2, 0.5):
        detector.set_params(alpha=alpha).fit(X)
        flagged.append((detector.predict(query) == -1).mean())
    assert flagged[0] < flagged[1] < flagged[2]


def test_the_detector_warns_that_ten_rows_are_too_few():
    X = new_task(n_support=10, k_support=0)[0]
    with pytest.warns(UserWarning, match="cannot be promised from 10 normal rows"):
        ProtoNetDetector(threshold="conformal").fit(X)


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_false_alarms_stay_below_alpha(alpha):
    rng = np.random.default_rng(0)
    detector = ProtoNetDetector(threshold="conformal", alpha=alpha)
    rates = []
    for _ in range(200):
        rows = rng.normal(size=(150, 4)) @ rng.normal(size=(4, 4))
        rates.append((detector.fit(rows[:50]).predict(rows[50:]) == -1).mean())
    assert np.mean(rates) <= alpha + 0.02
    assert np.mean(rates) >= 0.2 * alpha
