"""How InContextDetector sees a table: calibrated evidence and facts about the support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ._calibration import CalibratedEvidence
from ._context_mix import support_facts
from ._evidence import FAMILY, TABULAR, Evidence
from ._evidence.labelled_tables import ANOMALIES
from ._evidence.tables import NEAREST
from ._labels import ANOMALOUS
from ._scaling import ScaledSupport
from ._spaces import Support
from ._statistics import TINY
from ._views import MOST_NEIGHBOURS

Array = NDArray[np.float64]
Codes = NDArray[np.int8]

_DOUBTFUL_SHARE, _FEW = 0.2, 5.0  # of unlabelled rows, where no anomaly is labelled; halved by five
_LEAST_CONTEXT = 8
_MOST_REFINEMENTS = 4  # of what tells columns and rows apart


class TableDescription:
    """A support and rows as evidence about them, whatever the order of columns and rows.

    Columns and rows are put in an order of their own first, so that sums and draws come out alike.

    Parameters
    ----------
    X : ndarray of shape (n_support, d)
    y : ndarray of shape (n_support,), dtype int8
        1 marks the anomalies.
    arrays : mapping of str to ndarray
        A state's; may hold the typical spread of evidence and what is pooled over a family.
    most_normals : int
        Of more normals a random part is the context.
    doubtful : ndarray of shape (n_support,), dtype bool, or None, default=None
        Rows that are not labelled: the strangest of them are left out of the context.

    Attributes
    ----------
    support : ndarray of shape (n_context, n_evidence + N_FACTS)
        Left-out evidence about the rows of the context, and facts.
    support_y : ndarray of shape (n_context,), dtype int8
    rows : ndarray of shape (n_context,)
        Positions of the context in the support.
    """

    def __init__(
        self,
        X: Array,
        y: Codes,
        arrays: Mapping[str, Array],
        most_normals: int = 1000,
        doubtful: NDArray[np.bool_] | None = None,
    ) -> None:
        order, self._columns = own_order(X, y)
        arrays = _of_width(arrays, X.shape[1])
        if "pooled_relevance" in arrays:
            self._columns = np.arange(X.shape[1])  # they are those of the family
        X = X[:, self._columns]
        normal = order[y[order] != ANOMALOUS]
        if len(normal) > most_normals:
            rng = np.random.default_rng(len(normal))
            normal = normal[np.sort(rng.choice(len(normal), most_normals, replace=False))]
        if doubtful is not None and doubtful[normal].any():
            n_labelled = int((y == ANOMALOUS).sum())
            normal = normal[trusted(X[normal], doubtful[normal], n_labelled)]
        self.rows = np.concatenate([normal, order[y[order] == ANOMALOUS]])
        X, y = X[self.rows], y[self.rows]
        kinds = kinds_of(arrays)
        self._seen = CalibratedEvidence.from_arrays(arrays, ScaledSupport(X, y, "none"), y, kinds)
        evidence = self._seen.support
        self._facts = support_facts(X, y == ANOMALOUS, evidence)
        self.support = self._with_facts(evidence)
        self.support_y = y

    def transform(self, X: Array) -> Array:
        """Describe rows: (m, d) -> (m, n_evidence + N_FACTS)."""
        return self._with_facts(self._seen.transform(X[:, self._columns]))

    def _with_facts(self, evidence: Array) -> Array:
        return np.column_stack([evidence, np.tile(self._facts, (len(evidence), 1))])


def trusted(N: Array, doubtful: NDArray[np.bool_], n_labelled: int) -> NDArray[np.intp]:
    """Positions of normals but for the doubtful ones that are farthest from 20 others."""
    support = Support(N, N[:0])
    views = (
        (support.compressed,) if support.is_embedding else (support.compressed, support.gaussian)
    )
    far = [view.own_neighbours("euclidean").reach(MOST_NEIGHBOURS) for view in views]
    strange = np.mean([(f - f.mean()) / (f.std() + TINY) for f in far], axis=0)
    share = _DOUBTFUL_SHARE * _FEW / (_FEW + n_labelled)
    n_dropped = min(round(share * doubtful.sum()), len(N) - _LEAST_CONTEXT)
    order = np.argsort(np.where(doubtful, -strange, np.inf), kind="stable")
    return np.sort(order[max(n_dropped, 0) :])


def kinds_of(arrays: Mapping[str, Array]) -> tuple[Evidence, ...]:
    """The evidence that a state weighs: that of any table, or of a family with its own columns."""
    n_kinds = arrays["closed"].shape[-1] if "closed" in arrays else len(TABULAR)
    return tuple(FAMILY.values())[:n_kinds]


def _of_width(arrays: Mapping[str, Array], n_features: int) -> Mapping[str, Array]:
    """A state's arrays without what is pooled over tasks of another width."""
    if len(arrays.get("pooled_relevance", ())) == n_features:
        return arrays
    return {name: value for name, value in arrays.items() if not name.startswith("pooled_")}


def own_order(X: Array, y: Codes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """An order of rows and of columns that depends on what they hold: (n,), (d,).

    Not on where they stand, nor on the units of the columns.
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
    """Number of what tells items apart, in sorted order: (m,), (m, n_marks) -> (m,)."""
    _, numbers = np.unique(np.column_stack([former, marks]), axis=0, return_inverse=True)
    return numbers.ravel()


def closed_form() -> Array:
    """Weights before any learning: (2, 3, n_evidence).

    Of tables and of embeddings; with no labelled anomaly, with one and with ten. A table without
    labels is judged by the mean of its nearest neighbours in all views; the more labels there are,
    the more count the trees and whatever else tells anomalies from normals.
    """
    ratios = [name for name in ANOMALIES if name.startswith("ratio")]
    rules = [n for n in ANOMALIES if n.startswith(("subspaces", "column", "discriminant"))]

    def shares(near: float, ratio: float, rule: float, forest: float) -> dict[str, float]:
        parts = ((NEAREST, near), (ratios, ratio), (rules, rule), (("forest",), forest))
        return {name: share / len(names) for names, share in parts for name in names}

    table = shares(1.0, 0.0, 0.0, 0.0), shares(0.25, 0.4, 0.2, 0.15), shares(0.1, 0.25, 0.25, 0.4)
    one = {"mahalanobis_raw": 0.7, "off_axis": 0.3}
    embedding = one, {**one, "discriminant_raw": 0.2}, {**one, "discriminant_raw": 0.6}
    return np.array([
        [[part.get(name, 0.0) for name in TABULAR] for part in parts]
        for parts in (table, embedding)
    ])  # fmt: skip


def speaking(kinds: Sequence[Evidence] = tuple(TABULAR.values())) -> Array:
    """Which evidence speaks in the same cases: (2, 2, n_evidence), 1 where it does."""
    return np.array([
        [[float(e.speaks(embedding, k)) for e in kinds] for k in (0, 1)]
        for embedding in (False, True)
    ])  # fmt: skip
