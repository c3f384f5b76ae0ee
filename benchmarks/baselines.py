"""Baselines that learn from one support and nothing else.

Each has ``fit(X, y)``, where y is 1 for an anomaly and 0 for a normal row, and
``anomaly_score(X)``, larger for more anomalous rows. Names ending in ``_scaled`` see features
centred and divided by the spread of the support normals; names ending in ``_raw`` see them as they
are; the trees do not mind.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from _compose import Baseline, Scaled, ScoreSum
from _shrunk import ShrunkCovariance
from scipy.spatial.distance import cdist
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

CHUNK = 4096


class Mahalanobis(Baseline):
    """Ledoit-Wolf Mahalanobis distance to the mean of the normals."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Mahalanobis:
        """Learn mean and covariance of the normals."""
        normals = X[y == 0]
        self.mean_ = normals.mean(axis=0)
        self.covariance_ = ShrunkCovariance(normals - self.mean_)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the distance."""
        return np.sqrt(self.covariance_.squared_distance(X - self.mean_))


class Discriminant(Baseline):
    """Linear discriminant; Ledoit-Wolf covariance of both classes, each centred on its mean."""

    uses_labels = needs_labels = True

    def fit(self, X: np.ndarray, y: np.ndarray) -> Discriminant:
        """Learn the direction from the normals' mean to the anomalies' mean."""
        normals, anomalies = X[y == 0], X[y == 1]
        self.mean_ = normals.mean(axis=0)
        centred = np.vstack([normals - self.mean_, anomalies - anomalies.mean(axis=0)])
        self.direction_ = ShrunkCovariance(centred).solve(anomalies.mean(axis=0) - self.mean_)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the coordinate along the direction."""
        return (X - self.mean_) @ self.direction_


class Neighbours(Baseline):
    """Mean distance to the nearest normals."""

    def __init__(self, n_neighbors: int = 1) -> None:
        self.n_neighbors = n_neighbors

    def fit(self, X: np.ndarray, y: np.ndarray) -> Neighbours:
        """Keep the normals."""
        self.normals_ = X[y == 0]
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the mean distance."""
        return nearest(X, self.normals_, self.n_neighbors)


class NeighbourRatio(Baseline):
    """Distance to the nearest normal over that plus the distance to the nearest anomaly.

    Without labelled anomalies it is the distance to the nearest normal.
    """

    uses_labels = True

    def fit(self, X: np.ndarray, y: np.ndarray) -> NeighbourRatio:
        """Keep the support."""
        self.normals_, self.anomalies_ = X[y == 0], X[y == 1]
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the ratio."""
        to_normal = nearest(X, self.normals_)
        if not len(self.anomalies_):
            return to_normal
        return (to_normal + 1e-12) / (to_normal + nearest(X, self.anomalies_) + 2e-12)


class Logistic(Baseline):
    """Logistic regression with balanced classes."""

    uses_labels = needs_labels = True

    def fit(self, X: np.ndarray, y: np.ndarray) -> Logistic:
        """Learn from the labelled support."""
        self.model_ = LogisticRegression(class_weight="balanced", max_iter=1000).fit(X, y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the log odds."""
        return self.model_.decision_function(X)


class Trees(Baseline):
    """A hundred trees with balanced classes: a random forest, or extremely randomised trees."""

    uses_labels = needs_labels = True

    def __init__(self, kind: str = "forest", random_state: int = 0) -> None:
        self.kind, self.random_state = kind, random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> Trees:
        """Learn from the labelled support."""
        make = RandomForestClassifier if self.kind == "forest" else ExtraTreesClassifier
        forest = make(n_estimators=100, class_weight="balanced", random_state=self.random_state)
        self.model_ = forest.fit(X, y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the share of votes for an anomaly."""
        return self.model_.predict_proba(X)[:, 1]

    def fit_left_out(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Learn, and score each normal by those trees of a forest that did not see it."""
        if self.kind != "forest":
            return super().fit_left_out(X, y)
        self.model_ = RandomForestClassifier(
            n_estimators=100,
            class_weight="balanced",
            oob_score=True,
            random_state=self.random_state,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            votes = self.model_.fit(X, y).oob_decision_function_[y == 0, 1]
        return np.nan_to_num(votes, nan=0.0)


class PyOD(Baseline):
    """A PyOD detector on the support normals, its defaults made legal for few rows."""

    def __init__(self, name: str, random_state: int = 0) -> None:
        self.name, self.random_state = name, random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> PyOD:
        """Learn from the normals."""
        normals = X[y == 0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model_ = make_pyod(self.name, len(normals), self.random_state).fit(normals)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return PyOD's score, which is larger for more anomalous rows."""
        return np.asarray(self.model_.decision_function(X), dtype=float)


def nearest(X: np.ndarray, support: np.ndarray, n_neighbors: int = 1) -> np.ndarray:
    """Return the mean distance from each row of X to its nearest support rows, in chunks."""
    n_neighbors = min(n_neighbors, len(support))
    means = [np.empty(0)]
    for start in range(0, len(X), CHUNK):
        distances = cdist(X[start : start + CHUNK], support)
        means.append(np.sort(distances, axis=1)[:, :n_neighbors].mean(axis=1))
    return np.concatenate(means)


def make_pyod(name: str, n: int, random_state: int) -> Any:
    """Return a PyOD detector whose number of neighbours is legal for n rows."""
    if name == "knn":
        from pyod.models.knn import KNN

        return KNN(n_neighbors=min(5, n - 1))
    if name == "lof":
        from pyod.models.lof import LOF

        return LOF(n_neighbors=min(20, n - 1))
    if name == "iforest":
        from pyod.models.iforest import IForest

        return IForest(random_state=random_state)
    if name == "ocsvm":
        from pyod.models.ocsvm import OCSVM

        return OCSVM()
    if name == "gmm":
        from pyod.models.gmm import GMM

        return GMM(random_state=random_state)
    import torch
    from pyod.models.lunar import LUNAR

    torch.manual_seed(random_state)  # LUNAR has no seed of its own
    np.random.seed(random_state)  # noqa: NPY002
    return LUNAR(n_neighbours=min(5, n - 1))


SLOW = frozenset({"pyod_lunar"})

SUPPORT_BASELINES: dict[str, Callable[[int], Baseline]] = {
    "maha_raw": lambda seed: Mahalanobis(),
    "maha_scaled": lambda seed: Scaled(Mahalanobis()),
    "knn1_raw": lambda seed: Neighbours(1),
    "knn1_scaled": lambda seed: Scaled(Neighbours(1)),
    "knn5_raw": lambda seed: Neighbours(5),
    "knn5_scaled": lambda seed: Scaled(Neighbours(5)),
    "ratio_raw": lambda seed: NeighbourRatio(),
    "ratio_scaled": lambda seed: Scaled(NeighbourRatio()),
    "maha+lda_raw": lambda seed: ScoreSum(Mahalanobis(), Discriminant()),
    "maha+lda_scaled": lambda seed: ScoreSum(Scaled(Mahalanobis()), Scaled(Discriminant())),
    "logistic_scaled": lambda seed: Scaled(Logistic()),
    "forest": lambda seed: Trees("forest", seed),
    "extratrees": lambda seed: Trees("extra", seed),
    "pyod_knn_raw": lambda seed: PyOD("knn"),
    "pyod_knn_scaled": lambda seed: Scaled(PyOD("knn")),
    "pyod_lof_raw": lambda seed: PyOD("lof"),
    "pyod_lof_scaled": lambda seed: Scaled(PyOD("lof")),
    "pyod_iforest": lambda seed: PyOD("iforest", seed),
    "pyod_ocsvm_raw": lambda seed: PyOD("ocsvm"),
    "pyod_ocsvm_scaled": lambda seed: Scaled(PyOD("ocsvm")),
    "pyod_gmm_raw": lambda seed: PyOD("gmm", seed),
    "pyod_gmm_scaled": lambda seed: Scaled(PyOD("gmm", seed)),
    "pyod_lunar": lambda seed: Scaled(PyOD("lunar", seed)),
}
