"""Leave unlabelled rows that look anomalous out of the context, or with ``clean_support`` any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..._evidence.support import Support
from ..._stats.gaps import GapFiller
from ..._stats.moments import TINY
from ..._stats.neighbours import MOST_NEIGHBOURS
from ..._typing import Array, Mask
from ..base.gaps import filled_rows
from ..base.shared_values import Scores, usual_but_for_one_value

_DOUBTFUL_SHARE, _FEW = 0.2, 5.0  # of unlabelled rows, where no anomaly is labelled; halved by five
_LEAST_CONTEXT = 8


def trusted(N: Array, doubtful: NDArray[np.bool_], n_labelled: int) -> NDArray[np.intp]:
    """Select positions of normals, without the doubtful ones farthest from 20 neighbours."""
    distance = Distance(N).own
    share = _DOUBTFUL_SHARE * _FEW / (_FEW + n_labelled)
    n_dropped = min(round(share * doubtful.sum()), len(N) - _LEAST_CONTEXT)
    order = np.argsort(np.where(doubtful, -distance, np.inf), kind="stable")
    return np.sort(order[max(n_dropped, 0) :])


def near_normals(X: Array, n_labelled: int, categorical: tuple[int, ...]) -> Mask:
    """Mark the normals near the others, as if all were unlabelled: (n, d) -> (n,).

    Those stay too that only a value, which many rows share, tells from the others.
    """
    rows, every = filled_rows(X), np.ones(len(X), dtype=bool)
    kept = np.isin(np.arange(len(X)), trusted(rows, every, n_labelled))

    def scores_by_kept() -> Scores:
        distance = Distance(rows[kept])
        if not np.isnan(X).any():
            return distance, distance.own
        fill = GapFiller(X, every).fill
        return (lambda others: distance(fill(others))), distance.own

    return kept | usual_but_for_one_value(X, every, kept, categorical, scores_by_kept)


class Distance:
    """Measure how far rows are from 20 neighbours among normals, in the units of these.

    Parameters
    ----------
    N : ndarray of shape (n, d)
        The normals, without gaps.

    Attributes
    ----------
    own : ndarray of shape (n,)
        Distance of each normal from the others.
    """

    def __init__(self, N: Array) -> None:
        self._support = Support(N, N[:0])
        names = ("compressed",) if self._support.is_embedding else ("compressed", "gaussian")
        self._far = {
            name: getattr(self._support, name).own_neighbours("euclidean").reach(MOST_NEIGHBOURS)
            for name in names
        }
        self.own = self._in_units(self._far)

    def __call__(self, X: Array) -> Array:
        """Measure other rows: (m, d) -> (m,)."""
        rows = self._support.rows(X)
        return self._in_units(
            {name: rows.neighbours(name, "euclidean").reach(MOST_NEIGHBOURS) for name in self._far}
        )

    def _in_units(self, far: dict[str, Array]) -> Array:
        own = self._far
        units = [(far[k] - own[k].mean()) / (own[k].std() + TINY) for k in own]
        return np.asarray(np.mean(units, axis=0))
