r"""False alarms on fresh normal rows: what each threshold promises and what it keeps.

Usage::

    python benchmarks/false_alarms.py --data ../shared/data/adbench \
        --detector sklearn_fsad:ProtoNetDetector --detector sklearn_fsad:InContextDetector

Beside the detectors' thresholds stands PyOD's own on the same rows: that of its KNN and of
its ECOD with their defaults.
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
from _protocol import load_family, random_state_of
from _report import markdown
from _table_report import command, conditions, write_results
from joblib import Parallel, delayed
from pyod.models.ecod import ECOD
from pyod.models.knn import KNN
from tqdm import tqdm

THRESHOLDS = {
    "conformal, alpha=0.05": {"threshold": "conformal", "alpha": 0.05},
    "conformal, alpha=0.1": {"threshold": "conformal", "alpha": 0.1},
    "auto": {"threshold": "auto", "alpha": 0.05},
    "contamination=0.1": {"contamination": 0.1},
}
PYOD = {"PyOD KNN": KNN, "PyOD ECOD": ECOD}


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, type=Path, help="folder of npz files")
    quality.add_detectors(parser)
    parser.add_argument("--n", nargs="+", type=int, default=[20, 50, 200], help="normals to fit to")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--fresh", type=int, default=300, help="most normal rows to judge on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--no-pyod", action="store_true", help="leave PyOD's detectors out")
    parser.add_argument("--label", help="name of the files; default: false_alarms")
    parser.add_argument("--results", type=Path, default=quality.RESULTS)
    return parser.parse_args(argv)


def alarms(detector: Any, support: np.ndarray, fresh: np.ndarray) -> Iterator[tuple[str, float]]:
    """Yield the share of fresh normal rows that each threshold flags, after one fit."""
    detector.fit(support)
    scores = detector.score_samples(fresh)
    for name, how in THRESHOLDS.items():
        detector.set_threshold(**how)
        yield name, float((scores < detector.offset_).mean())


def of_table(task: Any, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of one table."""
    if str(quality.CHECKOUT) not in sys.path:
        sys.path.append(str(quality.CHECKOUT))  # where the package is not installed
    warnings.simplefilter("ignore")
    normals = np.flatnonzero(task.y == 0)
    rows = []
    for n in (n for n in args.n if len(normals) >= n + 30):
        for draw in range(args.draws):
            rng = np.random.default_rng(random_state_of(args.seed, task.name, n, draw))
            order = rng.permutation(normals)
            support, fresh = task.X[order[:n]], task.X[order[n:][: args.fresh]]
            here = {"table": task.name, "n": n, "draw": draw}
            for spec in args.detector:
                for threshold, share in alarms(spec.make(), support, fresh):
                    row = {"detector": spec.label, "threshold": threshold, "alarms": share}
                    rows.append({**here, **row})
            for name, make in {} if args.no_pyod else PYOD.items():
                share = float(make().fit(support).predict(fresh).mean())
                rows.append({**here, "detector": name, "threshold": "its default", "alarms": share})
    return rows


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parse_args(argv)
    jobs = Parallel(n_jobs=args.jobs, return_as="generator")(
        delayed(of_table)(task, args) for task in load_family(args.data)
    )
    rows = [row for part in tqdm(jobs, "tables") for row in part]
    frame = pd.DataFrame(rows)
    about = (
        f"Share of fresh normal rows that is flagged: mean over tables, in brackets the worst "
        f"table. {args.draws} supports of n normal rows for each table, judged on up to "
        f"{args.fresh} others. {conditions()}"
    )
    text = "\n".join(
        ["# False alarms on fresh normal rows", "", command("false_alarms", argv), "", about, "",
         report(frame), ""]
    )  # fmt: skip
    means = frame.groupby(["detector", "threshold", "n", "table"], sort=False)["alarms"].mean()
    write_results(args.results, args.label or "false_alarms", text, means.reset_index())
    return 0


if __name__ == "__main__":
    sys.exit(main())
