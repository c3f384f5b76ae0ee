"""Measure what ``sample_weight`` wins where it is known which labels may be wrong.

Two thirds of the labels of a support, of either kind, come from a source that is right with a known
probability, the trust; that share of them is right. With a trust of one half a third of all labels
is wrong. All other labels are certain and right.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from bench.measures.one_table import Row, run_cells
from bench.options import add_detectors, add_options
from bench.protocols.families import Draw, Task, draw_rows, load_family, random_state_of
from bench.report.conditions import conditions
from bench.report.markdown import compare, markdown
from bench.report.records import Result
from sklearn.metrics import roc_auc_score

WEIGHED = "sample_weight"
WAYS = ("weights ignored", "doubtful rows dropped", 'clean_support="all"', WEIGHED, "clean labels")
DOUBTFUL = 2 / 3  # of the rows
ABOUT = (
    "Mean ROC AUC on {} tables, {} draws each: supports of n normal rows and k anomalies. Two "
    "thirds of the rows of either kind are doubtful: their weight is the trust, and that share of "
    "them is labelled rightly; all other rows are, and have weight 1. In brackets: `sample_weight` "
    "minus that way, its standard error over tables, wins and losses. {}"
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of labels."""
    add_options(parser, "data", n=[50, 20], k=[5, 3], draws=2, max_query=1000, seed=0, jobs=1)
    parser.add_argument("--trust", type=float, nargs="+", default=[0.5, 0.7, 0.9])
    add_detectors(parser, ["sklearn_fsad:InContextDetector(random_state=0)"])


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure detectors on supports with wrong labels, of which the doubtful ones are known."""
    tasks = [task for task in load_family(args.data) if task.testable]
    frame = pd.DataFrame(
        run_cells([partial(on_table, t, args) for t in tasks], args.jobs, "tables")
    )
    about = ABOUT.format(len(tasks), args.draws, conditions())
    title = "Labels of which some are doubtful"
    yield Result("trusted_labels", title, f"{about}\n\n{report(frame)}", frame, digits="%.5f")


def on_table(task: Task, args: argparse.Namespace) -> list[Row]:
    """Measure all ways on one table."""
    warnings.simplefilter("ignore")
    rows = []
    for number in range(args.draws):
        draw = draw_rows(task, args.seed, number, max(args.n), max(args.k), args.max_query)
        for (n, k), trust in product(zip(args.n, args.k, strict=True), args.trust):
            rows += on_support(task, draw, number, n, k, trust, args)
    return rows


def on_support(
    task: Task, draw: Draw, number: int, n: int, k: int, trust: float, args: argparse.Namespace
) -> Iterator[Row]:
    """Measure all ways on one support."""
    X, y = task.X[draw.support(n, k)], task.y[draw.support(n, k)]
    seed = random_state_of(args.seed, task.name, number, f"doubtful {n}")
    told, weights = doubted(y, trust, seed)
    for spec, way in product(args.detector, WAYS):
        fitted = fit(spec.make(), way, X, y, told, weights)
        auc = roc_auc_score(task.y[draw.query], -fitted.score_samples(task.X[draw.query]))
        here = {"detector": spec.label, "trust": trust, "n": n, "k": k, "way": way}
        yield {**here, "table": task.name, "draw": number, "auc": auc}


def doubted(y: np.ndarray, trust: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Turn that share of the doubtful labels that the trust says, and weigh them: (n,), (n,)."""
    rng, told, weights = np.random.default_rng(seed), y.copy(), np.ones(len(y))
    for label in (0, 1):
        rows = rng.permutation(np.flatnonzero(y == label))
        rows = rows[: round(DOUBTFUL * len(rows))]
        weights[rows] = trust
        told[rows[: round((1.0 - trust) * len(rows))]] = 1 - label
    return told, weights


def fit(
    detector: Any, way: str, X: np.ndarray, y: np.ndarray, told: np.ndarray, weights: np.ndarray
) -> Any:
    """Fit a detector in one of the ways."""
    if way == "clean labels":
        return detector.fit(X, y)
    if way == WEIGHED:
        return detector.fit(X, told, sample_weight=weights)
    if way == "doubtful rows dropped":
        return detector.fit(X[weights == 1], told[weights == 1])
    if way == 'clean_support="all"':
        detector.set_params(clean_support="all")
    return detector.fit(X, told)


def report(frame: pd.DataFrame) -> str:
    """Return the table: each way, and how far ahead of it the weights are."""
    keys = ["detector", "trust", "n", "k", "way"]
    by_table = frame.groupby([*keys, "table"], sort=False)["auc"].mean()
    cells = list(dict.fromkeys(zip(frame["n"], frame["k"], strict=True)))
    lines = []
    for detector, trust in dict.fromkeys(zip(frame["detector"], frame["trust"], strict=True)):
        for way in WAYS:
            line = [detector, f"{trust:g}", way]
            for cell in cells:
                mine, other = (by_table[detector, trust, *cell, w] for w in (WEIGHED, way))
                ahead = "" if way == WEIGHED else f" ({compare(mine, other)})"
                line.append(f"{other.mean():.3f}{ahead}")
            lines.append(line)
    columns = [f"n={n}, k={k}" for n, k in cells]
    return markdown(["detector", "trust", "labels", *columns], lines)
