"""Draw a small picture for each table of the page of benchmarks, wide enough for a telephone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench.report.markdown import task_means

WIDTH = 4.3  # inches: at 390 pixels letters stay legible
NOT_BASELINES = ("in-context", "closed-form")
OURS_OF_ONE_TABLE = ("process", "closed-form", "cnp", "anp", "density", "variance", "error")
KINDS = {"real": "real anomalies", "one": "one value of another row", "all": "all values of others"}
NOISE = {  # title -> noise, labelled anomalies, what wins back
    "a tenth are\nanomalies": ("10 % hidden", 0, "robust, cleaned"),
    "a fifth are\nanomalies": ("20 % hidden", 0, "robust, cleaned"),
    "a tenth of labels\nare wrong": ("10 % turned", 5, "all cleaned"),
}
FAMILIES = {
    "pump": "probabilities_skab", "ViT": "probabilities_mvtec_vit",
    "ResNet": "probabilities_mvtec_resnet", "27 tables": "probabilities_adbench",
}  # fmt: skip


def panels(n: int, height: float, **how: Any) -> tuple[Any, list[Any]]:
    """Make axes one below the other."""
    import matplotlib.pyplot as plt

    size = (WIDTH, n * height)
    figure, axes = plt.subplots(n, 1, figsize=size, layout="constrained", squeeze=False, **how)
    return figure, list(axes[:, 0])


def draw_lines(ax: Any, lines: Mapping[str, Sequence[float]], ticks: Sequence[Any]) -> None:
    """Draw a line for each name, with its name in the legend."""
    for name, values in lines.items():
        ax.plot(range(len(ticks)), values, "o-", ms=4, label=name)
    ax.set(xticks=range(len(ticks)), xticklabels=ticks)
    ax.grid(axis="y", alpha=0.3)


def draw_bars(
    ax: Any, bars: Mapping[str, Sequence[float]], groups: Sequence[str], digits: int = 3
) -> None:
    """Draw bars side by side, a group for each title, with their heights above."""
    width = 0.8 / len(bars)
    for i, (name, values) in enumerate(bars.items()):
        where = np.arange(len(groups)) + (i - (len(bars) - 1) / 2) * width
        drawn = ax.bar(where, values, width, label=name)
        ax.bar_label(drawn, [f"{v:.{digits}f}".lstrip("0") for v in values], fontsize="small")
    ax.set(xticks=range(len(groups)), xticklabels=groups)
    ax.margins(y=0.15)


def legend(ax: Any, n_columns: int = 2) -> None:
    """Put the legend above the axes."""
    ax.legend(
        frameon=False, fontsize="small", ncols=n_columns, loc="lower left", bbox_to_anchor=(0, 1.0)
    )


def table_few_shot(folder: Path) -> Any:
    """Draw our mean and the best of the others, in each cell."""
    frame = pd.read_csv(folder / "tables_few_shot.csv")
    figure, axes = panels(2, 2.3)
    for ax, (metric, title) in zip(
        axes, {"auc": "ROC AUC", "ap": "average precision"}.items(), strict=True
    ):
        means = task_means(frame, metric).groupby("method").mean()
        best = means.drop(index=list(NOT_BASELINES)).max()
        ours = means.loc["in-context"]
        cells = [f"{n},{k}" for n, k in means.columns]
        draw_lines(ax, {"InContextDetector": ours, "best of 19 others": best}, cells)
        ax.set_ylabel(title)
    legend(axes[0])
    axes[1].set_xlabel("normal rows, labelled anomalies")
    return figure


def table_many_normals(folder: Path) -> Any:
    """Draw what ranks best where many normal rows are known."""
    methods = {
        "tables_one_class": {
            "InContextDetector": "in-context", "nearest row": "knn1_scaled",
            "PyOD KNN": "pyod_knn_scaled",
        },
        "tables_halves": {
            "InContextDetector": "in-context", "best published": None, "nearest row": "knn1_scaled",
        },
    }  # fmt: skip
    figure, axes = panels(2, 2.4, sharey=True)
    titles = "up to 1000 normal rows", "half of the normal rows"
    for ax, title, (name, shown) in zip(axes, titles, methods.items(), strict=True):
        frame = pd.read_csv(folder / f"{name}.csv")
        bars = {}
        for metric, label in {"auc": "ROC AUC", "ap": "average precision"}.items():
            means = task_means(frame, metric).groupby("method").mean().iloc[:, 0]
            published = means[means.index.str.startswith("(")].max()
            bars[label] = [published if m is None else means[m] for m in shown.values()]
        draw_bars(ax, bars, list(shown))
        ax.set_xlabel(title)
    legend(axes[0])
    return figure


def table_relations(folder: Path) -> Any:
    """Draw detectors that know nothing but normal rows of one table, by their number."""
    frame = pd.read_csv(folder / "dependencies.csv")
    by_table = frame.groupby(["kind", "method", "n", "table"]).auc.mean()
    means = 100.0 * by_table.groupby(level=["kind", "method", "n"]).mean()
    figure, axes = panels(3, 2.1)
    for ax, (kind, title) in zip(axes, KINDS.items(), strict=True):
        table = means[kind].unstack("n")
        not_others = [*OURS_OF_ONE_TABLE, "PyOD KNN", "known relation"]
        others = table.drop(index=not_others, errors="ignore")
        lines = {"NeuralProcessDetector": table.loc["process"]}
        lines |= {"PyOD KNN": table.loc["PyOD KNN"], "best of nine others": others.max()}
        draw_lines(ax, lines, list(table.columns))
        ax.set_ylabel(f"{title}\nROC AUC x 100", fontsize="small")
    legend(axes[0], 1)
    axes[-1].set_xlabel("normal rows")
    return figure


def table_missing_values(folder: Path) -> Any:
    """Draw what is left where a fifth of the entries is missing."""
    frame = pd.read_csv(folder / "missing_values.csv")
    frame = frame[(frame.missing == "entries") & frame.kind.isin(["real", "all"])]
    by_table = frame.groupby(["kind", "method", "table"]).auc.mean()
    means = 100.0 * by_table.groupby(["kind", "method"]).mean()
    imputers = [m for m in means["real"].index if m.endswith("Imputer, PyOD KNN")]
    bars = {
        "NeuralProcessDetector": [means[kind]["process"] for kind in ("real", "all")],
        "best imputer, KNN": [means[kind][imputers].max() for kind in ("real", "all")],
        "means filled in, KNN": [means[kind]["mean, PyOD KNN"] for kind in ("real", "all")],
    }
    figure, (ax,) = panels(1, 2.9)
    draw_bars(ax, bars, ["real anomalies", "relations break"], digits=1)
    ax.set(ylabel="ROC AUC x 100", ylim=(50.0, 100.0))
    legend(ax, 1)
    return figure


def table_best_f1(folder: Path) -> Any:
    """Draw the share of the best F1 that the default threshold reaches."""
    frame = pd.read_csv(folder / "decisions.csv")
    frame = frame[(frame.detector == "InContextDetector") & (frame.threshold == "auto")]
    means = frame.groupby("k")[["f1", "best f1"]].mean()
    figure, (ax,) = panels(1, 2.4)
    draw_lines(ax, {"default threshold": means["f1"] / means["best f1"]}, list(means.index))
    ax.set(ylim=(0.0, 1.0), xlabel="labelled anomalies", ylabel="share of the best F1")
    return figure


def table_noise(folder: Path) -> Any:
    """Draw what noise costs and what the options win back, on two families."""
    figure, axes = panels(2, 2.4)
    for ax, (family, title) in zip(
        axes, {"skab": "water pump", "mvtec_vit": "ViT embeddings"}.items(), strict=True
    ):
        frame = pd.read_csv(folder / f"noise_{family}.csv")
        by_task = frame.groupby(["k", "noise", "setting", "task"]).auc.mean()
        mean = by_task.groupby(level=["k", "noise", "setting"]).mean()
        lost = [mean[k, "none", "as it is"] - mean[k, n, "as it is"] for n, k, _ in NOISE.values()]
        won = [mean[k, n, how] - mean[k, n, "as it is"] for n, k, how in NOISE.values()]
        draw_bars(ax, {"lost": lost, "won back": won}, list(NOISE))
        ax.set_ylabel(f"{title}\nROC AUC", fontsize="small")
        ax.tick_params(axis="x", labelsize="small")
    legend(axes[0])
    return figure


def table_probabilities(folder: Path) -> Any:
    """Draw Brier scores on held-out tasks, by family."""
    columns = {}
    for family, name in FAMILIES.items():
        frame = pd.read_csv(folder / f"{name}.csv")
        ours = frame.method.str.startswith("ProtoNetDetector")
        by_task = frame[ours | (frame.method == "constant")].groupby(["way", "task"]).brier.mean()
        columns[family] = by_task.groupby(level="way").mean()
    table = pd.DataFrame(columns)
    ways = {
        "ProtoNetDetector": "own", "PyOD linear": "linear", "PyOD unify": "unify",
        "constant": "share of anomalies",
    }  # fmt: skip
    figure, (ax,) = panels(1, 2.8)
    for (name, way), marker in zip(ways.items(), "os^x", strict=True):
        ax.plot(range(len(table.columns)), table.loc[way], marker, ls="", label=name)
    ax.set(xticks=range(len(table.columns)), xticklabels=table.columns)
    ax.set(ylabel="Brier score, smaller is better", ylim=(0.0, 0.25))
    ax.grid(axis="y", alpha=0.3)
    legend(ax)
    return figure


DRAWN = (
    table_few_shot, table_many_normals, table_relations, table_missing_values, table_best_f1,
    table_noise, table_probabilities,
)  # fmt: skip
