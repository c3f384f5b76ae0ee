"""Measure methods on the same rows, some as they are and some behind a preparation."""

from __future__ import annotations

import argparse
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench.families import saving, try_to_make
from bench.measures.ranking import Runner
from bench.methods.base import Baseline
from bench.methods.prepared import Method, Prepare
from bench.options import add_detectors, add_options, refusing
from bench.protocols.families import Episode, Fold, Protocol, Task, random_state_of
from bench.report.records import Table, reuse
from tqdm import tqdm

Rows = tuple[Any, Any]  # of a support and of its query
ABOUT_TIMES = "milliseconds are those of the method alone, without what prepares its rows"


class PreparedRunner(Runner):
    """Measures methods; what is prepared of an episode is made once for all that read it.

    Parameters
    ----------
    family, tasks, split, protocol, table
        As for ``Runner``; nothing is learned on other tasks.
    preparations : dict of str to callable
    rows_of : callable, default=its ``support_X`` and ``query_X``
        The rows of an episode as they are.
    """

    def __init__(
        self,
        family: str,
        tasks: Sequence[Task],
        split: str,
        protocol: Protocol,
        table: Table,
        preparations: Mapping[str, Prepare],
        rows_of: Callable[[Episode], Rows] = attrgetter("support_X", "query_X"),
    ) -> None:
        folds = [Fold((), tuple(task.name for task in tasks))]
        super().__init__(family, tasks, split, folds, protocol, table)
        self.preparations, self.rows_of = preparations, rows_of
        self.failures: dict[str, list[str]] = {}

    def run_table(self, name: str, methods: Mapping[str, Method]) -> None:
        """Measure methods on one table, but for those that an earlier run has measured."""
        todo = {key: method for key, method in methods.items() if not self.table.has(key, name)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few rows make many a library warn
            for episode in self.protocol.episodes(self.tasks[name]) if todo else ():
                self.run_episode(episode, todo)

    def run_episode(self, episode: Episode, methods: Mapping[str, Method]) -> None:
        """Measure methods on one episode."""
        known: dict[str | None, Rows] = {None: self.rows_of(episode)}
        seed = random_state_of(self.protocol.seed, episode.task.name, episode.draw)
        for name, method in methods.items():
            baseline = method.make(seed)
            if baseline.needs_labels and not episode.k_used:
                continue
            if method.behind not in known:
                known[method.behind] = self.preparations[str(method.behind)](*known[None])
            self.run_method(name, baseline, episode, *known[method.behind])

    def run_method(
        self, name: str, baseline: Baseline, episode: Episode, support: Any, query: Any
    ) -> None:
        """Measure a method; one that raises counts as equal scores for all rows."""
        start = time.process_time()
        try:
            baseline.fit(support, episode.support_y)
            scores = np.asarray(baseline.anomaly_score(query), dtype=float)
            self.record(episode, name, scores, time.process_time() - start)
        except Exception as error:  # any that a library may raise: it is reported
            if name not in self.failures:
                traceback.print_exc()
            told = f"{type(error).__name__}: {error}".splitlines()[0]
            self.failures.setdefault(name, []).append(told)
            self.record(episode, name, np.zeros(len(episode.query_y)), time.process_time() - start)


def failure_notes(runners: Sequence[PreparedRunner]) -> Iterator[str]:
    """Yield one line for each method that failed somewhere."""
    for name in dict.fromkeys(name for runner in runners for name in runner.failures):
        told = [line for runner in runners for line in runner.failures.get(name, ())]
        yield (
            f"**{name} failed on {len(told)} supports**, which count as equal scores; "
            f"first: {told[0]}"
        )


def add_prepared_options(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Add the options of measures of prepared rows; ``names`` are those of the baselines."""
    parser.epilog = (
        f"Methods: the labels of detectors, these behind a preparation, written like the following "
        f"baselines, and these: {', '.join(names)}."
    )
    add_options(parser, "data", "label", "tables", "max_query", draws=3, seed=0)
    add_detectors(parser)
    several: dict[str, Any] = {"nargs": "*", "metavar": "METHOD"}
    parser.add_argument("--only", **several, help="measure these methods and no others")
    parser.add_argument("--skip", **several, default=[], help="leave these methods out")
    parser.add_argument("--reuse", type=Path, metavar="CSV", help="baselines of an earlier run")


def chosen_methods(
    args: argparse.Namespace, baselines: Mapping[str, Method], detectors: Mapping[str, Method]
) -> dict[str, Method]:
    """Return the methods that the command line asks for, detectors first.

    Raises
    ------
    ValueError
        When it names a method that there is not.
    """
    methods = {**detectors, **baselines}
    unknown = {*(args.only or ()), *args.skip} - set(methods)
    if unknown:
        raise ValueError(
            f"No such method: {', '.join(sorted(unknown))}. There are: {', '.join(methods)}."
        )
    wanted = methods if args.only is None else args.only
    return {
        key: method for key, method in methods.items() if key in wanted and key not in args.skip
    }


def measured(
    args: argparse.Namespace,
    header: dict[str, Any],
    runners: Sequence[PreparedRunner],
    baselines: Mapping[str, Method],
    detectors: Mapping[str, Method],
) -> pd.DataFrame:
    """Measure the methods that the command line asks for, and note which failed.

    Returns
    -------
    DataFrame
        The rows of all runners, one after the other.
    """
    with refusing():
        try_to_make(args.detector)
        methods = chosen_methods(args, baselines, detectors)
        reuse_baselines(
            args.reuse, header, runners, {m: baselines[m] for m in methods if m in baselines}
        )
    rows = AllRows(runner.table for runner in runners)
    save = saving(args.results / args.label, rows, header)
    for name in tqdm(runners[0].test_names, "tables"):
        for runner in runners:
            runner.run_table(name, methods)
        save()
    header["notes"] += failure_notes(runners)
    save()
    return rows.frame()


def reuse_baselines(
    path: Path | None,
    header: dict[str, Any],
    runners: Sequence[PreparedRunner],
    baselines: Mapping[str, Method],
) -> None:
    """Take baselines from an earlier run; detectors are always measured."""
    makers = {name: method.make for name, method in baselines.items()}
    for runner in runners if path else ():
        reuse(path, header, runner.table, list(makers), runner.protocol, makers, runner.split)
    header["notes"] = list(dict.fromkeys(header["notes"]))


class AllRows(tuple[Table, ...]):
    """The measured rows of several runners."""

    def frame(self) -> pd.DataFrame:
        """Return all rows, one runner after the other."""
        return pd.concat([table.frame() for table in self], ignore_index=True)
