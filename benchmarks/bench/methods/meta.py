"""Learn baselines from the training tasks of a fold, and from no other task.

``Boosting`` is gradient boosting on rows of all training tasks, each standardised by the support
normals of its own task. ``Stack`` is a linear mix of scores that each learn from one support; its
weights are learned on episodes of the training tasks, one set a cell (n, k).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bench.methods.base import Baseline, Logged, Scaled, Standardised, spread_of
from bench.methods.support import (
    Discriminant,
    Logistic,
    Mahalanobis,
    NeighbourRatio,
    Neighbours,
    Trees,
)
from bench.protocols.families import Episode, random_state_of
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

MAX_ROWS = 150  # rows of each class that an episode gives to training

META_BASELINES = ("meta_boosting", "meta_stack", "meta_stack_positive")


def sample_rows(y: np.ndarray, seed: int, max_rows: int = MAX_ROWS) -> np.ndarray:
    """Return at most ``max_rows`` row numbers of each class, so that no task outweighs another."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [rng.permutation(np.flatnonzero(y == label))[:max_rows] for label in (0, 1)]
    )


def z_scores(episode: Episode) -> np.ndarray:
    """Return the query of an episode, standardised by its support normals."""
    normals = episode.support_X[episode.support_y == 0]
    return (episode.query_X - normals.mean(axis=0)) / spread_of(normals)


class Boosting:
    """Gradient boosting on z-scored rows, pooled over tasks.

    LightGBM where it is installed, else scikit-learn's ``HistGradientBoostingClassifier``.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, episodes: Sequence[Episode]) -> Boosting:
        """Learn from the query rows of training episodes."""
        parts = [sample_rows(e.query_y, random_state_of(self.seed, *e.key)) for e in episodes]
        X = np.vstack([z_scores(e)[rows] for e, rows in zip(episodes, parts, strict=True)])
        y = np.concatenate([e.query_y[rows] for e, rows in zip(episodes, parts, strict=True)])
        self.model_ = make_boosting(X.shape[1], self.seed).fit(X, y)
        return self

    def anomaly_score(self, episode: Episode) -> np.ndarray:
        """Return the probability of an anomaly for the query of an episode."""
        return self.model_.predict_proba(z_scores(episode))[:, 1]


def make_boosting(n_features: int, seed: int) -> Any:
    """Return an unfitted gradient boosting classifier with balanced classes."""
    share = 1.0 if n_features <= 64 else 0.3
    try:
        from lightgbm import LGBMClassifier
    except ImportError:
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(
            max_iter=200,
            learning_rate=0.05,
            max_features=share,
            class_weight="balanced",
            random_state=seed,
        )
    return LGBMClassifier(
        n_estimators=200,
        learning_rate=0.05,
        colsample_bytree=share,
        class_weight="balanced",
        random_state=seed,
        n_jobs=1,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )


def stack_scores(k: int, seed: int) -> list[Baseline]:
    """Return the scores that the stack mixes; those that need anomalies only if k > 0."""
    bases: list[Baseline] = []
    for wrap in (lambda base: base, Scaled):
        distances = Mahalanobis(), Neighbours(1), Neighbours(5)
        bases += [Logged(wrap(base)) for base in distances]
        if k:
            bases += [wrap(Discriminant()), wrap(NeighbourRatio())]
    if k:
        bases += [Scaled(Logistic()), Trees("forest", seed)]
    return [Standardised(base) for base in bases]


def stack_features(episode: Episode, seed: int) -> np.ndarray:
    """Return scores of an episode's query, each in units of the support normals' left-out scores.

    Returns
    -------
    ndarray of shape (n_query, n_scores)
    """
    scores = []
    for base in stack_scores(
        episode.k_used, random_state_of(seed, episode.task.name, episode.draw)
    ):
        z = base.fit(episode.support_X, episode.support_y).anomaly_score(episode.query_X)
        scores.append(2 * np.arcsinh(z / 2))  # one far row shall not decide the weights
    return np.column_stack(scores)


class Stack:
    """Logistic regression with balanced classes on standardised scores.

    Parameters
    ----------
    positive : bool
        Whether weights must not be negative, which steadies them when there are few training tasks.
    """

    def __init__(self, positive: bool = False) -> None:
        self.positive = positive

    def fit(
        self, features: Sequence[np.ndarray], labels: Sequence[np.ndarray], seed: int = 0
    ) -> Stack:
        """Learn the weights from one cell's episodes: (n_query, n_scores) and (n_query,) each."""
        parts = [sample_rows(y, random_state_of(seed, i)) for i, y in enumerate(labels)]
        X = np.vstack([f[rows] for f, rows in zip(features, parts, strict=True)])
        y = np.concatenate([y[rows] for y, rows in zip(labels, parts, strict=True)])
        if self.positive:
            self.weights_ = positive_weights(X, y)
        else:
            model = LogisticRegression(class_weight="balanced", max_iter=2000).fit(X, y)
            self.weights_ = model.coef_[0]
        return self

    def anomaly_score(self, features: np.ndarray) -> np.ndarray:
        """Return the weighted sum of the scores."""
        return features @ self.weights_


def positive_weights(X: np.ndarray, y: np.ndarray, ridge: float = 1e-4) -> np.ndarray:
    """Return the weights of balanced logistic regression with no weight below 0."""
    share = np.where(y == 1, 0.5 / (y == 1).sum(), 0.5 / (y == 0).sum())
    sign = 2 * y - 1

    def loss_and_gradient(params: np.ndarray) -> tuple[float, np.ndarray]:
        weights, intercept = params[:-1], params[-1]
        margin = sign * (X @ weights + intercept)
        pull = -share * sign * expit(-margin)
        loss = share @ np.logaddexp(0, -margin) + ridge * weights @ weights
        return loss, np.append(X.T @ pull + 2 * ridge * weights, pull.sum())

    start = np.append(np.full(X.shape[1], 0.1), 0.0)
    bounds = [(0, None)] * X.shape[1] + [(None, None)]
    found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x[:-1]
