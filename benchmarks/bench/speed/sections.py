"""Measure meta-steps, adaptations, the training loop, networks and new processes.

The other sections are in :mod:`bench.speed.one_table`, :mod:`bench.speed.fitting` and
:mod:`bench.speed.families`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from bench.speed import fresh
from bench.speed.networks import make_rows, make_scorings
from bench.speed.steps import (
    ADAPTATIONS,
    LOOP,
    META_STEPS,
    ORDERS,
    OURS,
    make_module,
    make_tasks,
    relative_difference,
)
from bench.speed.timing import Section, median_seconds
from bench.speed.training import (
    BARE,
    COLLATED,
    PREPARED,
    SKORCH,
    make_epochs,
    prototypical_meta_step,
)

N_META_STEPS = 20
N_ROWS = 100_000
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-4
FIRST_ALONE, RATIO = "what the first one costs more", "default / one thread"
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
ABOUT_NETWORKS = (
    f"{N_ROWS:,} rows of 32 features by `decision_function`, after `meta_fit` and a fit to 15 "
    "normal and 5 anomalous rows; {} rounds. The forward passes are of networks of the same shape, "
    "in float64."
)
ABOUT_FIRST = (
    "A neural process that hardly trains, fitted twice in a new process; {} rounds, each in a "
    "process of its own."
)
ABOUT_BUSY = (
    "Processor time of a fit in a new process while {cores} other processes keep all {cores} cores "
    "busy: with `OMP_NUM_THREADS=1` and its like, and without; {rounds} rounds in which both take "
    "turns."
)


def meta_steps(rounds: int) -> Section:
    """Measure meta-steps of both orders, which must agree."""
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
    return Section("A meta-step", ABOUT_META_STEPS.format(*gaps), rows)


def _largest_differences(results: Mapping[tuple[str, str], Any]) -> tuple[float, float]:
    """Return the largest relative differences, of a loss and of a gradient, from ours."""
    pairs = [(result, results[order, OURS]) for (order, _), result in results.items()]
    loss_gap = max(relative_difference([a[0]], [b[0]]) for a, b in pairs)
    gradient_gap = max(relative_difference(a[1], b[1]) for a, b in pairs)
    assert loss_gap < LOSS_TOLERANCE, f"losses differ by {loss_gap}"
    assert gradient_gap < GRADIENT_TOLERANCE, f"gradients differ by {gradient_gap}"
    return loss_gap, gradient_gap


def adaptations(rounds: int) -> Section:
    """Measure adaptations to one task, which must agree."""
    tasks, module = make_tasks(), make_module(ORDERS["second"])
    methods = {name: make(module, tasks) for name, make in ADAPTATIONS.items()}
    adapted = {name: method() for name, method in methods.items()}
    gap = max(relative_difference(weights, adapted[OURS]) for weights in adapted.values())
    assert gap < GRADIENT_TOLERANCE, f"adapted weights differ by {gap}"
    seconds = median_seconds(methods, rounds)
    rows = [
        {"method": name, "ms": 1e3 * s, "time / the loop's": s / seconds[LOOP]}
        for name, s in seconds.items()
    ]
    return Section("An adaptation", ABOUT_ADAPTATIONS.format(gap), rows)


def prototypes(rounds: int) -> Section:
    """Measure a prototypical network's meta-step."""
    seconds = median_seconds({OURS: prototypical_meta_step(make_tasks())}, rounds)
    rows = [{"method": name, "ms": 1e3 * s} for name, s in seconds.items()]
    return Section("A meta-step of a prototypical network", ABOUT_PROTOTYPES, rows)


def training(rounds: int) -> Section:
    """Measure epochs by skorch and by a bare loop."""
    epochs = make_epochs(N_META_STEPS)
    losses = [epoch() for epoch in epochs.values()]
    assert np.ptp(losses) < LOSS_TOLERANCE * losses[0], f"losses differ: {losses}"
    seconds = median_seconds(epochs, rounds)
    rows = []
    for batches in (COLLATED, PREPARED):
        bare, skorch = (1e3 * seconds[batches, loop] / N_META_STEPS for loop in (BARE, SKORCH))
        times = {f"{BARE}, ms": bare, f"{SKORCH}, ms": skorch}
        rows.append({"batches": batches, **times, "overhead, %": 100 * (skorch / bare - 1)})
    return Section("The training loop", ABOUT_TRAINING, rows)


def networks(rounds: int) -> Section:
    """Count the rows that meta-fitted detectors score in a second."""
    X = make_rows(N_ROWS)
    functions = {name: partial(score, X) for name, score in make_scorings().items()}
    seconds = median_seconds(functions, rounds)
    rows = [{"method": name, "1000 rows / s": N_ROWS / s / 1000} for name, s in seconds.items()]
    return Section("Scoring by networks", ABOUT_NETWORKS.format(rounds), rows)


def first_training(rounds: int) -> Section:
    """Measure what the first training in a process costs more than the second."""
    found = [fresh.called_fresh("first_training") for _ in range(rounds)]
    for one in found:
        one[FIRST_ALONE] = one[fresh.FIRST] - one[fresh.SECOND]
    rows = [
        {"what": name, "s": float(np.median([one[name] for one in found]))} for name in found[0]
    ]
    return Section("The first training in a process", ABOUT_FIRST.format(rounds), rows)


def busy_cores(rounds: int) -> Section:
    """Measure fits with default threads beside those with one, on busy cores."""
    ways: dict[str, Callable[[], dict[str, str | None]]] = {
        "one thread, s": fresh.one_thread,
        "default threads, s": fresh.default_threads,
    }
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    with fresh.busy_cores() as cores:
        for _ in range(rounds):
            for way, environment in ways.items():
                found[way].append(fresh.called_fresh("some_fits", **environment()))
    rows = []
    for name in found["one thread, s"][0]:
        seconds = {
            way: float(np.median([one[name] for one in ones])) for way, ones in found.items()
        }
        one, default = seconds.values()
        rows.append({"fit": name, **seconds, RATIO: default / one})
    return Section("Busy cores", ABOUT_BUSY.format(cores=cores, rounds=rounds), rows)
