r"""Measure detectors on tables that have nothing in common, on rows of each table kept aside.

Usage::

    python benchmarks/tables.py few-shot --data ../shared/data/adbench \
        --detector "in-context=sklearn_fsad:InContextDetector(random_state=0)"

Protocols: ``few-shot`` has 10 or 50 normals and up to 10 labelled anomalies; ``one-class`` up to
1000 normals; ``few-labels`` and ``halves`` are two published protocols, whose published figures
stand in brackets in the report (``--published`` names the folder they are in). Results are written
to ``benchmarks/results/tables_<label>.csv``, ``.md``, ``.json`` and, as a picture of mean ranks,
``.png``. A run that was stopped is taken up again with ``--reuse``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import quality
from _detectors import Spec
from _protocol import Episode, Fold, Task, load_family
from _published import FewLabels, OneClass
from _ranks import rank_figure, ranks_report
from _records import Table, write, write_csv
from _report import METRICS, report
from _runner import Runner
from _table_splits import TableSplits, related_folds
from meta_baselines import META_BASELINES
from more_baselines import more_baselines

STACKS = tuple(name for name in META_BASELINES if name.startswith("meta_stack"))
PUBLISHED = {"few-labels": FewLabels(), "halves": OneClass()}
PROTOCOLS = ("few-shot", "one-class", *PUBLISHED)


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    names = [*more_baselines(), *STACKS]
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], epilog=f"Baselines: {', '.join(names)}."
    )
    parser.add_argument("protocol", choices=PROTOCOLS)
    parser.add_argument("--data", required=True, type=Path, help="folder of npz files")
    parser.add_argument("--published", type=Path, help="folder of the published figures")
    quality.add_detectors(parser)
    parser.add_argument("--tables", nargs="+", help="only these")
    parser.add_argument("--n", nargs="+", type=int, help="normals in a support")
    parser.add_argument("--k", nargs="+", type=int, help="labelled anomalies")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--contamination", type=float, default=0.0, help="share of anomalies among the n rows"
    )
    parser.add_argument(
        "--leave-families-out", action="store_true",
        help="detectors are meta-fitted on the tables of other folds",
    )  # fmt: skip
    parser.add_argument("--only", nargs="*", choices=names, metavar="BASELINE")
    parser.add_argument("--skip", nargs="*", choices=names, default=[], metavar="BASELINE")
    parser.add_argument(
        "--reuse", type=Path, metavar="CSV", help="take baselines from an earlier run"
    )
    parser.add_argument("--label", help="name of the files written; default: the protocol")
    parser.add_argument("--results", type=Path, default=quality.RESULTS)
    args = parser.parse_args(argv)
    if args.protocol in PUBLISHED and args.published is None:
        parser.error(f"{args.protocol} needs --published")
    if not 0.0 <= args.contamination <= 0.5:
        parser.error(f"--contamination must be in [0, 0.5]; got {args.contamination}")
    args.split, args.max_query = args.protocol, None
    args.label = f"tables_{args.label or args.protocol.replace('-', '_')}"
    return args


def protocol_of(args: argparse.Namespace) -> Any:
    """Return the protocol that the command line asks for."""
    if args.protocol in PUBLISHED:
        return PUBLISHED[args.protocol]
    few = args.protocol == "few-shot"
    n = args.n or ([10, 50] if few else [1000])
    k = args.k or ([0, 1, 5, 10] if few else [0])
    if args.contamination:
        args.split = f"{args.protocol}, {args.contamination:.0%} contaminated"
    return TableSplits(tuple(n), tuple(k), args.draws, args.seed, args.contamination)


def chosen_tasks(args: argparse.Namespace, protocol: Any) -> list[Task]:
    """Return the tables to measure on, those with published figures where these are wanted."""
    tasks = [task for task in load_family(args.data) if task.testable]
    if args.protocol in PUBLISHED:
        known = {row.task for row in protocol.rows(args.published, "", [t.name for t in tasks])}
        tasks = [task for task in tasks if task.name in known]
    if args.tables:
        unknown = set(args.tables) - {task.name for task in tasks}
        if unknown:
            raise ValueError(f"No such table: {', '.join(sorted(unknown))}.")
        tasks = [task for task in tasks if task.name in args.tables]
    return tasks


def unknown_normals(episode: Episode) -> np.ndarray:
    """Return labels in which all rows but the labelled anomalies are unknown."""
    return np.where(episode.support_y == 0, np.nan, -1.0)


def run_detectors(specs: Sequence[Spec], runner: Runner, header: dict[str, Any], save: Any) -> None:
    """Measure the detectors of the command line."""
    for spec in specs:
        outcome = runner.run_detector(spec)
        notes = quality.detector_notes(outcome)
        header["detectors"][spec.label] = {**outcome, "shown": notes}
        save()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns
    -------
    int
        0; 1 when a detector failed on a support; 2 when the command cannot be run.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parse_args(argv)
    if str(quality.CHECKOUT) not in sys.path:
        sys.path.append(str(quality.CHECKOUT))  # where the package is not installed
    baselines, table = more_baselines(), Table()
    try:
        for spec in args.detector:
            spec.make()
        protocol = protocol_of(args)
        tasks = chosen_tasks(args, protocol)
        args.n, args.k, args.draws = protocol.n, protocol.k, protocol.draws
        header = quality.make_header(args, tasks, argv, "tables")
        wanted = [*baselines, *STACKS] if args.only is None else args.only
        methods = [name for name in wanted if name not in args.skip]
        if args.reuse:
            quality.reuse(args.reuse, header, table, methods, protocol, baselines)
    except (ValueError, TypeError, ImportError, AttributeError) as error:
        print(f"tables.py: {error}", file=sys.stderr)
        return 2
    csv = args.results / f"{args.label}.csv"

    def save() -> None:
        write_csv(csv, table.frame())
        write(csv.with_suffix(".json"), json.dumps(header, indent=1) + "\n")

    unlabelled = args.contamination > 0 or args.protocol == "few-labels"
    folds = related_folds(tasks, args.seed)
    learning = folds if args.leave_families_out else [Fold((), tuple(t.name for t in tasks))]
    runner, stacking = (
        Runner(
            "tables", tasks, args.split, some, protocol, table, baselines,
            told=unknown_normals if unlabelled else attrgetter("support_y"),
        )
        for some in (learning, folds)
    )  # fmt: skip
    if args.protocol in PUBLISHED:
        for row in protocol.rows(args.published, "tables", [task.name for task in tasks]):
            table.add(row)
    runner.run_support([name for name in methods if name in baselines], save)
    stacks = [name for name in STACKS if name in methods and not stacking.covers(name)]
    if stacks:
        stacking.run_stacks(stacks)
        save()
    run_detectors(args.detector, runner, header, save)
    save()
    frame, labels = table.frame(), [spec.label for spec in args.detector]
    parts = [report(frame, header)]
    parts += [ranks_report(frame, metric, title, labels) for metric, title in METRICS.items()]
    write(csv.with_suffix(".md"), "\n\n".join(part.rstrip("\n") for part in parts) + "\n")
    rank_figure(frame, "auc", protocol.cells[-1], labels, csv.with_suffix(".png"))
    print(csv.with_suffix(".md"), file=sys.stderr)
    return int(any(outcome["failures"] for outcome in header["detectors"].values()))


if __name__ == "__main__":
    sys.exit(main())
