"""Distances between rows of a table, and rows far from each other."""

import numpy as np

from sklearn_fsad._choice.coordinates import coordinates, farthest_first


def test_units_do_not_matter_and_gaps_count_as_the_mean():
    rng = np.random.default_rng(0)
    X, normal = rng.normal(size=(30, 3)), np.ones(30, dtype=bool)
    Z = coordinates(X, normal)
    np.testing.assert_allclose(coordinates(1e3 * X + 5.0, normal), Z, atol=1e-9)
    X[0, 1] = np.nan
    gap = coordinates(X, normal)
    assert gap[0, 1] == 0.0
    assert np.isfinite(gap).all()


def test_different_categories_are_one_apart_whatever_their_numbers_are():
    X = np.array([[0.0], [7.0], [100.0], [7.0]])
    Z = coordinates(X, np.ones(4, dtype=bool), (0,))
    distances = np.linalg.norm(Z[:, None] - Z, axis=2)
    np.testing.assert_allclose(distances[0], [0.0, 1.0, 1.0, 1.0])
    assert distances[1, 3] == 0.0


def test_the_farthest_row_comes_next():
    Z = np.array([[0.0], [1.0], [10.0], [6.0]])
    assert farthest_first(Z, 3).tolist() == [0, 2, 3]
    assert farthest_first(Z, 1, near=np.array([0.0, 3.0, 2.0, 1.0])).tolist() == [1]


def test_equal_rows_are_chosen_once_each():
    assert sorted(farthest_first(np.zeros((5, 2)), 5)) == [0, 1, 2, 3, 4]
