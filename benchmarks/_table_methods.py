"""Methods for one table without labels: detectors by specification, and baselines.

All learn from the normals of a support; baselines see features centred and scaled by it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from _compose import Baseline
from _detectors import Spec
from baselines import Mahalanobis, make_pyod
from sklearn.covariance import ledoit_wolf
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.metrics.pairwise import nan_euclidean_distances

Maker = Callable[[int], Any]  # of a seed

KNN, LEDOIT_WOLF = "PyOD KNN", "Ledoit-Wolf Mahalanobis"
PYOD = {
    KNN: "knn",
    "PyOD LOF": "lof",
    "PyOD IForest": "iforest",
    "PyOD ECOD": "ecod",
    "PyOD COPOD": "copod",
    "PyOD HBOS": "hbos",
    "PyOD GMM": "gmm",
    "PyOD OCSVM": "ocsvm",
}
GP = "Gaussian process per feature"
GP_MOST_ROWS, GP_MOST_FEATURES = 200, 16
NEAR = 5.0  # spreads within which features are not compressed
N_NEIGHBORS = 5


class Specified(Baseline):
    """A detector of the command line; it does its own scaling.

    Parameters
    ----------
    spec : Spec
    random_state : int
    trained : dict or None, default=None
        States of the detectors fitted so far. One that differs from a former one only in its
        ``anomaly_score`` takes over what that has learned from the same rows: it would learn the
        same. It then has no threshold of its own.
    """

    def __init__(self, spec: Spec, random_state: int, trained: dict[Any, Any] | None = None):
        self.spec, self.random_state, self.trained = spec, random_state, trained
        self.is_taken_over = False

    def fit(self, X: np.ndarray, y: np.ndarray) -> Specified:
        """Learn from the normals."""
        normals = X[y == 0]
        detector = self.spec.make()
        params = detector.get_params(deep=False)
        if params.get("random_state", 0) is None:
            detector.set_params(random_state=self.random_state)
        others = {k: v for k, v in self.spec.params.items() if k != "anomaly_score"}
        key = (self.spec.module, self.spec.name, repr(sorted(others.items())), normals.tobytes())
        shares = self.trained is not None and "anomaly_score" in params
        self.is_taken_over = shares and key in self.trained
        if self.is_taken_over:
            detector.set_params(pretrained=self.trained[key], contamination=0.1)
        self.detector_ = detector.fit(normals)
        if shares:
            self.trained[key] = self.detector_.state_
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the negative of its scores."""
        return -self.detector_.score_samples(X)

    def alarms(self, X: np.ndarray) -> np.ndarray | None:
        """Return which rows it calls anomalies, if by a threshold of its own."""
        return None if self.is_taken_over else self.detector_.predict(X) == -1

    def feature_scores(self, X: np.ndarray) -> np.ndarray | None:
        """Return how much each feature adds, where it tells that."""
        tell = getattr(self.detector_, "feature_scores", None)
        return None if tell is None else tell(X)


class ColumnScaled(Baseline):
    """A baseline on columns of mean 0 and spread 1 in the support; missing entries stay missing.

    Parameters
    ----------
    base : Baseline
    compress : bool, default=False
        Whether values beyond five spreads count by their logarithm.
    """

    def __init__(self, base: Baseline, compress: bool = False) -> None:
        self.base, self.compress = base, compress
        self.uses_labels = getattr(base, "uses_labels", False)
        self.needs_labels = getattr(base, "needs_labels", False)

    def fit(self, X: np.ndarray, y: np.ndarray) -> ColumnScaled:
        """Learn the scale from the normals; a constant column has spread 1."""
        normals = X[y == 0]
        some = ~np.isnan(normals).all(axis=0)
        filled = np.where(some, normals, 0.0)
        varies = np.nanmax(filled, axis=0) > np.nanmin(filled, axis=0)
        self.mean_ = np.nanmean(filled, axis=0)
        self.spread_ = np.where(varies, np.nanstd(filled, axis=0), 1.0)
        self.base.fit(self._scaled(X), y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Score scaled rows."""
        return self.base.anomaly_score(self._scaled(X))

    def feature_scores(self, X: np.ndarray) -> np.ndarray | None:
        """Return how much each feature adds, where the baseline tells that."""
        tell = getattr(self.base, "feature_scores", None)
        return None if tell is None else tell(self._scaled(X))

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        Z = (X - self.mean_) / self.spread_
        if not self.compress:
            return Z
        excess = np.maximum(np.abs(Z) - NEAR, 0.0)
        return np.clip(Z, -NEAR, NEAR) + np.sign(Z) * np.log1p(excess)


class PyODNormals(Baseline):
    """A PyOD detector on the normals."""

    def __init__(self, name: str, random_state: int) -> None:
        self.name, self.random_state = name, random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> PyODNormals:
        """Learn from the normals."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model_ = _make_pyod(self.name, X[y == 0], self.random_state).fit(X[y == 0])
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return PyOD's score."""
        return np.asarray(self.model_.decision_function(X), dtype=float)


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


class Imputed(Baseline):
    """A baseline behind an imputer that learned from the support alone."""

    def __init__(self, imputer: Any, base: Baseline) -> None:
        self.imputer, self.base = imputer, base

    def fit(self, X: np.ndarray, y: np.ndarray) -> Imputed:
        """Learn to impute from the normals, then the baseline."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the iterative imputer stops before it converges
            self.imputer.fit(X[y == 0])
            self.base.fit(self.imputer.transform(X), y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Score imputed rows."""
        return self.base.anomaly_score(self.imputer.transform(X))


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


def specified(specs: Sequence[Spec], share: bool = False) -> dict[str, Maker]:
    """Detectors of the command line by label; those that learn the same may share it."""
    trained: dict[Any, Any] | None = {} if share else None
    return {spec.label: lambda seed, spec=spec: Specified(spec, seed, trained) for spec in specs}


def table_baselines(
    lunar: bool = False, gp: bool = False, compress: bool = False
) -> dict[str, Maker]:
    """Baselines by name."""
    names = {**PYOD, "PyOD LUNAR": "lunar"} if lunar else PYOD
    makers: dict[str, Maker] = {
        name: lambda seed, code=code: ColumnScaled(PyODNormals(code, seed), compress)
        for name, code in names.items()
    }
    makers[LEDOIT_WOLF] = lambda seed: ColumnScaled(Mahalanobis(), compress)
    makers["closed-form regressions"] = lambda seed: ColumnScaled(Regressions(), compress)
    if gp:
        makers[GP] = lambda seed: ColumnScaled(GaussianProcesses(), compress)
    return makers


def imputing_baselines() -> dict[str, Maker]:
    """Baselines for rows with holes by name."""
    imputers: dict[str, Callable[[int], Any]] = {
        "mean": lambda seed: SimpleImputer(keep_empty_features=True),
        "KNNImputer": lambda seed: KNNImputer(keep_empty_features=True),
        "IterativeImputer": lambda seed: IterativeImputer(
            random_state=seed, keep_empty_features=True
        ),
    }
    bases = {KNN: lambda seed: PyODNormals("knn", seed), LEDOIT_WOLF: lambda seed: Mahalanobis()}
    makers: dict[str, Maker] = {
        f"{how}, {name}": lambda seed, impute=impute, make=make: ColumnScaled(
            Imputed(impute(seed), make(seed))
        )
        for name, make in bases.items()
        for how, impute in imputers.items()
    }
    makers["nan-Euclidean KNN"] = lambda seed: ColumnScaled(NanNeighbours())
    return makers


def suits(name: str, n: int, n_features: int) -> bool:
    """Whether a method can be run on a support in reasonable time."""
    return name != GP or (n <= GP_MOST_ROWS and n_features <= GP_MOST_FEATURES)


def _make_pyod(name: str, normals: np.ndarray, random_state: int) -> Any:
    if name == "ecod":
        from pyod.models.ecod import ECOD

        return ECOD()
    if name == "copod":
        from pyod.models.copod import COPOD

        return COPOD()
    if name == "hbos":
        from pyod.models.hbos import HBOS

        return HBOS()
    if name == "pca":
        from pyod.models.pca import PCA

        rank = np.linalg.matrix_rank(normals - normals.mean(axis=0))  # others have no variance
        return PCA(n_components=max(int(rank), 1), random_state=random_state)
    return make_pyod(name, len(normals), random_state)
