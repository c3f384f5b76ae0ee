"""Extremely randomised trees for a few rows, where starting a library's takes most of the time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._typing import Array, Mask, Positions
from .compilation import (
    FLOAT,
    MATRIX,
    NUMBER,
    OUT,
    POSITIONS,
    POSITIONS_OUT,
    SEED,
    YES_OR_NO,
    compiled,
    inner,
    plain,
    plain_positions,
    vector,
)

Seeds = NDArray[np.uint64]
_CONSTANT = 1e-7  # range of a column below which it is not split
_LEAF = -1


class Forest(NamedTuple):
    """Hold grown trees, one row of each array for each tree.

    Attributes
    ----------
    column : ndarray of shape (n_trees, n_nodes)
        Column that a node splits by; -1 for a leaf.
    threshold : ndarray of shape (n_trees, n_nodes)
        Rows up to this value go to the left.
    left : ndarray of shape (n_trees, n_nodes)
        Number of the node to the left; that to the right is the next one.
    share : ndarray of shape (n_trees, n_nodes)
        Weighted share of the second class among the rows of a node.
    """

    column: Positions
    threshold: Array
    left: Positions
    share: Array

    def vote(self, rows: Array) -> Array:
        """Average over trees the share of the second class where rows end: (m, d) -> (m,)."""
        votes = np.zeros(len(rows))
        _vote(
            plain(rows), plain_positions(self.column), plain(self.threshold),
            plain_positions(self.left), plain(self.share), votes,
        )  # fmt: skip
        return votes / len(self.column)


def grow_forest(
    X: Array, is_second: Mask, n_trees: int, seed: int = 0, n_tried: int | None = None
) -> Forest:
    """Grow extremely randomised trees [1]_ that tell two classes of the same total weight.

    Each node tries some random columns, each with one random threshold, and splits where the Gini
    impurity falls most; trees are grown until leaves are pure.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    is_second : ndarray of shape (n,), dtype bool
        At least one row of each class.
    n_trees : int
    seed : int, default=0
    n_tried : int or None, default=None
        Columns tried at a node; None means the root of their number.

    Returns
    -------
    forest : Forest

    References
    ----------
    .. [1] P. Geurts, D. Ernst and L. Wehenkel, "Extremely randomized trees", Machine Learning 63,
       2006.
    """
    n_second = int(is_second.sum())
    weight = len(X) / 2.0 / np.where(is_second, n_second, len(X) - n_second)
    n_nodes = 2 * len(X) - 1
    column = np.full((n_trees, n_nodes), _LEAF, dtype=np.intp)
    left = np.zeros((n_trees, n_nodes), dtype=np.intp)
    threshold, share = np.zeros((2, n_trees, n_nodes))
    seeds = np.random.SeedSequence(seed).generate_state(n_trees, np.uint64).astype(np.uint64)
    n, d = X.shape
    _grow(
        plain(X), is_second, weight, seeds, n_tried or max(1, int(np.sqrt(d))),
        np.zeros(1, dtype=np.uint64), np.zeros(n, dtype=np.intp), np.zeros(d, dtype=np.intp),
        np.zeros((2 * n, 2), dtype=np.intp), column, threshold, left, share,
    )  # fmt: skip
    return Forest(column, threshold, left, share)


@inner
def _random(state: Seeds) -> float:
    """Draw a number in [0, 1) and move the state on: SplitMix64."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * 2.0**-53


@inner
def _best_split(
    X: Array, second: Mask, weight: Array, rows: Positions, columns: Positions,
    n_tried: int, state: Seeds,
) -> tuple[int, float]:  # fmt: skip
    """Find the best of some random splits of rows; the column is -1 where none splits them."""
    best, best_column, best_threshold = -np.inf, _LEAF, 0.0
    d = len(columns)
    for visited in range(d):
        if visited >= n_tried and best_column != _LEAF:
            break
        other = visited + int(_random(state) * (d - visited))
        columns[visited], columns[other] = columns[other], columns[visited]
        j = columns[visited]
        low = high = X[rows[0], j]
        for i in rows:
            low, high = min(low, X[i, j]), max(high, X[i, j])
        if high - low <= _CONSTANT:
            continue
        threshold = low + _random(state) * (high - low)
        if threshold >= high:
            threshold = low
        low_first = low_second = high_first = high_second = 0.0  # weights on either side
        for i in rows:
            if X[i, j] > threshold:
                if second[i]:
                    high_second += weight[i]
                else:
                    high_first += weight[i]
            elif second[i]:
                low_second += weight[i]
            else:
                low_first += weight[i]
        gain = (low_first * low_first + low_second * low_second) / (low_first + low_second)
        gain += (high_first * high_first + high_second * high_second) / (high_first + high_second)
        if gain > best:
            best, best_column, best_threshold = gain, j, threshold
    return best_column, best_threshold


@compiled(
    MATRIX, vector(YES_OR_NO), vector(FLOAT), vector(SEED), NUMBER,
    vector(SEED, out=True), vector(NUMBER, out=True), vector(NUMBER, out=True), POSITIONS_OUT,
    POSITIONS_OUT, OUT, POSITIONS_OUT, OUT,
)  # fmt: skip
def _grow(
    X: Array, second: Mask, weight: Array, seeds: Seeds, n_tried: int,
    state: Seeds, rows: Positions, columns: Positions, spans: Positions,
    column: Positions, threshold: Array, left: Positions, share: Array,
) -> None:  # fmt: skip
    for tree in range(len(seeds)):
        state[0] = seeds[tree]
        for i in range(len(rows)):
            rows[i] = i
        for i in range(len(columns)):
            columns[i] = i
        spans[0, 0], spans[0, 1] = 0, len(rows)  # where the rows of a node begin and end
        n_nodes, node = 1, 0
        while node < n_nodes:  # nodes in the order in which they were made
            start, stop = spans[node, 0], spans[node, 1]
            part = rows[start:stop]
            of_first = of_second = 0.0
            for i in part:
                if second[i]:
                    of_second += weight[i]
                else:
                    of_first += weight[i]
            share[tree, node] = of_second / (of_first + of_second)
            j, cut = _LEAF, 0.0
            if of_first > 0.0 and of_second > 0.0:
                j, cut = _best_split(X, second, weight, part, columns, n_tried, state)
            if j != _LEAF:
                middle = 0
                for t in range(len(part)):
                    if X[part[t], j] <= cut:
                        part[middle], part[t] = part[t], part[middle]
                        middle += 1
                column[tree, node], threshold[tree, node] = j, cut
                left[tree, node] = n_nodes
                spans[n_nodes, 0], spans[n_nodes, 1] = start, start + middle
                spans[n_nodes + 1, 0], spans[n_nodes + 1, 1] = start + middle, stop
                n_nodes += 2
            node += 1


@compiled(MATRIX, POSITIONS, MATRIX, POSITIONS, MATRIX, vector(FLOAT, out=True))
def _vote(
    rows: Array, column: Positions, threshold: Array, left: Positions, share: Array, votes: Array
) -> None:
    for i in range(len(rows)):
        for tree in range(len(column)):
            node = 0
            while column[tree, node] >= 0:
                right = rows[i, column[tree, node]] > threshold[tree, node]
                node = left[tree, node] + int(right)
            votes[i] += share[tree, node]
