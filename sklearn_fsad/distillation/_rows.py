"""Make rows around known ones: such as later rows may be, normal or anomalous in several ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import Generator
from sklearn.covariance import ledoit_wolf

from .._stats.moments import are_embeddings, feature_spread, stable_mean
from .._typing import Array, Mask, Positions

_NEIGHBOURS = 6
_MOST_NEIGHBOURS = 1000  # rows among which neighbours are looked for
_MOST_WHITENED = 300  # columns of which a covariance is estimated
_FEW_VALUES = 1 / 3  # distinct values a row, up to which a column counts as discrete


@dataclass(frozen=True)
class KnownRows:
    """Hold rows to make others from.

    Attributes
    ----------
    normals : ndarray of shape (n, d)
        Rows that are mostly normal.
    anomalies : ndarray of shape (k, d)
        Labelled anomalies.
    """

    normals: Array
    anomalies: Array

    @cached_property
    def centre(self) -> Array:
        """Mean of the normals: (d,)."""
        return stable_mean(self.normals)

    @cached_property
    def spread(self) -> Array:
        """Spread of the normals: (d,); the coordinates of an embedding share one."""
        spread = feature_spread(self.normals)
        if are_embeddings(self.normals):
            return np.full(len(spread), np.sqrt(np.mean(spread**2)))
        return spread

    @cached_property
    def noise(self) -> Array:
        """Factor of a shrunken covariance of the scaled normals: (d, q)."""
        Z = (self.normals - self.centre) / self.spread
        d = Z.shape[1]
        if d > _MOST_WHITENED:  # noise that keeps to the span of the rows, as real rows nearly do
            return (Z / np.sqrt(len(Z))).T
        covariance = ledoit_wolf(Z, assume_centered=True)[0]
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(vectors * np.sqrt(values.clip(min=0.0)))

    @cached_property
    def neighbours(self) -> Positions:
        """Positions of the nearest normals of each normal: (n, n_neighbours)."""
        Z = ((self.normals - self.centre) / self.spread)[:_MOST_NEIGHBOURS]
        lengths = (Z**2).sum(axis=1)
        squared = lengths[:, None] + lengths - 2.0 * Z @ Z.T
        np.fill_diagonal(squared, np.inf)
        n = min(_NEIGHBOURS, len(Z) - 1)
        return np.argsort(squared, axis=1)[:, :n]

    # --- draws ------------------------------------------------------------------------------------
    def normal(self, m: int, rng: Generator) -> Array:
        """Draw normals: (m, d)."""
        return self.normals[rng.integers(len(self.normals), size=m)]

    def anomaly(self, m: int, rng: Generator) -> Array:
        """Draw labelled anomalies: (m, d)."""
        return self.anomalies[rng.integers(len(self.anomalies), size=m)]

    def correlated(self, m: int, rng: Generator) -> Array:
        """Draw noise with the covariance of the normals, in their units: (m, d)."""
        q = self.noise.shape[1]
        return self.spread * (rng.normal(size=(m, q)) @ self.noise.T)


def _between(low: float, high: float, m: int, rng: Generator) -> Array:
    """Draw numbers between two, uniform in their logarithm: (m, 1)."""
    return np.exp(rng.uniform(np.log(low), np.log(high), (m, 1)))


def _mask(m: int, d: int, rng: Generator) -> Mask:
    """Select columns, in each row a share of its own: (m, d)."""
    return rng.random((m, d)) < rng.random((m, 1))


# --- kinds of rows, each (known, m, rng) -> (m, d) ------------------------------------------------
def _near_neighbours(known: KnownRows, m: int, rng: Generator) -> Array:
    """Draw between a normal and one of its neighbours, with noise."""
    near = known.neighbours
    i = rng.integers(len(near), size=m)
    j = near[i, rng.integers(near.shape[1], size=m)]
    share = rng.uniform(-0.3, 1.3, (m, 1))
    rows = known.normals[i] * (1.0 - share) + known.normals[j] * share
    return rows + _between(0.1, 1.0, m, rng) * known.correlated(m, rng)


def _gaussian(known: KnownRows, m: int, rng: Generator) -> Array:
    """Draw from a normal distribution with the covariance of the normals."""
    return known.centre + _between(0.8, 1.25, m, rng) * known.correlated(m, rng)


def _wide_gaussian(known: KnownRows, m: int, rng: Generator) -> Array:
    """Draw from the same, narrower or wider."""
    return known.centre + _between(0.5, 4.0, m, rng) * known.correlated(m, rng)


def _jittered(known: KnownRows, m: int, rng: Generator) -> Array:
    """Add noise to normals, in each column on its own."""
    noise = known.spread * rng.normal(size=(m, len(known.centre)))
    return known.normal(m, rng) + _between(0.03, 1.5, m, rng) * noise


def _mixed(known: KnownRows, m: int, rng: Generator) -> Array:
    """Draw on the line through two normals."""
    share = rng.uniform(-0.5, 1.5, (m, 1))
    return known.normal(m, rng) * share + known.normal(m, rng) * (1.0 - share)


def _recombined(known: KnownRows, m: int, rng: Generator) -> Array:
    """Take some columns from one normal and the others from a second one, or from any."""
    rows, d = known.normal(m, rng), len(known.centre)
    any_normal = rng.integers(len(known.normals), size=(m, d))
    others = known.normals[any_normal, np.arange(d)]
    whole = rng.random((m, 1)) < 0.5
    others = np.where(whole, known.normal(m, rng), others)
    return np.where(_mask(m, d, rng), others, rows)


def _redrawn(known: KnownRows, m: int, rng: Generator) -> Array:
    """Redraw some columns, often a single one, from a distribution with heavy tails."""
    d = len(known.centre)
    chosen = rng.random((m, d)) < _between(1.0 / d, 1.0, m, rng)
    drawn = known.spread * _between(0.5, 10.0, m, rng) * rng.standard_t(3, (m, d))
    return np.where(chosen, known.centre + drawn, known.normal(m, rng))


def _far_columns(known: KnownRows, m: int, rng: Generator) -> Array:
    """Move a few columns of normals very far away, to either side."""
    d = len(known.centre)
    chosen = rng.random((m, d)) < np.maximum(_between(1.0 / d, 1.0, m, rng) ** 2, 1.0 / d)
    chosen[np.arange(m), rng.integers(d, size=m)] = True
    size = known.spread * _between(10.0, 1e6, m, rng) * rng.uniform(0.3, 1.0, (m, d))
    return known.normal(m, rng) + np.where(chosen, size * rng.choice([-1.0, 1.0], (m, d)), 0.0)


def _scaled_out(known: KnownRows, m: int, rng: Generator) -> Array:
    """Move normals away from their mean, with noise."""
    factor, d = _between(0.7, 10.0, m, rng), len(known.centre)
    noise = rng.random((m, 1)) * rng.normal(size=(m, d))
    away = known.normal(m, rng) - known.centre + 0.3 * known.spread * noise
    return known.centre + factor * away


def _in_box(known: KnownRows, m: int, rng: Generator) -> Array:
    """Draw uniformly in the box of the normals, widened."""
    low, high = known.normals.min(axis=0), known.normals.max(axis=0)
    size = np.maximum(high - low, known.spread)
    margin = size * _between(0.1, 4.0, m, rng)
    return low - margin + rng.random((m, len(low))) * (high - low + 2.0 * margin)


def _towards_anomalies(known: KnownRows, m: int, rng: Generator) -> Array:
    """Draw between a normal and a labelled anomaly, and around it, with noise."""
    share = rng.uniform(0.0, 1.3, (m, 1))
    rows = known.normal(m, rng) * (1.0 - share) + known.anomaly(m, rng) * share
    return rows + _between(0.03, 1.0, m, rng) * known.correlated(m, rng)


def _half_anomalous(known: KnownRows, m: int, rng: Generator) -> Array:
    """Take some columns of a normal from a labelled anomaly."""
    return np.where(_mask(m, len(known.centre), rng), known.anomaly(m, rng), known.normal(m, rng))


KINDS: dict[str, Callable[[KnownRows, int, Generator], Array]] = {
    "between neighbours": _near_neighbours,
    "gaussian": _gaussian,
    "wide gaussian": _wide_gaussian,
    "jittered": _jittered,
    "mixed": _mixed,
    "recombined": _recombined,
    "redrawn columns": _redrawn,
    "far columns": _far_columns,
    "scaled out": _scaled_out,
    "in a box": _in_box,
    "towards anomalies": _towards_anomalies,
    "half anomalous": _half_anomalous,
}
SHARES = {  # relative numbers of rows; 1 for other kinds
    "between neighbours": 3.0,
    "gaussian": 4.0,
    "jittered": 2.0,
    "far columns": 0.4,
    "in a box": 0.6,
}
LIKE_NORMALS = ("between neighbours", "gaussian", "jittered")
NEED_ANOMALIES = ("towards anomalies", "half anomalous")


def make_rows(known: KnownRows, n: int, rng: Generator) -> dict[str, Array]:
    """Make about n rows, more of the kinds that are like normal rows: kind -> (m, d)."""
    names = [name for name in KINDS if len(known.anomalies) or name not in NEED_ANOMALIES]
    total = sum(SHARES.get(name, 1.0) for name in names)
    sizes = {name: max(round(n * SHARES.get(name, 1.0) / total), 1) for name in names}
    return {name: snapped(known, KINDS[name](known, m, rng), rng) for name, m in sizes.items()}


def snapped(known: KnownRows, rows: Array, rng: Generator) -> Array:
    """Move values of discrete columns to the nearest known value, in half of the rows: (m, d)."""
    chosen = rng.random(len(rows)) < 0.5
    X = np.concatenate([known.normals, known.anomalies])
    for j in range(rows.shape[1]):
        values = np.unique(X[:, j])
        if len(values) > max(2.0, _FEW_VALUES * len(X)):
            continue
        margin = known.spread[j]
        near = chosen & (rows[:, j] >= values[0] - margin) & (rows[:, j] <= values[-1] + margin)
        middles = (values[1:] + values[:-1]) / 2.0
        rows[near, j] = values[np.searchsorted(middles, rows[near, j])]
    return rows
