"""Provide the small copy of a detector as an estimator of its own."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context, clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.utils import ClassifierTags, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._detectors.base.checks import check_layers
from .._input.callers import refuse_tools_for_classifiers
from .._input.codings import SIGNED, Coding
from .._input.columns import known_columns
from .._input.estimators import coding_of_fit
from .._input.labels import ANOMALOUS, UNLABELLED, encode_labels
from .._input.rows import validated_rows
from .._onnx.graph import Graph
from .._typing import Array
from .._version import doc_link_template
from ..exceptions import DisagreementError
from ._agreement import Agreement
from ._export import write_student
from ._given import given_rows, known_rows, refusal, take_columns
from ._learning import distilled
from ._student import Student
from ._teacher import Calibration, Teacher


def _is_calibrated(detector: DistilledDetector) -> bool:
    return getattr(detector, "_calibration", None) is not None


class DistilledDetector(OutlierMixin, BaseEstimator):
    """Fit a detector, and score by a small network that learned its scores.

    Use :func:`distil` for a detector that is fitted already.

    The network reads the scaled values of a row and its distances to the nearest training rows. It
    learns the ranks of the detector's scores on rows made around the training rows, and its outputs
    are mapped back to scores by their quantiles [1]_. Small networks are tried first.

    Parameters
    ----------
    detector : estimator
        Detector to fit and to distil: of this package, or any other outlier detector of
        scikit-learn or PyOD if it is fitted and frozen (``FrozenEstimator``). A frozen detector is
        not fitted again: ``fit`` distils it on the rows it is given.
    min_agreement : float in [-1, 1], default=0.98
        Rank correlation of both scores on rows left out, below which ``fit`` raises.
    hidden : tuple of int, default=None
        Hidden layers of the network; None tries ``(32, 32)``, and then ``(128, 64)`` if
        that does not agree well enough.
    n_rows : int, default=50000
        Rows to make; fewer for more than 500 columns.
    max_epochs : int, default=20
        Epochs of the training.
    random_state : int, RandomState instance or None, default=None
        Seed of the made rows and of the network.

    Attributes
    ----------
    agreement_ : Agreement
        ``rank_correlation`` and ``auc_loss`` on the rows left out, which rows these are, how many
        the detector and its copy flag, and the rank correlation for each kind of made rows.
    offset_ : float
        Threshold on ``score_samples``. It flags as many of the rows left out as the detector.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where they had names.

    See Also
    --------
    distil : The same for a fitted detector.

    Notes
    -----
    A row that equals a training row is scored as any other row; the detector itself gives it its
    leave-one-out score. p-values and probabilities are those of the detector for the scores of the
    copy: their guarantees hold as far as the scores agree. Missing entries and categories are
    refused.

    References
    ----------
    .. [1] G. Hinton, O. Vinyals and J. Dean, "Distilling the knowledge in a neural network", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.distillation import DistilledDetector
    >>> X = np.random.default_rng(0).normal(size=(40, 2))
    >>> copy = DistilledDetector(ProtoNetDetector(), n_rows=10000, random_state=0).fit(X)
    >>> copy.predict([[0.0, 0.0], [6.0, 6.0]])
    array([ 1, -1])
    """

    _doc_link_module, _doc_link_template = "sklearn_fsad", doc_link_template
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "detector": [None, HasMethods(["fit", "predict"])],
        "min_agreement": [Interval(Real, -1, 1, closed="both")],
        "hidden": [None, tuple, list],
        "n_rows": [Interval(Integral, 1000, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    agreement_: Agreement
    offset_: float
    _student: Student
    _calibration: Calibration | None
    _coding: Coding | None

    def __init__(
        self,
        detector: Any = None,
        *,
        min_agreement: float = 0.98,
        hidden: Sequence[int] | None = None,
        n_rows: int = 50_000,
        max_epochs: int = 20,
        random_state: Any = None,
    ) -> None:
        self.detector = detector
        self.min_agreement = min_agreement
        self.hidden = hidden
        self.n_rows = n_rows
        self.max_epochs = max_epochs
        self.random_state = random_state

    # --- fitting ----------------------------------------------------------------------------------
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit a clone of the detector to rows, and distil it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows of the detector; of a frozen detector rows to distil on, such as later
            ones, at least 20.
        y : array-like of shape (n_samples,), default=None
            Their labels, as the detector takes them.

        Returns
        -------
        self : object
            The fitted copy.

        Raises
        ------
        DisagreementError
            If the rank correlation is below ``min_agreement``. What an earlier ``fit`` found is
            kept.
        """
        if self.detector is None:
            raise ValueError(
                "There is no detector to distil: what distil() returns holds nothing of its "
                "detector. To fit anew, use DistilledDetector(detector) with an unfitted one."
            )
        if isinstance(self.detector, FrozenEstimator):
            return self._distil(self.detector.estimator, X, y)
        validated_rows(type(self)(), X)  # a detector may read gaps, a copy does not
        fitted = clone(self.detector)
        fitted.fit(X) if y is None else fitted.fit(X, y)
        return self._distil(fitted, None, None)

    def _distil(self, detector: Any, X: Any, y: Any) -> Self:
        """Learn from a fitted detector; nothing is changed where that fails."""
        check_layers("hidden", self.hidden)
        teacher = Teacher(detector)
        teacher.check()
        probe = type(self)()  # remembers the columns
        coding = coding_of_fit(detector)
        given = None if X is None else given_rows(probe, X, y, coding)
        if given is None:
            take_columns(probe, detector)
        elif getattr(detector, "n_features_in_", None) != probe.n_features_in_:
            teacher.scores(given.X[:1])  # raises the detector's own error
        found = distilled(
            teacher,
            known_rows(teacher, given),
            given,
            hidden=self.hidden,
            n_rows=self.n_rows,
            max_epochs=self.max_epochs,
            enough=self.min_agreement,
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
        )
        refused = found.agreement.rank_correlation < self.min_agreement
        copy = clone(self) if refused else self
        take_columns(copy, probe)
        copy._student, copy.agreement_, copy.offset_ = found.student, found.agreement, -found.cut
        copy._calibration, copy._coding = teacher.calibration(), coding
        if refused:
            message = refusal(detector, found.agreement, self.min_agreement)
            raise DisagreementError(message, copy)
        return self

    def fit_predict(self, X: Any, y: Any = None, **kwargs: Any) -> NDArray[np.int_]:
        """Fit to rows and label them, using their labels where given.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            Their labels.
        **kwargs
            Passed to ``fit``.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            1 normal, -1 anomaly.
        """
        return self.fit(X, y, **kwargs).predict(X)

    # --- scores and decisions ---------------------------------------------------------------------
    def score_samples(self, X: Any) -> Array:
        """Score rows: higher = more normal, on the scale of the detector.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows without missing entries.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            The score of a row does not depend on the other rows of ``X``.
        """
        return -self._anomaly_scores(X)

    def decision_function(self, X: Any) -> Array:
        """Score rows relative to the threshold: negative = anomaly.

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
        refuse_tools_for_classifiers(True, self._anomaly_column() == 1)
        return scores - self.offset_

    def predict(self, X: Any) -> NDArray[np.int_]:
        """Label rows: 1 normal, -1 anomaly.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            1 or -1.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def score(self, X: Any, y: Any = None) -> float:
        """Compute the ROC AUC with the anomaly as the positive class, for any coding of ``y``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Labels; required. Unlabelled rows are ignored.

        Returns
        -------
        auc : float
            0.5 is chance, 1 is perfect.
        """
        scores = self._anomaly_scores(X)
        if y is None:
            raise ValueError("The labels 'y' of the rows are needed here; got None.")
        codes = encode_labels(y, len(scores), require_normal=False, known=self._coding)
        known = codes != UNLABELLED
        return float(roc_auc_score(codes[known] == ANOMALOUS, scores[known]))

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels of the columns of :meth:`predict_proba`, as of the distilled detector."""
        return np.array(sorted(self._coding or SIGNED) if hasattr(self, "_coding") else [-1, 1])

    @available_if(_is_calibrated)
    def predict_proba(self, X: Any, *, anomaly_rate: float | None = None) -> Array:
        """Estimate the probabilities that rows are anomalous and normal.

        They are computed from the scores as by the distilled detector. Only for detectors of this
        package.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        anomaly_rate : float in (0, 1), default=None
            Share of anomalies among the rows to score; None means what the detector would assume.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, 2)
            Columns in the order of ``classes_``.
        """
        if anomaly_rate is not None and not 0.0 < anomaly_rate < 1.0:
            raise ValueError(f"anomaly_rate={anomaly_rate} must be in (0, 1).")
        scores = self._anomaly_scores(X)
        refuse_tools_for_classifiers(False, self._anomaly_column() == 1)
        assert self._calibration is not None
        p = self._calibration.probabilities(scores, anomaly_rate)
        columns = [p, 1.0 - p]
        return np.column_stack(columns if self._anomaly_column() == 0 else columns[::-1])

    @available_if(_is_calibrated)
    def p_values(self, X: Any) -> Array:
        """Compute conformal p-values, small = anomalous, from the detector's training rows.

        Only for detectors of this package.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        p : ndarray of shape (n_samples,)
            Between 1 / (n + 1) and 1, for n normal training rows.
        """
        scores = self._anomaly_scores(X)
        assert self._calibration is not None
        return self._calibration.p_values(scores)

    def to_onnx(self, path: Any) -> None:
        """Write the copy as a graph of ONNX, to be used without this package.

        Parameters
        ----------
        path : str or path-like
            File to write. The graph takes ``X``, float64 of shape (n, n_features), and gives
            ``scores``, those of :meth:`score_samples`, and ``anomaly``, 1 for the rows that
            :meth:`predict` calls anomalies. Rows with missing values get NaN, and count as
            anomalies.

        Raises
        ------
        ImportError
            If the package onnx is not installed.
        """
        check_is_fitted(self)
        graph = Graph(self.n_features_in_)
        scores = write_student(graph, self._student)
        graph.save(path, scores, self.offset_, known_columns(self))

    # --- private ----------------------------------------------------------------------------------
    def _anomaly_scores(self, X: Any) -> Array:
        check_is_fitted(self)
        rows = validated_rows(self, X, reset=False, dtype=[np.float64, np.float32], order="C")
        return self._student.score(rows)

    def _anomaly_column(self) -> int:
        normal, anomalous = self._coding or SIGNED
        return int(anomalous > normal)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "offset_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags(multi_class=False)  # y, where given, is binary
        return tags
