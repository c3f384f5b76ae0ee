"""Time distilled detectors beside PyOD's KNN and the detectors themselves."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from bench.measures.one_table import Row
from bench.protocols.families import Task, draw_rows
from bench.speed.timing import median_seconds
from pyod.models.knn import KNN

from sklearn_fsad import distil

SIZES = (1, 100, 10_000)  # rows scored at once
NETWORKS = ((32, 32), (128, 64))
ROUNDS = {1: 50, 100: 30, 10_000: 5}
QUICK = {"min_agreement": -1, "n_rows": 1000, "max_epochs": 1}  # the time does not depend on it
MOST_OF_DETECTOR = 100  # rows, beyond which it takes long
FEW = 3  # tasks on which all detectors are timed


def speeds(tasks: Mapping[str, Sequence[Task]], args: argparse.Namespace) -> Iterator[Row]:
    """Measure the processor time of one call, us a row, on each task and support."""
    warnings.simplefilter("ignore")
    for spec, (family, of_family) in product(args.detector, tasks.items()):
        some = of_family if spec is args.detector[0] else of_family[:FEW]
        for task, (n, k) in product(some, zip(args.n, args.k, strict=True)):
            draw = draw_rows(task, args.seed, 0, max(args.n), max(args.k), args.max_query)
            support = draw.support(n, k)
            X, y = task.X[support], task.y[support]
            detector = spec.make().fit(X, y)
            here = {"family": family, "task": task.name, "detector": spec.label, "n": n, "k": k}
            for hidden in NETWORKS:
                copy = distil(detector, hidden=hidden, random_state=args.seed, **QUICK)
                scorers = {"copy": copy, "knn": KNN().fit(X[y == 0]), "detector": detector}
                found = one_speed(scorers, task.X[draw.query])
                yield {**here, "hidden": "-".join(map(str, hidden)), **found}


def one_speed(scorers: Mapping[str, Any], X: np.ndarray) -> Row:
    """Measure the time of several scorers, which take turns, for several numbers of rows."""
    found = {}
    for size in SIZES:
        rows = np.resize(X, (size, X.shape[1]))
        functions = {
            name: partial(scorer.decision_function, rows)
            for name, scorer in scorers.items()
            if name != "detector" or size <= MOST_OF_DETECTOR
        }
        seconds = median_seconds(functions, ROUNDS[size])
        found |= {f"{name}_{size}": 1e6 * t / size for name, t in seconds.items()}
    return found
