"""Rank the later steps of recordings, after a fit to their first steps.

The support holds the first n steps, and k stretches of 16 labelled anomalous steps. Detectors
stand beside themselves on windows, as they are and meta-fitted on other recordings.
"""

from __future__ import annotations

import argparse
import copy
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench.families import saving, try_to_make
from bench.methods.detectors import meta_training_tasks
from bench.methods.series import (
    FEATURES,
    SeriesMaker,
    detectors_of_series,
    maker_of,
    on_windows_of_each_kind,
    series_baselines,
)
from bench.options import add_detectors, add_options, refusing
from bench.protocols.families import Task, load_family, make_folds, random_state_of
from bench.protocols.one_table import choose_tables
from bench.protocols.series import EMBARGO, STRETCH, SeriesEpisode, SeriesProtocol
from bench.report.conditions import PACKAGES, conditions
from bench.report.markdown import (
    METRICS,
    best_table,
    bullets,
    means_table,
    paired_table,
    task_means,
)
from bench.report.records import Result, make_header, read_earlier
from sklearn.metrics import average_precision_score, roc_auc_score
from tqdm import tqdm

Row = dict[str, Any]
COLUMNS = ["task", "n", "k", "method", "auc", "ap", "vus", "seconds"]
STRETCHES = {
    "onset": "labelled stretches: first near the onset of the anomaly, then in its middle",
    "random": "labelled stretches are anywhere in the anomaly, drawn once a recording",
}
HELD_OUT = {"random": "recordings held out", "groups": "groups held out"}
SERIES_METRICS = {**METRICS, "vus": "VUS-PR"}
SOURCES = ("protocols/series.py", "methods/series.py")
MOST_BUFFER = STRETCH  # steps; aeon's default of 500 is longer than the anomalies
ABOUT = (
    "cells are n,k: the first n steps, all normal, and k labelled stretches of "
    f"{STRETCH} anomalous steps",
    f"tested on all later steps that are at least {EMBARGO} steps from every step of the support; "
    "a step is scored by itself and steps before it, aeon's adapter also by up to 15 after it",
    '"steps": each step alone; "statistics", "mean", "raw": `WindowedDetector` with that '
    '`features`; "flat windows": all values of trailing windows of 16 '
    'steps; "means": their means. Baselines see columns scaled by the support',
    '"held out": meta-fitted on other recordings, or on other groups of recordings; "windows": '
    "`WindowedDetector` with its defaults",
    f"VUS-PR is aeon's `range_pr_vus_score` with buffers of up to {MOST_BUFFER} steps; steps that "
    "are not tested on are left out",
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of series."""
    parser.epilog = (
        f"Baselines: {'; '.join(series_baselines())}. VUS-PR is measured where aeon is installed."
    )
    add_options(parser, "data", "label", "tables", n=[50, 200, 400], k=[0, 1, 2], seed=0)
    add_detectors(parser)
    several: dict[str, Any] = {"nargs": "*", "metavar": "METHOD"}
    parser.add_argument("--only", **several, help="run these baselines and no others")
    parser.add_argument(
        "--meta",
        nargs="*",
        choices=list(HELD_OUT),
        default=[],
        help="also meta-fit detectors, with recordings or whole groups held out",
    )
    parser.add_argument(
        "--stretches",
        choices=list(STRETCHES),
        default="onset",
        help="where the labelled stretches are: near the onset and in the middle, or drawn",
    )
    reused: dict[str, Any] = {"nargs": "*", "type": Path, "metavar": "CSV", "default": []}
    parser.add_argument("--reuse", **reused, help="take over the rows of earlier runs")
    parser.set_defaults(check=check)


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse sizes that cannot be, and name the run."""
    if min(args.n) < 2 or not set(args.k) <= {0, 1, 2}:
        parser.error("--n must be at least 2, --k 0, 1 or 2")
    args.split, args.draws, args.max_query = "start", 1, None
    args.label = f"series_{args.label or args.data.resolve().name}"


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Rank the later steps of recordings, after a fit to their first steps."""
    baselines = series_baselines()
    with refusing():
        try_to_make(args.detector)
        if unknown := set(args.only or ()) - set(baselines):
            raise ValueError(f"No such baseline: {', '.join(sorted(unknown))}.")
        detectors = on_windows_of_each_kind(args.detector)
        tasks = load_family(args.data)
        header = make_header(args, tasks, SOURCES, ("aeon",))
        runner = SeriesRunner(tasks, tested_names(tasks, args), args)
        for path in args.reuse:
            runner.take_over(path, header)
    header["notes"].append(STRETCHES[args.stretches])
    save = saving(args.results / args.label, runner, header)
    wanted = baselines if args.only is None else args.only
    runner.run_plain({name: baselines[name] for name in wanted}, save)
    runner.run_plain({name: maker_of(detector) for name, detector in detectors.items()}, save)
    for split in args.meta:
        runner.run_meta(split, detectors_of_series(args.detector), save)
    header["notes"] += runner.notes()
    save()
    text = report(runner.frame(), header, [spec.label for spec in args.detector])
    title = f"{args.label}: later steps of recordings"
    yield Result(args.label, title, text, failed=bool(runner.failures))


def tested_names(tasks: Sequence[Task], args: argparse.Namespace) -> list[str]:
    """Return the names of the recordings to test on; refuse one that does not allow a cell."""
    tested = choose_tables(tasks, args.tables or [t.name for t in tasks if t.testable])
    for task in tested:
        list(_protocol(args).episodes(task))
    return [task.name for task in tested]


def _protocol(args: argparse.Namespace) -> SeriesProtocol:
    seed = args.seed if args.stretches == "random" else None
    return SeriesProtocol(tuple(args.n), tuple(args.k), seed)


class SeriesRunner:
    """Measures methods on recordings.

    Parameters
    ----------
    tasks : sequence of Task
        All recordings.
    tested : sequence of str
        Names of those to test on.
    args : Namespace
    """

    def __init__(self, tasks: Sequence[Task], tested: Sequence[str], args: Any) -> None:
        self.tasks, self.tested = {task.name: task for task in tasks}, tested
        self.protocol, self.seed = _protocol(args), args.seed
        self.rows: list[Row] = []
        self.known: set[tuple[str, str]] = set()  # methods and recordings of earlier runs
        self.failures: dict[str, list[str]] = {}
        self.meta_seconds: dict[str, list[float]] = {}

    def take_over(self, path: Path, header: dict[str, Any]) -> None:
        """Take the rows of an earlier run; what it measured is not measured again."""
        earlier, differences = read_earlier(path, header, COLUMNS)
        if set(earlier.n) != set(self.protocol.n) or set(earlier.k) != set(self.protocol.k):
            raise ValueError(f"--reuse {path.name} has other n or k.")
        pairs = list(zip(earlier.method, earlier.task, strict=True))
        new = [task in self.tested and (name, task) not in self.known for name, task in pairs]
        earlier = earlier[new]
        self.rows += earlier.to_dict("records")
        self.known |= set(pairs)
        note = f"taken from {path.name}: {'; '.join(dict.fromkeys(earlier.method))}"
        note += f" (beware: {'; '.join(differences)})" if differences else ""
        header["notes"].append(note)

    def frame(self) -> pd.DataFrame:
        """Return the measured rows."""
        return pd.DataFrame(self.rows, columns=COLUMNS)

    def run_plain(self, makers: Mapping[str, SeriesMaker], save: Callable[[], None]) -> None:
        """Measure methods that learn from the support alone; ``save`` after each recording."""
        for task in tqdm(self.tested if makers else (), "recordings"):
            for name, make in makers.items():
                self.run_method(name, make, task)
            save()

    def run_meta(self, split: str, detectors: Mapping[str, Any], save: Callable[[], None]) -> None:
        """Measure detectors that are meta-fitted on the training recordings of each fold."""
        detectors = {k: d for k, d in detectors.items() if hasattr(d, "meta_fit")}
        for fold in tqdm(make_folds(list(self.tasks.values()), split, self.seed), split):
            training = meta_training_tasks([self.tasks[name] for name in fold.train], split)
            tested = [name for name in fold.test if name in self.tested]
            for label, detector in detectors.items() if tested else ():
                name, start = f"{label}, {HELD_OUT[split]}", time.process_time()
                if all((name, task) in self.known for task in tested):
                    continue
                learned = copy.deepcopy(detector)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    learned.meta_fit(training)
                self.meta_seconds.setdefault(name, []).append(time.process_time() - start)
                for task in tested:
                    self.run_method(name, maker_of(learned), task)
            save()

    def run_method(self, name: str, make: SeriesMaker, task: str) -> None:
        """Measure a method on all cells of a recording; without labels it is fitted once an n."""
        if (name, task) in self.known:
            return
        seed = random_state_of(self.seed, task)
        known: dict[int, tuple[np.ndarray, float]] = {}
        for episode in self.protocol.episodes(self.tasks[task]):
            method = make(seed)
            if method.needs_labels and not episode.k:
                continue
            if method.uses_labels or episode.n not in known:
                known[episode.n] = self.scores(name, method, episode)
            scores, seconds = known[episode.n]
            here = {"task": task, "n": episode.n, "k": episode.k, "method": name}
            self.rows.append({**here, **quality(episode, scores), "seconds": seconds})

    def scores(self, name: str, method: Any, episode: SeriesEpisode) -> tuple[np.ndarray, float]:
        """Fit to the support and score the recording; a method that raises scores all equal."""
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few steps make many a library warn
            try:
                method.fit(episode.support_X, episode.support_y, episode.steps)
                scores = method.anomaly_score(episode.task.X)
            except Exception as error:  # any that a library may raise: it is reported
                if name not in self.failures:
                    traceback.print_exc()
                told = f"{type(error).__name__}: {error}".splitlines()[0]
                self.failures.setdefault(name, []).append(told)
                scores = np.zeros(len(episode.task.y))
        return scores, time.process_time() - start

    def notes(self) -> list[str]:
        """Tell how long meta-training took, and which methods failed."""
        took = [
            f"meta_fit of {name}: {np.mean(seconds):.1f} s a fold"
            for name, seconds in self.meta_seconds.items()
        ]
        failed = [
            f"**{name} failed on {len(told)} supports**, which count as equal scores; first: "
            f"{told[0]}"
            for name, told in self.failures.items()
        ]
        return took + failed


def quality(episode: SeriesEpisode, scores: np.ndarray) -> Row:
    """Measure how scores rank the steps to test on; VUS-PR is missing without aeon."""
    y, scores = episode.test_y, scores[episode.test]
    found = {"auc": roc_auc_score(y, scores), "ap": average_precision_score(y, scores)}
    return {**found, "vus": round(vus_pr(y, scores), 6)}


def vus_pr(y: np.ndarray, scores: np.ndarray) -> float:
    """Return the volume under the surface of precision, recall and buffer; NaN without aeon."""
    if not find_spec("aeon"):
        return np.nan
    from aeon.benchmarking.metrics.anomaly_detection import range_pr_vus_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of equal scores, which get 0
        return float(range_pr_vus_score(y, scores, max_buffer_size=MOST_BUFFER))


def report(frame: pd.DataFrame, header: dict[str, Any], labels: Sequence[str]) -> str:
    """Return the report: means over recordings, and detectors against the baselines."""
    methods = list(dict.fromkeys(frame.method))
    detectors = [m for m in methods if m.split(", ")[0] in labels]
    baselines = [m for m in methods if m not in detectors]
    metrics = {metric: title for metric, title in SERIES_METRICS.items() if frame[metric].any()}
    parts = [bullets([conditions(packages=(*PACKAGES, "aeon")), *ABOUT, *header["notes"]])]
    for metric, title in metrics.items():
        parts += [f"## Mean {title}", means_table(frame, metric)]
    shown = [m for m in detectors if m in labels or f", {FEATURES[0]}" in m or ", windows" in m]
    for detector in shown if baselines else ():
        parts.append(f"## {detector}")
        for metric, title in metrics.items():
            values = task_means(frame, metric)
            others = [m for m in methods if m != detector]
            parts += [
                f"### {title} against the best baseline of each cell",
                best_table(values, detector, baselines),
                f"### {title} against every other method",
                paired_table(values, detector, others),
            ]
    return "\n\n".join(parts)
