"""Measure what models that a user already has add to ``ProtoNetDetector``, as evidence.

Unrelated tables without ``meta_fit``, and related tasks with it, which weighs the models. Without
labels detectors are judged on real anomalies and on two kinds that are made of normal rows:
``one``, with the value of another row in one random column, and ``all``, with every column
permuted.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench.measures.one_table import Cell, Row, kind_aucs, run_cells
from bench.methods.detectors import meta_training_tasks
from bench.options import add_options
from bench.protocols.families import (
    Episode,
    Fold,
    Protocol,
    Task,
    load_family,
    make_folds,
    random_state_of,
)
from bench.protocols.one_table import MOST_FEATURES, choose_tables, with_made_anomalies
from bench.report.conditions import conditions
from bench.report.markdown import compare, markdown
from bench.report.records import Result
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.evidence import ClassifierEvidence, RegressorEvidence

PLAIN = "without"
TREES = HistGradientBoostingRegressor(max_iter=20, min_samples_leaf=10)
MODELS: dict[str, Any] = {
    "Ridge": RegressorEvidence(Ridge()),
    "gradient boosting": RegressorEvidence(TREES, max_columns=4),
    "logistic regression": ClassifierEvidence(LogisticRegression(class_weight="balanced")),
    "random forest": ClassifierEvidence(RandomForestClassifier(50, class_weight="balanced")),
}
SLOW = "gradient boosting"  # too slow for the episodes of meta_fit
KINDS = {"real": "real", "one": "one value of another row", "all": "all values of other rows"}
ABOUT = (
    "Mean ROC AUC x 100 of `ProtoNetDetector()`, and with a model in `evidence=['all', model]`; in "
    "brackets the difference to that without a model, its standard error over tables, wins and "
    "losses. {} of n normal rows and k labelled anomalies; judged on up to {} other rows, "
    "made anomalies in equal number to the normal ones. Processor seconds of a fit and of scoring, "
    "without `meta_fit`. {}"
)


def models_of(k: int, learns: bool) -> list[str]:
    """Name what is measured with k labelled anomalies."""
    names = [name for name, model in MODELS.items() if k >= 2 or hasattr(model, "regressor")]
    return [PLAIN, *(name for name in names if not (learns and name == SLOW))]


def detector_of(name: str, n_episodes: int | None = None) -> ProtoNetDetector:
    """Make the detector with a model, or without any."""
    evidence = None if name == PLAIN else ["all", MODELS[name]]
    return ProtoNetDetector(evidence=evidence, episodes_per_epoch=n_episodes, random_state=0)


def measure(detector: Any, episode: Episode, seed: int) -> list[Row]:
    """Fit to a support and rank its query, by kind of anomaly."""
    rng = np.random.default_rng(random_state_of(seed, *episode.key))
    anomalous = episode.query_y == 1
    test = with_made_anomalies(episode.query_X[~anomalous], episode.query_X[anomalous], rng)
    start = time.process_time()
    detector.fit(episode.support_X, episode.support_y)
    aucs = kind_aucs(lambda X: -detector.score_samples(X), test)
    seconds = time.process_time() - start
    kinds = list(KINDS) if episode.k == 0 else ["real"]
    return [{"kind": kind, "auc": 100 * aucs[kind], "seconds": seconds} for kind in kinds]


def on_tables(task: Task, protocol: Protocol) -> list[Row]:
    """Measure all models on one table, without ``meta_fit``."""
    warnings.simplefilter("ignore")
    rows = []
    for episode in protocol.episodes(task):
        for name in models_of(episode.k, learns=False):
            found = measure(detector_of(name), episode, protocol.seed)
            rows += [{**_key(episode, "none", name), **row} for row in found]
    return rows


def on_fold(
    tasks: Sequence[Task], split: str, fold: Fold, protocol: Protocol, n_episodes: int, name: str
) -> list[Row]:
    """Meta-fit on the tasks of a fold and measure on those it holds out."""
    warnings.simplefilter("ignore")
    known = {task.name: task for task in tasks}
    detector = detector_of(name, n_episodes)
    detector.meta_fit(meta_training_tasks([known[name] for name in fold.train], split))
    rows = []
    for episode in (e for test in fold.test for e in protocol.episodes(known[test])):
        if name in models_of(episode.k, learns=True):
            found = measure(detector, episode, protocol.seed)
            weight = _weight(detector, name)
            rows += [{**_key(episode, split, name), "weight": weight, **row} for row in found]
    return rows


def _key(episode: Episode, split: str, name: str) -> Row:
    here = {"split": split, "table": episode.task.name, "draw": episode.draw}
    return {**here, "n": episode.n, "k": episode.k, "model": name}


def _weight(detector: Any, name: str) -> float:
    """Return the share of all weights that ``meta_fit`` gave to the model."""
    weights = detector._adaptation.values["weights"]
    return 0.0 if name == PLAIN else 100 * float(weights[-1] / weights.sum())


def report(frame: pd.DataFrame, learned: bool) -> str:
    """Return the table: models by rows, kinds and cells by columns."""
    by_table = frame.groupby(["model", "n", "k", "kind", "table"])["auc"].mean()
    cells = sorted({(k, kind, n) for _, n, k, kind, _ in by_table.index}, key=_order)
    lines = []
    for name in dict.fromkeys(frame["model"]):
        line = [name]
        for k, kind, n in cells:
            if (name, n, k, kind) not in by_table.index.droplevel("table"):
                line.append("")
                continue
            mine, plain = by_table[name, n, k, kind], by_table[PLAIN, n, k, kind]
            ahead = "" if name == PLAIN else f" ({_shown(mine, plain)})"
            line.append(f"{mine.mean():.1f}{ahead}")
        part = frame[frame["model"] == name]
        line.append(f"{part['seconds'].mean():.2f}")
        lines.append([*line, f"{part['weight'].mean():.0f}"] if learned else line)
    header = ["model", *(f"{KINDS[kind]}, n={n}, k={k}" for k, kind, n in cells), "seconds"]
    return markdown([*header, "share of weights, %"] if learned else header, lines)


def _order(cell: tuple[int, str, int]) -> tuple[int, int, int]:
    return cell[0], list(KINDS).index(cell[1]), cell[2]


def _shown(mine: pd.Series, plain: pd.Series) -> str:
    """Show a comparison in points."""
    ahead = compare(mine / 100, plain / 100)
    points = f"{100 * ahead.difference:+.1f} ± {100 * ahead.standard_error:.1f}"
    return f"{points}, {ahead.wins}-{ahead.losses}"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of evidence."""
    add_options(parser, "data", n=[50], k=[0, 5], draws=1, max_query=400, seed=0, jobs=1)
    parser.add_argument("--related", type=Path, help="folder of related tasks, for meta_fit")
    parser.add_argument("--episodes", type=int, default=48, help="of meta_fit")


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure models of the user as evidence of ``ProtoNetDetector``."""
    protocol = Protocol(tuple(args.n), tuple(args.k), args.draws, args.seed, args.max_query)
    tables = choose_tables(load_family(args.data), ["all"])
    cells = [partial(on_tables, task, protocol) for task in tables]
    frame = pd.DataFrame(run_cells(cells, args.jobs, "tables"))
    draws = f"{args.draws} draw{'s' if args.draws > 1 else ''}"
    parts = [ABOUT.format(draws, args.max_query, conditions())]
    parts += [
        f"## {len(tables)} unrelated tables of at most {MOST_FEATURES} columns, without `meta_fit`",
        report(frame, False),
    ]
    for split in ("random", "groups") if args.related else ():
        rows = run_cells(related_cells(args, split, protocol), args.jobs, split)
        found = pd.DataFrame(rows)
        frame = pd.concat([frame, found])
        held = "tasks left out in five folds" if split == "random" else "whole groups left out"
        parts += [f"## {args.related.name}, meta-fitted, {held}", report(found, True)]
    text = "\n\n".join(parts)
    yield Result("evidence", "Models of the user as evidence", text, frame, digits="%.5g")


def related_cells(args: argparse.Namespace, split: str, protocol: Protocol) -> list[Cell]:
    """Make a cell for each fold of the related tasks and each model."""
    tasks = load_family(args.related)
    names = list(dict.fromkeys(name for k in args.k for name in models_of(k, learns=True)))
    return [
        partial(on_fold, tasks, split, fold, protocol, args.episodes, name)
        for name in names
        for fold in make_folds(tasks, split, args.seed)
    ]
