r"""What noise in a support costs, and what the options against it win back.

Tasks of a family are left out in folds; a detector is meta-fitted on the others, with and without
``support_contamination``. Each support of a task left out is given as it is, with some of its
normal rows replaced by anomalies, and with some of its labels turned, and the detector is fitted to
each with and without ``clean_support``.

    python benchmarks/noise.py --data ../shared/data/skab --detector sklearn_fsad:ProtoNetDetector
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _detectors import Spec, meta_training_tasks
from _protocol import Task, draw_rows, load_family, make_folds, random_state_of
from _records import write
from quality import RESULTS, add_detectors, command_line
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

CLEAN, TURNED = "none", "10 % turned"
HIDDEN = {"10 % hidden": 0.1, "20 % hidden": 0.2}
TURNED_SHARE = 0.1
PLAIN = "as it is"
CLEANING: dict[str, Any] = {PLAIN: False, "cleaned": True, "all cleaned": "all"}
ROBUST = "robust"


class Support(NamedTuple):
    """A support as a detector gets it: the noise, its rows, their labels and which are wrong."""

    noise: str
    X: np.ndarray  # (n_support, n_features)
    y: np.ndarray  # (n_support,)
    wrong: np.ndarray  # (n_support,)


def supports(
    task: Task, seed: int, number: int, n: int, k: int, k_max: int, most_query: int
) -> tuple[list[Support], np.ndarray, np.ndarray]:
    """The supports of one draw with each noise, and the query, which is the same for all."""
    n_hidden = {noise: round(share * n) for noise, share in HIDDEN.items()}
    draw = draw_rows(task, seed, number, n, k_max + max(n_hidden.values()), most_query)
    rows, hidden = draw.support(n, k), draw.anomalies[k:]
    y = task.y[rows]
    rng = np.random.default_rng(random_state_of(seed, task.name, number, "noise"))
    normal = rng.permutation(np.flatnonzero(y == 0))
    made = [Support(CLEAN, task.X[rows], y, np.zeros(len(y), dtype=bool))]
    for noise, count in n_hidden.items():
        count = min(count, len(hidden))
        mixed = rows.copy()
        mixed[normal[:count]] = hidden[:count]
        made.append(Support(noise, task.X[mixed], y, task.y[mixed] != y))
    if k:
        told = y.copy()
        told[normal[: round(TURNED_SHARE * len(normal))]] = 1
        told[np.flatnonzero(y == 1)[: max(1, round(TURNED_SHARE * k))]] = 0
        made.append(Support(TURNED, task.X[rows], told, told != y))
    return made, task.X[draw.query], task.y[draw.query]


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
    """A fresh detector, its random state the seed of the run unless it has one."""
    detector = spec.make()
    return detector if detector.random_state is not None else detector.set_params(random_state=seed)


def with_turned_labels(task: Task, share: float, seed: int) -> Task:
    """A task in which a share of the labels, of either kind, is the other one."""
    rng = np.random.default_rng(random_state_of(seed, task.name, 0, "turned labels"))
    y = task.y.copy()
    for label in (0, 1):
        rows = rng.permutation(np.flatnonzero(task.y == label))
        y[rows[: round(share * len(rows))]] = 1 - label
    return replace(task, y=y)


def meta_fitted(detector: Any, tasks: Sequence[Task], path: Path | None) -> Any:
    """A detector meta-fitted on tasks, or with the state that an earlier run has left."""
    if path is not None and path.exists():
        return detector.set_params(pretrained=str(path))
    detector.meta_fit(meta_training_tasks(tasks, "random"))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        detector.pretrained.save(path)
    return detector


def detectors(
    options: argparse.Namespace, tasks: Sequence[Task], spec: Spec
) -> Iterator[tuple[bool, Any, list[Task]]]:
    """For each fold a detector and, where it is meta-fitted, one whose training was robust.

    Each with the tasks it has not seen.
    """
    by_name = {task.name: task for task in tasks}
    for i, fold in enumerate(make_folds(tasks, "random", options.seed)):
        if options.folds is not None and i >= options.folds:
            return
        train, test = ([by_name[name] for name in part] for part in (fold.train, fold.test))
        if spec.label in options.as_is:
            yield False, make(spec, options.seed), test
            continue
        train = [with_turned_labels(task, options.turned_in_tasks, options.seed) for task in train]
        for share in dict.fromkeys([0.0, options.support_contamination]):
            name = f"{options.data.name}_{spec.label}_{share:g}_{options.turned_in_tasks:g}_{i}"
            path = None if options.states is None else options.states / f"{name}.safetensors"
            detector = make(spec, options.seed).set_params(support_contamination=share)
            yield share > 0, meta_fitted(detector, train, path), test


def run(options: argparse.Namespace, tasks: Sequence[Task], spec: Spec) -> Iterator[dict[str, Any]]:
    """Yield a row for each support and each setting of one detector."""
    for robust, detector, test in detectors(options, tasks, spec):
        for task in tqdm(test, spec.label):
            for number, k in product(range(options.draws), options.k):
                found, *query = supports(
                    task, options.seed, number, options.n, k, max(options.k), options.max_query
                )
                for support in found:
                    for cleaning, option in CLEANING.items():
                        if option == "all" and not k:
                            continue
                        detector.set_params(clean_support=option)
                        yield {
                            "method": spec.label,
                            "task": task.name,
                            "draw": number,
                            "k": k,
                            "noise": support.noise,
                            "setting": setting(robust, cleaning),
                            **measure(detector, support, *query),
                        }


def setting(robust: bool, cleaning: str) -> str:
    """Name of a way to train and to fit."""
    if not robust:
        return cleaning
    return ROBUST if cleaning == PLAIN else f"{ROBUST}, {cleaning}"


def summary(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    """What noise costs a method and what each setting wins back, one line a noise and setting."""
    part = rows[rows["method"] == method]
    by_task = part.groupby(["k", "noise", "setting", "task"])["auc"].mean()
    lines = []
    keys = ["k", "noise", "setting"]
    for k, noise, name in part[keys].drop_duplicates().sort_values("k", kind="stable").values:
        before, plain, found = by_task[k, CLEAN, PLAIN], by_task[k, noise, PLAIN], by_task[k, noise]
        loss, gain = float((before - plain).mean()), found[name] - plain
        noisy = noise != CLEAN
        lines.append(
            {
                "k": k,
                "noise": noise,
                "setting": name,
                "AUC": f"{found[name].mean():.3f}",
                "lost": f"{loss:.3f}" if noisy and name == PLAIN else "",
                "gain": "" if name == PLAIN else f"{gain.mean():+.3f} ± {gain.sem():.3f}",
                "won back": f"{gain.mean() / loss:.0%}"
                if noisy and name != PLAIN and loss > 0.005
                else "",
            }
        )
    order = list(dict.fromkeys(part["noise"]))
    return pd.DataFrame(lines).sort_values(
        ["k", "noise"], key=lambda c: c.map(order.index) if c.name == "noise" else c, kind="stable"
    )


def decisions(rows: pd.DataFrame) -> pd.DataFrame:
    """False alarms and recall of the default threshold, and how many rows were left out."""
    columns = ["alarms", "recall", "dropped", "dropped_wrong"]
    means = rows.groupby(["method", "k", "noise", "setting"], sort=False)[columns].mean()
    return means.reset_index().sort_values(["method", "k"], kind="stable")


def report(rows: pd.DataFrame, options: argparse.Namespace, argv: Sequence[str]) -> str:
    """Return the whole report."""
    methods = list(dict.fromkeys(rows["method"]))
    lines = [
        f"# Noise in the support: {options.data.name}",
        "",
        f"    {command_line('noise', without_storage(argv))}",
        "",
        f"Mean ROC AUC on {rows['task'].nunique()} tasks left out, {options.draws} draw(s) each: "
        f"supports of n={options.n} normal rows and k labelled anomalies. Hidden: that share of "
        "the normal rows is anomalies. Turned: that share of the labels, of either kind, is the "
        'other one. `cleaned`: `clean_support=True`; `all cleaned`: `clean_support="all"`; '
        f"`robust`: `support_contamination={options.support_contamination:g}` in `meta_fit`. "
        "`gain` is over the detector as it is, on the same rows, with the standard error over "
        "tasks; `won back` is its share of what noise costs, where that is more than .005.",
    ]
    if options.turned_in_tasks:
        share = f"{options.turned_in_tasks:.0%}"
        lines += [
            "",
            f"In the tasks given to `meta_fit`, {share} of the labels of each kind is wrong.",
        ]
    for method in methods:
        n_tasks = rows[rows["method"] == method]["task"].nunique()
        table = summary(rows, method).to_markdown(index=False, disable_numparse=True)
        lines += ["", f"## {method} ({n_tasks} tasks)", "", table]
    table = decisions(rows).to_markdown(index=False, floatfmt=".3f")
    lines += [
        "",
        "## Decisions of the default threshold",
        "",
        "Share of fresh normals it flags, nominally .05 without labelled anomalies, and of "
        "anomalies; rows left out, and how many of these are not what they are labelled as.",
        "",
        table,
    ]
    return "\n".join(lines) + "\n"


def without_storage(argv: Sequence[str]) -> list[str]:
    """Drop from a command line the folder of states that a run took up."""
    words = list(argv)
    if "--states" in words:
        at = words.index("--states")
        del words[at : at + 2]
    return words


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
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
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--k", type=int, nargs="+", default=[0, 5])
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--folds", type=int, help="only so many of the five")
    parser.add_argument("--max-query", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--states", type=Path, help="folder of meta-learned states to take up")
    parser.add_argument("--label", help="name of the files written; default: noise and family")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the comparison and write a report and the rows."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parse_args(argv)
    warnings.simplefilter("ignore", UserWarning)
    tasks = load_family(options.data)
    rows: list[dict[str, Any]] = []
    stem = options.results / (options.label or f"noise_{os.path.basename(options.data)}")
    for spec in options.detector:
        rows += run(options, tasks, spec)
        frame = pd.DataFrame(rows)
        write(stem.with_suffix(".csv"), frame.to_csv(index=False, float_format="%.5f"))
        write(stem.with_suffix(".md"), report(frame, options, argv))


if __name__ == "__main__":
    main()
