"""Measure a neural process that skips missing values against imputing them first.

Detectors learn from normals of one table and nothing else, and are judged on other normals and
three kinds of anomalies, see ``relations.py``. Either a share of all entries is missing at
random, in the support as in the rows to judge; or the support is complete and whole columns are
missing in the rows to judge. Imputers learn from the support alone.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from bench.measures.one_table import Cell, Row, as_frame, measure, run_cells
from bench.methods.detectors import specified
from bench.methods.named import KNN, LEDOIT_WOLF, imputing_baselines, table_baselines
from bench.options import add_detectors, add_options
from bench.protocols.families import Task, load_family, random_state_of
from bench.protocols.one_table import (
    N_ANOMALIES,
    N_FRESH,
    TestRows,
    choose_tables,
    draw_table,
    hide_columns,
    most_support,
    punch_holes,
)
from bench.report.conditions import conditions
from bench.report.markdown import ABOUT_CELLS, auc_table, failures, value_table
from bench.report.records import Result

CLASS = "sklearn_fsad:NeuralProcessDetector"
DETECTORS = (f"process={CLASS}", f"closed-form={CLASS}(max_epochs=0)")
TABLES = ("vowels", "letter", "pendigits", "Waveform", "mammography")
COMPLETE, ENTRIES, COLUMNS = "complete", "entries", "columns"
TITLES = {
    COMPLETE: "Nothing is missing",
    ENTRIES: "Entries are missing at random, in the support as in the rows to judge",
    COLUMNS: "Whole columns are missing in the rows to judge, the support is complete",
}


def with_missing(
    pattern: str, support: np.ndarray, test: TestRows, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, TestRows]:
    """Remove some values of a support and of rows to judge.

    Parameters
    ----------
    pattern : {"complete", "entries", "columns"}
    share : float
        Of entries, or of columns: at least one of these, and one is left.
    """
    if pattern == ENTRIES:
        return punch_holes(support, share, rng), test.map(lambda X: punch_holes(X, share, rng))
    if pattern == COLUMNS:
        d = support.shape[1]
        hidden = rng.permutation(d)[: min(max(round(share * d), 1), d - 1)]
        return support, test.map(lambda X: hide_columns(X, hidden))
    return support, test


def make_cells(tasks: Sequence[Task], args: argparse.Namespace) -> list[Cell]:
    """Make one cell for each table, draw and pattern of what is missing."""
    cells = []
    for task in tasks:
        for number in range(args.draws):
            rows = draw_table(task, args.n, args.seed, number)
            for pattern in TITLES:
                seed = random_state_of(args.seed, task.name, number, pattern)
                key = {"table": task.name, "d": task.X.shape[1], "draw": number}
                key |= {"n": min(args.n, most_support(task)), "missing": pattern}
                some = with_missing(pattern, *rows, args.share, np.random.default_rng(seed))
                cells.append(partial(_cell, args, key, seed, *some))
    return cells


def _cell(
    args: argparse.Namespace, key: Row, seed: int, support: np.ndarray, test: TestRows
) -> list[Row]:
    warnings.simplefilter("ignore", UserWarning)
    if key["missing"] == COMPLETE:
        baselines = {name: table_baselines()[name] for name in (KNN, LEDOIT_WOLF)}
    else:
        baselines = imputing_baselines()
    makers = {**specified(args.detector), **baselines}
    return [{**key, **row} for row in measure(makers, support, test, seed)]


def report(frame: pd.DataFrame, args: argparse.Namespace) -> str:
    """Return the whole report."""
    labels = [spec.label for spec in args.detector]
    parts = [
        f"{conditions()} {args.draws} draws of a support of {args.n} normals a table, judged "
        f"on up to {N_FRESH} other normals and {N_ANOMALIES} anomalies; {100 * args.share:.0f} "
        "% of the entries, or of the columns, are missing. Baselines see features of mean 0 and "
        "spread 1 in the support.",
        f"Cells: {ABOUT_CELLS.format(labels[0])} Kinds of anomalies: real ones; `one`, one column "
        "of another row; `all`, every column permuted.",
        "\n".join(failures(frame)),
    ]
    for pattern, title in TITLES.items():
        part = frame[frame["missing"] == pattern]
        methods = list(dict.fromkeys(part["method"]))
        parts += [f"## {title}", auc_table(part, "kind", labels[0], methods)]
    alarms = frame[frame["kind"] == "real"].assign(alarms=100 * frame["alarms"])
    parts += [
        "## False alarms",
        "Share, in %, of fresh normals that the default threshold calls anomalies, nominally\n"
        "5: mean over tables (worst table).",
        value_table(alarms, "alarms", "missing", labels, worst=True),
    ]
    return "\n\n".join(part for part in parts if part)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of missing values."""
    add_options(parser, "data", tables=list(TABLES), n=200, draws=3, jobs=1, seed=0)
    add_detectors(parser, DETECTORS)
    parser.add_argument("--share", type=float, default=0.2, help="of entries, or of columns")


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure detectors where entries or whole columns are missing, against imputing them."""
    tasks = choose_tables(load_family(args.data), args.tables)
    frame = as_frame(run_cells(make_cells(tasks, args), args.jobs, "draws of tables"))
    yield Result("missing_values", "Missing values", report(frame, args), frame)
