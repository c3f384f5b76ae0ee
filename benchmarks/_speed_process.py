"""Neural processes fitted to one table, and what they cost."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sklearn_fsad import NeuralProcessDetector

Array = NDArray[np.float64]

WIDTHS = (8, 32, 128)
N_SUPPORT, N_ROWS, N_ROWS_WITH_HOLES = 200, 2048, 256
MISSING = 0.2
PROCESSES: dict[str, dict[str, Any]] = {
    "tnp": {"kind": "tnp"},
    "anp": {"kind": "anp"},
    "np": {"kind": "np"},
    "cnp": {"kind": "cnp"},
    "convcnp": {"kind": "convcnp"},
    "closed form, max_epochs=0": {"max_epochs": 0},
}


def process_costs(rounds: int, widths: tuple[int, ...] = WIDTHS, **changes: Any) -> list[dict]:
    """Rows of a table: seconds of a fit, and rows scored in a second.

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
    """Rows whose features share a third of their variance: (n, d)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + rng.normal(size=(n, 1)) / np.sqrt(2)


def with_holes(X: Array, seed: int = 2) -> Array:
    """The same rows, a fifth of whose entries is missing."""
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
