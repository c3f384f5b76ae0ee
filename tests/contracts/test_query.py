"""``query``: which rows of a pool to label next, by every detector."""

import numpy as np
import pandas as pd
import pytest
from families import make_detector, new_task
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_fsad import InContextDetector, ProtoNetDetector

STRATEGIES = ("diverse", "expected_change", "margin", "top")

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rows_are_chosen_once_and_the_detector_stays_as_it_is(each_class, strategy, task):
    X, y, pool, _ = task
    detector = each_class.fit(X, y)
    before = dict(vars(detector))
    pool = pool[-8:]
    scores = detector.decision_function(pool)
    chosen = detector.query(pool, n=4, strategy=strategy)
    assert chosen.shape == (4,)
    assert len(set(chosen.tolist())) == 4
    assert set(chosen.tolist()) <= set(range(len(pool)))
    np.testing.assert_array_equal(detector.query(pool, n=4, strategy=strategy), chosen)
    assert vars(detector).keys() == before.keys()
    assert all(vars(detector)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(detector.decision_function(pool), scores)


def test_one_row_is_asked_about_by_expected_change_and_several_by_diversity(task):
    X, y, pool, _ = task
    detector = ProtoNetDetector().fit(X, y)
    for n, strategy in ((1, "expected_change"), (3, "diverse")):
        found = detector.query(pool, n=n)
        np.testing.assert_array_equal(found, detector.query(pool, n=n, strategy=strategy))
    assert detector.query(pool) != detector.query(pool, strategy="diverse")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rows_with_known_labels_and_repeats_come_last(strategy, task):
    X, y, query, _ = task
    pool = np.concatenate([X, query[:6], query[:2]])
    detector = ProtoNetDetector().fit(X, y)
    chosen = detector.query(pool, n=len(pool), strategy=strategy)
    assert sorted(chosen[:6]) == list(range(len(X), len(X) + 6))
    assert sorted(chosen) == list(range(len(pool)))
    assert detector.query(X, n=2, strategy=strategy).shape == (2,)


def test_rows_of_the_support_without_a_label_are_asked_about(task):
    X, y, _, _ = task
    labels = np.where(np.arange(len(y)) < 4, np.nan, y)
    detector = ProtoNetDetector(outlier_label=1).fit(X, labels)
    assert sorted(detector.query(X, n=4)) == [0, 1, 2, 3]


def test_top_and_margin_follow_the_decisions(each_class, task):
    X, y, pool, _ = task
    decisions = each_class.fit(X, y).decision_function(pool)
    assert each_class.query(pool, strategy="top") == decisions.argmin()
    assert each_class.query(pool, strategy="margin") == np.abs(decisions).argmin()


def test_another_kind_of_anomaly_is_asked_about_before_a_known_one():
    rng = np.random.default_rng(0)
    one, other = rng.normal(12.0, 0.3, size=(9, 2)), rng.normal(-9.0, 0.3, size=(3, 2))
    detector = ProtoNetDetector().fit(rng.normal(size=(30, 2)))
    detector.partial_fit(one[:1], [-1])
    pool = np.concatenate([rng.normal(size=(60, 2)), one[1:], other])
    assert detector.query(pool, strategy="top") < 68
    assert detector.query(pool, strategy="diverse")[0] >= 68


def test_after_a_false_alarm_rows_of_another_kind_are_asked_about():
    rng = np.random.default_rng(1)
    alarms, other = rng.normal([6.0, 0.0], 0.3, size=(9, 2)), rng.normal([0.0, 6], 0.3, size=(3, 2))
    detector = ProtoNetDetector(outlier_label=1).fit(rng.normal(size=(30, 2)))
    pool = np.concatenate([rng.normal(size=(60, 2)), alarms, other])
    first = detector.query(pool, strategy="diverse")
    detector.partial_fit(pool[first], [0])
    second = detector.query(pool, strategy="diverse")
    assert (first >= 69) != (second >= 69)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_frames_with_gaps_and_categories_are_read_as_by_fit(strategy):
    rng = np.random.default_rng(0)
    heat = np.where(rng.uniform(size=40) < 0.2, np.nan, rng.normal(size=40))
    frame = pd.DataFrame({"heat": heat, "colour": rng.choice(["red", "blue"], size=40)})
    detector = InContextDetector().fit(frame.iloc[:25])
    pool = frame.iloc[25:].assign(colour="green")
    assert len(set(detector.query(pool, n=5, strategy=strategy).tolist())) == 5
    with pytest.raises(ValueError, match="colour"):
        detector.query(pool[["heat"]], strategy=strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_network_that_taught_itself_can_ask(strategy, task):
    X, y, pool, _ = task
    detector = make_detector("self-taught process").fit(X, y)
    assert detector.query(pool[:4], n=2, strategy=strategy).shape == (2,)


def test_more_rows_than_are_compared_can_be_asked_for(monkeypatch, task):
    monkeypatch.setattr("sklearn_fsad._detectors.base.querying._MOST_LOOKED_AT", 12)
    X, y, pool, _ = task
    detector = ProtoNetDetector().fit(X, y)
    chosen = detector.query(pool, n=len(pool))
    assert sorted(chosen) == list(range(len(pool)))
    by_score = detector.query(pool, n=len(pool), strategy="top")
    assert set(chosen[:12]) == set(by_score[:12])
    np.testing.assert_array_equal(chosen[12:], by_score[12:])


def test_answers_lead_to_the_anomalies():
    X, _, pool, truth = new_task(n_support=20, k_support=0)
    detector = ProtoNetDetector(outlier_label=1).fit(X)
    for _ in range(8):
        row = detector.query(pool, strategy="diverse")
        detector.partial_fit(pool[row], truth[row])
    assert (detector.support_y_ == 1).sum() >= 3
    assert len(np.unique(detector.support_X_, axis=0)) == len(X) + 8


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n": 0}, "n=0 must be a whole number"),
        ({"n": 2.0}, "n=2.0 must be a whole number"),
        ({"n": True}, "n=True must be a whole number"),
        ({"n": 61}, "n=61 rows are asked for, but X_pool has 60"),
        ({"strategy": "best"}, "strategy='best' must be one of 'auto', 'diverse'"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(asked, message, task):
    X, y, query, _ = task
    with pytest.raises(ValueError, match=message):
        ProtoNetDetector().fit(X, y).query(query[:60], **asked)


def test_a_detector_that_is_not_fitted_cannot_ask(each_class, task):
    with pytest.raises(NotFittedError, match="fit"):
        clone(each_class).query(task[2])
    with pytest.raises(ValueError, match="4 features"):
        each_class.fit(task[0], task[1]).query(task[2][:, 1:])
