"""Time meta-steps, adaptation, the training loop and scoring, beside other ways to do them."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from bench.report.conditions import conditions
from bench.report.records import Result
from bench.speed.fitting import (
    MISSING,
    N_ANOMALOUS,
    N_CONTEXT_FEATURES,
    N_CONTEXT_ROWS,
    N_NORMAL,
    N_SUPPORT,
    in_context_costs,
    process_costs,
)
from bench.speed.scoring import make_rows, make_scorings
from bench.speed.steps import (
    ADAPTATIONS,
    META_STEPS,
    ORDERS,
    OURS,
    make_module,
    make_tasks,
    relative_difference,
)
from bench.speed.training import (
    BARE,
    COLLATED,
    PREPARED,
    SKORCH,
    make_epochs,
    prototypical_meta_step,
)
from threadpoolctl import threadpool_limits
from tqdm import tqdm

K = TypeVar("K")

N_META_STEPS = 20
N_ROWS = 100_000
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-4
ABOUT_META_STEPS = (
    "16 tasks of 20 support and 64 query rows, a perceptron 32-64-64-1, 5 inner steps, float32: "
    "the mean logistic loss of the queries and its gradient with respect to the initial weights. "
    "The losses of all methods agree to a relative {:.0e}, the gradients to {:.0e}. Ours also "
    "measures the length of each inner gradient, to shorten those that are too long; here none is."
)
ABOUT_ADAPTATIONS = (
    "To one of these tasks, nothing being kept for an outer gradient; the weights agree to {:.0e}. "
    "Ours also returns the loss before and after each step."
)
ABOUT_PROTOTYPES = "The same tasks, an embedding 32-64-64-32 and the pairwise loss."
ABOUT_TRAINING = (
    f"Time per meta-step in an epoch of {N_META_STEPS} of second order as above, with the pairwise "
    "loss and Adam: by skorch, its start included, and by a bare loop."
)
ABOUT_SCORING = (
    f"{N_ROWS:,} rows of 32 features by `decision_function`, after a fit to 15 normal and 5 "
    "anomalous rows; {} rounds. The forward passes are of networks of the same shape, in float64."
)
ABOUT_PROCESSES = (
    f"`NeuralProcessDetector` on {N_SUPPORT} normal rows without meta-training: one fit, which "
    "includes the copies that calibrate its threshold, and rows scored by `score_samples`, all "
    f"there or {100 * MISSING:.0f} % of their entries missing; {{}} rounds of scoring."
)
ABOUT_IN_CONTEXT = (
    f"A fit to {N_NORMAL} normal rows of {N_CONTEXT_FEATURES} features, without and with "
    f"{N_ANOMALOUS} labelled anomalies, and {N_CONTEXT_ROWS:,} rows by `decision_function`; {{}} "
    "rounds."
)
PACKAGES = ("torch", "skorch", "numpy", "scikit-learn", "pyod")


def median_seconds(functions: Mapping[K, Callable[[], Any]], rounds: int) -> dict[K, float]:
    """Return the median duration of each function over rounds in which all take turns."""
    seconds: dict[K, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()  # the first call pays for what is made once
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def meta_steps(rounds: int) -> str:
    """Time meta-steps of both orders, which must agree."""
    tasks = make_tasks()
    steps = {
        (order, name): make(make_module(algorithm), tasks)
        for order, algorithm in ORDERS.items()
        for name, make in META_STEPS.items()
    }
    gaps = _largest_differences({key: step() for key, step in steps.items()})
    seconds = median_seconds(steps, rounds)
    rows = [
        {"order": order, "method": name, "ms": 1e3 * s, "time / ours": s / seconds[order, OURS]}
        for (order, name), s in seconds.items()
    ]
    return _section("A meta-step", ABOUT_META_STEPS.format(*gaps), rows)


def _largest_differences(results: Mapping[tuple[str, str], Any]) -> tuple[float, float]:
    """Return the largest relative differences, of a loss and of a gradient, from ours."""
    pairs = [(result, results[order, OURS]) for (order, _), result in results.items()]
    loss_gap = max(relative_difference([a[0]], [b[0]]) for a, b in pairs)
    gradient_gap = max(relative_difference(a[1], b[1]) for a, b in pairs)
    assert loss_gap < LOSS_TOLERANCE, f"losses differ by {loss_gap}"
    assert gradient_gap < GRADIENT_TOLERANCE, f"gradients differ by {gradient_gap}"
    return loss_gap, gradient_gap


def adaptations(rounds: int) -> str:
    """Time adaptations to one task, which must agree."""
    tasks, module = make_tasks(), make_module(ORDERS["second"])
    methods = {name: make(module, tasks) for name, make in ADAPTATIONS.items()}
    adapted = {name: method() for name, method in methods.items()}
    gap = max(relative_difference(weights, adapted[OURS]) for weights in adapted.values())
    assert gap < GRADIENT_TOLERANCE, f"adapted weights differ by {gap}"
    seconds = median_seconds(methods, rounds)
    rows = [
        {"method": name, "ms": 1e3 * s, "time / ours": s / seconds[OURS]}
        for name, s in seconds.items()
    ]
    return _section("An adaptation", ABOUT_ADAPTATIONS.format(gap), rows)


def prototypes(rounds: int) -> str:
    """Time a prototypical network's meta-step."""
    seconds = median_seconds({OURS: prototypical_meta_step(make_tasks())}, rounds)
    rows = [{"method": name, "ms": 1e3 * s} for name, s in seconds.items()]
    return _section("A meta-step of a prototypical network", ABOUT_PROTOTYPES, rows)


def training(rounds: int) -> str:
    """Time epochs by skorch and by a bare loop."""
    epochs = make_epochs(N_META_STEPS)
    losses = [epoch() for epoch in epochs.values()]
    assert np.ptp(losses) < LOSS_TOLERANCE * losses[0], f"losses differ: {losses}"
    seconds = median_seconds(epochs, rounds)
    rows = []
    for batches in (COLLATED, PREPARED):
        bare, skorch = (1e3 * seconds[batches, loop] / N_META_STEPS for loop in (BARE, SKORCH))
        times = {f"{BARE}, ms": bare, f"{SKORCH}, ms": skorch}
        rows.append({"batches": batches, **times, "overhead, %": 100 * (skorch / bare - 1)})
    return _section("The training loop", ABOUT_TRAINING, rows)


def scoring(rounds: int) -> str:
    """Count the rows that detectors score in a second."""
    X = make_rows(N_ROWS)
    functions = {name: partial(score, X) for name, score in make_scorings().items()}
    seconds = median_seconds(functions, rounds)
    rows = [{"method": name, "1000 rows / s": N_ROWS / s / 1000} for name, s in seconds.items()]
    return _section("Scoring", ABOUT_SCORING.format(rounds), rows)


def processes(rounds: int) -> str:
    """Time neural processes on one table."""
    return _section("Neural processes", ABOUT_PROCESSES.format(rounds), process_costs(rounds))


def in_context(rounds: int) -> str:
    """Time a table in context."""
    rows = in_context_costs(rounds, median_seconds)
    return _section("In context", ABOUT_IN_CONTEXT.format(rounds), rows)


def _section(title: str, about: str, rows: list[dict[str, Any]]) -> str:
    table = pd.DataFrame(rows).to_markdown(index=False, floatfmt=".2f")
    return f"## {title}\n\n{about}\n\n{table}\n"


SECTIONS = (meta_steps, adaptations, prototypes, training, scoring, processes, in_context)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of speed."""
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument(
        "--only", choices=[part.__name__ for part in SECTIONS], help="one section, in its own file"
    )
    parser.add_argument("--threads", type=int, default=1)


def run_sections(args: argparse.Namespace) -> Iterator[Result]:
    """Time meta-steps, adaptation, the training loop and scoring, beside other ways to do them."""
    warnings.simplefilter("ignore", UserWarning)
    torch.set_num_threads(args.threads)
    few = max(args.rounds // 10, 3)
    parts = [
        (section, few if section in (scoring, processes, in_context) else args.rounds)
        for section in SECTIONS
        if args.only in (None, section.__name__)
    ]
    with threadpool_limits(args.threads):
        sections = [measure(rounds) for measure, rounds in tqdm(parts, "sections")]
    about = conditions(f"threads: {args.threads}", PACKAGES)
    about += f" Medians over {args.rounds} rounds in which the methods of a table take turns."
    name = f"speed_{args.only}" if args.only else "speed"
    yield Result(name, "Speed", "\n\n".join([about, "\n".join(sections)]))
