import numpy as np
import pytest

from sklearn_fsad._stats.categories import Dummies, Rarity, unit_beside


def dummies_of(codes):
    return Dummies(codes, np.zeros(len(codes), dtype=bool))


def test_a_value_of_a_labelled_anomaly_has_a_dummy_variable():
    codes = np.repeat([0.0, 1.0, 2.0], [8, 8, 1])[:, None]
    assert not dummies_of(codes).transform(codes[-1:]).any()
    assert Dummies(codes, np.arange(17) == 16).transform(codes[-1:]).sum() == 1


def test_a_category_has_a_dummy_variable_for_each_value():
    codes = np.repeat([0.0, 1.0, 2.0], 5)[:, None]
    dummies = dummies_of(codes)
    np.testing.assert_array_equal(dummies.transform(codes), np.repeat(np.eye(3), 5, axis=0))
    np.testing.assert_allclose(dummies.weights, np.full(3, 1 / np.sqrt(3)))


def test_two_values_have_one_dummy_variable_of_weight_one():
    dummies = dummies_of(np.repeat([4.0, 7.0], [9, 5])[:, None])
    np.testing.assert_array_equal(dummies.transform(np.array([[4.0], [7.0]])), [[0.0], [1.0]])
    assert dummies.weights.tolist() == [1.0]


def test_values_that_the_support_lacks_are_zeros():
    dummies = dummies_of(np.repeat([0.0, 1.0, 2.0], 6)[:, None])
    assert not dummies.transform(np.array([[-1.0], [9.0]])).any()


@pytest.mark.parametrize("codes", [np.arange(10.0), np.repeat([0.0, 1.0, 2.0, 3.0], 4)])
def test_values_of_few_rows_have_no_dummy_variable(codes):
    dummies = dummies_of(codes[:, None])
    assert not dummies.transform(np.array([[3.0], [0.0], [-1.0]])).any()


def test_of_many_values_the_most_frequent_have_dummy_variables():
    codes = np.repeat(np.arange(40.0), [9] * 10 + [5] * 30)[:, None]
    dummies = dummies_of(codes)
    assert dummies.weights.shape == (30,)
    assert (dummies.transform(np.arange(10.0)[:, None]).sum(axis=1) == 1).all()


@pytest.mark.parametrize("scale", [1e-150, 1e-9, 1.0, 3.0, 1e9])
def test_dummy_variables_are_half_as_large_as_the_spread_of_the_columns_beside_them(scale):
    numbers = scale * np.random.default_rng(0).normal(size=(30, 3))
    numbers[0, 0], numbers[1, 1] = np.nan, 1e30 * scale
    unit = unit_beside(numbers)
    assert 0.25 < unit / scale < 1.0  # half of it
    assert np.frexp(unit)[0] == 0.5
    codes = np.repeat([0.0, 1.0, 2.0], 10)[:, None]
    dummies = Dummies(codes, np.zeros(30, dtype=bool), unit)
    np.testing.assert_array_equal(dummies.transform(codes).sum(axis=1), unit)


def test_without_spread_the_unit_is_plain():
    assert unit_beside(np.empty((5, 0))) == 1.0
    assert unit_beside(np.full((5, 1), 7.0)) == 0.5
    far = np.random.default_rng(0).normal(size=(30, 1)) * 1e-200
    far[0] = 1.0
    assert 0.05 < unit_beside(far) < 1.0


def test_a_table_of_many_columns_has_fewer_dummy_variables_for_each():
    codes = np.tile(np.repeat(np.arange(20.0), [6] * 19 + [9]), (300, 1)).T
    dummies = dummies_of(codes)
    np.testing.assert_array_equal(np.bincount(dummies.column), np.full(300, 6))
    assert dummies.transform(np.full((1, 300), 19.0)).sum() == 300
    few = dummies_of(codes[:, :90])
    assert len(few.column) == 90 * 20


def test_rare_values_score_higher_and_new_ones_highest():
    codes = np.repeat([0.0, 1.0], [45, 5])[:, None]
    often, rare, new = Rarity(codes, 0)(np.array([[0.0], [1.0], [-1.0]]))
    assert often < rare < new


def test_rows_of_the_support_are_scored_by_the_others():
    codes = np.repeat([0.0, 1.0], [49, 1])[:, None]
    rarity = Rarity(codes, 0)
    alone, fresh = rarity(codes[-1:], own=1)[0], rarity(np.array([[-1.0]]))[0]
    assert alone == pytest.approx(fresh, rel=0.02)
    assert alone > rarity(codes[-1:])[0]


def test_rarity_counts_less_with_labels():
    codes, new = np.repeat([0.0, 1.0], [45, 5])[:, None], np.array([[-1.0]])
    none, one, ten = (Rarity(codes, k)(new)[0] for k in (0, 1, 10))
    assert none == pytest.approx(1.3 * one)
    assert none == pytest.approx(4.0 * ten)
