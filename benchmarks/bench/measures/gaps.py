"""Measure what detectors make of missing values, against imputing them first.

Rows are those of ``tables few-shot``. Entries are removed from the support as from the rows to
test on, in three ways. Imputers learn from the support alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from bench.measures.prepared import (
    ABOUT_TIMES,
    PreparedRunner,
    add_prepared_options,
    measured,
)
from bench.methods.gaps import (
    IMPUTERS,
    MOST_ITERATED,
    PREPARATIONS,
    gap_baselines,
    gap_detectors,
)
from bench.options import refusing
from bench.protocols.families import Task, load_family
from bench.protocols.gaps import HIGH, WAYS, GapSplits
from bench.protocols.one_table import choose_tables
from bench.report.markdown import (
    METRICS,
    bullets,
    markdown,
    means_table,
    paired_section,
    run_notes,
    task_means,
)
from bench.report.records import Result, Table, make_header

CELLS = ((10, 0), (50, 0), (50, 5), (50, 10))
SOURCES = ("methods/gaps.py", *(f"protocols/{name}.py" for name in ("tables", "one_table", "gaps")))
ABOUT = (
    f"{HIGH}: an entry is missing with probability .6 r², where r is the rank of its value in its "
    "column between 0 and 1; a row keeps at least one value",
    "imputers and the scale that they see are fitted to the support alone; they fill in, and what "
    "is there stays as it is",
    f"tables of more than {MOST_ITERATED} columns get means in place of IterativeImputer",
    "methods without an imputer's name read the missing values themselves",
    ABOUT_TIMES,
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of gaps."""
    add_prepared_options(parser, list(gap_baselines()))
    n, k = (list(sizes) for sizes in zip(*CELLS, strict=True))
    parser.add_argument("--n", nargs="+", type=int, default=n, help="normal rows, by cell")
    parser.add_argument("--k", nargs="+", type=int, default=k, help="labelled anomalies, by cell")
    parser.set_defaults(check=check)


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse cells that are not pairs, and name the run."""
    if len(args.n) != len(args.k):
        parser.error(f"--n and --k go together; got {len(args.n)} and {len(args.k)} values")
    args.split, args.label = "gaps", f"tables_{args.label or 'gaps'}"


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Rank rows of tables of which entries are missing, natively and behind imputers."""
    with refusing():
        tasks = [task for task in load_family(args.data) if task.testable]
        tasks = choose_tables(tasks, args.tables) if args.tables else tasks
        tasks.sort(key=lambda task: task.X.shape[1])  # boosting takes long where there are many
        header = make_header(args, tasks, SOURCES, ("catboost",))
    runners = make_runners(args, tasks, header["family"])
    frame = measured(args, header, runners, gap_baselines(), gap_detectors(args.detector))
    text = report(frame, header, [spec.label for spec in args.detector])
    title = f"{args.label}: {header['family']} with missing values"
    failed = any(runner.failures for runner in runners)
    yield Result(args.label, title, text, failed=failed)


def make_runners(
    args: argparse.Namespace, tasks: Sequence[Task], family: str
) -> list[PreparedRunner]:
    """Make what measures methods, for each way of removing entries."""
    sizes = tuple(args.n), tuple(args.k), args.draws, args.seed
    splits = [GapSplits(*sizes, max_query=args.max_query, paired=True, way=way) for way in WAYS]
    return [
        PreparedRunner(family, tasks, split.way, split, Table(), PREPARATIONS) for split in splits
    ]


def report(frame: pd.DataFrame, header: dict[str, Any], labels: Sequence[str]) -> str:
    """Return the report: for each way the means, and each detector against all others."""
    parts = [bullets([*run_notes(frame, header), *ABOUT])]
    for way, part in frame.groupby("split", sort=False):
        native = [label for label in labels if label in set(part.method)]
        others = [name for name in dict.fromkeys(part.method) if name not in native]
        for metric, title in METRICS.items():
            parts += [f"## {way}: mean {title}", means_table(part, metric, native)]
        for label in native:
            parts.append(f"## {way}: {label}")
            for metric, title in METRICS.items():
                parts += paired_section(task_means(part, metric), title, label, others)
            parts += by_table_section(task_means(part, "auc"), label)
    return "\n\n".join(parts)


def by_table_section(values: pd.DataFrame, label: str) -> list[str]:
    """Write on a detector against itself behind the imputer that is best in each cell."""
    known = set(values.index.get_level_values("method"))
    behind = {how: f"{how}+{label}" for how in IMPUTERS if f"{how}+{label}" in known}
    if not behind:
        return []
    header, columns = ["table"], []
    for n, k in values.columns:
        means = {how: values.loc[name][n, k].mean() for how, name in behind.items()}
        best = max(means, key=lambda how: means[how])
        header.append(f"{n},{k}: {best}")
        mine, other = values.loc[label][n, k], values.loc[behind[best]][n, k]
        columns.append([f"{a:.3f} ({a - other[t]:+.3f})" for t, a in mine.items()])
    rows = list(zip(values.loc[label].index, *columns, strict=True))
    title = f"### ROC AUC of {label} on each table, and minus that behind the best imputer"
    return [title, markdown(header, rows)]
