"""How often a task of the family, held out, is called far from the training tasks, and others.

Each task of a family in turn is held out, and n of its normals are compared with what the other
tasks have in common. The same rows with permuted columns, with a third of the columns in other
units, or all of them, and normals of tables of equal width stand for tasks of another family.

    python benchmarks/far_tasks.py --data ../shared/data/skab ../shared/data/mvtec_vit
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from _protocol import Task, load_family, random_state_of
from _table_report import command, write_results
from tqdm import tqdm

from sklearn_fsad import TaskSet
from sklearn_fsad.tasks._distance import TrainingTasks

OWN = "held-out task of the family"


def variants(rows: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The rows as they are, and as those of a task of another kind."""
    d = rows.shape[1]
    third = np.where(np.arange(d) % 3 == 0, 1000.0, 1.0)
    return {
        OWN: rows,
        "its columns permuted": rows[:, rng.permutation(d)],
        "a third of its columns times 1000": rows * third,
        "all its columns times 10": rows * 10.0,
    }


def normals_of(task: Task) -> np.ndarray:
    """Rows that are no anomalies."""
    return task.X[task.y == 0]


def judge(
    tasks: Sequence[Task], others: Sequence[Task], options: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """One row for each held-out task, size of the support, draw and kind of rows."""
    for held_out in tqdm(tasks, "tasks"):
        rest = [task for task in tasks if task is not held_out]
        known = TrainingTasks.from_tasks(TaskSet([normals_of(t) for t in rest]), options.seed)
        if known is None:
            raise ValueError(f"{len(rest)} training tasks are too few.")
        for n in options.n:
            for number in range(options.draws):
                rng = np.random.default_rng(random_state_of(options.seed, held_out.name, n, number))
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


def main(argv: Sequence[str] | None = None) -> None:
    """Run the comparison and write a Markdown report."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="families of tasks")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="npz files: tables")
    parser.add_argument("--n", type=int, nargs="+", default=[3, 5, 10, 20, 50])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args(argv)
    tables = [_table(path) for path in options.others]
    parts = []
    for folder in options.data:
        tasks = load_family(folder)
        width = tasks[0].X.shape[1]
        others = [table for table in tables if table.X.shape[1] == width]
        parts.append(pd.DataFrame(judge(tasks, others, options)).assign(family=folder.name))
    frame = pd.concat(parts)
    write_results(options.results, "far_tasks", report(frame, options, argv), _rates(frame))


def _table(path: Path) -> Task:
    with np.load(path) as file:
        return Task(path.stem, path.stem, np.asarray(file["X"], dtype=np.float64), file["y"])


def _rates(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.groupby(["family", "kind", "n"], sort=False)["far"].mean().reset_index()


def report(frame: pd.DataFrame, options: argparse.Namespace, argv: Sequence[str]) -> str:
    """Return the whole report."""
    lines = [
        "# Tasks that are far from the training tasks",
        "",
        command("far_tasks", argv),
        "",
        f"Share, in %, of supports of n normals that a warning calls far; {options.draws} draws a "
        "task. Each task is held out once, and its siblings are not.",
    ]
    for family, part in frame.groupby("family", sort=False):
        shares = 100 * part.groupby(["kind", "n"], sort=False)["far"].mean().unstack("n")
        shares.columns = [f"n={n}" for n in shares.columns]
        lines += ["", f"## {family}: {part['task'].nunique()} tasks", ""]
        lines += [shares.rename_axis("").to_markdown(floatfmt=".1f")]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
