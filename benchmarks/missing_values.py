r"""Missing values: a neural process that skips them against imputing them first.

Detectors learn from normals of one table and nothing else, and are judged on other normals and
three kinds of anomalies, see ``dependencies.py``. Either a share of all entries is missing at
random, in the support as in the rows to judge; or the support is complete and whole columns are
missing in the rows to judge. Imputers learn from the support alone.

    python benchmarks/missing_values.py --data ../shared/data/adbench
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from _protocol import Task, load_family, random_state_of
from _table_measure import Cell, Row, as_frame, measure, run_cells
from _table_methods import KNN, LEDOIT_WOLF, imputing_baselines, specified, table_baselines
from _table_parser import table_parser
from _table_protocol import (
    N_ANOMALIES,
    N_FRESH,
    TestRows,
    choose_tables,
    draw_table,
    hide_columns,
    most_support,
    punch_holes,
)
from _table_report import (
    ABOUT_CELLS,
    auc_table,
    command,
    conditions,
    failures,
    value_table,
    write_results,
)

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
    """Support and rows to judge without some of their values.

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


def make_cells(tasks: Sequence[Task], options: argparse.Namespace) -> list[Cell]:
    """One cell for each table, draw and pattern of what is missing."""
    cells = []
    for task in tasks:
        for number in range(options.draws):
            rows = draw_table(task, options.n, options.seed, number)
            for pattern in TITLES:
                seed = random_state_of(options.seed, task.name, number, pattern)
                key = {"table": task.name, "d": task.X.shape[1], "draw": number}
                key |= {"n": min(options.n, most_support(task)), "missing": pattern}
                some = with_missing(pattern, *rows, options.share, np.random.default_rng(seed))
                cells.append(partial(_cell, options, key, seed, *some))
    return cells


def _cell(
    options: argparse.Namespace, key: Row, seed: int, support: np.ndarray, test: TestRows
) -> list[Row]:
    warnings.simplefilter("ignore", UserWarning)
    if key["missing"] == COMPLETE:
        baselines = {name: table_baselines()[name] for name in (KNN, LEDOIT_WOLF)}
    else:
        baselines = imputing_baselines()
    makers = {**specified(options.detector), **baselines}
    return [{**key, **row} for row in measure(makers, support, test, seed)]


def report(frame: pd.DataFrame, options: argparse.Namespace, argv: Sequence[str]) -> str:
    """Return the whole report."""
    labels = [spec.label for spec in options.detector]
    lines = [
        "# Missing values",
        "",
        command("missing_values", argv),
        "",
        f"{conditions()} {options.draws} draws of a support of {options.n} normals a table, judged "
        f"on up to {N_FRESH} other normals and {N_ANOMALIES} anomalies; {100 * options.share:.0f} "
        "% of the entries, or of the columns, are missing. Baselines see features of mean 0 and "
        "spread 1 in the support.",
        "",
        f"Cells: {ABOUT_CELLS.format(labels[0])} Kinds of anomalies: real ones; `one`, one column "
        "of another row; `all`, every column permuted.",
        *(["", *found] if (found := failures(frame)) else []),
    ]
    for pattern, title in TITLES.items():
        part = frame[frame["missing"] == pattern]
        methods = list(dict.fromkeys(part["method"]))
        lines += ["", f"## {title}", "", auc_table(part, "kind", labels[0], methods)]
    alarms = frame[frame["kind"] == "real"].assign(alarms=100 * frame["alarms"])
    lines += ["", "## False alarms", ""]
    lines += ["Share, in %, of fresh normals that the default threshold calls anomalies, nominally"]
    lines += ["5: mean over tables (worst table).", ""]
    lines += [value_table(alarms, "alarms", "missing", labels, worst=True)]
    return "\n".join(lines) + "\n"


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = table_parser(__doc__.splitlines()[0], DETECTORS)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), help='names, or "all"')
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--share", type=float, default=0.2, help="of entries, or of columns")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the comparison and write a Markdown report."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parse_args(argv)
    tasks = choose_tables(load_family(options.data), options.tables)
    rows = run_cells(make_cells(tasks, options), options.jobs, "draws of tables")
    frame = as_frame(rows)
    write_results(options.results, "missing_values", report(frame, options, argv), frame)


if __name__ == "__main__":
    main()
