"""Thresholds keep what they promise: ranks, warnings, and the rate of false alarms."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from families import new_task
from sklearn.base import clone
from sklearn.metrics import f1_score

from sklearn_fsad import InContextDetector, ProtoNetDetector
from sklearn_fsad.thresholds import (
    AutoThreshold,
    ConformalThreshold,
    F1Threshold,
    PyThreshThreshold,
    best_cut,
    best_f1_cut,
    conformal_cut,
    mean_rate_cut,
)

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


def test_the_mean_rate_is_alpha_wherever_the_rows_can_resolve_it():
    """A fresh one of n + 1 uniform values is beyond a cut at height c with probability 1 - c."""
    for n in range(5, 120):
        expected = np.arange(1.0, n + 1) / (n + 1)  # mean of the order statistics
        for alpha in (0.01, 0.05, 0.1, 0.3):
            beyond = 1 - mean_rate_cut(expected, alpha)
            assert beyond == pytest.approx(max(alpha, 1 / (n + 1)))
            assert mean_rate_cut(expected, alpha) <= conformal_cut(expected, alpha)


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
    assert AutoThreshold(0.1)(normal, NONE) == mean_rate_cut(normal, 0.1)
    assert AutoThreshold(0.1)(normal, np.array([90.0])) == mean_rate_cut(normal, 0.1)
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


# --- strategies -----------------------------------------------------------------------------------
def test_f1_without_anomalies_warns_and_flags_few():
    scores = np.arange(40.0)
    with pytest.warns(UserWarning, match=r"there are 0: .* alpha=0.1"):
        assert F1Threshold(0.1)(scores, NONE) == conformal_cut(scores, 0.1)
    with pytest.warns(UserWarning, match=r"F1 .* there are 1"):
        assert F1Threshold(0.1)(scores, np.array([50.0])) == conformal_cut(scores, 0.1)
    two = np.array([50.0, 60.0])
    assert F1Threshold()(scores, two) == best_f1_cut(scores, two)


class Above:
    """A thresholder as PyThresh has them."""

    def __init__(self, share=0.9):
        self.share = share

    def eval(self, scores):
        return (scores > np.quantile(scores, self.share)).astype(int)


def test_thresholders_of_pythresh_see_all_left_out_scores():
    normal, anomalous = np.arange(18.0), np.array([30.0, 40.0])
    cut = PyThreshThreshold(Above(0.9))(normal, anomalous)
    assert cut == 17.0
    for share in (-1, 2):
        thresholder = Above()
        thresholder.eval = lambda scores, share=share: np.full(len(scores), int(share < 0))
        with pytest.warns(UserWarning, match=r"Above flagged (all|none) of 20"):
            assert PyThreshThreshold(thresholder)(normal, anomalous) == 17.0


@pytest.mark.parametrize("seed", range(5))
def test_the_best_cut_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    normal, anomalous = rng.normal(size=15).round(1), rng.normal(1.0, 1.0, size=5).round(1)

    def metric(truth, flagged):
        return -(flagged > truth).sum() - 3.0 * (flagged < truth).sum()

    truth = np.repeat([0, 1], [15, 5])
    scores = np.concatenate([normal, anomalous])
    everywhere = [metric(truth, (scores > cut).astype(int)) for cut in np.linspace(-5, 5, 2001)]
    cut = best_cut(normal, anomalous, metric)
    inside = [value for value, c in zip(everywhere, np.linspace(-5, 5, 2001), strict=True)
              if c >= scores.min()]  # fmt: skip
    assert metric(truth, (scores > cut).astype(int)) == max(inside)


# --- a fitted detector ----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def data():
    X, y, query, query_y = new_task(n_support=40, k_support=5)
    return X, y, query, query_y


CHANGES = (
    {"threshold": "conformal", "alpha": 0.1},
    {"threshold": "f1"},
    {"alpha": 0.2},
    {"contamination": 0.2},
    {"threshold": Above(0.8)},
    {"threshold": lambda normal, anomalous: float(np.median(normal))},
)


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("first", ["auto", 0.1])
@pytest.mark.parametrize("Detector", [ProtoNetDetector, InContextDetector])
def test_a_changed_threshold_is_that_of_a_fit_with_it(Detector, first, changes, data, few_trees):
    X, y, query, _ = data
    detector = Detector(contamination=first).fit(X, y)
    before = copy.deepcopy(detector)
    scores = detector.score_samples(query)
    assert detector.set_threshold(**changes) is detector
    np.testing.assert_array_equal(detector.score_samples(query), scores)
    again = clone(detector).fit(X, y)
    assert detector.offset_ == again.offset_
    same = first == "auto" and changes in CHANGES[1:3]  # "auto" is "f1" with labelled anomalies
    assert (detector.offset_ == before.offset_) == same
    np.testing.assert_array_equal(detector.predict(query), again.predict(query))
    if not callable(changes.get("threshold")):
        twin = pickle.loads(pickle.dumps(before))
        assert twin.set_threshold(**changes).offset_ == detector.offset_


def test_a_score_as_threshold(data):
    X, y, query, _ = data
    detector = ProtoNetDetector().fit(X, y)
    scores = detector.score_samples(query)
    detector.set_threshold(np.median(scores))
    np.testing.assert_array_equal(detector.predict(query) == -1, scores < np.median(scores))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"threshold": "best"}, "threshold"),
        ({"alpha": 2.0}, "alpha"),
        ({"contamination": 0.7}, "contamination"),
        ({"threshold": 0.3, "alpha": 0.1}, "alpha or contamination, not both"),
        ({"threshold": np.nan}, "finite"),
        ({}, "Give a threshold"),
    ],
)
def test_wrong_thresholds_change_nothing(wrong, message, data):
    X, y, _, _ = data
    detector = ProtoNetDetector().fit(X, y)
    before, offset = detector.get_params(), detector.offset_
    with pytest.raises(ValueError, match=message):
        detector.set_threshold(**wrong)
    assert detector.get_params() == before
    assert detector.offset_ == offset


def test_calibration_makes_the_metric_best(data):
    X, y, query, query_y = data
    detector = ProtoNetDetector().fit(X, y)
    strange = -detector.score_samples(query)
    for metric in ("f1", lambda truth, flagged: f1_score(truth, flagged)):
        flagged = detector.calibrate(query, query_y, metric).predict(query) == -1
        best = max(f1_score(query_y, strange > cut) for cut in np.sort(strange)[:-1])
        assert f1_score(query_y, flagged) == pytest.approx(best)
    false_alarms = (detector.calibrate(query, query_y, "recall_at_fpr", max_fpr=0.1).predict(
        query[query_y == 0]) == -1).mean()  # fmt: skip
    assert 0.0 < false_alarms <= 0.1
    cheap_misses = detector.calibrate(query, query_y, "cost", costs=(100.0, 1.0)).predict(query)
    dear_misses = detector.calibrate(query, query_y, "cost", costs=(1.0, 100.0)).predict(query)
    assert (cheap_misses == -1).sum() < (dear_misses == -1).sum()
    assert (dear_misses[query_y == 1] == -1).all()


def test_calibration_without_anomalies_flags_few_and_warns(data):
    X, y, query, query_y = data
    normals = query[query_y == 0]
    detector = ProtoNetDetector().fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector.calibrate(normals, np.zeros(len(normals)), "recall_at_fpr")
    for metric in ("f1", "cost"):
        with pytest.warns(UserWarning, match="No row is labelled as an anomaly"):
            detector.calibrate(normals, np.zeros(len(normals)), metric)
        assert (detector.predict(normals) == -1).mean() <= 0.05
    with pytest.raises(ValueError, match="labelled as normal"):
        detector.calibrate(query[:3], [-1, -1, -1])
    with pytest.raises(ValueError, match="metric='auc'"):
        detector.calibrate(query, query_y, "auc")


@pytest.mark.parametrize("Detector", [ProtoNetDetector, InContextDetector])
def test_p_values_of_fresh_normals_are_at_least_uniform(Detector):
    shares = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        detector = Detector(contamination=0.1).fit(rng.normal(size=(39, 3)))
        p = detector.p_values(rng.normal(size=(200, 3)))
        assert p.min() >= 1 / 40
        shares.append([(p <= level).mean() for level in (0.05, 0.1, 0.3)])
    assert (np.mean(shares, axis=0) <= np.array([0.05, 0.1, 0.3]) + 0.02).all()
    far = detector.p_values(np.full((2, 3), 20.0))
    np.testing.assert_allclose(far, 1 / 40)


def test_false_discoveries_are_held_to_their_rate():
    shares, found = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        detector = ProtoNetDetector(contamination=0.1).fit(rng.normal(size=(200, 3)))
        query = np.concatenate([rng.normal(size=(90, 3)), rng.normal(size=(30, 3)) + 6.0])
        flagged = detector.predict_fdr(query, q=0.2) == -1
        shares.append(flagged[:90].sum() / max(flagged.sum(), 1))
        found.append(flagged[90:].mean())
    assert np.mean(shares) <= 0.22
    assert np.mean(found) > 0.9


def test_no_discovery_is_possible_with_too_few_normals(data):
    X, y, query, _ = data
    detector = ProtoNetDetector().fit(X[y == 0][:8])
    with pytest.warns(UserWarning, match=r"with 8 normal rows no p-value is below .* 0.111"):
        labels = detector.predict_fdr(query, q=0.05)
    assert (labels == 1).all()
    with pytest.raises(ValueError, match=r"q=1.0 must be in \(0, 1\)"):
        detector.predict_fdr(query, q=1.0)


def test_anomalies_that_few_normal_rows_cannot_tell_from_chance_are_told():
    rng = np.random.default_rng(0)
    detector = ProtoNetDetector().fit(rng.normal(size=(20, 3)))
    batch = np.concatenate([rng.normal(size=(200, 3)), np.full((30, 3), 50.0)])
    with pytest.warns(UserWarning, match=r"No row is flagged at q=0\.1: .* takes \d+ normal rows"):
        assert (detector.predict_fdr(batch, q=0.1) == 1).all()


def test_auto_warns_of_a_rate_out_of_reach_where_it_was_asked_for():
    normal_scores, none = np.arange(9.0), np.array([])
    with pytest.warns(UserWarning, match=r"alpha=0.01 cannot be promised.*1/\(n\+1\) = 0.1"):
        assert AutoThreshold(0.01)(normal_scores, none) == 8.0
    assert AutoThreshold()(normal_scores, none) == 8.0  # of the default it does not
    assert AutoThreshold(0.1)(normal_scores, none) == 8.0  # nor of what can be had
    assert AutoThreshold(0.01)(normal_scores, np.array([9.0, 10.0])) > 8.0  # nor with anomalies
