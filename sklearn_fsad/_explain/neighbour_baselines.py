"""Score rows by nearest neighbours, as baselines of a detector."""

from __future__ import annotations

import numpy as np

from .._input.labels import ANOMALOUS
from .._stats.moments import TINY
from .._stats.neighbours import nearest
from .._stats.scaling import ScaledSupport, choose_without_tasks
from .._typing import Array, Codes


def neighbour_scores(X: Array, support_X: Array, support_y: Codes) -> dict[str, Array]:
    """Score rows by their nearest rows of a support, larger = more anomalous.

    "nearest normal" is the distance to the nearest row that is not labelled as an anomaly.
    "neighbour ratio", where anomalies are labelled, is that divided by the distance to the nearest
    of these. Columns are in units of their spread where those differ five-fold; missing entries
    count as the mean.

    Parameters
    ----------
    X : ndarray of shape (m, d)
    support_X : ndarray of shape (n, d)
    support_y : ndarray of shape (n,), dtype int8
        1 marks the anomalies.

    Returns
    -------
    scores : dict of str to ndarray of shape (m,)
        Logarithms.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad._explain.neighbour_baselines import neighbour_scores
    >>> support, labels = np.array([[0.0], [1.0], [9.0]]), np.array([0, 0, 1], dtype=np.int8)
    >>> scores = neighbour_scores(np.array([[5.0]]), support, labels)
    >>> {name: float(np.exp(score[0]).round(3)) for name, score in scores.items()}
    {'nearest normal': 4.0, 'neighbour ratio': 1.0}
    """
    anomalous = support_y == ANOMALOUS
    how = choose_without_tasks(support_X[~anomalous])
    scaled = ScaledSupport(support_X, anomalous.astype(np.int8), how)
    Z = _filled(scaled.transform(X), scaled)
    support = _filled(scaled.support, scaled)
    to_normal = _log_distance(Z, support[~anomalous])
    scores = {"nearest normal": to_normal}
    if anomalous.any():
        scores["neighbour ratio"] = to_normal - _log_distance(Z, support[anomalous])
    return scores


def _filled(Z: Array, scaled: ScaledSupport) -> Array:
    """Fill missing entries of scaled rows with the mean of the normals."""
    missing = np.isnan(Z)
    if not missing.any():
        return Z
    normals = scaled.support[scaled.support_y != ANOMALOUS]
    known = ~np.isnan(normals)
    mean = np.where(known, normals, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(missing, mean, Z)


def _log_distance(Z: Array, others: Array) -> Array:
    return np.log(nearest(Z, others, "euclidean").distance[:, 0] + TINY)
