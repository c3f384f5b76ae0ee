"""Strategies on pools where it is plain which row is worth asking about."""

import numpy as np
import pytest

from sklearn_fsad._choice.strategies import diverse, expected_change, margin, top

SCORES = np.array([0.1, 3.0, 2.9, 2.8, 1.0, 0.2])
NO_KIND, NONE_SEEN = np.zeros(6, dtype=bool), np.full(6, np.inf)


def test_top_and_margin_go_by_the_scores_alone():
    assert top(SCORES, 3).tolist() == [1, 2, 3]
    assert margin(SCORES, 1.1, 2).tolist() == [4, 5]
    assert top(np.zeros(4), 2).tolist() == margin(np.zeros(4), 0.0, 2).tolist() == [0, 1]


def test_rows_of_one_kind_are_asked_about_once_before_another_kind():
    Z = np.array([[0.0], [9.0], [9.1], [-9.0], [1.0], [0.0]])
    assert diverse(SCORES, NO_KIND, NONE_SEEN, Z, 2).tolist() == [1, 3]
    assert diverse(SCORES, NO_KIND, np.abs(Z - 9.0)[:, 0], Z, 1).tolist() == [3]


def test_rows_of_low_scores_are_never_asked_about_for_being_different():
    scores = np.arange(40.0)
    Z = np.where(scores < 30, 1e3 - scores, 0.0)[:, None]
    none = np.zeros(40, dtype=bool)
    assert diverse(scores, none, np.full(40, np.inf), Z, 1).tolist() == [39]
    assert diverse(scores, none, Z[:, 0], Z, 1) >= 30


def test_rows_of_a_known_kind_wait_for_all_others():
    scores, place = np.arange(40.0)[::-1], np.arange(40.0)
    known = place < 25
    chosen = diverse(scores, known, place, place[:, None], 17)
    assert chosen[0] == 34  # the farthest of the ten highest of other kinds
    assert sorted(chosen[:15]) == list(range(25, 40))
    assert (chosen[15:] < 25).all()
    assert diverse(scores, place >= 0, place, place[:, None], 1).tolist() == [9]


def test_all_rows_can_be_asked_for():
    assert sorted(diverse(SCORES, NO_KIND, NONE_SEEN, np.zeros((6, 1)), 6)) == list(range(6))


@pytest.mark.parametrize(
    ("p_of_first", "known", "expected"), [(0.9, [], 0), (0.1, [], 1), (0.9, [0, 1], 2)]
)
def test_a_change_counts_as_much_as_its_label_is_likely(p_of_first, known, expected):
    scores, turned = np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0, 3.0])

    def rescored(row, label):
        return turned if (row, label) in {(0, 1), (1, 0)} else scores

    p, known_kind = np.array([p_of_first, p_of_first, 0.5]), np.isin(np.arange(3), known)
    assert expected_change(scores, known_kind, p, 1, rescored, scores).tolist() == [expected]
