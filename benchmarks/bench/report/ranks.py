"""Rank methods over tables, and tell which differences are more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from bench.report.markdown import METRICS, TIE, markdown, number
from scipy.stats import studentized_range, wilcoxon


def complete(values: pd.DataFrame) -> pd.DataFrame:
    """Return (table, method) of one cell, of methods that were measured on all tables."""
    return values.dropna(axis=1, how="any")


def ranks_table(values: pd.DataFrame) -> pd.DataFrame:
    """Rank methods on each table, 1 = best; equal values share their mean rank."""
    return values.rank(axis=1, ascending=False)


def against(values: pd.DataFrame, method: str, other: str) -> str:
    """Say how a method stands to another over tables: difference, wins-losses, Wilcoxon's p."""
    difference = (values[method] - values[other]).to_numpy()
    wins, losses = (difference > TIE).sum(), (difference < -TIE).sum()
    p = wilcoxon(difference).pvalue if difference.any() else 1.0
    return f"{difference.mean():+.3f} {wins}-{losses} p={p:.3f}"


def ranks_report(frame: pd.DataFrame, metric: str, title: str, detectors: Sequence[str]) -> str:
    """Return mean ranks and wins in each cell, and detectors paired with the best of the others.

    Parameters
    ----------
    frame : DataFrame
        Measured rows.
    metric : {"auc", "ap"}
    title : str
        Name of the metric.
    detectors : sequence of str
        Methods to pair with the best other one by its mean; Wilcoxon's p is not corrected for
        the number of comparisons.
    """
    columns, cells = {}, []
    pairs = []
    for (n, k), part in frame.groupby(["n", "k"]):
        values = complete(part.pivot_table(index="task", columns="method", values=metric))
        ranks, best = ranks_table(values).mean(), values.eq(values.max(axis=1), axis=0).sum()
        cells.append(f"{n},{k}")
        columns[cells[-1]] = {m: f"{ranks[m]:.1f} ({best[m]})" for m in values.columns}
        others = values.drop(columns=[d for d in detectors if d in values]).mean()
        if others.empty:
            continue
        pairs += [
            [cells[-1], d, number(values[d].mean()), str(others.idxmax()), number(others.max()),
             against(values, d, str(others.idxmax()))]
            for d in detectors if d in values
        ]  # fmt: skip
    wide = pd.DataFrame(columns).fillna("-")
    order = wide[cells[0]].map(lambda shown: np.inf if shown == "-" else float(shown.split()[0]))
    rows = [[m, *wide.loc[m]] for m in order.sort_values(kind="stable").index]
    titles = ["n,k", "detector", "mean", "best of the others", "its mean", "difference wins-losses"]
    return "\n".join([
        f"### {title}: mean rank over tables (tables on which it is the best)", "",
        markdown(["method", *cells], rows), "",
        f"### {title}: paired over tables, Wilcoxon's p", "", markdown(titles, pairs),
    ])  # fmt: skip


def critical_difference(n_methods: int, n_tables: int, level: float = 0.05) -> float:
    """Return the smallest difference of mean ranks that Nemenyi's test calls one [1]_.

    Examples
    --------
    >>> round(critical_difference(4, 14), 2)  # 2.569 * sqrt(4 * 5 / (6 * 14))
    1.25

    References
    ----------
    .. [1] J. Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7,
       2006.
    """
    q = studentized_range.ppf(1 - level, n_methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(n_methods * (n_methods + 1) / (6 * n_tables)))


def rank_figure(
    frame: pd.DataFrame, metric: str, cell: tuple[int, int], detectors: Sequence[str], path: Path
) -> None:
    """Draw mean ranks, each with half the critical difference to both sides.

    Methods whose bars do not touch differ.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    part = frame[(frame.n == cell[0]) & (frame.k == cell[1])]
    values = complete(part.pivot_table(index="task", columns="method", values=metric))
    ranks = ranks_table(values).mean().sort_values(ascending=False)
    half = critical_difference(len(ranks), len(values)) / 2
    figure, ax = plt.subplots(figsize=(7, 0.28 * len(ranks) + 1.2), layout="constrained")
    for at, (method, rank) in enumerate(ranks.items()):
        colour = "tab:orange" if method in detectors else "tab:blue"
        ax.errorbar(rank, at, xerr=half, fmt="o", color=colour, capsize=3)
    ax.set_yticks(range(len(ranks)), list(ranks.index))
    ax.grid(axis="x", alpha=0.3)
    ax.set_xlabel(f"mean rank by {METRICS[metric]} over {len(values)} tables (1 = best)")
    ax.set_title(f"{cell[0]} normals, {cell[1]} labelled anomalies; bars: critical difference")
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)
