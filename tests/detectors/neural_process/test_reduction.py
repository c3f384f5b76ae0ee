"""Reductions: codes, what they leave out, and whose terms they carry."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from sklearn_fsad._detectors.neural_process.reduction import REDUCTIONS, Reduction, _Autoencoder

both = pytest.mark.parametrize("kind", REDUCTIONS)
D = 7


def some_rows(n=60, seed=0):
    """Rows near a curved sheet."""
    rng = np.random.default_rng([seed, n])
    u = rng.normal(size=(n, 2))
    bent = np.column_stack([u, u**2 - 1, u[:, :1] * u[:, 1:], np.sin(2 * u)])
    return bent + 0.02 * rng.normal(size=bent.shape)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("sklearn_fsad._detectors.neural_process.reduction._STEPS", 5)


def test_pca_codes_and_rest_are_those_of_scikit_learn():
    X, query = some_rows(), some_rows(9, seed=1)
    reduction = Reduction.fit("pca", [X[:25], X[25:]], 3, 0)
    pca = PCA(3).fit(X)
    codes = reduction.transform(query)
    assert codes.shape == (9, 4)
    assert reduction.n_codes == 3
    np.testing.assert_allclose(codes[:, :3], pca.transform(query), atol=1e-9)
    rest = query - pca.inverse_transform(pca.transform(query))
    np.testing.assert_allclose(codes[:, 3], np.log(np.square(rest).sum(axis=1)), rtol=1e-6)


def test_as_many_codes_as_features_leave_nothing_out():
    reduction = Reduction.fit("pca", [some_rows()], D, 0)
    assert (reduction.transform(some_rows(9, seed=1))[:, -1] < np.log(1e-11)).all()


@both
@pytest.mark.parametrize(("n", "n_codes", "expected"), [(60, 99, D), (4, 6, 4), (60, 1, 1)])
def test_codes_are_no_more_than_rows_or_features(kind, n, n_codes, expected, quick):
    reduction = Reduction.fit(kind, [some_rows(n)], n_codes, 0)
    assert reduction.n_codes == expected
    assert reduction.transform(some_rows(3)).shape == (3, expected + 1)


@both
def test_missing_entries_are_taken_at_their_mean(kind, quick):
    X, query = some_rows(), some_rows(9, seed=1)
    reduction = Reduction.fit(kind, [X], 3, 0)
    query[2, 1] = query[5] = np.nan
    filled = np.nan_to_num(query)
    np.testing.assert_array_equal(reduction.transform(query), reduction.transform(filled))
    X[::4, 2] = np.nan
    one, other = (Reduction.fit(kind, [rows], 3, 0) for rows in (X, np.nan_to_num(X)))
    np.testing.assert_array_equal(one.transform(query), other.transform(query))


@both
@pytest.mark.parametrize("n_codes", [1, 3, D])
def test_spread_terms_add_up_to_the_terms(kind, n_codes, quick):
    reduction = Reduction.fit(kind, [some_rows()], n_codes, 0)
    query = some_rows(9, seed=1)
    query[0] = 0.0
    query[1, 2] = np.nan
    terms = np.random.default_rng(0).normal(size=(9, n_codes + 1))
    spread = reduction.spread_terms(query, terms)
    assert spread.shape == (9, D)
    np.testing.assert_allclose(spread.sum(axis=1), terms.sum(axis=1), atol=1e-12)


@both
def test_the_term_of_the_rest_goes_to_the_features_that_are_off(kind, quick):
    reduction = Reduction.fit(kind, [some_rows()], 2, 0)
    query = some_rows(4, seed=1)
    query[:, 3] += 50.0
    terms = np.zeros((4, 3))
    terms[:, 2] = 1.0
    spread = reduction.spread_terms(query, terms)
    assert (spread >= 0.0).all()
    rest = query - reduction._through("decode", reduction._through("encode", query))
    share = rest**2 / (rest**2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(spread, share, atol=1e-9)


def test_the_term_of_a_code_goes_to_the_features_that_bring_something_to_it():
    X = np.zeros((50, D))
    X[:, :2] = np.random.default_rng(0).normal(size=(50, 2)) * [3.0, 1.0]
    reduction = Reduction.fit("pca", [X], 2, 0)
    query = np.ones((1, D)) * [1.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0]
    spread = reduction.spread_terms(query, np.array([[1.0, 0.0, 0.0]]))
    assert spread[0, 0] > 0.9


@both
def test_the_same_seed_gives_the_same_codes(kind, quick):
    one, same, other = (Reduction.fit(kind, [some_rows()], 3, seed) for seed in (0, 0, 1))
    query = some_rows(9, seed=1)
    np.testing.assert_array_equal(one.transform(query), same.transform(query))
    if kind == "autoencoder":
        assert not np.allclose(one.transform(query), other.transform(query))


@both
def test_global_randomness_is_left_alone(kind, quick):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Reduction.fit(kind, [some_rows()], 3, 0)
    assert torch.equal(torch.rand(3), expected)


@both
def test_reductions_survive_as_arrays(kind, quick):
    reduction, query = Reduction.fit(kind, [some_rows()], 3, 0), some_rows(9, seed=1)
    arrays = reduction.to_arrays()
    assert all(name.startswith("reduce.") for name in arrays)
    assert all(array.dtype == np.float64 for array in arrays.values())
    again = Reduction.from_arrays({**arrays, "net.weight": np.zeros(2), "scale_mean": np.ones(D)})
    np.testing.assert_array_equal(again.transform(query), reduction.transform(query))
    assert again.to_arrays().keys() == arrays.keys()
    assert Reduction.from_arrays({"net.weight": np.zeros(2)}) is None


def test_an_autoencoder_without_torch_computes_what_torch_does(quick):
    reduction, query = Reduction.fit("autoencoder", [some_rows()], 3, 0), some_rows(9, seed=1)
    module = _Autoencoder(D, 3).double()
    arrays = reduction.to_arrays()
    for part in ("encode", "decode"):
        for i in (0, 1):
            layer = getattr(module, part)[2 * i]
            layer.weight.data = torch.from_numpy(arrays[f"reduce.{part}{i}.weight"])
            layer.bias.data = torch.from_numpy(arrays[f"reduce.{part}{i}.bias"])
    rows = torch.from_numpy(query)
    with torch.no_grad():
        codes, error = module.encode(rows), module(None, None, rows)
    found = reduction.transform(query)
    np.testing.assert_allclose(found[:, :3], codes, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[:, 3], np.log(D * error.numpy()), rtol=1e-9)


def test_an_autoencoder_follows_a_curve_that_no_plane_fits(monkeypatch):
    monkeypatch.setattr("sklearn_fsad._detectors.neural_process.reduction._STEPS", 200)
    X, query = some_rows(400), some_rows(100, seed=1)
    pca, bent = (Reduction.fit(kind, [X], 2, 0).transform(query) for kind in REDUCTIONS)
    assert np.exp(bent[:, -1]).mean() < 0.8 * np.exp(pca[:, -1]).mean()


@both
def test_huge_rows_stay_finite(kind, quick):
    reduction = Reduction.fit(kind, [some_rows()], 3, 0)
    assert np.isfinite(reduction.transform(np.full((2, D), 1e100))).all()
