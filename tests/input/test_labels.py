"""Labels: one encoder reads every accepted coding and refuses the others with a way out."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.exceptions import DataConversionWarning

from sklearn_fsad._input.labels import (
    common_coding,
    encode_labels,
    read_labels,
    warn_if_mostly_anomalous,
)
from sklearn_fsad.exceptions import LabelConventionWarning

NAN = np.nan
CODES = [0, 0, 1, -1, 0, 1]  # what {0, 1, NaN} stands for in the tables below

QUIETLY_READ = {
    "none": (None, [-1] * 6),
    "zero_one": ([0, 0, 1, 0, 0, 1], [0, 0, 1, 0, 0, 1]),
    "one_minus_one": (np.array([1, 1, -1, 1, 1, -1]), [0, 0, 1, 0, 0, 1]),
    "bool": (np.array([False, False, True, False, False, True]), [0, 0, 1, 0, 0, 1]),
    "float_zero_one_nan": ([0.0, 0.0, 1.0, NAN, 0.0, 1.0], CODES),
    "one_minus_one_nan": ([1.0, 1.0, -1.0, NAN, 1.0, -1.0], CODES),
    "object_with_none": (np.array([0, 0, 1, None, 0, 1], dtype=object), CODES),
    "bool_list_with_none": ([False, False, True, None, False, True], CODES),
    "series": (pd.Series([0, 0, 1, 0, 0, 1]), [0, 0, 1, 0, 0, 1]),
    "series_with_na": (pd.Series([0, 0, 1, pd.NA, 0, 1], dtype="Int64"), CODES),
    "boolean_series_with_na": (
        pd.Series([False, False, True, pd.NA, False, True], dtype="boolean"),
        CODES,
    ),
    "polars_with_null": (pl.Series([0, 0, 1, None, 0, 1]), CODES),
    "polars_bool_with_null": (pl.Series([False, False, True, None, False, True]), CODES),
    "masked": (np.ma.array([0, 0, 1, 7, 0, 1], mask=[0, 0, 0, 1, 0, 0]), CODES),
    "masked bool": (np.ma.array([0, 0, 1, 1, 0, 1], mask=[0, 0, 0, 1, 0, 0], dtype=bool), CODES),
    "objects": (np.array([0, 0, 1, np.nan, 0, 1], dtype=object), CODES),
    "numpy_bools_as_objects": (
        np.array([*np.array([0, 0, 1], dtype=bool), None, False, True]),
        CODES,
    ),
    "category": (pd.Series([0, 0, 1, None, 0, 1], dtype="category"), CODES),
    "categories_of_bools": (pd.Series([False, False, True] * 2, dtype="category"), [0, 0, 1] * 2),
    "arrow": (pa.array([0, 0, 1, None, 0, 1]), CODES),
    "arrow_bool": (pa.array([False, False, True, None, False, True]), CODES),
    "arrow_chunks": (pa.chunked_array([[0, 0, 1], [None, 0, 1]]), CODES),
    "tensor": (torch.tensor([0, 0, 1, 0, 0, 1]), [0, 0, 1, 0, 0, 1]),
    "tensor_with_gradient": (torch.tensor([0.0, 0, 1, NAN, 0, 1], requires_grad=True), CODES),
    "bfloat16": (torch.tensor([0, 0, 1, 0, 0, 1], dtype=torch.bfloat16), [0, 0, 1, 0, 0, 1]),
    "unsigned": (np.array([0, 0, 1, 0, 0, 1], dtype=np.uint8), [0, 0, 1, 0, 0, 1]),
    "true_and_nan": ([True, None, None, True, None, None], [1, -1, -1, 1, -1, -1]),
    "all_false": ([False] * 6, [0] * 6),
    "all_zero": ([0] * 6, [0] * 6),
    "all_nan": ([NAN] * 6, [-1] * 6),
    "zero_and_nan": ([0, 0, NAN, NAN, 0, 0], [0, 0, -1, -1, 0, 0]),
    "minus_one_and_nan": ([-1, NAN, NAN, -1, NAN, NAN], [1, -1, -1, 1, -1, -1]),
}


@pytest.mark.parametrize("name", QUIETLY_READ)
def test_accepted_coding_is_read_without_a_warning(name):
    y, expected = QUIETLY_READ[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codes = encode_labels(y, 6)
    assert codes.dtype == np.int8
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize(
    ("y", "expected", "match"),
    [
        ([1] * 6, [0] * 6, "read as inliers"),
        ([1, 1, 2, 1, 1, 2], [0, 0, 1, 0, 0, 1], "1 and 2.*larger one, 2"),
        ([2, 2, 4, 2, 2, 4], [0, 0, 1, 0, 0, 1], "2 and 4.*larger one, 4"),
        ([0, 0, 255, 0, 0, 255], [0, 0, 1, 0, 0, 1], "0 and 255"),
        ([2.0, 2.0, 4.0, NAN, 2.0, 4.0], CODES, "2 and 4"),
    ],
)
def test_coding_read_by_convention_warns_at_the_caller(y, expected, match):
    with pytest.warns(LabelConventionWarning, match=match) as caught:
        codes = encode_labels(y, 6)
    np.testing.assert_array_equal(codes, expected)
    assert caught[0].filename == __file__


REFUSED = {
    "all_minus_one": ([-1] * 6, "all 6 rows as anomalies"),
    "all_true": ([True] * 6, "all 6 rows as anomalies"),
    "all_true_array": (np.ones(6, dtype=bool), "all 6 rows as anomalies"),
    "all_true_series": (pd.Series([True] * 6, dtype="boolean"), "all 6 rows as anomalies"),
    "all_true_polars": (pl.Series([True] * 6), "all 6 rows as anomalies"),
    "bytes": (np.array([b"ok", b"bad"] * 3), "Unknown label type"),
    "digits_as_text": (["0", "1"] * 3, "Unknown label type"),
    "one_and_nan": ([1, 1, NAN, 1, 1, NAN], "Ambiguous.*outlier_label=1"),
    "minus_one_zero_one": ([-1, 0, 1, 1, 1, 1], "Ambiguous.*-1, 0, 1"),
    "minus_one_zero": ([-1, 0, 0, 0, 0, 0], "Ambiguous.*-1, 0"),
    "three_labels": ([0, 1, 2, 0, 1, 2], "Unknown label type: y holds 0, 1, 2"),
    "one_other_label": ([2] * 6, "Unknown label type: y holds 2"),
    "continuous": (np.linspace(0.1, 0.9, 6), "Unknown label type"),
    "halves": ([0.0, 0.5] * 3, "Unknown label type: y holds 0, 0.5"),
    "infinity": ([0, 1, np.inf, 0, 0, 0], "infinity"),
    "complex": ([1j] * 6, "Complex data not supported"),
    "strings": (["ok", "defect"] * 3, "Unknown label type"),
    "objects": (np.array([0, 1, object(), 0, 0, 0], dtype=object), "Unknown label type"),
    "dates": (pd.Series(pd.to_datetime(["2020-01-01"] * 6)), "Unknown label type"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_coding_is_refused_with_the_reason(name):
    y, match = REFUSED[name]
    with pytest.raises(ValueError, match=match):
        encode_labels(y, 6)


@pytest.mark.parametrize("name", ["three_labels", "halves", "strings", "infinity"])
def test_refusal_names_the_accepted_codings(name):
    with pytest.raises(ValueError, match=r"1 inlier, -1 outlier.*0 inlier, 1 outlier.*NaN"):
        encode_labels(REFUSED[name][0], 6)


@pytest.mark.parametrize(
    ("y", "label", "expected"),
    [
        ([1, 1, 2, 1, 1, 2], 1, [1, 1, 0, 1, 1, 0]),
        ([0, 1, 2, 0, 1, 2], 2, [0, 0, 1, 0, 0, 1]),
        ([1, NAN, 1, NAN, NAN, NAN], 1, [1, -1, 1, -1, -1, -1]),
        ([1] * 6, -1, [0] * 6),
        (["ok", "ok", "defect", "ok", "ok", "defect"], "defect", [0, 0, 1, 0, 0, 1]),
        (np.array(["ok", "ok", "defect", None, "ok", "defect"], dtype=object), "defect", CODES),
        (pd.Series(["ok", "ok", "defect", None, "ok", "defect"]), "defect", CODES),
        (pl.Series(["ok", "ok", "defect", None, "ok", "defect"]), "defect", CODES),
        (
            pd.Series(["ok", "ok", "defect", None, "ok", "defect"], dtype="category"),
            "defect",
            CODES,
        ),
        (pd.Series(["ok", "ok", "defect", None, "ok", "defect"], dtype="string"), "defect", CODES),
        (pa.array(["ok", "ok", "defect", None, "ok", "defect"]), "defect", CODES),
        (["ok", "ok", "dent", "fine", "ok", "scratch"], ["dent", "scratch"], [0, 0, 1, 0, 0, 1]),
        (
            ["ok", "ok", "dent", "fine", "ok", "dent"],
            np.array(["dent", "scratch"]),
            [0, 0, 1, 0, 0, 1],
        ),
        (["ok", "ok", "dent", None, "ok", "scratch"], pd.Series(["dent", "scratch"]), CODES),
        ([0, 0, 3, 1, 1, 2], {2, 3}, [0, 0, 1, 0, 0, 1]),
        ([0, 0, 3, 1, 1, 2], (np.int64(2), 3.0), [0, 0, 1, 0, 0, 1]),
        ([1, 1, 0, 1, 1, 0], 0, [0, 0, 1, 0, 0, 1]),
        ([1, 1, 0, 1, 1, 0], np.int8(0), [0, 0, 1, 0, 0, 1]),
        ([1, 1, 0, 1, 1, 0], torch.tensor(0), [0, 0, 1, 0, 0, 1]),
        ([1, 1, 0, 1, 1, 0], torch.tensor(0.0, dtype=torch.bfloat16), [0, 0, 1, 0, 0, 1]),
        ([0, 0, 3, 1, 1, 2], torch.tensor([2, 3]), [0, 0, 1, 0, 0, 1]),
        ([0, 0, 3, 1, 1, 2], [torch.tensor(2), np.array(3)], [0, 0, 1, 0, 0, 1]),
        ([True, True, False, True, True, False], False, [0, 0, 1, 0, 0, 1]),
        ([False, False, True, False, False, True], 1, [0, 0, 1, 0, 0, 1]),
        (pd.to_datetime(["2024-01-01", "2024-01-02"] * 3), pd.Timestamp("2024-01-02"), [0, 1] * 3),
    ],
)
def test_explicit_outlier_label_decides_without_guessing(y, label, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codes = encode_labels(y, 6, outlier_label=label)
    np.testing.assert_array_equal(codes, expected)


def test_all_ones_with_outlier_label_one_are_refused():
    with pytest.raises(ValueError, match="all 6 rows as anomalies"):
        encode_labels([1] * 6, 6, outlier_label=1)


def test_misspelt_outlier_label_warns():
    with pytest.warns(LabelConventionWarning, match="'Defect' does not occur.*'defect', 'ok'"):
        encode_labels(["ok", "defect"], 2, outlier_label="Defect")


def test_all_anomalous_is_accepted_where_no_normal_row_is_needed():
    codes = encode_labels([-1, -1], 2, require_normal=False)
    np.testing.assert_array_equal(codes, [1, 1])


def test_column_vector_is_flattened_with_a_warning():
    with pytest.warns(DataConversionWarning):
        codes = encode_labels(np.array([[0], [1], [0]]), 3)
    np.testing.assert_array_equal(codes, [0, 1, 0])


def test_two_columns_are_refused():
    with pytest.raises(ValueError, match="1d array"):
        encode_labels(np.zeros((3, 2)), 3)


def test_wrong_length_is_refused_with_both_lengths():
    with pytest.raises(ValueError, match=r"\[3, 2\]"):
        encode_labels([0, 1], 3)


@pytest.mark.parametrize(
    ("y", "label"),
    [
        ([0, 1, 0], "1"),
        ([0, 1, 0], "bad"),
        (["0", "1", "0"], 1),
        (["ok", "bad", "ok"], 1),
        ([True, False, True], "True"),
        ([0.0, 1.0, np.nan], ["bad", "worse"]),
        (["ok", "bad", None], ["bad", 1]),
        (pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-01"]), "2024-01-02"),
    ],
)
def test_an_outlier_label_of_another_type_than_y_is_refused(y, label):
    with pytest.raises(ValueError, match="is of another type than y, which holds"):
        encode_labels(y, 3, outlier_label=label)


@pytest.mark.parametrize("label", [-1, 2, [2, 3]])
def test_an_outlier_label_that_labels_0_and_1_cannot_hold_is_refused(label):
    with pytest.raises(ValueError, match=r"does not occur in y, which holds 0 and 1.*number"):
        encode_labels([0, 1, 1], 3, outlier_label=label)


@pytest.mark.parametrize("label", [None, [], np.array([]), np.nan, [None], pd.NA])
def test_an_outlier_label_that_is_none_is_refused(label):
    with pytest.raises(ValueError, match=r"outlier_label=.* must be 'auto', the label"):
        encode_labels([0, 1, 1], 3, outlier_label=label)


@pytest.mark.parametrize(
    ("known", "y", "expected"),
    [
        ((0, 1), [1, 1, 1], [1, 1, 1]),
        ((0, 1), [1, NAN, 1], [1, -1, 1]),
        ((1, -1), [1, 1, 1], [0, 0, 0]),
        ((1, -1), [1, NAN, 1], [0, -1, 0]),
        ((False, True), [1, 1, 1], [1, 1, 1]),
        ((2, 4), [4, 4, 4], [1, 1, 1]),
        ((2, 4), [2, NAN, 2], [0, -1, 0]),
        ((1, -1), [0, 1, 1], [0, 1, 1]),  # a coding of its own
        ((1, -1), [True, True, True], [1, 1, 1]),
        (None, [True, True, True], [1, 1, 1]),
    ],
)
def test_a_known_coding_decides_what_one_label_means(known, y, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codes = encode_labels(y, 3, known=known, require_normal=False)
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize(
    ("ys", "coding"),
    [
        ([[1, 1], [0, 1], None], (0, 1)),
        ([[1, 1], [1, -1]], (1, -1)),
        ([[1, NAN], [0, 0]], (0, 1)),
        ([[1, 1], [True, False]], (False, True)),
        ([[2, 4], [4, 4]], (2, 4)),
        ([[1, 1], [0, 1], [1, -1]], None),
        ([[1, 1], ["a", "b"]], None),
        ([], None),
    ],
)
def test_labels_that_tell_their_coding_tell_that_of_others(ys, coding):
    assert common_coding(ys) == coding


@pytest.mark.parametrize(
    ("y", "read", "label"),
    [([0, 1, 1], 1, 0), ([1, -1, -1], -1, 1), ([True, True, False], True, False)],
)
def test_more_anomalies_than_normal_rows_are_told(y, read, label):
    codes, coding = read_labels(y, 3)
    message = f"2 of 3 rows as anomalies: {read} is read as the anomaly.*pass outlier_label={label}"
    with pytest.warns(LabelConventionWarning, match=f"{message}.*BaggingClassifier") as caught:
        warn_if_mostly_anomalous(codes, coding, "auto")
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("y", "label"), [([0, 1, 1], 1), ([0, 1], "auto"), ([-1, NAN, NAN], "auto"), (None, "auto")]
)
def test_labels_that_are_said_or_not_in_the_majority_need_no_word(y, label):
    n = 3 if y is None else len(y)
    codes, coding = read_labels(y, n, outlier_label=label)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_mostly_anomalous(codes, coding, label)
    assert len(codes) == n
