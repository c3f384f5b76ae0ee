"""Baselines of ``benchmarks/tables.py`` beside those that every benchmark has."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from _compose import Baseline, Scaled
from _table_methods import ColumnScaled, PyODNormals
from baselines import SUPPORT_BASELINES, Trees
from deep_baselines import DeepSAD, DevNet

ALSO = (
    "maha_scaled",
    "knn1_scaled",
    "ratio_scaled",
    "logistic_scaled",
    "forest",
    "pyod_knn_scaled",
    "pyod_lof_scaled",
    "pyod_iforest",
    "pyod_ocsvm_scaled",
    "pyod_gmm_scaled",
)


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


def more_baselines() -> dict[str, Callable[[int], Baseline]]:
    """Return what makes each baseline from a seed; CatBoost and XGBOD only where installed."""
    makers: dict[str, Callable[[int], Baseline]] = {name: SUPPORT_BASELINES[name] for name in ALSO}
    makers |= {
        "pyod_ecod": lambda seed: PyODNormals("ecod", seed),
        "pyod_pca": lambda seed: Scaled(PyODNormals("pca", seed)),
        "extratrees_log": lambda seed: ColumnScaled(Trees("extra", seed), compress=True),
        "deepsad": lambda seed: Scaled(DeepSAD(seed)),
        "devnet": lambda seed: Scaled(DevNet(seed)),
    }
    if find_spec("xgboost"):
        makers["xgbod"] = lambda seed: Scaled(XGBOD(seed))
    if find_spec("catboost"):
        makers["catboost"] = lambda seed: CatBoost(seed)
    return makers
