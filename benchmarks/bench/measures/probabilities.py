"""Measure probabilities on held-out tasks, beside PyOD's and the constant share of anomalies.

For each detector: its own ``predict_proba``; the same scores by PyOD's two ways, ``linear`` and
``unify``; and PyOD's KNN by both. The constant is the mean share of anomalies in the training
tasks, or in the other tasks where nothing is meta-fitted.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from bench.methods.detectors import meta_training_tasks
from bench.options import add_detectors, add_options
from bench.protocols.families import Episode, Fold, Protocol, Task, load_family, make_folds
from bench.report.conditions import conditions
from bench.report.markdown import markdown
from bench.report.records import Result
from pyod.models.knn import KNN
from tqdm import tqdm

N_BINS = 10
ABOUT = (
    "{} tasks left out, {} draws of a support each; Brier score and expected calibration error "
    "(ten bins), smaller = better; means over tasks, and the error of all rows of the family "
    "together. {}"
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of probabilities."""
    add_options(parser, "data", "label", split="random", n=[10, 50], k=[0, 1, 5], draws=3, seed=0)
    add_options(parser, max_query=1000)
    add_detectors(parser)


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure probabilities of an anomaly on held-out tasks."""
    warnings.simplefilter("ignore", UserWarning)
    frame, pooled = calibration(args)
    label = f"probabilities_{args.label or args.data.name}"
    about = ABOUT.format(frame["task"].nunique(), args.draws, conditions())
    means = frame.groupby(["method", "way", "n", "k", "task"], sort=False)[["brier", "ece"]].mean()
    yield Result(label, label, f"{about}\n\n{report(frame, pooled)}", means.reset_index())


def calibration(args: argparse.Namespace) -> tuple[pd.DataFrame, dict[tuple[str, str], float]]:
    """Measure Brier score and calibration of each episode, and calibration of all rows together."""
    tasks = {task.name: task for task in load_family(args.data)}
    protocol = Protocol(tuple(args.n), tuple(args.k), args.draws, args.seed, args.max_query)
    rows: list[dict[str, Any]] = []
    kept: dict[tuple[str, str], list[tuple[np.ndarray, ...]]] = {}
    for fold in tqdm(make_folds(list(tasks.values()), args.split, args.seed), "folds"):
        for e, method, way, p in measured(fold, tasks, args.detector, protocol, args.split):
            key = {"task": e.task.name, "draw": e.draw, "n": e.n, "k": e.k}
            brier, ece = float(np.mean((p - e.query_y) ** 2)), calibration_error(p, e.query_y)
            rows.append({**key, "method": method, "way": way, "brier": brier, "ece": ece})
            weight = np.full(len(p), 1.0 / len(p))
            kept.setdefault((method, way), []).append((p, e.query_y, weight))
    pooled = {
        key: calibration_error(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        for key, parts in kept.items()
    }
    return pd.DataFrame(rows), pooled


def probabilities(detector: Any, e: Episode) -> dict[str, np.ndarray]:
    """Return P(anomaly) of the query rows by each way from one detector's scores."""
    from sklearn_fsad.adapters import to_pyod

    detector.fit(e.support_X, e.support_y)
    found = {"own": detector.predict_proba(e.query_X)[:, 1]}
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
