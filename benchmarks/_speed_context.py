"""What it costs to fit and to score one table in context, beside PyOD."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyod.models.iforest import IForest
from pyod.models.knn import KNN

from sklearn_fsad import InContextDetector

Array = NDArray[np.float64]
Median = Callable[[dict[Any, Callable[[], Any]], int], dict[Any, float]]

N_FEATURES, N_NORMAL, N_ANOMALOUS, N_ROWS = 20, 1000, 5, 10_000


def in_context_costs(rounds: int, median_seconds: Median) -> list[dict[str, Any]]:
    """Rows of a table: seconds of a fit and of scoring, and those of PyOD in proportion.

    Parameters
    ----------
    rounds : int
        In which all take turns.
    median_seconds : callable
        Times functions by name.
    """
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(N_FEATURES, N_FEATURES))
    normals, query = (rng.normal(size=(n, N_FEATURES)) @ mix for n in (N_NORMAL, N_ROWS))
    anomalies = 2.0 * rng.normal(size=(N_ANOMALOUS, N_FEATURES)) @ mix + 3.0
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
