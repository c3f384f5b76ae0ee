"""Read the options of speed, and measure what they ask for."""

from __future__ import annotations

import argparse
import importlib
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.options import Refused
from bench.report.conditions import conditions
from bench.report.records import Result
from tqdm import tqdm

if TYPE_CHECKING:
    from bench.speed.timing import Section

PACKAGES = ("sklearn-fsad", "torch", "skorch", "numpy", "scikit-learn", "numba", "pyod", "catboost")
TITLE = "Speed"


class Part(NamedTuple):
    """Name the module of a section, and how many rounds it gets."""

    module: str
    share: int = 1  # one round for so many that were asked for
    least: int = 3


SECTIONS = {
    "scoring": Part("one_table", 10),
    "one_row": Part("one_table"),
    "fits": Part("one_table", 10),
    "meta_steps": Part("sections"),
    "adaptations": Part("sections"),
    "prototypes": Part("sections"),
    "training": Part("sections"),
    "networks": Part("sections", 10),
    "first_training": Part("sections", 10),
    "busy_cores": Part("sections", 10),
    "processes": Part("fitting", 10, least=1),
    "meta_fits": Part("families", 30, least=1),
}


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of speed."""
    parser.add_argument("--rounds", type=int, default=30, help="fewer for what takes long")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="sections, in their own file")
    parser.add_argument("--skip", nargs="+", choices=SECTIONS, default=[], help="sections")
    parser.add_argument("--threads", type=int, default=1)
    default = Path("../shared/data")
    parser.add_argument("--data", type=Path, default=default, help="skab, adbench and mvtec_vit")
    parser.add_argument("--device", help="compare what is learned there and on the CPU, no more")


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Time detectors and parts of them beside other ways to do the same, or compare a device."""
    warnings.simplefilter("ignore", UserWarning)
    if args.device:
        from bench.speed.device import run_on_device

        yield run_on_device(args.device)
        return
    yield _timed(args)


def _timed(args: argparse.Namespace) -> Result:
    """Measure sections, all in one process, and put the goals in front."""
    import torch
    from bench.speed.goals import goals
    from threadpoolctl import threadpool_limits

    names = [n for n in SECTIONS if n in (args.only or SECTIONS) and n not in args.skip]
    if not names:
        raise Refused("no section is left to measure")
    measured: dict[str, Section] = {}
    torch.set_num_threads(args.threads)
    with threadpool_limits(args.threads), tqdm(names, "sections") as bar:
        for name in bar:
            bar.set_postfix_str(name)
            measured[name] = _measure(name, args)
    about = conditions(f"threads: {args.threads}", PACKAGES)
    about += (
        f" Processor time, medians over {args.rounds} rounds or as many as a section says, in "
        "which the methods of a table take turns."
    )
    table = goals(measured)
    shown = [about, *([table.to_markdown()] if table else [])]
    shown += [measured[name].to_markdown() for name in names]
    label = "speed" if args.only is None else "speed_some" if names[1:] else f"speed_{names[0]}"
    return Result(label, TITLE, "\n\n".join(part.rstrip() for part in shown))


def _measure(name: str, args: argparse.Namespace) -> Section:
    """Measure one section in its share of the rounds."""
    part = SECTIONS[name]
    module = importlib.import_module(f"bench.speed.{part.module}")
    measure: Callable[..., Any] = getattr(module, name)
    if name == "meta_fits":
        measure = partial(measure, data=args.data)
    return measure(max(args.rounds // part.share, part.least))
