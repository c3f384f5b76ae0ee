"""Times of steps, and the gaps between them."""

import datetime as dt

import numpy as np
import pytest

from sklearn_fsad._input.times import UsualDistance, read_times, starts_of_series

STAMPS = ["2026-01-01 00:00", "2026-01-01 00:01", "2026-01-01 00:02", "2026-01-01 01:00"]


@pytest.mark.parametrize(
    "times",
    [
        STAMPS,
        np.array(STAMPS, dtype="datetime64[s]"),
        [dt.datetime.fromisoformat(stamp) for stamp in STAMPS],
        [dt.datetime.fromisoformat(stamp + "+02:00") for stamp in STAMPS],
        [0, 60, 120, 3600],
    ],
)
def test_stamps_of_every_kind_are_read_and_a_gap_starts_a_series(times):
    read = read_times(np.zeros((4, 1)), times, 4)
    np.testing.assert_array_equal(np.diff(read) / np.diff(read)[0], [1, 1, 58])
    assert starts_of_series(read, 4) == [0, 3]


def test_the_index_of_a_frame_tells_time_if_it_holds_stamps_or_grows():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": range(4)}, index=pd.to_datetime(STAMPS))
    assert starts_of_series(read_times(frame, None, 4), 4) == [0, 3]
    assert starts_of_series(read_times(frame.set_axis([0, 1, 2, 9]), None, 4), 4) == [0, 3]
    assert read_times(frame.set_axis([3, 1, 2, 0]), None, 4) is None
    assert read_times(frame.set_axis(list("abcd")), None, 4) is None


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0, 1, 1, 2], "row 2 has 1, after 1"),
        ([0, 1, None, 2], "holds nan at row 2|holds None at row 2"),
        ([0, 1, 2], "one time for each of the 4 rows, got 3"),
        (["a", "b", "c", "d"], "must hold numbers or time stamps"),
    ],
)
def test_times_that_do_not_grow_or_cannot_be_read_are_refused(times, message):
    with pytest.raises(ValueError, match=message):
        read_times(np.zeros((4, 1)), times, 4)


def test_a_usual_distance_is_told_in_other_units_where_there_are_such():
    hours = UsualDistance.of(np.arange(5) * np.timedelta64(1, "h"))
    assert hours.measured_in(np.dtype("timedelta64[s]")) == 3600.0
    assert hours.measured_in(np.dtype("timedelta64[M]")) is None
    assert hours.measured_in(np.dtype(np.int64)) is None
    assert hours.ratio(np.arange(3) * np.timedelta64(90, "m")) == 1.5
    assert hours.ratio(np.arange(3.0)) == 1.0
    assert UsualDistance.of(np.array([1, 2])) is None
