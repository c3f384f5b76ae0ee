"""Learn on some tasks of a family, and rank the rows of others by their anomaly scores.

Tasks are left out in folds; a detector with ``meta_fit`` learns from the others, then from a few
rows of each task left out, and scores the rest of that task. Baselines get the same rows. A run
that was stopped is taken up again, and baselines are taken over from an earlier run, with
``--reuse benchmarks/results/<label>.csv``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.measures.ranking import Runner
from bench.methods.detectors import Spec
from bench.methods.meta import META_BASELINES
from bench.methods.named import SLOW, SUPPORT_BASELINES
from bench.options import add_detectors, add_options, refusing
from bench.protocols.families import Protocol, load_family, make_folds
from bench.report.markdown import family_report
from bench.report.records import Result, Table, make_header, reuse, write, write_csv

NAMES = [*SUPPORT_BASELINES, *META_BASELINES]


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of families."""
    parser.epilog = f"Baselines: {', '.join(NAMES)}. {', '.join(SLOW)} only if named."
    add_options(parser, "data", "label", "max_query", split="random", n=[10, 50], k=[0, 1, 5, 10])
    add_options(parser, draws=5, seed=0)
    add_detectors(parser)
    parser.add_argument("--lunar", action="store_true", help="also run PyOD's LUNAR, which is slow")
    add_choices(parser, NAMES)
    parser.set_defaults(check=check)


def add_choices(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Add the options that choose baselines or take them from an earlier run."""
    chosen: dict[str, Any] = {"nargs": "*", "choices": names, "metavar": "BASELINE"}
    parser.add_argument("--only", **chosen, help="run these baselines and no others")
    parser.add_argument("--skip", **chosen, default=[])
    parser.add_argument("--reuse", type=Path, metavar="CSV", help="baselines of an earlier run")


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse sizes and labels that cannot be."""
    if min(args.n) < 2 or min(args.k) < 0 or args.draws < 1:
        parser.error("--n must be at least 2, --k at least 0, --draws at least 1")
    if len({spec.label for spec in args.detector}) < len(args.detector):
        parser.error("two detectors have the same label; write LABEL=module:Class")


def chosen_baselines(args: argparse.Namespace) -> list[str]:
    """Return the baselines to run, in a fixed order."""
    wanted = set(NAMES) - SLOW if args.only is None else set(args.only)
    wanted |= SLOW if args.lunar else set()
    wanted -= set(args.skip)
    if args.split == "none":
        wanted -= set(META_BASELINES)  # tasks have no feature in common
    return [name for name in NAMES if name in wanted]


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Rank rows of tasks left out of a family by their anomaly scores."""
    table, methods = Table(), chosen_baselines(args)
    with refusing():
        try_to_make(args.detector)
        tasks = load_family(args.data)
        folds = make_folds(tasks, args.split, args.seed)
        header = make_header(args, tasks)
        n, k = tuple(header["n"]), tuple(header["k"])
        protocol = Protocol(n, k, args.draws, args.seed, args.max_query)
        if args.reuse:
            reuse(args.reuse, header, table, methods, protocol, SUPPORT_BASELINES)
    save = saving(args.results / header["label"], table, header)
    runner = Runner(header["family"], tasks, args.split, folds, protocol, table)
    runner.run_support([name for name in methods if name in SUPPORT_BASELINES], save)
    runner.run_meta([name for name in META_BASELINES if name in methods], save)
    failed = run_detectors(args.detector, runner, header, save)
    title = f"{header['label']}: {header['family']}, split {header['split']}"
    yield Result(header["label"], title, family_report(table.frame(), header), failed=failed)


def try_to_make(specs: Sequence[Spec]) -> None:
    """Make each detector once: a wrong name or parameter shall not wait for the baselines."""
    for spec in specs:
        spec.make()


def saving(stem: Path, table: Table, header: dict[str, Any]) -> Callable[[], None]:
    """Return what writes the rows so far and the header that ``--reuse`` needs."""

    def save() -> None:
        write_csv(stem.with_name(f"{stem.name}.csv"), table.frame())
        write(stem.with_name(f"{stem.name}.json"), json.dumps(header, indent=1) + "\n")

    return save


def run_detectors(
    specs: Sequence[Spec], runner: Runner, header: dict[str, Any], save: Callable[[], None]
) -> bool:
    """Measure the detectors of the command line; return whether one failed on a support."""
    for spec in specs:
        outcome = runner.run_detector(spec)
        header["detectors"][spec.label] = {**outcome, "shown": detector_notes(outcome)}
        save()
    save()
    return any(outcome["failures"] for outcome in header["detectors"].values())


def detector_notes(outcome: dict[str, Any]) -> list[str]:
    """Tell how the meta-training of a detector went and how often it failed."""
    times, failures = outcome["meta_fit_seconds"], outcome["failures"]
    shown = []
    if times:
        mean = sum(times) / len(times)
        shown.append(f"meta_fit: {mean:.1f} s a fold (at most {max(times):.1f} s)")
    if failures:
        how_many = f"**{len(failures)} supports failed** and count as equal scores"
        shown.append(f"{how_many}; first: {failures[0]}")
    return shown
