"""Distil a fitted detector to a small network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._detector import DistilledDetector


def distil(
    detector: Any,
    X: Any = None,
    y: Any = None,
    *,
    min_agreement: float = 0.98,
    hidden: Sequence[int] | None = None,
    n_rows: int = 50_000,
    max_epochs: int = 20,
    random_state: Any = None,
) -> DistilledDetector:
    """Distil a fitted detector: a small, fast network with nearly the same scores.

    Without ``X`` the network learns on rows made around the training rows. The agreement is then
    that on made rows, which real rows may not be like. Give later rows as ``X`` if you have some.

    Parameters
    ----------
    detector : estimator
        A fitted detector. It is not changed, and the result holds nothing of it but arrays.
    X : array-like of shape (n_samples, n_features), default=None
        Rows such as those to be scored, at least 20, labelled or not. A quarter of them is left
        out, to measure the agreement. Required if the detector is not one of this package.
    y : array-like of shape (n_samples,), default=None
        Labels of ``X``, for the loss of ROC AUC alone.
    min_agreement : float in [-1, 1], default=0.98
        Rank correlation of both scores on rows left out, below which an error is raised.
    hidden : tuple of int, default=None
        Hidden layers of the network; None tries ``(32, 32)``, and then ``(128, 64)`` if
        that does not agree well enough.
    n_rows : int, default=50000
        Rows to make; fewer for more than 500 columns.
    max_epochs : int, default=20
        Epochs of the training.
    random_state : int, RandomState instance or None, default=None
        Seed of the made rows and of the network.

    Returns
    -------
    copy : DistilledDetector
        Its attribute ``agreement_`` says how well both agree.

    Raises
    ------
    DisagreementError
        If the rank correlation is below ``min_agreement``.
    TypeError
        If the detector does not score single rows.
    ValueError
        If rows have missing entries or categories, or if ``X`` is missing and needed.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.distillation import distil
    >>> X = np.random.default_rng(0).normal(size=(40, 2))
    >>> copy = distil(ProtoNetDetector().fit(X), n_rows=10000, random_state=0)
    >>> copy.predict([[0.0, 0.0], [6.0, 6.0]])
    array([ 1, -1])
    >>> bool(copy.agreement_.rank_correlation > 0.98)
    True
    """
    copy = DistilledDetector(
        min_agreement=min_agreement,
        hidden=hidden,
        n_rows=n_rows,
        max_epochs=max_epochs,
        random_state=random_state,
    )
    copy._validate_params()
    return copy._distil(detector, X, y)
