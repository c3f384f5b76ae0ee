import datetime as dt
import decimal
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sklearn_fsad._input.categories import Categories

WORDS = ["a", "b", "a", None]
CATEGORICAL = {
    "text": pd.Series(WORDS),
    "objects": pd.Series(WORDS, dtype=object),
    "strings of pandas": pd.Series(WORDS, dtype="string"),
    "strings of Arrow": pd.Series(WORDS, dtype="string[pyarrow]"),
    "categories": pd.Series(WORDS, dtype="category"),
    "categories of numbers": pd.Series([1, 2, 1, None], dtype="category"),
    "truth values": pd.Series([True, False, True, True]),
    "truth values with gaps": pd.Series([True, False, True, None], dtype=object),
    "nullable truth values": pd.Series([True, False, True, None], dtype="boolean"),
    "numbers among words": pd.Series(["b", 1, "b", "c"], dtype=object),
    "a word among text of numbers": pd.Series(["2", "3", "2", "5more"]),
}
NUMBERS = {
    "integers": pd.Series([1, 2, 1, 3]),
    "nullable integers": pd.Series([1, 2, 1, None], dtype="Int64"),
    "numbers as text": pd.Series(["1", "2.5", "1", None]),
    "decimals": pd.Series([decimal.Decimal(1), decimal.Decimal(2), None, None], dtype=object),
    "nothing": pd.Series([None] * 4, dtype=object),
}


@pytest.mark.filterwarnings("ignore:Column 'c' holds numbers as text")
@pytest.mark.parametrize("kind", CATEGORICAL)
def test_columns_of_categories_are_found_by_their_types(kind):
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "c": CATEGORICAL[kind]})
    found = Categories.of(frame, "from_dtype").extended(frame)
    assert found.positions == (1,)
    numbers = found.numbers(frame)
    assert numbers[0, 1] == numbers[2, 1] != numbers[1, 1]
    np.testing.assert_array_equal(numbers[:, 0], frame["x"])


@pytest.mark.parametrize("kind", NUMBERS)
def test_columns_of_numbers_are_no_categories(kind):
    assert Categories.of(pd.DataFrame({"c": NUMBERS[kind]}), "from_dtype").positions == ()


def test_frames_of_all_libraries_read_alike():
    values = {"x": [1.0, 2.0, 3.0], "c": ["a", "b", None], "t": [True, False, True]}
    frames = [
        pd.DataFrame(values),
        pl.DataFrame(values),
        pl.DataFrame(values, schema_overrides={"c": pl.Enum(["b", "a"])}),
        pl.DataFrame(values, schema_overrides={"c": pl.Categorical}),
        pa.table(values),
        pa.table({**values, "c": pa.array(values["c"]).dictionary_encode()}),
    ]
    expected = None
    for frame in frames:
        found = Categories.of(frame, "from_dtype").extended(frame)
        assert found.positions == (1, 2)
        numbers = found.numbers(frame)
        expected = numbers if expected is None else expected
        np.testing.assert_array_equal(numbers, expected)


TRUTH = [True, False, None]
FORMS_OF_TRUTH = {
    "objects": pd.DataFrame({"c": pd.Series(TRUTH, dtype=object)}),
    "nullable": pd.DataFrame({"c": pd.Series(TRUTH, dtype="boolean")}),
    "of Arrow in pandas": pd.DataFrame({"c": pd.Series(TRUTH, dtype="bool[pyarrow]")}),
    "pandas categories": pd.DataFrame({"c": pd.Series(TRUTH, dtype="boolean").astype("category")}),
    "polars": pl.DataFrame({"c": TRUTH}),
    "Arrow": pa.table({"c": TRUTH}),
    "text": pd.DataFrame({"c": ["True", "False", None]}),
    "numbers": pd.DataFrame({"c": pd.Series([1, 0, None], dtype="Int64").astype("category")}),
}


@pytest.mark.parametrize("form", FORMS_OF_TRUTH)
def test_truth_values_are_equal_in_any_type(form):
    given = FORMS_OF_TRUTH[form]
    found = Categories.of(given, "from_dtype").extended(given)
    assert found.positions == (0,)
    assert found.values == ((None, "0", "1"),)
    plain = pd.DataFrame({"c": [True, False]})
    as_bytes = pd.DataFrame({"c": [b"True", b"False"]})
    for rows in (plain, plain.astype(int), plain.astype(float), plain.astype(str), as_bytes):
        np.testing.assert_array_equal(found.numbers(rows), found.numbers(given)[:2])
    shown = found.shown(given, found.numbers(given))[:, 0]
    as_given = ["1", "0", "None"] if form == "numbers" else ["True", "False", "None"]
    assert [str(value) for value in shown] == as_given


@pytest.mark.parametrize("beside", [[], [None]])
def test_large_whole_numbers_stay_apart(beside):
    codes = [2**60, 2**60 + 1, *beside]
    frames = [
        pd.DataFrame({"c": pd.Series(codes, dtype="Int64")}),
        pd.DataFrame({"c": pd.Series(codes, dtype="int64[pyarrow]")}),
        pd.DataFrame({"c": pd.Series(codes, dtype="Int64").astype("category")}),
        pl.DataFrame({"c": codes}),
        pa.table({"c": codes}),
        pa.table({"c": pa.array(codes).dictionary_encode()}),
    ]
    for frame in frames:
        found = Categories.of(frame, ["c"]).extended(frame)
        assert found.values == ((*beside, str(2**60), str(2**60 + 1)),)


@pytest.mark.parametrize("kind", ["timedelta64[ns]", "timestamp[ns][pyarrow]"])
def test_times_of_any_type_are_no_categories(kind):
    frame = pd.DataFrame({"c": pd.Series([1, 2]).astype(kind)})
    with pytest.raises(ValueError, match="in column 'c', row 0, of type Time"):
        Categories.of(frame, ["c"]).extended(frame)


def test_missing_values_are_a_category_and_new_ones_are_none():
    frame = pd.DataFrame({"c": ["a", None, "b"]})
    found = Categories.of(frame, "from_dtype").extended(frame)
    numbers = found.numbers(pd.DataFrame({"c": [None, "zebra", "b", "gnu"]}))[:, 0]
    assert numbers[0] >= 0
    assert numbers[1] == numbers[3] == -1.0
    assert numbers[2] == found.numbers(frame)[2, 0]


def test_the_numbers_of_known_values_stay_when_others_come():
    first, more = pd.DataFrame({"c": ["b", "d"]}), pd.DataFrame({"c": ["a", "c", "d"]})
    found = Categories.of(first, "from_dtype").extended(first)
    later = found.extended(more)
    np.testing.assert_array_equal(later.numbers(first), found.numbers(first))
    assert len(set(later.numbers(more)[:, 0])) == 3


@pytest.mark.parametrize("which", [[1], [-1], [False, True], np.array([1]), ["c"], np.array(["c"])])
def test_columns_may_be_named(which):
    frame = pd.DataFrame({"x": [1, 2, 3], "c": [7, 8, 7]})
    assert Categories.of(frame, which).positions == (1,)


def test_arrays_have_categories_by_name_alone():
    X = np.array([[1.0, "a"], [2.0, "b"]], dtype=object)
    assert Categories.of(X, "from_dtype").positions == ()
    found = Categories.of(X, [1]).extended(X)
    np.testing.assert_array_equal(found.numbers(X), [[1.0, 0.0], [2.0, 1.0]])


@pytest.mark.parametrize(
    ("which", "told"),
    [
        (["z"], "names 'z', but the columns are"),
        ([5], "names column 5; there are 2"),
        ([True], "a mask of 1 entries for 2 columns"),
        ([1, "c"], "names a column twice"),
        (
            [1.0],
            "names column 1.0, of type float: give names, whole numbers from 0 to 1, or a mask",
        ),
        ([None], "names column None, of type NoneType: give names"),
        ([b"c"], "names column b'c', of type bytes: give names"),
        ([True, 0], "names column True, of type bool: give names"),
    ],
)
def test_columns_that_are_not_there_are_refused(which, told):
    with pytest.raises(ValueError, match=told):
        Categories.of(pd.DataFrame({"x": [1, 2], "c": [7, 8]}), np.array(which, dtype=object))


def test_entries_that_are_no_categories_are_refused_by_their_place():
    frame = pd.DataFrame({"c": ["a", [1, 2]]})
    found = Categories.of(frame, ["c"])
    with pytest.raises(ValueError, match=r"\[1, 2\] in column 'c', row 1.*astype\(str\)"):
        found.extended(frame)


def test_categories_of_dates_are_refused_by_their_column():
    frame = pd.DataFrame({"day": pd.Categorical([dt.datetime(2024, 1, 1)] * 3)})
    with pytest.raises(ValueError, match="dates or durations in column 'day'"):
        Categories.of(frame, "from_dtype")


def test_values_are_shown_in_place_of_their_numbers():
    frame = pd.DataFrame({"x": [1.5, 2.5], "c": ["a", None]})
    found = Categories.of(frame, "from_dtype").extended(frame)
    shown = found.shown(frame, found.numbers(frame))
    assert shown.tolist() == [[1.5, "a"], [2.5, None]]


def test_large_infinite_and_decimal_numbers_are_categories_of_their_own():
    values = [2**60, 2**60 + 1, float("inf"), decimal.Decimal("1.5"), 1.5, 3, "3"]
    frame = pd.DataFrame({"c": pd.Series(values, dtype=object)})
    numbers = Categories.of(frame, ["c"]).extended(frame).numbers(frame)[:, 0]
    assert numbers[3] == numbers[4]
    assert numbers[5] == numbers[6]
    assert len(set(numbers)) == 5


@pytest.mark.parametrize(("word", "n_words"), [("N/A", 1), ("-", 3)])
def test_numbers_as_text_beside_a_word_are_categories_with_a_warning(word, n_words):
    values = ["1", "2.5", "3", None, "1"] + [word] * n_words
    frame = pd.DataFrame({"c": values})
    told = f"Column 'c' holds numbers as text but for entries such as '{word}' in row 5.*"
    with pytest.warns(UserWarning, match=told) as warned:
        assert Categories.of(frame, "from_dtype").positions == (0,)
    line = re.search(r"X\['c'\] = .*?'coerce'\)", str(warned[0].message)).group()
    mended = {"X": frame.copy(), "pandas": pd}
    exec(line, mended)
    assert Categories.of(mended["X"], "from_dtype").positions == ()
    assert Categories.of(frame, ["c"]).positions == (0,)
    assert Categories.of(frame.astype("category"), "from_dtype").positions == (0,)


def test_words_beside_as_many_numbers_as_text_are_categories_without_a_warning():
    frame = pd.DataFrame({"c": ["1", "2", "A", "B"]})
    assert Categories.of(frame, "from_dtype").positions == (0,)


def test_columns_of_several_levels_are_named_by_tuples():
    frame = pd.DataFrame([[1, 7], [2, 8]], columns=[("u", "a"), ("v", "c")])
    frame.columns = pd.MultiIndex.from_tuples(frame.columns)
    assert Categories.of(frame, [("v", "c")]).positions == (1,)
    with pytest.raises(ValueError, match=r"names \('v', 'z'\), but the columns are"):
        Categories.of(frame, [("v", "z")])


def test_whole_numbers_are_positions_also_where_columns_have_numbers_for_names():
    frame = pd.DataFrame({1: [1, 2], 30: [7, 8]})
    assert Categories.of(frame, [1]).positions == (1,)
    with pytest.raises(
        ValueError, match=r"numbers are their positions\. The column named 30 has po"
    ):
        Categories.of(frame, [30])
