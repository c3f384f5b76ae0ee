"""Fit neural processes to one table and score rows of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from bench.speed.timing import Section, median_seconds, medians_of
from numpy.typing import NDArray

from sklearn_fsad import NeuralProcessDetector

Array = NDArray[np.float64]

N_SUPPORT, N_ROWS, N_ROWS_WITH_HOLES = 200, 1024, 256
MISSING = 0.2
CASES: tuple[tuple[int, dict[str, Any]], ...] = (  # features, and what the process is
    (8, {"kind": "tnp"}),
    (8, {"kind": "anp"}),
    (8, {"kind": "np"}),
    (8, {"kind": "cnp"}),
    (32, {"kind": "convcnp"}),
    (8, {"max_epochs": 0}),
)
ABOUT = (
    f"`NeuralProcessDetector` on {N_SUPPORT} normal rows without meta-training: a fit, which "
    "includes the copies that calibrate its threshold, and rows scored by `score_samples`, all "
    f"there or {100 * MISSING:.0f} % of their entries missing; {{}} rounds."
)


def processes(rounds: int, **changes: Any) -> Section:
    """Measure seconds of a fit, and rows scored in a second.

    Parameters
    ----------
    rounds : int
    **changes
        Parameters of all detectors.
    """
    _fit(4, {"max_epochs": 1, "episodes_per_epoch": 8, "contamination": 0.1})  # pays for imports
    cases = {_name(how): (d, {**how, **changes}) for d, how in CASES}
    detectors: dict[str, NeuralProcessDetector] = {}

    def fit(name: str) -> None:
        detectors[name] = _fit(*cases[name])

    fits = medians_of({name: partial(fit, name) for name in cases}, rounds)
    whole, holed = {}, {}
    for name, (d, _) in cases.items():
        score = detectors[name].score_samples
        whole[name] = partial(score, make_rows(N_ROWS, d, 1))
        holed[name] = partial(score, with_holes(make_rows(N_ROWS_WITH_HOLES, d, 1)))
    rates = _rates(whole, N_ROWS, rounds), _rates(holed, N_ROWS_WITH_HOLES, rounds)
    rows = [
        {"features": d, "kind": name, "fit, s": fits[name], "rows / s": rates[0][name]}
        | {"rows with missing entries / s": rates[1][name]}
        for name, (d, _) in cases.items()
    ]
    return Section("Neural processes", ABOUT.format(rounds), rows)


def make_rows(n: int, d: int, seed: int) -> Array:
    """Draw rows whose features share a third of their variance: (n, d)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + rng.normal(size=(n, 1)) / np.sqrt(2)


def with_holes(X: Array, seed: int = 2) -> Array:
    """Remove a fifth of the entries."""
    return np.where(np.random.default_rng(seed).random(X.shape) < MISSING, np.nan, X)


def _name(how: dict[str, Any]) -> str:
    return how.get("kind", "closed form, max_epochs=0")


def _fit(d: int, parameters: dict[str, Any]) -> NeuralProcessDetector:
    detector = NeuralProcessDetector(random_state=0, **parameters)
    return detector.fit(make_rows(N_SUPPORT, d, 0))


def _rates(functions: dict[str, Callable[[], Any]], n: int, rounds: int) -> dict[str, float]:
    seconds = median_seconds(functions, rounds)
    return {name: n / s for name, s in seconds.items()}
