"""Decisions about steps: thresholds from labelled series, false discoveries, and the report."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.series import WindowedDetector, stretches

from .test_windowed_detector import series

pytestmark = pytest.mark.filterwarnings("ignore:A rate of false alarms of alpha")


def rougher(seed):
    X, y = series(seed=seed)
    X[y == 1, 0] *= 2.5
    return X, y


def windowed():
    return WindowedDetector(ProtoNetDetector(), window=8, alpha=0.2)


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return windowed().fit(series(seed=1)[0][:190])


@pytest.fixture
def detector(fitted):
    former = fitted.offset_
    yield fitted
    fitted.offset_ = former


HELD_OUT, LABELS = rougher(2)
LATER, TRUTH = rougher(3)


def f1(detector):
    flagged = detector.predict(LATER) == -1
    return 2.0 * (flagged & (TRUTH == 1)).sum() / (flagged.sum() + (TRUTH == 1).sum())


def test_a_threshold_of_a_labelled_series_finds_the_stretch_of_another(detector):
    detector.set_threshold(float(detector.score_samples(LATER).max()))
    assert f1(detector) < 0.3
    assert f1(detector.calibrate(HELD_OUT, LABELS)) > 0.7 > f1(detector.set_threshold("auto"))


def test_costs_move_the_threshold(detector):
    X, y = series(seed=2)  # both kinds of errors are made
    cheap_misses = detector.calibrate(X, y, "cost", costs=(100.0, 1.0)).offset_
    dear_misses = detector.calibrate(X, y, "cost", costs=(1.0, 100.0)).offset_
    assert cheap_misses < dear_misses


def test_a_metric_is_given_windows_that_share_no_step(detector):
    seen = []

    def metric(truth, flagged):
        seen.append((len(truth), truth.sum()))
        return -float((truth != flagged).sum())

    detector.calibrate(HELD_OUT, LABELS, metric)
    n_normal = 400 - 7 - 40 - 7  # whole windows without a labelled step
    assert set(seen) == {(n_normal // 8 + 5, 5)}


def test_unknown_steps_do_not_count(detector):
    unknown = LABELS.astype(float)
    unknown[300:] = np.nan
    wild = HELD_OUT.copy()
    wild[300:] *= 50.0
    assert (
        detector.calibrate(wild, unknown).offset_
        == detector.calibrate(HELD_OUT[:300], LABELS[:300]).offset_
    )


def test_times_keep_windows_from_crossing_gaps(detector):
    n_windows = []

    def metric(truth, flagged):
        n_windows.append(len(truth))
        return 0.0

    y = (np.arange(80) >= 72).astype(int)
    detector.calibrate(HELD_OUT[:80], y, metric)
    detector.calibrate(HELD_OUT[:80], y, metric, times=np.r_[0:40, 1000:1040])
    assert n_windows[0] == (80 - 7 - 8) // 8 + 1
    assert n_windows[-1] == (80 - 2 * 7 - 8) // 8 + 1


def test_a_rate_of_false_alarms_counts_independent_windows(detector):
    with pytest.warns(UserWarning, match=r"max_fpr=0.01 cannot .* larger max_fpr; 0\.\d+ is in"):
        detector.calibrate(HELD_OUT, LABELS, "recall_at_fpr", max_fpr=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector.calibrate(HELD_OUT, LABELS, "recall_at_fpr", max_fpr=0.2)
    assert (detector.predict(LATER)[8:][TRUTH[8:] == 0] == -1).mean() < 0.4
    with pytest.warns(UserWarning, match="No step is labelled as an anomaly: the threshold aims"):
        detector.calibrate(HELD_OUT[:200], LABELS[:200], max_fpr=0.2)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((HELD_OUT, None), "labels 'y' of the steps are needed"),
        ((HELD_OUT, LABELS, "auc"), "metric='auc' must be callable or one of f1, recall"),
        ((HELD_OUT[:2], [0, 0]), r"2 steps hold 2 window\(s\) .* calibrate needs 3"),
        ((HELD_OUT, LABELS, lambda t, p: np.nan), "is NaN at all"),
    ],
)
def test_what_cannot_be_calibrated_on_leaves_the_threshold(detector, given, told):
    former = detector.offset_
    with pytest.raises(ValueError, match=told):
        detector.calibrate(*given)
    assert detector.offset_ == former


def test_the_next_fit_forgets_a_calibration():
    X = series(seed=1)[0]
    detector = windowed().fit(X[:100])
    offset = detector.offset_
    assert detector.calibrate(HELD_OUT, LABELS).offset_ != offset
    assert detector.fit(X[:100]).offset_ == offset


def test_false_discoveries_are_fewer_than_asked_for():
    near = np.convolve(TRUTH, np.ones(8))[:400] > 0  # the window holds an anomaly
    shares, found = [], []
    for seed in range(6):
        detector = windowed().fit(series(n=1000, seed=10 + seed)[0][:500])
        flagged = detector.predict_fdr(LATER, q=0.3) == -1
        shares.append((flagged & ~near).sum() / max(flagged.sum(), 1))
        found.append(flagged[TRUTH == 1].mean())
    assert np.mean(shares) < 0.3
    assert np.mean(found) > 0.9


def test_too_few_normal_windows_for_a_rate_of_false_discoveries_are_told():
    detector = windowed().fit(series(n=1000, seed=10)[0][:500])
    with pytest.warns(UserWarning, match=r"No step is flagged at q=0.01: \d+ of 400 steps .* give"):
        assert (detector.predict_fdr(LATER, q=0.01) == 1).all()
    with warnings.catch_warnings():  # a few steps have the least p-value by chance
        warnings.simplefilter("error")
        detector.predict_fdr(LATER[:200], q=0.01)
    with pytest.raises(ValueError, match=r"q=1.5 must be in \(0, 1\)"):
        detector.predict_fdr(LATER, q=1.5)


def test_a_report_lists_the_flagged_stretches():
    pd = pytest.importorskip("pandas")
    names = ["flow", "current"]
    detector = windowed().fit(pd.DataFrame(series(seed=1)[0][:190], columns=names))
    stamps = pd.date_range("2026-03-01", periods=400, freq="min")
    frame = pd.DataFrame(LATER, columns=names, index=stamps)
    found = detector.report(frame, top=1)
    pd.testing.assert_frame_equal(found, stretches(detector, frame, n=1))
    assert stamps[195] <= found["peak"][0] <= stamps[248]
    assert found["column_1"][0] == "flow"
    by_position = detector.report(frame, top=None, times=np.arange(400))
    assert by_position["peak"][0] == stamps.get_loc(found["peak"][0])
    assert detector.set_threshold(-1e9).report(frame).empty
    with pytest.raises(ValueError, match="top=0 must be a positive integer"):
        detector.report(frame, top=0)
    with pytest.raises(NotFittedError):
        windowed().report(frame)
