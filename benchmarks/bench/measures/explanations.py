"""Measure how often the largest feature score is that of a column put out of order.

Rows are normals of a table in which one to three known columns were changed. Detectors learn from
n other normals and k labelled anomalies. Beside them stands what needs no detector: the distance of
each column from the median in units of its interquartile range. Two other ways to explain the same
scores show what the choices in ``feature_scores`` are worth.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from bench.measures.one_table import Cell, Row, run_cells
from bench.methods.detectors import Spec, meta_training_tasks
from bench.options import add_detectors, add_options
from bench.protocols.families import Task, load_family, random_state_of
from bench.protocols.one_table import PLANTED, choose_tables, plant
from bench.report.conditions import conditions
from bench.report.markdown import bullets, value_table
from bench.report.records import Result
from scipy.spatial.distance import cdist

Explain = Callable[[np.ndarray], np.ndarray]

DETECTORS = (
    "prototypes=sklearn_fsad:ProtoNetDetector",
    "context=sklearn_fsad:InContextDetector",
    "maml=sklearn_fsad:MAMLDetector(residual=False,random_state=0)",
    "process=sklearn_fsad:NeuralProcessDetector(random_state=0)",
)
TABLES = (
    "cardio",
    "PageBlocks",
    "Pima",
    "Waveform",
    "mammography",
    "pendigits",
    "shuttle",
    "vowels",
    "yeast",
    "donors",
)
LEARNING = ("sklearn_fsad:ProtoNetDetector", "sklearn_fsad:MAMLDetector")
META_FITTED = ("meta-fitted prototypes", "meta-fitted maml")
COMPARED = ("prototypes", "context")
BASELINE = "robust z-score"
CHANCE = "chance"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of explanations."""
    add_options(parser, "data", tables=list(TABLES), n=50, k=[0, 5], draws=1, jobs=1, seed=0)
    add_detectors(parser, DETECTORS)
    parser.add_argument("--rows", type=int, default=20, help="most rows of each kind")
    parser.add_argument(
        "--held-out", help="group of tasks to test on; detectors are meta-fitted on the others"
    )


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure how often the largest feature score is that of a column put out of order."""
    tasks = load_family(args.data)
    if args.held_out is None:
        chosen, learned, name = choose_tables(tasks, args.tables), {}, "explanations"
    else:
        chosen = [task for task in tasks if task.group == args.held_out and task.testable]
        learned = learn([task for task in tasks if task.group != args.held_out])
        name = f"explanations_{args.data.name}"
    frame = pd.DataFrame(run_cells(cells(chosen, args, learned), args.jobs, "tables"))
    yield Result(name, "Which column is off", report(frame, args), frame)


def other_ways(detector: Any) -> dict[str, Explain]:
    """Return other ways to deal out the same score.

    "nearest row": one reference for all columns, the nearest normal by Euclidean distance of
    columns in their spreads. "both sides": the mean of that and of how much stranger the normal
    gets with the value of the row.
    """
    normals = detector.support_X_[detector.support_y_ != 1]
    spread = np.where(normals.std(axis=0) > 0, normals.std(axis=0), 1.0)

    def score(X: np.ndarray) -> np.ndarray:
        return -detector.score_samples(X)

    def from_row(X: np.ndarray) -> np.ndarray:
        near = normals[cdist(X / spread, normals / spread).argmin(axis=1)]
        return swapped(X, near)

    def both(X: np.ndarray) -> np.ndarray:
        near = normals[cdist(X / spread, normals / spread).argmin(axis=1)]
        return swapped(X, near) - swapped(near, X)

    def swapped(X: np.ndarray, values: np.ndarray) -> np.ndarray:
        before, gains = score(X), np.empty_like(X)
        for j in range(X.shape[1]):
            changed = X.copy()
            changed[:, j] = values[:, j]
            gains[:, j] = before - score(changed)
        return gains

    return {"nearest row": from_row, "both sides": both}


def cells(
    tasks: Sequence[Task], args: argparse.Namespace, meta_fitted: dict[str, Any]
) -> list[Cell]:
    """Make one cell for each table, draw and number of labelled anomalies."""
    return [
        partial(_cell, args, task, number, k, meta_fitted)
        for task in tasks
        for number in range(args.draws)
        for k in args.k
    ]


def _cell(
    args: argparse.Namespace, task: Task, number: int, k: int, meta_fitted: dict[str, Any]
) -> list[Row]:
    warnings.simplefilter("ignore", UserWarning)
    rng = np.random.default_rng(random_state_of(args.seed, task.name, number))
    normals = rng.permutation(np.flatnonzero(task.y == 0))
    anomalies = rng.permutation(np.flatnonzero(task.y == 1))[:k]
    support = np.concatenate([normals[: args.n], anomalies])
    fresh = task.X[normals[args.n :][: args.rows]]
    planted = {kind: plant(fresh, task.X[task.y == 0], kind, rng) for kind in PLANTED}
    ways = explanations(args, task.X[support], task.y[support], meta_fitted)
    rows: list[Row] = []
    key = {"table": task.name, "d": task.X.shape[1], "draw": number, "k": k}
    for kind, (X, off) in planted.items():
        rows.append({**key, "kind": kind, "method": CHANCE, "first": float(off.mean())})
        for name, explain in ways.items():
            start = time.perf_counter()
            first = float(named_first(explain(X), off).mean())
            ms = 1000 * (time.perf_counter() - start) / len(X)
            rows.append({**key, "kind": kind, "method": name, "first": first, "ms_a_row": ms})
    return rows


def explanations(
    args: argparse.Namespace, X: np.ndarray, y: np.ndarray, meta_fitted: dict[str, Any]
) -> dict[str, Explain]:
    """Return, by name, functions that give one number for each column of rows."""
    ways: dict[str, Explain] = {BASELINE: partial(robust_z, normals=X[y == 0])}
    detectors = {spec.label: spec.make() for spec in args.detector}
    for name, detector in {**detectors, **meta_fitted}.items():
        detector.fit(X, y)
        ways[name] = detector.feature_scores
        if name in COMPARED:
            ways |= {f"{name}, {way}": tell for way, tell in other_ways(detector).items()}
    return ways


def learn(tasks: Sequence[Task]) -> dict[str, Any]:
    """Meta-fit detectors on tasks."""
    warnings.simplefilter("ignore", UserWarning)
    learned = {}
    for name, path in zip(META_FITTED, LEARNING, strict=True):
        module, kind = path.split(":")
        detector = Spec(name, module, kind, {"random_state": 0}).make()
        learned[name] = detector.meta_fit(meta_training_tasks(tasks, "groups"))
    return learned


def report(frame: pd.DataFrame, args: argparse.Namespace) -> str:
    """Return the whole report."""
    methods = list(dict.fromkeys(frame["method"]))
    parts = [
        f"{conditions()} {args.draws} draws of a support of {args.n} normals and k labelled "
        f"anomalies a table; up to {args.rows} other normals with known columns changed:",
        bullets([f"{kind}: {about}" for kind, about in PLANTED.items()]),
        "Cells: share, in %, of rows whose largest feature score is that of a changed column, mean "
        f"over tables. `{BASELINE}`: distance from the median in interquartile ranges, without any "
        "detector. `nearest row` and `both sides`: other ways to explain the same score.",
    ]
    for k, part in frame.assign(share=100 * frame["first"]).groupby("k", sort=False):
        title = f"## k={k}: {part['table'].nunique()} tables"
        parts += [title, value_table(part, "share", "kind", methods)]
    parts += ["## Milliseconds a row", "Mean over tables (slowest table)."]
    return "\n\n".join([*parts, value_table(frame, "ms_a_row", "k", methods, worst=True)])


def named_first(parts: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Tell whether the largest term of each row is one that is off; of equal ones their share.

    Examples
    --------
    >>> off = np.array([[True, False], [True, False], [True, False]])
    >>> named_first(np.array([[2.0, 1.0], [1.0, 2.0], [1.0, 1.0]]), off)
    array([1. , 0. , 0.5])
    """
    top = parts == parts.max(axis=1, keepdims=True)
    return (top & off).sum(axis=1) / top.sum(axis=1)


def robust_z(X: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Measure how far each column is from the median, in interquartile ranges of the normals.

    A range of 0 counts as a thousandth of the mean standard deviation.
    """
    low, centre, high = np.percentile(normals, [25, 50, 75], axis=0)
    least = max(1e-3 * normals.std(axis=0).mean(), 1e-12)
    return np.abs(X - centre) / np.maximum((high - low) / 1.349, least)
