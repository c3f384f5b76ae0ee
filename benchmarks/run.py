r"""Run a benchmark and write what it found to ``benchmarks/results``.

Usage::

    python benchmarks/run.py                    # lists the commands
    python benchmarks/run.py families --data ../shared/data/skab \
        --detector sklearn_fsad:ProtoNetDetector
    python benchmarks/run.py trust alarms --help

Data are folders of npz files, one task each, with ``X`` and ``y`` (1 = anomaly).
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.options import Refused
from bench.report.conditions import command_line
from bench.report.records import Result, write_result

RESULTS = Path(__file__).parent / "results"
CHECKOUT = Path(__file__).resolve().parents[1]
COMMANDS = {  # command -> module, and what the names of its two functions end in
    "families": "families",
    "tables": "tables",
    "tables gaps": "measures.gaps",
    "tables mixed": "measures.mixed",
    "query": "measures.query",
    "series": "measures.series",
    "series alarms": "measures.series_alarms",
    "one-table relations": "measures.relations",
    "one-table missing": "measures.missing",
    "many-tasks hidden": "measures.generated:hidden",
    "many-tasks sinusoid": "measures.generated:sinusoid",
    "many-tasks functions": "measures.likelihood",
    "evidence": "measures.evidence",
    "trust alarms": "measures.alarms",
    "trust decisions": "measures.decisions",
    "trust probabilities": "measures.probabilities",
    "trust explanations": "measures.explanations",
    "trust far": "measures.far",
    "trust invariance": "measures.invariance",
    "trust labels": "measures.trusted",
    "trust drift": "measures.drift",
    "trust noise": "measures.noise",
    "trust weights": "measures.weights",
    "distil": "measures.distil",
    "speed": "speed.command",
    "serving": "speed.serving",
    "scale mapped": "speed.rows:mapped",
    "scale parts": "speed.rows:parts",
    "pretrain": "pretrain",
    "pictures": "report.pictures",
}
Run = Callable[[argparse.Namespace], Iterable[Result]]


def load(command: str) -> tuple[Callable[[argparse.ArgumentParser], None], Run]:
    """Import what adds the options of a command, and what runs it."""
    name, _, which = COMMANDS[command].partition(":")
    module = importlib.import_module(f"bench.{name}")
    ending = f"_{which}" if which else ""
    return getattr(module, f"options{ending}"), getattr(module, f"run{ending}")


def split_command(words: Sequence[str]) -> tuple[str, list[str]] | None:
    """Split the words of a command line into the command and its options; None if unknown."""
    for n_words in (2, 1):
        command = " ".join(words[:n_words])
        if command in COMMANDS:
            return command, list(words[n_words:])
    return None


def parse(command: str, words: Sequence[str]) -> tuple[argparse.Namespace, Run]:
    """Parse the options of a command."""
    add_options, run = load(command)
    parser = argparse.ArgumentParser(f"run.py {command}", description=run.__doc__)
    add_options(parser)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    args = parser.parse_args(words)
    args.command = command_line([*command.split(), *words])
    if check := parser.get_default("check"):
        check(parser, args)
    return args, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run a benchmark.

    Returns
    -------
    int
        0; 1 when something failed that should not; 2 when the command cannot be run.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    known = split_command(words)
    if known is None:
        print(__doc__, "Commands:", *(f"    {name}" for name in COMMANDS), sep="\n")
        return 0 if words in ([], ["-h"], ["--help"]) else 2
    if str(CHECKOUT) not in sys.path:
        sys.path.append(str(CHECKOUT))  # where the package is not installed
    failed = False
    try:
        args, run = parse(*known)
        for result in run(args):
            write_result(args.results, result, args.command)
            failed |= result.failed
    except Refused as error:
        print(f"run.py {known[0]}: {error}", file=sys.stderr)
        return 2
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
