"""Evidence about rows of any table from classifiers: labelled anomalies against normals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._stats.compiled import row_product, summed_differences
from .._stats.trees import Forest, grow_forest
from .._typing import Array
from .coordinates import Coordinates
from .family_anomalies import thinned
from .support import QueryRows, Support
from .table_anomalies import equal_columns, means_of_columns
from .table_normals import EvidenceFunction

_N_TREES, _N_TREES_OF_PART = 80, 24
_MOST_TRIED = 64  # columns at a node
_SEED = 3  # other trees than those of the other forest
_VIEWS = ("compressed", "gaussian", "white")
_MOST_NORMALS = 300
_MOST_NUMBERS = 2**20  # in one array of kernels


def forest_wide(support: Support, rows: QueryRows) -> Array:
    """Let randomised trees tell anomalies from normals by columns in three coordinate systems.

    A node tries half of all columns. As in the other forest the trees see the mean of columns that
    are equal in the support.
    """

    def grown() -> Forest:
        normals = np.concatenate([getattr(support, name).normals for name in _VIEWS], axis=1)
        anomalies = np.concatenate([getattr(support, name).anomalies for name in _VIEWS], axis=1)
        X = np.concatenate([normals, anomalies])
        n = _N_TREES_OF_PART if support.is_part else _N_TREES
        n_tried = min((X.shape[1] + 1) // 2, _MOST_TRIED)
        return grow_forest(X, np.arange(len(X)) >= len(normals), n, _SEED, n_tried)

    groups = support.once("equal columns", lambda: equal_columns(support.compressed))
    views = [getattr(rows, name) for name in _VIEWS]
    if groups is not None:
        views = [means_of_columns(view, groups) for view in views]
    share = support.once("wide forest", grown).vote(np.concatenate(views, axis=1))
    return np.log((share + 0.01) / (1.01 - share))


@dataclass(frozen=True)
class KernelMachine:
    """Tell anomalies from normals by regularised least squares with a Laplacian kernel [1]_.

    Both classes have the same total weight.

    References
    ----------
    .. [1] R. Rifkin, G. Yeo and T. Poggio, "Regularized least-squares classification", Advances in
       Learning Theory, 2003.
    """

    coordinates: str

    def __call__(self, support: Support, rows: QueryRows) -> Array:
        """Score rows: (m,)."""
        columns, coefficients = support.once(self, lambda: self._fit(support))
        Z, at_once = getattr(rows, self.coordinates), max(1, _MOST_NUMBERS // columns.shape[1])
        return np.concatenate([
            row_product(_kernel(Z[start : start + at_once], columns), coefficients)
            for start in range(0, max(len(Z), 1), at_once)
        ])  # fmt: skip

    def _fit(self, support: Support) -> tuple[Array, Array]:
        space: Coordinates = getattr(support, self.coordinates)
        N, A = thinned(space.normals, _MOST_NORMALS), space.anomalies
        X = np.concatenate([N, A])
        columns: Array = np.ascontiguousarray(X.T)
        anomalous = np.arange(len(X)) >= len(N)
        penalty: Array = 2.0 * np.where(anomalous, len(A), len(N)) / len(X)  # one over the weight
        system = _kernel(X, columns) + np.diag(penalty)
        coefficients = np.linalg.solve(system, np.where(anomalous, 1.0, -1.0))
        return columns, np.asarray(coefficients, dtype=np.float64)


def _kernel(rows: Array, columns: Array) -> Array:
    return np.exp(-summed_differences(rows, columns) / len(columns))


CLASSIFIERS: dict[str, EvidenceFunction] = {
    "forest_wide": forest_wide,
    "kernel_machine_gaussian": KernelMachine("gaussian"),
}
