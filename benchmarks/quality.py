r"""Measure how well detectors find anomalies in tasks they were not trained on.

Usage::

    python benchmarks/quality.py --data ../shared/data/skab --split random \
        --detector sklearn_fsad:ProtoNetDetector --label skab

Tasks of a family are left out in folds; a detector with ``meta_fit`` learns from the others, then
from a few rows of each task left out, and scores the rest of that task. Baselines get the same
rows. Results are written to ``benchmarks/results/<label>.csv``, ``.md`` and ``.json``. A run that
was stopped is taken up again, and baselines are taken over from an earlier run, with
``--reuse benchmarks/results/<label>.csv``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from _compose import Baseline
from _detectors import Spec, parse_spec
from _protocol import SPLITS, Protocol, Task, fingerprint, load_family, make_folds
from _records import Table, read_earlier, source_hash, write, write_csv
from _report import report
from _runner import Runner
from baselines import SLOW, SUPPORT_BASELINES
from meta_baselines import META_BASELINES

CHECKOUT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
Baselines = Mapping[str, Callable[[int], Baseline]]
LIBRARIES = ("scikit-learn", "numpy", "torch", "pyod", "lightgbm")


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    names = ", ".join([*SUPPORT_BASELINES, *META_BASELINES])
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        epilog=f"Baselines: {names}. {', '.join(SLOW)} only if named.",
    )
    parser.add_argument(
        "--data", required=True, type=Path, help="folder of npz files, one task each"
    )
    parser.add_argument("--split", choices=SPLITS, default="random")
    add_detectors(parser)
    parser.add_argument(
        "--n", nargs="+", type=int, default=[10, 50], help="normal rows in a support"
    )
    parser.add_argument(
        "--k", nargs="+", type=int, default=[0, 1, 5, 10], help="labelled anomalies"
    )
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--max-query", type=int, default=None, help="cap on the query rows of a task"
    )
    parser.add_argument(
        "--only", nargs="*", metavar="BASELINE", help="run these baselines and no others"
    )
    parser.add_argument("--skip", nargs="*", default=[], metavar="BASELINE")
    parser.add_argument("--lunar", action="store_true", help="also run PyOD's LUNAR, which is slow")
    parser.add_argument(
        "--reuse", type=Path, metavar="CSV", help="take baselines from an earlier run"
    )
    parser.add_argument("--label", help="name of the files written; default: family and split")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    args = parser.parse_args(argv)
    unknown = {*(args.only or []), *args.skip} - {*SUPPORT_BASELINES, *META_BASELINES}
    if unknown:
        parser.error(f"no such baseline: {', '.join(sorted(unknown))}; there are {names}")
    if min(args.n) < 2 or min(args.k) < 0 or args.draws < 1:
        parser.error("--n must be at least 2, --k at least 0, --draws at least 1")
    if len({spec.label for spec in args.detector}) < len(args.detector):
        parser.error("two detectors have the same label; write LABEL=module:Class")
    return args


def add_detectors(parser: argparse.ArgumentParser) -> None:
    """Let the command line name detectors."""
    parser.add_argument(
        "--detector",
        action="append",
        default=[],
        type=spec_argument,
        metavar="[LABEL=]MODULE:CLASS(PARAM=VALUE)",
        help="may be given several times",
    )


def spec_argument(text: str) -> Spec:
    """Read a detector, for argparse."""
    try:
        return parse_spec(text)
    except (ValueError, SyntaxError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def chosen_baselines(args: argparse.Namespace) -> list[str]:
    """Return the baselines to run, in a fixed order."""
    names = [*SUPPORT_BASELINES, *META_BASELINES]
    wanted = set(names) - SLOW if args.only is None else set(args.only)
    wanted |= SLOW if args.lunar else set()
    wanted -= set(args.skip)
    if args.split == "none":
        wanted -= set(META_BASELINES)  # tasks have no feature in common
    return [name for name in names if name in wanted]


def cells_of(method: str, protocol: Protocol, baselines: Baselines) -> set[tuple[int, int, int]]:
    """Return the (draw, n, k) in which a baseline is measured."""
    needs = method in baselines and baselines[method](0).needs_labels
    cells = [(n, k) for n, k in protocol.cells if k or not needs]
    return {(draw, n, k) for draw in range(protocol.draws) for n, k in cells}


def without_machine(word: str) -> str:
    """Turn an absolute path of the command line, or of ``--option=path``, into a relative one."""
    option, equals, path = word.rpartition("=")
    return option + equals + os.path.relpath(path) if os.path.isabs(path) else word


def command_line(script: str, argv: Sequence[str]) -> str:
    """Return the command of a run, without where its results went and without absolute paths."""
    words = list(argv)
    if "--results" in words:
        at = words.index("--results")
        del words[at : at + 2]
    shown = [without_machine(word) for word in words if not word.startswith("--results=")]
    return shlex.join(["python", f"benchmarks/{script}.py", *shown])


def make_header(
    args: argparse.Namespace, tasks: Sequence[Task], argv: Sequence[str], script: str = "quality"
) -> dict[str, Any]:
    """Describe a run: what it measures, with what, on what."""
    family = args.data.resolve().name
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "label": args.label or f"{family}_{args.split}",
        "command": command_line(script, argv),
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
        "source": source_hash(),
        "versions": versions,
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}",
        "notes": [],
        "detectors": {},
    }


def reuse(
    path: Path,
    header: dict[str, Any],
    table: Table,
    methods: Sequence[str],
    protocol: Protocol,
    baselines: Baselines = SUPPORT_BASELINES,
) -> None:
    """Take baselines from an earlier run into the table."""
    earlier, differences = read_earlier(path, header)
    taken = table.take(earlier, methods, lambda method: cells_of(method, protocol, baselines))
    note = f"taken from {path.name}: {', '.join(taken) or 'nothing'}"
    if taken and differences:
        note += f" (beware: {'; '.join(differences)})"
    header["notes"].append(note)
    print(note, file=sys.stderr)


def detector_notes(outcome: dict[str, Any]) -> list[str]:
    """Say in words how the meta-training of a detector went and how often it failed."""
    times, failures = outcome["meta_fit_seconds"], outcome["failures"]
    shown = []
    if times:
        shown.append(
            f"meta_fit: {sum(times) / len(times):.1f} s a fold (at most {max(times):.1f} s)"
        )
    if failures:
        shown.append(
            f"**{len(failures)} supports failed** and count as equal scores; first: {failures[0]}"
        )
    return shown


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns
    -------
    int
        0; 1 when a detector failed on a support; 2 when the command cannot be run.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parse_args(argv)
    if str(CHECKOUT) not in sys.path:
        sys.path.append(str(CHECKOUT))  # where the package is not installed
    try:
        for spec in args.detector:
            spec.make()  # a wrong name or parameter shall not wait for the baselines
        tasks = load_family(args.data)
        folds = make_folds(tasks, args.split, args.seed)
        header = make_header(args, tasks, argv)
        protocol = Protocol(
            tuple(header["n"]), tuple(header["k"]), args.draws, args.seed, args.max_query
        )
        table, methods = Table(), chosen_baselines(args)
        if args.reuse:
            reuse(args.reuse, header, table, methods, protocol)
    except (ValueError, TypeError, ImportError, AttributeError) as error:
        print(f"quality.py: {error}", file=sys.stderr)
        return 2
    csv = args.results / f"{header['label']}.csv"

    def save() -> None:
        write_csv(csv, table.frame())
        write(csv.with_suffix(".json"), json.dumps(header, indent=1) + "\n")

    runner = Runner(header["family"], tasks, args.split, folds, protocol, table)
    runner.run_support([name for name in methods if name in SUPPORT_BASELINES], save)
    todo = [name for name in META_BASELINES if name in methods and not runner.covers(name)]
    for name in todo:
        table.drop(name)  # learned from all tasks of a fold, so all or nothing
    if "meta_boosting" in todo:
        runner.run_boosting()
        save()
    stacks = [name for name in todo if name.startswith("meta_stack")]
    if stacks:
        runner.run_stacks(stacks)
        save()
    for spec in args.detector:
        outcome = runner.run_detector(spec)
        header["detectors"][spec.label] = {**outcome, "shown": detector_notes(outcome)}
        save()
    save()
    write(csv.with_suffix(".md"), report(table.frame(), header))
    print(csv.with_suffix(".md"), file=sys.stderr)
    return int(any(outcome["failures"] for outcome in header["detectors"].values()))


if __name__ == "__main__":
    sys.exit(main())
