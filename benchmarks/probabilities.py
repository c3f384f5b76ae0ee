r"""Measure probabilities on held-out tasks, beside PyOD's and the constant share of anomalies.

Usage::

    python benchmarks/probabilities.py --data ../shared/data/skab --split random \
        --detector "sklearn_fsad:ProtoNetDetector(random_state=0)"

For each detector: its own ``predict_proba``; the same scores by PyOD's two ways, ``linear`` and
``unify``; and PyOD's KNN by both. The constant is the mean share of anomalies in the training
tasks, or in the other tasks where nothing is meta-fitted.
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
from _detectors import meta_training_tasks
from _protocol import Episode, Fold, Protocol, Task, load_family, make_folds
from _report import markdown
from _table_report import command, conditions, write_results
from pyod.models.knn import KNN
from tqdm import tqdm

N_BINS = 10


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, type=Path, help="folder of npz files")
    parser.add_argument("--split", default="random", choices=("random", "groups", "none"))
    quality.add_detectors(parser)
    parser.add_argument("--n", nargs="+", type=int, default=[10, 50], help="normals in a support")
    parser.add_argument("--k", nargs="+", type=int, default=[0, 1, 5], help="labelled anomalies")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-query", type=int, default=1000)
    parser.add_argument("--label", help="name of the files; default: the family")
    parser.add_argument("--results", type=Path, default=quality.RESULTS)
    return parser.parse_args(argv)


def probabilities(detector: Any, e: Episode) -> dict[str, np.ndarray]:
    """Return P(anomaly) of the query rows by each way from one detector's scores."""
    from sklearn_fsad.adapters import to_pyod

    detector.fit(e.support_X, e.support_y)
    found = {"own": detector.predict_proba(e.query_X)[:, 0]}
    adapter = to_pyod(detector).fit(e.support_X, e.support_y)
    return found | by_pyod(adapter, e.query_X)


def by_pyod(model: Any, X: np.ndarray) -> dict[str, np.ndarray]:
    """Return P(anomaly) by PyOD's two ways."""
    return {way: model.predict_proba(X, method=way)[:, 1] for way in ("linear", "unify")}


def calibration_error(p: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the expected calibration error: ten bins of equal width."""
    weight = np.ones(len(p)) if weight is None else weight
    bins = np.minimum((p * N_BINS).astype(int), N_BINS - 1)
    gaps = np.bincount(bins, weight * (p - truth), minlength=N_BINS)
    return float(np.abs(gaps).sum() / weight.sum())


def measured(
    fold: Fold, tasks: dict[str, Task], specs: Sequence[Any], protocol: Protocol, split: str
) -> Iterator[tuple[Episode, str, str, np.ndarray]]:
    """Yield episode, detector, way and probabilities."""
    known = [tasks[name] for name in fold.train]
    detectors = {}
    for spec in specs:
        detectors[spec.label] = spec.make()
        if known:
            detectors[spec.label].meta_fit(meta_training_tasks(known, split))
    for name in fold.test:
        others = known or [task for task in tasks.values() if task.name != name]
        rate = np.mean([task.y.mean() for task in others if task.testable])
        for e in protocol.episodes(tasks[name]):
            yield e, "constant", "share of anomalies", np.full(len(e.query_y), rate)
            knn = KNN(n_neighbors=min(5, e.n_used - 1)).fit(e.support_X[e.support_y == 0])
            for way, p in by_pyod(knn, e.query_X).items():
                yield e, "PyOD KNN", way, p
            for label, detector in detectors.items():
                for way, p in probabilities(detector, e).items():
                    yield e, label, way, p


def report(frame: pd.DataFrame, pooled: dict[tuple[str, str], float]) -> str:
    """Return the table: each way of each detector, over all cells and by labelled anomalies."""
    rows = []
    shots = sorted(frame["k"].unique())
    for (method, way), part in frame.groupby(["method", "way"], sort=False):
        by_task = part.groupby("task")[["brier", "ece"]].mean().mean()
        by_k = [f"{part[part['k'] == k].groupby('task')['brier'].mean().mean():.3f}" for k in shots]
        rows.append(
            [method, way, f"{by_task['brier']:.3f}", *by_k, f"{by_task['ece']:.3f}",
             f"{pooled[method, way]:.3f}"]
        )  # fmt: skip
    header = ["scores of", "probabilities", "Brier", *(f"k = {k}" for k in shots)]
    return markdown([*header, "ECE of a task", "ECE of the family"], rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parse_args(argv)
    if str(quality.CHECKOUT) not in sys.path:
        sys.path.append(str(quality.CHECKOUT))  # where the package is not installed
    warnings.simplefilter("ignore", UserWarning)
    tasks = {task.name: task for task in load_family(args.data)}
    protocol = Protocol(tuple(args.n), tuple(args.k), args.draws, args.seed, args.max_query)
    rows, kept = [], {}
    for fold in tqdm(make_folds(list(tasks.values()), args.split, args.seed), "folds"):
        for e, method, way, p in measured(fold, tasks, args.detector, protocol, args.split):
            brier, ece = float(np.mean((p - e.query_y) ** 2)), calibration_error(p, e.query_y)
            rows.append(
                {"task": e.task.name, "draw": e.draw, "n": e.n, "k": e.k, "method": method,
                 "way": way, "brier": brier, "ece": ece}
            )  # fmt: skip
            weight = np.full(len(p), 1.0 / len(p))
            kept.setdefault((method, way), []).append((p, e.query_y, weight))
    pooled = {
        key: calibration_error(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        for key, parts in kept.items()
    }
    frame = pd.DataFrame(rows)
    label = f"probabilities_{args.label or args.data.name}"
    about = (
        f"{frame['task'].nunique()} tasks left out, {args.draws} draws of a support each; Brier "
        "score and expected calibration error (ten bins), smaller = better; means over tasks, and "
        f"the error of all rows of the family together. {conditions()}"
    )
    text = "\n".join(
        [f"# {label}", "", command("probabilities", argv), "", about, "", report(frame, pooled), ""]
    )
    means = frame.groupby(["method", "way", "n", "k", "task"], sort=False)[["brier", "ece"]].mean()
    write_results(args.results, label, text, means.reset_index())
    return 0


if __name__ == "__main__":
    sys.exit(main())
