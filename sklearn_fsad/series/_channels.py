"""Name the channels of a series, and tell which of them a step is flagged for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._input.columns import known_columns
from .._input.frames import column_names
from .._typing import Array, Positions


def channel_names(detector: Any, X: Any) -> list[Any]:
    """List the names that ``fit`` saw, or those of ``X``, or x0, x1, ..."""
    known = known_columns(detector)
    known = column_names(X) if known is None else known
    return [f"x{j}" for j in range(detector.n_features_in_)] if known is None else list(known)


def contributions_at(
    detector: Any, rows: Array, starts: Sequence[int], steps: Positions
) -> Array | None:
    """Attribute the scores of some steps to the channels: (k, channels).

    None where the detector, or the description of its windows, cannot tell. The values are those of
    ``WindowedDetector.feature_scores``, without explaining all other steps.
    """
    reader, inner = detector._reader, detector.detector_
    if not (hasattr(inner, "feature_scores") and hasattr(reader.features, "channels")):
        return None
    if not len(steps):
        return np.zeros((0, rows.shape[1]))
    windows = reader.of_steps(reader.rows(rows, starts), len(rows), starts)
    contributions: Array = detector._contributions(windows[steps])
    return contributions
