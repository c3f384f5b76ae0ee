"""What baselines share, and how larger ones are made of smaller ones."""

from __future__ import annotations

import copy

import numpy as np

N_LEFT_OUT_FOLDS = 5


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
        """Learn from a support, and return left-out scores of its normals.

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
