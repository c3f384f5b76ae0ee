"""What every benchmark on single tables is told on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from quality import spec_argument


def table_parser(description: str, detectors: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser of what every benchmark on tables is told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="folder of npz files")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument(
        "--detector",
        nargs="+",
        type=spec_argument,
        default=[spec_argument(text) for text in detectors],
        metavar="[LABEL=]MODULE:CLASS(PARAM=VALUE)",
    )
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    return parser
