"""Labels: one encoder reads every accepted coding and refuses the others with a way out."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.exceptions import DataConversionWarning

from sklearn_fsad._input.labels import encode_labels
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
