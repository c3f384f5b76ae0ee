"""Take detectors to other tools: to and from PyOD, as classifiers, through skops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._values import plain_scalar
from ._from_pyod import PyODDetector
from ._skops import skops_trusted_types
from ._to_classifier import AnomalyClassifier

if TYPE_CHECKING:
    from ._to_pyod import PyODAdapter

__all__ = ["AnomalyClassifier", "PyODDetector", "skops_trusted_types", "to_pyod"]


def to_pyod(
    detector: Any, *, contamination: float = 0.1, threshold: str = "contamination"
) -> PyODAdapter:
    """Convert a scikit-learn outlier detector to a PyOD detector.

    It works wherever PyOD accepts a ``BaseDetector``: score combination, SUOD, LSCP, XGBOD,
    FeatureBagging, ``evaluate_print``. Meta-learned weights are kept. FeatureBagging drops columns,
    which is an error for a detector with weights for a fixed number of features.

    Parameters
    ----------
    detector : estimator
        A detector with ``score_samples``, higher = more normal, or a pipeline that ends in one.
        ``fit`` trains a clone, with ``y`` if PyOD passes it.
    contamination : float, default=0.1
        Share of the training rows above the threshold, in (0, 0.5].
    threshold : {"contamination", "estimator"}, default="contamination"
        Set ``threshold_`` by that share, as PyOD does, or take the detector's ``offset_``.

    Returns
    -------
    detector : pyod.models.base.BaseDetector
        Scores are larger for anomalies and ``predict`` gives 0 and 1.

    Raises
    ------
    ValueError
        If ``contamination`` is out of range; at ``fit``, if ``threshold`` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from sklearn_fsad.adapters import to_pyod
    >>> X = np.array([[0.0], [0.1], [0.2], [0.3], [0.4], [9.0]])
    >>> to_pyod(IsolationForest(random_state=0), contamination=0.2).fit(X).labels_
    array([0, 0, 0, 0, 0, 1])
    """
    from ._to_pyod import PyODAdapter

    return PyODAdapter(
        detector, contamination=plain_scalar(contamination), threshold=plain_scalar(threshold)
    )


def __dir__() -> list[str]:
    return sorted(__all__)
