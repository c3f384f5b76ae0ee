"""Measure what a service needs: start, memory, the size of a file, and the time of one row."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.report.conditions import conditions
from bench.report.records import Result
from bench.speed.fresh import one_thread, run_fresh
from bench.speed.service import DETECTORS, N_ANOMALOUS, N_FEATURES, N_NORMAL
from bench.speed.timing import Section

TITLE = "What a service needs"
PACKAGES = ("sklearn-fsad", "torch", "numpy", "scikit-learn", "numba")
ABOUT = (
    "Each detector in a new process that loads a pickle and answers: fitted to {n} normal rows and "
    "{k} labelled anomalies of {d} columns, nothing meta-fitted. The compiled loops are in the "
    "cache, as they are after the first process. `start` is the processor time of imports, of "
    "reading the file and of the first row; `memory` is the most that the process held, Python and "
    "libraries included, and `not shared` the part of it that workers cannot share, since it does "
    "not come from files. NeuralProcessDetector has no network (`max_epochs=0`)."
)
ABOUT_ROWS = (
    "Processor time of one row, the median over {rounds} calls with a new row each. `all` is the "
    "sum of the four."
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of serving."""
    parser.add_argument("--rounds", type=int, default=300)


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure start, memory and the time of one row, each detector in a process of its own."""
    found = {name: measured(name, args.rounds) for name in DETECTORS}
    about = ABOUT.format(n=N_NORMAL, k=N_ANOMALOUS, d=N_FEATURES)
    start = [{"detector": name, **figures["process"]} for name, figures in found.items()]
    rows = [{"detector": name, **figures["row"]} for name, figures in found.items()]
    sections = (
        Section("A process", about, start),
        Section("One row, ms", ABOUT_ROWS.format(rounds=args.rounds), rows),
    )
    text = "\n\n".join([conditions("one thread", PACKAGES), *(s.to_markdown() for s in sections)])
    yield Result("serving", TITLE, text.rstrip())


def measured(name: str, rounds: int) -> dict[str, dict[str, float]]:
    """Save a detector in one process; measure a second one that loads it."""
    code = "import sys; from bench.speed import service; service.{}(*sys.argv[1:])"
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "detector.pickle")
        run_fresh(code.format("save"), name, path, **one_thread())
        shown = run_fresh(code.format("serve"), path, str(rounds), **one_thread())
    found: dict[str, dict[str, float]] = json.loads(shown.splitlines()[-1])
    return found
