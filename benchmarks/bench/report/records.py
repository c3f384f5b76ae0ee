"""Keep measured rows: their files, and baselines taken out of an earlier run."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from bench.methods.base import Baseline
from bench.protocols.families import Protocol, Task, fingerprint
from bench.report.conditions import versions

SOURCES = (
    "protocols/families.py",
    "methods/base.py",
    "methods/support.py",
    "methods/libraries.py",
    "methods/meta.py",
    "methods/named.py",
)
PACKAGE = "sklearn-fsad"
LIBRARIES = ("scikit-learn", "numpy", "torch", "pyod", "lightgbm")
MUST_AGREE = ("family", "data", "split", "seed", "draws", "max_query", "n_max", "k_max")
Baselines = Mapping[str, Callable[[int], Baseline]]


class Row(NamedTuple):
    """One method on one episode."""

    family: str
    split: str
    task: str
    draw: int
    n: int
    k: int
    n_used: int
    k_used: int
    method: str
    auc: float
    ap: float
    seconds: float


class Result(NamedTuple):
    """Hold the result of a benchmark.

    Attributes
    ----------
    name : str
        Of the files.
    title : str
    text : str
        Markdown under the title and the command.
    frame : DataFrame or None
        Rows for the CSV.
    failed : bool
        Whether something failed that should not.
    digits : str
        Format of the numbers in the CSV.
    command : str or None
        To show in place of the command of this run.
    """

    name: str
    title: str
    text: str
    frame: pd.DataFrame | None = None
    failed: bool = False
    digits: str = "%.6g"
    command: str | None = None


class Table:
    """Rows, and which methods are known on which tasks."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.known: set[tuple[str, str]] = set()

    def add(self, row: Row) -> None:
        """Add a measured row."""
        self.rows.append(row)

    def drop(self, method: str) -> None:
        """Forget a method."""
        self.rows = [row for row in self.rows if row.method != method]

    def has(self, method: str, task: str) -> bool:
        """Whether rows of an earlier run cover a method on a task."""
        return (method, task) in self.known

    def take(
        self, frame: pd.DataFrame, methods: Iterable[str], cells: Callable[[str], set]
    ) -> list[str]:
        """Take the rows of an earlier run, task by task, wherever a task is covered in full.

        Parameters
        ----------
        cells : callable
            Gives the (draw, n, k) that a method must have for a task to be covered.

        Returns
        -------
        list of str
            Methods of which something was taken.
        """
        taken = []
        for method in methods:
            wanted = cells(method)
            for task, part in frame[frame.method == method].groupby("task"):
                part = part[[key in wanted for key in zip(part.draw, part.n, part.k, strict=True)]]
                found = list(zip(part.draw, part.n, part.k, strict=True))
                if set(found) == wanted and len(found) == len(wanted):
                    self.rows += [
                        Row(*values) for values in part[list(Row._fields)].itertuples(index=False)
                    ]
                    self.known.add((method, str(task)))
                    taken.append(method)
        return list(dict.fromkeys(taken))

    def frame(self) -> pd.DataFrame:
        """Return the rows as a data frame in a fixed order."""
        frame = pd.DataFrame(self.rows, columns=list(Row._fields))
        return frame.sort_values(["method", "task", "draw", "n", "k"], ignore_index=True)


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write the rows with enough digits to read the same numbers back."""
    frame = frame.assign(
        auc=frame.auc.round(6), ap=frame.ap.round(6), seconds=frame.seconds.round(6)
    )
    write(path, frame.to_csv(index=False))


def source_hash(more: Sequence[str] = ()) -> str:
    """Return a hash of the code of protocol and baselines; what does not run does not count."""
    here = Path(__file__).parents[1]
    code = [what_runs((here / name).read_text(encoding="utf-8")) for name in (*SOURCES, *more)]
    return hashlib.sha256("".join(code).encode()).hexdigest()[:16]


def what_runs(source: str) -> str:
    """Return the syntax tree of code as text, without layout, comments and docstrings."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def read_earlier(
    path: Path, header: dict[str, Any], columns: Sequence[str] = Row._fields
) -> tuple[pd.DataFrame, list[str]]:
    """Read an earlier run of the same protocol.

    Parameters
    ----------
    path : Path
        Its CSV; the JSON header must lie beside it.
    header : dict
        Header of the present run.
    columns : sequence of str
        That the CSV must have.

    Returns
    -------
    rows : DataFrame
    differences : list of str
        What else differs: code of the baselines, versions of libraries.

    Raises
    ------
    ValueError
        When the two runs do not measure the same episodes; the message names what differs.
    """
    header_path = path.with_suffix(".json")
    if not path.exists() or not header_path.exists():
        raise ValueError(f"--reuse needs {path.name} and {header_path.name} side by side.")
    earlier = json.loads(header_path.read_text(encoding="utf-8"))
    wrong = [name for name in MUST_AGREE if earlier.get(name) != header[name]]
    if wrong:
        shown = "; ".join(
            f"{name} {earlier.get(name)!r} there, {header[name]!r} here" for name in wrong
        )
        raise ValueError(f"--reuse {path.name} is of another protocol: {shown}.")
    differences = []
    if earlier.get("source") != header["source"]:
        differences.append("the code of the baselines has changed since")
    for library, version in header["versions"].items():
        old = earlier.get("versions", {}).get(library)
        if old != version and library != PACKAGE:  # baselines do not use it
            differences.append(f"{library} was {old}, is {version}")
    frame = pd.read_csv(path)
    if list(frame.columns) != list(columns):
        raise ValueError(f"--reuse {path.name} has other columns than {', '.join(columns)}.")
    return frame.astype({name: str for name in ("task", "family") if name in columns}), differences


def write_result(folder: Path, result: Result, command: str) -> None:
    """Print the report of a benchmark, and write it and its rows."""
    shown = result.command or f"    {command}"
    text = f"# {result.title}\n\n{shown}\n\n{result.text.rstrip()}\n"
    print(text)
    path = folder / f"{result.name}.md"
    write(path, text)
    if result.frame is not None:
        rows = result.frame.to_csv(index=False, float_format=result.digits)
        write(path.with_suffix(".csv"), rows)
    print(path, file=sys.stderr)


def make_header(
    args: Namespace,
    tasks: Sequence[Task],
    more_sources: Sequence[str] = (),
    more_libraries: Sequence[str] = (),
) -> dict[str, Any]:
    """Describe a run: what it measures, with what, on what."""
    family = args.data.resolve().name
    return {
        "label": args.label or f"{family}_{args.split}",
        "command": args.command,
        "family": family,
        "data": fingerprint(tasks),
        "split": args.split,
        "seed": args.seed,
        "draws": args.draws,
        "n": sorted(set(args.n)),
        "k": sorted(set(args.k)),
        "n_max": max(args.n),
        "k_max": max(args.k),
        "max_query": args.max_query,
        "source": source_hash(more_sources),
        "versions": versions((PACKAGE, *LIBRARIES, *more_libraries)),
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}",
        "notes": [],
        "detectors": {},
    }


def cells_of(method: str, protocol: Protocol, baselines: Baselines) -> set[tuple[int, int, int]]:
    """Return the (draw, n, k) in which a baseline is measured."""
    needs = method in baselines and baselines[method](0).needs_labels
    cells = [(n, k) for n, k in protocol.cells if k or not needs]
    return {(draw, n, k) for draw in range(protocol.draws) for n, k in cells}


def reuse(
    path: Path,
    header: dict[str, Any],
    table: Table,
    methods: Sequence[str],
    protocol: Protocol,
    baselines: Baselines,
    split: str | None = None,
) -> None:
    """Take baselines from an earlier run into the table, from one split where it has several."""
    earlier, differences = read_earlier(path, header)
    if split is not None:
        earlier = earlier[earlier.split == split]
    taken = table.take(earlier, methods, lambda method: cells_of(method, protocol, baselines))
    note = f"taken from {path.name}: {', '.join(taken) or 'nothing'}"
    if taken and differences:
        note += f" (beware: {'; '.join(differences)})"
    header["notes"].append(note)
    print(note, file=sys.stderr)
