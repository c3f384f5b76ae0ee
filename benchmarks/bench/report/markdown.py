"""Write means over tasks, and methods paired task by task, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

TIE = 0.002  # a smaller difference is neither a win nor a loss
METRICS = {"auc": "ROC AUC", "ap": "average precision"}
ABOUT_CELLS = (
    f"mean AUC x 100 over tables (difference to {{}}, tables won-lost; |difference| <= {100 * TIE} "
    "is a tie). The best of a column is bold; what ran on fewer tables says on how many, and its "
    "difference is that on those."
)


class Paired(NamedTuple):
    """A detector against one baseline in one cell, over tasks."""

    difference: float
    standard_error: float
    wins: int
    losses: int

    def __str__(self) -> str:
        return f"{self.difference:+.3f} ({self.standard_error:.3f}) {self.wins}-{self.losses}"


def task_means(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Average the draws: rows are (method, task), columns are cells (n, k)."""
    return frame.pivot_table(
        index=["method", "task"], columns=["n", "k"], values=metric, aggfunc="mean"
    )


def compare(mine: pd.Series, other: pd.Series) -> Paired:
    """Compare two methods in one cell, given their values by task."""
    difference = (mine - other).dropna().to_numpy()
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else np.nan
    wins, losses = (difference > TIE).sum(), (difference < -TIE).sum()
    return Paired(float(difference.mean()), float(error), int(wins), int(losses))


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    """Show three decimals, or a dash for nothing."""
    return "-" if np.isnan(value) else f"{value:.3f}"


def means_table(frame: pd.DataFrame, metric: str, first: Sequence[str] = ()) -> str:
    """Return the mean over tasks of every method in every cell, the best in bold.

    Methods stand in the order of their means, but for those that come ``first``.
    """
    means = task_means(frame, metric).groupby("method").mean()
    seconds = frame.groupby("method").seconds.mean()
    order = means.mean(axis=1).where(means.notna().all(axis=1), means.mean(axis=1) - 1)
    methods = order.sort_values(ascending=False).index
    rows = []
    for method in sorted(methods, key=lambda name: name not in first):
        cells = []
        for cell in means.columns:
            best = means.loc[method, cell] == means[cell].max()
            shown = number(means.loc[method, cell])
            cells.append(f"**{shown}**" if best else shown)
        took = 1000 * seconds[method]
        rows.append([method, *cells, "-" if np.isnan(took) else f"{took:.1f}"])
    return markdown(["method", *(f"{n},{k}" for n, k in means.columns), "ms a fit and score"], rows)


def best_table(values: pd.DataFrame, detector: str, baselines: Sequence[str]) -> str:
    """Return a detector against the best baseline of each cell, chosen by the mean over tasks."""
    rows = []
    for cell in values.columns:
        mine = values.loc[detector][cell]
        means = {name: values.loc[name][cell].mean() for name in baselines}
        means = {name: mean for name, mean in means.items() if not np.isnan(mean)}
        start = [f"{cell[0]},{cell[1]}", number(mine.mean())]
        if not means:
            rows.append([*start, "-", "-", "-", "-", "-"])
            continue
        best = max(means, key=lambda name: means[name])
        pair = compare(mine, values.loc[best][cell])
        difference, error = f"{pair.difference:+.3f}", f"{pair.standard_error:.3f}"
        shown = [difference, error, f"{pair.wins}-{pair.losses}"]
        rows.append([*start, best, number(means[best]), *shown])
    titles = "n,k", "mean", "best baseline", "its mean", "difference", "SE over tasks"
    return markdown([*titles, "wins-losses"], rows)


def paired_table(values: pd.DataFrame, detector: str, baselines: Sequence[str]) -> str:
    """Return a detector against every baseline in every cell."""
    rows = []
    for name in baselines:
        pairs = [(values.loc[detector][cell], values.loc[name][cell]) for cell in values.columns]
        cells = ["-" if other.isna().all() else str(compare(m, other)) for m, other in pairs]
        rows.append([name, *cells])
    return markdown(["baseline", *(f"{n},{k}" for n, k in values.columns)], rows)


def family_report(frame: pd.DataFrame, header: dict[str, Any]) -> str:
    """Return the report on a family: means, and each detector against the baselines.

    Parameters
    ----------
    frame : DataFrame
        Measured rows.
    header : dict
        The run: command, versions, detectors, what was reused.
    """
    detectors = [label for label in header["detectors"] if label in set(frame.method)]
    baselines = [name for name in sorted(set(frame.method)) if name not in detectors]
    parts = [bullets(run_notes(frame, header))]
    for metric, title in METRICS.items():
        parts += [f"## Mean {title}", means_table(frame, metric)]
    for detector in detectors:
        parts += [f"## {detector}", bullets(header["detectors"][detector]["shown"])]
        for metric, title in METRICS.items():
            parts += paired_section(task_means(frame, metric), title, detector, baselines)
    return "\n\n".join(part for part in parts if part)


def run_notes(frame: pd.DataFrame, header: dict[str, Any]) -> list[str]:
    """Tell what was measured, with what, and what was reused."""
    versions = ", ".join(f"{name} {version}" for name, version in header["versions"].items())
    return [
        f"{frame.task.nunique()} test tasks, {header['draws']} draws of each support, "
        f"seed {header['seed']}, at most {header['max_query'] or 'all'} query rows a task",
        f"{versions}; {header['hardware']}",
        "cells are n,k: normals and labelled anomalies in the support; means over tasks, "
        "draws averaged first; times are of the processor",
        *header["notes"],
    ]


def bullets(notes: Sequence[str]) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {note}" for note in notes)


def paired_section(
    values: pd.DataFrame, title: str, detector: str, baselines: Sequence[str]
) -> list[str]:
    """Write on a detector against the best baseline of each cell, and against every one."""
    parts = [
        f"### {title} against the best baseline of each cell",
        best_table(values, detector, baselines),
    ]
    if baselines:
        parts += [
            f"### {title} against every baseline",
            f"Difference (SE over tasks) wins-losses; |difference| <= {TIE} is a tie.",
            paired_table(values, detector, baselines),
        ]
    return parts


def auc_table(frame: pd.DataFrame, by: str, reference: str, methods: Sequence[str]) -> str:
    """Return the mean AUC of each method against one of them.

    Parameters
    ----------
    frame : DataFrame with columns method, table, auc and ``by``
    by : str
        What a column of the table stands for.
    reference : str
    methods : sequence of str
        In the order of the rows.
    """
    by_table = frame.groupby(["method", by, "table"])["auc"].mean().dropna()
    cells = list(dict.fromkeys(frame[by]))
    columns = []
    for cell in cells:
        n_tables = frame[frame[by] == cell]["table"].nunique()
        values = {method: _of(by_table, method, cell) for method in methods}
        best = max((v.mean() for v in values.values() if len(v) == n_tables), default=np.nan)
        column = [
            _auc_cell(values[m], None if m == reference else values[reference], n_tables, best)
            for m in methods
        ]
        columns.append([f"{by}={cell} ({n_tables} tables)", *column])
    names = ["", *methods]
    header, *rows = zip(names, *columns, strict=True)
    return markdown(header, rows)


def _of(by_table: pd.Series, method: str, cell: Any) -> pd.Series:
    """Take the values of one method in one cell by table; empty where there are none."""
    if (method, cell) not in by_table.index.droplevel("table"):
        return pd.Series(dtype=float)
    return by_table[method, cell]


def _auc_cell(mine: pd.Series, other: pd.Series | None, n_tables: int, best: float) -> str:
    if mine.empty:
        return "-"
    shown = f"{100 * mine.mean():.1f}"
    if len(mine) == n_tables and mine.mean() == best:
        shown = f"**{shown}**"
    if other is not None and len(mine.index.intersection(other.index)):
        pair = compare(mine, other)
        shown += f" ({100 * pair.difference:+.1f}, {pair.wins}-{pair.losses})"
    return shown if len(mine) == n_tables else f"{shown} on {len(mine)}"


def value_table(
    frame: pd.DataFrame, value: str, by: str, methods: Sequence[str], worst: bool = False
) -> str:
    """Return the mean of a value over tables, and its largest; methods without it are left out."""
    by_table = frame.groupby(["method", by, "table"])[value].mean().dropna()
    known = set(by_table.index.get_level_values("method"))
    cells = list(dict.fromkeys(frame[by]))
    rows = []
    for method in (method for method in methods if method in known):
        values = [_of(by_table, method, cell) for cell in cells]
        shown = [f"{v.mean():.1f} ({v.max():.1f})" if worst else f"{v.mean():.1f}" for v in values]
        rows.append([method, *("-" if v.empty else s for v, s in zip(values, shown, strict=True))])
    return markdown(["", *(f"{by}={cell}" for cell in cells)], rows)


def failures(frame: pd.DataFrame) -> list[str]:
    """Return one line for each method that failed somewhere."""
    failed = frame.dropna(subset=["error"])
    lines = []
    for method, part in failed.groupby("method", sort=False):
        where = ", ".join(dict.fromkeys(part["table"]))
        lines.append(f"- {method} failed on {where}: {part['error'].iloc[0]}")
    return lines
