"""Fit detectors to one table and score rows of it, beside what one would pick instead."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from bench.methods.libraries import CatBoost
from bench.speed.timing import Section, median_seconds
from numpy.typing import NDArray
from pyod.models.ecod import ECOD
from pyod.models.iforest import IForest
from pyod.models.knn import KNN as PyODKNN
from sklearn.neighbors import LocalOutlierFactor

from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    NeuralProcessDetector,
    ProtoNetDetector,
)

Array = NDArray[np.float64]
Score = Callable[[Array], Array]


class Support(NamedTuple):
    """Hold the numbers of normals, labelled anomalies and features of a support."""

    n: int
    k: int
    d: int

    def __str__(self) -> str:
        return f"{self.n} + {self.k} x {self.d}"


SCORED = (Support(1000, 0, 20), Support(1000, 5, 20), Support(15, 5, 32))
FITTED = (Support(50, 5, 20), Support(1000, 0, 20), Support(1000, 5, 20))
N_ROWS, N_SINGLE_ROWS = 4000, 64
ROUNDS_OF_ONE_ROW = 10  # for each round of many rows
KNN = "PyOD KNN"
IN_CONTEXT, PROTOTYPES, MAML = "InContextDetector()", "ProtoNetDetector()", "MAMLDetector()"
PROCESS = "NeuralProcessDetector(max_epochs=0)"
OURS: dict[str, Callable[[], Any]] = {
    IN_CONTEXT: partial(InContextDetector, random_state=0),
    PROTOTYPES: partial(ProtoNetDetector, random_state=0),
    MAML: partial(MAMLDetector, random_state=0),
    PROCESS: partial(NeuralProcessDetector, max_epochs=0, random_state=0),
}
OF_NORMALS: dict[str, Callable[[], Any]] = {
    KNN: PyODKNN,
    "PyOD IForest": partial(IForest, random_state=0),
    "PyOD ECOD": ECOD,
    "scikit-learn LOF": partial(LocalOutlierFactor, novelty=True),
}
CATBOOST = "CatBoost"
HAS_CATBOOST = find_spec("catboost") is not None
ABOUT_CATBOOST = f"{CATBOOST} {'learns' if HAS_CATBOOST else 'is not installed; it would learn'}"
ABOUT_SUPPORTS = (
    "Supports are n normals + k labelled anomalies x features. Other methods learn from the "
    f"normals. {ABOUT_CATBOOST} from all rows and their labels."
)
ABOUT_SCORING = (
    f"{N_ROWS:,} rows by `decision_function` after a fit, nothing meta-fitted; {{}} rounds. "
    + ABOUT_SUPPORTS
)
WARM, COLD = "ms", "ms, first call of a turn"
ABOUT_ONE_ROW = (
    "The same detectors, one row a call, another one each time, twice in each turn: the first call "
    "finds the caches of the processor full of what the other methods used, the second one does "
    f"not; {{}} rounds. {ABOUT_SUPPORTS}"
)
ABOUT_FITS = f"Fits without meta-fitting, thresholds included; {{}} rounds. {ABOUT_SUPPORTS}"


def scoring(rounds: int) -> Section:
    """Measure the time of scoring many rows."""
    rows = []
    for support in SCORED:
        X, y, query = make_rows(support)
        functions = {name: partial(s, query) for name, s in scores_of(X, y).items()}
        seconds = median_seconds(functions, rounds)
        for name, s in seconds.items():
            row = {"support": str(support), "method": name, "us a row": 1e6 * s / N_ROWS}
            row |= {"1000 rows / s": N_ROWS / s / 1000, f"time / {KNN}'s": s / seconds[KNN]}
            rows.append(row)
    return Section("Scoring", ABOUT_SCORING.format(rounds), rows)


def one_row(rounds: int) -> Section:
    """Measure the time of scoring one row."""
    rounds, rows = rounds * ROUNDS_OF_ONE_ROW, []
    for support in SCORED:
        X, y, query = make_rows(support)
        one_by_one = {name: _one_by_one(s, query) for name, s in scores_of(X, y).items()}
        calls = {(name, when): f for name, f in one_by_one.items() for when in (COLD, WARM)}
        seconds = median_seconds(calls, rounds)
        for name in one_by_one:
            cold, warm = (1e3 * seconds[name, when] for when in (COLD, WARM))
            row = {"support": str(support), "method": name, WARM: warm, COLD: cold}
            rows.append({**row, f"time / {KNN}'s": seconds[name, WARM] / seconds[KNN, WARM]})
    return Section("One row", ABOUT_ONE_ROW.format(rounds), rows)


def fits(rounds: int) -> Section:
    """Measure the time of a fit."""
    rows = []
    for support in FITTED:
        X, y, _ = make_rows(support)
        seconds = median_seconds(fits_to(X, y), rounds)
        for name, s in seconds.items():
            row = {"support": str(support), "method": name, "ms": 1e3 * s}
            rows.append({**row, f"time / {KNN}'s": s / seconds[KNN]})
    return Section("Fits", ABOUT_FITS.format(rounds), rows)


def make_rows(support: Support, seed: int = 0) -> tuple[Array, NDArray[np.int_], Array]:
    """Draw a support, its labels (-1 = anomaly) and normal rows, whose features depend on others.

    Parameters
    ----------
    support : Support
    seed : int, default=0
    """
    n, k, d = support
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d))
    normals, query = (rng.normal(size=(m, d)) @ mix for m in (n, N_ROWS))
    anomalies = 2.0 * rng.normal(size=(k, d)) @ mix + 3.0
    return np.concatenate([normals, anomalies]), np.repeat([1, -1], [n, k]), query


def fits_to(X: Array, y: NDArray[np.int_]) -> dict[str, Callable[[], Any]]:
    """Return functions that fit each method to a support: (n, d), (n,)."""
    labels = y if (y == -1).any() else None
    fits: dict[str, Callable[[], Any]] = {
        name: lambda make=make: make().fit(X, labels) for name, make in OURS.items()
    }
    normals = X[y == 1]
    fits |= {name: lambda make=make: make().fit(normals) for name, make in OF_NORMALS.items()}
    if labels is not None and HAS_CATBOOST:
        fits[CATBOOST] = lambda: CatBoost().fit(X, (y == -1).astype(int))
    return fits


def scores_of(X: Array, y: NDArray[np.int_]) -> dict[str, Score]:
    """Return functions that score rows by each method, fitted to a support: (n, d), (n,)."""
    fitted = {name: fit() for name, fit in fits_to(X, y).items()}
    return {
        name: detector.anomaly_score if name == CATBOOST else detector.decision_function
        for name, detector in fitted.items()
    }


def _one_by_one(score: Score, query: Array) -> Callable[[], Array]:
    """Return a function that scores the next row at each call."""
    turn: Iterator[int] = itertools.cycle(range(N_SINGLE_ROWS))

    def run() -> Array:
        i = next(turn)
        return score(query[i : i + 1])

    return run
