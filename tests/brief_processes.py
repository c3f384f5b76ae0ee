"""Detectors that are neural processes and hardly learn, and rows with holes."""

import numpy as np
import pytest
from families import BRIEF, SHOTS
from sklearn.metrics import roc_auc_score

from sklearn_fsad import NeuralProcessDetector
from sklearn_fsad._detectors.neural_process.module import SCORES
from sklearn_fsad._detectors.neural_process.networks import KINDS

every_kind = pytest.mark.parametrize("kind", KINDS)
every_score = pytest.mark.parametrize("score", SCORES)
USUAL = {**BRIEF, "n_masks": "auto"}
META = {**SHOTS, **USUAL, "gate": False}


def closed_form(**settings):
    """A detector that learns nothing but closed forms; with targets, which have none, hardly."""
    hardly = {"max_epochs": 1, "episodes_per_epoch": 2} if settings.get("target_features") else {}
    return NeuralProcessDetector(**{"max_epochs": 0, "random_state": 0, **hardly, **settings})


def brief(**settings):
    return NeuralProcessDetector(**{**USUAL, **settings})


def auc(detector, normal, anomalous):
    scores = [-detector.score_samples(rows) for rows in (normal, anomalous)]
    return roc_auc_score(np.repeat([0, 1], [len(s) for s in scores]), np.concatenate(scores))


def is_trained(state):
    return any(name.startswith("net.") for name in state.arrays)


def holed(X, share, seed=0):
    """Rows of which a share of the entries is missing."""
    return np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)


def line(n, seed=0, noise=0.5):
    """One feature, three times that, and one that has nothing to do with them."""
    rng = np.random.default_rng([seed, n])
    x = rng.uniform(-2.0, 2.0, size=n)
    return np.column_stack([x, 3.0 * x + 1.0 + noise * rng.normal(size=n), rng.normal(size=n)])
