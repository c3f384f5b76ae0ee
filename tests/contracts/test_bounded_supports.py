"""``partial_fit`` with a bound: what is kept, and that it is one ``fit`` on that."""

import numpy as np
import pandas as pd
import pytest
from families import assert_same_support, new_task
from sklearn.base import clone

from sklearn_fsad import InContextDetector, ProtoNetDetector

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")


def shuffled_task():
    X, y, query, _ = new_task()
    order = np.random.default_rng(1).permutation(len(X))
    return X[order], 1 - 2 * y[order], query


@pytest.mark.parametrize("keep", ["newest", "diverse"])
def test_a_bounded_fit_equals_a_fit_on_the_rows_kept(each_class, keep):
    X, y, query = shuffled_task()
    bounded = clone(each_class).fit(X[:9], y[:9])
    bounded.partial_fit(X[9:], y[9:], max_support=10, keep=keep)
    kept = [int(np.flatnonzero((row == X).all(axis=1))[0]) for row in bounded.support_X_]
    assert kept == sorted(kept)
    assert len(kept) == 10
    expected = each_class.fit(X[kept], y[kept])
    assert_same_support(bounded, expected)
    assert bounded.offset_ == expected.offset_
    np.testing.assert_array_equal(bounded.score_samples(query), expected.score_samples(query))


def test_the_newest_rows_are_kept_and_anomalies_up_to_half():
    X = np.arange(12.0)[:, None]
    y = np.array([1, -1, 1, 1, -1, 1, 1, 1, -1, 1, 1, 1])
    detector = ProtoNetDetector().partial_fit(X[:8], y[:8])
    detector.partial_fit(X[8:], y[8:], max_support=6)
    assert detector.support_X_[:, 0].tolist() == [1.0, 4.0, 8.0, 9.0, 10.0, 11.0]
    detector.partial_fit([[12.0]], [-1], max_support=4)
    assert detector.support_X_[:, 0].tolist() == [8.0, 10.0, 11.0, 12.0]


def test_few_normal_rows_leave_room_for_more_anomalies():
    X, y = np.arange(8.0)[:, None], [1, 1, -1, -1, -1, -1, -1, -1]
    detector = ProtoNetDetector(outlier_label=-1).partial_fit(X, y, max_support=6)
    assert detector.support_X_[:, 0].tolist() == [0.0, 1.0, 4.0, 5.0, 6.0, 7.0]


def test_the_first_rows_are_bounded_too_and_two_normal_ones_always_stay():
    X, y = np.arange(6.0)[:, None], [1, 1, 1, 1, -1, -1]
    detector = ProtoNetDetector().partial_fit(X, y, max_support=2)
    assert detector.support_X_[:, 0].tolist() == [2.0, 3.0]
    assert detector.support_y_.tolist() == [0, 0]
    assert detector.partial_fit(X[4:], [-1, -1]).support_y_.tolist() == [0, 0, 1, 1]


def test_diverse_rows_cover_states_that_old_rows_alone_show():
    rng = np.random.default_rng(0)
    rare, common = rng.normal(9.0, 0.1, size=(3, 2)), rng.normal(size=(40, 2))
    detectors = {keep: ProtoNetDetector().fit(rare) for keep in ("newest", "diverse")}
    for keep, detector in detectors.items():
        detector.partial_fit(common, max_support=10, keep=keep)
    assert (detectors["diverse"].support_X_ > 5).all(axis=1).any()
    assert not (detectors["newest"].support_X_ > 5).any()


def test_gaps_and_categories_can_be_as_different_as_numbers():
    heat = [1.0, np.nan, 1.1, 0.9, 1.0, 1.05, 1.1, 0.95]
    colour = ["red", "red", "blue", "red", "red", "red", "red", "red"]
    frame = pd.DataFrame({"heat": heat, "colour": colour})
    detector = InContextDetector().partial_fit(frame, max_support=3, keep="diverse")
    blue = detector.support_X_[:, 1] != detector.support_X_[-1, 1]
    assert blue.sum() == 1


def test_trust_in_the_rows_kept_is_remembered():
    X = np.arange(8.0)[:, None]
    weights = np.array([1, 1, 1, 1, 1, 1, 0, 1.0])
    detector = ProtoNetDetector().fit(X, sample_weight=weights)
    detector.partial_fit([[8.0]], max_support=4)
    assert detector.support_kept_.tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ({"max_support": 1}, "max_support=1 must be None or a whole number"),
        ({"max_support": 4.5}, "max_support=4.5 must be"),
        ({"max_support": True}, "max_support=True must be"),
        ({"keep": "oldest"}, "keep='oldest' must be one of 'newest', 'diverse'"),
    ],
)
def test_a_bound_that_cannot_be_leaves_the_former_fit(bound, message, task):
    X, y, query, _ = task
    detector = ProtoNetDetector().fit(X, y)
    expected = detector.score_samples(query)
    with pytest.raises(ValueError, match=message):
        detector.partial_fit(X[:2], y[:2], **bound)
    np.testing.assert_array_equal(detector.score_samples(query), expected)
