"""Ask about rows by the active anomaly detection of coniferest, where it is installed.

S. Das et al., "Incorporating feedback into tree-based anomaly detection", KDD workshop IDEA 2017.
"""

from __future__ import annotations

import importlib.util

import numpy as np
from bench.protocols.pools import PoolDraw

NORMAL, ANOMALY = 1, -1  # labels of coniferest


def is_installed() -> bool:
    """Tell whether coniferest can be imported."""
    return importlib.util.find_spec("coniferest") is not None


class AADForestAsks:
    """A forest on the pool and the normal rows that asks about the row of its highest score.

    Parameters
    ----------
    draw : PoolDraw
    normals_too : bool
        Whether it is told the labels of the normal rows, beside the answers.
    seed : int
    """

    def __init__(self, draw: PoolDraw, normals_too: bool, seed: int) -> None:
        from coniferest.aadforest import AADForest

        self.draw, self.asked = draw, np.zeros(len(draw.pool), dtype=bool)
        self.rows = np.concatenate([draw.pool, draw.normals])
        self.labels = np.zeros(len(self.rows), dtype=np.int64)
        if normals_too:
            self.labels[len(draw.pool) :] = NORMAL
        self.forest = AADForest(n_jobs=1, random_seed=seed + draw.number)
        self.forest.fit(self.rows, self.labels)

    def ask(self) -> int:
        """Return the row to ask about."""
        scores = self.anomaly_score(self.draw.pool)
        return int(np.where(self.asked, -np.inf, scores).argmax())

    def answer(self, row: int) -> None:
        """Learn the label of a row."""
        self.asked[row] = True
        self.labels[row] = ANOMALY if self.draw.pool_y[row] else NORMAL
        self.forest.fit(self.rows, self.labels)

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Score rows, larger = more anomalous."""
        return -np.asarray(self.forest.score_samples(np.ascontiguousarray(X)))
