r"""F1 at the threshold that was chosen, against the best that the same scores allow.

Usage::

    python benchmarks/decisions.py --data ../shared/data/adbench \
        --detector sklearn_fsad:ProtoNetDetector --detector sklearn_fsad:InContextDetector

The share recovered is mean F1 over mean best F1. Beside the detectors stand PyOD's KNN and ECOD
with their defaults, against the best of their own scores. Labels of the query are used for
nothing but the measuring.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import quality
from _protocol import Episode, Protocol, Task, load_family
from _report import markdown
from _table_report import command, conditions, write_results
from false_alarms import PYOD
from joblib import Parallel, delayed
from sklearn.metrics import f1_score, precision_recall_curve
from tqdm import tqdm

THRESHOLDS = {
    "auto": {"threshold": "auto"},
    "conformal, alpha=0.05": {"threshold": "conformal", "alpha": 0.05},
    "conformal, alpha=0.1": {"threshold": "conformal", "alpha": 0.1},
    "f1": {"threshold": "f1", "alpha": 0.05},
    "contamination=0.1": {"contamination": 0.1},
}


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, type=Path, help="folder of npz files")
    quality.add_detectors(parser)
    parser.add_argument("--n", nargs="+", type=int, default=[50], help="normals in a support")
    parser.add_argument("--k", nargs="+", type=int, default=[0, 1, 5, 10], help="anomalies")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--max-query", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", type=Path, default=quality.RESULTS)
    return parser.parse_args(argv)


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


def of_table(task: Task, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of one table."""
    if str(quality.CHECKOUT) not in sys.path:
        sys.path.append(str(quality.CHECKOUT))  # where the package is not installed
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parse_args(argv)
    tasks = [task for task in load_family(args.data) if task.testable]
    jobs = Parallel(n_jobs=args.jobs, return_as="generator")(
        delayed(of_table)(task, args) for task in tasks
    )
    frame = pd.DataFrame([row for part in tqdm(jobs, "tables", len(tasks)) for row in part])
    about = (
        f"F1 of the anomalies, the best F1 that the same scores allow, and the share of it: means "
        f"over {len(tasks)} tables, {args.draws} draws each; n = {args.n} normal rows and k "
        f"labelled anomalies to fit to. PyOD's detectors get the normal rows. {conditions()}"
    )
    text = "\n".join(
        ["# F1 at the threshold that was chosen", "", command("decisions", argv), "", about, "",
         report(frame), ""]
    )  # fmt: skip
    means = frame.groupby(["detector", "threshold", "n", "k", "table"], sort=False).mean()
    write_results(args.results, "decisions", text, means.drop(columns="draw").reset_index())
    return 0


if __name__ == "__main__":
    sys.exit(main())
