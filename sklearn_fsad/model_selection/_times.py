"""Tell detectors for series, whose methods take ``times``, where the rows of a split were."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._input.containers import n_rows
from .._input.estimators import takes_times
from .._input.times import read_times

_ABOUT_ROWS = ("score_samples", "decision_function", "predict", "predict_proba", "score")


def times_of(detector: Any, X: Any) -> NDArray[Any] | None:
    """Return the times of rows for a detector that takes times: of their index, or positions.

    None for other detectors, whose rows need be in no order.
    """
    if not any(takes_times(detector, name) for name in ("fit", *_ABOUT_ROWS)):
        return None
    n = n_rows(X)
    times = read_times(X, None, n)
    return np.arange(n) if times is None else times


def fitted_at(detector: Any, X: Any, y: Any, times: NDArray[Any] | None) -> Any:
    """Fit a detector to rows; if it takes times, to these."""
    return detector.fit(X, y, **({"times": times} if takes_times(detector, "fit") else {}))


def scoring_at(detector: Any, times: NDArray[Any] | None) -> Any:
    """Return a fitted detector that takes the rows it is asked about to be at these times.

    Scorers call ``decision_function(X)`` or ``predict(X)``, without times.
    """
    methods = [name for name in _ABOUT_ROWS if takes_times(detector, name)]
    view = copy(detector) if methods else detector
    for name in methods:
        setattr(view, name, partial(getattr(detector, name), times=times))
    return view
