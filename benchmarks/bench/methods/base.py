"""Give baselines their interface, and make larger baselines of smaller ones."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

N_LEFT_OUT_FOLDS = 5
NEAR = 5.0  # spreads within which features are not compressed


def spread_of(normals: np.ndarray) -> np.ndarray:
    """Return each feature's standard deviation, with a floor for (nearly) constant features."""
    sd = normals.std(axis=0)
    return np.maximum(sd, 1e-3 * sd.mean() + 1e-12)


class Baseline:
    """What all baselines share.

    ``uses_labels`` says whether labelled anomalies change the scores; ``needs_labels`` whether it
    cannot do without.
    """

    uses_labels = False
    needs_labels = False

    def fit(self, X: np.ndarray, y: np.ndarray) -> Baseline:
        """Learn from a support."""
        raise NotImplementedError

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return one score a row, larger for more anomalous rows."""
        raise NotImplementedError

    def fit_left_out(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Learn from a support, and return the leave-one-fold-out scores of its normals.

        Each normal is scored by a copy fitted without it, in five folds; anomalies stay in.
        """
        normals = np.flatnonzero(y == 0)
        scores = np.empty(len(normals))
        n_folds = min(N_LEFT_OUT_FOLDS, len(normals))
        for fold in range(n_folds):
            out = np.arange(len(normals)) % n_folds == fold
            kept = np.setdiff1d(np.arange(len(y)), normals[out])
            fitted = copy.deepcopy(self).fit(X[kept], y[kept])
            scores[out] = fitted.anomaly_score(X[normals[out]])
        self.fit(X, y)
        return scores


class Scaled(Baseline):
    """A baseline on features standardised by the support normals alone."""

    def __init__(self, base: Baseline) -> None:
        self.base = base
        self.uses_labels, self.needs_labels = base.uses_labels, base.needs_labels

    def fit(self, X: np.ndarray, y: np.ndarray) -> Scaled:
        """Learn the scale from the normals, then the baseline from all rows."""
        normals = X[y == 0]
        self.mean_, self.spread_ = normals.mean(axis=0), spread_of(normals)
        self.base.fit((X - self.mean_) / self.spread_, y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Score standardised rows."""
        return self.base.anomaly_score((X - self.mean_) / self.spread_)


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


class Logged(Baseline):
    """A baseline of distances, on a logarithmic scale."""

    def __init__(self, base: Baseline) -> None:
        self.base = base

    def fit(self, X: np.ndarray, y: np.ndarray) -> Logged:
        """Learn the baseline."""
        self.base.fit(X, y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the logarithm of its scores."""
        return np.log(self.base.anomaly_score(X) + 1e-12)


class Standardised(Baseline):
    """A baseline whose scores are z-scores by the left-out scores of the support normals."""

    def __init__(self, base: Baseline) -> None:
        self.base = base
        self.uses_labels, self.needs_labels = base.uses_labels, base.needs_labels

    def fit(self, X: np.ndarray, y: np.ndarray) -> Standardised:
        """Learn the baseline, and the mean and spread of its left-out scores."""
        left_out = self.base.fit_left_out(X, y)
        self.mean_, self.sd_ = left_out.mean(), max(left_out.std(), 1e-6)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return z-scores."""
        return (self.base.anomaly_score(X) - self.mean_) / self.sd_


class ScoreSum(Baseline):
    """The sum of several baselines' left-out z-scores."""

    uses_labels = needs_labels = True

    def __init__(self, *bases: Baseline) -> None:
        self.parts = [Standardised(base) for base in bases]

    def fit(self, X: np.ndarray, y: np.ndarray) -> ScoreSum:
        """Learn every part."""
        for part in self.parts:
            part.fit(X, y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the sum."""
        return np.sum([part.anomaly_score(X) for part in self.parts], axis=0)
