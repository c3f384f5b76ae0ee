"""Score rows by what one support tells, and nothing else.

Each has ``fit(X, y)``, where y is 1 for an anomaly and 0 for a normal row, and
``anomaly_score(X)``, larger for more anomalous rows.
"""

from __future__ import annotations

import warnings

import numpy as np
from bench.methods.base import Baseline
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import nan_euclidean_distances

CHUNK = 4096
TINY = 1e-12
N_NEIGHBORS = 5


def ledoit_wolf_intensity(Z: np.ndarray) -> float:
    """Return how much Ledoit and Wolf shrink the covariance of centred rows to the identity.

    It equals ``sklearn.covariance.ledoit_wolf_shrinkage(Z, assume_centered=True)``, from inner
    products of rows only.

    Parameters
    ----------
    Z : ndarray of shape (n, d)
        Centred rows.

    References
    ----------
    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004.
    """
    n, d = Z.shape
    gram = Z @ Z.T if n < d else Z.T @ Z  # the same sum of squares either way
    of_squares = (gram**2).sum() / n**2
    lengths = (Z**2).sum(axis=1)
    mean_variance = lengths.sum() / (n * d)
    beta = ((lengths**2).sum() / n - of_squares) / (n * d)
    delta = of_squares / d - mean_variance**2
    return float(np.clip(beta / delta, 0.0, 1.0)) if delta > TINY * mean_variance**2 else 1.0


class ShrunkCovariance:
    """Ledoit-Wolf covariance of centred rows, kept as the rows' singular vectors.

    scikit-learn's gives the same distances, to twelve digits, but inverts a matrix of features by
    features: on embeddings it takes fifty times as long.

    Parameters
    ----------
    Z : ndarray of shape (n, d)
        Centred rows.
    """

    def __init__(self, Z: np.ndarray) -> None:
        n, d = Z.shape
        intensity = ledoit_wolf_intensity(Z)
        _, singular, vectors = np.linalg.svd(Z, full_matrices=False)
        floor = intensity * (Z**2).sum() / (n * d)
        largest = singular[0] ** 2 / n if len(singular) else 0.0
        self.rest = max(floor, TINY * largest, TINY)  # variance in the directions no row spans
        self.variances = np.maximum((1 - intensity) * singular**2 / n + floor, self.rest)  # (r,)
        self.vectors = vectors  # (r, d)

    def squared_distance(self, Z: np.ndarray) -> np.ndarray:
        """Return z' C^-1 z for every row z."""
        along = Z @ self.vectors.T  # (m, r)
        inside = (along**2 / self.variances).sum(axis=1)
        if len(self.vectors) == Z.shape[1]:
            return inside
        outside = (Z**2).sum(axis=1) - (along**2).sum(axis=1)
        return inside + np.maximum(outside, 0.0) / self.rest

    def solve(self, v: np.ndarray) -> np.ndarray:
        """Return C^-1 v for one vector."""
        along = self.vectors @ v  # (r,)
        inside = self.vectors.T @ (along / self.variances)
        if len(self.vectors) == len(v):
            return inside
        return inside + (v - self.vectors.T @ along) / self.rest


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
        self.model_ = self._forest().fit(X, y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the share of votes for an anomaly."""
        return self.model_.predict_proba(X)[:, 1]

    def fit_left_out(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Learn, and score each normal by those trees of a forest that did not see it."""
        if self.kind != "forest":
            return super().fit_left_out(X, y)
        self.model_ = self._forest().set_params(oob_score=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            votes = self.model_.fit(X, y).oob_decision_function_[y == 0, 1]
        return np.nan_to_num(votes, nan=0.0)

    def _forest(self) -> RandomForestClassifier | ExtraTreesClassifier:
        make = RandomForestClassifier if self.kind == "forest" else ExtraTreesClassifier
        return make(n_estimators=100, class_weight="balanced", random_state=self.random_state)


class Regressions(Baseline):
    """Each feature's linear regression on the others, from the Ledoit-Wolf precision."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Regressions:
        """Learn mean and precision of the normals."""
        normals = X[y == 0]
        self.mean_ = normals.mean(axis=0)
        self.precision_ = np.linalg.pinv(ledoit_wolf(normals)[0], hermitian=True)
        return self

    def feature_scores(self, X: np.ndarray) -> np.ndarray:
        """Return the squared residual of each feature over its variance: (m, d)."""
        return ((X - self.mean_) @ self.precision_) ** 2 / np.diag(self.precision_)

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return their sum."""
        return self.feature_scores(X).sum(axis=1)


class GaussianProcesses(Baseline):
    """A Gaussian process for each feature given the others, RBF and noise."""

    least_scale = 1e-3  # what keeps the likelihood of a constant feature finite

    def fit(self, X: np.ndarray, y: np.ndarray) -> GaussianProcesses:
        """Learn one process a feature from the normals."""
        normals = X[y == 0]
        kernel = RBF(np.sqrt(X.shape[1])) + WhiteKernel(0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a bound of the kernel's parameters was reached
            self.models_ = [
                GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(
                    np.delete(normals, j, axis=1), normals[:, j]
                )
                for j in range(X.shape[1])
            ]
        return self

    def feature_scores(self, X: np.ndarray) -> np.ndarray:
        """Return the negative log-likelihood of each feature: (m, d)."""
        terms = []
        for j, model in enumerate(self.models_):
            mean, sd = model.predict(np.delete(X, j, axis=1), return_std=True)
            sd = np.maximum(sd, self.least_scale)
            terms.append(np.log(sd) + 0.5 * ((X[:, j] - mean) / sd) ** 2)
        return np.column_stack(terms)

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return their sum."""
        return self.feature_scores(X).sum(axis=1)


class NanNeighbours(Baseline):
    """Distance to the fifth nearest normal in the features seen in both."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> NanNeighbours:
        """Keep the normals."""
        self.normals_ = X[y == 0]
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the distance; a pair of rows that share no feature is as far as any."""
        distance = nan_euclidean_distances(X, self.normals_)
        distance = np.where(np.isnan(distance), np.nanmax(distance), distance)
        return np.sort(distance, axis=1)[:, min(N_NEIGHBORS, len(self.normals_)) - 1]


def nearest(X: np.ndarray, support: np.ndarray, n_neighbors: int = 1) -> np.ndarray:
    """Return the mean distance from each row of X to its nearest support rows, in chunks."""
    n_neighbors = min(n_neighbors, len(support))
    means = [np.empty(0)]
    for start in range(0, len(X), CHUNK):
        distances = cdist(X[start : start + CHUNK], support)
        means.append(np.sort(distances, axis=1)[:, :n_neighbors].mean(axis=1))
    return np.concatenate(means)
