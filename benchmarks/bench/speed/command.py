"""Read the options of speed, and measure what they ask for."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator

from bench.report.records import Result

SECTIONS = (
    "meta_steps",
    "adaptations",
    "prototypes",
    "training",
    "scoring",
    "processes",
    "in_context",
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of speed."""
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", choices=SECTIONS, help="one section, in its own file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", help="compare what is learned there and on the CPU, no more")


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Time detectors and parts of them beside other ways to do the same, or compare a device."""
    warnings.simplefilter("ignore", UserWarning)
    if args.device:
        from bench.speed.device import run_on_device

        yield run_on_device(args.device)
        return
    from bench.speed.sections import run_sections

    yield from run_sections(args)
