"""Rows in which two features are bound to each other, and rows that break that alone."""

from __future__ import annotations

import numpy as np
from _table_protocol import N_ANOMALIES, N_FRESH, TestRows

N_FEATURES, NOISE = 6, 0.1
ABOUT = (
    f"{N_FEATURES} features, each uniform or normal; one is the sine of three times another plus "
    f"noise of {NOISE}, which no linear correlation shows. In anomalies it is that of another row: "
    "every feature keeps its distribution, the relation is gone."
)


class Relation:
    """Rows of six features, two of which are bound.

    Parameters
    ----------
    rng : Generator
        Chooses the two, and which of the others are uniform.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.cause, self.effect = (int(j) for j in rng.permutation(N_FEATURES)[:2])
        self.is_uniform = rng.random(N_FEATURES) < 0.5
        self.is_uniform[self.cause] = True

    def normals(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Rows that keep the relation: (n, 6)."""
        uniform = rng.uniform(-1.5, 1.5, size=(n, N_FEATURES))
        X = np.where(self.is_uniform, uniform, rng.normal(size=(n, N_FEATURES)))
        X[:, self.effect] = np.sin(3 * X[:, self.cause]) + NOISE * rng.normal(size=n)
        return X

    def anomalies(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Rows that break it: (n, 6)."""
        X = self.normals(rng, n)
        X[:, self.effect] = self.normals(rng, n)[:, self.effect]
        return X

    def departure(self, X: np.ndarray) -> np.ndarray:
        """What one who knows the relation would score: (m, 6) -> (m,)."""
        return np.abs(X[:, self.effect] - np.sin(3 * X[:, self.cause]))


def draw_relation(n: int, seed: int, number: int) -> tuple[np.ndarray, TestRows, Relation]:
    """A support of n normals and rows to test on; the same relation and test for every n."""
    rng = np.random.default_rng([seed, number])
    relation = Relation(rng)
    fresh, anomalies = relation.normals(rng, N_FRESH), relation.anomalies(rng, N_ANOMALIES)
    test = TestRows(fresh, {"relation": anomalies}, bound=(relation.cause, relation.effect))
    return relation.normals(rng, n), test, relation
