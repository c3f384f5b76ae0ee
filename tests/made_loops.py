"""Inner loops made up for tests, all of whose numbers are unlike those at the start."""

import numpy as np
import pytest
import torch

from sklearn_fsad._detectors.maml.inner_loop import ALGORITHMS, FIRST_ORDER, GradientAdaptation
from sklearn_fsad._detectors.maml.learners import LEARNERS, make_learner
from sklearn_fsad._training.losses import PairwiseLoss

N_FEATURES, N_EVIDENCE = 3, 2
N_COLUMNS = N_FEATURES + N_EVIDENCE + 1
SECOND_ORDER = [a for a in ALGORITHMS if a not in FIRST_ORDER]

all_algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)
all_learners = pytest.mark.parametrize("kind", LEARNERS)


def new_learner(kind="classifier", hidden=(5, 4), residual=True):
    return make_learner(kind, N_FEATURES, N_EVIDENCE, hidden, 2, residual)


def new_module(kind="classifier", algorithm="maml", *, seed=0, hidden=(5, 4), n_steps=3, **given):
    """A module in float64, all of whose weights, rates and gains are unlike those at the start."""
    with torch.random.fork_rng(devices=[]):
        learner = new_learner(kind, hidden)
        module = GradientAdaptation(learner, algorithm=algorithm, n_steps=n_steps, **given).double()
    rng = np.random.default_rng(seed)
    for name, parameter in module.named_parameters():
        noise = torch.from_numpy(np.asarray(rng.normal(scale=0.5, size=parameter.shape)))
        parameter.data = parameter.data + noise if "rates" in name else noise
    return module.train()


def some_tasks(n_tasks=3, n=9, m=8, seed=0):
    """Supports, without and with anomalies in turn and padded at the end, queries, their labels."""
    rng = np.random.default_rng(seed)
    X = torch.from_numpy(rng.normal(size=(n_tasks, n, N_COLUMNS)))
    query = torch.from_numpy(rng.normal(size=(n_tasks, m, N_COLUMNS)))
    y = torch.tensor([[0] * (n - 3) + ([2] * 3 if t % 2 else [1, 1, -1]) for t in range(n_tasks)])
    return X, y, query, torch.tensor([[0, 1] * (m // 2)] * n_tasks)


def loss_of(module, tasks):
    X, y, query, query_y = tasks
    return PairwiseLoss()(module(X, y, query), query_y)


def adapted(module, X, y):
    return module.weights_in(module.adapt(X, y))


def scores_of(module, X, y, query):
    with torch.no_grad():
        return module.score(module.adapt(X, y), query)


def assert_all_close(weights, expected, rtol=1e-10, atol=1e-12):
    assert len(weights) == len(expected)
    for w, e in zip(weights, expected, strict=True):
        torch.testing.assert_close(w, e, rtol=rtol, atol=atol)
