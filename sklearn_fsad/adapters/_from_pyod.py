"""Convert PyOD detectors to scikit-learn outlier detectors."""

from __future__ import annotations

import copy
import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin, clone
from sklearn.utils import ClassifierTags, check_random_state
from sklearn.utils.validation import check_is_fitted

from .._input.columns import known_columns
from .._input.estimators import is_pyod, requires_labels, without_nan
from .._input.labels import ANOMALOUS, read_labels, warn_if_mostly_anomalous
from .._input.rows import refuse_huge, validated_rows
from .._values import as_finite, plain_scalar
from .._version import doc_link_template
from ..metrics import anomaly_scorer


class PyODDetector(OutlierMixin, MetaEstimatorMixin, BaseEstimator):
    """Convert any PyOD detector to a scikit-learn outlier detector.

    Scores are higher for more normal rows and ``predict`` gives +1 and -1, so that the detector
    works in pipelines, searches and comparisons. A supervised detector, such as XGBOD, is
    recognised by a ``fit`` that requires ``y``; it is given 1 for anomalies and 0 for all other
    rows, unlabelled ones included. Other detectors are given no labels.

    Parameters
    ----------
    detector : pyod.models.base.BaseDetector
        The PyOD detector; ``fit`` trains a clone.
    outlier_label : "auto", number or str, default="auto"
        The label of the anomalies, as in the detectors of this package.
    random_state : int, RandomState or None, default=None
        Seed of the trained clone, if it takes one; None keeps the seed of the detector.

    Attributes
    ----------
    detector_ : pyod.models.base.BaseDetector
        The trained clone.
    offset_ : float
        Threshold on ``score_samples`` below which a row is an anomaly.
    n_features_in_ : int
        Number of features seen by ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where ``X`` had string column names.

    See Also
    --------
    to_pyod : Convert in the other direction.

    Notes
    -----
    A few PyOD detectors, such as ECOD and COPOD, rank the rows of one call among each other: the
    score of a row then depends on the other rows of the call.

    Examples
    --------
    >>> import numpy as np
    >>> from pyod.models.knn import KNN
    >>> from sklearn_fsad.adapters import PyODDetector
    >>> X = np.array([[0.0], [0.1], [0.2], [0.3], [0.4], [9.0]])
    >>> PyODDetector(KNN(n_neighbors=2, contamination=0.2)).fit(X).predict(X)
    array([ 1,  1,  1,  1,  1, -1])
    """

    _doc_link_module, _doc_link_template = "sklearn_fsad", doc_link_template

    def __init__(
        self, detector: Any, *, outlier_label: Any = "auto", random_state: Any = None
    ) -> None:
        self.detector = detector
        self.outlier_label = outlier_label
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags(multi_class=False)
        tags.target_tags.required = requires_labels(self.detector)
        return tags

    def fit(self, X: Any, y: Any = None) -> PyODDetector:
        """Train a clone of the detector; a failure leaves the former fitted state unchanged.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows, at least 2.
        y : array-like of shape (n_samples,), default=None
            Labels. They are checked for all detectors, but only supervised ones use them.

        Returns
        -------
        self : PyODDetector
            The fitted detector.

        Raises
        ------
        TypeError
            If ``detector`` is not PyOD's.
        ValueError
            If ``X`` or ``y`` cannot be used, or a supervised detector gets no ``y``.
        """
        former = dict(vars(self))
        try:
            return self._fit(X, y)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(former)
            raise

    def _fit(self, X: Any, y: Any) -> PyODDetector:
        name = type(self.detector).__name__
        if not is_pyod(self.detector):
            raise TypeError(f"PyODDetector wraps detectors of PyOD, and {name} is not one.")
        X = validated_rows(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        refuse_huge(X, columns=known_columns(self))
        codes, self._coding = read_labels(y, len(X), outlier_label=self.outlier_label)
        warn_if_mostly_anomalous(codes, self._coding, self.outlier_label)
        detector = clone(self.detector)
        if self.random_state is not None and "random_state" in detector.get_params():
            seed = check_random_state(plain_scalar(self.random_state)).randint(2**31 - 1)
            detector.set_params(random_state=seed)
        if not requires_labels(detector):
            detector.fit(X)
        elif y is None:
            raise ValueError(
                f"{name} is supervised: it requires y to be passed, but the target y is None."
            )
        else:
            detector.fit(X, (codes == ANOMALOUS).astype(int))
        self.offset_ = -as_finite(_threshold(detector), f"The threshold of {name}")
        self.detector_ = detector
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Score rows, higher = more normal: PyOD's scores with the opposite sign.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Float64.

        Raises
        ------
        ValueError
            If the detector gives NaN, or not one score for each row.
        """
        check_is_fitted(self)
        X = validated_rows(self, X, dtype=[np.float64, np.float32], reset=False)
        scores = np.asarray(
            copy.copy(self.detector_).decision_function(X), dtype=np.float64
        ).ravel()
        return -without_nan(scores, len(X), type(self.detector_).__name__)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Score rows relative to the threshold, negative = anomaly.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``.
        """
        scores = self.score_samples(X)
        return scores - self.offset_

    def predict(self, X: Any) -> NDArray[np.intp]:
        """Label rows: +1 normal, -1 anomalous.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            +1 normal, -1 anomalous.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def fit_predict(self, X: Any, y: Any = None) -> NDArray[np.intp]:
        """Fit, with the labels if given, and predict the same rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            Labels.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            +1 normal, -1 anomalous.
        """
        return self.fit(X, y).predict(X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Compute the ROC AUC with the anomaly as the positive class, for any coding of ``y``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their labels; required. Unlabelled rows are ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts.

        Returns
        -------
        auc : float
            NaN with a warning when the labelled rows are of one class.
        """
        scorer = anomaly_scorer("roc_auc", outlier_label=self.outlier_label)
        return scorer(self, X, y, sample_weight)


def _threshold(detector: Any) -> float:
    """Return the threshold on PyOD's scores.

    XGBOD stores none, and PyThresh stores one on another scale: for these it is put between the
    training scores with label 0 and with label 1.
    """
    threshold = getattr(detector, "threshold_", None)
    if threshold is not None and isinstance(detector.contamination, numbers.Real):
        return float(threshold)
    scores = np.asarray(detector.decision_scores_, dtype=np.float64).ravel()
    flagged = np.asarray(detector.labels_).ravel() == 1
    if not flagged.any():
        return float(scores.max())
    if flagged.all():
        return float(np.nextafter(scores.min(), -np.inf))
    highest_normal, lowest_flagged = scores[~flagged].max(), scores[flagged].min()
    if highest_normal < lowest_flagged:
        return float((highest_normal + lowest_flagged) / 2)
    return float(np.quantile(scores, 1 - flagged.mean()))
