"""From the columns that a detector sees back to those of the table in front of its pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from .._explain.report import check_frames
from .._input.columns import known_columns
from .._input.containers import unwrapped
from .._input.estimators import final_estimator, preprocessed
from .._input.frames import column_names
from .._typing import Array


def feature_scores(estimator: Any, X: Any) -> Any:
    """Attribute the anomaly scores of rows to the columns of ``X``, through pipelines too.

    The columns that skrub's ``TableVectorizer`` makes of a column of ``X``, such as ``colour_red``
    and ``colour_blue``, are added up. Where a step mixes columns, as PCA does, the result has the
    columns that the detector sees.

    Parameters
    ----------
    estimator : estimator
        A fitted detector of this package, or a pipeline, fitted search or frozen estimator that
        ends with one.
    X : array-like of shape (n_samples, n_features)
        Rows to explain, as the estimator takes them.

    Returns
    -------
    contributions : DataFrame of pandas, or of polars where ``X`` is a frame of polars
        Of shape (n_samples, n_features), larger = more anomalous. Each row adds up to the anomaly
        score, ``-score_samples(X)``. Columns that the pipeline leaves out have 0.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If the detector has no ``feature_scores``.
    ImportError
        If pandas is not installed and ``X`` is no frame of polars.

    See Also
    --------
    report : The most anomalous rows, with the two columns of the largest contributions.
    sklearn_fsad.plotting.FeatureScoreDisplay : A picture of the contributions.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.model_selection import feature_scores
    >>> from sklearn_fsad.pipeline import make_table_pipeline
    >>> heat = np.random.default_rng(0).normal(60, 2, size=40)
    >>> X = pd.DataFrame({"heat": heat, "oil": ["thin", "thick"] * 20})
    >>> pipe = make_table_pipeline(ProtoNetDetector()).fit(X)
    >>> rows = pd.DataFrame({"heat": [75.0, 60.0], "oil": ["thin", "lumpy"]})
    >>> feature_scores(pipe, rows).idxmax(axis=1).tolist()
    ['heat', 'oil']
    """
    check_frames(X)
    X = unwrapped(X)
    names, scores = named_contributions(estimator, X)
    if type(X).__module__.split(".")[0] == "polars":
        import polars

        return polars.DataFrame(scores, schema=[str(name) for name in names])
    import pandas

    index = X.index if isinstance(X, pandas.DataFrame) else None
    return pandas.DataFrame(scores, columns=names, index=index)


def named_contributions(estimator: Any, X: Any) -> tuple[list[Any], Array]:
    """Return names of columns, and the contributions of each: (n_samples, n_columns)."""
    detector = final_estimator(estimator)
    if not hasattr(detector, "feature_scores"):
        raise TypeError(
            f"{type(detector).__name__} has no feature_scores(X): it does not tell which columns "
            "are off. Every detector of this package does."
        )
    seen = preprocessed(estimator, X)
    scores, steps = detector.feature_scores(seen), steps_before(estimator)
    found = origins(steps, X)
    if found is not None:
        return found[0], added_up(scores, found[1], len(found[0]))
    known = names_after(steps, X) or known_columns(detector)
    return [f"x{j}" for j in range(scores.shape[1])] if known is None else list(known), scores


def origins(steps: Sequence[Any], X: Any) -> tuple[list[Any], list[int]] | None:
    """Name the columns of X, and tell of which of them each column after the steps is made.

    The answer is None if no step tells what it makes of a column, as skrub's ``TableVectorizer``
    does, or if a step mixes columns.
    """
    if not any(hasattr(step, "output_to_input_") for step in steps):
        return None
    names = column_names(X)
    names = [f"x{j}" for j in range(np.shape(X)[1])] if names is None else names
    of, known = list(range(len(names))), [str(name) for name in names]
    for step in steps:
        try:
            after = [str(name) for name in step.get_feature_names_out(known)]
        except (AttributeError, ValueError, TypeError):
            return None
        before = _names_before(step, known, after)
        if before is None:
            return None
        of, known = [of[j] for j in before], after
    return names, of


def added_up(contributions: Array, of: Sequence[int], n: int) -> Array:
    """Add up the columns that are made of the same one of n columns: (m, d) -> (m, n)."""
    total = np.zeros((len(contributions), n))
    for j, column in zip(of, contributions.T, strict=True):
        total[:, j] += column
    return total


def steps_before(estimator: Any) -> list[Any]:
    """List the transformers before the detector, in nested pipelines and fitted searches too."""
    steps: list[Any] = []
    while estimator is not final_estimator(estimator):
        if isinstance(estimator, Pipeline):
            for _, step in estimator.steps[:-1]:
                steps += _plain_steps(step)
            estimator = estimator.steps[-1][1]
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        else:
            estimator = estimator.best_estimator_
    return steps


def names_after(steps: Sequence[Any], X: Any) -> list[Any] | None:
    """List the names of the columns that the steps give; None where one does not tell them."""
    names = column_names(X)
    known = names is not None and all(isinstance(name, str) for name in names)
    out = np.asarray(names, dtype=object) if known else None
    try:
        for step in steps:
            out = step.get_feature_names_out(out)
    except (AttributeError, ValueError, TypeError):
        return None
    return None if out is None else list(out)


def _plain_steps(step: Any) -> list[Any]:
    """List the transformers of a step, which may be a pipeline itself or pass rows through."""
    if isinstance(step, FrozenEstimator):
        return _plain_steps(step.estimator)
    if isinstance(step, Pipeline):
        return [plain for _, part in step.steps for plain in _plain_steps(part)]
    return [] if step is None or isinstance(step, str) else [step]


def _names_before(step: Any, known: list[str], after: list[str]) -> list[int] | None:
    """Tell the position before the step of the column that each column after it is made of."""
    made_of = getattr(step, "output_to_input_", None)
    if made_of is not None:
        known = list(step.feature_names_in_)
        after = [made_of[name] for name in after]
    if any(name not in known for name in after):
        return None
    return [known.index(name) for name in after]
