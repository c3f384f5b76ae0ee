"""Measure anomalies of one table without labels: real ones, and rows with broken relations.

Detectors learn from n normal rows of a table and nothing else. They are judged on other normals
and three kinds of anomalies: real ones; ``one``, a normal with the value of another in one random
column; ``all``, normals with every column permuted. Both made kinds keep the distribution of each
feature. Rows in which two features are bound by a known relation come first.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from math import comb

import numpy as np
import pandas as pd
from bench.measures.one_table import Cell, Row, as_frame, kind_aucs, measure, run_cells
from bench.methods.detectors import specified
from bench.methods.named import KNN, table_baselines
from bench.options import add_detectors, add_options
from bench.protocols.families import Task, load_family, random_state_of
from bench.protocols.generated import ABOUT_RELATION, N_FEATURES, draw_relation
from bench.protocols.one_table import (
    N_ANOMALIES,
    N_FRESH,
    STUDY,
    TestRows,
    choose_tables,
    draw_table,
    support_sizes,
)
from bench.report.conditions import conditions
from bench.report.markdown import ABOUT_CELLS, auc_table, failures, value_table
from bench.report.records import Result

CLASS = "sklearn_fsad:NeuralProcessDetector"
DETECTORS = (
    f"process={CLASS}",
    f"closed-form={CLASS}(max_epochs=0)",
    f"cnp={CLASS}(kind='cnp')",
    f"anp={CLASS}(kind='anp')",
    f"density={CLASS}(anomaly_score='density')",
    f"variance={CLASS}(anomaly_score='variance')",
    f"error={CLASS}(anomaly_score='error')",
)
KINDS = {
    "real": "Real anomalies",
    "one": "One column of another row",
    "all": "Every column permuted",
}
ORACLE = "known relation"
RELATION = "relation"


def relation_cells(args: argparse.Namespace) -> list[Cell]:
    """Make one cell for each size of the support and draw of a relation."""
    cells = []
    for number in range(args.made_draws):
        for n in args.n:
            support, test, relation = draw_relation(n, args.seed, number)
            best = kind_aucs(relation.departure, test)[RELATION]
            key = {"table": f"{RELATION} {number}", "d": N_FEATURES, "draw": number, "n": n}
            known = {**key, "method": ORACLE, "kind": RELATION, "auc": best}
            cells.append(partial(_cell, args, {**key, "n_used": n}, support, test, known))
    return cells


def table_cells(tasks: Sequence[Task], args: argparse.Namespace) -> list[Cell]:
    """Make one cell for each table, size of the support and draw."""
    cells = []
    for task in tasks:
        for number in range(args.draws):
            for n, n_used in support_sizes(task, args.n):
                support, test = draw_table(task, n, args.seed, number)
                key = {"table": task.name, "d": task.X.shape[1], "draw": number, "n": n}
                cells.append(partial(_cell, args, {**key, "n_used": n_used}, support, test))
    return cells


def _cell(
    args: argparse.Namespace,
    key: Row,
    support: np.ndarray,
    test: TestRows,
    known: Row | None = None,
) -> list[Row]:
    warnings.simplefilter("ignore", UserWarning)
    makers = specified(args.detector, share=not args.separate)
    makers |= table_baselines(args.lunar, args.gp, args.compress)
    seed = random_state_of(args.seed, key["table"], key["draw"], key["n"])
    rows = [{**key, **row} for row in measure(makers, support, test, seed)]
    return rows if known is None else [*rows, known]


def report(frame: pd.DataFrame, args: argparse.Namespace) -> str:
    """Return the whole report."""
    methods = [name for name in dict.fromkeys(frame["method"]) if name != ORACLE]
    made, real = frame[frame["kind"] == RELATION], frame[frame["kind"] != RELATION]
    labels = [spec.label for spec in args.detector]
    compressed = ", compressed beyond five spreads" if args.compress else ""
    told = [f"- `{spec.label}`: {spec.name}({_shown(spec.params)})" for spec in args.detector]
    parts = [
        f"{conditions()} {args.draws} draws of a support of n normals a table, fewer where a "
        f"third of the normals would not be left; judged on up to {N_FRESH} other normals and "
        f"{N_ANOMALIES} anomalies. Baselines see features of mean 0 and spread 1 in the support"
        f"{compressed}.",
        "\n".join([*told, *failures(frame)]),
    ]
    if len(made):
        parts += relation_section(made, methods)
    for kind, title in KINDS.items():
        part = real[real["kind"] == kind]
        if len(part):
            cells = f"Cells: {ABOUT_CELLS.format(KNN)}"
            parts += [f"## {title}", cells, auc_table(part, "n", KNN, methods)]
    if len(real):
        parts += alarm_section(real[real["kind"] == "real"], labels)
        parts += blame_section(real[real["kind"] == "one"], methods)
    return "\n\n".join(parts)


def relation_section(frame: pd.DataFrame, methods: Sequence[str]) -> list[str]:
    """Write on the rows in which two features are bound."""
    known = 100 * frame[frame["method"] == ORACLE]["auc"].mean()
    frame = frame[frame["method"] != ORACLE].assign(both=100 * frame["both_on_top"])
    parts = [
        "## A relation between two features",
        f"{ABOUT_RELATION} Who knew the relation would reach {known:.1f}.",
        f"Cells: {ABOUT_CELLS.format(KNN)} Each draw is a table.",
        auc_table(frame, "n", KNN, methods),
    ]
    if frame["both"].notna().any():
        parts += [
            "Share, in %, of anomalies whose two largest feature scores are those of the bound "
            f"features; by chance it would be {100 / comb(N_FEATURES, 2):.1f}.",
            value_table(frame, "both", "n", methods),
        ]
    return parts


def alarm_section(frame: pd.DataFrame, labels: Sequence[str]) -> list[str]:
    """Write on false alarms and on the time that detectors took."""
    return [
        "## False alarms",
        "Share, in %, of fresh normals that the default threshold calls anomalies, nominally 5: "
        "mean over tables (worst table).",
        value_table(frame.assign(alarms=100 * frame["alarms"]), "alarms", "n", labels, worst=True),
        "Seconds of a fit: mean over tables (slowest table).",
        value_table(frame, "fit_seconds", "n", labels, worst=True),
    ]


def blame_section(frame: pd.DataFrame, methods: Sequence[str]) -> list[str]:
    """Write on how well feature scores point at the replaced column."""
    if frame["rank"].isna().all():
        return []
    chance = frame.drop_duplicates("table")["d"]
    frame = frame.assign(first=100 * frame["first"])
    return [
        "## Which feature was replaced",
        "Where the value of a row of kind `one` did change: mean rank of that column among the "
        f"row's feature scores, 1 = largest. By chance it would be {(chance.mean() + 1) / 2:.1f} "
        "on the mean over tables.",
        value_table(frame, "rank", "n", methods),
        "Share, in %, of such rows in which the column comes first; by chance "
        f"{(100 / chance).mean():.1f}.",
        value_table(frame, "first", "n", methods),
    ]


def _shown(params: dict[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in params.items())


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of relations."""
    add_options(parser, "data", tables=list(STUDY), n=[50, 200, 1000], draws=3, jobs=1, seed=0)
    add_detectors(parser, DETECTORS)
    parser.add_argument("--made-draws", type=int, default=5, help="of the relation")
    parser.add_argument("--lunar", action="store_true", help="also run PyOD's LUNAR")
    parser.add_argument("--gp", action="store_true", help="also a Gaussian process per feature")
    parser.add_argument(
        "--compress", action="store_true", help="baselines see logarithms beyond five spreads"
    )
    parser.add_argument(
        "--separate",
        action="store_true",
        help="fit anew for each anomaly_score: all have a threshold, at several times the cost",
    )


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure anomalies of one table without labels, by what they break."""
    tasks = choose_tables(load_family(args.data), args.tables) if args.tables else []
    rows = run_cells(relation_cells(args), args.jobs, "relations")
    rows += run_cells(table_cells(tasks, args), args.jobs, "draws of tables")
    frame = as_frame(rows)
    title = "Anomalies of one table without labels"
    yield Result("dependencies", title, report(frame, args), frame)
