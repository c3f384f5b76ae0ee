"""report and summary: the most anomalous rows with reasons, and what a detector is."""

import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from families import make_detector, new_task
from sklearn.exceptions import NotFittedError

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad._explain.report import columns_to_blame, most_anomalous
from sklearn_fsad._explain.summary import verdict
from sklearn_fsad.thresholds import ConformalThreshold

rng = np.random.default_rng(0)
SUPPORT, ROWS = rng.normal(size=(40, 4)), rng.normal(size=(25, 4))
ROWS[7, 2] = 9.0


@pytest.fixture
def fitted():
    return ProtoNetDetector().fit(SUPPORT)


# --- report ---------------------------------------------------------------------------------------
def test_equal_scores_stay_in_the_order_of_rows():
    assert most_anomalous(np.array([1.0, 3.0, 1.0, 3.0]), 3).tolist() == [1, 3, 0]


def test_usual_ranges_leave_out_missing_values():
    normals = np.array([[0.0, np.nan], [np.nan, np.nan], [1.0, np.nan]])
    found = columns_to_blame(np.array([[1.0, 2.0]]), ["a", "b"], np.array([[5.0, 6.0]]), normals)
    assert found["column_1"] == ["b"]
    assert np.isnan(found["usual_low_1"]).all()
    np.testing.assert_allclose([found["usual_low_2"][0], found["usual_high_2"][0]], [0.05, 0.95])


def test_the_shifted_column_of_the_shifted_row_comes_first(fitted):
    first = fitted.report(ROWS).iloc[0]
    assert (first["row"], first["column_1"], first["value_1"], first["flagged"]) == (7, "x2", 9, 1)
    low, high = np.percentile(SUPPORT[:, 2], [5, 95])
    assert (first["usual_low_1"], first["usual_high_1"]) == (low, high)


def test_training_rows_are_marked_by_their_values():
    y = np.repeat([0, 1], [38, 2])
    detector = ProtoNetDetector().fit(SUPPORT, y)
    rows = np.concatenate([ROWS[:2], SUPPORT[[3, 39]], SUPPORT[[4]] + 1e-12])
    found = detector.report(rows, top=None).sort_values("row")
    assert found["training_row"].tolist() == [False, False, True, True, False]
    own = detector._adaptation
    position = np.flatnonzero((SUPPORT[3] == own.support.X).all(axis=1))[0]
    assert found["anomaly_score"].iloc[2] == own.left_out[position] + detector.offset_


def test_a_table_of_one_column_has_one_to_blame():
    found = ProtoNetDetector().fit(SUPPORT[:, :1]).report(ROWS[:, :1])
    assert "column_1" in found
    assert "column_2" not in found


def test_frames_keep_their_index_and_their_names(fitted):
    support, rows = (pd.DataFrame(part, columns=list("abcd")) for part in (SUPPORT, ROWS))
    rows.index = [f"day {i}" for i in range(len(rows))]
    found = ProtoNetDetector().fit(support).report(rows, top=2)
    assert found.index[0] == "day 7"
    assert found["column_1"].iloc[0] == "c"
    np.testing.assert_array_equal(found["anomaly_score"], fitted.report(ROWS, 2)["anomaly_score"])


def test_polars_frames_give_polars_frames_without_pandas(monkeypatch):
    support, rows = (pl.DataFrame(part, schema=list("abcd")) for part in (SUPPORT, ROWS))
    detector = ProtoNetDetector().fit(support)
    monkeypatch.delitem(sys.modules, "pandas")
    monkeypatch.setattr(sys, "path", [])  # from where it could be imported again
    found = detector.report(rows, top=3)
    assert isinstance(found, pl.DataFrame)
    assert found["column_1"][0] == "c"


def test_without_pandas_the_error_says_what_to_install(fitted, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"sklearn-fsad\[data\]"):
        fitted.report(ROWS)


@pytest.mark.parametrize("top", [0, -1, 2.5, True, "all"])
def test_top_is_a_positive_integer_or_none(fitted, top):
    with pytest.raises(ValueError, match=r"top=.* must be a positive integer"):
        fitted.report(ROWS, top=top)


def test_only_the_rows_reported_are_explained(fitted, monkeypatch):
    explained = []
    own = ProtoNetDetector.feature_scores
    monkeypatch.setattr(
        ProtoNetDetector,
        "feature_scores",
        lambda self, X: (explained.append(len(X)), own(self, X))[1],
    )
    fitted.report(ROWS, top=np.int64(3))
    assert explained == [3]


def test_a_report_needs_a_fit():
    with pytest.raises(NotFittedError):
        ProtoNetDetector().report(ROWS)


# --- summary --------------------------------------------------------------------------------------
def test_an_unfitted_detector_says_what_to_do():
    text = str(ProtoNetDetector().summary())
    assert "fitted to     nothing yet" in text
    assert "Call meta_fit" in text
    assert "Call fit" in text


def test_a_meta_fitted_detector_says_what_it_learned_and_that_fit_is_missing():
    summary = make_detector("meta-fitted").summary()
    assert summary.n_tasks == 8
    assert "helped, ROC AUC" in str(summary)
    assert len(summary.advice) == 1
    assert "meta_fit" not in summary.advice[0]


def test_rows_are_counted_by_their_labels():
    y = np.repeat([0.0, 1.0, np.nan], [20, 5, 15])
    summary = ProtoNetDetector().fit(pd.DataFrame(SUPPORT, columns=list("abcd")), y).summary()
    assert (summary.n_normal, summary.n_anomalous, summary.n_unlabelled) == (20, 5, 15)
    assert summary.columns == tuple("abcd")


def test_weights_of_the_package_are_named():
    assert "'tabular-v2'" in make_detector("in context").summary().learned_from


@pytest.mark.filterwarnings("ignore:A false-alarm rate of alpha=0.01:UserWarning")
@pytest.mark.parametrize(
    ("how", "aim", "rate"),
    [
        ({}, "alpha=0.05", 0.05),
        ({"alpha": 0.01}, "1/(n+1)", 1 / 41),
        ({"contamination": 0.1}, "contamination", None),
        ({"threshold": ConformalThreshold(0.1)}, "ConformalThreshold", None),
    ],
)
def test_a_summary_says_how_the_threshold_was_chosen(how, aim, rate):
    summary = ProtoNetDetector(**how).fit(SUPPORT).summary()
    assert aim in summary.threshold_aim
    assert summary.false_alarm_rate == rate


def test_thresholds_chosen_after_fit_are_told_and_forgotten(fitted):
    y = np.arange(25) == 7
    assert "calibrate (f1) on 25" in fitted.calibrate(ROWS, y).summary().threshold_aim
    assert "set_threshold" in fitted.set_threshold(-3.0).summary().threshold_aim
    assert fitted.summary().threshold == -3.0
    assert "alpha=0.1" in fitted.set_threshold(alpha=0.1).summary().threshold_aim
    fitted.set_threshold(-3.0)
    assert "alpha" in fitted.fit(SUPPORT).summary().threshold_aim


def test_two_labelled_anomalies_make_it_f1():
    y = np.repeat([0, 1], [37, 3])
    assert "F1" in ProtoNetDetector().fit(SUPPORT, y).summary().threshold_aim


@pytest.mark.filterwarnings("ignore::sklearn_fsad.exceptions.FarTaskWarning")
def test_a_far_task_is_called_far():
    X, y, _, _ = new_task()
    assert not make_detector("meta-fitted").fit(X, y).summary().is_far
    far = make_detector("meta-fitted").fit(1000.0 * X, y).summary()
    assert far.is_far
    assert "too far" in str(far)
    assert far.advice


@pytest.mark.parametrize(
    ("used", "aucs", "told"),
    [
        ("mix", {"mix": 0.9, "closed form": 0.8}, "helped, ROC AUC 0.900 (mix) against 0.800"),
        ("closed form", {"closed form": 0.8, "network": 0.79}, "did not clearly help"),
        ("network", {"closed form": 0.8, "network": 0.7}, "did not help but is used"),
        ("closed form", {}, "not compared"),
    ],
)
def test_the_verdict_of_held_out_tasks_in_words(used, aucs, told):
    entry = {"choice": "scores", "regime": "labelled", "used": used, "roc_auc": aucs}
    assert told in verdict(entry)
    assert "with labelled anomalies" in verdict(entry)


def test_the_verdict_on_a_correction_tells_its_share_and_the_error_of_its_gain():
    entry = {
        "choice": "network",
        "regime": "unlabelled",
        "used": "corrected",
        "roc_auc": {"closed form": 0.892, "corrected": 0.91, "network": 0.88},
        "size": 0.5,
        "standard_error": 0.004,
    }
    assert verdict(entry) == (
        "network without labelled anomalies: helped, ROC AUC 0.910 (50% of the correction) against "
        "0.892 (default formula), standard error of the gain 0.004"
    )


@pytest.mark.parametrize(("n_repeated", "told"), [(0, ""), (3, ""), (20, "20 of 60 training")])
def test_repeated_training_rows_are_told(n_repeated, told):
    rows = np.concatenate([SUPPORT, SUPPORT[:n_repeated]])
    advice = ProtoNetDetector().fit(rows).summary().advice
    assert len(advice) == bool(told)
    assert told in "".join(advice)


def test_repeated_rows_that_have_gaps_are_told_and_flag_new_ones():
    rows = np.repeat(np.where(SUPPORT > 2.0, np.nan, SUPPORT), 2, axis=0)
    detector = make_detector("in context").fit(rows)
    assert detector.summary().advice[0].startswith("40 of 80 training rows repeat others")
    new = np.random.default_rng(5).normal(size=(200, 4))
    assert (detector.predict(new) == -1).mean() > 0.9


def test_notebooks_show_a_table_that_escapes_names():
    frame = pd.DataFrame(SUPPORT, columns=["<b>", "b", "c", "d"])
    html = ProtoNetDetector().fit(frame).summary()._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<table>" in html
