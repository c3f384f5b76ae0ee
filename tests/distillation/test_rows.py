"""Rows made around known ones are as later rows may be."""

import numpy as np
import pytest

from sklearn_fsad.distillation._rows import KINDS, KnownRows, make_rows, snapped


def known(n=30, k=4, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return KnownRows(rng.normal(5.0, 2.0, (n, d)), rng.normal(20.0, 1.0, (k, d)))


def test_more_rows_of_the_kinds_like_normal_ones_are_made():
    made = make_rows(known(), 1000, np.random.default_rng(0))
    assert list(made) == list(KINDS)
    sizes = {name: len(rows) for name, rows in made.items()}
    assert sum(sizes.values()) == pytest.approx(1000, abs=len(KINDS))
    assert sorted(sizes, key=sizes.get)[-3:] == ["jittered", "between neighbours", "gaussian"]
    assert all(rows.shape[1] == 3 and np.isfinite(rows).all() for rows in made.values())


def test_without_labelled_anomalies_kinds_that_need_them_are_left_out():
    made = make_rows(known(k=0), 800, np.random.default_rng(0))
    assert len(made) == len(KINDS) - 2


def test_rows_like_normals_have_their_mean_and_covariance():
    mixed = KnownRows(
        np.random.default_rng(0).normal(size=(200, 1)) * [1.0, -3.0], np.empty((0, 2))
    )
    rows = make_rows(mixed, 20_000, np.random.default_rng(0))["gaussian"]
    assert np.allclose(rows.mean(axis=0), mixed.centre, atol=0.2)
    assert np.corrcoef(rows.T)[0, 1] < -0.95


@pytest.mark.parametrize("shape", [(2, 1), (2, 5), (10, 400)])
def test_few_rows_and_many_columns_do(shape):
    rows = np.random.default_rng(0).normal(size=shape)
    rows[:, 0] = 7.0  # constant
    made = make_rows(KnownRows(rows, rows[:0]), 80, np.random.default_rng(0))
    assert all(np.isfinite(part).all() for part in made.values())


def test_values_of_discrete_columns_are_known_ones_in_half_of_the_rows():
    normals = np.random.default_rng(0).normal(size=(60, 2))
    normals[:, 1] = np.arange(60) % 3
    rows = np.random.default_rng(1).uniform(0.0, 2.0, (1000, 2))
    found = snapped(KnownRows(normals, normals[:0]), rows, np.random.default_rng(2))
    assert 0.4 < np.isin(found[:, 1], [0.0, 1.0, 2.0]).mean() < 0.6
