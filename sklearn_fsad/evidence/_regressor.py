"""Evidence from a regressor: each column is predicted from the others."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils._param_validation import HasMethods, Interval

from .._typing import Array, Mask
from ._base import ModelEvidence, Rows, Support

_FOLDS = 3
_LEAST = 1e-9  # of the spread of a column: a residual that is not told from zero
_MOST = 1e150  # whose square is finite

Fitted = tuple[int, list[Any], float]  # column, regressors that predict it, spread of residuals


class RegressorEvidence(ModelEvidence):
    """Score rows by how badly a regressor predicts each column from the other columns.

    Of the normal rows of a support three thirds are left out in turn; the regressors of the
    remaining rows predict them, and new rows by their mean. Residuals r are divided by the spread s
    of the left-out ones, and the score is the mean of log(1 + (r / s)^2 / 4) over columns. With
    fewer than three normal rows it is 0.

    ``fit`` to d columns takes 18 min(d, ``max_columns``) fits of the regressor: three for all rows,
    and three for each of five folds that give the leave-one-out scores of the training rows.
    Pickles hold the regressors.

    Parameters
    ----------
    regressor : estimator
        Regressor of scikit-learn, or any with ``fit`` and ``predict``; clones are fitted.
    columns : sequence of int, default=None
        Positions of the columns to predict; None means all, at most ``max_columns``. Columns that
        never vary are left out.
    max_columns : int, default=16
        How many columns to predict at most: those most correlated with another one.
    scale : bool, default=True
        Whether the regressor sees columns relative to their means and spreads in the normal rows.
        False hands over rows in their own units: for a fitted regressor in ``FrozenEstimator``.
    name : str, default=None
        Name of the evidence; None means one made from the class of the regressor.
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

    _model = "regressor"
    _kind = "residuals"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **ModelEvidence._parameter_constraints,
        "regressor": [HasMethods(["fit", "predict"])],
        "columns": [None, "array-like"],
        "max_columns": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        regressor: Any,
        *,
        columns: Any = None,
        max_columns: int = 16,
        scale: bool = True,
        name: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.regressor = regressor
        self.columns = columns
        self.max_columns = max_columns
        self.scale = scale
        self.name = name
        self.random_state = random_state

    def __call__(self, support: Support, rows: Rows) -> Array:
        """Score rows, given a support.

        Parameters
        ----------
        support : object
            Support that ``ProtoNetDetector`` makes of n normal rows of d columns.
        rows : object
            Its m rows to score, with ``X`` and ``scaled`` of shape (m, d).

        Returns
        -------
        scores : ndarray of shape (m,)
            Larger = more anomalous.

        Raises
        ------
        TypeError
            If ``regressor`` is a classifier.
        ValueError
            If ``columns`` are not positions of columns, or the regressor fails.
        """
        fitted: list[Fitted] = self._prepare(support)
        X = rows.scaled if self.scale else rows.X
        surprise = np.zeros(len(X))
        for column, models, spread in fitted:
            others = np.delete(X, column, axis=1)
            predicted = np.mean([_values(model, others) for model in models], axis=0)
            departure = np.abs(X[:, column] - predicted) / spread
            surprise += np.log1p(np.minimum(departure, _MOST) ** 2 / 4.0)
        return np.asarray(surprise / max(len(fitted), 1))

    def _fitted(self, support: Support) -> list[Fitted]:
        columns = self._columns_of(support.normals)
        if len(support.whole.normals) < 3 or support.normals.shape[1] < 2:
            return []
        X = support.N / support.spread if self.scale else support.normals
        return [self._fitted_to(X, column) for column in columns]

    def _fitted_to(self, X: Array, column: int) -> Fitted:
        """Fit regressors of one column, each without a third of the rows."""
        others, target = np.delete(X, column, axis=1), X[:, column]
        fold_of = np.arange(len(X)) % min(_FOLDS, len(X))
        models, residuals = [], np.empty(len(X))
        for out in (fold_of == fold for fold in np.unique(fold_of)):
            model, predicted = self._predicted(others, target, out)
            models.append(model)
            residuals[out] = target[out] - predicted
        least = _LEAST * max(float(np.abs(target - target.mean()).mean()), _LEAST)
        return column, models, max(_root_mean_square(residuals), least)

    def _predicted(self, others: Array, target: Array, out: Mask) -> tuple[Any, Array]:
        """Fit a regressor without some rows, and predict these."""
        try:
            model = self._seeded().fit(others[~out], target[~out])
            return model, _values(model, others[out])
        except Exception as error:  # any that another library may raise
            self._failed(f"{int((~out).sum())} normal rows", error)

    def _columns_of(self, normals: Array) -> list[int]:
        """List the columns to predict."""
        varied = np.flatnonzero(normals.std(axis=0) > 0.0)
        if self.columns is not None:
            chosen = self._checked_columns(normals.shape[1])
            return [column for column in chosen if column in varied]
        if len(varied) <= self.max_columns:
            return [int(column) for column in varied]
        related = np.abs(np.corrcoef(normals[:, varied], rowvar=False))
        np.fill_diagonal(related, 0.0)
        most = np.argsort(-related.max(axis=1), kind="stable")[: self.max_columns]
        return sorted(int(column) for column in varied[most])

    def _checked_columns(self, d: int) -> list[int]:
        given = np.asarray(self.columns)
        numbers = given.dtype.kind in "iu" and given.ndim == 1 and given.size
        if not numbers or given.min() < 0 or given.max() >= d or len(set(given)) < len(given):
            raise ValueError(
                f"columns={self.columns!r} must be different positions of columns, from 0 to "
                f"{d - 1}; names are not known here."
            )
        return [int(column) for column in given]

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if is_classifier(self.regressor):
            raise TypeError(
                f"RegressorEvidence needs a regressor, got {type(self.regressor).__name__}: for a "
                "classifier of labelled anomalies take ClassifierEvidence."
            )


def _values(model: Any, X: Array) -> Array:
    """Predict one number a row, however the model shapes them."""
    return np.asarray(model.predict(X), dtype=np.float64).reshape(len(X))


def _root_mean_square(values: Array) -> float:
    """Compute it without squares that overflow."""
    largest = float(np.abs(values).max())
    return largest * float(np.sqrt(np.mean((values / largest) ** 2))) if largest else 0.0
