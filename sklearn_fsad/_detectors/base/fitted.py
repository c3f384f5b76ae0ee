"""Score and label rows by a detector that is fitted to a support."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OutlierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import ClassifierTags

from ..._input.callers import refuse_tools_for_classifiers, warn_if_search_ties
from ..._input.categories import Categories
from ..._input.codings import SIGNED, Coding
from ..._input.columns import known_columns
from ..._input.entries import ADVICE
from ..._input.labels import ANOMALOUS, UNLABELLED, encode_labels
from ..._input.rows import refuse_other_columns, validated_rows
from ..._state import MetaState
from ..._stats.ranking import auc_of_known
from ..._typing import Array, Codes, Mask
from .adaptation import Adaptation
from .parameters import Parameters
from .versions import VersionedPickles


class FittedDetector(OutlierMixin, VersionedPickles, Parameters):
    """Score rows by the adaptation that ``fit`` stores."""

    _fills_gaps: ClassVar[bool] = True  # else the method reads missing entries itself

    pretrained: Any
    outlier_label: Any
    threshold: Any
    alpha: float
    contamination: Any
    max_context: Any

    offset_: float
    state_: MetaState
    support_X_: Array
    support_y_: Codes
    support_kept_: Mask
    _adaptation: Adaptation
    _coding: Coding | None
    _trust: Array | None = None  # sample_weight, where given
    _categories: Categories = Categories()
    _threshold_by: str | None = None  # where no parameter chose the threshold

    def score_samples(self, X: Any) -> Array:
        """Score rows: higher = more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Float64; the score of a row does not depend on the other rows of ``X``. A row that
            equals a normal training row gets the leave-one-out score of that row, unless training
            rows repeat so often that it may well be a new row.
        """
        self._check_fitted()
        rows = self._validated(X, reset=False, dtype=[np.float64, np.float32])  # not copied whole
        return -self._anomaly_scores(rows)

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

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Compute the ROC AUC with the anomaly as the positive class, for any coding of ``y``.

        It does not depend on ``threshold``, ``alpha`` and ``contamination``: in a search over these
        all candidates tie, with a warning. For such a search use a scorer that evaluates
        ``predict``, such as ``scoring=anomaly_scorer("f1")``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Labels; required. Unlabelled rows are ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts.

        Returns
        -------
        auc : float
            0.5 is chance, 1 is perfect.
        """
        scores = -self.score_samples(X)
        codes = self._encoded_query(y, len(scores))
        warn_if_search_ties()
        return auc_of_known(codes == ANOMALOUS, scores, codes != UNLABELLED, sample_weight)

    # --- private ----------------------------------------------------------------------------------
    def _validated(self, X: Any, *, learn: bool = False, **checks: Any) -> Array:
        """Validate rows; ``learn`` numbers values of categories that are not known yet."""
        checks = {"dtype": np.float64, "order": "C", "ensure_all_finite": "allow-nan", **checks}
        categories, reset = self._categories, checks.get("reset", True)
        if learn and reset:
            categories = Categories.of(X, getattr(self, "categorical_features", None))
        if categories.positions and not reset:  # a column at a wrong place would be misread
            refuse_other_columns(self, X)
        if learn and categories.positions:
            categories = categories.extended(X)
        try:
            rows = validated_rows(self, X, categories=categories, **checks)
        except ValueError as error:
            self._tell_of_empty_columns(error, reset)
            raise
        if learn:
            self.__dict__.pop("_categories", None)
            if categories.positions:
                self._categories = categories
        return rows

    def _tell_of_empty_columns(self, error: ValueError, reset: bool) -> None:
        """Raise another error where one is about a column of which ``fit`` saw no value."""
        if reset or "could not convert" not in str(error):
            return
        empty = np.flatnonzero(np.isnan(self.support_X_).all(axis=0)).tolist()
        names = known_columns(self)
        for name in [*empty, *([] if names is None else (names[j] for j in empty))]:
            if f" in column {name!r}, row " in str(error):
                raise ValueError(
                    f"{str(error).removesuffix(ADVICE)} But fit saw no value in column {name!r}, "
                    "and takes it for numbers: fit on rows that have values there, name it in "
                    "categorical_features where the detector has it, or leave it out."
                ) from error

    def _anomaly_scores(self, rows: Array) -> Array:
        """Score validated rows, larger = more anomalous: (m, d) -> (m,)."""
        return self._adaptation.score(rows)

    def _encoded_query(self, y: Any, n: int) -> Codes:
        """Encode labels of rows to evaluate on, by the coding of the support where it has one."""
        if y is None:
            raise ValueError("The labels 'y' of the rows are needed here; got None.")
        label, known = self._in_force("outlier_label"), self._coding
        codes = encode_labels(y, n, outlier_label=label, require_normal=False, known=known)
        if (codes == UNLABELLED).all():
            raise ValueError(f"Labelled rows are needed here: y marks all {n} as unlabelled.")
        return codes

    def _anomaly_column(self) -> int:
        """Return the position of the anomalies' label among the two sorted labels."""
        normal, anomalous = self._coding or SIGNED
        return int(anomalous > normal)

    def _scored_support(self) -> Array:
        """Return rows given to ``fit`` whose scores stand for those of all: (n, d)."""
        return self.support_X_[self._rows_of_weight()]

    def _rows_of_weight(self) -> Mask:
        """Mark the rows given to ``fit`` but those of ``sample_weight`` 0: (n,)."""
        trust = self._trust
        return np.ones(len(self.support_y_), dtype=bool) if trust is None else trust > 0.0

    def _most_normals(self, codes: Codes) -> int:
        """Return how many normal rows of a support with these labels are compared with at most."""
        return int(self.max_context)

    def _most_in_context(self) -> int:
        """Return the same for the support, by the parameters at the time of ``fit``."""
        method: FittedDetector = self._adaptation.method
        return method._most_normals(self.support_y_)

    def _reference_normals(self) -> Array:
        """Return the normal rows of the support, to compare others with: (n, d)."""
        return self._adaptation.support.normals

    def _check_fitted(self) -> None:
        if self.__sklearn_is_fitted__():
            return
        name = type(self).__name__
        if self.pretrained is not None:
            raise NotFittedError(
                f"This {name} instance has meta-learned weights but is not fitted yet: call 'fit' "
                "with the support rows of the new task."
            )
        raise NotFittedError(
            f"This {name} instance is not fitted yet. Call 'fit' with appropriate arguments before "
            "using this estimator."
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "offset_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags(multi_class=False)  # y, where given, is binary
        tags.input_tags.allow_nan = True
        return tags
