"""Where a trained embedding overtakes the mix: families of ten to a thousand tasks.

All tasks share one generator. A task is a place in a hidden space of four dimensions, its normals
lie around it and its anomalies elsewhere; four nuisance dimensions vary as much as either. What is
observed is a fixed curved mixture of all eight in twenty features, so that no closed form can tell
the hidden place from the nuisance, but a network that has seen enough tasks can.

    python benchmarks/many_tasks.py
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.exceptions import TaskWarning

Task = tuple[NDArray[np.float64], NDArray[np.int64]]
Scoring = Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], NDArray[Any]]
SHOTS = ((10, 0), (10, 1), (10, 5), (50, 0), (50, 5))


class Generator:
    """The shared generator of a family.

    Parameters
    ----------
    seed : int
        Seed of the mixture that all tasks share.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 0])
        self.inner = rng.normal(size=(8, 40)) / np.sqrt(8)
        self.bias = rng.normal(size=40)
        self.outer = rng.normal(size=(40, 20)) / np.sqrt(40)

    def observe(self, latent: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Latent rows (n, 8) as observed rows (n, 20)."""
        curved = np.sin(0.7 * latent @ self.inner + self.bias)
        return curved @ self.outer + 0.02 * rng.normal(size=(len(latent), 20))

    def task(self, rng: np.random.Generator, n: int = 100, k: int = 50) -> Task:
        """One task of n normal and k anomalous rows."""
        place = rng.normal(size=4)
        hidden = np.concatenate(
            [place + 0.2 * rng.normal(size=(n, 4)), place + 1.2 * _unit(rng, k, 4)]
        )
        nuisance = rng.normal(size=(n + k, 4))
        X = self.observe(np.concatenate([hidden, nuisance], axis=1), rng)
        return X, np.r_[np.zeros(n, dtype=np.int64), np.ones(k, dtype=np.int64)]


def _unit(rng: np.random.Generator, n: int, d: int) -> NDArray[np.float64]:
    directions = rng.normal(size=(n, d))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def measure(
    fit_and_score: Scoring, tasks: list[Task], shots: Sequence[tuple[int, int]] = SHOTS
) -> dict[str, float]:
    """Mean ROC AUC over tasks per number of shots; rows of the support are never in the query."""
    most_n, most_k = (max(column) for column in zip(*shots, strict=True))
    result = {}
    for n, k in shots:
        aucs = []
        for X, y in tasks:
            normal, anomalous = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
            support = np.concatenate([normal[:n], anomalous[:k]])
            query = np.concatenate([normal[most_n:], anomalous[most_k:]])
            scores = fit_and_score(X[support], y[support], X[query])
            aucs.append(roc_auc_score(y[query], scores))
        result[f"{n},{k}"] = float(np.mean(aucs))
    return result


def mahalanobis(X: NDArray, y: NDArray, query: NDArray) -> NDArray:
    """Distance to the normals with the covariance of Ledoit and Wolf."""
    return LedoitWolf().fit(X[y == 0]).mahalanobis(query)


def forest(X: NDArray, y: NDArray, query: NDArray) -> NDArray:
    """Random forest; nothing where no anomaly is labelled."""
    if not y.any():
        return np.zeros(len(query))
    trees = RandomForestClassifier(class_weight="balanced", random_state=0)
    return trees.fit(X, y).predict_proba(query)[:, 1]


def adapting(detector: Any) -> Scoring:
    """A meta-fitted detector that adapts to each support."""
    return lambda X, y, query: -detector.fit(X, y).decision_function(query)


def main() -> None:
    """Run the comparison and write a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--test-tasks", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    warnings.simplefilter("ignore", TaskWarning)

    generator = Generator(options.seed)
    rng = np.random.default_rng([options.seed, 1])
    train = [generator.task(rng) for _ in range(max(options.tasks))]
    test = [generator.task(rng) for _ in range(options.test_tasks)]
    rows = [
        {"method": "Ledoit-Wolf Mahalanobis", "tasks": "-", **measure(mahalanobis, test)},
        {"method": "random forest", "tasks": "-", **measure(forest, test)},
    ]
    settings: dict[str, dict[str, Any]] = {
        "mix": {"embedding": "pooled"},
        "prototypical network": {"embedding": "mlp"},
    }
    for n_tasks in tqdm(options.tasks, "families"):
        for name, parameters in settings.items():
            detector = ProtoNetDetector(random_state=options.seed, **parameters)
            start = time.perf_counter()
            detector.meta_fit(train[:n_tasks])
            seconds = time.perf_counter() - start

            quality = measure(adapting(detector), test)
            rows.append({"method": name, "tasks": n_tasks, **quality, "meta_fit s": seconds})
    table = pd.DataFrame(rows)
    text = (
        "# Few or many tasks of one generator\n\n"
        f"    python benchmarks/many_tasks.py --seed {options.seed}\n\n"
        f"Mean ROC AUC over {options.test_tasks} new tasks at n,k = normal, anomalous shots.\n\n"
        + table.to_markdown(index=False, floatfmt=("", "", *[".3f"] * len(SHOTS), ".1f"))
        + "\n"
    )
    print(text)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "many_tasks.md").write_text(text)


if __name__ == "__main__":
    main()
