"""Contexts made up for the tests of closed forms, and how they are asked."""

import numpy as np
import pytest
import torch

from sklearn_fsad._detectors.neural_process.closed_forms import (
    KernelAnchor,
    LinearAnchor,
    MaskedRows,
)

ANCHORS = {"linear": LinearAnchor, "kernel": KernelAnchor}
both_anchors = pytest.mark.parametrize("name", sorted(ANCHORS))
MASKS = torch.tensor(
    [[1, 0, 0, 0], [0, 0, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=torch.float64
)


def some_rows(n, d=4, missing=0.0, seed=0):
    """Correlated rows, some of their entries missing."""
    rng = np.random.default_rng([seed, n, d])
    mixing = np.random.default_rng(d).normal(size=(d, d))
    values = rng.normal(size=(n, d)) @ mixing + np.arange(d)
    visible = (rng.random((n, d)) >= missing).astype(np.float64)
    return MaskedRows(torch.from_numpy(values * visible), torch.from_numpy(visible))


def whole(values):
    return MaskedRows(values, torch.ones_like(values))


def all_counted(rows):
    return torch.ones(rows.values.shape[:-1], dtype=torch.bool)


def believe(name, context, query, hidden, counted=None, leave_out=False):
    anchor = ANCHORS[name]()
    counted = all_counted(context) if counted is None else counted
    return anchor.predict(anchor.summarise(context, counted, hidden), query, hidden, leave_out)


def assert_same(one, other, atol=1e-10):
    torch.testing.assert_close(one.mean, other.mean, rtol=1e-9, atol=atol)
    torch.testing.assert_close(one.scale, other.scale, rtol=1e-9, atol=atol)


def conditional(mean, covariance, x, seen):
    """Mean and standard deviation of the unseen entries of a Gaussian given the seen ones."""
    gain = covariance[np.ix_(~seen, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    rest = covariance[np.ix_(~seen, ~seen)] - gain @ covariance[np.ix_(seen, ~seen)]
    return mean[~seen] + gain @ (x - mean)[seen], np.sqrt(np.diag(rest))
