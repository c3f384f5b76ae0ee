"""Explain rows of the support by an adaptation that did not see them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..._training.usual_torch import usual_torch
from ..._typing import Array
from .adaptation import Adaptation

_LEAST_NORMALS = 2  # as in ``fit``


def explained_by_others(
    adaptation: Adaptation, X: Array, explain: Callable[[Adaptation, Array], Array]
) -> Array:
    """Split the scores of rows over columns, those of support rows by the rest of the support.

    A support row is too similar to itself: a changed copy of it looks more anomalous than the row
    that the support holds. So it is explained by an adaptation to the folds that it is not in. What
    then differs from its leave-one-out score is divided evenly among the columns.

    Parameters
    ----------
    adaptation : Adaptation
        To the support.
    X : ndarray of shape (m, d)
        Rows to explain.
    explain : callable
        ``(adaptation, rows) -> contributions`` of shape (m, d), each row on its own.

    Returns
    -------
    contributions : ndarray of shape (m, d)
        They add up to ``adaptation.score(X)``.
    """
    own = adaptation.lookup.find(X)
    known = own >= 0
    if not known.any():
        return explain(adaptation, X)
    fold = np.where(known, adaptation.support.folds()[own], -1)
    found = np.empty(X.shape)
    for i in np.unique(fold):
        part = fold == i
        found[part] = explain(adaptation if i < 0 else _without_fold(adaptation, i), X[part])
    rest = adaptation.score(X[known]) - found[known].sum(axis=1)
    found[known] += (rest / X.shape[1])[:, None]
    return found


def _without_fold(adaptation: Adaptation, fold: int) -> Adaptation:
    """Adapt to the support without one fold; to all of it where too few normals would remain."""
    support = adaptation.support
    rest = support.without(support.folds() == fold)
    if len(rest.normals) < _LEAST_NORMALS:
        return adaptation
    with usual_torch():
        return adaptation.to(rest)
