"""Evidence from a classifier of labelled anomalies."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.utils._param_validation import HasMethods

from .._input.estimators import anomaly_column
from .._typing import Array
from ._base import ModelEvidence, Rows, Support

_CLIP = 1e-3  # of probabilities, so that their log odds are finite


class ClassifierEvidence(ModelEvidence):
    """Score rows by a classifier that tells labelled anomalies from normal rows.

    It counts where at least two anomalies are labelled; with fewer it is zero for all rows. The
    score is ``decision_function`` or the log odds of ``predict_proba``. ``fit`` takes six fits of
    the classifier: one for all rows and one for each of five folds, some of which hold one anomaly
    less. Pickles hold the classifier.

    Parameters
    ----------
    classifier : estimator
        Classifier of scikit-learn, or any with ``fit`` and one of these two methods; clones are
        fitted. Anomalies are few: give it ``class_weight="balanced"`` where it has that.
    scale : bool, default=True
        Whether the classifier sees columns relative to their means and spreads in the normal rows.
        False hands over rows in their own units: for a fitted classifier in ``FrozenEstimator``,
        of labels 0 and 1 (1 = anomaly) or 1 and -1 (-1 = anomaly).
    name : str, default=None
        Name of the evidence; None means one made from the class of the classifier.
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
    _model = "classifier"
    _kind = "odds"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **ModelEvidence._parameter_constraints,
        "classifier": [HasMethods(["fit"])],
    }

    def __init__(
        self,
        classifier: Any,
        *,
        scale: bool = True,
        name: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.classifier = classifier
        self.scale = scale
        self.name = name
        self.random_state = random_state

    def __call__(self, support: Support, rows: Rows) -> Array:
        """Score rows, given a support.

        Parameters
        ----------
        support : object
            Support that ``ProtoNetDetector`` makes of n normal rows and k anomalies of d columns.
        rows : object
            Its m rows to score, with ``X`` and ``scaled`` of shape (m, d).

        Returns
        -------
        scores : ndarray of shape (m,)
            Larger = more anomalous.

        Raises
        ------
        TypeError
            If ``classifier`` is a regressor, or has no scores.
        ValueError
            If the classifier fails.
        """
        model, X = self._prepare(support), rows.scaled if self.scale else rows.X
        if model is None:
            return np.zeros(len(X))
        column = _column_of_anomalies(model)
        if hasattr(model, "decision_function"):
            margin = np.asarray(model.decision_function(X), dtype=np.float64)
            return margin if column == 1 else -margin
        p = np.clip(np.asarray(model.predict_proba(X))[:, column], _CLIP, 1.0 - _CLIP)
        return np.asarray(np.log(p / (1.0 - p)), dtype=np.float64)

    def _fitted(self, support: Support) -> Any:
        """Fit the classifier; None where too few anomalies are labelled."""
        n, k = len(support.normals), len(support.anomalies)
        if len(support.whole.anomalies) < 2:
            return None
        if self.scale:
            X = np.concatenate([support.N, support.A]) / support.spread
        else:
            X = np.concatenate([support.normals, support.anomalies])
        y: NDArray[np.intp] = np.repeat([0, 1], [n, k])
        try:
            return self._seeded().fit(X, y)
        except Exception as error:  # any that another library may raise
            self._failed(f"{n} normal rows and {k} anomalies", error)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        scores = any(hasattr(self.classifier, m) for m in ("decision_function", "predict_proba"))
        if is_regressor(self.classifier) or not scores:
            raise TypeError(
                f"ClassifierEvidence needs a classifier with decision_function or predict_proba, "
                f"got {type(self.classifier).__name__}."
            )


def _column_of_anomalies(model: Any) -> int:
    """Return the position of the anomalies among the classes of a fitted classifier."""
    try:
        return anomaly_column(model, "auto") if hasattr(model, "classes_") else 1
    except ValueError as error:
        raise ValueError(
            f"ClassifierEvidence cannot tell the anomalies among the classes "
            f"{np.asarray(model.classes_).tolist()}: give a classifier of labels 0 and 1 (1 = "
            "anomaly) or 1 and -1 (-1 = anomaly)."
        ) from error
