"""Write the tables of distilled detectors."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from bench.report.markdown import markdown
from bench.speed.distil import SIZES

ENOUGH, FAR_OFF = 0.98, 0.97
KEYS = ["family", "detector", "n", "k"]
ABOUT = (
    "Each detector is fitted to n normal rows and k labelled anomalies and distilled with the "
    "default settings but `min_agreement`, which refuses nothing here. Rank correlation is "
    "Spearman's, of the scores of the detector and of its copy, on rows of the task that neither "
    f"has seen. A copy is accepted if it reports {ENOUGH} or more. Nothing is meta-fitted."
)
ABOUT_REPORTED = (
    "What copies report of themselves, from made rows, beside the rank correlation on real rows."
)
ABOUT_GIVEN = (
    "The same detectors and rows to test on, distilled with 300 later rows, or half of those there "
    "are, without labels, and without."
)
ABOUT_SPEED = (
    "Processor time of one call of `decision_function`, us a row, validation included, medians "
    "over tasks and supports; the methods take turns. PyOD's KNN is fitted to the normal rows of "
    "the support. `slower` is the share of supports on which the copy takes longer than KNN. "
    "Copies of the first detector on all tasks; the detectors themselves on three of a family."
)
ABOUT_SIZE = "KiB of the pickles, medians over supports, and processor time of `distil`."


def report(frame: pd.DataFrame, speed: pd.DataFrame) -> str:
    """Return the sections."""
    made = frame[~frame["given"]]
    parts = [
        ABOUT,
        "## Agreement",
        agreement(made),
        "## Does a copy know how well it agrees?",
        ABOUT_REPORTED,
        honesty(made),
        *given_rows(frame),
        "## Time",
        ABOUT_SPEED,
        times(speed),
        "## Size",
        ABOUT_SIZE,
        sizes(made),
    ]
    return "\n\n".join(parts)


def agreement(made: pd.DataFrame) -> str:
    """Return agreement, loss of ROC AUC and labels, by family, detector and support."""
    lines = []
    for key, part in made.groupby(KEYS, sort=False):
        accepted = part[part["reported"] >= ENOUGH]
        lines.append(
            [
                *map(str, key),
                f"{len(accepted)} of {len(part)}",
                _mean(accepted["correlation"]),
                _mean(accepted["auc"] - accepted["auc_of_copy"], "+.4f"),
                _mean(part["correlation"]),
                _mean(part["auc"] - part["auc_of_copy"], "+.4f"),
                f"{part['alarms'].mean():.3f} {part['alarms_of_copy'].mean():.3f}",
                _mean(part["same_label"]),
            ]
        )
    header = [*KEYS, "accepted", "their rank correlation", "their loss of ROC AUC"]
    header += ["rank correlation, all", "loss of ROC AUC, all", "false alarms", "same label"]
    return markdown(header, lines)


def honesty(made: pd.DataFrame) -> str:
    """Return how the real rank correlation is distributed, by the reported one."""
    bounds = [-1.0, 0.9, 0.95, 0.97, 0.98, 0.99, 1.0]
    lines = []
    for low, high in itertools.pairwise(bounds):
        part = made[(made["reported"] >= low) & (made["reported"] < (high if high < 1 else 2))]
        if len(part):
            real = part["correlation"]
            lines.append(
                [
                    f"{max(low, 0):g} to {high:g}",
                    str(len(part)),
                    _mean(part["reported"]),
                    f"{real.mean():.3f}",
                    f"{real.quantile(0.1):.3f}",
                    f"{real.min():.3f}",
                    f"{(real >= ENOUGH).sum()}",
                    f"{(real < FAR_OFF).sum()}",
                ]
            )
    header = ["reported", "copies", "reported, mean", "real, mean", "real, 10 % below"]
    return markdown([*header, "real, lowest", f"real >= {ENOUGH}", f"real < {FAR_OFF}"], lines)


def given_rows(frame: pd.DataFrame) -> list[str]:
    """Return the section of later rows; empty where none were given."""
    asked = frame.groupby(["family", "detector"])["given"].transform("any")
    part = frame[asked]
    if not len(part):
        return []
    lines = []
    for key, group in part.groupby([*KEYS, "given"], sort=False):
        error = group["reported"] - group["correlation"]
        accepted = group["reported"] >= ENOUGH
        lines.append(
            [
                *map(str, key[:-1]),
                "yes" if key[-1] else "no",
                f"{accepted.sum()} of {len(group)}",
                _mean(group["correlation"]),
                _mean(group["auc"] - group["auc_of_copy"], "+.4f"),
                f"{error.mean():+.3f}",
                f"{np.abs(error).mean():.3f}",
            ]
        )
    header = [*KEYS, "later rows given", "accepted", "rank correlation", "loss of ROC AUC"]
    header += ["reported minus real", "its mean size"]
    return ["## With later rows", ABOUT_GIVEN, markdown(header, lines)]


def times(speed: pd.DataFrame) -> str:
    """Return the times for several numbers of rows, by family, support and network."""
    lines = []
    for (family, n, hidden), part in speed.groupby(["family", "n", "hidden"], sort=False):
        own = part.groupby("detector", sort=False).median(numeric_only=True)
        for size in SIZES:
            copy, knn = part[f"copy_{size}"], part[f"knn_{size}"]
            detectors = own.get(f"detector_{size}", [])
            lines.append(
                [
                    family,
                    str(n),
                    hidden,
                    f"{size:,}",
                    f"{copy.median():.3g}",
                    f"{knn.median():.3g}",
                    f"{(copy / knn).median():.2f}",
                    f"{100 * (copy > knn).mean():.0f} %",
                    ", ".join(f"{value:.3g}" for value in detectors),
                ]
            )
    names = ", ".join(str(name) for name in speed["detector"].unique())
    header = ["family", "n", "network", "rows", "copy", "KNN", "copy / KNN", "slower"]
    return markdown([*header, f"detectors: {names}"], lines)


def sizes(made: pd.DataFrame) -> str:
    """Return the sizes of pickles, the networks and the time of ``distil``."""
    lines = [
        [
            family,
            detector,
            f"{part['kib'].median():.0f}",
            f"{part['kib_of_copy'].median():.0f}",
            f"{100 * (part['hidden'] == '32-32').mean():.0f} %",
            f"{part['seconds'].median():.1f}",
        ]
        for (family, detector), part in made.groupby(["family", "detector"], sort=False)
    ]
    header = ["family", "detector", "detector", "copy", "networks of 32-32", "distil, s"]
    return markdown(header, lines)


def _mean(values: pd.Series, digits: str = ".3f") -> str:
    return format(values.mean(), digits) if len(values) else ""
