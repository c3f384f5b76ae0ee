"""Turn anomaly scores into decisions: change thresholds, compute p-values and probabilities."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, false_discovery_control

from ..._input.callers import refuse_tools_for_classifiers, warn_if_columns_differ
from ..._input.codings import SIGNED
from ..._input.labels import ANOMALOUS, UNLABELLED
from ..._stats.ranking import conformal_p_values
from ..._typing import Array
from ..._values import as_finite, plain_scalar
from ..._warn import warn
from ...thresholds import resolve_threshold
from .calibration import Metric, best_cut_by, check_metric, metric_for
from .checks import restored_on_error
from .fitted import FittedDetector
from .parameters import plain_parameters
from .probability import USUAL_RATE, learned_curve, probability

_RARE = 0.01  # probability of so many extreme rows among normal ones
_PARAMETERS = ("threshold", "alpha", "contamination")  # that set_threshold changes


class Decisions(FittedDetector):
    """Turn the scores of a fitted detector into labels, p-values and probabilities."""

    def set_threshold(
        self, threshold: Any = None, *, alpha: float | None = None, contamination: Any = None
    ) -> Self:
        """Change the threshold of a fitted detector without fitting it again.

        The parameters of the same names are set too, so that a later ``fit`` agrees.

        Parameters
        ----------
        threshold : {"auto", "conformal", "f1"}, callable, PyThresh object or float, default=None
            As the parameter of that name. A number is a threshold on ``score_samples``: rows below
            it are anomalies; it lasts until the next ``fit``. None keeps the present one.
        alpha : float in (0, 1), default=None
            Rate of false alarms to aim at; None keeps the present one.
        contamination : "auto" or float in (0, 0.5], default=None
            Share of the training rows to flag. None means "auto" if a threshold or alpha is given.

        Returns
        -------
        self : object
            The detector, with another ``offset_``.

        Raises
        ------
        ValueError
            If nothing is given, or a value cannot be used, such as a callable that returns NaN. The
            detector is then unchanged.
        """
        self._check_fitted()
        threshold = plain_scalar(threshold)
        if isinstance(threshold, (int, float)) and not isinstance(threshold, bool):
            if alpha is not None or contamination is not None:
                raise ValueError("Give a number as threshold, or alpha or contamination, not both.")
            if not np.isfinite(threshold):
                raise ValueError(f"threshold={threshold} must be finite.")
            self.offset_, self._threshold_by = float(threshold), "given to set_threshold"
            return self
        changed = {"threshold": threshold, "alpha": alpha, "contamination": contamination}
        changed = {name: value for name, value in changed.items() if value is not None}
        if not changed:
            raise ValueError("Give a threshold, alpha or contamination to change.")
        with restored_on_error(self):
            self.__dict__.update({"contamination": "auto", **changed})
            self._validate_params()
            now = plain_parameters(self)
            changed = {name: now.get(name, getattr(self, name)) for name in _PARAMETERS}
            self._adaptation = self._adaptation.with_parameters(**changed)
            self.offset_, self._threshold_by = -self._support_cut(), None
        return self

    def calibrate(
        self,
        X: Any,
        y: Any = None,
        metric: Metric = "f1",
        *,
        max_fpr: float = 0.05,
        costs: tuple[float, float] = (1.0, 1.0),
    ) -> Self:
        """Choose the threshold on labelled rows that the detector was not fitted to.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Labels, as in ``fit``; required. Unlabelled rows are ignored.
        metric : {"f1", "recall_at_fpr", "cost"} or callable, default="f1"
            Quantity to optimise: F1; the recall at a rate of false alarms of at most ``max_fpr``,
            by the conformal rank; the cost of false alarms and missed anomalies; or a function
            ``metric(y_true, y_pred)``, larger = better, called with 1 for anomalies and 0 for
            normal rows. Thresholds where it is NaN are not chosen.
        max_fpr : float in (0, 1), default=0.05
            See ``metric``; also the rate to aim at if no row is an anomaly.
        costs : (float, float), default=(1, 1)
            Costs of a false alarm and of a missed anomaly.

        Returns
        -------
        self : object
            The detector, with another ``offset_``, which lasts until the next ``fit``.

        Raises
        ------
        ValueError
            If ``y`` is missing or labels no row as normal, if ``metric`` is NaN at every threshold
            or does not return a number, or if ``max_fpr`` or ``costs`` are out of range.
        """
        self._check_fitted()
        metric, costs = check_metric(metric, max_fpr, costs)
        scores = -self.score_samples(X)
        codes = self._encoded_query(y, len(scores))
        normal = scores[(codes != ANOMALOUS) & (codes != UNLABELLED)]
        anomalous = scores[codes == ANOMALOUS]
        metric = metric_for(metric, len(normal), len(anomalous), max_fpr, "row")
        self.offset_ = -best_cut_by(metric, normal, anomalous, max_fpr, costs)
        aim = getattr(metric, "__name__", type(metric).__name__) if callable(metric) else metric
        n_known = len(normal) + len(anomalous)
        self._threshold_by = f"chosen by calibrate ({aim}) on {n_known} labelled rows"
        return self

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels of the columns of :meth:`predict_proba`, sorted, in the coding given to ``fit``.

        They are 0 and 1 if ``fit`` was given labels 0 and 1, and -1 and 1 without labels or if
        normal rows had several labels.
        """
        return np.array(sorted(self._coding or SIGNED) if hasattr(self, "_coding") else [-1, 1])

    def predict_proba(self, X: Any, *, anomaly_rate: float | None = None) -> Array:
        """Estimate the probabilities that rows are anomalous and normal.

        After ``meta_fit`` they come from a curve learned on episodes of the training tasks. It
        depends on the score relative to the leave-one-out scores of the training rows, on the
        number of shots and on the scores of the labelled anomalies. Without ``meta_fit`` they are
        computed from p-values alone [1]_ and are less well calibrated, since a few rows do not show
        how high anomalies score.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        anomaly_rate : float in (0, 1), default=None
            Share of anomalies among the rows to score. None means the share in the training tasks;
            without training tasks, ``contamination`` as it was at ``fit`` or ``set_threshold``, or
            0.1 if that is "auto".

        Returns
        -------
        probabilities : ndarray of shape (n_samples, 2)
            Columns in the order of ``classes_``: anomalous, normal if the labels were -1 and 1 or
            there were none; normal, anomalous if they were 0 and 1 or False and True.

        References
        ----------
        .. [1] V. Vovk and R. Wang, "E-values: calibration, combination and applications", Annals
           of Statistics 49, 2021.
        """
        self._check_fitted()
        if anomaly_rate is not None and not 0.0 < anomaly_rate < 1.0:
            raise ValueError(f"anomaly_rate={anomaly_rate} must be in (0, 1).")
        scores = -self.score_samples(X)
        refuse_tools_for_classifiers(False, self._anomaly_column() == 1)
        warn_if_columns_differ(self.classes_.tolist())
        p = self._probabilities(scores, anomaly_rate)
        columns = [p, 1.0 - p]
        return np.column_stack(columns if self._anomaly_column() == 0 else columns[::-1])

    def p_values(self, X: Any) -> Array:
        """Compute conformal p-values, small = anomalous [1]_.

        Let n be the number of normal training rows. The p-value of a row is (1 + m) / (n + 1),
        where m of their leave-one-out anomaly scores are at least as high as the score of the row.
        If new normal rows are exchangeable with the training rows, at most a share p of them has a
        p-value of at most p. No p-value is below 1 / (n + 1).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        p : ndarray of shape (n_samples,)
            Between 1 / (n + 1) and 1.

        References
        ----------
        .. [1] S. Bates et al., "Testing for outliers with conformal p-values", Annals of Statistics
           51, 2023.
        """
        self._check_fitted()
        normals = self._adaptation.left_out_by_label()[0]
        return conformal_p_values(-self.score_samples(X), normals)

    def predict_fdr(self, X: Any, q: float = 0.1) -> NDArray[np.int_]:
        """Label rows so that on average at most a share ``q`` of those flagged is normal.

        The procedure of Benjamini and Hochberg [1]_ is applied to :meth:`p_values`. Whether a row
        is flagged depends on all rows of ``X``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        q : float in (0, 1), default=0.1
            False discovery rate to aim at.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            1 normal, -1 anomaly.

        References
        ----------
        .. [1] Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate", JRSS B 57,
           1995.
        """
        if not 0.0 < q < 1.0:
            raise ValueError(f"q={q} must be in (0, 1).")
        return labels_by_fdr(self.p_values(X), len(self._adaptation.left_out_by_label()[0]), q)

    # --- private ----------------------------------------------------------------------------------
    def _probabilities(self, scores: Array, rate: float | None = None) -> Array:
        """Compute the probabilities that rows of these anomaly scores are anomalous: (m,)."""
        share, left_out = self._in_force("contamination"), self._adaptation.left_out_by_label()
        usual = USUAL_RATE if share == "auto" else share
        return probability(learned_curve(self.state_), scores, *left_out, rate=rate, usual=usual)

    def _support_cut(self) -> float:
        """Compute the anomaly score above which a row is flagged, from support and parameters."""
        threshold, alpha, contamination = map(self._in_force, _PARAMETERS)
        if contamination != "auto":  # of all rows given
            scores = self._anomaly_scores(self._scored_support())
            return float(np.percentile(scores, 100.0 * (1.0 - contamination)))
        strategy = resolve_threshold(threshold, alpha)
        cut = strategy(*self._left_out_as_given())
        return as_finite(cut, f"threshold={threshold!r}")

    def _left_out_as_given(self) -> tuple[Array, Array]:
        """Return left-out scores of normals and anomalies in the proportion of the support.

        Where ``max_context`` leaves out normals, an even part of the anomalies is taken too: F1
        depends on their share.
        """
        normals, anomalies = self._adaptation.left_out_by_label()
        given = self.support_y_[self._rows_of_weight()]
        n_normal = int((given != ANOMALOUS).sum())
        if n_normal <= self._most_in_context() or len(anomalies) < 2:
            return normals, anomalies
        wanted = len(normals) * (len(given) - n_normal) / n_normal
        k = min(max(round(wanted), 2), len(anomalies))
        evenly = ((np.arange(k) + 0.5) * len(anomalies) / k).astype(np.intp)
        return normals, np.sort(anomalies)[evenly]


def labels_by_fdr(p: Array, n: int, q: float) -> NDArray[np.int_]:
    """Label rows by p-values from n normal rows, at a false discovery rate of q: (m,) -> (m,)."""
    flagged = false_discovery_control(p) <= q
    _warn_if_too_few_normals(p, flagged, n, q)
    return np.where(flagged, -1, 1)


def _warn_if_too_few_normals(p: Array, flagged: NDArray[np.bool_], n: int, q: float) -> None:
    """Warn if n normal rows keep all rows from being flagged at a false discovery rate of q."""
    least = 1.0 / (n + 1)
    if q < least:
        warn(
            f"No row can be flagged at q={q:g}: with {n} normal rows no p-value is below "
            f"1/(n+1) = {least:.3g}. Give more normal rows or a larger q.",
        )
        return
    n_least = int((p < 1.5 * least).sum())  # rows at the smallest p-value there is
    by_chance = binom.sf(n_least - 1, len(p), least)  # probability of so many normal rows there
    if not flagged.any() and by_chance < _RARE:
        needed = int(np.ceil(len(p) / (q * n_least) - 1.0))
        warn(
            f"No row is flagged at q={q:g}: {n_least} of {len(p)} rows have the smallest p-value "
            f"that {n} normal rows allow, 1/(n+1) = {least:.3g}; to flag these takes {needed} "
            "normal rows. predict judges each row alone.",
        )
