"""Tasks that differ in one parameter, the case that MAML is for: points off a shifted sine.

A row is (x, y). In a task the normals lie on ``y = sin(x + phase)``, up to noise of 0.1, and the
anomalies on curves of other phases, at least 0.4 away. The phase is the task's own: without the
support nothing tells one from the other.
Networks of one size are compared: adapted by gradient steps, trained on all tasks without adapting,
and trained on the support alone.

    python benchmarks/sinusoid.py
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from many_tasks import Scoring, Task, adapting, forest, mahalanobis, measure
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from tqdm import tqdm

from sklearn_fsad import MAMLDetector
from sklearn_fsad._detectors.maml.learners import make_learner
from sklearn_fsad.datasets._made import sinusoid_task

SHOTS = ((10, 0), (50, 0), (10, 1), (10, 5), (10, 10), (50, 5), (50, 10))
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
DETECTORS: dict[str, dict[str, Any]] = {
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


def make_task(rng: np.random.Generator, n: int = 110, k: int = 70) -> Task:
    """One task of n normal and k anomalous rows."""
    return sinusoid_task(rng, n, k)


def nearest(X: NDArray, y: NDArray, query: NDArray) -> NDArray:
    """Distance to the nearest normal."""
    return NearestNeighbors(n_neighbors=1).fit(X[y == 0]).kneighbors(query)[0][:, 0]


def support_only(kind: str, n_steps: int = 150) -> Scoring:
    """The same network from random weights, trained by Adam on the support alone."""

    def fit_and_score(X: NDArray, y: NDArray, query: NDArray) -> NDArray:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            learner = make_learner(kind, 2, 0, (64, 64), 16, residual=False)
        weights = list(learner.weights)
        optimizer = torch.optim.Adam(weights, lr=0.01)
        rows, labels = torch.tensor(np.arcsinh(X)).float(), torch.tensor(y)
        for _ in range(n_steps):
            optimizer.zero_grad()
            learner.loss(weights, rows, labels).backward()
            optimizer.step()
        with torch.no_grad():
            return learner.score(weights, torch.tensor(np.arcsinh(query)).float()).numpy()

    return fit_and_score


def main() -> None:
    """Run the comparison and write a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=400)
    parser.add_argument("--episodes", type=int, default=1600)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--test-tasks", type=int, default=40)
    parser.add_argument("--only", nargs="*", default=list(DETECTORS))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    warnings.simplefilter("ignore")

    rng = np.random.default_rng(0)
    train = [make_task(rng) for _ in range(options.tasks)]
    test = [make_task(rng) for _ in range(options.test_tasks)]
    baselines = {
        "Ledoit-Wolf Mahalanobis": mahalanobis,
        "nearest normal": nearest,
        "random forest": forest,
        "support alone, 150 Adam steps": support_only("classifier"),
        "support alone, hypersphere": support_only("svdd"),
    }
    rows = [
        {"method": name, **measure(scoring, test, SHOTS)} for name, scoring in baselines.items()
    ]
    for name in tqdm(options.only, "detectors"):
        detector = MAMLDetector(
            **{**ALONE, **DETECTORS[name]},
            episodes_per_epoch=options.episodes,
            max_epochs=options.epochs,
        )
        start = time.perf_counter()
        detector.meta_fit(train)
        seconds = time.perf_counter() - start
        rows.append(
            {"method": name, **measure(adapting(detector), test, SHOTS), "meta_fit s": seconds}
        )
        tqdm.write(str(rows[-1]))
    table = pd.DataFrame(rows)
    formats = ("", *[".3f"] * len(SHOTS), ".0f")
    text = (
        "# One unknown parameter: points off a shifted sine\n\n"
        f"    python benchmarks/sinusoid.py --tasks {options.tasks} --episodes "
        f"{options.episodes} --epochs {options.epochs} --test-tasks {options.test_tasks}\n\n"
        f"Mean ROC AUC over {options.test_tasks} new tasks at n,k = normal, anomalous shots.\n\n"
        + table.to_markdown(index=False, floatfmt=formats)
        + "\n"
    )
    print(text)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "sinusoid.md").write_text(text)


if __name__ == "__main__":
    main()
