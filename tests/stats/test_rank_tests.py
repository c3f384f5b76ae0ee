"""Ranks, Holm's correction, signed-rank tests and cliques, by hand and by scipy."""

import numpy as np
from scipy.stats import friedmanchisquare, wilcoxon

from sklearn_fsad._stats.rank_tests import cliques, friedman, holm, pairwise_p, signed_rank_p

VALUES = np.random.default_rng(0).normal(size=(9, 3)) + [0.0, 0.2, 2.0]


def test_the_signed_rank_test_is_scipys_and_equal_values_give_one():
    a, b = VALUES[:, 0], VALUES[:, 2]
    assert signed_rank_p(a, b) == wilcoxon(a - b, zero_method="zsplit").pvalue
    assert signed_rank_p(a, a) == 1.0


def test_friedmans_test_is_scipys_and_undefined_for_two_methods():
    assert friedman(VALUES) == tuple(map(float, friedmanchisquare(*VALUES.T)))
    assert np.isnan(friedman(VALUES[:, :2])).all()


def test_holm_never_lowers_a_p_value_nor_exceeds_one():
    np.testing.assert_allclose(holm(np.array([0.9, 0.01, 0.6])), [1.0, 0.03, 1.0])


def test_pairs_are_corrected_together():
    table = pairwise_p(VALUES)
    single = [signed_rank_p(VALUES[:, i], VALUES[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_array_equal(table[[0, 0, 1], [1, 2, 2]], holm(np.array(single)))
    np.testing.assert_array_equal(table, table.T)


def test_a_clique_holds_no_pair_that_differs_and_is_in_no_larger_one():
    differ = np.zeros((4, 4), dtype=bool)
    differ[0, 3] = differ[3, 0] = True
    found = cliques(np.array([1.5, 2.0, 2.5, 4.0]), differ)
    assert [list(clique) for clique in found] == [[0, 1, 2], [1, 2, 3]]
    assert cliques(np.array([1.0, 2.0]), ~np.eye(2, dtype=bool)) == []
