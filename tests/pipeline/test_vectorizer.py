"""skrub's TableVectorizer, strict: nothing is lost or misread without a word."""

import pickle
import re
from datetime import date, datetime, time

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone

from sklearn_fsad.pipeline._tables import few_row_vectorizer

pytest.importorskip("skrub", reason="skrub is not installed")


def table(n=20, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "heat": rng.normal(60.0, 2.0, size=n),
            "oil": rng.choice(["thin", "thick"], size=n),
            "at": pd.date_range("2026-01-01 08:00", periods=n, freq="h"),
            "on": rng.random(n) < 0.5,
        }
    )


HOUR = ["at_hour_circular_0", "at_hour_circular_1"]
COLUMNS = ["heat", "oil_thick", "oil_thin", *HOUR, "on"]


def vectorized(X, rows=None):
    vectorizer = few_row_vectorizer()
    Z = vectorizer.fit_transform(X)
    return Z if rows is None else vectorizer.transform(rows)


def test_numbers_stay_and_categories_and_hours_become_columns():
    X = table()
    Z = vectorized(X)
    assert list(Z.columns) == COLUMNS
    np.testing.assert_array_equal(Z["heat"], X["heat"])
    np.testing.assert_array_equal(Z["oil_thin"], X["oil"] == "thin")
    angle = 2 * np.pi * X["at"].dt.hour / 24
    np.testing.assert_allclose(Z[HOUR], np.column_stack([np.sin(angle), np.cos(angle)]), atol=1e-6)


@pytest.mark.parametrize(
    "as_kind",
    [
        lambda X: X.convert_dtypes(),
        lambda X: X.convert_dtypes(dtype_backend="pyarrow"),
        pl.from_pandas,
        lambda X: pl.from_pandas(X).to_arrow(),
        lambda X: X.astype({"oil": "category"}),
        lambda X: pl.from_pandas(X).with_columns(pl.col("oil").cast(pl.Enum(["thin", "thick"]))),
        lambda X: X.astype({"on": object, "heat": object, "at": str}),
    ],
    ids=["nullable", "arrow types", "polars", "arrow", "category", "enum", "objects"],
)
def test_every_container_gives_the_same_numbers(as_kind):
    X = table()
    Z = vectorized(as_kind(X), as_kind(X[:5]))
    assert list(Z.columns) == COLUMNS
    np.testing.assert_array_equal(np.asarray(Z, dtype=float), vectorized(X, X[:5]))


@pytest.mark.parametrize("as_kind", [pd.DataFrame.to_numpy, lambda X: X.to_numpy().tolist()])
def test_arrays_and_lists_are_read_and_named_by_position(as_kind):
    X = table()
    Z = vectorized(as_kind(X))
    assert list(Z.columns) == [
        "0",
        "1_thick",
        "1_thin",
        "2_hour_circular_0",
        "2_hour_circular_1",
        "3",
    ]
    np.testing.assert_array_equal(Z, vectorized(X))


def test_an_array_after_a_frame_is_taken_as_it_is():
    X = table()
    np.testing.assert_array_equal(vectorized(X, X.to_numpy()), vectorized(X))


def test_large_numbers_keep_their_digits():
    large = 1e8 + np.arange(10.0)
    X = pd.DataFrame({"a": large, "b": large.astype(str), "c": [1e300] * 9 + [1.0]})
    Z = vectorized(X)
    np.testing.assert_array_equal(Z["a"], large)
    np.testing.assert_array_equal(Z["b"], large)
    np.testing.assert_array_equal(Z["c"], X["c"])


def test_gaps_stay_gaps_and_missing_categories_are_categories():
    X = table().astype({"on": object})
    X.loc[0, ["heat", "at", "on"]] = None
    X.loc[1, "oil"] = None
    Z = vectorized(X)
    assert Z.loc[0, ["heat", *HOUR, "on"]].isna().all()
    assert Z.loc[1, "oil_None" if "oil_None" in Z else "oil_nan"] == 1.0


def test_a_category_that_fit_did_not_see_looks_like_none_of_those_it_saw():
    rows = table(3)
    rows["oil"] = "grease"
    assert (vectorized(table(), rows)[["oil_thick", "oil_thin"]] == 0.0).all(axis=None)


def test_columns_without_any_value_are_left_out_and_may_be_filled_later():
    X = table().assign(empty=np.nan)
    assert list(vectorized(X, table(3).assign(empty=[1.0, 2.0, 3.0])).columns) == COLUMNS


@pytest.mark.parametrize(("n", "is_text"), [(5, False), (10, True), (50, True)])
def test_words_that_differ_in_most_rows_are_left_out_with_a_warning(n, is_text):
    X = table(n).assign(note=[f"remark {i}" for i in range(n)])
    if not is_text:
        assert vectorized(X).filter(like="note").shape[1] == n
        return
    with pytest.warns(UserWarning, match=r"\['note'\] hold too many different texts .*MinHash"):
        assert vectorized(X).filter(like="note").empty


def test_the_threshold_of_categories_is_a_parameter_that_fit_leaves_alone():
    X = table(50).assign(code=[f"c{i % 20}" for i in range(50)])
    vectorizer = few_row_vectorizer()
    assert vectorizer.fit_transform(X).filter(like="code").shape[1] == 20
    assert vectorizer.cardinality_threshold == 40
    with pytest.warns(UserWarning, match="too many different texts"):
        vectorizer.set_params(cardinality_threshold=5).fit(X)


def test_dates_without_a_time_are_left_out_with_a_warning():
    for days in (pd.date_range("2026-01-01", periods=20), [date(2026, 1, 1)] * 20):
        with pytest.warns(UserWarning, match=r"\['day'\] hold dates without a time of day"):
            assert list(vectorized(table().assign(day=days)).columns) == COLUMNS


@pytest.mark.parametrize(
    "unit", ["timestamp[us][pyarrow]", "timestamp[ms, tz=UTC][pyarrow]", "date32[day][pyarrow]"]
)
def test_dates_of_arrow_in_pandas_are_read(unit):
    X = table()[["heat", "at"]].astype({"at": unit})
    if unit.startswith("date"):
        with pytest.warns(UserWarning, match="without a time of day"):
            assert list(vectorized(X).columns) == ["heat"]
    else:
        np.testing.assert_array_equal(vectorized(X)[HOUR], vectorized(table())[HOUR])


def test_words_among_the_numbers_of_fit_are_a_warning():
    X = pd.DataFrame({"heat": ["60.1", "59", "ERR", "61"] * 3})
    with pytest.warns(UserWarning, match="'heat' holds numbers but for entries such as 'ERR'"):
        vectorized(X)
    vectorized(X.astype("category"))
    vectorized(pl.from_pandas(X.astype("category")))


@pytest.mark.parametrize(
    ("column", "entry", "told"),
    [
        ("heat", "ERR", "'ERR' in column 'heat', row 2, where fit saw numbers"),
        ("at", "soon", "'soon' in column 'at', row 2, where fit saw dates"),
    ],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_entries_that_cannot_be_read_are_refused_by_place(column, entry, told, as_text):
    X, rows = table(), table(4).astype(object)
    X, rows = (X.astype({column: str}), rows.astype({column: str})) if as_text else (X, rows)
    rows.loc[2, column] = entry
    with pytest.raises(ValueError, match=told):
        vectorized(X, rows)


@pytest.mark.parametrize("missing", [None, "", "N/A"])
def test_entries_that_stand_for_missing_ones_are_gaps(missing):
    rows = table(4).astype({"heat": object})
    rows.loc[2, "heat"] = missing
    assert vectorized(table(), rows)["heat"].isna().tolist() == [False, False, True, False]


def test_dates_for_numbers_and_numbers_for_dates_are_refused():
    X = table()
    with pytest.raises(ValueError, match="X holds dates in column 'heat', where fit saw numbers"):
        vectorized(X, X.assign(heat=X["at"]))
    with pytest.raises(ValueError, match="X holds numbers in column 'at', where fit saw dates"):
        vectorized(X, X.assign(at=1.0))
    assert vectorized(X, X.assign(at=np.nan))[HOUR].isna().all(axis=None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda X: X.drop(columns="oil"), r"\['oil'\] are missing"),
        (lambda X: X.assign(more=1.0), r"\['more'\] are unknown.*pipe\[0\].feature_names_in_"),
        (lambda X: X[X.columns[::-1]], r"the order differs.*pipe\[0\].feature_names_in_"),
    ],
)
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.from_pandas])
def test_other_columns_are_refused_by_name(change, told, kind):
    with pytest.raises(ValueError, match=told):
        vectorized(kind(table()), kind(change(table())))


def test_repeated_names_are_refused():
    X = table().set_axis(["a", "b", "a", "c"], axis=1)
    with pytest.raises(ValueError, match=r"several columns named \['a'\]"):
        vectorized(X)


def test_it_can_be_cloned_and_pickled():
    vectorizer = few_row_vectorizer().fit(table())
    again = pickle.loads(pickle.dumps(vectorizer))
    expected = vectorizer.transform(table(5, seed=1))
    pd.testing.assert_frame_equal(again.transform(table(5, seed=1)), expected)
    assert not hasattr(clone(vectorizer), "transformers_")


def test_other_encoders_of_numbers_are_used_as_they_are():
    from sklearn.preprocessing import StandardScaler

    vectorizer = few_row_vectorizer().set_params(numeric=StandardScaler())
    assert abs(vectorizer.fit_transform(table())["heat"].mean()) < 1e-6


def test_a_table_without_usable_columns_is_refused():
    with pytest.raises(ValueError, match=r"No column of X can be used, of \['a'\]"):
        vectorized(pd.DataFrame({"a": [None] * 5}))


def test_complex_numbers_are_refused_by_column():
    with pytest.raises(ValueError, match="Complex data not supported: X holds it in column 'a'"):
        vectorized(pd.DataFrame({"a": [1j, 2.0]}))


def test_columns_may_have_any_name():
    X = table().rename(columns={"heat": "self", "oil": "X"})
    assert list(vectorized(X).columns)[:3] == ["self", "X_thick", "X_thin"]


# --- times ----------------------------------------------------------------------------------------
KINDS = {"pandas": lambda X: X, "polars": pl.from_pandas}


def zoned(X, zone="Asia/Tokyo"):
    return X.assign(at=X["at"].dt.tz_localize("Asia/Tokyo").dt.tz_convert(zone))


@pytest.mark.parametrize("kind", KINDS)
def test_times_with_and_without_a_time_zone_are_not_mixed(kind):
    made, X = KINDS[kind], table()
    told = "times without a time zone in column 'at', where fit saw times of the time zone Asia"
    with pytest.raises(ValueError, match=told):
        vectorized(made(zoned(X)), made(X))
    told = "times of the time zone Asia/Tokyo in column 'at', where fit saw times without"
    with pytest.raises(ValueError, match=told):
        vectorized(made(X), made(zoned(X)))


def message(X, rows):
    with pytest.raises(ValueError, match="X holds") as raised:
        vectorized(X, rows)
    return str(raised.value)


def lines_of(told):
    """Find the lines of code in a message."""
    return re.findall(r"(X(?:\['at'\])? = .*?\))(?=[.,](?: |$))", told)


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_advice_on_time_zones_mends_the_rows(kind, as_text):
    made, X = KINDS[kind], table()
    rows = X.assign(at=X["at"].astype(str)) if as_text else X
    (line,) = lines_of(message(made(zoned(X)), made(rows)))
    mended = {"X": made(rows.copy()), "pandas": pd, "polars": pl}
    exec(line, mended)
    np.testing.assert_array_equal(
        vectorized(made(zoned(X)), mended["X"]), vectorized(made(zoned(X)))
    )
    in_utc, in_tokyo = lines_of(message(made(X), made(zoned(X))))
    for line, hours in ((in_utc, -9), (in_tokyo, 0)):
        mended = {"X": made(zoned(X)), "polars": pl}
        exec(line, mended)
        moved = X.assign(at=X["at"] + pd.Timedelta(hours=hours))
        np.testing.assert_array_equal(vectorized(made(X), mended["X"]), vectorized(X, moved))


@pytest.mark.parametrize("kind", KINDS)
def test_times_of_another_time_zone_are_converted(kind):
    made, X = KINDS[kind], table()
    Z = vectorized(made(zoned(X)), made(zoned(X, "UTC")))
    np.testing.assert_array_equal(Z, vectorized(X))


def test_text_for_times_is_read_in_pandas_and_refused_in_polars():
    X = table()
    rows = X.astype({"at": str})
    np.testing.assert_array_equal(vectorized(X, rows), vectorized(X))
    with pytest.raises(ValueError, match=r"text in column 'at'.*str.to_datetime\(\)"):
        vectorized(pl.from_pandas(X), pl.from_pandas(rows))
    for dtype in (pl.Null, pl.String):
        empty = pl.from_pandas(X).with_columns(at=pl.lit(None, dtype=dtype))
        assert vectorized(pl.from_pandas(X), empty)[HOUR].null_count().row(0) == (20, 20)


def test_durations_of_any_unit_are_seconds():
    X = table()[["heat"]].assign(run=pd.to_timedelta(np.arange(20), "D"))
    Z = vectorized(X, X.astype({"run": "timedelta64[s]"}))
    np.testing.assert_array_equal(Z["run"], np.arange(20) * 86400.0)
    Z = vectorized(
        pl.from_pandas(X), pl.from_pandas(X).with_columns(pl.col("run").cast(pl.Duration("ms")))
    )
    np.testing.assert_array_equal(Z["run"].to_numpy(), np.arange(20) * 86400.0)


# --- objects --------------------------------------------------------------------------------------
OBJECTS = {
    "list": ([1, 2], "several values in one"),
    "dict": ({"a": 1}, "several values in one"),
    "array": (np.arange(2), "several values in one"),
    "period": (pd.Period("2026-01"), r"a period: .*PeriodIndex\(X\['note'\]\).to_timestamp\(\)"),
    "time": (time(8), r"a time of day: give the hour, X\['note'\] = "),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_entries_that_are_no_words_are_refused_by_place(kind):
    value, told = OBJECTS[kind]
    words = table().assign(note=["a", "b"] * 10)
    odd = words.astype({"note": object})
    odd.at[7, "note"] = value
    vectorizer = few_row_vectorizer().fit(words)
    for method in (vectorizer.transform, vectorizer.fit):
        with pytest.raises(ValueError, match=rf"in column 'note', row 7, {told}"):
            method(odd)
    assert vectorizer.transform(words).shape == (20, 8)


@pytest.mark.parametrize("entry", [[1], {"a": 1}, time(8)], ids=["list", "struct", "time"])
def test_such_columns_of_polars_are_refused_too(entry):
    X = pl.from_pandas(table()).with_columns(pl.Series("note", [entry] * 20))
    with pytest.raises(ValueError, match="in column 'note', row 0"):
        vectorized(X)


def test_columns_of_periods_are_refused_and_the_advice_mends_them():
    X = table()[["heat"]].assign(at=pd.period_range("2026-01-01 08:00", periods=20, freq="h"))
    X.loc[3, "at"] = None
    told = message(X, X)
    assert "a period" in told
    mended = {"X": X, "pandas": pd}
    exec(lines_of(told)[0], mended)
    assert list(vectorized(mended["X"]).columns) == ["heat", *HOUR]


def test_missing_times_among_words_are_missing_words():
    X, rows = table(), table(4).astype({"oil": object})
    X.loc[1, "oil"] = None
    rows.loc[2, "oil"] = pd.NaT
    assert vectorized(X, rows).loc[2, ["oil_thick", "oil_thin"]].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "entry",
    [datetime(2026, 1, 1), pd.Timestamp("2026"), date(2026, 1, 1), np.datetime64("2026-01-01")],
)
@pytest.mark.parametrize("kind", ["str", "category"])
def test_a_date_among_words_is_refused_by_place(entry, kind):
    X, rows = table().astype({"oil": kind}), table(4).astype({"oil": object})
    rows.loc[2, "oil"] = entry
    with pytest.raises(ValueError, match=r"column 'oil', row 2, a date in a column .* words"):
        vectorized(X, rows)
    with pytest.raises(ValueError, match=r"column 'oil', row 2, a date in a column .* words"):
        vectorized(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_of_dates_for_words_is_refused(kind):
    X = KINDS[kind](table())
    rows = KINDS[kind](table().assign(oil=table()["at"]))
    with pytest.raises(ValueError, match="X holds dates in column 'oil', where fit saw words"):
        vectorized(X, rows)
