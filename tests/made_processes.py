"""Modules of neural processes made up for tests, and rows to ask them about."""

import numpy as np
import pytest
import torch
from scipy import stats

from sklearn_fsad._detectors.neural_process.closed_forms import (
    KernelAnchor,
    LinearAnchor,
    MaskedRows,
)
from sklearn_fsad._detectors.neural_process.masks import chain_plan, scoring_plan
from sklearn_fsad._detectors.neural_process.module import SCORES, NeuralProcess
from sklearn_fsad._detectors.neural_process.networks import KINDS, make_network

ANCHORS = {"linear": LinearAnchor, "kernel": KernelAnchor}
D, WIDTH, N_SAMPLES = 5, 8, 4
BOTH = ("linear", "kernel")
every_kind = pytest.mark.parametrize("kind", KINDS)
every_score = pytest.mark.parametrize("score", SCORES)
t4 = stats.t(4)


def make(kind=None, anchors=BOTH, plans=None, likelihood="student-t", alive=False, **settings):
    """A module; ``alive``: its last layer is not zero, so that the network departs from anchors."""
    torch.manual_seed(0)
    network = None
    if kind is not None:
        network = make_network(
            kind, D, width=WIDTH, n_out=2 * max(len(anchors), 1), n_latent_samples=N_SAMPLES,
            grid_shape=(D,),
        )  # fmt: skip
    if plans is None:
        chained = settings.get("score") == "density"
        plans = chain_plan(D, 3, 3, 0) if chained else [scoring_plan(D, "auto", None, 0)]
    module = NeuralProcess(
        network,
        anchors={name: ANCHORS[name]() for name in anchors},
        likelihood=likelihood,
        plans=plans,
        **settings,
    )
    if alive:
        with torch.no_grad():
            for weight in network.parameters():
                weight.mul_(2.0)
            torch.nn.init.normal_(network.decoder.last.weight, std=0.3)
            torch.nn.init.normal_(network.decoder.last.bias, std=0.3)
    return module.double().eval()


def rows_of(n, missing=0.0, seed=0):
    """Described rows ``[values, visible, departed]`` of a curved family: (n, 3 d)."""
    rng = np.random.default_rng([seed, n])
    base = rng.normal(size=(n, 2))
    X = np.column_stack([base, base[:, 0] ** 2 - 1, base.sum(axis=1), rng.normal(size=n)])
    X += 0.1 * rng.normal(size=X.shape)
    visible = (rng.random(X.shape) >= missing).astype(np.float64)
    return torch.from_numpy(np.column_stack([X * visible, visible, 0 * X]))


def split(X):
    return MaskedRows(X[..., :D], X[..., D : 2 * D])


def normals(n):
    return torch.zeros(n, dtype=torch.int64)


def adapted(module, n=12, missing=0.0):
    return module.adapt(rows_of(n, missing), normals(n))


def anchors_believe(X, query, hidden, leave_out=True):
    """Means and scales of both anchors: (2, masks, q, d) each."""
    context, counted = split(X), torch.ones(len(X), dtype=torch.bool)
    beliefs = []
    for name in BOTH:
        anchor = ANCHORS[name]()
        summary = anchor.summarise(context, counted, hidden)
        beliefs.append(anchor.predict(summary, split(query), hidden, leave_out))
    return tuple(torch.stack(parts) for parts in zip(*beliefs, strict=True))


def assert_same(one, other, atol=1e-12):
    torch.testing.assert_close(one, other, rtol=1e-10, atol=atol)
