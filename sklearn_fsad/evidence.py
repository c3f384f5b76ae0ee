"""Evidence from models that you already have, for ``ProtoNetDetector(evidence=[...])``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier, is_regressor

from ._input.estimators import final_estimator, seeded
from ._typing import Array

__all__ = ["ClassifierEvidence", "RegressorEvidence"]

_FOLDS = 3
_LEAST = 1e-9  # of the spread of a column: a residual that is not told from zero
_CLIP = 1e-3  # of probabilities, so that their log odds are finite


class _Support(Protocol):
    normals: Array
    anomalies: Array

    def once(self, key: Any, find: Callable[[], Any]) -> Any: ...


class _Rows(Protocol):
    X: Array


class RegressorEvidence(BaseEstimator):
    """Score rows by how badly a regressor predicts each column from the other columns.

    Of the normal rows of a support three thirds are left out in turn; the regressors of the
    remaining rows predict them, and new rows by their mean. Residuals r are divided by the spread s
    of the left-out ones, and the score is the mean of log(1 + (r / s)^2 / 4) over columns.

    A support of n rows and d columns takes 18 min(d, ``max_columns``) fits of the regressor: three
    for all rows, and three for each of five folds that give the left-out scores of its own rows.

    Parameters
    ----------
    regressor : estimator
        Regressor of scikit-learn, or any with ``fit`` and ``predict``; clones are fitted.
    columns : sequence of int, default=None
        Positions of the columns to predict; None means all that vary, at most ``max_columns``.
    max_columns : int, default=16
        How many columns to predict at most: those most correlated with another one.
    random_state : int, default=0
        Seed of regressors that have none.

    See Also
    --------
    ClassifierEvidence : Evidence from a classifier of labelled anomalies.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.evidence import RegressorEvidence
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> X[:, 2] = X[:, 0] + X[:, 1]
    >>> detector = ProtoNetDetector(evidence=["support", RegressorEvidence(Ridge())]).fit(X)
    >>> kept, broken = detector.decision_function([[1.0, 0.5, 1.5], [1.0, 0.5, -1.5]])
    >>> bool(kept > 0 > broken)
    True
    """

    def __init__(
        self, regressor: Any, *, columns: Any = None, max_columns: int = 16, random_state: int = 0
    ) -> None:
        self.regressor = regressor
        self.columns = columns
        self.max_columns = max_columns
        self.random_state = random_state

    @property
    def __name__(self) -> str:
        return f"residuals_of_{type(final_estimator(self.regressor)).__name__}"

    def __call__(self, support: _Support, rows: _Rows) -> Array:
        """Score rows, given a support.

        Parameters
        ----------
        support : object
            Support with ``normals`` of shape (n, d), and ``once(key, find)``.
        rows : object
            Rows with ``X`` of shape (m, d).

        Returns
        -------
        scores : ndarray of shape (m,)
            Larger = more anomalous.

        Raises
        ------
        TypeError
            If ``regressor`` is a classifier, or has no ``predict``.
        ValueError
            If ``columns`` are not positions of columns.
        """
        fitted = support.once(self._key, lambda: self._fitted(support.normals))
        if not fitted:
            return np.zeros(len(rows.X))
        surprise = np.zeros(len(rows.X))
        for column, models, spread in fitted:
            others = np.delete(rows.X, column, axis=1)
            predicted = np.mean([model.predict(others) for model in models], axis=0)
            surprise += np.log1p(((rows.X[:, column] - predicted) / spread) ** 2 / 4.0)
        return np.asarray(surprise / len(fitted))

    @property
    def _key(self) -> tuple[Any, ...]:
        return type(self), id(self)

    def _fitted(self, normals: Array) -> list[tuple[int, list[Any], float]]:
        """Fit regressors: the columns that they predict, one of each fold, spread of residuals."""
        if is_classifier(self.regressor) or not hasattr(self.regressor, "predict"):
            raise TypeError(
                f"RegressorEvidence needs a regressor, got {type(self.regressor).__name__}: for a "
                "classifier of labelled anomalies take ClassifierEvidence."
            )
        fold_of = np.arange(len(normals)) % min(_FOLDS, len(normals))
        if fold_of.max(initial=0) == 0 or normals.shape[1] < 2:
            return []
        fitted = []
        for column in self._columns_of(normals):
            others, target = np.delete(normals, column, axis=1), normals[:, column]
            models, residuals = [], np.empty(len(target))
            for fold in np.unique(fold_of):
                out = fold_of == fold
                model = seeded(self.regressor, self.random_state)
                models.append(model.fit(others[~out], target[~out]))
                residuals[out] = target[out] - model.predict(others[out])
            least = _LEAST * max(float(np.abs(target - target.mean()).mean()), _LEAST)
            fitted.append((column, models, max(float(np.sqrt((residuals**2).mean())), least)))
        return fitted

    def _columns_of(self, normals: Array) -> list[int]:
        """List the columns to predict."""
        d = normals.shape[1]
        if self.columns is not None:
            columns = [int(column) for column in self.columns]
            if not columns or min(columns) < 0 or max(columns) >= d:
                raise ValueError(
                    f"columns={self.columns!r} must be positions of columns, from 0 to {d - 1}."
                )
            return columns
        varied = np.flatnonzero(normals.std(axis=0) > 0.0)
        if len(varied) <= self.max_columns:
            return [int(column) for column in varied]
        related = np.abs(np.corrcoef(normals[:, varied], rowvar=False))
        np.fill_diagonal(related, 0.0)
        most = np.argsort(-related.max(axis=1), kind="stable")[: self.max_columns]
        return sorted(int(column) for column in varied[most])


class ClassifierEvidence(BaseEstimator):
    """Score rows by a classifier that tells labelled anomalies from normal rows.

    It counts where at least two anomalies are labelled; with fewer it is zero for all rows. The
    score is ``decision_function`` or the log odds of ``predict_proba``.

    Parameters
    ----------
    classifier : estimator
        Classifier of scikit-learn, or any with ``fit`` and one of these two methods; clones are
        fitted. Anomalies are few: give it ``class_weight="balanced"`` where it has that.
    random_state : int, default=0
        Seed of classifiers that have none.

    See Also
    --------
    RegressorEvidence : Evidence from a regressor, which needs no labels.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.evidence import ClassifierEvidence
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(63, 3))
    >>> X[60:, 0] += 4.0
    >>> y = np.repeat([1, -1], [60, 3])
    >>> evidence = ["support", ClassifierEvidence(LogisticRegression(class_weight="balanced"))]
    >>> detector = ProtoNetDetector(evidence=evidence).fit(X, y)
    >>> detector.predict([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0]])
    array([ 1, -1])
    """

    needs_anomalies = True

    def __init__(self, classifier: Any, *, random_state: int = 0) -> None:
        self.classifier = classifier
        self.random_state = random_state

    @property
    def __name__(self) -> str:
        return f"odds_of_{type(final_estimator(self.classifier)).__name__}"

    def __call__(self, support: _Support, rows: _Rows) -> Array:
        """Score rows, given a support.

        Parameters
        ----------
        support : object
            Support with ``normals`` of shape (n, d), ``anomalies`` of shape (k, d) and
            ``once(key, find)``.
        rows : object
            Rows with ``X`` of shape (m, d).

        Returns
        -------
        scores : ndarray of shape (m,)
            Larger = more anomalous.

        Raises
        ------
        TypeError
            If ``classifier`` is a regressor, or has no scores.
        """
        if len(support.anomalies) < 2:
            return np.zeros(len(rows.X))
        model = support.once((type(self), id(self)), lambda: self._fitted(support))
        if hasattr(model, "decision_function"):
            return np.asarray(model.decision_function(rows.X), dtype=np.float64)
        p = np.clip(np.asarray(model.predict_proba(rows.X))[:, 1], _CLIP, 1.0 - _CLIP)
        return np.asarray(np.log(p / (1.0 - p)), dtype=np.float64)

    def _fitted(self, support: _Support) -> Any:
        scores = any(hasattr(self.classifier, m) for m in ("decision_function", "predict_proba"))
        if is_regressor(self.classifier) or not scores:
            raise TypeError(
                f"ClassifierEvidence needs a classifier with decision_function or predict_proba, "
                f"got {type(self.classifier).__name__}."
            )
        X = np.concatenate([support.normals, support.anomalies])
        y: NDArray[np.intp] = np.repeat([0, 1], [len(support.normals), len(support.anomalies)])
        return seeded(self.classifier, self.random_state).fit(X, y)
