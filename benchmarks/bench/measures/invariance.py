"""Measure what the order of rows and columns, units and monotone changes do to anomaly scores.

The order should change nothing, and is given as the largest difference of a score over the spread
of the scores; the others may change something, and are given as the difference of ROC AUC. Units
count a little: part of the evidence looks at columns as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from bench.options import add_options
from bench.protocols.families import Episode, load_family, random_state_of
from bench.protocols.tables import TableSplits
from bench.report.conditions import conditions
from bench.report.markdown import markdown
from bench.report.records import Result
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from sklearn_fsad import InContextDetector

Change = Callable[[np.ndarray], np.ndarray]
NAMES = {
    "units": "each column in another unit",
    "cubed": "one column cubed",
    "exponential": "one column exponential",
}
MONOTONE: dict[str, Change] = {"cubed": lambda z: z**3, "exponential": np.exp}
MOST_FEATURES = 500


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of invariance."""
    add_options(parser, "data", n=50, k=[0, 5], draws=3)


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure what order, units and monotone changes do to the scores of InContextDetector."""
    tasks = [task for task in load_family(args.data) if task.testable]
    tasks = [task for task in tasks if task.X.shape[1] < MOST_FEATURES]
    splits = TableSplits((args.n,), tuple(args.k), args.draws, seed=0)
    rows = []
    for task in tqdm(tasks):
        for e in splits.episodes(task):
            rng = np.random.default_rng(random_state_of(0, *e.key))
            rows.append({"table": task.name, "draw": e.draw, "k": e.k, **differences(e, rng)})
    frame = pd.DataFrame(rows)
    title = f"What does not change the scores of InContextDetector, on {len(tasks)} tables"
    about = f"{args.n} normal rows; {args.draws} draws of a support for each table; {conditions()}"
    yield Result("invariance", title, f"{about}\n\n{report(frame)}", frame)


def scores_of(X: np.ndarray, y: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return what the detector makes of a query, larger = more anomalous."""
    return -InContextDetector(contamination=0.1).fit(X, y).score_samples(query)


def one_column(e: Episode, change: Change, rng: np.random.Generator) -> list[np.ndarray]:
    """Support and query with one column that varies changed, in units of the support."""
    spread = e.support_X.std(axis=0)
    j = rng.choice(np.flatnonzero(spread > 0))
    parts = [e.support_X.copy(), e.query_X.copy()]
    for part in parts:
        z = (part[:, j] - e.support_X[:, j].mean()) / spread[j]
        part[:, j] = change(np.clip(z, -30.0, 30.0))
    return parts


def differences(e: Episode, rng: np.random.Generator) -> dict[str, float]:
    """Return what each change does to the scores of an episode."""
    before = scores_of(e.support_X, e.support_y, e.query_X)
    rows, columns = rng.permutation(len(e.support_y)), rng.permutation(e.query_X.shape[1])
    units, shift = 10.0 ** rng.uniform(-3, 3, size=(2, len(columns)))
    orders = scores_of(e.support_X[rows][:, columns], e.support_y[rows], e.query_X[:, columns])
    other_units = scores_of(e.support_X * units + shift, e.support_y, e.query_X * units + shift)
    auc = roc_auc_score(e.query_y, before)
    found = {
        "order": float(np.abs(orders - before).max() / before.std()),
        "units": float(roc_auc_score(e.query_y, other_units) - auc),
    }
    for name, change in MONOTONE.items():
        support, query = one_column(e, change, rng)
        found[name] = float(roc_auc_score(e.query_y, scores_of(support, e.support_y, query)) - auc)
    return found


def report(frame: pd.DataFrame) -> str:
    """Return the tables: largest differences, and how AUCs move."""
    titles, parts = ["change", "mean", "mean of absolute", "90 % are below", "largest"], []
    for k, part in frame.groupby("k"):
        order = f"{part['order'].max():.1e} spreads of the scores"
        rows = [["order", "-", "-", "-", order]]
        for name, moved in part[["units", *MONOTONE]].items():
            size = moved.abs()
            means = f"{moved.mean():+.4f}", f"{size.mean():.4f}", f"{size.quantile(0.9):.4f}"
            rows.append([NAMES[name], *means, f"{size.max():.4f} AUC"])
        parts += [f"## {k} labelled anomalies", markdown(titles, rows)]
    return "\n\n".join(parts)
