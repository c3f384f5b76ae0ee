"""A support's coordinate systems do not depend on units, and neighbours in them are exact."""

import numpy as np
import pytest
from scipy.stats import norm, rankdata
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import MinMaxScaler

from sklearn_fsad._evidence.coordinates import Boxes, Coordinates, NormalScores
from sklearn_fsad._stats.moments import compressed
from sklearn_fsad._stats.neighbours import MOST_NEIGHBOURS, nearest, nearest_others

every_metric = pytest.mark.parametrize("metric", ["euclidean", "cityblock"])


def made(n, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


@every_metric
@pytest.mark.parametrize("n", [1, 4, 20, 21, 1100])  # the last takes more than one block
def test_nearest_are_those_of_scikit_learn(metric, n):
    rows, others = made(1100), made(n, seed=1)
    found = nearest(rows, others, metric)
    k = min(MOST_NEIGHBOURS, n)
    expected = NearestNeighbors(n_neighbors=k, metric=metric).fit(others).kneighbors(rows)
    np.testing.assert_allclose(found.distance, expected[0], rtol=1e-12)
    np.testing.assert_array_equal(found.position, expected[1])


@every_metric
@pytest.mark.parametrize("n", [2, 3, 20, 21, 22, 1100])
def test_own_neighbours_leave_out_the_row_itself_and_are_found_once(metric, n):
    view = Coordinates(made(n), made(2, seed=1))
    found = view.own_neighbours(metric)
    expected = NearestNeighbors(n_neighbors=min(20, n - 1), metric=metric).fit(made(n)).kneighbors()
    np.testing.assert_allclose(found.distance, expected[0], rtol=1e-12)
    np.testing.assert_array_equal(found.position, expected[1])
    view.own_neighbours("cityblock")
    assert view.own_neighbours(metric) is found
    assert view.own_neighbours(metric, 5) is found


@every_metric
def test_more_own_neighbours_are_found_when_they_are_asked_for(metric):
    view = Coordinates(made(40), made(2, seed=1))
    few, more = view.own_neighbours(metric, 5), view.own_neighbours(metric, 20)
    assert few.distance.shape[1] == 5
    np.testing.assert_array_equal(few.distance, more.distance[:, :5])
    np.testing.assert_array_equal(few.position, more.position[:, :5])


@pytest.mark.parametrize(("copies", "position"), [([0], [0]), ([0, 0, 1, 2], [1, 0])])
def test_a_lonely_row_has_itself_and_a_copy_the_other(copies, position):
    rows = made(3)[copies]
    found = nearest_others(rows, "euclidean")
    np.testing.assert_array_equal(found.position[:2, 0], position)
    np.testing.assert_array_equal(found.distance[:2, 0], 0.0)


def test_compressed_is_linear_up_to_five_and_logarithmic_beyond():
    Z = np.array([[0.0, 4.9, -5.0], [6.0, -104.0, 1e12]])
    expected = [[0.0, 4.9, -5.0], [5 + np.log(2), -5 - np.log(100), 5 + np.log1p(1e12 - 5)]]
    np.testing.assert_allclose(compressed(Z), expected, rtol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_normals_without_ties_get_the_quantiles_of_van_der_waerden(n):
    rows = np.exp(made(n))
    expected = norm.ppf((rankdata(rows, axis=0) - 0.5) / n)
    np.testing.assert_allclose(NormalScores(rows)(rows), expected, rtol=1e-12, atol=1e-15)


def test_equal_normals_get_the_mean_of_their_quantiles():
    column = np.array([[3.0], [1.0], [3.0], [2.0], [3.0], [1.0]])
    q = norm.ppf((np.arange(6) + 0.5) / 6)
    values = {1.0: q[:2].mean(), 2.0: q[2], 3.0: q[3:].mean()}
    expected = [[values[x]] for x in column[:, 0]]
    np.testing.assert_allclose(NormalScores(column)(column), expected, rtol=1e-12)


def test_scores_are_interpolated_between_normals_and_grow_beyond_them():
    scores = NormalScores(np.array([[0.0], [1.0], [4.0]]))
    high = norm.ppf(5 / 6)
    z = np.array([[0.25], [2.5], [7.0], [-2.0]])
    expected = [[-0.75 * high], [0.5 * high], [high + np.log(4)], [-high - np.log(3)]]
    np.testing.assert_allclose(scores(z), expected, rtol=1e-12)
    constant = NormalScores(np.full((5, 1), 2.0))(np.array([[2.0], [3.0], [1.0]]))
    np.testing.assert_allclose(constant[:, 0], [0.0, np.log(2), -np.log(2)], atol=1e-15)


@pytest.mark.parametrize("column", [np.full(6, 2.5), made(6)[:, 0], np.round(made(30)[:, 0])])
def test_scores_never_fall_and_stay_finite(column):
    line = np.concatenate([-np.logspace(12, 0, 20), np.linspace(-1, 5, 101), np.logspace(1, 12, 9)])
    seen = NormalScores(column[:, None])(line[:, None])[:, 0]
    assert np.isfinite(seen).all()
    assert (np.diff(seen) >= 0).all()
    assert seen[0] < seen[50] < seen[-1]


def test_boxes_put_the_normals_between_zero_and_one():
    normals, rows = made(9), made(20, seed=1)
    expected = compressed(MinMaxScaler().fit(normals).transform(rows))
    np.testing.assert_allclose(Boxes(normals)(rows), expected, rtol=1e-12, atol=1e-14)
    constant = Boxes(np.full((4, 1), 2.0))(np.array([[2.0], [4.0], [-1.0]]))
    np.testing.assert_array_equal(constant[:, 0], [0.0, 2.0, -3.0])
