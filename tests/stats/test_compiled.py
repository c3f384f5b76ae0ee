"""Compiled loops compute what libraries do, and of a row the same in any company, to the bit."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from sklearn_fsad._stats.column_sets import ColumnSets, nearest_in_sets
from sklearn_fsad._stats.compiled import interpolated, row_product, summed_differences
from sklearn_fsad._stats.nearest import nearest_columns

PAIRS = ColumnSets.of([np.array(s) for s in ([0], [3], [1, 2], [4, 0])])
SETS = ColumnSets.of([np.array(s) for s in ([0], [3], [1, 2], [0, 2, 4])])


def rows_and_points(m=101, n=37, d=5):
    rng = np.random.default_rng(0)
    rows, points = rng.normal(size=(m, d)), rng.normal(size=(n, d))
    rows[0] = points[3]
    return rows, points


@pytest.mark.parametrize("n", [1, 4, 20, 37, 300, 2500])
@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
def test_the_nearest_points_are_those_of_all_distances(metric, n):
    rows, points = rows_and_points(n=max(n, 4))
    points, k = points[:n], min(5, n)
    distance, position = nearest_columns(rows, points.T, k, cityblock=metric == "cityblock")
    everything = cdist(rows, points, metric if metric == "cityblock" else "sqeuclidean")
    np.testing.assert_allclose(distance, np.sort(everything, axis=1)[:, :k], atol=1e-12)
    np.testing.assert_array_equal(np.take_along_axis(everything, position, 1).argmin(axis=1), 0)
    if n > 3:
        assert distance[0, 0] == 0.0


@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("n", [40, 1000, 2500])
def test_of_equally_near_points_the_first_are_found(n, k):
    rng = np.random.default_rng(0)
    rows, points = (rng.integers(3, size=(m, 3)).astype(float) for m in (30, n))
    distance, position = nearest_columns(rows, points.T, k)
    everything = cdist(rows, points, "sqeuclidean")
    np.testing.assert_array_equal(position, np.argsort(everything, axis=1, kind="stable")[:, :k])
    np.testing.assert_array_equal(distance, np.take_along_axis(everything, position, axis=1))


def test_a_point_is_not_compared_with_itself():
    _, points = rows_and_points()
    distance, position = nearest_columns(points[5:], points.T, 3, own=5)
    everything = cdist(points, points, "sqeuclidean")
    np.fill_diagonal(everything, np.inf)
    np.testing.assert_allclose(distance, np.sort(everything[5:], axis=1)[:, :3], atol=1e-12)
    assert (position != np.arange(5, 37)[:, None]).all()


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 33, 300])
@pytest.mark.parametrize("m", [3, 301])
@pytest.mark.parametrize("sets", [PAIRS, SETS])
def test_the_nearest_in_sets_of_columns_are_those_of_all_distances(sets, m, n):
    rows, points = rows_and_points(m, max(n, 4))
    points = points[:n]
    found = nearest_in_sets(rows, sets, points.T)
    for s, (columns, size) in enumerate(zip(*sets, strict=True)):
        part = columns[:size]
        expected = cdist(rows[:, part], points[:, part]).min(axis=1)
        np.testing.assert_allclose(found[:, s], expected, atol=1e-12)


@pytest.mark.parametrize("n_before", [0, 3, 255])
@pytest.mark.parametrize("sets", [PAIRS, SETS])
def test_a_row_among_the_points_is_left_out_of_its_sets(sets, n_before):
    rows, points = rows_and_points(m=n_before + 20)
    before, after = rows[:n_before], rows[n_before:]
    found = nearest_in_sets(np.concatenate([before, points, after]), sets, points.T, first=n_before)
    others = np.delete(found, np.arange(n_before, n_before + len(points)), axis=0)
    np.testing.assert_array_equal(others, nearest_in_sets(rows, sets, points.T))
    for i, own in enumerate(found[n_before : n_before + len(points)]):
        expected = nearest_in_sets(points[i : i + 1], sets, np.delete(points, i, axis=0).T)
        np.testing.assert_array_equal(own, expected[0])


@pytest.mark.parametrize("n", [1, 2, 5, 300])
def test_columns_are_interpolated_as_by_numpy(n):
    rng = np.random.default_rng(0)
    knots = [np.unique(rng.normal(size=n)) for _ in range(4)]
    heights = [np.sort(rng.normal(size=len(k))) for k in knots]
    rows = np.concatenate([1.5 * rng.normal(size=(200, 4)), np.tile(knots[0][:, None], 4)])
    starts = np.cumsum([0, *map(len, knots)])
    found = interpolated(rows, np.concatenate(knots), np.concatenate(heights), starts)
    for x, k, h, y in zip(rows.T, knots, heights, found.T, strict=True):
        np.testing.assert_array_equal(y, np.interp(x, k, h))


@pytest.mark.parametrize("k", [1, 3, 300, 1100])
@pytest.mark.parametrize("d", [1, 5, 8, 300])
def test_products_are_those_of_matrices(d, k):
    rows = np.random.default_rng(0).normal(size=(6, d))
    matrix = np.random.default_rng(1).normal(size=(d, k))
    np.testing.assert_allclose(row_product(rows, matrix), rows @ matrix, atol=1e-12)
    np.testing.assert_allclose(row_product(rows, matrix[:, 0]), rows @ matrix[:, 0], atol=1e-12)


def test_a_row_gets_the_same_bits_in_any_company():
    rows, points = rows_and_points(m=67, n=41)
    matrix = np.random.default_rng(1).normal(size=(5, 723))

    def all_of(part):
        return np.concatenate(
            [
                nearest_columns(part, points.T, 20)[0],
                nearest_columns(part, points.T, 5, cityblock=True)[0],
                nearest_in_sets(part, SETS, points.T),
                nearest_in_sets(part, PAIRS, points.T),
                row_product(part, matrix),
            ],
            axis=1,
        )

    whole = all_of(rows)
    for part in ([5], [66], [3, 60], range(2, 9), range(60, 67), np.r_[0:67:3]):
        np.testing.assert_array_equal(all_of(rows[list(part)]), whole[list(part)])
    for alike in other_arrays(rows):
        np.testing.assert_array_equal(all_of(alike), whole)


def other_arrays(rows):
    """The same rows in arrays that lie otherwise in memory."""
    read_only = rows.copy()
    read_only.flags.writeable = False
    unaligned = np.ndarray(rows.shape, rows.dtype, bytearray(b"1" + rows.tobytes()), offset=1)
    part_of_more = np.repeat(rows, 2, axis=1)[:, ::2]
    swapped = rows.astype(rows.dtype.newbyteorder())
    return np.asfortranarray(rows), read_only, unaligned, part_of_more, swapped


def test_summed_differences_are_distances_of_city_blocks():
    rows, points = rows_and_points()
    found = summed_differences(rows, points.T)
    np.testing.assert_allclose(found, cdist(rows, points, "cityblock"))
    np.testing.assert_array_equal(summed_differences(rows[40:41], points.T), found[40:41])
