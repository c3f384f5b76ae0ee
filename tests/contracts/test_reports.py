"""Every detector reports its most anomalous rows with reasons, and says what it is."""

import pickle

import numpy as np
import pytest
from families import new_task

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")


def test_a_report_agrees_with_the_methods_it_is_made_of(detector):
    X, y, query, _ = new_task()
    detector.fit(X, y)
    found = detector.report(query, top=4)
    row = found["row"].to_numpy()
    scores = -detector.decision_function(query)
    np.testing.assert_array_equal(row, np.argsort(-scores, kind="stable")[:4])
    np.testing.assert_array_equal(found["anomaly_score"], scores[row])
    np.testing.assert_array_equal(found["flagged"], detector.predict(query)[row] == -1)
    np.testing.assert_array_equal(found["p_value"], detector.p_values(query)[row])
    np.testing.assert_array_equal(found["probability"], detector.predict_proba(query)[row, 1])
    blamed = detector.feature_scores(query[row]).argmax(axis=1)
    assert found["column_1"].tolist() == [f"x{j}" for j in blamed]
    np.testing.assert_array_equal(found["value_1"], query[row, blamed])
    assert len(detector.report(query, top=None)) == len(query)
    assert not detector.report(query, top=None)["training_row"].any()


def test_a_summary_changes_nothing(detector):
    X, y = new_task()[:2]
    detector.fit(X, y)
    before = pickle.dumps(detector)
    summary = detector.summary()
    assert pickle.dumps(detector) == before
    assert (summary.n_normal, summary.n_anomalous) == (12, 4)
    assert str(summary).startswith(f"{type(detector).__name__}: ")


def test_rows_with_missing_values_are_reported(detector):
    X, y, query, _ = new_task()
    query = query.copy()
    query[0, 1] = np.nan
    found = detector.fit(X, y).report(query, top=None)
    assert found["row"].nunique() == len(query)
