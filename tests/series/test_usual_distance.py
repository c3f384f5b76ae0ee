"""Gaps are judged by the usual distance of steps in ``fit``, however few steps are scored."""

import warnings

import numpy as np
import pytest

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.series import WindowedDetector

pytestmark = pytest.mark.filterwarnings("ignore:A rate of false alarms")
X = np.random.default_rng(0).normal(size=(200, 2))
STAMPS = np.datetime64("2026-03-01T06:00") + np.arange(200) * np.timedelta64(10, "s")


@pytest.fixture(scope="module")
def detector():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return WindowedDetector(ProtoNetDetector(), window=8).fit(X[:120], times=STAMPS[:120])


def alone(detector, rows):
    return [detector.score_samples(row[None])[0] for row in rows]


@pytest.mark.parametrize("n", [2, 3, 7])
def test_few_steps_far_apart_are_judged_alone(detector, n):
    rows, times = X[120::10][:n], STAMPS[120::10][:n]
    scores = detector.score_samples(rows, times=times)
    np.testing.assert_array_equal(scores, alone(detector, rows))
    together = detector.score_samples(rows, times=STAMPS[120:][:n])
    assert (together[1:] != scores[1:]).all()


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_the_unit_of_the_stamps_does_not_matter(detector, unit):
    times = STAMPS[[150, 151, 190]].astype(f"datetime64[{unit}]")
    scores = detector.score_samples(X[:3], times=times)
    assert scores[2] == alone(detector, X[2:3])[0]
    assert scores[1] != alone(detector, X[1:2])[0]


def test_more_steps_change_what_is_usual():
    slow = np.arange(30) * 10
    quick = slow[-1] + 1 + np.arange(80)
    fitted = WindowedDetector(ProtoNetDetector(), window=8).fit(X[:30], times=slow)
    assert fitted.score_samples(X[:2], times=[0, 10])[1] != alone(fitted, X[1:2])[0]
    with pytest.warns(UserWarning, match="Gaps in the times divide the steps into 30 series"):
        fitted.partial_fit(X[30:110], times=quick)
    assert fitted.score_samples(X[120:122], times=[0, 10])[1] == alone(fitted, X[121:122])[0]


def test_the_history_of_a_stream_is_cut_at_the_gaps_that_fit_would_see(detector):
    pd = pytest.importorskip("pandas")
    history = pd.DataFrame(X[120:123], index=STAMPS[[120, 150, 180]])
    stream = detector.stream(history)
    after = detector.score_samples(X[122:124])
    assert stream.score_next(X[123]) == after[1]


@pytest.mark.parametrize(("every", "told"), [(10, "10 times as far apart.*few steps"), (1, None)])
def test_steps_at_another_distance_are_told(detector, every, told):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        detector.predict(X[::every], times=STAMPS[::every])
    assert len(caught) == (told is not None)
    if told:
        with pytest.warns(UserWarning, match=told):
            detector.predict(X[::every], times=STAMPS[::every])


def test_steps_closer_together_are_told_too(detector):
    times = STAMPS[0] + np.arange(200) * np.timedelta64(2, "s")
    with pytest.warns(UserWarning, match=r"0\.2 times as far apart.*but less time"):
        detector.predict(X, times=times)


def test_times_of_another_kind_have_a_usual_distance_of_their_own(detector):
    scores = detector.score_samples(X, times=np.arange(200))
    np.testing.assert_array_equal(scores, detector.score_samples(X))
