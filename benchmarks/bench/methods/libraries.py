"""Wrap detectors of PyOD, XGBoost and CatBoost as baselines, with settings legal for few rows."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
from bench.methods.base import Baseline

CLASSES = {
    "knn": "KNN",
    "lof": "LOF",
    "iforest": "IForest",
    "ocsvm": "OCSVM",
    "gmm": "GMM",
    "ecod": "ECOD",
    "copod": "COPOD",
    "hbos": "HBOS",
    "pca": "PCA",
    "lunar": "LUNAR",
}


class PyOD(Baseline):
    """A PyOD detector on the support normals."""

    def __init__(self, name: str, random_state: int = 0) -> None:
        self.name, self.random_state = name, random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> PyOD:
        """Learn from the normals."""
        normals = X[y == 0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model_ = make_pyod(self.name, normals, self.random_state).fit(normals)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return PyOD's score, which is larger for more anomalous rows."""
        return np.asarray(self.model_.decision_function(X), dtype=float)


def make_pyod(name: str, normals: np.ndarray, random_state: int) -> Any:
    """Make a PyOD detector whose settings are legal for these rows, else its defaults."""
    few = {"n_neighbors": min(5, len(normals) - 1)}
    params: dict[str, dict[str, Any]] = {
        "knn": few,
        "lof": {"n_neighbors": min(20, len(normals) - 1)},
        "iforest": {"random_state": random_state},
        "gmm": {"random_state": random_state},
        "lunar": {"n_neighbours": few["n_neighbors"]},
    }
    if name == "pca":
        rank = np.linalg.matrix_rank(normals - normals.mean(axis=0))  # others have no variance
        params["pca"] = {"n_components": max(int(rank), 1), "random_state": random_state}
    if name == "lunar":
        import torch

        torch.manual_seed(random_state)  # LUNAR has no seed of its own
        np.random.seed(random_state)  # noqa: NPY002 - pyod draws from it
    module = importlib.import_module(f"pyod.models.{name}")
    return getattr(module, CLASSES[name])(**params.get(name, {}))


class XGBOD(Baseline):
    """PyOD's XGBOD: boosted trees on features and on scores of many detectors."""

    uses_labels = needs_labels = True

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> XGBOD:
        """Learn from the labelled support."""
        from pyod.models.xgbod import XGBOD as Boosted

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model_ = Boosted(random_state=self.random_state, n_jobs=1).fit(X, y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of an anomaly."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(self.model_.decision_function(X), dtype=float)


class CatBoost(Baseline):
    """CatBoost with balanced classes and its own defaults."""

    uses_labels = needs_labels = True

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> CatBoost:
        """Learn from the labelled support."""
        from catboost import CatBoostClassifier

        self.model_ = CatBoostClassifier(
            auto_class_weights="Balanced",
            random_seed=self.random_state,
            thread_count=1,
            verbose=False,
            allow_writing_files=False,
        ).fit(X, y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of an anomaly."""
        return self.model_.predict_proba(X)[:, 1]
