"""Define the PyOD detector that ``to_pyod`` returns; apart, because PyOD is slow to import."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyod.models.base import BaseDetector
from sklearn.base import clone
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._input.estimators import final_estimator, without_nan


class PyODAdapter(BaseDetector):
    """Convert a scikit-learn outlier detector to a PyOD detector.

    Parameters
    ----------
    estimator : estimator
        A detector with ``score_samples``, higher = more normal.
    contamination : float, default=0.1
        Share of the training rows above the threshold, in (0, 0.5].
    threshold : {"contamination", "estimator"}, default="contamination"
        Where ``threshold_`` comes from: that share, or the estimator's ``offset_``.

    Attributes
    ----------
    estimator_ : estimator
        The trained clone.
    decision_scores_ : ndarray of shape (n_samples,)
        Scores of the training rows, larger = more anomalous.
    threshold_ : float
        Scores above it are anomalies.
    labels_ : ndarray of shape (n_samples,)
        0 normal, 1 anomalous.
    """

    def __init__(
        self, estimator: Any, contamination: float = 0.1, threshold: str = "contamination"
    ) -> None:
        super().__init__(contamination=contamination)
        self.estimator = estimator
        self.threshold = threshold

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> PyODAdapter:
        """Train a clone of the estimator on X of shape (n_samples, n_features).

        Labels ``y`` and weights ``sample_weight``, both of shape (n_samples,), are handed on where
        they are given.
        """
        if self.threshold not in ("contamination", "estimator"):
            raise ValueError(
                f"threshold must be 'contamination' or 'estimator', got {self.threshold!r}."
            )
        if not hasattr(self.estimator, "score_samples"):
            hint = "; use novelty=True" if hasattr(self.estimator, "novelty") else ""
            name = type(self.estimator).__name__
            raise TypeError(f"to_pyod needs a detector with score_samples; {name} has none{hint}.")
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        self._set_n_classes(None)  # with y it would warn that labels are not expected
        self.estimator_ = clone(self.estimator).fit(X, y, **weights)
        self.decision_scores_ = self.decision_function(X)
        self._process_decision_scores()
        if self.threshold == "estimator":
            self.threshold_ = -float(final_estimator(self.estimator_).offset_)
            self.labels_ = (self.decision_scores_ > self.threshold_).astype(int)
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Score rows, larger = more anomalous: (n_samples, n_features) -> (n_samples,)."""
        check_is_fitted(self, ["estimator_"])
        scores = np.asarray(self.estimator_.score_samples(X), dtype=np.float64).ravel()
        return -without_nan(scores, _num_samples(X), type(self.estimator_).__name__)
