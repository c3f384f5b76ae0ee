"""Measure ROC AUC on new tasks of a generator, of detectors that learned on other tasks of it.

Of a hidden place: where a trained embedding overtakes the mix, for ten to a thousand tasks. Of
shifted sines, which differ in one parameter: networks of one size are compared, adapted by gradient
steps, trained on all tasks without adapting, and trained on the support alone.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from bench.methods.base import Baseline
from bench.methods.deep import SupportAlone
from bench.methods.detectors import Adapted
from bench.methods.support import Mahalanobis, Neighbours, Trees
from bench.options import add_options
from bench.protocols.generated import HiddenPlaces, Pair, Shot, draw_shots
from bench.report.records import Result
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from sklearn_fsad import MAMLDetector, ProtoNetDetector
from sklearn_fsad.datasets._made import sinusoid_task
from sklearn_fsad.exceptions import TaskWarning

Shots = Sequence[tuple[int, int]]

SHOTS = ((10, 0), (10, 1), (10, 5), (50, 0), (50, 5))
EMBEDDINGS: dict[str, dict[str, Any]] = {
    "mix": {"embedding": "pooled"},
    "prototypical network": {"embedding": "mlp"},
}
SHOTS_OF_SINES = ((10, 0), (50, 0), (10, 1), (10, 5), (10, 10), (50, 5), (50, 10))
ALONE: dict[str, Any] = {
    "residual": False,
    "gate": False,
    "augment": False,
    "inject": False,
    "scaler": "none",
    "n_normal": (8, 50),
    "random_state": 0,
}
BALANCED = {"n_normal": (10, 25), "n_anomalous": (10, 25)}
STEPS: dict[str, dict[str, Any]] = {
    "MAML": {},
    "MAML, one-class steps": {"inner_batch": "one-class"},
    "MAML, trained on balanced supports": BALANCED,
    "MAML, injected anomalies at k = 0": {"inject": True},
    "MAML, multi-step loss": {"multi_step_loss": True},
    "first-order MAML": {"algorithm": "fomaml"},
    "ANIL": {"algorithm": "anil"},
    "Meta-SGD": {"algorithm": "metasgd"},
    "Reptile": {"algorithm": "reptile"},
    "MAML, hypersphere": {"learner": "svdd"},
    "MAML, autoencoder": {"learner": "autoencoder", "embedding_dim": 1, "hidden": (64, 64)},
    "pooled: trained on all tasks, no steps": {"n_inner_steps": 0},
    "pooled hypersphere": {"n_inner_steps": 0, "learner": "svdd"},
}
N_NORMAL, N_ANOMALOUS = 110, 70  # rows of a task of a shifted sine
ABOUT = "Mean ROC AUC over {} new tasks at n,k = normal, anomalous shots."


def options_hidden(parser: argparse.ArgumentParser) -> None:
    """Add the options of hidden places."""
    add_options(parser, seed=0)
    parser.add_argument("--tasks", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--test-tasks", type=int, default=60)


def run_hidden(args: argparse.Namespace) -> Iterator[Result]:
    """Measure a trained embedding against the mix, on few or many tasks of one generator."""
    warnings.simplefilter("ignore", TaskWarning)
    generator = HiddenPlaces(args.seed)
    rng = np.random.default_rng([args.seed, 1])
    train = [generator.task(rng) for _ in range(max(args.tasks))]
    test = [generator.task(rng) for _ in range(args.test_tasks)]
    baselines = {"Ledoit-Wolf Mahalanobis": Mahalanobis(), "random forest": Trees()}
    rows = [
        {"method": name, "tasks": "-", **measure(baseline, test, SHOTS)}
        for name, baseline in baselines.items()
    ]
    for n_tasks in tqdm(args.tasks, "families"):
        for name, parameters in EMBEDDINGS.items():
            detector = ProtoNetDetector(random_state=args.seed, **parameters)
            found = learned(detector, train[:n_tasks], test, SHOTS)
            rows.append({"method": name, "tasks": n_tasks, **found})
    table = pd.DataFrame(rows)
    shown = table.to_markdown(index=False, floatfmt=("", "", *[".3f"] * len(SHOTS), ".1f"))
    text = f"{ABOUT.format(args.test_tasks)}\n\n{shown}"
    yield Result("many_tasks", "Few or many tasks of one generator", text)


def options_sinusoid(parser: argparse.ArgumentParser) -> None:
    """Add the options of shifted sines."""
    parser.add_argument("--tasks", type=int, default=400)
    parser.add_argument("--episodes", type=int, default=1600)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--test-tasks", type=int, default=40)
    parser.add_argument("--only", nargs="*", default=list(STEPS), choices=STEPS, metavar="METHOD")


def run_sinusoid(args: argparse.Namespace) -> Iterator[Result]:
    """Measure adaptation by gradient steps on tasks that differ in one parameter."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    train = [sinusoid_task(rng, N_NORMAL, N_ANOMALOUS) for _ in range(args.tasks)]
    test = [sinusoid_task(rng, N_NORMAL, N_ANOMALOUS) for _ in range(args.test_tasks)]
    baselines = {
        "Ledoit-Wolf Mahalanobis": Mahalanobis(),
        "nearest normal": Neighbours(1),
        "random forest": Trees(),
        "support alone, 150 Adam steps": SupportAlone("classifier"),
        "support alone, hypersphere": SupportAlone("svdd"),
    }
    rows: list[dict[str, Any]] = [
        {"method": name, **measure(baseline, test, SHOTS_OF_SINES)}
        for name, baseline in baselines.items()
    ]
    budget = {"episodes_per_epoch": args.episodes, "max_epochs": args.epochs}
    for name in tqdm(args.only, "detectors"):
        detector = MAMLDetector(**{**ALONE, **STEPS[name]}, **budget)
        rows.append({"method": name, **learned(detector, train, test, SHOTS_OF_SINES)})
        tqdm.write(str(rows[-1]))
    table = pd.DataFrame(rows)
    shown = table.to_markdown(index=False, floatfmt=("", *[".3f"] * len(SHOTS_OF_SINES), ".0f"))
    text = f"{ABOUT.format(args.test_tasks)}\n\n{shown}"
    yield Result("sinusoid", "One unknown parameter: points off a shifted sine", text)


def learned(
    detector: Any, train: Sequence[Pair], test: Sequence[Pair], shots: Shots
) -> dict[str, float]:
    """Meta-fit a detector, and measure it on new tasks."""
    start = time.process_time()
    detector.meta_fit(list(train))
    seconds = time.process_time() - start
    return {**measure(Adapted(detector), test, shots), "meta_fit s": seconds}


def measure(method: Baseline, tasks: Sequence[Pair], shots: Shots) -> dict[str, float]:
    """Return the mean ROC AUC over tasks by number of shots."""
    most_n, most_k = (max(column) for column in zip(*shots, strict=True))
    return {
        f"{n},{k}": float(
            np.mean([auc_of(method, shot) for shot in draw_shots(tasks, n, k, most_n, most_k)])
        )
        for n, k in shots
    }


def auc_of(method: Baseline, shot: Shot) -> float:
    """Return the ROC AUC on one task; all scores are equal where labels are needed and missing."""
    if method.needs_labels and not shot.support_y.any():
        return 0.5
    scores = method.fit(shot.support_X, shot.support_y).anomaly_score(shot.query_X)
    return roc_auc_score(shot.query_y, scores)
