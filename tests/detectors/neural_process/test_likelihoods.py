"""Densities are those of scipy."""

import numpy as np
import pytest
import torch
from scipy import stats

from sklearn_fsad._detectors.neural_process.likelihoods import LIKELIHOODS

LAWS = {"gaussian": stats.norm, "student-t": stats.t(4)}
both = pytest.mark.parametrize("name", sorted(LIKELIHOODS))


@both
def test_surprise_is_minus_the_log_density(name):
    rng = np.random.default_rng(0)
    residual, scale = 5.0 * rng.normal(size=(4, 9)), np.exp(rng.normal(size=(4, 1)))
    nll = LIKELIHOODS[name]().nll(torch.from_numpy(residual), torch.from_numpy(scale))
    np.testing.assert_allclose(nll, np.log(scale) - LAWS[name].logpdf(residual / scale))


@both
def test_the_variance_is_that_of_the_law(name):
    assert LIKELIHOODS[name]().variance == pytest.approx(LAWS[name].var())


@both
def test_densities_integrate_to_one(name):
    x = torch.linspace(-400.0, 400.0, 200001, dtype=torch.float64)
    density = torch.exp(-LIKELIHOODS[name]().nll(x, torch.tensor(1.7, dtype=torch.float64)))
    assert torch.trapezoid(density, x).item() == pytest.approx(1.0, abs=1e-6)


@both
def test_surprise_is_symmetric_finite_and_grows_with_the_residual(name):
    residual = torch.logspace(-3, 30, 34, dtype=torch.float64)
    scale = torch.full((), 0.03, dtype=torch.float64)
    likelihood = LIKELIHOODS[name]()
    nll = likelihood.nll(residual, scale)
    assert torch.isfinite(nll).all()
    assert (nll.diff() > 0).all()
    assert torch.equal(nll, likelihood.nll(-residual, scale))


def test_rows_far_out_weigh_less_under_student_t():
    far, one = torch.tensor(50.0), torch.tensor(1.0)
    slopes = {}
    for name in LIKELIHOODS:
        residual = far.clone().requires_grad_()
        LIKELIHOODS[name]().nll(residual, one).backward()
        slopes[name] = residual.grad.item()
    assert slopes["gaussian"] == pytest.approx(50.0)
    assert slopes["student-t"] == pytest.approx(5 * 50 / (4 + 50**2), rel=1e-4)
