"""Methods for rows with missing values: with what they make of gaps themselves, or imputed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from bench.methods.base import Baseline, Scaled
from bench.methods.detectors import Spec
from bench.methods.libraries import CatBoost, PyOD
from bench.methods.prepared import Method, Prepare, detector_methods
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - importing it allows the class
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

MOST_ITERATED = 60  # columns; with more, one regression for each of them takes too long


class Histograms(Baseline):
    """Boosted trees on histograms, with balanced classes and leaves legal for few rows."""

    uses_labels = needs_labels = True

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> Histograms:
        """Learn from the labelled support; missing values go to one side of each split."""
        self.model_ = HistGradientBoostingClassifier(
            class_weight="balanced", min_samples_leaf=5, random_state=self.random_state
        ).fit(X, y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of an anomaly."""
        return self.model_.predict_proba(X)[:, 1]


def iterative(n_features: int) -> Any:
    """Return the iterative imputer; for wide tables one that fills in means."""
    if n_features > MOST_ITERATED:
        return SimpleImputer(keep_empty_features=True)
    return IterativeImputer(random_state=0, keep_empty_features=True)


IMPUTERS = {  # of the number of columns
    "SimpleImputer": lambda d: SimpleImputer(keep_empty_features=True),
    "KNNImputer": lambda d: KNNImputer(keep_empty_features=True),
    "IterativeImputer": iterative,
}


def imputed(how: str, support: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill the gaps of a support and a query with what the support tells.

    Imputers see columns standardised by the support. What is there is returned as it was.
    """
    scaler = StandardScaler().fit(support)
    imputer = IMPUTERS[how](support.shape[1]).fit(scaler.transform(support))

    def fill(X: np.ndarray) -> np.ndarray:
        filled = scaler.inverse_transform(imputer.transform(scaler.transform(X)))
        return np.where(np.isnan(X), np.nan_to_num(filled), X)  # NaN: a column without any value

    return fill(support), fill(query)


PREPARATIONS: dict[str, Prepare] = {how: partial(imputed, how) for how in IMPUTERS}


def gap_baselines() -> dict[str, Method]:
    """Name the baselines: with their own handling of gaps, and behind each imputer."""
    methods = {"hist_gradient_boosting": Method(None, Histograms)}
    boosting = find_spec("catboost") is not None
    if boosting:
        methods["catboost"] = Method(None, CatBoost)
    for how in IMPUTERS:
        methods[f"{how}+pyod_knn_scaled"] = Method(how, lambda seed: Scaled(PyOD("knn")))
        if boosting:
            methods[f"{how}+catboost"] = Method(how, CatBoost)
    return methods


def gap_detectors(specs: Sequence[Spec]) -> dict[str, Method]:
    """Name the detectors of the command line: as they are, and behind each imputer."""
    return detector_methods(specs, (None, *IMPUTERS))
