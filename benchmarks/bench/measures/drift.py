"""Measure drift alarms: how often they come without a drift, and how soon after one.

The alarm is a martingale of nonconform on p-values. These are the detector's own, which compare
each row with the training rows alone, or sequential ranks among all rows so far, with or without
the left-out scores of the training rows.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from bench.families import try_to_make
from bench.measures.one_table import Row, run_cells
from bench.measures.series_alarms import PHIS, autoregressive
from bench.options import Refused, add_detectors, add_options, refusing
from bench.protocols.families import Task, load_family, random_state_of
from bench.report.conditions import conditions
from bench.report.markdown import markdown
from bench.report.records import Result

from sklearn_fsad.series import WindowedDetector

THRESHOLD = 100.0  # an alarm at one in a hundred streams without drift, at most
BEFORE, AFTER, LATER = 100, 300, 1000  # rows before a drift, after it, and without one
SHARES = (0.2, 0.5)  # of anomalies after a drift
MIN_LATER = 200
SHIFT = 1.5  # standard deviations, of a channel of a made series
WINDOW = 16
ABOUT = (
    "Share of streams with an alarm at {threshold:g}, where at most 1 % is promised without a "
    "drift. Tables: the first n normal rows are the support, up to {later} other normal rows in "
    "random order a stream without drift; with one, {before} normal rows are followed by {after} "
    "in which a share of anomalies is mixed. Delay: median rows from the drift to the alarm, of "
    "the streams with one after the drift. Series: autoregressions (phi) on windows of {window} "
    "steps, of which one in {window} is judged; a drift is a shift of one channel by {shift:g} "
    "standard deviations, and its delay is in windows. {machine}"
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of drift alarms."""
    add_options(parser, "data", label="drift", n=[50, 200], draws=5, seed=0, jobs=1)
    add_detectors(parser)


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Measure drift alarms on tables and on made series."""
    with refusing():
        try_to_make(args.detector)
    if find_spec("nonconform") is None:
        raise Refused("drift alarms need nonconform, which needs Python 3.12")
    cells = [partial(alarms_on_table, task, args) for task in load_family(args.data)]
    cells += [partial(alarms_on_series, phi, args) for phi in PHIS]
    frame = pd.DataFrame(run_cells(cells, args.jobs, "streams"))
    about = ABOUT.format(
        threshold=THRESHOLD, later=LATER, before=BEFORE, after=AFTER, window=WINDOW, shift=SHIFT,
        machine=conditions(),
    )  # fmt: skip
    yield Result(args.label, "Drift alarms", f"{about}\n\n{report(frame)}", frame)


def alarms_on_table(task: Task, args: argparse.Namespace) -> list[Row]:
    """Measure alarms on streams of one table."""
    normals, anomalies = np.flatnonzero(task.y == 0), np.flatnonzero(task.y == 1)
    rows = []
    for n in (n for n in args.n if len(normals) >= n + MIN_LATER):
        for draw in range(args.draws):
            rng = np.random.default_rng(random_state_of(args.seed, task.name, n, draw))
            order = rng.permutation(normals)
            support, later = task.X[order[:n]], order[n:]
            streams = {"none": task.X[later[:LATER]]}
            for share in SHARES:
                after = rng.choice(later, AFTER)
                mixed = rng.random(AFTER) < share
                after[mixed] = rng.choice(anomalies, mixed.sum())
                streams[f"{share:.0%} anomalies"] = task.X[np.concatenate([later[:BEFORE], after])]
            here = {"streams": "tables", "name": task.name, "n": n, "draw": draw}
            rows += [
                {**here, "detector": spec.label, **row}
                for spec in args.detector
                for row in alarms_of(spec.make(), support, streams, slice(None))
            ]
    return rows


def alarms_on_series(phi: float, args: argparse.Namespace) -> list[Row]:
    """Measure alarms on made series of one correlation."""
    rows, n = [], max(args.n) * WINDOW // 4
    for draw in range(2 * args.draws):
        rng = np.random.default_rng(random_state_of(args.seed, str(phi), n, draw))
        X = autoregressive(phi, n + (BEFORE + AFTER) * WINDOW, rng)
        support, later = X[:n], X[n:]
        shifted = later.copy()
        shifted[BEFORE * WINDOW :, 0] += SHIFT * X[:n, 0].std()
        here = {"streams": f"phi={phi}", "name": str(draw), "n": n, "draw": draw}
        streams = {"none": later, "shift": shifted}
        for spec in args.detector:
            detector = WindowedDetector(spec.make(), window=WINDOW)
            found = alarms_of(detector, support, streams, slice(None, None, WINDOW))
            rows += [{**here, "detector": spec.label, **row} for row in found]
    return rows


def alarms_of(
    detector: Any, support: np.ndarray, streams: dict[str, np.ndarray], judged: slice
) -> Iterator[Row]:
    """Yield the first alarm of each kind in each stream."""
    from nonconform.monitoring import SequentialRankConformalizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector.fit(support)
        known = -detector.score_samples(support)[judged]
    for drift, X in streams.items():
        scores = -detector.score_samples(X)[judged]
        found = {"p_values": detector.p_values(X)[judged]}
        for kind, first in {"ranks": [], "ranks, training rows first": known}.items():
            ranks = SequentialRankConformalizer(seed=0).prime_many(first)
            found[kind] = ranks.update_many(scores)
        for kind, p in found.items():
            for name, make in martingales().items():
                alarm = first_alarm(make(), p)
                yield {"drift": drift, "p-values": kind, "martingale": name, "alarm": alarm}


def martingales() -> dict[str, Callable[[], Any]]:
    """Return the alarms to compare, each made anew for a stream."""
    from nonconform.martingales import AlarmConfig, PowerMartingale, SimpleMixtureMartingale

    config = AlarmConfig(restarted_ville_threshold=THRESHOLD)
    return {
        "power": lambda: PowerMartingale(0.5, alarm_config=config),
        "mixture": lambda: SimpleMixtureMartingale(alarm_config=config),
    }


def first_alarm(martingale: Any, p_values: np.ndarray) -> float:
    """Return the position of the first alarm, NaN where there is none."""
    for i, p in enumerate(p_values):
        if martingale.update(float(p)).triggered_alarms:
            return float(i)
    return np.nan


def report(frame: pd.DataFrame) -> str:
    """Return the table: a line for each kind of alarm, with what comes of each kind of drift."""
    keys = ["detector", "streams", "n", "p-values", "martingale"]
    lines = []
    for names, part in frame.groupby(keys, sort=False):
        quiet = part[part.drift == "none"].alarm
        line = [*map(str, names), str(len(quiet)), f"{quiet.notna().mean():.3f}"]
        for share in ("shift", *(f"{share:.0%} anomalies" for share in SHARES)):
            alarm = part[part.drift == share].alarm
            found = alarm[alarm >= BEFORE]
            early = (alarm < BEFORE).mean()
            line.append(
                f"{len(found) / len(alarm):.2f}, {found.median() - BEFORE + 1:.0f}"
                + (f" (before: {early:.2f})" if early else "")
                if len(found)
                else ("0" if len(alarm) else "")
            )
        lines.append(line)
    shown = ["shift", *(f"{share:.0%} anomalies" for share in SHARES)]
    head = [*keys, "streams of each kind", "alarms without drift"]
    return markdown([*head, *(f"{name}: found, delay" for name in shown)], lines)
