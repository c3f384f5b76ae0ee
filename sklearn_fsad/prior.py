"""Draw synthetic tables with anomalies, to pretrain a detector without real data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from ._typing import Array
from .tasks._task_set import TaskSet

Generator = np.random.Generator
__all__ = ["TabularPrior"]
_N_NORMAL, _N_ANOMALOUS = 800, 120
_MOST_NOISE, _MOST_CONTAMINATION = 0.35, 0.08


@dataclass(frozen=True)
class TabularPrior:
    """Draw random tables of correlated, clustered and discrete columns, with ten anomaly kinds.

    Normal rows come from a mixture of Gaussian or heavy-tailed clusters in a latent space, mapped
    to columns by a linear map, a random network or a manifold, with noise; columns are then
    transformed, rounded, inflated with zeros, set constant or made irrelevant. Anomalies are of one
    or two of these kinds: other clusters, the tail of a random function, a small cluster to the
    side, rows shifted in the latent space, rows of another table, rows scaled about the mean, a
    uniform box, rows with more spread, shuffled columns, a few columns shifted outwards. In a fifth
    of the tables up to a third of the labelled anomalies are normal, and in a fifth up to 8 % of
    the normals are anomalies.

    Parameters
    ----------
    n_features : tuple of (int, int), default=(2, 50)
        Lowest and highest number of columns, drawn log-uniformly.
    n_normal, n_anomalous : int, default=800 and 120
        Rows of each task.
    random_state : int, RandomState or None, default=None
        Seed; a task depends only on the seed and its number.

    Examples
    --------
    >>> from sklearn_fsad.prior import TabularPrior
    >>> tasks = TabularPrior(n_features=(3, 8), random_state=0).sample(4)
    >>> tasks.n_tasks, tasks[0].normals.shape[0], tasks[0].anomalies.shape[0]
    (4, 800, 120)
    """

    n_features: tuple[int, int] = (2, 50)
    n_normal: int = _N_NORMAL
    n_anomalous: int = _N_ANOMALOUS
    random_state: Any = None

    def sample(self, n_tasks: int, start: int = 0) -> TaskSet:
        """Draw tasks.

        Parameters
        ----------
        n_tasks : int
            Number of tasks.
        start : int, default=0
            Number of the first task: with an int as ``random_state`` task i is the same in every
            call.

        Returns
        -------
        tasks : TaskSet
            Tasks of different widths; 1 labels the anomalies.
        """
        low, high = self.n_features
        if not 1 <= low <= high:
            raise ValueError(
                f"n_features={self.n_features!r} must be (lowest, highest), at least 1."
            )
        numbers = {"n_normal": self.n_normal, "n_anomalous": self.n_anomalous, "n_tasks": n_tasks}
        for name, value in numbers.items():
            if value < 1:
                raise ValueError(f"{name}={value!r} must be at least 1.")
        if start < 0:
            raise ValueError(f"start={start!r} must not be negative.")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        tasks = (self._task(np.random.default_rng([seed, start + i])) for i in range(n_tasks))
        return TaskSet(tasks, names=range(start, start + n_tasks), outlier_label=1)

    def _task(self, rng: Generator) -> tuple[Array, NDArray[np.int_]]:
        low, high = self.n_features
        d = int(np.exp(rng.uniform(np.log(low), np.log(high + 1))))
        table = _Table(rng, d)
        n_kinds = min(1 + int(rng.random() < 0.3), self.n_anomalous)
        kinds = rng.choice(len(_KINDS), size=n_kinds, p=_SHARES / _SHARES.sum(), replace=False)
        makers = [list(_KINDS)[k] for k in kinds]
        if _tail in makers:
            table.keep_tail_aside(rng)
        normals = table.rows(rng, self.n_normal)
        share = np.array_split(np.arange(self.n_anomalous), len(makers))
        anomalies = np.concatenate([
            make(table, rng, len(part)) for make, part in zip(makers, share, strict=True)
        ])  # fmt: skip
        if rng.random() < 0.2:
            noisy = rng.random(len(anomalies)) < rng.uniform(0.0, _MOST_NOISE)
            anomalies[noisy] = table.rows(rng, int(noisy.sum()))
        if rng.random() < 0.2:  # some anomalies that nobody labelled
            unseen = rng.random(len(normals)) < rng.uniform(0.0, _MOST_CONTAMINATION)
            normals[unseen] = anomalies[rng.integers(len(anomalies), size=int(unseen.sum()))]
        X = table.columns(np.concatenate([normals, anomalies]))
        y = np.repeat([0, 1], [self.n_normal, self.n_anomalous])
        order = rng.permutation(len(y))
        return X[order], y[order]


class _Mixture:
    """Draw rows from clusters in a latent space."""

    def __init__(self, rng: Generator, q: int, n_clusters: int, spread: float) -> None:
        self.weight = rng.dirichlet(np.full(n_clusters, 2.0))
        self.centre = spread * rng.normal(size=(n_clusters, q))
        self.heavy = rng.random() < 0.3
        shapes = []
        for _ in range(n_clusters):
            rotation = np.linalg.qr(rng.normal(size=(q, q)))[0]
            mixed = rng.random() * rotation + (1.0 - rng.random()) * np.eye(q)
            shapes.append(mixed * np.exp(rng.normal(scale=0.7, size=q)))
        self.shape = np.array(shapes)

    def draw(self, rng: Generator, n: int) -> Array:
        """Draw rows: (n, q)."""
        cluster = rng.choice(len(self.weight), size=n, p=self.weight)
        noise = rng.normal(size=(n, self.centre.shape[1]))
        if self.heavy:
            noise /= np.sqrt(rng.chisquare(4, size=(n, 1)) / 4)
        return self.centre[cluster] + np.einsum("nq,nqr->nr", noise, self.shape[cluster])


class _Network:
    """Map rows by a random network with one hidden layer."""

    def __init__(self, rng: Generator, n_in: int, n_out: int) -> None:
        width = int(rng.integers(4, 33))
        self.first = rng.normal(size=(n_in, width)) * rng.uniform(0.5, 1.5) / np.sqrt(n_in)
        self.bias = rng.normal(size=width)
        self.last = rng.normal(size=(width, n_out)) * 2.0 / np.sqrt(width)

    def __call__(self, Z: Array) -> Array:
        """Apply the network: (n, n_in) -> (n, n_out)."""
        return np.tanh(Z @ self.first + self.bias) @ self.last


class _Line:
    """Map rows by a random linear function."""

    def __init__(self, rng: Generator, n_in: int) -> None:
        self.slope = _sparse(rng, n_in)[:, None]

    def __call__(self, Z: Array) -> Array:
        """Apply the function: (n, n_in) -> (n, 1)."""
        return Z @ self.slope


class _Table:
    """Draw the normal rows of one random table, and transform its columns."""

    def __init__(self, rng: Generator, d: int) -> None:
        self.d = d
        look = rng.choice(["linear", "warped", "manifold"], p=[0.5, 0.25, 0.25])
        low_rank = look == "manifold" or rng.random() < 0.3
        q = max(1, int(d * rng.uniform(0.2, 0.7))) if low_rank else d
        self.q = q
        self.latent = _Mixture(rng, q, int(rng.integers(1, 9)), rng.uniform(0.5, 3.0))
        mixed = q < d or rng.random() < 0.5
        self.map = rng.normal(size=(q, d)) / np.sqrt(q) if mixed else np.eye(d)
        self.network = None if look == "linear" else _Network(rng, q, d)
        self.noise = rng.choice([0.02, 0.1, 0.3])
        self.tail = _Network(rng, q, 1) if rng.random() < 0.5 else _Line(rng, q)
        self.cut = np.inf  # rows above it in the random function are no normals
        self.seed = int(rng.integers(2**31))
        self.spread = np.maximum(self.rows(rng, 500).std(axis=0), 1e-9)

    def observe(self, rng: Generator, Z: Array) -> Array:
        """Map latent rows to rows, with noise: (n, q) -> (n, d)."""
        X = Z @ self.map
        if self.network is not None:
            X = 0.5 * X + self.network(Z)
        return X + self.noise * rng.normal(size=X.shape)

    def rows(self, rng: Generator, n: int) -> Array:
        """Draw normal rows, before their columns are transformed: (n, d)."""
        return self.observe(rng, self.latent_rows(rng, n))

    def keep_tail_aside(self, rng: Generator) -> None:
        """Exclude rows above a quantile of a random function from the normals."""
        self.cut = float(np.quantile(self.tail(self.latent.draw(rng, 1000)), 0.85))

    def latent_rows(self, rng: Generator, n: int) -> Array:
        """Draw normal rows in the latent space, without the excluded tail: (n, q)."""
        if np.isinf(self.cut):
            return self.latent.draw(rng, n)
        Z = self.latent.draw(rng, 2 * n + 20)
        kept = Z[self.tail(Z)[:, 0] < self.cut]
        return kept[np.arange(n) % len(kept)]

    def columns(self, X: Array) -> Array:
        """Transform, round, inflate and replace columns: (n, d) -> (n, d)."""
        rng = np.random.default_rng(self.seed)
        X = (X - np.median(X, axis=0)) / self.spread
        for j in range(self.d):
            x = X[:, j]
            kind = rng.random()
            if kind < 0.12:
                x = np.exp(np.clip(rng.uniform(0.3, 1.2) * x, -8, 8))
            elif kind < 0.24:
                x = np.sign(x) * np.abs(x) ** rng.uniform(0.5, 2.5)
            elif kind < 0.32:
                x = np.tanh(x)
            elif kind < 0.38:
                x = np.abs(x)
            if rng.random() < 0.2:
                levels = int(rng.integers(2, 21))
                low, high = np.quantile(x, [0.02, 0.98])
                x = np.round((x - low) / max(high - low, 1e-9) * (levels - 1))
                x = np.clip(x, -levels, 2 * levels)
            if rng.random() < 0.08:
                x = np.where(x < np.quantile(x, rng.uniform(0.3, 0.9)), 0.0, x)
            X[:, j] = x
        if rng.random() < 0.3:
            irrelevant = rng.random(self.d) < rng.uniform(0.0, 0.5)
            shuffled = rng.permutation(len(X))
            X[:, irrelevant] = X[shuffled][:, irrelevant]
        if rng.random() < 0.1:
            X[:, rng.random(self.d) < 0.2] = 0.0
        return X * np.exp(rng.normal(scale=2.0, size=self.d))


# --- kinds of anomalies ---------------------------------------------------------------------------
def _other_clusters(table: _Table, rng: Generator, n: int) -> Array:
    spread = rng.uniform(0.7, 1.5) * table.latent.centre.std() + rng.uniform(0.3, 1.0)
    other = _Mixture(rng, table.q, int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2])), spread)
    return table.observe(rng, other.draw(rng, n))


def _tail(table: _Table, rng: Generator, n: int) -> Array:
    Z = table.latent.draw(rng, 20 * n + 100)
    above = Z[table.tail(Z)[:, 0] >= table.cut]
    return table.observe(rng, above[np.arange(n) % len(above)])


def _side_cluster(table: _Table, rng: Generator, n: int) -> Array:
    centre = table.rows(rng, 1) + rng.uniform(1.0, 4.0) * table.spread * _sparse(rng, table.d)
    return centre + rng.uniform(0.1, 0.8) * table.spread * rng.normal(size=(n, table.d))


def _moved(table: _Table, rng: Generator, n: int) -> Array:
    spread = table.latent.draw(rng, 200).std(axis=0)
    shift = rng.uniform(1.0, 4.0) * spread * _sparse(rng, table.q)
    return table.observe(rng, table.latent.draw(rng, n) + shift)


def _other_table(table: _Table, rng: Generator, n: int) -> Array:
    other = _Table(rng, table.d)
    rows = other.rows(rng, n) / other.spread
    return table.rows(rng, 200).mean(axis=0) + rows * table.spread


def _scaled(table: _Table, rng: Generator, n: int) -> Array:
    centre = table.rows(rng, 200).mean(axis=0)
    return centre + rng.uniform(1.5, 4.0) * (table.rows(rng, n) - centre)


def _box(table: _Table, rng: Generator, n: int) -> Array:
    rows = table.rows(rng, 300)
    low, high = rows.min(axis=0), rows.max(axis=0)
    return rng.uniform(low, high, size=(n, table.d))


def _spread_out(table: _Table, rng: Generator, n: int) -> Array:
    extra = rng.uniform(0.3, 2.0) * table.spread * rng.normal(size=(n, table.d))
    return table.rows(rng, n) + extra * (rng.random(table.d) < rng.uniform(0.2, 1.0))


def _shuffled(table: _Table, rng: Generator, n: int) -> Array:
    return rng.permuted(table.rows(rng, n), axis=0)


def _pushed(table: _Table, rng: Generator, n: int) -> Array:
    rows = table.rows(rng, n)
    few = rng.random((n, table.d)) < 2.0 / table.d
    return rows + few * rng.choice([-1, 1], size=few.shape) * rng.uniform(2, 6) * table.spread


def _sparse(rng: Generator, d: int) -> Array:
    """Draw a direction along some columns, standard normal in these and else 0: (d,)."""
    used = rng.random(d) < rng.uniform(0.1, 1.0)
    used[rng.integers(d)] = True
    return used * rng.normal(size=d)


_KINDS: dict[Callable[[_Table, Generator, int], Array], float] = {
    _other_clusters: 0.28,
    _tail: 0.18,
    _side_cluster: 0.16,
    _moved: 0.14,
    _other_table: 0.06,
    _scaled: 0.05,
    _spread_out: 0.05,
    _box: 0.03,
    _shuffled: 0.03,
    _pushed: 0.02,
}
_SHARES = np.array(list(_KINDS.values()))


def __dir__() -> list[str]:
    return sorted(__all__)
