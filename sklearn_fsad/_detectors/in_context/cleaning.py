"""Leave unlabelled rows that look anomalous out of the context."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..._evidence.support import Support
from ..._stats.moments import TINY
from ..._stats.neighbours import MOST_NEIGHBOURS
from ..._typing import Array

_DOUBTFUL_SHARE, _FEW = 0.2, 5.0  # of unlabelled rows, where no anomaly is labelled; halved by five
_LEAST_CONTEXT = 8


def trusted(N: Array, doubtful: NDArray[np.bool_], n_labelled: int) -> NDArray[np.intp]:
    """Select positions of normals, without the doubtful ones farthest from 20 neighbours."""
    support = Support(N, N[:0])
    coordinates = (
        (support.compressed,) if support.is_embedding else (support.compressed, support.gaussian)
    )
    far = [c.own_neighbours("euclidean").reach(MOST_NEIGHBOURS) for c in coordinates]
    distance = np.mean([(f - f.mean()) / (f.std() + TINY) for f in far], axis=0)
    share = _DOUBTFUL_SHARE * _FEW / (_FEW + n_labelled)
    n_dropped = min(round(share * doubtful.sum()), len(N) - _LEAST_CONTEXT)
    order = np.argsort(np.where(doubtful, -distance, np.inf), kind="stable")
    return np.sort(order[max(n_dropped, 0) :])
