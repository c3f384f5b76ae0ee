"""Measure what noise in a support costs, and what the options against it win back.

Tasks of a family are left out in folds; a detector is meta-fitted on the others, with and without
``support_contamination``. Each support of a task left out is given as it is, with some of its
normal rows replaced by anomalies, and with some of its labels turned, and the detector is fitted to
each with and without ``clean_support``.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench.methods.detectors import Spec, meta_training_tasks
from bench.options import add_detectors, add_options
from bench.protocols.families import Task, load_family, make_folds
from bench.protocols.noise import CLEAN, Support, supports, with_turned_labels
from bench.report.records import Result
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

PLAIN = "as it is"
CLEANING: dict[str, Any] = {PLAIN: False, "cleaned": True, "all cleaned": "all"}
ROBUST = "robust"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of noise."""
    add_options(parser, "data", "label", n=50, k=[0, 5], draws=2, max_query=400, seed=0)
    add_detectors(parser)
    parser.add_argument(
        "--as-is", nargs="*", default=[], metavar="LABEL", help="detectors not to meta-fit"
    )
    parser.add_argument(
        "--support-contamination", type=float, default=0.2, help="0: no robust training"
    )
    parser.add_argument(
        "--turned-in-tasks",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of the labels of the tasks given to meta_fit",
    )
    parser.add_argument("--folds", type=int, help="only so many of the five")
    parser.add_argument("--states", type=Path, help="folder of meta-learned states to take up")


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure what noise in a support costs, and what the options against it win back."""
    warnings.simplefilter("ignore", UserWarning)
    tasks = load_family(args.data)
    rows: list[dict[str, Any]] = []
    name = args.label or f"noise_{args.data.name}"
    for spec in args.detector:
        rows += measured(args, tasks, spec)
        frame = pd.DataFrame(rows)
        title = f"Noise in the support: {args.data.name}"
        yield Result(name, title, report(frame, args), frame, digits="%.5f")


def measure(
    detector: Any, support: Support, query_X: np.ndarray, query_y: np.ndarray
) -> dict[str, float]:
    """Fit to one support and judge the query; count the rows that were left out."""
    start = time.perf_counter()
    detector.fit(support.X, np.where(support.y == 1, -1, 1) if support.y.any() else None)
    scores = detector.decision_function(query_X)
    left_out = ~detector.support_kept_
    return {
        "auc": roc_auc_score(query_y, -scores),
        "alarms": float((scores[query_y == 0] < 0).mean()),
        "recall": float((scores[query_y == 1] < 0).mean()),
        "dropped": int(left_out.sum()),
        "dropped_wrong": int((left_out & support.wrong).sum()),
        "seconds": time.perf_counter() - start,
    }


def make(spec: Spec, seed: int) -> Any:
    """Make a fresh detector, its random state the seed of the run unless it has one."""
    detector = spec.make()
    return detector if detector.random_state is not None else detector.set_params(random_state=seed)


def meta_fitted(detector: Any, tasks: Sequence[Task], path: Path | None) -> Any:
    """Meta-fit a detector on tasks, or take the state that an earlier run has left."""
    if path is not None and path.exists():
        return detector.set_params(pretrained=str(path))
    detector.meta_fit(meta_training_tasks(tasks, "random"))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        detector.pretrained.save(path)
    return detector


def detectors(
    args: argparse.Namespace, tasks: Sequence[Task], spec: Spec
) -> Iterator[tuple[bool, Any, list[Task]]]:
    """Yield, for each fold, a detector and, if it is meta-fitted, one whose training was robust.

    Each comes with the tasks it has not seen.
    """
    by_name = {task.name: task for task in tasks}
    for i, fold in enumerate(make_folds(tasks, "random", args.seed)):
        if args.folds is not None and i >= args.folds:
            return
        train, test = ([by_name[name] for name in part] for part in (fold.train, fold.test))
        if spec.label in args.as_is:
            yield False, make(spec, args.seed), test
            continue
        train = [with_turned_labels(task, args.turned_in_tasks, args.seed) for task in train]
        for share in dict.fromkeys([0.0, args.support_contamination]):
            name = f"{args.data.name}_{spec.label}_{share:g}_{args.turned_in_tasks:g}_{i}"
            path = None if args.states is None else args.states / f"{name}.safetensors"
            detector = make(spec, args.seed).set_params(support_contamination=share)
            yield share > 0, meta_fitted(detector, train, path), test


def measured(
    args: argparse.Namespace, tasks: Sequence[Task], spec: Spec
) -> Iterator[dict[str, Any]]:
    """Yield a row for each support and each setting of one detector."""
    sizes = args.n, max(args.k), args.max_query
    for robust, detector, test in detectors(args, tasks, spec):
        for task, number, k in product(tqdm(test, spec.label), range(args.draws), args.k):
            found, *query = supports(task, args.seed, number, sizes[0], k, *sizes[1:])
            here = {"method": spec.label, "task": task.name, "draw": number, "k": k}
            for support, (cleaning, option) in product(found, CLEANING.items()):
                if option != "all" or k:
                    detector.set_params(clean_support=option)
                    how = {"noise": support.noise, "setting": setting(robust, cleaning)}
                    yield {**here, **how, **measure(detector, support, *query)}


def setting(robust: bool, cleaning: str) -> str:
    """Name a way to train and to fit."""
    if not robust:
        return cleaning
    return ROBUST if cleaning == PLAIN else f"{ROBUST}, {cleaning}"


def summary(part: pd.DataFrame) -> pd.DataFrame:
    """Sum up what noise costs a method and what each setting wins back."""
    by_task = part.groupby(["k", "noise", "setting", "task"])["auc"].mean()
    lines = []
    keys = ["k", "noise", "setting"]
    for k, noise, name in part[keys].drop_duplicates().sort_values("k", kind="stable").values:
        before, plain, found = by_task[k, CLEAN, PLAIN], by_task[k, noise, PLAIN], by_task[k, noise]
        loss, gain = float((before - plain).mean()), found[name] - plain
        noisy, won = noise != CLEAN, noise != CLEAN and name != PLAIN
        lines.append(
            {
                "k": k,
                "noise": noise,
                "setting": name,
                "AUC": f"{found[name].mean():.3f}",
                "lost": f"{loss:.3f}" if noisy and name == PLAIN else "",
                "gain": "" if name == PLAIN else f"{gain.mean():+.3f} ± {gain.sem():.3f}",
                "won back": f"{gain.mean() / loss:.0%}" if won and loss > 0.005 else "",
            }
        )
    order = list(dict.fromkeys(part["noise"]))
    return pd.DataFrame(lines).sort_values(
        ["k", "noise"], key=lambda c: c.map(order.index) if c.name == "noise" else c, kind="stable"
    )


def decisions(rows: pd.DataFrame) -> pd.DataFrame:
    """Average false alarms and recall of the default threshold, and rows left out."""
    columns = ["alarms", "recall", "dropped", "dropped_wrong"]
    means = rows.groupby(["method", "k", "noise", "setting"], sort=False)[columns].mean()
    return means.reset_index().sort_values(["method", "k"], kind="stable")


def report(rows: pd.DataFrame, args: argparse.Namespace) -> str:
    """Return the whole report."""
    parts = [
        f"Mean ROC AUC on {rows['task'].nunique()} tasks left out, {args.draws} draw(s) each: "
        f"supports of n={args.n} normal rows and k labelled anomalies. Hidden: that share of "
        "the normal rows is anomalies. Turned: that share of the labels, of either kind, is the "
        'other one. `cleaned`: `clean_support=True`; `all cleaned`: `clean_support="all"`; '
        f"`robust`: `support_contamination={args.support_contamination:g}` in `meta_fit`. "
        "`gain` is over the detector as it is, on the same rows, with the standard error over "
        "tasks; `won back` is its share of what noise costs, where that is more than .005."
    ]
    if args.turned_in_tasks:
        share = f"{args.turned_in_tasks:.0%}"
        parts += [f"In the tasks given to `meta_fit`, {share} of the labels of each kind is wrong."]
    for method, part in rows.groupby("method", sort=False):
        title = f"## {method} ({part['task'].nunique()} tasks)"
        parts += [title, summary(part).to_markdown(index=False, disable_numparse=True)]
    parts += [
        "## Decisions of the default threshold",
        "Share of fresh normals it flags, nominally .05 without labelled anomalies, and of "
        "anomalies; rows left out, and how many of these are not what they are labelled as.",
        decisions(rows).to_markdown(index=False, floatfmt=".3f"),
    ]
    return "\n\n".join(parts)
