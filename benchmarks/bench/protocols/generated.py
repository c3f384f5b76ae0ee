"""Draw tasks and tables from generators whose truth is known.

``HiddenPlaces``: a task is a place in a hidden space of four dimensions, its normals lie around it
and its anomalies elsewhere; four nuisance dimensions vary as much as either. What is observed is a
fixed curved mixture of all eight in twenty features, so that no closed form can tell the hidden
place from the nuisance, but a network that has seen enough tasks can. ``draw_function``: functions
of a Gaussian process. ``Relation``: one table in which two features are bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from bench.protocols.one_table import N_ANOMALIES, N_FRESH, TestRows
from numpy.typing import NDArray
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

Array = NDArray[np.float64]
Pair = tuple[Array, NDArray[np.int64]]

LENGTH, NOISE = 0.5, 0.1  # of the functions, and of measuring one
KERNEL = RBF(LENGTH) + WhiteKernel(NOISE**2)
N_FEATURES, NOISE_OF_RELATION = 6, 0.1
ABOUT_RELATION = (
    f"{N_FEATURES} features, each uniform or normal; one is the sine of three times another plus "
    f"noise of {NOISE_OF_RELATION}, which no linear correlation shows. In anomalies it is that of "
    "another row: every feature keeps its distribution, the relation is gone."
)


class Shot(NamedTuple):
    """A support and its query, of one task with n normal and k anomalous rows to learn from."""

    support_X: Array  # (n + k, n_features)
    support_y: NDArray[np.int64]  # (n + k,)
    query_X: Array  # (n_query, n_features)
    query_y: NDArray[np.int64]  # (n_query,)


def draw_shots(tasks: Sequence[Pair], n: int, k: int, most_n: int, most_k: int) -> list[Shot]:
    """Draw the support of each task; the query is the same for all n and k."""
    shots = []
    for X, y in tasks:
        normal, anomalous = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
        support = np.concatenate([normal[:n], anomalous[:k]])
        query = np.concatenate([normal[most_n:], anomalous[most_k:]])
        shots.append(Shot(X[support], y[support], X[query], y[query]))
    return shots


class HiddenPlaces:
    """Tasks that share one generator.

    Parameters
    ----------
    seed : int
        Seed of the mixture that all tasks share.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 0])
        self.inner = rng.normal(size=(8, 40)) / np.sqrt(8)
        self.bias = rng.normal(size=40)
        self.outer = rng.normal(size=(40, 20)) / np.sqrt(40)

    def observe(self, latent: Array, rng: np.random.Generator) -> Array:
        """Turn latent rows (n, 8) into observed rows (n, 20)."""
        curved = np.sin(0.7 * latent @ self.inner + self.bias)
        return curved @ self.outer + 0.02 * rng.normal(size=(len(latent), 20))

    def task(self, rng: np.random.Generator, n: int = 100, k: int = 50) -> Pair:
        """Draw one task of n normal and k anomalous rows."""
        place = rng.normal(size=4)
        hidden = np.concatenate(
            [place + 0.2 * rng.normal(size=(n, 4)), place + 1.2 * _unit(rng, k, 4)]
        )
        nuisance = rng.normal(size=(n + k, 4))
        X = self.observe(np.concatenate([hidden, nuisance], axis=1), rng)
        return X, np.r_[np.zeros(n, dtype=np.int64), np.ones(k, dtype=np.int64)]


def _unit(rng: np.random.Generator, n: int, d: int) -> Array:
    directions = rng.normal(size=(n, d))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def draw_function(rng: np.random.Generator, n: int) -> Array:
    """Draw rows (x, y) of one function: (n, 2)."""
    x = rng.uniform(-2.0, 2.0, size=(n, 1))
    return np.column_stack([x, np.linalg.cholesky(KERNEL(x)) @ rng.normal(size=n)])


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
        """Draw rows that keep the relation: (n, 6)."""
        uniform = rng.uniform(-1.5, 1.5, size=(n, N_FEATURES))
        X = np.where(self.is_uniform, uniform, rng.normal(size=(n, N_FEATURES)))
        X[:, self.effect] = np.sin(3 * X[:, self.cause]) + NOISE_OF_RELATION * rng.normal(size=n)
        return X

    def anomalies(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw rows that break it: (n, 6)."""
        X = self.normals(rng, n)
        X[:, self.effect] = self.normals(rng, n)[:, self.effect]
        return X

    def departure(self, X: np.ndarray) -> np.ndarray:
        """Score rows as one who knows the relation would: (m, 6) -> (m,)."""
        return np.abs(X[:, self.effect] - np.sin(3 * X[:, self.cause]))


def draw_relation(n: int, seed: int, number: int) -> tuple[np.ndarray, TestRows, Relation]:
    """Draw n normals and rows to test on; the relation and the test are the same for every n."""
    rng = np.random.default_rng([seed, number])
    relation = Relation(rng)
    fresh, anomalies = relation.normals(rng, N_FRESH), relation.anomalies(rng, N_ANOMALIES)
    test = TestRows(fresh, {"relation": anomalies}, bound=(relation.cause, relation.effect))
    return relation.normals(rng, n), test, relation
