"""The context of a large support: which rows are chosen, and that no order or unit chooses them."""

import numpy as np
import pytest

from sklearn_fsad._detectors.base.context import MOST_ANOMALIES, context_of, random_order


def chosen_rows(X, n):
    rows = X[random_order(X)[:n]]
    return rows[np.lexsort(rows.T)]


TABLES = {
    "numbers": lambda rng: rng.normal(size=(200, 5)),
    "ones and zeros": lambda rng: (rng.uniform(size=(200, 5)) < np.arange(1, 6) / 7).astype(float),
    "missing entries": lambda rng: np.where(
        rng.uniform(size=(200, 5)) < 0.2, np.nan, rng.normal(size=(200, 5))
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_part_is_the_same_for_any_order_of_rows_and_columns_and_any_units(name):
    rng = np.random.default_rng(0)
    X = TABLES[name](rng)
    expected = chosen_rows(X, 40)
    rows, columns = rng.permutation(len(X)), rng.permutation(X.shape[1])
    np.testing.assert_array_equal(chosen_rows(X[rows], 40), expected)
    found = X[random_order(X[:, columns])[:40]]
    np.testing.assert_array_equal(found[np.lexsort(found.T)], expected)
    np.testing.assert_array_equal(chosen_rows(8.0 * X - 4.0, 40), 8.0 * expected - 4.0)


def test_every_row_is_in_the_order_once():
    X = np.random.default_rng(0).normal(size=(100, 3))
    assert sorted(random_order(X)) == list(range(100))
    assert sorted(random_order(np.zeros((7, 2)))) == list(range(7))


def test_rows_that_repeat_are_chosen_as_often_as_they_occur():
    X = np.repeat([[0.0], [1.0]], [9000, 1000], axis=0)
    ones = X[random_order(X)[:2000], 0].mean()
    assert ones == pytest.approx(0.1, abs=0.03)


def test_the_part_does_not_depend_on_the_values():
    X = np.random.default_rng(0).normal(size=(20_000, 1))
    part = X[random_order(X)[:5000], 0]
    assert part.mean() == pytest.approx(0.0, abs=0.05)
    assert part.std() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("n", [30, 31, 50])
def test_the_context_holds_so_many_normals_and_all_anomalies(n):
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.repeat([0, -1, 1], [n - 20, 20, 8])).astype(np.int8)
    context, others = context_of(rng.normal(size=(n + 8, 3)), codes, 30, 15)
    assert context[codes == 1].all()
    assert context[codes != 1].sum() == 30
    assert len(others) == min(n - 30, 15)
    assert not context[others].any()
    assert (codes[others] != 1).all()


def test_of_very_many_anomalies_a_part_is_kept():
    n = MOST_ANOMALIES + 10
    codes = np.repeat([0, 1], [10, n]).astype(np.int8)
    context, _ = context_of(np.arange(n + 10.0)[:, None], codes, 30, 10)
    assert context[:10].all()
    assert context[10:].sum() == MOST_ANOMALIES
