"""Rows of every container are read as numbers, or refused by column, row and value."""

import datetime as dt
import decimal
import fractions
from importlib import import_module

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from families import dispatched
from sklearn.base import BaseEstimator

from sklearn_fsad._input.columns import known_columns
from sklearn_fsad._input.containers import n_rows, take_rows, unwrapped
from sklearn_fsad._input.names import names_of, rows_by_name
from sklearn_fsad._input.rows import named_rows, validated_rows

pa = pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra 'data'")

X = np.round(np.random.default_rng(0).normal(size=(12, 3)), 3)
NAMES = ["a", "b", "c"]
DAYS = [dt.datetime(2024, 1, 1) + dt.timedelta(days=i) for i in range(12)]
FRAME = pd.DataFrame(X, columns=NAMES)


def found(*names):
    """The modules of these names, None each where one of them is not installed."""
    try:
        return [import_module(name) for name in names]
    except ImportError:
        return [None] * len(names)


dask_array, dask_frame = found("dask.array", "dask.dataframe")
(nw,) = found("narwhals")


def read(rows, **checks):
    return named_rows(rows, ensure_all_finite="allow-nan", dtype=[np.float64, np.float32], **checks)


def table(column, type_=None):
    return pa.table({"a": X[:, 0], "t": pa.array(column, type_)})


# --- containers -----------------------------------------------------------------------------------
FRAMES = {
    "pandas": FRAME,
    "pandas, nullable": FRAME.astype("Float64"),
    "pandas, of Arrow": FRAME.astype("double[pyarrow]"),
    "pandas, objects": FRAME.astype(object),
    "pandas, categories of numbers": FRAME.astype({"b": "category"}),
    "pandas, digits": FRAME.astype(str),
    "polars": pl.DataFrame(X, schema=NAMES),
    "polars, decimals": pl.DataFrame(X, schema=NAMES).cast({"b": pl.Decimal(scale=3)}),
    "arrow": pa.Table.from_pandas(FRAME),
    "arrow, batch": pa.RecordBatch.from_pandas(FRAME),
    "arrow, dictionaries": pa.table({n: pa.array(FRAME[n]).dictionary_encode() for n in NAMES}),
}
ARRAYS = {
    "tensor": torch.tensor(X),
    "tensor with a gradient": torch.tensor(X, requires_grad=True),
    "parameter": torch.nn.Parameter(torch.tensor(X)),
    "list of tensors": list(torch.tensor(X, requires_grad=True)),
    "nothing masked": np.ma.array(X),
    "list of masked rows": [np.ma.array(row) for row in X],
    "list of series": [pd.Series(row) for row in X],
    "decimals": np.array([[decimal.Decimal(str(v)) for v in row] for row in X]),
    "fractions": np.array([[fractions.Fraction(float(v)) for v in row] for row in X]),
}
LAZY = {"polars": pl.LazyFrame(X)}
if nw:
    FRAMES |= {f"narwhals of {kind}": nw.from_native(FRAMES[kind]) for kind in ("pandas", "polars")}
    FRAMES["narwhals of Arrow"] = nw.from_native(FRAMES["arrow"])
    LAZY["narwhals"] = nw.from_native(pl.LazyFrame(X))
if dask_array:
    FRAMES["dask"] = dask_frame.from_pandas(FRAME, npartitions=2)
    ARRAYS["dask array"] = dask_array.from_array(X, chunks=5)


@pytest.mark.parametrize("kind", FRAMES)
def test_every_frame_gives_the_same_numbers_and_names(kind):
    rows, names = read(FRAMES[kind])
    np.testing.assert_array_equal(rows, X)
    assert names == ("a", "b", "c")


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("dispatch", [False, True])
def test_every_array_gives_the_same_numbers(kind, dispatch):
    with dispatched(dispatch):
        rows, names = read(ARRAYS[kind])
    assert type(rows) is np.ndarray
    np.testing.assert_array_equal(rows, X)
    assert names is None


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("dispatch", [False, True])
def test_tensors_of_any_type_are_read(kind, dispatch):
    tensor = torch.tensor(np.abs(10 * X)).to(getattr(torch, kind))
    with dispatched(dispatch):
        rows, _ = read(tensor)
    np.testing.assert_array_equal(rows, tensor.double().numpy())


@pytest.mark.parametrize("kind", [*FRAMES, *ARRAYS])
def test_rows_of_any_container_are_counted_and_taken(kind):
    held = {**FRAMES, **ARRAYS}[kind]
    assert n_rows(held) == 12
    np.testing.assert_array_equal(read(take_rows(held, np.array([5, 0, 7])))[0], X[[5, 0, 7]])


def test_large_float32_rows_are_not_copied(tmp_path):
    np.save(tmp_path / "rows.npy", X.astype(np.float32))
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert np.shares_memory(read(rows)[0], rows)


@pytest.mark.parametrize("lazy", LAZY.values(), ids=LAZY)
def test_lazy_frames_are_refused_with_the_way_out(lazy):
    for reader in (read, n_rows, unwrapped):
        with pytest.raises(ValueError, match=r"lazy.*call its \.collect\(\) first"):
            reader(lazy)


# --- missing --------------------------------------------------------------------------------------
GAP = np.where(np.arange(36).reshape(X.shape) % 7 == 1, np.nan, X)
GAPS = np.isnan(GAP)
HALF = [1.5, None] * 6
AS_MISSING = {
    "masked": np.ma.array(X, mask=GAPS),
    "masked float32": np.ma.array(X.astype(np.float32), mask=GAPS),
    "masked integers": np.ma.array(np.round(X).astype(int), mask=GAPS),
    "masked truths": np.ma.array(X > 0, mask=GAPS),
    "masked objects": np.ma.array(X.astype(object), mask=GAPS),
    "masked rows": [np.ma.array(x, mask=m) for x, m in zip(X, GAPS, strict=True)],
    "NA among objects": np.where(GAPS, pd.NA, X.astype(object)),
    "None among objects": np.where(GAPS, None, X.astype(object)),
    "NA in Float64": pd.DataFrame(GAP).astype("Float64"),
    "NA of Arrow in pandas": pd.DataFrame(GAP, columns=NAMES).convert_dtypes(
        dtype_backend="pyarrow"
    ),
    "null in polars": pl.DataFrame(GAP, schema=NAMES).fill_nan(None),
    "null in Arrow": pa.Table.from_pandas(pd.DataFrame(GAP, columns=NAMES)),
}
MISSING_COLUMNS = {
    "Int64": FRAME.assign(t=pd.array([1, None] * 6, dtype="Int64")),
    "boolean": FRAME.assign(t=pd.array([True, None] * 6, dtype="boolean")),
    "string": FRAME.assign(t=pd.array(["1", None] * 6, dtype="string")),
    "category": FRAME.assign(t=pd.Categorical(HALF)),
    "polars boolean": pl.DataFrame({"a": X[:, 0], "t": [True, None] * 6}),
    "arrow dictionary": table(pa.array(HALF).dictionary_encode()),
    "arrow boolean": table([True, None] * 6),
    "arrow nothing": table([None] * 12),
}


@pytest.mark.parametrize("kind", AS_MISSING)
def test_what_is_masked_or_has_no_value_is_missing(kind):
    rows, _ = read(AS_MISSING[kind])
    np.testing.assert_array_equal(np.isnan(rows), GAPS)
    with pytest.raises(ValueError, match=r"contains NaN(.|\n)*column (1|'b'), row 0"):
        named_rows(AS_MISSING[kind])


@pytest.mark.parametrize("kind", MISSING_COLUMNS)
def test_a_column_may_hold_missing_values(kind):
    rows, _ = read(MISSING_COLUMNS[kind])
    assert np.isnan(rows[1::2, -1]).all()
    with pytest.raises(ValueError, match=r"column 't', row [01]"):
        named_rows(MISSING_COLUMNS[kind])


# --- what is no number ----------------------------------------------------------------------------
DATES = [day.date() for day in DAYS]
TIMES = {
    "arrow, time stamps": table(DAYS),
    "arrow, dates": table(DATES),
    "arrow, times": table([day.time() for day in DAYS]),
    "arrow, durations": table([day - DAYS[0] for day in DAYS]),
    "arrow, months": table([pa.MonthDayNano([1, 2, 3])] * 12),
    "arrow, dictionary": table(pa.array(DAYS).dictionary_encode()),
    "arrow, batch": table(DAYS).to_batches()[0],
    "categories": FRAME.assign(t=pd.Categorical(DAYS)),
    "arrow in pandas": FRAME.assign(t=pd.array(DATES, dtype="date32[pyarrow]")),
    "polars, dates": pl.DataFrame({"a": X[:, 0], "t": DATES}),
    "polars, times": pl.DataFrame({"a": X[:, 0], "t": [day.time() for day in DAYS]}),
}
if nw:
    TIMES["narwhals"] = nw.from_native(table(DAYS))
if dask_array:
    TIMES["dask"] = dask_frame.from_pandas(FRAME.assign(t=DAYS), npartitions=2)


@pytest.mark.parametrize("kind", TIMES)
def test_dates_and_durations_are_refused_by_column(kind):
    with pytest.raises(ValueError, match=r"dates or durations in column 't' .*convert them"):
        read(TIMES[kind])


def with_entry(value):
    rows = X.astype(object)
    rows[7, 1] = value
    return rows


ENTRIES = {
    "datetime": (DAYS[0], "a date"),
    "date": (DATES[0], "a date"),
    "Timestamp": (pd.Timestamp("2024"), "a date"),
    "NaT": (pd.NaT, "a date"),
    "Period": (pd.Period("2024"), "a date"),
    "timedelta": (dt.timedelta(1), "a date or a duration"),
    "Interval": (pd.Interval(0, 1), "an interval"),
    "complex": (1j, "Complex data not supported"),
    "word": ("pump", "could not convert"),
    "date as text": ("2024-01-01", "could not convert"),
    "list": ([1, 2], "real number, not 'list'"),
    "huge integer": (10**400, "too large"),
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_one_entry_that_is_no_number_is_refused_by_place_and_value(kind):
    value, reason = ENTRIES[kind]
    with pytest.raises(ValueError, match=reason) as caught:
        read(with_entry(value))
    assert "in column 1, row 7" in str(caught.value)
    with pytest.raises(ValueError, match=reason) as caught:
        read(pd.DataFrame(with_entry(value), columns=NAMES))
    assert "in column 'b', row 7" in str(caught.value)
    assert repr(value)[:50] in str(caught.value)


OTHERS = {
    "intervals": (FRAME.assign(t=pd.cut(X[:, 0], 3)), "intervals in column 't'"),
    "words of Arrow": (table(["pump"] * 12), "'pump' in column 't', row 0"),
    "words of polars": (
        pl.DataFrame({"t": ["pump"] * 12}).cast({"t": pl.Categorical}),
        "'pump' in column 't', row 0",
    ),
    "fields of polars": (
        pl.DataFrame({"a": X[:, 0], "t": [{"u": 1, "v": 2}] * 12}),
        "several values per row in column 't'",
    ),
    "records": (FRAME.to_records(index=False), r"structured array \(a, b, c\)"),
    "infinite long doubles": (np.full((2, 2), np.longdouble("1e400")), "infinity.*\n.*column 0"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_things_are_refused_by_name(kind):
    held, reason = OTHERS[kind]
    with pytest.raises(ValueError, match=reason):
        read(held)


# --- columns named by numbers ---------------------------------------------------------------------
def remembering(names):
    probe = BaseEstimator()
    validated_rows(probe, pd.DataFrame(X, columns=names))
    return probe


@pytest.mark.parametrize(
    ("names", "others", "told"),
    [
        ([10, 20, 30], [30, 20, 10], "column 0 is 30 and was 10"),
        ([10, 20, 30], [10, 20, 40], "column 2 is 40 and was 30"),
        ([0, 1, 2], [2, 1, 0], "column 0 is 2 and was 0"),
        ([(1, 2), (1, 3), (2, 2)], [(2, 2), (1, 3), (1, 2)], "column 0 is"),
        (list(np.arange(3)), [1, 0, 2], "column 0 is 1 and was 0"),
    ],
)
def test_columns_named_by_numbers_are_compared_with_those_of_fit(names, others, told):
    probe = remembering(pd.Index(names))
    for same in (pd.DataFrame(X, columns=pd.Index(names)), X, X.tolist()):
        np.testing.assert_array_equal(validated_rows(probe, same, reset=False), X)
    with pytest.raises(ValueError, match=f"feature names should match.* order: {told}"):
        validated_rows(probe, pd.DataFrame(X, columns=pd.Index(others)), reset=False)
    assert not hasattr(probe, "feature_names_in_")


def test_another_number_of_columns_is_told_as_for_arrays():
    with pytest.raises(ValueError, match="X has 2 features, but BaseEstimator is expecting 3"):
        validated_rows(remembering([1, 2, 3]), pd.DataFrame(X[:, :2]), reset=False)


def test_other_rows_replace_the_columns_that_are_known():
    probe = remembering([10, 20, 30])
    validated_rows(probe, FRAME)
    assert list(known_columns(probe)) == NAMES
    validated_rows(probe, X)
    assert known_columns(probe) is None


# --- names of groups and classes ------------------------------------------------------------------
WORDS = ["b", "a", "b"]
LISTS = {
    "series": (pd.Series(WORDS, index=[9, 3, 4]), WORDS),
    "categories": (pd.Categorical(WORDS), WORDS),
    "strings": (pd.Series(WORDS, dtype="string"), WORDS),
    "polars": (pl.Series(WORDS), WORDS),
    "Arrow": (pa.array(WORDS), WORDS),
    "Arrow in chunks": (pa.chunked_array([WORDS]), WORDS),
    "numpy": (np.array(WORDS), WORDS),
    "truths": (np.array([True, False]), [True, False]),
    "scalars of numpy": ([np.int64(3), np.str_("x")], [3, "x"]),
    "tensor": (torch.tensor([3, 1]), [3, 1]),
    "time stamps": (pd.Series(DAYS[:2]), [pd.Timestamp(day) for day in DAYS[:2]]),
    "days of numpy": (np.array(DATES[:2], dtype="M8[D]"), DATES[:2]),
}


@pytest.mark.parametrize("kind", LISTS)
def test_names_are_what_they_were(kind):
    held, expected = LISTS[kind]
    names = names_of(held)
    assert names == expected
    assert [type(name) for name in names] == [type(name) for name in expected]


def test_time_stamps_of_nanoseconds_stay_time_stamps():
    stamps = np.array(DAYS[:2], dtype="M8[ns]")
    assert names_of(stamps) == list(stamps)


@pytest.mark.parametrize(
    "missing", [None, np.nan, pd.NA, pd.NaT, np.datetime64("NaT")], ids=lambda value: repr(value)
)
def test_a_row_without_a_name_is_told(missing):
    with pytest.raises(ValueError, match="y has no class for row 2"):
        rows_by_name(["a", "b", missing], "y", "class")
