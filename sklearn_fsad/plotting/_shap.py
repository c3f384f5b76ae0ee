"""Give contributions of features to the plots of shap."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._input.containers import unwrapped
from .._input.estimators import preprocessed
from .._input.frames import object_entries
from ..model_selection._origins import named_contributions, origins, steps_before


def shap_explanation(estimator: Any, X: Any, *, feature_names: Any = None) -> Any:
    """Explain rows by a fitted detector, as an object for the plots of shap.

    The values are those of ``feature_scores``, not Shapley values. They add up to the anomaly
    score, so the base value is 0.

    Parameters
    ----------
    estimator : estimator
        A fitted detector of this package, or a pipeline that ends with one.
    X : array-like of shape (n_samples, n_features)
        Rows, as the estimator takes them.
    feature_names : sequence of str, default=None
        When None those of :func:`~sklearn_fsad.model_selection.feature_scores`, or ``x0``,
        ``x1``, ...

    Returns
    -------
    explanation : shap.Explanation
        ``values`` of shape (n_samples, n_features), larger = more anomalous; ``base_values`` 0;
        ``data``, the rows as the detector sees them, or ``X`` behind skrub's ``TableVectorizer``;
        ``feature_names``.

    Raises
    ------
    ImportError
        If shap is not installed.
    TypeError
        If the detector has no ``feature_scores``.
    ValueError
        If ``feature_names`` are not as many as the columns.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.plotting import shap_explanation
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> found = shap_explanation(ProtoNetDetector().fit(X), [[0.0, 0.0, 6.0]])
    >>> found.values.shape, found.feature_names
    ((1, 3), ['x0', 'x1', 'x2'])
    """
    try:
        import shap
    except ImportError as error:
        raise ImportError(
            "shap_explanation requires shap. Install it with `pip install shap`."
        ) from error

    names, values = named_contributions(estimator, X)
    n = values.shape[1]
    feature_names = names if feature_names is None else feature_names
    if len(feature_names) != n:
        raise ValueError(f"feature_names has {len(feature_names)} entries for {n} columns.")
    if origins(steps_before(estimator), unwrapped(X)) is None:
        data = np.asarray(preprocessed(estimator, X), dtype=np.float64)
    else:
        data = object_entries(unwrapped(X))
    return shap.Explanation(
        values=values,
        base_values=np.zeros(len(values)),
        data=data,
        feature_names=[str(name) for name in feature_names],
    )
