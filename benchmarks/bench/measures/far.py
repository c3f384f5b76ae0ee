"""Measure how often a held-out task is called far from the training tasks, and others are.

Each task of a family in turn is held out, and n of its normals are compared with what the other
tasks have in common. The same rows with permuted columns, with a third of the columns in other
units, or all of them, and normals of tables of equal width stand for tasks of another family.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from bench.options import add_options
from bench.protocols.families import Task, load_family, random_state_of
from bench.report.records import Result
from tqdm import tqdm

from sklearn_fsad import TaskSet
from sklearn_fsad.tasks._distance import TrainingTasks

OWN = "held-out task of the family"
ABOUT = (
    "Share, in %, of supports of n normals that a warning calls far; {} draws a task. Each task is "
    "held out once, and its siblings are not."
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of far tasks."""
    add_options(parser, n=[3, 5, 10, 20, 50], draws=5, seed=0)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="families of tasks")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="npz files: tables")


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure how often a held-out task is called far from the training tasks."""
    tables = [_table(path) for path in args.others]
    parts = []
    for folder in args.data:
        tasks = load_family(folder)
        others = [table for table in tables if table.X.shape[1] == tasks[0].X.shape[1]]
        parts.append(pd.DataFrame(judge(tasks, others, args)).assign(family=folder.name))
    frame = pd.concat(parts)
    rates = frame.groupby(["family", "kind", "n"], sort=False)["far"].mean().reset_index()
    title = "Tasks that are far from the training tasks"
    yield Result("far_tasks", title, report(frame, args), rates)


def variants(rows: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the rows as they are, and as those of a task of another kind."""
    d = rows.shape[1]
    third = np.where(np.arange(d) % 3 == 0, 1000.0, 1.0)
    return {
        OWN: rows,
        "its columns permuted": rows[:, rng.permutation(d)],
        "a third of its columns times 1000": rows * third,
        "all its columns times 10": rows * 10.0,
    }


def normals_of(task: Task) -> np.ndarray:
    """Return rows that are no anomalies."""
    return task.X[task.y == 0]


def judge(
    tasks: Sequence[Task], others: Sequence[Task], args: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """Yield one row for each held-out task, size of the support, draw and kind of rows."""
    for held_out in tqdm(tasks, "tasks"):
        rest = [task for task in tasks if task is not held_out]
        known = TrainingTasks.from_tasks(TaskSet([normals_of(t) for t in rest]), args.seed)
        if known is None:
            raise ValueError(f"{len(rest)} training tasks are too few.")
        for n in args.n:
            for number in range(args.draws):
                rng = np.random.default_rng(random_state_of(args.seed, held_out.name, n, number))
                rows = variants(_drawn(held_out, n, rng), rng)
                rows |= {f"normals of {task.name}": _drawn(task, n, rng) for task in others}
                for kind, X in rows.items():
                    yield {
                        "task": held_out.name,
                        "n": n,
                        "kind": kind,
                        "far": known.place(X).is_far,
                    }


def _drawn(task: Task, n: int, rng: np.random.Generator) -> np.ndarray:
    rows = normals_of(task)
    return rows[rng.permutation(len(rows))[:n]]


def _table(path: Path) -> Task:
    with np.load(path) as file:
        return Task(path.stem, path.stem, np.asarray(file["X"], dtype=np.float64), file["y"])


def report(frame: pd.DataFrame, args: argparse.Namespace) -> str:
    """Return the tables: shares called far, by family, kind of rows and size of the support."""
    parts = [ABOUT.format(args.draws)]
    for family, part in frame.groupby("family", sort=False):
        shares = 100 * part.groupby(["kind", "n"], sort=False)["far"].mean().unstack("n")
        shares.columns = [f"n={n}" for n in shares.columns]
        table = shares.rename_axis("").to_markdown(floatfmt=".1f")
        parts += [f"## {family}: {part['task'].nunique()} tasks", table]
    return "\n\n".join(parts)
