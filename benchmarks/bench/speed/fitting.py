"""Fit detectors to one table and score rows of it: neural processes, and a table in context."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from tqdm import tqdm

from sklearn_fsad import InContextDetector, NeuralProcessDetector

Array = NDArray[np.float64]
Median = Callable[[dict[Any, Callable[[], Any]], int], dict[Any, float]]

WIDTHS = (8, 32, 128)
N_SUPPORT, N_ROWS, N_ROWS_WITH_HOLES = 200, 2048, 256
MISSING = 0.2
N_CONTEXT_FEATURES, N_NORMAL, N_ANOMALOUS, N_CONTEXT_ROWS = 20, 1000, 5, 10_000
PROCESSES: dict[str, dict[str, Any]] = {
    "tnp": {"kind": "tnp"},
    "anp": {"kind": "anp"},
    "np": {"kind": "np"},
    "cnp": {"kind": "cnp"},
    "convcnp": {"kind": "convcnp"},
    "closed form, max_epochs=0": {"max_epochs": 0},
}


def process_costs(rounds: int, widths: tuple[int, ...] = WIDTHS, **changes: Any) -> list[dict]:
    """Measure seconds of a fit, and rows scored in a second.

    Parameters
    ----------
    rounds : int
        Of scoring, whose median counts; a fit is timed once.
    widths : tuple of int
        Numbers of features.
    **changes
        Parameters of all detectors.
    """
    _fit(4, {"max_epochs": 1, "episodes_per_epoch": 8, "contamination": 0.1})  # pays for imports
    rows = []
    cases = [(d, name) for d in widths for name in PROCESSES]
    for d, name in tqdm(cases, "processes", leave=False):
        start = time.perf_counter()
        detector = _fit(d, {**PROCESSES[name], **changes})
        seconds = time.perf_counter() - start
        speed = _rows_per_second(detector, make_rows(N_ROWS, d, 1), rounds)
        holed = with_holes(make_rows(N_ROWS_WITH_HOLES, d, 1))
        with_missing = _rows_per_second(detector, holed, rounds)
        rates = {"rows / s": speed, "rows with missing entries / s": with_missing}
        rows.append({"features": d, "kind": name, "fit, s": seconds, **rates})
    return rows


def make_rows(n: int, d: int, seed: int) -> Array:
    """Draw rows whose features share a third of their variance: (n, d)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + rng.normal(size=(n, 1)) / np.sqrt(2)


def with_holes(X: Array, seed: int = 2) -> Array:
    """Remove a fifth of the entries."""
    return np.where(np.random.default_rng(seed).random(X.shape) < MISSING, np.nan, X)


def _fit(d: int, parameters: dict[str, Any]) -> NeuralProcessDetector:
    detector = NeuralProcessDetector(random_state=0, **parameters)
    return detector.fit(make_rows(N_SUPPORT, d, 0))


def _rows_per_second(detector: NeuralProcessDetector, X: Array, rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        detector.score_samples(X)
        seconds.append(time.perf_counter() - start)
    return len(X) / float(np.median(seconds))


def in_context_costs(rounds: int, median_seconds: Median) -> list[dict[str, Any]]:
    """Measure seconds of a fit and of scoring, and those of PyOD in proportion.

    Parameters
    ----------
    rounds : int
        In which all take turns.
    median_seconds : callable
        Times functions by name.
    """
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(N_CONTEXT_FEATURES, N_CONTEXT_FEATURES))
    normals, query = (
        rng.normal(size=(n, N_CONTEXT_FEATURES)) @ mix for n in (N_NORMAL, N_CONTEXT_ROWS)
    )
    anomalies = 2.0 * rng.normal(size=(N_ANOMALOUS, N_CONTEXT_FEATURES)) @ mix + 3.0
    X = np.concatenate([normals, anomalies])
    y = np.repeat([1, -1], [N_NORMAL, N_ANOMALOUS])
    fits: dict[str, Callable[[], Any]] = {
        "InContextDetector, normals alone": lambda: InContextDetector().fit(normals),
        f"InContextDetector, {N_ANOMALOUS} anomalies": lambda: InContextDetector().fit(X, y),
        "PyOD KNN": lambda: KNN().fit(normals),
        "PyOD IForest": lambda: IForest(random_state=0).fit(normals),
    }
    scorings = {name: partial(fit().decision_function, query) for name, fit in fits.items()}
    times = [median_seconds(part, rounds) for part in (fits, scorings)]
    knn, iforest = "PyOD KNN", "PyOD IForest"
    return [
        {"method": name, "fit, s": times[0][name], "score, s": times[1][name]}
        | {f"score / {other[5:]}'s": times[1][name] / times[1][other] for other in (knn, iforest)}
        for name in fits
    ]
