"""Files of a folder whose rows are time steps: sorted by their stamps, which are checked."""

import sys
import zlib

import numpy as np
import pytest

from sklearn_fsad.datasets import tasks_from_folder
from sklearn_fsad.exceptions import TaskWarning

pd = pytest.importorskip("pandas", reason="needs pandas, of the extra 'data'")
SHUFFLED = np.random.default_rng(0).permutation(20)


def series(stamps):
    """A table of steps, of which the last is an anomaly."""
    n = len(stamps)
    return pd.DataFrame(
        {"time": stamps, "a": np.arange(n, dtype=float), "b": 1.0, "label": np.arange(n) == n - 1}
    )


def written(folder, stamps, name="1.csv", **how):
    frame = series(stamps).iloc[SHUFFLED if len(stamps) == 20 else slice(None)]
    frame = frame.assign(b=zlib.crc32(name.encode()))  # files with the same rows are told
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra 'data'")
        frame.to_parquet(folder / name, index=False)
    else:
        frame.to_csv(folder / name, index=False, **how)
    return folder


DAYS = pd.date_range("2026-03-28", periods=20, freq="6h")
STAMPS = {
    "dates": DAYS,
    "texts": [f"{day:%Y-%m-%d %H:%M}" for day in DAYS],
    "texts of a zone": [f"{day:%Y-%m-%dT%H:%M:%SZ}" for day in DAYS],
    "summer time": DAYS.tz_localize("UTC").tz_convert("Europe/Berlin").astype(str),
    "whole numbers": np.arange(20) * 3 - 7,
    "nanoseconds": np.arange(20) + 1_700_000_000_000_000_000,
    "fractions": np.linspace(0, 1, 20),
}


@pytest.mark.parametrize("kind", STAMPS)
def test_rows_of_a_file_are_sorted_by_their_stamps(tmp_path, kind):
    tasks = tasks_from_folder(written(tmp_path, STAMPS[kind]), time="time")
    assert tasks.feature_names_in == ("a", "b")
    np.testing.assert_array_equal(tasks[0].X[:, 0], np.arange(20))
    np.testing.assert_array_equal(tasks[0].y, [0] * 19 + [1])


@pytest.mark.parametrize(
    "stamps",
    [DAYS, DAYS.tz_localize("Europe/Berlin"), DAYS[::4].date, pd.array(range(20), "Int64")],
    ids=["dates", "dates of a zone", "days", "nullable"],
)
def test_the_types_of_parquet_are_read(tmp_path, stamps):
    tasks = tasks_from_folder(written(tmp_path, stamps, "1.parquet"), time="time")
    np.testing.assert_array_equal(tasks[0].X[:, 0], np.arange(len(stamps)))


@pytest.mark.parametrize("kind", STAMPS)
def test_arrays_of_times_are_read(tmp_path, kind):
    frame = series(STAMPS[kind]).iloc[SHUFFLED]
    stamps = np.asarray(STAMPS[kind])[SHUFFLED]
    stamps = stamps.astype(str) if stamps.dtype == object else stamps
    np.savez(tmp_path / "1.npz", X=frame[["a", "b"]], y=frame["label"], time=stamps)
    tasks = tasks_from_folder(tmp_path, time="time")
    np.testing.assert_array_equal(tasks[0].X[:, 0], np.arange(20))
    np.testing.assert_array_equal(tasks[0].y, [0] * 19 + [1])


def test_without_time_rows_are_in_the_order_of_the_file(tmp_path):
    written(tmp_path, STAMPS["whole numbers"])
    tasks = tasks_from_folder(tmp_path, drop="time")
    np.testing.assert_array_equal(tasks[0].X[:, 0], SHUFFLED)


def test_rows_without_labels_and_labels_in_words_are_sorted_too(tmp_path):
    written(tmp_path, STAMPS["texts"])
    unlabelled = tasks_from_folder(tmp_path, label=None, drop="label", time="time")
    np.testing.assert_array_equal(unlabelled[0].X[:, 0], np.arange(20))
    frame = series(STAMPS["texts"]).assign(label=["fine"] * 19 + ["NA"]).iloc[SHUFFLED]
    frame.to_csv(tmp_path / "1.csv", index=False)
    tasks = tasks_from_folder(tmp_path, time="time", outlier_label="NA")
    np.testing.assert_array_equal(tasks[0].y, [0] * 19 + [1])


def test_other_formats_are_read_where_pandas_is_told(tmp_path):
    stamps = [f"{day:%d.%m.%Y %H:%M}" for day in DAYS]
    written(tmp_path, stamps)
    with pytest.raises(ValueError, match=r"'1\.csv': column 'time', row 0: '\d\d\.\d\d\.2026.*"):
        tasks_from_folder(tmp_path, time="time")
    how = {"parse_dates": ["time"], "date_format": "%d.%m.%Y %H:%M"}
    tasks = tasks_from_folder(tmp_path, time="time", csv_params=how)
    np.testing.assert_array_equal(tasks[0].X[:, 0], np.arange(20))


# --- stamps that cannot be used -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("stamps", "told"),
    [
        (["2026-01-01", "noon", "2026-01-03"], r"row 1: 'noon' is no time stamp\. Times are"),
        (["2026-01-01", "2026-02-30", ""], r"row 1: '2026-02-30' is no time stamp, and 1 more"),
        ([1.0, 2.0, np.nan], "row 2: nan is no time stamp"),
        ([1.0, np.inf, 2.0], "row 1: inf is no time stamp"),
        (["1", "x", "3"], r"row 1: 'x'.*parse_dates': \['time'\]"),
    ],
)
def test_a_stamp_that_is_none_is_told_by_file_row_and_value(tmp_path, stamps, told):
    written(tmp_path, [0, 1, 2], "0.csv")
    written(tmp_path, stamps)
    with pytest.raises(ValueError, match=rf"Task '1\.csv': column 'time', {told}"):
        tasks_from_folder(tmp_path, time="time")


def test_stamps_of_several_rows_are_told_with_what_mends_them(tmp_path):
    written(tmp_path, ["2026-01-02 10:00", "2026-01-01", "2026-01-02 10:00", "2026-01-02 10:00"])
    match = (
        r"Task '1\.csv': column 'time' holds 2026-01-02 10:00 in 3 rows\. Keep one row of each, "
        r"frame\.drop_duplicates\('time'\)"
    )
    with pytest.raises(ValueError, match=match):
        tasks_from_folder(tmp_path, time="time")
    written(tmp_path, [3, 3, 5, 5, 7.5])
    with pytest.raises(ValueError, match=r"holds 3 in 2 rows \(2 stamps stand in several rows\)"):
        tasks_from_folder(tmp_path, time="time")


def test_gaps_are_told_by_file_number_and_length(tmp_path):
    hours = pd.date_range("2026-01-01", periods=48, freq="h")
    written(tmp_path, hours.delete([10, 11, 12, 30]), "day.csv")
    written(tmp_path, [0, 1, 2, 3, 4.4, 5.4], "even.csv")
    written(tmp_path, [0, 2, 4, 6, 10, 12], "odd.csv")
    match = (
        r"'day\.csv' has 2 gaps, the longest of 4:00:00 where a step is usually 1:00:00; "
        r"'odd\.csv' has 1 gap of 4 where a step is usually 2\. .*split such files"
    )
    with pytest.warns(TaskWarning, match=match) as told:
        tasks_from_folder(tmp_path, time="time")
    assert len(told) == 1
    assert told[0].filename == __file__
    for number in range(6):
        written(tmp_path, [0, 2, 4, 6, 10, 12 + number], f"odd{number}.csv")
    with pytest.warns(TaskWarning, match="and 3 more files"):
        tasks_from_folder(tmp_path, time="time")


# --- parameters and files that do not fit ---------------------------------------------------------
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"time": "stamp"}, r"1\.csv.*no column 'stamp', only time, a, b, label\. Pass time="),
        ({"time": "time", "drop": ["time"]}, "time='time' is named by drop too"),
        ({"time": "label"}, "time='label' is named by label too"),
        ({"time": "time", "drop": ["a", "b"]}, "no feature is left"),
    ],
)
def test_columns_that_do_not_fit_are_told(tmp_path, how, reason):
    with pytest.raises(ValueError, match=reason):
        tasks_from_folder(written(tmp_path, range(20)), **how)


def test_arrays_that_do_not_fit_are_told(tmp_path, monkeypatch):
    def save(**arrays):
        np.savez(tmp_path / "1.npz", X=np.ones((3, 2)), y=[0, 0, 1], **arrays)

    save()
    with pytest.raises(ValueError, match=r"1\.npz.*no array 'time', only X, y"):
        tasks_from_folder(tmp_path, time="time")
    save(time=np.arange(2))
    with pytest.raises(ValueError, match=r"'time' of shape \(2,\) is not one time for each of the"):
        tasks_from_folder(tmp_path, time="time")
    save(time=["2026-01-01", "2026-01-02", "2026-01-03"])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"need pandas.*sklearn-fsad\[data\]"):
        tasks_from_folder(tmp_path, time="time")


def test_files_without_rows_are_refused_as_without_times(tmp_path):
    written(tmp_path, range(20))
    (tmp_path / "2.csv").write_text("time,a,b,label\n")
    (tmp_path / "3.csv").write_text("")
    with pytest.raises(ValueError, match=r"'2\.csv'.*'3\.csv'.*without rows"):
        tasks_from_folder(tmp_path, time="time")
