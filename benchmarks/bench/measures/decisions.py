"""Measure F1 at the threshold that was chosen, against the best that the same scores allow.

The share recovered is mean F1 over mean best F1. Beside the detectors stand PyOD's KNN and ECOD
with their defaults, against the best of their own scores. Labels of the query are used for
nothing but the measuring.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from bench.measures.alarms import PYOD
from bench.measures.one_table import Row, run_cells
from bench.options import add_detectors, add_options
from bench.protocols.families import Episode, Protocol, Task, load_family
from bench.report.conditions import conditions
from bench.report.markdown import markdown
from bench.report.records import Result
from sklearn.metrics import f1_score, precision_recall_curve

THRESHOLDS = {
    "auto": {"threshold": "auto"},
    "conformal, alpha=0.05": {"threshold": "conformal", "alpha": 0.05},
    "conformal, alpha=0.1": {"threshold": "conformal", "alpha": 0.1},
    "f1": {"threshold": "f1", "alpha": 0.05},
    "contamination=0.1": {"contamination": 0.1},
}
ABOUT = (
    "F1 of the anomalies, the best F1 that the same scores allow, and the share of it: means over "
    "{} tables, {} draws each; n = {} normal rows and k labelled anomalies to fit to. PyOD's "
    "detectors get the normal rows. {}"
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of decisions."""
    add_options(parser, "data", n=[50], k=[0, 1, 5, 10], draws=5, max_query=2000, seed=0, jobs=1)
    add_detectors(parser)


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure F1 at the threshold that was chosen, against the best F1 of the same scores."""
    tasks = [task for task in load_family(args.data) if task.testable]
    cells = [partial(decisions_on, task, args) for task in tasks]
    frame = pd.DataFrame(run_cells(cells, args.jobs, "tables"))
    text = f"{ABOUT.format(len(tasks), args.draws, args.n, conditions())}\n\n{report(frame)}"
    means = frame.groupby(["detector", "threshold", "n", "k", "table"], sort=False).mean()
    kept = means.drop(columns="draw").reset_index()
    yield Result("decisions", "F1 at the threshold that was chosen", text, kept)


def decisions_on(task: Task, args: argparse.Namespace) -> list[Row]:
    """Measure the decisions on one table."""
    warnings.simplefilter("ignore")
    protocol = Protocol(tuple(args.n), tuple(args.k), args.draws, args.seed, args.max_query)
    rows = []
    for e in protocol.episodes(task):
        here = {"table": task.name, "draw": e.draw, "n": e.n, "k": e.k}
        for spec in args.detector:
            rows += [{**here, "detector": spec.label, **row} for row in decisions(spec.make(), e)]
        for name, make in PYOD.items():
            model = make().fit(e.support_X[e.support_y == 0])
            oracle = best_f1(e.query_y, model.decision_function(e.query_X))
            row = measured("its default", e, model.predict(e.query_X) == 1, oracle)
            rows.append({**here, "detector": name, **row})
    return rows


def best_f1(truth: np.ndarray, scores: np.ndarray) -> float:
    """Return the largest F1 of all thresholds."""
    precision, recall, _ = precision_recall_curve(truth, scores)
    return float(np.max(2.0 * precision * recall / np.maximum(precision + recall, 1e-12)))


def decisions(detector: Any, e: Episode) -> Iterator[dict[str, Any]]:
    """Yield what each threshold of a detector makes of the query, after one fit."""
    detector.fit(e.support_X, e.support_y)
    scores = -detector.score_samples(e.query_X)
    oracle = best_f1(e.query_y, scores)
    for name, how in THRESHOLDS.items():
        detector.set_threshold(**how)
        yield measured(name, e, scores > -detector.offset_, oracle)


def measured(threshold: str, e: Episode, flagged: np.ndarray, oracle: float) -> dict[str, Any]:
    """Return one row."""
    f1 = f1_score(e.query_y, flagged, zero_division=0)
    alarms = float(flagged[e.query_y == 0].mean())
    return {"threshold": threshold, "f1": f1, "best f1": oracle, "alarms": alarms,
            "all flagged": bool(flagged.all())}  # fmt: skip


def report(frame: pd.DataFrame) -> str:
    """Return the table: F1, the best F1 and the share, for each number of labelled anomalies."""
    keys = ["detector", "threshold"]
    shots = sorted(frame["k"].unique())
    by_table = frame.groupby([*keys, "k", "table"], sort=False)[["f1", "best f1"]].mean()
    means = by_table.groupby(level=[*keys, "k"], sort=False).mean()
    lines = []
    for key in dict.fromkeys(zip(frame["detector"], frame["threshold"], strict=True)):
        cells = [means.loc[(*key, k)] for k in shots]
        lines.append([*key, *(f"{c['f1']:.3f} of {c['best f1']:.3f}: "
                              f"{c['f1'] / c['best f1']:.2f}" for c in cells)])  # fmt: skip
    flagged = int(frame["all flagged"].sum())
    table = markdown([*keys, *(f"k = {k}" for k in shots)], lines)
    return f"{table}\n\nTimes that every row of a query was flagged: {flagged} of {len(frame)}."
