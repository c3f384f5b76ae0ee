"""Represent rows of a table by calibrated evidence and a summary of the support."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ..._evidence.calibration import CalibratedEvidence
from ..._input.labels import ANOMALOUS
from ..._stats.moments import are_embeddings, repeated_share
from ..._stats.scaling import ScaledSupport
from ..._typing import Array, Codes
from .cleaning import trusted
from .closed_form import kinds_of

_MOST_REFINEMENTS = 4  # of the classes of equal columns and rows


class TableRepresentation:
    """Represent rows by evidence, independent of the order of columns and rows.

    Columns and rows are sorted by their content first, so that sums and random draws are the same
    for any given order.

    Parameters
    ----------
    X : ndarray of shape (n_support, d)
    y : ndarray of shape (n_support,), dtype int8
        1 marks the anomalies.
    arrays : mapping of str to ndarray
        Arrays of a state; they may hold the typical spread of evidence and what is pooled over a
        family.
    doubtful : ndarray of shape (n_support,), dtype bool, or None, default=None
        Unlabelled rows: those of them that look most anomalous are left out of the context.
    weights : ndarray of shape (d,) or None, default=None
        By what to multiply columns after they are scaled; None means one.

    Attributes
    ----------
    support : ndarray of shape (n_context, n_evidence + N_FACTS)
        Left-out evidence about the rows of the context, and the summary of the support.
    support_y : ndarray of shape (n_context,), dtype int8
        Labels of the rows of the context.
    rows : ndarray of shape (n_context,)
        Positions of the context in the support.
    """

    def __init__(
        self,
        X: Array,
        y: Codes,
        arrays: Mapping[str, Array],
        doubtful: NDArray[np.bool_] | None = None,
        weights: Array | None = None,
    ) -> None:
        order, self._columns = own_order(X, y)
        arrays = _of_width(arrays, X.shape[1])
        if "pooled_relevance" in arrays:
            self._columns = np.arange(X.shape[1])  # they are those of the family
        X = X[:, self._columns]
        normal = order[y[order] != ANOMALOUS]
        if doubtful is not None and doubtful[normal].any():
            n_labelled = int((y == ANOMALOUS).sum())
            normal = normal[trusted(X[normal], doubtful[normal], n_labelled)]
        self.rows = np.concatenate([normal, order[y[order] == ANOMALOUS]])
        X, y = X[self.rows], y[self.rows]
        kinds = kinds_of(arrays)
        scaled = ScaledSupport(X, y, "none")
        weights = None if weights is None else weights[self._columns]
        self._seen = CalibratedEvidence.from_arrays(arrays, scaled, y, kinds, weights)
        evidence = self._seen.support
        self._facts = support_summary(X, y == ANOMALOUS, evidence)
        self.support = self._with_facts(evidence)
        self.support_y = y

    @property
    def row_by_row(self) -> bool:
        """Return whether a row is represented the same, to the bit, whatever rows join it."""
        return self._seen.row_by_row

    def weighed(self, weights: Array) -> TableRepresentation:
        """Return the representation without evidence that has no weight."""
        part = copy.copy(self)
        part._seen = self._seen.weighed(weights)
        return part

    def transform(self, X: Array) -> Array:
        """Represent rows: (m, d) -> (m, n_evidence + N_FACTS)."""
        # row by row in memory, or numpy adds up a row alone in another order than among others
        return self._with_facts(self._seen.transform(np.ascontiguousarray(X[:, self._columns])))

    def _with_facts(self, evidence: Array) -> Array:
        return np.column_stack([evidence, np.tile(self._facts, (len(evidence), 1))])


def _of_width(arrays: Mapping[str, Array], n_features: int) -> Mapping[str, Array]:
    """Remove the arrays that are pooled over tasks of another width from those of a state."""
    if len(arrays.get("pooled_relevance", ())) == n_features:
        return arrays
    return {name: value for name, value in arrays.items() if not name.startswith("pooled_")}


def own_order(X: Array, y: Codes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Sort rows and columns by their content: positions (n,), (d,).

    The order depends neither on their given order nor on the units of the columns.
    """
    n, d = X.shape
    ranks = rankdata(X, method="dense", axis=0).astype(np.intp)
    row, column = y.astype(np.intp), np.zeros(d, dtype=np.intp)
    for _ in range(_MOST_REFINEMENTS):  # rows by the columns they differ in, and columns by rows
        row = _classes(row, np.sort(ranks * d + column, axis=1))
        column = _classes(column, np.sort(ranks.T * n + row, axis=1))
        if column.max() == d - 1:
            break
    columns = np.lexsort([*np.sort(X, axis=0)[::-1], column])  # of equal ranks: by their values
    return np.lexsort([y, *ranks[:, columns].T[::-1]]), columns


def _classes(former: NDArray[np.intp], marks: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number the classes of equal items, in sorted order: (m,), (m, n_marks) -> (m,)."""
    items = np.ascontiguousarray(np.column_stack([former, marks]), dtype=">u8")  # sort as bytes
    _, numbers = np.unique(items.view(f"V{items[0].nbytes}"), return_inverse=True)
    return numbers.ravel()


def support_summary(X: Array, anomalous: NDArray[np.bool_], evidence: Array) -> Array:
    """Summarise a support beyond its evidence: (n, d), (n,), (n, e) -> (N_FACTS,).

    The summary holds logarithms of the numbers of normals, columns and anomalies, the share of
    repeated values, the effective rank of the columns, the agreement of kinds of evidence, and 1
    for an embedding, else 0.
    """
    N = X[~anomalous]
    n, d = N.shape
    spread = N.std(axis=0)
    Z = (N - N.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    # squared singular values; an SVD of all rows wakes threads of BLAS, which then spin
    squares = np.linalg.eigvalsh(Z.T @ Z if d <= n else Z @ Z.T).clip(min=0.0)
    share = squares / max(squares.sum(), 1e-300)
    rank = float(np.exp(-(share * np.log(share + 1e-300)).sum())) / max(min(n - 1, d), 1)
    E = evidence[~anomalous]
    E = (E - E.mean(axis=0)) / (E.std(axis=0) + 1e-6)
    agreement = float(np.mean(E.mean(axis=1) ** 2))
    return np.array([
        np.log(n) / 3.0 - 1.3, np.log(d) / 3.0 - 0.8, np.log1p(anomalous.sum()),
        repeated_share(N), rank, agreement, float(are_embeddings(N)),
    ])  # fmt: skip
