"""Reasons of training rows: found by an adaptation that did not see them."""

import numpy as np
import pandas as pd
import pytest
from families import make_detector, new_task

from sklearn_fsad import InContextDetector, ProtoNetDetector
from sklearn_fsad._detectors.base.training_rows import explained_by_others
from sklearn_fsad._explain.attribution import column_contributions

pytestmark = pytest.mark.usefixtures("few_trees")


def draw(seed, n_columns=6, size=4.0):
    """Forty correlated rows, one of them shifted in one column: rows, its position, the column."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, n_columns)) @ rng.normal(size=(n_columns, n_columns))
    column = seed % n_columns
    X[7, column] += size * X[:, column].std()
    return X, 7, column


@pytest.mark.parametrize("cls", [InContextDetector, ProtoNetDetector])
def test_the_shifted_column_of_a_training_row_comes_first(cls):
    found = []
    for X, row, column in map(draw, range(12)):
        found.append(cls().fit(X).feature_scores(X[[row]]).argmax() == column)
    assert np.mean(found) > 0.9


@pytest.mark.parametrize("cls", [InContextDetector, ProtoNetDetector])
def test_a_word_that_differs_in_every_row_is_no_reason(cls):
    X, row, column = draw(0)
    table = pd.DataFrame(X).rename(columns=str).assign(number=[f"n{i}" for i in range(40)])
    contributions = cls().fit(table).feature_scores(table.iloc[[row]])[0]
    assert contributions.argmax() == column


def test_rows_of_any_kind_add_up_and_others_are_explained_as_without_them(every_name):
    X, y, query, _ = new_task(n_support=24, k_support=3)
    detector = make_detector(every_name).fit(X, y)
    rows = np.concatenate([query[:3], X[:4], query[3:5], X[-2:]])
    parts = detector.feature_scores(rows)
    np.testing.assert_allclose(parts.sum(axis=1), -detector.score_samples(rows), rtol=1e-9)
    fresh = [0, 1, 2, 7, 8]
    np.testing.assert_array_equal(parts[fresh], detector.feature_scores(rows[fresh]))
    np.testing.assert_allclose(parts[3], detector.feature_scores(rows[[3]])[0], rtol=1e-9)


def test_one_adaptation_serves_all_rows_of_a_fold(monkeypatch):
    X, *_ = draw(1)
    detector, fits = ProtoNetDetector().fit(X), []
    to = type(detector._adaptation).to
    monkeypatch.setattr(
        type(detector._adaptation), "to", lambda *given: fits.append(1) or to(*given)
    )
    detector.feature_scores(X)
    assert len(fits) == 5
    detector.feature_scores(X + 1e-3)
    assert len(fits) == 5


@pytest.mark.parametrize("cls", [InContextDetector, ProtoNetDetector])
@pytest.mark.parametrize("n", [2, 3])
def test_with_few_rows_contributions_still_add_up(cls, n):
    X = np.random.default_rng(0).normal(size=(n, 3))
    detector = cls().fit(X)
    parts = detector.feature_scores(X)
    np.testing.assert_allclose(parts.sum(axis=1), -detector.score_samples(X), rtol=1e-9, atol=1e-9)


def test_a_fresh_row_is_explained_by_the_whole_support():
    X, *_ = draw(2)
    adaptation = ProtoNetDetector().fit(X)._adaptation

    def explain(fitted, rows):
        return column_contributions(fitted.score, rows, X)

    rows = X + 0.5
    expected = explain(adaptation, rows)
    np.testing.assert_array_equal(explained_by_others(adaptation, rows, explain), expected)
