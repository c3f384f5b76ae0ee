"""Measure false alarms on fresh normal rows: what each threshold promises and what it keeps.

Beside the detectors' thresholds stands PyOD's own on the same rows: that of its KNN and of its
ECOD with their defaults.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from bench.measures.one_table import Row, run_cells
from bench.options import add_detectors, add_options
from bench.protocols.families import Task, load_family, random_state_of
from bench.report.conditions import conditions
from bench.report.markdown import markdown
from bench.report.records import Result
from pyod.models.ecod import ECOD
from pyod.models.knn import KNN

THRESHOLDS = {
    "conformal, alpha=0.05": {"threshold": "conformal", "alpha": 0.05},
    "conformal, alpha=0.1": {"threshold": "conformal", "alpha": 0.1},
    "auto": {"threshold": "auto", "alpha": 0.05},
    "contamination=0.1": {"contamination": 0.1},
}
PYOD = {"PyOD KNN": KNN, "PyOD ECOD": ECOD}
ABOUT = (
    "Share of fresh normal rows that is flagged: mean over tables, in brackets the worst table. {} "
    "supports of n normal rows for each table, judged on up to {} others. {}"
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of false alarms."""
    add_options(parser, "data", label="false_alarms", n=[20, 50, 200], draws=200, seed=0, jobs=1)
    add_detectors(parser)
    parser.add_argument("--fresh", type=int, default=300, help="most normal rows to judge on")
    parser.add_argument("--no-pyod", action="store_true", help="leave PyOD's detectors out")


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure false alarms on fresh normal rows by the threshold that was chosen."""
    cells = [partial(alarms_on, task, args) for task in load_family(args.data)]
    frame = pd.DataFrame(run_cells(cells, args.jobs, "tables"))
    text = f"{ABOUT.format(args.draws, args.fresh, conditions())}\n\n{report(frame)}"
    means = frame.groupby(["detector", "threshold", "n", "table"], sort=False)["alarms"].mean()
    yield Result(args.label, "False alarms on fresh normal rows", text, means.reset_index())


def alarms_on(task: Task, args: argparse.Namespace) -> list[Row]:
    """Measure false alarms on one table."""
    warnings.simplefilter("ignore")
    normals = np.flatnonzero(task.y == 0)
    rows = []
    for n in (n for n in args.n if len(normals) >= n + 30):
        for draw in range(args.draws):
            rng = np.random.default_rng(random_state_of(args.seed, task.name, n, draw))
            order = rng.permutation(normals)
            support, fresh = task.X[order[:n]], task.X[order[n:][: args.fresh]]
            here = {"table": task.name, "n": n, "draw": draw}
            rows += [{**here, **row} for row in alarms_of_all(args, support, fresh)]
    return rows


def alarms_of_all(args: argparse.Namespace, support: np.ndarray, fresh: np.ndarray) -> list[Row]:
    """Measure the false alarms of every detector after a fit to one support."""
    rows = [
        {"detector": spec.label, "threshold": threshold, "alarms": share}
        for spec in args.detector
        for threshold, share in alarms(spec.make(), support, fresh)
    ]
    for name, make in {} if args.no_pyod else PYOD.items():
        share = float(make().fit(support).predict(fresh).mean())
        rows.append({"detector": name, "threshold": "its default", "alarms": share})
    return rows


def alarms(detector: Any, support: np.ndarray, fresh: np.ndarray) -> Iterator[tuple[str, float]]:
    """Yield the share of fresh normal rows that each threshold flags, after one fit."""
    detector.fit(support)
    scores = detector.score_samples(fresh)
    for name, how in THRESHOLDS.items():
        detector.set_threshold(**how)
        yield name, float((scores < detector.offset_).mean())


def report(frame: pd.DataFrame) -> str:
    """Return the table: mean over tables, and the worst table, for each size of support."""
    keys = ["detector", "threshold"]
    by_table = frame.groupby([*keys, "n", "table"], sort=False)["alarms"].mean()
    sizes = sorted(frame["n"].unique())
    tables = frame.groupby("n")["table"].nunique()
    lines = []
    for (detector, threshold), part in by_table.groupby(level=keys, sort=False):
        values = [part.xs(n, level="n") for n in sizes]
        lines.append([detector, threshold, *(f"{v.mean():.3f} ({v.max():.3f})" for v in values)])
    return markdown([*keys, *(f"n = {n}, {tables[n]} tables" for n in sizes)], lines)
