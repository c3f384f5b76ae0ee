"""Tell detectors for series, whose methods take ``times``, where the rows of a split were."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._input.estimators import takes_times

_ABOUT_ROWS = ("score_samples", "decision_function", "predict", "predict_proba", "score")


def times_of(X: Any, positions: NDArray[np.intp]) -> NDArray[Any]:
    """Return the times of rows: their positions, or what the index of a pandas frame tells."""
    index = getattr(X, "index", None) if hasattr(X, "iloc") else None
    kind = getattr(getattr(index, "dtype", None), "kind", "")
    if index is not None and (kind == "M" or (kind in "iu" and index.is_monotonic_increasing)):
        index = index.tz_convert(None) if getattr(index, "tz", None) is not None else index
        stamps: NDArray[Any] = index.to_numpy()[positions]
        return stamps
    return positions


def fitted_at(detector: Any, X: Any, y: Any, times: NDArray[Any]) -> Any:
    """Fit a detector to rows; if it takes times, to these."""
    return detector.fit(X, y, **({"times": times} if takes_times(detector, "fit") else {}))


def scoring_at(detector: Any, times: NDArray[Any]) -> Any:
    """Return a fitted detector that takes the rows it is asked about to be at these times.

    Scorers call ``decision_function(X)`` or ``predict(X)``, without times.
    """
    methods = [name for name in _ABOUT_ROWS if takes_times(detector, name)]
    view = copy(detector) if methods else detector
    for name in methods:
        setattr(view, name, partial(getattr(detector, name), times=times))
    return view
