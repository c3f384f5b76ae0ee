"""Measure false alarms on later normal steps of series: what is promised and what comes.

The series are recordings up to their anomaly, and made ones: three mixed channels of first-order
autoregressions. Each detector is fitted to the first n steps, on steps alone and on windows.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from bench.families import try_to_make
from bench.options import add_detectors, add_options, refusing
from bench.protocols.families import load_family, random_state_of
from bench.report.conditions import conditions
from bench.report.markdown import markdown
from bench.report.records import Result
from tqdm import tqdm

from sklearn_fsad.series import WindowedDetector

ALPHAS = (0.05, 0.1)
PHIS = (0.0, 0.5, 0.9, 0.95, 0.98)  # correlation of neighbouring steps
N_CHANNELS = 3
LEAST = 50  # later steps, to judge on
PROMISE = "cannot be promised"  # what the warning says
Row = dict[str, Any]
ABOUT = (
    'Share of later normal steps that is flagged, with `threshold="auto"`, mean over series. '
    "{draws} made series of each kind, judged on {later} steps after the first n; recordings on "
    "their normal steps after the first n and before the anomaly. Independent: median of "
    "`n_independent_`. Warned: share of fits that say that the rate cannot be promised. Not "
    "warned: mean share of flagged steps after the other fits. {machine}"
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of false alarms on series."""
    add_options(parser, "data", label="series_alarms", n=[100, 200, 400, 1000], draws=20, seed=0)
    add_detectors(parser)
    parser.add_argument("--later", type=int, default=1500, help="later steps of a made series")


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure false alarms on later normal steps, after a fit to the first ones."""
    with refusing():
        try_to_make(args.detector)
        series = [*recordings(args), *made_series(args)]
    rows = []
    for kind, name, n, X in tqdm(series, "series"):
        here = {"series": kind, "name": name, "n": n}
        for spec in args.detector:
            detectors = {"steps": spec.make(), "windows": WindowedDetector(spec.make())}
            for what, detector in detectors.items():
                method = f"{spec.label}, {what}"
                rows += [{**here, "method": method, **row} for row in alarms(detector, X, n)]
    frame = pd.DataFrame(rows)
    about = ABOUT.format(draws=args.draws, later=args.later, machine=conditions())
    yield Result(args.label, "False alarms on series", f"{about}\n\n{report(frame)}", frame)


def recordings(args: argparse.Namespace) -> Iterator[tuple[str, str, int, np.ndarray]]:
    """Yield the normal steps of each recording before its anomaly, for each n that they allow."""
    for task in load_family(args.data):
        anomalous = np.flatnonzero(task.y)
        normal = task.X[: anomalous[0]] if len(anomalous) else task.X
        for n in (n for n in args.n if len(normal) >= n + LEAST):
            yield "recordings", task.name, n, normal


def made_series(args: argparse.Namespace) -> Iterator[tuple[str, str, int, np.ndarray]]:
    """Yield autoregressive series, each long enough for n."""
    for phi in PHIS:
        for n in args.n:
            for draw in range(args.draws):
                rng = np.random.default_rng(random_state_of(args.seed, str(phi), n, draw))
                yield f"phi={phi}", str(draw), n, autoregressive(phi, n + args.later, rng)


def autoregressive(phi: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Make mixed channels of stationary series of variance 1: (n, N_CHANNELS)."""
    hidden = rng.normal(size=(n, N_CHANNELS))
    for step in range(1, n):
        hidden[step] = phi * hidden[step - 1] + np.sqrt(1.0 - phi**2) * hidden[step]
    return hidden @ rng.normal(size=(N_CHANNELS, N_CHANNELS))


def alarms(detector: Any, X: np.ndarray, n: int) -> Iterator[Row]:
    """Yield the share of flagged steps after the first n, for each rate aimed at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector.fit(X[:n])
    scores = detector.score_samples(X)[n:]
    for alpha in ALPHAS:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            detector.set_threshold("auto", alpha=alpha)
        yield {
            "alpha": alpha,
            "alarms": float((scores < detector.offset_).mean()),
            "independent": getattr(detector, "n_independent_", n),
            "warned": any(PROMISE in str(warning.message) for warning in told),
        }


def report(frame: pd.DataFrame) -> str:
    """Return a table for each detector: series and n, and what comes of each rate."""
    parts = []
    for method, part in frame.groupby("method", sort=False):
        columns = [f"{what} {a}" for a in ALPHAS for what in ("at", "warned", "not warned")]
        lines = []
        for (kind, n), cell in part.groupby(["series", "n"], sort=False):
            shown = [str(kind), str(n), str(cell.name.nunique())]
            shown.append(f"{cell.independent.median():.0f}")
            for alpha in ALPHAS:
                shown += _shown(cell[cell.alpha == alpha])
            lines.append(shown)
        header = ["series", "n", "how many", "independent", *columns]
        parts += [f"## {method}", markdown(header, lines)]
    return "\n\n".join(parts)


def _shown(cell: pd.DataFrame) -> list[str]:
    silent = cell[~cell.warned].alarms
    warned, kept = f"{cell.warned.mean():.0%}", f"{silent.mean():.3f}" if len(silent) else "-"
    return [f"{cell.alarms.mean():.3f}", warned, kept]
