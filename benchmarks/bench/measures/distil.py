"""Measure how well distilled detectors agree with theirs on real rows, and how fast they are.

A detector is fitted to a support and distilled, on made rows, or on later rows too where so asked.
Both score the same rows of the task, which neither has seen; half of them if later rows are given.
"""

from __future__ import annotations

import argparse
import pickle
import time
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench.measures.one_table import Row, run_cells
from bench.methods.detectors import Spec
from bench.options import add_detectors, add_options
from bench.protocols.families import Task, draw_rows, load_family
from bench.report.conditions import conditions
from bench.report.distil import report
from bench.report.records import Result
from bench.speed.distil import speeds
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from sklearn_fsad import DistilledDetector, distil
from sklearn_fsad.exceptions import DisagreementError

DETECTORS = (
    "sklearn_fsad:ProtoNetDetector",
    "sklearn_fsad:InContextDetector(random_state=0)",
    "sklearn_fsad:MAMLDetector(residual=False,max_epochs=3,random_state=0)",
    "sklearn_fsad:NeuralProcessDetector(max_epochs=0,random_state=0)",
)
N_GIVEN = 300
MOST_GIVEN, LEAST_GIVEN = 0.5, 20  # of the rows to test on


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of distil."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="families of tasks")
    add_options(parser, n=[50, 10], k=[0, 5], max_query=1000, seed=0, jobs=1)
    parser.add_argument("--most-tasks", type=int, default=27, help="of a family")
    parser.add_argument("--given", nargs="*", default=[], help="detectors also given later rows")
    parser.add_argument("--reuse", type=Path, nargs="*", default=[], help="rows of earlier runs")
    add_detectors(parser, DETECTORS)


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure how well distilled detectors agree, and how fast they are."""
    earlier = [pd.read_csv(path) for path in args.reuse]
    done = {
        key
        for frame in earlier
        for key in map(tuple, frame[["detector", "family", "task"]].to_numpy())
    }
    tasks = {path.name: first_tasks(path, args.most_tasks) for path in args.data}
    cells = [
        partial(on_task, family, task, spec, args)
        for spec, (family, of_family) in product(args.detector, tasks.items())
        for task in of_family
        if (spec.label, family, task.name) not in done
    ]
    rows = run_cells(cells, args.jobs, "distilled")
    frame = pd.concat([*earlier, *([pd.DataFrame(rows)] if rows else [])], ignore_index=True)
    times = pd.DataFrame(speeds(tasks, args))
    text = f"{conditions()}\n\n{report(frame, times)}"
    yield Result("distil", "Distilled detectors", text, frame, digits="%.5g")


def first_tasks(folder: Path, most: int) -> list[Task]:
    """Load the first tasks of a family that can be tested on."""
    return [task for task in load_family(folder) if task.testable][:most]


def on_task(family: str, task: Task, spec: Spec, args: argparse.Namespace) -> list[Row]:
    """Measure a detector on the supports of one task."""
    warnings.simplefilter("ignore")
    draw = draw_rows(task, args.seed, 0, max(args.n), max(args.k), args.max_query)
    later = np.random.default_rng(args.seed).permutation(draw.query)
    n_given = min(N_GIVEN, int(MOST_GIVEN * len(later)))
    is_given = spec.label in args.given and n_given >= LEAST_GIVEN
    test = later[n_given:] if is_given else later
    rows = []
    for n, k in zip(args.n, args.k, strict=True):
        support = draw.support(n, k)
        detector = spec.make().fit(task.X[support], task.y[support])
        here = {"family": family, "task": task.name, "d": task.X.shape[1], "n": n, "k": k}
        for X in (None, task.X[later[:n_given]])[: 1 + is_given]:
            start = time.process_time()
            copy = distilled(detector, X, args.seed)
            found = {"detector": spec.label, "given": X is not None}
            found["seconds"] = time.process_time() - start
            rows.append({**here, **found, **agreement(detector, copy, task.X[test], task.y[test])})
    return rows


def distilled(detector: Any, X: np.ndarray | None, seed: int) -> DistilledDetector:
    """Distil a detector; where that is refused, return what was refused."""
    try:
        return distil(detector, X, random_state=seed)
    except DisagreementError as error:
        return error.copy


def agreement(detector: Any, copy: DistilledDetector, X: np.ndarray, y: np.ndarray) -> Row:
    """Compare both on rows of the task, and tell what the copy says of itself."""
    theirs, mine = -detector.score_samples(X), -copy.score_samples(X)
    flags, own_flags = detector.predict(X) == -1, copy.predict(X) == -1
    return {
        "reported": copy.agreement_.rank_correlation,
        "correlation": spearmanr(theirs, mine)[0],
        "auc": roc_auc_score(y, theirs),
        "auc_of_copy": roc_auc_score(y, mine),
        "alarms": flags[y == 0].mean(),
        "alarms_of_copy": own_flags[y == 0].mean(),
        "same_label": (flags == own_flags).mean(),
        "hidden": "-".join(map(str, copy._student.network.widths[1:-1])),
        "kib": len(pickle.dumps(detector)) / 1024,
        "kib_of_copy": len(pickle.dumps(copy)) / 1024,
    }
