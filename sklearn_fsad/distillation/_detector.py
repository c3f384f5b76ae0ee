"""Provide the small copy of a detector as an estimator of its own."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import _fit_context, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted

from .._detectors.base.checks import check_layers
from .._input.columns import known_columns
from .._input.estimators import coding_of_fit
from .._input.rows import validated_rows
from .._onnx.graph import Graph
from .._version import doc_link_template
from ..exceptions import DisagreementError
from ._agreement import Agreement
from ._export import write_student
from ._given import given_rows, known_rows, refusal, take_columns, warn_if_wide
from ._learning import distilled
from ._scoring import ScoringCopy
from ._teacher import Teacher


class DistilledDetector(ScoringCopy):
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
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
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
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        given = None if X is None else given_rows(probe, X, y, coding, seed)
        if given is None:
            take_columns(probe, detector)
        else:
            teacher.check_columns(X)
            if not hasattr(probe, "feature_names_in_") and hasattr(detector, "feature_names_in_"):
                take_columns(probe, detector)
        found = distilled(
            teacher,
            known_rows(teacher, given),
            given,
            hidden=self.hidden,
            n_rows=self.n_rows,
            max_epochs=self.max_epochs,
            enough=self.min_agreement,
            seed=seed,
        )
        refused = found.agreement.rank_correlation < self.min_agreement
        copy = clone(self) if refused else self
        take_columns(copy, probe)
        copy._student, copy.agreement_, copy.offset_ = found.student, found.agreement, -found.cut
        copy._calibration, copy._coding = teacher.calibration(), coding
        if refused:
            message = refusal(detector, found.agreement, self.min_agreement)
            raise DisagreementError(message, copy)
        warn_if_wide(found.agreement, self.n_features_in_)
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
