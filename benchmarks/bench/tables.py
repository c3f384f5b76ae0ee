"""Rank rows kept aside of tables that have nothing in common.

Protocols: ``few-shot`` has 10 or 50 normals and up to 10 labelled anomalies; ``one-class`` up to
1000 normals; ``few-labels`` and ``halves`` are two published protocols, whose published figures
stand in brackets in the report (``--published`` names the folder they are in).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from bench.families import add_choices, run_detectors, saving, try_to_make
from bench.measures.ranking import Runner
from bench.methods.meta import META_BASELINES
from bench.methods.named import baselines_of_splits
from bench.options import add_detectors, add_options, refusing
from bench.protocols.families import Episode, Fold, Task
from bench.protocols.frames import load_tables
from bench.protocols.tables import FewLabels, OneClass, TableSplits, related_folds
from bench.report.markdown import METRICS, family_report
from bench.report.ranks import rank_figure, ranks_report
from bench.report.records import Result, Table, make_header, reuse

STACKS = tuple(name for name in META_BASELINES if name.startswith("meta_stack"))
PUBLISHED = {"few-labels": FewLabels(), "halves": OneClass()}
PROTOCOLS = ("few-shot", "one-class", *PUBLISHED)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of tables."""
    names = [*baselines_of_splits(), *STACKS]
    parser.epilog = f"Baselines: {', '.join(names)}."
    parser.add_argument("protocol", choices=PROTOCOLS)
    add_options(parser, "data", "label", "tables", draws=3, seed=0)
    parser.add_argument("--published", type=Path, help="folder of the published figures")
    add_detectors(parser)
    parser.add_argument("--n", nargs="+", type=int, help="normal rows in a support")
    parser.add_argument("--k", nargs="+", type=int, help="labelled anomalies in a support")
    parser.add_argument(
        "--contamination", type=float, default=0.0, help="share of anomalies among the n rows"
    )
    parser.add_argument(
        "--leave-families-out",
        action="store_true",
        help="detectors are meta-fitted on the tables of other folds",
    )
    add_choices(parser, names)
    parser.set_defaults(check=check)


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what does not go together, and name the run."""
    if args.protocol in PUBLISHED and args.published is None:
        parser.error(f"{args.protocol} needs --published")
    if not 0.0 <= args.contamination <= 0.5:
        parser.error(f"--contamination must be in [0, 0.5]; got {args.contamination}")
    args.split, args.max_query = args.protocol, None
    args.label = f"tables_{args.label or args.protocol.replace('-', '_')}"


def protocol_of(args: argparse.Namespace) -> Any:
    """Return the protocol that the command line asks for."""
    if args.protocol in PUBLISHED:
        return PUBLISHED[args.protocol]
    few = args.protocol == "few-shot"
    n = args.n or ([10, 50] if few else [1000])
    k = args.k or ([0, 1, 5, 10] if few else [0])
    if args.contamination:
        args.split = f"{args.protocol}, {args.contamination:.0%} contaminated"
    return TableSplits(tuple(n), tuple(k), args.draws, args.seed, args.contamination)


def chosen_tasks(args: argparse.Namespace, protocol: Any) -> list[Task]:
    """Return the tables to measure on, those with published figures where these are wanted."""
    tasks = [task for task in load_tables(args.data) if task.testable]
    if args.protocol in PUBLISHED:
        known = {row.task for row in protocol.rows(args.published, "", [t.name for t in tasks])}
        tasks = [task for task in tasks if task.name in known]
    if args.tables:
        unknown = set(args.tables) - {task.name for task in tasks}
        if unknown:
            raise ValueError(f"No such table: {', '.join(sorted(unknown))}.")
        tasks = [task for task in tasks if task.name in args.tables]
    return tasks


def unknown_normals(episode: Episode) -> np.ndarray:
    """Return labels in which all rows but the labelled anomalies are unknown."""
    return np.where(episode.support_y == 0, np.nan, -1.0)


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Rank rows kept aside of tables that have nothing in common."""
    baselines, table = baselines_of_splits(), Table()
    with refusing():
        try_to_make(args.detector)
        protocol = protocol_of(args)
        tasks = chosen_tasks(args, protocol)
        args.n, args.k, args.draws = protocol.n, protocol.k, protocol.draws
        header = make_header(args, tasks)
        wanted = [*baselines, *STACKS] if args.only is None else args.only
        methods = [name for name in wanted if name not in args.skip]
        if args.reuse:
            reuse(args.reuse, header, table, methods, protocol, baselines)
    save = saving(args.results / args.label, table, header)
    runner, stacking = runners(args, tasks, protocol, table)
    if args.protocol in PUBLISHED:
        for row in protocol.rows(args.published, "tables", [task.name for task in tasks]):
            table.add(row)
    runner.run_support([name for name in methods if name in baselines], save)
    stacking.run_meta([name for name in STACKS if name in methods], save)
    failed = run_detectors(args.detector, runner, header, save)
    frame, labels = table.frame(), [spec.label for spec in args.detector]
    parts = [family_report(frame, header)]
    parts += [ranks_report(frame, metric, title, labels) for metric, title in METRICS.items()]
    text = "\n\n".join(part.rstrip("\n") for part in parts)
    rank_figure(frame, "auc", protocol.cells[-1], labels, args.results / f"{args.label}.png")
    title = f"{args.label}: {header['family']}, split {header['split']}"
    yield Result(args.label, title, text, failed=failed)


def runners(
    args: argparse.Namespace, tasks: list[Task], protocol: Any, table: Table
) -> tuple[Runner, Runner]:
    """Return what measures detectors, and what measures the stacks, which learn on other tables."""
    unlabelled = args.contamination > 0 or args.protocol == "few-labels"
    told = unknown_normals if unlabelled else attrgetter("support_y")
    folds = related_folds(tasks, args.seed)
    learning = folds if args.leave_families_out else [Fold((), tuple(t.name for t in tasks))]
    baselines = baselines_of_splits()
    detectors, stacking = (
        Runner("tables", tasks, args.split, some, protocol, table, baselines, told)
        for some in (learning, folds)
    )
    return detectors, stacking
