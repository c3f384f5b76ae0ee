"""Convert outlier detectors to binary classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    clone,
    is_classifier,
)
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._input.callers import warn_if_columns_differ
from .._input.containers import n_rows
from .._input.estimators import coding_of_fit, is_pyod, settable_detector
from .._input.labels import (
    ANOMALOUS,
    UNLABELLED,
    codes_to_labels,
    read_labels,
    warn_if_mostly_anomalous,
)
from .._version import doc_link_template


def _has_probabilities(classifier: AnomalyClassifier) -> bool:
    return hasattr(getattr(classifier, "detector_", classifier.detector), "predict_proba")


class AnomalyClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Convert an outlier detector to a binary classifier, for tools that need one.

    ``predict`` gives labels in the coding of ``y``, ``decision_function`` is larger for the second
    of the sorted ``classes_``, and the columns of ``predict_proba`` are those of ``classes_``. So
    the detector works in ``CalibratedClassifierCV``, ``TunedThresholdClassifierCV``,
    ``FixedThresholdClassifier``, ``StackingClassifier``, ``VotingClassifier``,
    ``BaggingClassifier`` and in ``cross_val_predict`` with every method.

    Some of these tools replace the labels by 0 and 1, in sorted order, before they fit. So give
    ``y`` with 1 for the anomalies and 0 for normal rows: these labels stay as they are.

    Parameters
    ----------
    detector : estimator
        An outlier detector of this package or of scikit-learn, or a :class:`PyODDetector`; also a
        pipeline that ends in one. ``fit`` trains a clone and keeps what ``meta_fit`` learned.
    outlier_label : "auto", label or list of labels, default="auto"
        The label of the anomalies, as in the detectors of this package. The parameter of the same
        name of ``detector`` is ignored.

    Attributes
    ----------
    detector_ : estimator
        The fitted clone.
    classes_ : ndarray of shape (2,)
        The labels of normal rows and of anomalies, sorted.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where the detector saw any.

    See Also
    --------
    PyODDetector : Convert a detector of PyOD to one of scikit-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.calibration import CalibratedClassifierCV
    >>> from sklearn_fsad import AnomalyClassifier, ProtoNetDetector
    >>> rng, y = np.random.default_rng(0), np.repeat([0, 1], [40, 20])
    >>> X = rng.normal(size=(60, 3)) + 4 * y[:, None]
    >>> classifier = AnomalyClassifier(ProtoNetDetector(), outlier_label=1)
    >>> calibrated = CalibratedClassifierCV(classifier, method="isotonic", cv=3).fit(X, y)
    >>> calibrated.predict([[0.0, 0.0, 0.0], [4.0, 4.0, 4.0]])
    array([0, 1])
    """

    _doc_link_module, _doc_link_template = "sklearn_fsad", doc_link_template

    def __init__(self, detector: Any, *, outlier_label: Any = "auto") -> None:
        self.detector = detector
        self.outlier_label = outlier_label

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.detector).input_tags
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> AnomalyClassifier:
        """Fit a clone of the detector to rows and their labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Labels in any coding that ``outlier_label`` allows; unlabelled rows are passed on.
        sample_weight : array-like of shape (n_samples,), default=None
            Handed to ``fit`` of the detector: trust in each label, for detectors of this package.

        Returns
        -------
        self : AnomalyClassifier
            The fitted classifier.

        Raises
        ------
        TypeError
            If ``detector`` is a classifier, or a detector of PyOD that is not converted.
        ValueError
            If there are no labels, not exactly two kinds of labels, or the detector raises it.
        """
        if y is None:
            raise ValueError(
                "AnomalyClassifier requires y to be passed, but the target y is None: without "
                "labels use the detector itself."
            )
        _check_detector(self.detector)
        codes, coding = read_labels(y, n_rows(X), outlier_label=self.outlier_label)
        if coding is None or (codes == UNLABELLED).all():
            raise ValueError(
                "Only binary classification is supported: y must hold one label of normal rows and "
                "one of anomalies."
            )
        warn_if_mostly_anomalous(codes, coding, self.outlier_label)
        detector = clone(self.detector)
        inner = settable_detector(detector)
        if inner is not None and "outlier_label" in inner.get_params(deep=False):
            inner.set_params(outlier_label=ANOMALOUS)
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        self.detector_ = detector.fit(X, codes_to_labels(codes), **weights)
        self._coding = coding
        self.classes_ = np.array(sorted(coding))
        return self

    @property
    def n_features_in_(self) -> int:
        """Number of features."""
        check_is_fitted(self)
        return int(self.detector_.n_features_in_)

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        """Names of the features, where the detector saw any."""
        names: NDArray[Any] = self.detector_.feature_names_in_
        return names

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Score rows relative to the threshold, larger for the second of ``classes_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            0 is the threshold.
        """
        check_is_fitted(self)
        scores = self.detector_.decision_function(X)
        return -scores if self._anomaly_is_second() else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """Label rows in the coding of ``y``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Labels as in ``y``.
        """
        check_is_fitted(self)
        flagged = np.asarray(self.detector_.predict(X)) == -1
        labels: NDArray[Any] = self.classes_[(flagged == self._anomaly_is_second()).astype(int)]
        return labels

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Estimate the probability of each class, if the detector can.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, 2)
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        p = np.asarray(self.detector_.predict_proba(X), dtype=np.float64)
        warn_if_columns_differ(self.classes_.tolist())
        known = coding_of_fit(self.detector_)
        swapped = known is not None and known[1] > known[0]
        return p if swapped == self._anomaly_is_second() else p[:, ::-1]

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Estimate the logarithm of the probability of each class, if the detector can.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, 2)
            Columns in the order of ``classes_``; minus infinity where a probability is 0.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the accuracy of the labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their labels, in the coding of ``fit``.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        accuracy : float
            Share of the rows whose label is right.
        """
        return float(super().score(X, y, sample_weight))

    def _anomaly_is_second(self) -> bool:
        normal, anomalous = self._coding
        return bool(anomalous > normal)


def _check_detector(detector: Any) -> None:
    name = type(detector).__name__
    if is_pyod(detector):
        raise TypeError(f"{name} is a detector of PyOD: convert it, PyODDetector({name}(...)).")
    if is_classifier(detector):
        raise TypeError(f"{name} is a classifier already: AnomalyClassifier takes detectors.")
