"""Methods for tables with columns of categories: on the table itself, or on numbers made of it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from bench.methods.base import Baseline, Scaled
from bench.methods.detectors import Spec
from bench.methods.libraries import CatBoost
from bench.methods.prepared import Method, Prepare, detector_methods
from bench.methods.support import Neighbours, Trees
from bench.protocols.frames import encoder, is_category

ENCODED = "TableVectorizer"


def encoded_by_support(support: pd.DataFrame, query: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Turn a support and a query into numbers, with what the support tells."""
    steps = encoder().fit(support)
    support, query = (np.asarray(steps.transform(X), dtype=np.float64) for X in (support, query))
    return support, query


PREPARATIONS: dict[str, Prepare] = {ENCODED: encoded_by_support}


class CategoricalCatBoost(CatBoost):
    """CatBoost that is told which columns are categories; a missing one counts as a category."""

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> CategoricalCatBoost:
        """Learn from the labelled support."""
        super().fit(self._pool(X, y), None)  # the pool has the labels
        return self

    def anomaly_score(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probability of an anomaly."""
        return super().anomaly_score(self._pool(X))

    def _pool(self, X: pd.DataFrame, y: np.ndarray | None = None) -> Any:
        from catboost import Pool

        names = [name for name, column in X.items() if is_category(column)]
        return Pool(X.assign(**{name: as_text(X[name]) for name in names}), y, cat_features=names)


class ManyTrees(Trees):
    """Three hundred trees with balanced classes."""

    def _forest(self) -> Any:
        return super()._forest().set_params(n_estimators=300)


class Rarity(Baseline):
    """The sum over columns of how rare a value is among the normals: minus its log frequency."""

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> Rarity:
        """Keep the normals."""
        self.normals_ = X[y == 0]
        return self

    def anomaly_score(self, X: pd.DataFrame) -> np.ndarray:
        """Return the sum."""
        terms = []
        for name, column in X.items():
            rarity = category_rarity if is_category(column) else number_rarity
            terms.append(rarity(self.normals_[name], column))
        return np.sum(terms, axis=0)


def as_text(categories: pd.Series) -> pd.Series:
    """Return categories as text, and missing ones as a text too."""
    return categories.astype(object).where(categories.notna(), "missing").astype(str)


def category_rarity(normals: pd.Series, values: pd.Series) -> np.ndarray:
    """Return minus the log frequency of each value; one row more is assumed of every category."""
    counts = as_text(normals).value_counts()
    of_value = as_text(values).map(counts).fillna(0).to_numpy(float)
    return -np.log((of_value + 1) / (len(normals) + len(counts) + 1))


def number_rarity(normals: pd.Series, values: pd.Series) -> np.ndarray:
    """Return minus the log share of normals at least as far out, and that of being missing or not.

    The share is that of both tails, so that the median has 1; one row further out is assumed.
    """
    known = np.sort(normals.dropna().to_numpy(float))
    new = values.to_numpy(float)
    below = np.searchsorted(known, new, side="right")
    above = len(known) - np.searchsorted(known, new, side="left")
    share = np.minimum(2 * (np.minimum(below, above) + 1) / (len(known) + 1), 1.0)
    seen = np.where(np.isnan(new), 0.0, -np.log(share))
    return seen + category_rarity(normals.isna(), values.isna())


def mixed_baselines() -> dict[str, Method]:
    """Name the baselines; CatBoost only where installed."""
    methods = {
        "rarity": Method(None, lambda seed: Rarity()),
        f"{ENCODED}+forest": Method(ENCODED, lambda seed: ManyTrees("forest", seed)),
        f"{ENCODED}+extratrees": Method(ENCODED, lambda seed: ManyTrees("extra", seed)),
        f"{ENCODED}+knn1_scaled": Method(ENCODED, lambda seed: Scaled(Neighbours(1))),
    }
    if find_spec("catboost"):
        methods["catboost"] = Method(None, CategoricalCatBoost)
    return methods


def mixed_detectors(specs: Sequence[Spec]) -> dict[str, Method]:
    """Name the detectors of the command line: on the table itself, and on numbers made of it."""
    return detector_methods(specs, (None, ENCODED))
