"""Measure the likelihood of neural processes against the exact answer, on functions drawn from one.

A task is one function; its rows are (x, y) with x uniform in [-2, 2], and y is to be predicted. The
Gaussian process that the functions come from, given its own kernel, is the best that anybody can
do: no prediction has a higher expected log-likelihood. Every kind of process learns from the same
functions and adapts to the same contexts of new ones.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from bench.protocols.generated import KERNEL, LENGTH, NOISE, Array, draw_function
from bench.report.records import Result
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from tqdm import tqdm

from sklearn_fsad import NeuralProcessDetector

Predict = Callable[[Array, Array], tuple[Array, Array]]

LEAST, MOST, QUERY = 3, 50, 50
BINS = ((3, 9), (10, 24), (25, 50))
STEP, LAGS = 0.1, (1, 5, 10)
GRID = np.arange(-2.0, 2.0 + STEP / 2, STEP)
CENTRAL_90 = norm.ppf(0.95)
EXACT, CONSTANT = "exact Gaussian process", "mean and spread of the context"
KINDS: dict[str, dict[str, Any]] = {
    "cnp": {"kind": "cnp"},
    "np, elbo": {"kind": "np", "objective": "elbo"},
    "np, importance": {"kind": "np", "objective": "importance"},
    "anp": {"kind": "anp"},
    "tnp": {"kind": "tnp"},
}
SETTINGS: dict[str, Any] = {
    "target_features": [1],
    "anchor": "none",
    "scaler": "none",
    "likelihood": "gaussian",
    "n_normal": (LEAST, MOST),
    "n_query": QUERY,
    "contamination": 0.1,  # only distributions are compared: no threshold to calibrate
    "random_state": 0,
}


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of functions of a Gaussian process."""
    parser.add_argument("--tasks", type=int, default=4000)
    parser.add_argument("--test-tasks", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=6400)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--only", nargs="*", default=list(KINDS), choices=KINDS, metavar="KIND")


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure neural processes against the exact Gaussian process."""
    rng = np.random.default_rng(0)
    train = [draw_function(rng, MOST + QUERY) for _ in range(args.tasks)]
    test = test_tasks(args.test_tasks)
    contexts = [context for context, _ in test]
    measured = {EXACT: measure(exact, test), CONSTANT: measure(constant, test)}
    samples = [{"samples of": EXACT, **coherence([exact_functions(c, GRID, 64) for c in contexts])}]
    seconds = {}
    for name in tqdm(args.only, "kinds"):
        detector = make_process(name, args)
        start = time.process_time()
        detector.meta_fit(train)
        seconds[name] = time.process_time() - start
        measured[name] = measure(adapted(detector), test)
        tqdm.write(f"{name}: {measured[name].mean().round(3).to_dict()}, {seconds[name]:.0f} s")
        if detector.kind == "np":
            detector.set_params(n_latent_samples=64)
            functions = [adapted_functions(detector, c, GRID) for c in contexts]
            samples.append({"samples of": name, **coherence(functions)})
    text = report(measured, seconds, samples, args)
    yield Result("gaussian_process", "Neural processes against the exact Gaussian process", text)


def test_tasks(n: int) -> list[tuple[Array, Array]]:
    """Draw contexts and the rows to predict of new functions."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(LEAST, MOST + 1, size=n)
    drawn = [draw_function(rng, MOST + QUERY) for _ in sizes]
    return [(rows[:size], rows[MOST:]) for size, rows in zip(sizes, drawn, strict=True)]


def make_process(kind: str, args: argparse.Namespace) -> NeuralProcessDetector:
    """Make a process of one kind, its training as the command line has it."""
    return NeuralProcessDetector(
        **SETTINGS,
        **KINDS[kind],
        embedding_dim=args.width,
        lr=args.lr,
        batch_size=args.batch_size,
        episodes_per_epoch=args.episodes,
        max_epochs=args.epochs,
    )


def exact(context: Array, query: Array) -> tuple[Array, Array]:
    """Predict by the process that the functions come from, the noise of a measurement included."""
    process = GaussianProcessRegressor(KERNEL, optimizer=None)
    return process.fit(context[:, :1], context[:, 1]).predict(query[:, :1], return_std=True)


def constant(context: Array, query: Array) -> tuple[Array, Array]:
    """Predict one normal distribution for every x."""
    return np.full(len(query), context[:, 1].mean()), np.full(len(query), context[:, 1].std(ddof=1))


def adapted(detector: NeuralProcessDetector) -> Predict:
    """Return what predicts by a meta-fitted process that adapts to each context."""

    def predict(context: Array, query: Array) -> tuple[Array, Array]:
        mean, std = detector.fit(context).predict_distribution(query)
        return mean[:, 0], std[:, 0]

    return predict


def measure(predict: Predict, tasks: list[tuple[Array, Array]]) -> pd.DataFrame:
    """Measure log-likelihood and coverage of each task's queries, a row a task."""
    rows = []
    for context, query in tasks:
        mean, std = predict(context, query)
        y = query[:, 1]
        rows.append(
            {
                "n": len(context),
                "log-likelihood": norm.logpdf(y, mean, std).mean(),
                "coverage": (np.abs(y - mean) < CENTRAL_90 * std).mean(),
                "error": np.sqrt(np.square(y - mean).mean()),
            }
        )
    return pd.DataFrame(rows)


def exact_functions(context: Array, x: Array, n_functions: int) -> Array:
    """Draw functions, without noise, that the process holds possible: (n_functions, len(x))."""
    process = GaussianProcessRegressor(RBF(LENGTH), alpha=NOISE**2, optimizer=None)
    return process.fit(context[:, :1], context[:, 1]).sample_y(x[:, None], n_functions).T


def adapted_functions(detector: NeuralProcessDetector, context: Array, x: Array) -> Array:
    """Draw functions by the latent variable: (n_latent_samples, len(x))."""
    rows = np.column_stack([x, np.full(len(x), np.nan)])
    return detector.fit(context).sample_functions(rows)[..., 0]


def coherence(functions: list[Array]) -> dict[str, float]:
    """Measure how far samples depart from their mean, and how alike at places some steps apart."""
    deviation = np.concatenate([some - some.mean(axis=0) for some in functions])
    result = {"spread": float(np.sqrt(np.square(deviation).mean()))}
    for steps in LAGS:
        left, right = deviation[:, :-steps], deviation[:, steps:]
        norms = np.sqrt(np.square(left).sum() * np.square(right).sum())
        result[f"correlation {steps * STEP:g} apart"] = float((left * right).sum() / norms)
    return result


def tables(measured: dict[str, pd.DataFrame], seconds: dict[str, float]) -> str:
    """Return tables over all contexts and by the size of the context."""
    best = measured[EXACT]["log-likelihood"]
    rows, by_size = [], []
    for name, found in measured.items():
        value, covered = found["log-likelihood"], found["coverage"]
        gap = best - value
        rows.append(
            {
                "method": name,
                "log-likelihood": value.mean(),
                "s.e.": value.sem(),
                "gap to exact": gap.mean(),
                "s.e. of gap": gap.sem(),
                "coverage": covered.mean(),
                "RMSE": found["error"].mean(),
                "meta_fit CPU s": seconds.get(name, np.nan),
            }
        )
        sizes = {f"n {a}-{b}": found["n"].between(a, b) for a, b in BINS}
        gaps = {f"gap, {size}": gap[rows_of].mean() for size, rows_of in sizes.items()}
        shares = {f"coverage, {size}": covered[rows_of].mean() for size, rows_of in sizes.items()}
        by_size.append({"method": name, **gaps, **shares})
    formats = ("", *[".3f"] * 6, ".0f")
    return (
        "Mean over tasks of the log-likelihood of a held-out measurement, in nats, by the normal "
        "distribution of the predicted mean and standard deviation; how far that is from the "
        "exact process; and the share of measurements within the central 90 % interval.\n\n"
        + pd.DataFrame(rows).to_markdown(index=False, floatfmt=formats)
        + "\n\nBy the number n of rows in the context:\n\n"
        + pd.DataFrame(by_size).to_markdown(index=False, floatfmt=".3f")
    )


def report(
    measured: dict[str, pd.DataFrame],
    seconds: dict[str, float],
    samples: Sequence[dict[str, Any]],
    args: argparse.Namespace,
) -> str:
    """Return the whole report."""
    return (
        f"{args.tasks} functions to learn from, {args.test_tasks} new ones; RBF kernel of "
        f"length {LENGTH} and variance 1 on [-2, 2], noise {NOISE}; contexts of {LEAST} to {MOST} "
        f"rows, {QUERY} rows to predict.\n\n"
        f"{tables(measured, seconds)}\n\n"
        "Samples of whole functions: how far they depart from their mean, and how alike a sample's "
        "departures are at places some way apart. Independent noise would give a correlation of "
        f"0.\n\n{pd.DataFrame(samples).to_markdown(index=False, floatfmt='.3f')}\n"
    )
