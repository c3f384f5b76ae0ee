"""Measure detectors on tables with columns of categories, as they are and turned into numbers.

Rows are those of ``tables few-shot``. Numbers are made by skrub's TableVectorizer and
scikit-learn's SimpleImputer, fitted to the support alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

import pandas as pd
from bench.measures.prepared import (
    ABOUT_TIMES,
    PreparedRunner,
    add_prepared_options,
    measured,
)
from bench.methods.mixed import ENCODED, PREPARATIONS, mixed_baselines, mixed_detectors
from bench.options import refusing
from bench.protocols.families import Task
from bench.protocols.frames import FrameTask, is_category, load_tables
from bench.protocols.one_table import choose_tables
from bench.protocols.tables import TableSplits
from bench.report.markdown import (
    METRICS,
    bullets,
    markdown,
    means_table,
    number,
    paired_section,
    run_notes,
    task_means,
)
from bench.report.records import Result, Table, make_header

SOURCES = ("methods/mixed.py", "protocols/tables.py", "protocols/frames.py")
ABOUT = (
    "tables without any column of categories are left out, unless they were named",
    f"{ENCODED}: skrub's TableVectorizer, then SimpleImputer, fitted to the support alone; methods "
    "without it read the table itself",
    ABOUT_TIMES,
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of mixed tables."""
    add_prepared_options(parser, list(mixed_baselines()))
    parser.add_argument("--n", nargs="+", type=int, default=[50], help="normal rows in a support")
    parser.add_argument(
        "--k", nargs="+", type=int, default=[0, 1, 5, 10], help="labelled anomalies in a support"
    )
    parser.set_defaults(check=check)


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Name the run."""
    name = args.label or f"mixed_{args.data.resolve().name}"
    args.split, args.label = "mixed", f"tables_{name}"


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Rank rows of tables that have columns of categories, as they are and turned into numbers."""
    with refusing():
        tasks = mixed_tasks(args)
        header = make_header(args, tasks, SOURCES, ("catboost", "skrub"))
    splits = TableSplits(
        tuple(args.n), tuple(args.k), args.draws, args.seed, max_query=args.max_query
    )
    rows_of = attrgetter("support_frame", "query_frame")
    runner = PreparedRunner(
        header["family"], tasks, args.split, splits, Table(), PREPARATIONS, rows_of
    )
    detectors = mixed_detectors(args.detector)
    frame = measured(args, header, [runner], mixed_baselines(), detectors)
    text = report(frame, header, [spec.label for spec in args.detector])
    title = f"{args.label}: {header['family']}, tables with categories"
    yield Result(args.label, title, text, failed=bool(runner.failures))


def mixed_tasks(args: argparse.Namespace) -> list[Task]:
    """Return the tables that are named, else all with a column of categories.

    Raises
    ------
    ValueError
        When there is none, or the folder holds arrays.
    """
    tasks = [task for task in load_tables(args.data) if isinstance(task, FrameTask)]
    if args.tables:
        return choose_tables(tasks, args.tables)
    tasks = [task for task in tasks if any(is_category(c) for _, c in task.frame.items())]
    if not tasks:
        raise ValueError(f"No csv.gz file in {args.data} has a column of categories.")
    return tasks


def report(frame: pd.DataFrame, header: dict[str, Any], labels: Sequence[str]) -> str:
    """Return the report: means, each detector against all others, and every table."""
    native = [label for label in labels if label in set(frame.method)]
    others = [name for name in dict.fromkeys(frame.method) if name not in native]
    parts = [bullets([*run_notes(frame, header), *ABOUT])]
    for metric, title in METRICS.items():
        parts += [f"## Mean {title}", means_table(frame, metric, native)]
    for label in native:
        parts.append(f"## {label}")
        for metric, title in METRICS.items():
            parts += paired_section(task_means(frame, metric), title, label, others)
    parts.append("## ROC AUC on each table")
    for (n, k), values in task_means(frame, "auc").items():
        parts += [f"### {n},{k}", each_table(values, [*native, *others])]
    return "\n\n".join(parts)


def each_table(values: pd.Series, methods: Sequence[str]) -> str:
    """Return the values of one cell, by table and by method; methods without any are left out."""
    wide = values.unstack("method").dropna(axis=1, how="all")
    columns = [name for name in methods if name in wide]
    rows = [[table, *(number(row[name]) for name in columns)] for table, row in wide.iterrows()]
    return markdown(["table", *columns], rows)
