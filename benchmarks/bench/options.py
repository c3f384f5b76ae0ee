"""Declare the command-line options that several benchmarks share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.methods.detectors import Spec, parse_spec

OPTIONS: dict[str, dict[str, Any]] = {
    "data": {"type": Path, "required": True, "help": "folder of files, one task each"},
    "split": {"choices": ("random", "groups", "none"), "help": "how tasks are held out"},
    "tables": {"nargs": "*", "help": 'names, or "all"'},
    "n": {"type": int, "help": "normal rows in a support"},
    "k": {"type": int, "help": "labelled anomalies in a support"},
    "draws": {"type": int, "help": "supports drawn of each task and size"},
    "max_query": {"type": int, "help": "cap on the query rows of a task"},
    "seed": {"type": int},
    "jobs": {"type": int, "help": "processes"},
    "label": {"help": "name of the files written"},
}


class Refused(Exception):
    """A command that cannot be run as it was given."""


class _Named(argparse.Action):
    """Collect detectors; the first one named takes the place of the default ones."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        known = getattr(namespace, self.dest)
        kept = [] if known is self.default else known
        setattr(namespace, self.dest, [*kept, *values])


def add_options(parser: argparse.ArgumentParser, *names: str, **defaults: Any) -> None:
    """Add options of ``OPTIONS``; a default that is a list takes several values."""
    for name, default in {**dict.fromkeys(names), **defaults}.items():
        several = {"nargs": "+"} if isinstance(default, list) else {}
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, default=default, **{**OPTIONS[name], **several})


def add_detectors(parser: argparse.ArgumentParser, defaults: Sequence[str] = ()) -> None:
    """Let the command line name detectors."""
    parser.add_argument(
        "--detector",
        nargs="+",
        action=_Named,
        type=spec_argument,
        default=[parse_spec(text) for text in defaults],
        metavar="[LABEL=]MODULE:CLASS(PARAM=VALUE)",
        help="may be given several times",
    )


def spec_argument(text: str) -> Spec:
    """Parse a detector, for argparse."""
    try:
        return parse_spec(text)
    except (ValueError, SyntaxError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


@contextmanager
def refusing() -> Iterator[None]:
    """Turn an error in what a command asks for into a refusal, which has no traceback."""
    try:
        yield
    except (ValueError, TypeError, ImportError, AttributeError) as error:
        raise Refused(str(error)) from error
