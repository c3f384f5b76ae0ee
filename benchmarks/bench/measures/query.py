"""Measure what labels are worth by the way in which the rows to label are chosen.

A detector is fitted to normal rows, asks about one row of a pool after the other, and is given the
answer. After each answer it is judged on other rows.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench.families import try_to_make
from bench.measures.one_table import Row, run_cells
from bench.methods.aad_forest import AADForestAsks, is_installed
from bench.methods.detectors import Spec, meta_training_tasks
from bench.options import add_detectors, add_options, refusing
from bench.protocols.families import Task, make_folds
from bench.protocols.frames import load_tables
from bench.protocols.pools import PoolDraw, Pools
from bench.report.conditions import PACKAGES, conditions
from bench.report.labels import labels_report
from bench.report.records import Result
from sklearn.base import clone
from sklearn.metrics import average_precision_score

DETECTORS = (
    "in-context=sklearn_fsad:InContextDetector(random_state=0, outlier_label=1)",
    "prototypes=sklearn_fsad:ProtoNetDetector(random_state=0, outlier_label=1)",
)
WAYS = ("auto", "diverse", "top", "random", "margin", "expected_change")
FOREST = "AADForest"
RUN = ["family", "task", "draw", "detector", "way"]  # what tells a row from the others
ABOUT = (
    "Mean average precision on rows that are not in the pool, by the number of labels given, one "
    "row of the pool at a time. To begin with, a detector is fitted to {n} normal rows; the pool "
    "has at most {pool} rows, {share:.0%} of them anomalies. Means over tasks, draws of each: "
    "{draws}. "
    "{meta}{forest} {reused}{machine}"
)
REUSED = "Ways that are not in the command were measured in an earlier run, on the same rows. "


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of labels that are asked for."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of tasks")
    parser.add_argument("--meta", nargs="*", default=[], help="folders of related tasks, too")
    parser.add_argument("--meta-fit", nargs="*", default=["prototypes"], help="labels of detectors")
    add_options(parser, n=50, draws=1, max_query=500, seed=0, jobs=1, label="query")
    parser.add_argument("--pool", type=int, default=300, help="most rows of a pool")
    parser.add_argument("--share", type=float, default=0.08, help="of anomalies in a pool")
    parser.add_argument("--labels", type=int, default=20, help="rows to ask about")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), help="strategies, or random")
    parser.add_argument("--reuse", type=Path, nargs="*", default=[], help="rows of earlier runs")
    add_detectors(parser, DETECTORS)


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Let detectors choose the rows to label next, and judge them after each label."""
    with refusing():
        try_to_make(args.detector)
        folders = {path.name: load_tables(path) for path in [*args.data, *map(Path, args.meta)]}
    cells = [
        partial(on_task, family, task, detectors, args)
        for family, tasks in folders.items()
        for task, detectors in with_detectors(tasks, family, args)
    ]
    frame = pd.DataFrame(run_cells(cells, args.jobs, "tasks"))
    if args.reuse:
        earlier = pd.concat(map(pd.read_csv, args.reuse))
        frame = pd.concat([frame, earlier]).drop_duplicates(RUN, ignore_index=True)
    text = labels_report(frame, "auto" if "auto" in args.ways else args.ways[0])
    names = " and ".join(folders).replace("_", " ")
    title = f"Labels that a detector asks for, {names}"
    yield Result(args.label, title, f"{about(args)}\n\n{text}", frame, digits="%.4f")


def about(args: argparse.Namespace) -> str:
    """Tell what was measured."""
    related = ", ".join(Path(folder).name for folder in args.meta)
    meta = f"On {related}, {', '.join(args.meta_fit)}: `meta_fit` on four fifths of the tasks. "
    without = f"{FOREST} is left out: coniferest is not installed."
    forest = (
        f"{FOREST} of coniferest grows on the pool and the normal rows and asks about its highest "
        "score; it is given the answers, or these and the labels of the normal rows."
    )
    return ABOUT.format(
        n=args.n,
        pool=args.pool,
        share=args.share,
        draws=args.draws,
        meta=meta if args.meta else "",
        forest=forest if is_installed() else without,
        reused=REUSED if args.reuse else "",
        machine=conditions(packages=(*PACKAGES, "coniferest")),
    )


def with_detectors(
    tasks: Sequence[Task], family: str, args: argparse.Namespace
) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Yield each task with the detectors to measure, some of them meta-fitted on other tasks."""
    related = family in {Path(folder).name for folder in args.meta}
    by_name = {task.name: task for task in tasks}
    for fold in make_folds(tasks, "random" if related else "none", args.seed):
        train = [by_name[name] for name in fold.train]
        detectors = {spec.label: made(spec, train, args.meta_fit) for spec in args.detector}
        for name in fold.test:
            yield by_name[name], detectors


def made(spec: Spec, train: Sequence[Task], meta_fit: Sequence[str]) -> Any:
    """Make a detector, meta-fitted where that is asked for and there are tasks for it."""
    detector = spec.make()
    if train and spec.label in meta_fit:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detector.meta_fit(meta_training_tasks(train, "random"))
    return detector


def on_task(
    family: str, task: Task, detectors: dict[str, Any], args: argparse.Namespace
) -> list[Row]:
    """Measure all ways of asking on one task."""
    warnings.simplefilter("ignore")
    pools = Pools(args.n, args.pool, args.share, args.draws, args.seed, args.max_query)
    rows = []
    for draw in pools.draws_of(task):
        asking: dict[tuple[str, str], Callable[[], Any]] = {
            (label, way): partial(Asks, detector, way, draw, args.seed)
            for label, detector in detectors.items()
            for way in args.ways
        }
        if is_installed():
            asking[FOREST, "answers alone"] = partial(AADForestAsks, draw, False, args.seed)
            asking[FOREST, "normals too"] = partial(AADForestAsks, draw, True, args.seed)
        for (detector, way), make in asking.items():
            here = {"family": family, "task": task.name, "draw": draw.number}
            rows.append({**here, "detector": detector, "way": way} | curve(make(), draw, args))
    return rows


class Asks:
    """A detector that asks about rows of a pool, by one of its strategies or at random."""

    def __init__(self, detector: Any, way: str, draw: PoolDraw, seed: int) -> None:
        self.way, self.draw = way, draw
        self.rng = np.random.default_rng([seed, draw.number])
        self.left = np.arange(len(draw.pool))
        self.detector = clone(detector).fit(draw.normals, np.zeros(len(draw.normals), dtype=int))

    def ask(self) -> int:
        """Return the row to ask about."""
        if self.way == "random":
            return int(self.rng.choice(self.left))
        return int(self.detector.query(self.draw.pool, strategy=self.way)[0])

    def answer(self, row: int) -> None:
        """Learn the label of a row."""
        self.left = self.left[self.left != row]
        self.detector.partial_fit(self.draw.pool[[row]], self.draw.pool_y[[row]])

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Score rows, larger = more anomalous."""
        return -self.detector.score_samples(X)


def curve(asks: Any, draw: PoolDraw, args: argparse.Namespace) -> Row:
    """Return the average precision after each label, and how many anomalies were found."""
    n_labels, found, asked = min(args.labels, len(draw.pool)), 0, set()
    row = {"ap_0": quality(asks, draw)}
    for i in range(1, n_labels + 1):
        position = asks.ask()
        asked.add(position)
        found += int(draw.pool_y[position])
        asks.answer(position)
        row[f"ap_{i}"] = quality(asks, draw)
    if len(asked) < n_labels:
        raise ValueError("A row was asked about twice.")
    return {**row, "found": found, "in_pool": int(draw.pool_y.sum())}


def quality(asks: Any, draw: PoolDraw) -> float:
    """Return the average precision on the rows to test on."""
    return float(average_precision_score(draw.test_y, asks.anomaly_score(draw.test)))
