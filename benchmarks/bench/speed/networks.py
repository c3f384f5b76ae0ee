"""Score rows by detectors fitted to 20 rows of a small family, and by what scores like them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pyod.models.iforest import IForest
from pyod.models.knn import KNN

from sklearn_fsad import MAMLDetector, ProtoNetDetector
from sklearn_fsad._training.layers import mlp

Array = NDArray[np.float64]
Task = tuple[Array, NDArray[np.int64]]
Scoring = Callable[[Array], Array]

N_FEATURES, N_NORMAL, N_ANOMALOUS = 32, 15, 5
WIDTHS = ((32, 64, 64, 1), (32, 128, 128, 32))  # what MAML classifies and prototypes embed with


def make_scorings(seed: int = 0) -> dict[str, Scoring]:
    """Make functions that score rows: (m, 32) -> (m,)."""
    rng = np.random.default_rng(seed)
    tasks = [_task(rng, 60, 20) for _ in range(6)]
    X, y = _task(rng, N_NORMAL, N_ANOMALOUS)
    scorings = {f"network {'-'.join(map(str, w))} alone": forward_pass(w) for w in WIDTHS}
    for name, detector in _detectors().items():
        scorings[name] = detector.meta_fit(tasks).fit(X, y).decision_function
    for detector in (KNN(), IForest(random_state=seed)):
        scorings[f"PyOD {type(detector).__name__}"] = detector.fit(X).decision_function
    return scorings


def make_rows(n: int, seed: int = 1) -> Array:
    """Draw rows to score: (n, 32)."""
    return np.random.default_rng(seed).normal(size=(n, N_FEATURES))


def forward_pass(widths: Sequence[int]) -> Scoring:
    """Score by a perceptron in float64, in blocks of the fastest size; nothing is validated."""
    network = mlp(widths[0], widths[1:-1], widths[-1]).double()

    def score(X: Array) -> Array:
        with torch.no_grad():
            return torch.cat([network(part) for part in torch.from_numpy(X).split(1024)]).numpy()

    return score


def _detectors() -> dict[str, Any]:
    """Make ours by name, trained hardly at all: only their speed counts."""
    little = {"episodes_per_epoch": 24, "random_state": 0, "n_normal": (5, 20)}
    maml = {**little, "max_epochs": 1, "augment": False, "gate": False}
    return {
        "MAMLDetector(residual=False)": MAMLDetector(residual=False, **maml),
        "MAMLDetector()": MAMLDetector(**maml),
        'ProtoNetDetector(embedding="mlp")': ProtoNetDetector(
            embedding="mlp", max_epochs=2, **little
        ),
        "ProtoNetDetector()": ProtoNetDetector(max_epochs=2, **little),
    }


def _task(rng: np.random.Generator, n: int, k: int) -> Task:
    """Draw rows and labels of one task; its anomalies are shifted in half the features."""
    y = np.repeat([0, 1], [n, k])
    centre = rng.normal(size=N_FEATURES)
    shift = 3.0 * (np.arange(N_FEATURES) < N_FEATURES // 2)
    return rng.normal(size=(n + k, N_FEATURES)) + centre + y[:, None] * shift, y
