"""Draw the pictures of the pages out of the results: nothing is measured."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench.report.markdown import task_means
from bench.report.records import Result
from bench.report.small_pictures import DRAWN, legend, panels

FAMILIES = {  # title -> files: of the baselines and, by name, of the detectors
    title: (
        f"{stem}.csv",
        {
            "ProtoNet": (f"{stem}_maml.csv", "ProtoNetDetector"),
            "MAML": (f"{stem}_maml.csv", "MAMLDetector"),
            "InContext": (f"{stem}_in_context.csv", "in-context"),
            "NeuralProcess": (process, "tnp"),
        },
    )
    for title, stem, process in (
        ("10 product categories, ViT", "mvtec_vit_random", "mvtec_vit_process.csv"),
        ("10 product categories, ResNet", "mvtec_resnet_random", "mvtec_resnet_process.csv"),
        ("24 recordings of a water pump", "skab_random", "skab_random_process.csv"),
    )
} | {
    "27 unrelated tables, no meta_fit": (
        "adbench.csv",
        {
            "ProtoNet": ("adbench.csv", "ProtoNetDetector"),
            "InContext": ("adbench_in_context.csv", "InContextDetector"),
            "NeuralProcess": ("adbench_process.csv", "closed-form"),
        },
    )
}
SINGLE = {  # name of the picture of one family -> its title and files
    "family_pump": "24 recordings of a water pump",
    "family_groups": (
        "the pump, whole groups left out",
        (
            "skab_groups.csv",
            {
                "ProtoNet": ("skab_groups_maml.csv", "ProtoNetDetector"),
                "MAML": ("skab_groups_maml.csv", "MAMLDetector"),
                "NeuralProcess": ("skab_groups_process.csv", "tnp"),
            },
        ),
    ),
    "family_vit": "10 product categories, ViT",
    "family_resnet": "10 product categories, ResNet",
    "family_tables": "27 unrelated tables, no meta_fit",
}
OURS = ("ProtoNetDetector", "textbook")
COLOURS = {"ProtoNet": "C0", "MAML": "C1", "InContext": "C2", "NeuralProcess": "C3"}
GAINS = -0.08, 0.03  # the same for all families
METRICS = {"auc": "ROC AUC", "ap": "average precision"}


def options(parser: argparse.ArgumentParser) -> None:
    """Add no option: the folder of results is all that pictures need."""


def run(args: argparse.Namespace) -> Sequence[Result]:
    """Draw the headline figures out of what the benchmarks wrote."""
    import matplotlib as mpl

    mpl.use("Agg")
    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        for draw in (families, few_labels, false_alarms, *DRAWN):
            save(draw(args.results), args.results / f"{draw.__name__}.png")
        for name, about in SINGLE.items():
            title, files = (about, FAMILIES[about]) if isinstance(about, str) else about
            save(one_family(args.results, title, files), args.results / f"{name}.png")
    return ()


def save(figure: Any, path: Path) -> None:
    """Write a picture, and forget it."""
    import matplotlib.pyplot as plt

    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def families(folder: Path) -> Any:
    """Draw the mean ROC AUC of each detector minus that of the best baseline, in every cell."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 6), layout="constrained", sharey=True)
    for ax, (title, files) in zip(axes.flat, FAMILIES.items(), strict=True):
        draw_gains(ax, ahead_of_baselines(folder, *files))
        ax.set_title(title)
    axes[0, 0].legend(frameon=False, ncols=2, fontsize="small")
    figure.supxlabel("normal rows, labelled anomalies in the support")
    figure.supylabel("ROC AUC minus that of the best baseline of the cell")
    return figure


def one_family(folder: Path, title: str, files: Any) -> Any:
    """Draw the gains over the best baseline in one family, beside those of the others."""
    figure, (ax,) = panels(1, 2.9)
    draw_gains(ax, ahead_of_baselines(folder, *files))
    ax.set(ylim=GAINS, xlabel="normal rows, labelled anomalies", ylabel="ROC AUC - best baseline")
    ax.set_title(title, fontsize="medium", loc="left", pad=34)
    legend(ax)
    return figure


def draw_gains(ax: Any, gains: Mapping[str, pd.Series]) -> None:
    """Draw a line for each detector, by cell, and the baseline at zero."""
    for name, values in gains.items():
        ax.plot(range(len(values)), values, "o-", ms=4, label=name, color=COLOURS[name])
    ax.axhline(0.0, color="black", lw=1)
    labels = [f"{n},{k}" for n, k in next(iter(gains.values())).index]
    ax.set(xticks=range(len(labels)), xticklabels=labels)
    ax.grid(axis="y", alpha=0.3)


def ahead_of_baselines(
    folder: Path, baselines: str, detectors: Mapping[str, tuple[str, str]]
) -> Mapping[str, pd.Series]:
    """Return the mean ROC AUC of each detector minus the best baseline's, by cell."""

    def means(name: str) -> pd.DataFrame:
        return task_means(pd.read_csv(folder / name), "auc").groupby("method").mean()

    best = means(baselines).drop(index=list(OURS), errors="ignore").max()
    return {name: means(file).loc[method] - best for name, (file, method) in detectors.items()}


def few_labels(folder: Path) -> Any:
    """Draw our mean beside the best published ones, by the number of labelled anomalies."""
    frame = pd.read_csv(folder / "tables_few_labels.csv")
    figure, axes = panels(2, 2.9)
    for ax, (metric, title) in zip(axes, METRICS.items(), strict=True):
        means = task_means(frame, metric).groupby("method").mean()
        published = means[means.index.str.startswith("(")]
        shown = published.mean(axis=1).nlargest(5).index
        ours = means.loc["in-context"].to_numpy()
        ax.plot(ours, "o-", ms=4, color=COLOURS["InContext"], label="InContext")
        for name in shown:
            ax.plot(means.loc[name].to_numpy(), "o--", ms=3, lw=1, label=name.strip("()"))
        ax.set(xticks=range(3), xticklabels=[k for _, k in means.columns])
        ax.set(xlabel="labelled anomalies", ylabel=title, xlim=(-0.2, 2.2))
        ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def false_alarms(folder: Path) -> Any:
    """Draw the share of fresh normal rows that is flagged, beside the share promised."""
    parts = [pd.read_csv(folder / f"false_alarms{end}.csv") for end in ("", "_others")]
    means = pd.concat(parts).groupby(["detector", "threshold", "n"]).alarms.mean()
    promised = {"conformal, alpha=0.05": 0.05, "conformal, alpha=0.1": 0.1, "its default": 0.1}
    figure, axes = panels(3, 2.3, sharey=True)
    for ax, (threshold, rate) in zip(axes, promised.items(), strict=True):
        for detector, values in means.xs(threshold, level="threshold").groupby("detector"):
            ax.plot(range(len(values)), values.to_numpy(), "o-", ms=4, label=detector)
        ax.axhline(rate, color="black", ls="--", lw=1)
        n = np.unique(means.index.get_level_values("n"))
        ax.set(xticks=range(len(n)), xticklabels=n, ylim=(0.0, 0.26))
        ax.set_title(threshold, fontsize="medium", loc="left")
        ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes[1].set(ylabel="fresh normal rows flagged")
    axes[2].set(xlabel="normal rows")
    return figure
