"""Rows of the support are judged by the others of it: they look no better than fresh ones."""

import pickle
from functools import partial

import numpy as np
import pytest

from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    NeuralProcessDetector,
    ProtoNetDetector,
)
from sklearn_fsad._detectors.base.support_lookup import SupportLookup


@pytest.fixture(params=["ProtoNet", "textbook", "MAML", "NeuralProcess", "InContext"])
def any_detector(request, few_lessons, few_trees):
    """Each method without meta-training: a function of further parameters."""
    cls, known = {
        "ProtoNet": (ProtoNetDetector, {}),
        "textbook": (ProtoNetDetector, {"embedding": "mlp"}),
        "MAML": (MAMLDetector, {"residual": False}),
        "NeuralProcess": (NeuralProcessDetector, {"max_epochs": 0}),
        "InContext": (InContextDetector, {}),
    }[request.param]
    return partial(cls, random_state=0, **known)


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(400, 4))


@pytest.mark.parametrize("n_copies", [1, 30])  # of the columns
def test_rows_are_found_by_what_they_hold(n_copies):
    X = np.array([[1.0, 2.0], [0.0, 4.0], [5.0, np.nan], [7.0, 8.0]])
    own = SupportLookup.of(np.tile(X, n_copies), np.array([0, 0, 0, 1]))
    asked = np.array([[-0.0, 4.0], [1.0, 2.5], [5.0, np.nan], [7.0, 8.0]])
    found = own.find(np.tile(asked, n_copies)).tolist()
    assert found == [1, -1, 2, -1]  # a labelled anomaly stays one


def test_where_rows_repeat_an_equal_one_may_be_fresh():
    X = np.repeat(np.arange(20.0), [1] * 18 + [2, 2])[:, None]
    assert (SupportLookup.of(X, np.zeros(22)).find(X) == -1).all()
    assert (SupportLookup.of(X[:19], np.zeros(19)).find(X[:19]) >= 0).all()


def test_one_value_that_many_rows_hold_says_nothing_of_the_others():
    X = np.repeat(np.arange(20.0), [1] * 19 + [10])[:, None]
    assert SupportLookup.of(X, np.zeros(29)).find(X).tolist() == [*range(19), *[-1] * 10]


def test_a_share_of_the_support_is_about_that_share_of_fresh_rows(any_detector, rows):
    support, fresh = rows[:100], rows[100:]
    detector = any_detector(contamination=0.1).fit(support)
    assert (detector.predict(support) == -1).sum() == 10
    assert 0.03 <= (detector.predict(fresh) == -1).mean() <= 0.17


def test_rows_of_the_support_score_as_when_left_out(any_detector, rows):
    support = rows[:40]
    detector = any_detector().fit(support)
    left_out = -detector._adaptation.left_out
    order = detector._adaptation.support.order
    np.testing.assert_array_equal(detector.score_samples(support[order]), left_out)
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(again.score_samples(support[order]), left_out)


def test_contributions_to_rows_of_the_support_add_up(any_detector, rows):
    detector = any_detector().fit(rows[:40])
    shares = detector.feature_scores(rows[:60])
    np.testing.assert_allclose(shares.sum(axis=1), -detector.score_samples(rows[:60]), rtol=1e-9)


@pytest.mark.parametrize("i", range(5))
def test_a_strange_row_of_the_support_is_explained(rows, i):
    support = rows[:40].copy()
    support[i, 2] = 8.0
    detector = ProtoNetDetector().fit(support)
    assert detector.feature_scores(support[i : i + 1]).argmax() == 2
