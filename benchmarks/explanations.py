"""Which column is off: how often the largest feature score is that of a column put out of order.

Rows are normals of a table in which one to three known columns were changed. Detectors learn from
n other normals and k labelled anomalies. Beside them stands what needs no detector: the distance of
each column from the median in units of its interquartile range. Two other ways to explain the same
scores show what the choices in ``feature_scores`` are worth.

    python benchmarks/explanations.py --data ../shared/data/adbench
    python benchmarks/explanations.py --data ../shared/data/skab --held-out other
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from _detectors import Spec, meta_training_tasks
from _planted import KINDS, named_first, plant, robust_z
from _protocol import Task, load_family, random_state_of
from _table_measure import Cell, Row, run_cells
from _table_parser import table_parser
from _table_protocol import choose_tables
from _table_report import command, conditions, value_table, write_results
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


def other_ways(detector: Any) -> dict[str, Explain]:
    """Other ways to deal out the same score.

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
    tasks: Sequence[Task], options: argparse.Namespace, meta_fitted: dict[str, Any]
) -> list[Cell]:
    """One cell for each table, draw and number of labelled anomalies."""
    return [
        partial(_cell, options, task, number, k, meta_fitted)
        for task in tasks
        for number in range(options.draws)
        for k in options.k
    ]


def _cell(
    options: argparse.Namespace,
    task: Task,
    number: int,
    k: int,
    meta_fitted: dict[str, Any],
) -> list[Row]:
    warnings.simplefilter("ignore", UserWarning)
    rng = np.random.default_rng(random_state_of(options.seed, task.name, number))
    normals = rng.permutation(np.flatnonzero(task.y == 0))
    anomalies = rng.permutation(np.flatnonzero(task.y == 1))[:k]
    support = np.concatenate([normals[: options.n], anomalies])
    fresh = task.X[normals[options.n :][: options.rows]]
    planted = {kind: plant(fresh, task.X[task.y == 0], kind, rng) for kind in KINDS}
    ways = explanations(options, task.X[support], task.y[support], meta_fitted)
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
    options: argparse.Namespace, X: np.ndarray, y: np.ndarray, meta_fitted: dict[str, Any]
) -> dict[str, Explain]:
    """Name -> function that gives one number for each column of rows."""
    ways: dict[str, Explain] = {BASELINE: partial(robust_z, normals=X[y == 0])}
    detectors = {spec.label: spec.make() for spec in options.detector}
    for name, detector in {**detectors, **meta_fitted}.items():
        detector.fit(X, y)
        ways[name] = detector.feature_scores
        if name in COMPARED:
            ways |= {f"{name}, {way}": tell for way, tell in other_ways(detector).items()}
    return ways


def learn(tasks: Sequence[Task]) -> dict[str, Any]:
    """Detectors meta-fitted on tasks."""
    warnings.simplefilter("ignore", UserWarning)
    learned = {}
    for name, path in zip(META_FITTED, LEARNING, strict=True):
        module, kind = path.split(":")
        detector = Spec(name, module, kind, {"random_state": 0}).make()
        learned[name] = detector.meta_fit(meta_training_tasks(tasks, "groups"))
    return learned


def report(frame: pd.DataFrame, options: argparse.Namespace, argv: Sequence[str]) -> str:
    """Return the whole report."""
    lines = [
        "# Which column is off",
        "",
        command("explanations", argv),
        "",
        f"{conditions()} {options.draws} draws of a support of {options.n} normals and k labelled "
        f"anomalies a table; up to {options.rows} other normals with known columns changed:",
        "",
        *(f"- {kind}: {about}" for kind, about in KINDS.items()),
        "",
        "Cells: share, in %, of rows whose largest feature score is that of a changed column, mean "
        f"over tables. `{BASELINE}`: distance from the median in interquartile ranges, without any "
        "detector. `nearest row` and `both sides`: other ways to explain the same score.",
    ]
    methods = list(dict.fromkeys(frame["method"]))
    for k, part in frame.groupby("k", sort=False):
        lines += ["", f"## k={k}: {part['table'].nunique()} tables", ""]
        lines += [value_table(part.assign(share=100 * part["first"]), "share", "kind", methods)]
    lines += ["", "## Milliseconds a row", "", "Mean over tables (slowest table).", ""]
    lines += [value_table(frame, "ms_a_row", "k", methods, worst=True)]
    return "\n".join(lines).rstrip() + "\n"


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = table_parser(__doc__.splitlines()[0], DETECTORS)
    parser.set_defaults(draws=1)
    parser.add_argument(
        "--held-out", help="group of tasks to test on; detectors are meta-fitted on the others"
    )
    parser.add_argument("--tables", nargs="*", default=list(TABLES), help='names, or "all"')
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--k", nargs="+", type=int, default=[0, 5])
    parser.add_argument("--rows", type=int, default=20)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the comparison and write a Markdown report."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parse_args(argv)
    tasks = load_family(options.data)
    if options.held_out is None:
        chosen, learned, name = choose_tables(tasks, options.tables), {}, "explanations"
    else:
        chosen = [task for task in tasks if task.group == options.held_out and task.testable]
        learned = learn([task for task in tasks if task.group != options.held_out])
        name = f"explanations_{options.data.name}"
    rows = run_cells(cells(chosen, options, learned), options.jobs, "tables")
    frame = pd.DataFrame(rows)
    write_results(options.results, name, report(frame, options, argv), frame)


if __name__ == "__main__":
    main()
