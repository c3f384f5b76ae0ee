"""Test that every class reads labels alike, and predicts by the sign of the decision function."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from families import (
    assert_same_support,
    far_off,
    new_task,
)
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fsad import InContextDetector
from sklearn_fsad.exceptions import LabelConventionWarning
from sklearn_fsad.metrics import anomaly_scorer

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")


# --- labels ---------------------------------------------------------------------------------------
def with_unlabelled(values, missing):
    """The labels as objects, every third one missing."""
    return [missing if i % 3 == 0 else value for i, value in enumerate(values)]


CODINGS = {
    "signed": lambda y: 1 - 2 * y,
    "signed floats": lambda y: (1 - 2 * y).astype(float),
    "bool": lambda y: y.astype(bool),
    "list": lambda y: y.tolist(),
    "pandas": lambda y: pd.Series(y, index=np.arange(len(y)) + 7),
    "polars": lambda y: pl.Series(y),
}
TEXT = np.array(["good", "bad"])  # where outlier_label says which of them is the anomaly
CODINGS_WITH_UNLABELLED = {
    "none": lambda y: with_unlabelled(y.tolist(), None),
    "signed with nan": lambda y: np.array(with_unlabelled((1.0 - 2 * y).tolist(), np.nan)),
    "bool with none": lambda y: with_unlabelled(y.astype(bool).tolist(), None),
    "pandas boolean": lambda y: pd.Series(with_unlabelled(y.astype(bool), pd.NA), dtype="boolean"),
    "pandas integers": lambda y: pd.Series(with_unlabelled(1 - 2 * y, pd.NA), dtype="Int64"),
    "polars": lambda y: pl.Series(with_unlabelled(y.tolist(), None)),
}


def test_every_coding_of_labels_gives_the_same_numbers(each_class, task):
    X, y, query, query_y = task
    expected = clone(each_class).fit(X, y)
    scores, auc = expected.score_samples(query), expected.score(query, query_y)
    for name, code in CODINGS.items():
        fitted = each_class.fit(X, code(y))
        assert_same_support(fitted, expected)
        assert fitted.offset_ == expected.offset_, name
        np.testing.assert_array_equal(fitted.score_samples(query), scores, err_msg=name)
        assert fitted.score(query, code(query_y)) == auc, name
    fitted = clone(each_class).set_params(outlier_label="bad").fit(X, TEXT[y])
    assert_same_support(fitted, expected)
    assert fitted.score(query, TEXT[query_y]) == auc


def test_every_mark_of_an_unlabelled_row_gives_the_same_numbers(each_class, task):
    X, y, query, query_y = task
    marked = np.array(with_unlabelled(y.astype(float).tolist(), np.nan))
    expected = clone(each_class).fit(X, marked)
    decision = expected.decision_function(query)
    auc = roc_auc_score(np.delete(query_y, np.s_[::3]), np.delete(-decision, np.s_[::3]))
    for name, code in CODINGS_WITH_UNLABELLED.items():
        fitted = each_class.fit(X, code(y))
        assert_same_support(fitted, expected)
        np.testing.assert_array_equal(fitted.decision_function(query), decision, err_msg=name)
        assert fitted.score(query, code(query_y)) == pytest.approx(auc), name


@pytest.mark.parametrize("y", [[0] * 12, [False] * 12, [np.nan] * 12, [None, 0] * 6])
def test_labels_without_an_anomaly_equal_no_labels(each_class, task, y):
    if isinstance(each_class, InContextDetector) and y[0] != 0:
        pytest.skip("InContextDetector doubts rows that are marked as unlabelled")
    X, query = task[0][:12], task[2]
    expected = clone(each_class).fit(X).decision_function(query)
    np.testing.assert_array_equal(each_class.fit(X, y).decision_function(query), expected)


def test_labels_change_the_scores(ready, task):
    X, _, query, _ = task
    assert (ready.score_samples(query) != clone(ready).fit(X).score_samples(query)).all()


def test_score_takes_the_anomaly_as_positive_in_each_coding(each_class, task):
    X, y, query, query_y = task
    each_class.fit(X, y)
    expected = roc_auc_score(query_y, -each_class.score_samples(query))
    assert expected != 0.5
    for coding in CODINGS.values():
        assert each_class.score(query, coding(query_y)) == pytest.approx(expected)


def test_frames_give_the_numbers_of_arrays(each_class, task):
    X, y, query, _ = task
    expected = clone(each_class).fit(X, y).decision_function(query)
    names = [f"sensor {j}" for j in range(X.shape[1])]
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        fitted = clone(each_class).fit(frame, y)
        assert list(fitted.feature_names_in_) == names
        assert_same_support(fitted, clone(each_class).fit(X, y))
        scores = fitted.decision_function(type(frame)(dict(zip(names, query.T, strict=True))))
        np.testing.assert_array_equal(scores, expected)


# --- labels of one kind, and labels turned round --------------------------------------------------
def test_ones_mean_what_they_meant_in_fit(each_class, task):
    X, y, query, query_y = task
    anomalies, ones = query[query_y == 1], np.ones((query_y == 1).sum(), dtype=int)
    each_class.fit(X, y)
    with pytest.raises(ValueError, match="No row is labelled as normal"):
        each_class.calibrate(anomalies, ones)
    with pytest.raises(ValueError, match="No row is labelled as normal"):
        each_class.diagnose(anomalies, ones)
    assert anomaly_scorer("recall")(each_class, anomalies, ones) > 0.0
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(each_class.score(anomalies, ones))
    each_class.partial_fit(anomalies, ones)
    assert (each_class.support_y_[len(y) :] == 1).all()
    each_class.fit(X, 1 - 2 * y)
    assert anomaly_scorer("recall")(each_class, anomalies, ones) == 0.0
    each_class.partial_fit(anomalies[:2], ones[:2])
    assert (each_class.support_y_[len(y) :] == 0).all()


def test_more_anomalies_may_be_added_without_a_word(each_class, task):
    X, y, query, query_y = task
    anomalies = query[query_y == 1][:6]
    each_class.fit(X[y == 0]).partial_fit(anomalies, np.ones(6, dtype=bool))
    assert each_class.support_y_.tolist() == [0] * 12 + [1] * 6


@pytest.mark.parametrize("later", [[1, -1], [-1, -1]])
def test_rows_added_in_another_coding_are_refused(each_class, task, later):
    X, y, query, _ = task
    expected = each_class.fit(X, y).score_samples(query)
    with pytest.raises(ValueError, match="read as 1 normal, -1 anomalous; labels given before"):
        each_class.partial_fit(query[:2], later)
    np.testing.assert_array_equal(each_class.score_samples(query), expected)
    each_class.partial_fit(query[:2], [0, 1])
    assert each_class.support_y_[-2:].tolist() == [0, 1]


def test_classes_of_three_words_are_those_of_one_fit(each_class, task):
    X, _, query, _ = task
    each_class.set_params(outlier_label="defect").fit(X, ["ok"] * len(X))
    each_class.partial_fit(query[:2], ["defect", "ok"])
    assert each_class.classes_.tolist() == ["defect", "ok"]
    for label in ("dusty", "ok"):
        each_class.partial_fit(query[2:3], [label])
        assert each_class.classes_.tolist() == [-1, 1]


def test_a_query_may_have_a_coding_of_its_own(each_class, task):
    X, y, query, query_y = task
    expected = each_class.fit(X, y).score(query, query_y)
    assert each_class.score(query, 1 - 2 * query_y) == expected
    assert each_class.score(query, query_y.astype(bool)) == expected
    ones = np.ones(3, dtype=bool)
    assert anomaly_scorer("recall")(each_class, query[query_y == 1][:3], ones) > 0.0


def test_rows_that_are_all_true_are_anomalies(each_class, task):
    X, y, query, _ = task
    scores = each_class.fit(X, y).score_samples(query)
    with pytest.raises(ValueError, match="all 16 rows as anomalies"):
        each_class.fit(X, np.ones(len(X), dtype=bool))
    np.testing.assert_array_equal(each_class.score_samples(query), scores)


@far_off
def test_a_pipeline_and_a_search_know_the_coding_of_their_detector(each_class, task):
    X, y, query, query_y = task
    anomalies = query[query_y == 1]
    pipe = make_pipeline(StandardScaler(), each_class).fit(X, y)
    search = GridSearchCV(each_class, {"alpha": [0.1]}, cv=[(np.arange(16), np.arange(16))])
    for estimator in (pipe, search.set_params(scoring=anomaly_scorer()).fit(X, y)):
        assert anomaly_scorer("recall")(estimator, anomalies, [1] * 20) > 0.0


def test_labels_turned_round_are_told_with_what_to_pass(each_class, task):
    X, y, query, query_y = task
    keep = np.r_[:12, 12:14]
    with pytest.warns(LabelConventionWarning, match="12 of 14 rows.*pass outlier_label=0"):
        clone(each_class).fit(X[keep], 1 - y[keep])
    good = each_class.set_params(outlier_label=0).fit(X[keep], 1 - y[keep])
    expected = clone(each_class).set_params(outlier_label="auto").fit(X[keep], y[keep])
    np.testing.assert_array_equal(good.score_samples(query), expected.score_samples(query))
    assert good.score(query, 1 - query_y) == expected.score(query, query_y)


def test_several_labels_may_mark_anomalies(each_class, task):
    X, y, query, _ = task
    kinds = np.where(y, np.where(np.arange(len(y)) % 2, "scratch", "dent"), "good")
    expected = clone(each_class).fit(X, y).decision_function(query)
    for labels in (["scratch", "dent"], np.array(["scratch", "dent"]), {"dent", "scratch"}):
        fitted = clone(each_class.set_params(outlier_label=labels)).fit(X, kinds)
        np.testing.assert_array_equal(fitted.decision_function(query), expected)


# --- predictions ----------------------------------------------------------------------------------
def test_predict_is_the_sign_of_the_decision_function(each_class, task):
    X, y, query, _ = task
    each_class.fit(X, y)
    decision = each_class.decision_function(query)
    np.testing.assert_array_equal(decision, each_class.score_samples(query) - each_class.offset_)
    np.testing.assert_array_equal(each_class.predict(query), np.where(decision >= 0, 1, -1))
    assert set(each_class.predict(query)) == {1, -1}


def test_fit_predict_passes_the_labels_on(each_class, task):
    X, y, query, _ = task
    labels = clone(each_class).fit_predict(X, y)
    each_class.fit_predict(X, y)
    np.testing.assert_array_equal(labels, each_class.predict(X))
    assert (each_class.support_y_ == y).all()
    expected = clone(each_class).fit(X, y).decision_function(query)
    np.testing.assert_array_equal(each_class.decision_function(query), expected)


@pytest.mark.parametrize("contamination", [0.05, 0.1, 0.25, 0.5])
def test_contamination_flags_that_share_of_the_fitted_rows(each_class, contamination):
    X, y, query, _ = new_task(n_support=40, k_support=10)
    each_class.set_params(contamination=contamination).fit(X, y)
    flagged = (each_class.predict(X) == -1).mean()
    assert abs(flagged - contamination) <= 1 / len(X)
    expected = clone(each_class).set_params(contamination="auto").fit(X, y).score_samples(query)
    np.testing.assert_array_equal(each_class.score_samples(query), expected)


def test_methods_that_need_labels_say_so(each_class, task):
    X, y, query, _ = task
    detector = each_class.fit(X, y)
    for method in ("score", "calibrate", "diagnose"):
        for given in ((query,), (query, None)):
            with pytest.raises(ValueError, match="The labels 'y' of the rows are needed here"):
                getattr(detector, method)(*given)
        with pytest.raises(ValueError, match="y marks all 80 as unlabelled"):
            getattr(detector, method)(query, np.full(len(query), np.nan))
    pipe = make_pipeline(FrozenEstimator(StandardScaler().fit(query)), detector)
    with pytest.raises(ValueError, match="The labels 'y' of the rows"):
        pipe.score(query)
