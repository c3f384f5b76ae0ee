"""Markdown tables of what was measured on tables: means, and pairs table by table."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _report import TIE, compare, markdown
from quality import command_line

PACKAGES = ("numpy", "scikit-learn", "torch", "pyod")
ABOUT_CELLS = (
    f"mean AUC x 100 over tables (difference to {{}}, tables won-lost; |difference| <= {100 * TIE} "
    "is a tie). The best of a column is bold; what ran on fewer tables says on how many, and its "
    "difference is that on those."
)


def auc_table(frame: pd.DataFrame, by: str, reference: str, methods: Sequence[str]) -> str:
    """Mean AUC of each method against one of them.

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
    """Values of one method in one cell by table; empty where there are none."""
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
    """Mean of a value over tables, and its largest over tables; methods without it are left out."""
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
    """One line for each method that failed somewhere."""
    failed = frame.dropna(subset=["error"])
    lines = []
    for method, part in failed.groupby("method", sort=False):
        where = ", ".join(dict.fromkeys(part["table"]))
        lines.append(f"- {method} failed on {where}: {part['error'].iloc[0]}")
    return lines


def command(script: str, argv: Sequence[str]) -> str:
    """The command of a run as Markdown."""
    return "    " + command_line(script, argv)


def conditions() -> str:
    """The machine and the versions of what ran on it."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} CPUs ({platform.machine()}), one thread a fit; "
        f"Python {platform.python_version()}, {versions}."
    )


def write_results(folder: Path, name: str, text: str, frame: pd.DataFrame) -> None:
    """Write the report and the rows that it was made of."""
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text)
    frame.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
