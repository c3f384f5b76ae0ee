"""Explain the scores of a fitted detector, and evaluate it on labelled rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._explain.attribution import column_contributions
from ..._explain.diagnosis import Diagnosis, diagnose_scores
from ..._explain.neighbour_baselines import neighbour_scores
from ..._input.labels import ANOMALOUS
from ..._typing import Array
from ...tasks._distance import TaskPlace, TrainingTasks
from .adaptation import Adaptation
from .context import context_of
from .fitted import FittedDetector
from .support_lookup import row_keys
from .training_rows import explained_by_others


class Explanations(FittedDetector):
    """Attribute scores to columns, and diagnose the detector on labelled rows."""

    def _about_adaptation(self) -> tuple[Mapping[str, Any] | None, list[str]]:
        """Report on the adaptation of a method, with advice; None and no advice by default."""
        return None, []

    # --- public -----------------------------------------------------------------------------------
    def feature_scores(self, X: Any) -> Array:
        """Attribute the anomaly scores of rows to their columns.

        The contribution of a column is how much the anomaly score drops when its value is replaced
        by that of the nearest normal training row, nearest in all other columns after scaling each
        by its spread. The rest of the score is divided evenly among the columns. Each row is scored
        once more for each column: with 1000 columns that takes 1000 times as long as
        ``score_samples``. A normal training row is explained by the detector adapted without it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to explain.

        Returns
        -------
        contributions : ndarray of shape (n_samples, n_features)
            They add up to ``-score_samples(X)``: larger = more anomalous.

        Raises
        ------
        NotFittedError
            Before ``fit``.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_fsad import ProtoNetDetector
        >>> X = np.random.default_rng(0).normal(size=(40, 4))
        >>> ProtoNetDetector().fit(X).feature_scores([[0.0, 0.0, 6.0, 0.0]]).argmax()
        np.int64(2)
        """
        self._check_fitted()
        rows = self._validated(X, reset=False)
        normals, categorical = self._reference_normals(), self._categories.positions

        def explain(adaptation: Adaptation, part: Array) -> Array:
            return column_contributions(adaptation.score, part, normals, categorical)

        return explained_by_others(self._adaptation, rows, explain)

    def diagnose(self, X: Any, y: Any = None) -> Diagnosis:
        """Evaluate the fitted detector on labelled rows, and give advice.

        The detector is not changed. ``print`` shows the result.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows that were not given to ``fit``.
        y : array-like of shape (n_samples,)
            Labels, as in ``fit``; required. Unlabelled rows are ignored. Without any anomaly the
            figures that need anomalies are None.

        Returns
        -------
        diagnosis : Diagnosis
            Its fields: distance to the training tasks; ROC AUC and average precision, compared with
            nearest neighbours on the same training rows; rates of false alarms and of detection;
            the report of the method on its adaptation; and advice.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If ``y`` is missing or labels no row as normal.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_fsad import ProtoNetDetector
        >>> rng, y = np.random.default_rng(0), np.repeat([0, 1], [60, 20])
        >>> X = rng.normal(size=(80, 3)) + 6 * y[:, None]
        >>> found = ProtoNetDetector().fit(X[:30]).diagnose(X[30:], y[30:])
        >>> found.roc_auc["detector"], found.detection_rate
        (1.0, 1.0)
        """
        self._check_fitted()
        rows = self._validated(X, reset=False)
        codes = self._encoded_query(y, len(rows))
        scores = self._anomaly_scores(rows)
        adaptation, hints = self._about_adaptation()
        context, _ = context_of(self.support_X_, self.support_y_, self._most_in_context(), 0)
        known = self._comparable(self.support_X_[context]), self.support_y_[context]
        return diagnose_scores(
            type(self).__name__,
            {"detector": scores} | neighbour_scores(self._comparable(rows), *known),
            codes,
            flagged=-scores - self.offset_ < 0,
            n_repeated=_n_repeated(rows, self.support_X_),
            n_support=len(self._reference_normals()),
            alpha=self._in_force("alpha"),
            aim=self._aim_of_threshold(),
            place=self._place_among_tasks(),
            adaptation=adaptation,
            hints=hints,
        )

    # --- private ----------------------------------------------------------------------------------
    def _comparable(self, rows: Array) -> Array:
        """Return rows whose distances mean something: with dummy variables for categories."""
        return self._adaptation.numbers(rows) if self._categories.positions else rows

    def _place_among_tasks(self) -> TaskPlace | None:
        """Compare the support with the training tasks; None where these are not known."""
        known = TrainingTasks.from_arrays(self.state_.arrays)
        return None if known is None else known.place(self._reference_normals())

    def _aim_of_threshold(self) -> str:
        """Name the aim of the threshold: "alpha", a "share" of the support, or "other"."""
        if self._in_force("contamination") != "auto":
            return "share"
        threshold = self._in_force("threshold")
        if isinstance(threshold, str) and threshold == "conformal":
            return "alpha"
        labelled = bool((self.support_y_ == ANOMALOUS).any())
        is_auto = isinstance(threshold, str) and threshold == "auto"
        return "alpha" if is_auto and not labelled else "other"


def _n_repeated(rows: Array, others: Array) -> int:
    """Count the rows that are also among others."""
    known = set(row_keys(others))
    return sum(key in known for key in row_keys(rows))
