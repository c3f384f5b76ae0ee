"""Report and summarise detectors inside pipelines, and report those of other libraries."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._explain.report import (
    as_frame,
    check_frames,
    check_top,
    columns_to_blame,
    most_anomalous,
)
from .._explain.summary import Summary
from .._input.containers import take_rows, unwrapped
from .._input.estimators import (
    anomaly_predictions,
    anomaly_scores,
    final_estimator,
    preprocessed,
)
from .._input.frames import column_names, object_entries
from .._typing import Array
from ._origins import added_up, names_after, origins, steps_before


def report(estimator: Any, X: Any, top: int | None = 10) -> Any:
    """List the most anomalous rows first, for any detector or pipeline.

    For a detector of this package, alone or at the end of a pipeline, this is the result of its
    method ``report``. The columns to blame are then those that the detector sees, named by
    ``get_feature_names_out`` of the steps. If the steps keep columns one to one, as scalers and
    imputers do, and have an ``inverse_transform``, values and usual ranges are in the units of
    ``X``; otherwise they are those that the detector sees. Behind skrub's ``TableVectorizer`` the
    columns to blame and their values are those of ``X``, as of :func:`feature_scores`; words and
    dates have no usual range.

    Parameters
    ----------
    estimator : estimator
        A fitted outlier detector of this package, scikit-learn or PyOD, or a pipeline, fitted
        search or frozen estimator that ends with one.
    X : array-like of shape (n_samples, n_features)
        Rows, as the estimator takes them.
    top : int or None, default=10
        Number of rows to list; None lists all.

    Returns
    -------
    report : DataFrame of pandas, or of polars where ``X`` is a frame of polars
        ``row``, the position in ``X``; ``anomaly_score``, larger = more anomalous, above 0 for
        flagged rows (for PyOD models their own score); ``flagged``; and for detectors of this
        package the other columns of their ``report``.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If ``top`` is not a positive integer or None.
    ImportError
        If pandas is not installed and ``X`` is no frame of polars.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.model_selection import report
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> pipe = make_pipeline(StandardScaler(), ProtoNetDetector()).fit(X)
    >>> report(pipe, [[0.0, 0.0, 6.0]])[["row", "column_1", "value_1"]].to_dict("records")
    [{'row': 0, 'column_1': 'x2', 'value_1': 6.0}]
    """
    top = check_top(top)
    check_frames(X)
    X = unwrapped(X)
    detector = final_estimator(estimator)
    if not _is_ours(detector):
        return _plain_report(estimator, X, top)
    steps = steps_before(estimator)
    if not steps:
        return detector.report(X, top)
    detector._check_fitted()
    seen = preprocessed(estimator, X)
    positions, columns = detector._ranked(seen, top)
    rows = take_rows(seen, positions)
    seen_rows, normals = detector._validated(rows, reset=False), detector._reference_normals()
    scores, given = detector.feature_scores(rows), take_rows(X, positions)
    found = origins(steps, X)
    if found is None:
        names = names_after(steps, X) or detector._names_of_columns(seen)
        values, normals = _in_units_of_X(steps, given, seen_rows, normals)
    else:
        names, of = found
        scores = added_up(scores, of, len(names))
        values, normals = _given_and_usual(steps, given, of, seen_rows, normals)
    columns |= columns_to_blame(scores, names, values, normals)
    return as_frame(X, positions, columns)


def summary(estimator: Any) -> Summary:
    """Summarise a detector of this package, alone or at the end of a pipeline.

    Parameters
    ----------
    estimator : estimator
        A detector of this package, fitted or not, or a pipeline, fitted search or frozen estimator
        that ends with one.

    Returns
    -------
    summary : Summary
        What the method ``summary`` of the detector gives.

    Raises
    ------
    TypeError
        If the estimator is not a detector of this package and does not end with one.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.model_selection import summary
    >>> summary(make_pipeline(StandardScaler(), ProtoNetDetector())).detector
    'ProtoNetDetector'
    """
    detector = final_estimator(estimator)
    if not _is_ours(detector):
        raise TypeError(
            f"{type(detector).__name__} is not a detector of this package, and only these have a "
            "summary. report(estimator, X) takes outlier detectors of other libraries too."
        )
    found: Summary = detector.summary()
    names = names_after(steps_before(estimator), None)
    if names is None or found.columns is None:
        return found
    return replace(found, columns=tuple(names))  # a pipeline may hand on arrays without names


def _is_ours(detector: Any) -> bool:
    from .._detectors.base.reports import Reports  # needs torch

    return isinstance(detector, Reports)


def _plain_report(estimator: Any, X: Any, top: int | None) -> Any:
    """Report what any outlier detector can tell: no reasons, p-values and probabilities."""
    scores = anomaly_scores(estimator, X)
    positions = most_anomalous(scores, top)
    flagged = anomaly_predictions(estimator, X)[positions]
    columns = {"row": positions, "anomaly_score": scores[positions], "flagged": flagged}
    return as_frame(X, positions, columns)


# --- values in the units of the rows that were given ----------------------------------------------
def _given_and_usual(
    steps: list[Any], X: Any, of: list[int], seen: Array, normals: Array
) -> tuple[NDArray[Any], Array]:
    """Return the entries of X, and normals in its columns: NaN where these are no numbers."""
    last = max(i for i, step in enumerate(steps) if hasattr(step, "output_to_input_"))
    with suppress(AttributeError, ValueError, TypeError):  # the numbers then differ from X's
        seen, normals = _undone(steps[last + 1 :], seen), _undone(steps[last + 1 :], normals)
    values = object_entries(X)
    usual = np.full((len(normals), values.shape[1]), np.nan)
    for j in range(values.shape[1]):
        made = [i for i, origin in enumerate(of) if origin == j]
        numbers = np.array([_number(value) for value in values[:, j]])
        known = ~np.isnan(numbers)
        if len(made) == 1 and known.any() and np.allclose(numbers[known], seen[known, made[0]]):
            usual[:, j] = normals[:, made[0]]
    return values, usual


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def _in_units_of_X(steps: list[Any], X: Any, seen: Array, normals: Array) -> tuple[Array, Array]:
    """Return rows and normals in the units of X where the steps can be undone, else as seen."""
    if names_after(steps, X) != _given_names(steps[0], X):
        return seen, normals
    try:
        given, undone = np.asarray(X, dtype=np.float64), _undone(steps, seen)
        original = _undone(steps, normals)
    except (AttributeError, ValueError, TypeError):
        return seen, normals
    known = ~np.isnan(given)
    if given.shape != undone.shape or not np.allclose(given[known], undone[known]):
        return seen, normals
    return given, original


def _given_names(step: Any, X: Any) -> list[Any]:
    known = getattr(step, "feature_names_in_", None)
    known = column_names(X) if known is None else known
    return [f"x{j}" for j in range(np.shape(X)[1])] if known is None else list(known)


def _undone(steps: list[Any], Z: Array) -> Array:
    """Undo the steps; imputers leave what was known as it is."""
    for step in reversed(steps):
        if not type(step).__module__.startswith("sklearn.impute"):
            Z = np.asarray(step.inverse_transform(Z), dtype=np.float64)
    return Z
