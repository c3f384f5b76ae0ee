"""Times of steps: durations, nanoseconds, zones; and steps that follow those given so far."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad._input.times import read_times, starts_of_series, times_with_more
from sklearn_fsad.series import WindowedDetector

pd = pytest.importorskip("pandas")
STEPS = np.r_[0:50, 80:130]  # a gap before step 50
X = np.random.default_rng(0).normal(size=(100, 2))

KINDS = {
    "durations of pandas": pd.to_timedelta(STEPS, unit="s"),
    "durations of numpy": STEPS * np.timedelta64(1, "s"),
    "durations of Python": [timedelta(seconds=int(i)) for i in STEPS],
    "nanoseconds": pd.Timestamp("2024-01-01") + pd.to_timedelta(STEPS, unit="ns"),
    "nanoseconds with a zone": pd.Timestamp("2024-01-01", tz="UTC")
    + pd.to_timedelta(STEPS, unit="ns"),
    "whole nanoseconds since 1970": 1_704_067_200_000_000_000 + STEPS,
    "words with a zone": [
        f"{datetime(2024, 1, 1) + timedelta(seconds=int(i)):%Y-%m-%dT%H:%M:%S}Z" for i in STEPS
    ],
    "periods": pd.PeriodIndex.from_ordinals(STEPS, freq="D"),
    "numbers as objects": pd.array(STEPS, dtype="Int64"),
}


@pytest.mark.parametrize("name", KINDS)
def test_times_of_any_kind_show_the_gap(name):
    assert starts_of_series(read_times(X, KINDS[name], len(X)), len(X)) == [0, 50]


@pytest.mark.parametrize("name", ["durations of pandas", "nanoseconds with a zone", "periods"])
def test_an_index_of_times_is_read(name):
    frame = pd.DataFrame(X, index=KINDS[name])
    assert starts_of_series(read_times(frame, None, len(X)), len(X)) == [0, 50]


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (5, r"one time for each row: got shape \(\)"),
        (STEPS[:, None], r"one time for each row: got shape \(100, 1\)"),
        (STEPS * 1j, "numbers or time stamps: got complex128"),
        (STEPS > 3, "numbers or time stamps: got bool"),
        (pd.array([None, *STEPS[1:]], dtype="Int64"), "holds <NA> at row 0"),
        ([pd.Timestamp("2024-01-01", tz="UTC"), *pd.date_range("2025", periods=99)], "a time zone"),
    ],
)
def test_what_tells_no_time_is_refused(times, told):
    with pytest.raises(ValueError, match=told):
        read_times(X, times, len(X))


def test_an_index_that_counts_from_0_again_goes_on():
    frame = pd.DataFrame(X)
    former = read_times(frame[:60], None, 60)
    for more in (frame[60:], frame[60:].reset_index(drop=True), X[60:]):
        np.testing.assert_array_equal(times_with_more(former, more, None, 40), np.arange(100))


def test_an_index_that_leaves_steps_out_is_a_gap():
    frame = pd.DataFrame(X)
    times = times_with_more(read_times(frame[:50], None, 50), frame[70:], None, 30)
    assert starts_of_series(times, 80) == [0, 50]


@pytest.mark.parametrize(
    ("former", "more", "told"),
    [
        (None, STEPS[50:], "The new steps have times, the former ones have none"),
        (STEPS[:50] * 2, None, "The former steps have times, the new ones have none"),
        (STEPS[:50], pd.date_range("2024", periods=50), "are numbers, the new ones time stamps"),
        (STEPS[:50], STEPS[:50], "must be later than those given so far: they begin at 0"),
    ],
)
def test_times_that_do_not_follow_are_refused(former, more, told):
    detector = WindowedDetector(ProtoNetDetector(), window=4, alpha=0.2)
    detector.fit(X[:50], times=former)
    with pytest.raises(ValueError, match=told):
        detector.partial_fit(X[50:], times=more)
    assert len(detector.support_X_) == 50


def test_days_of_work_give_a_warning_since_each_weekend_is_a_gap():
    frame = pd.DataFrame(X, index=pd.bdate_range("2024-01-01", periods=100))
    detector = WindowedDetector(ProtoNetDetector(), window=4, alpha=0.3)
    with pytest.warns(UserWarning, match=r"into 20 series of about 5 steps.*times=range\(len\(X"):
        detector.fit(frame)
    detector.fit(frame, times=range(100))
    labelled = np.r_[np.zeros(50), np.tile([1, 1, 0, 0, 0], 10)]
    times = np.arange(100) + 10 * np.r_[np.zeros(50), np.repeat(np.arange(1, 11), 5)]
    detector.fit(X, labelled, times=times)  # the labelled stretches were cut out on purpose
