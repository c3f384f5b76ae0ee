"""Read what a picture of a series shows: scores, times and channels of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._input.containers import unwrapped
from .._input.frames import column_names
from .._input.times import read_times, starts_of_series
from .._typing import Array
from ._style import scores_and_threshold

_MOST_CHANNELS = 4
_N_EXPLAINED = 20  # most anomalous steps that decide which channels are shown


def scores_of_steps(
    estimator: Any, X: Any, times: Any, outlier_label: Any
) -> tuple[Array, float | None]:
    """Score steps, larger = more anomalous; also return the score above which one is flagged."""
    if times is None or not hasattr(estimator, "window_"):
        return scores_and_threshold(estimator, X, outlier_label)
    return -estimator.score_samples(X, times=times), -float(estimator.offset_)


def channels_to_show(estimator: Any, X: Any, times: Any, scores: Array) -> list[int] | None:
    """Choose channels by the most anomalous steps, in the order of ``X``; None if it is not known.

    ``scores`` of shape (n_steps,) are anomaly scores.
    """
    if np.shape(X)[1] <= _MOST_CHANNELS or not hasattr(estimator, "window_"):
        return None
    from ..series._channels import contributions_at  # needs torch

    worst = np.sort(np.argsort(-scores, kind="stable")[:_N_EXPLAINED])
    rows, starts = estimator._series(X, times)
    contributions = contributions_at(estimator, rows, starts, worst)
    if contributions is None:
        return None
    order = np.argsort(-contributions.mean(axis=0), kind="stable")[:_MOST_CHANNELS]
    return sorted(order.tolist())


def named_channels(X: Any, channels: Sequence[Any] | None) -> tuple[list[int], list[str]]:
    """Return the positions and names of channels, given by either; of the first ones for None."""
    names = column_names(unwrapped(X)) or [f"x{j}" for j in range(np.shape(X)[1])]
    wanted = range(len(names))[:_MOST_CHANNELS] if channels is None else channels
    wanted = [wanted] if isinstance(wanted, (str, int)) else list(wanted)
    positions = []
    for channel in wanted:
        is_position = isinstance(channel, (int, np.integer)) and 0 <= channel < len(names)
        if channel not in names and not is_position:
            raise ValueError(
                f"channels holds {channel!r}: give names or positions of the {len(names)} "
                f"channels, such as {names[0]!r} or 0."
            )
        positions.append(names.index(channel) if channel in names else int(channel))
    return positions, [str(names[j]) for j in positions]


def times_to_show(X: Any, times: Any, n: int) -> tuple[NDArray[Any] | None, list[int]]:
    """Return times for an axis, and where the series goes on after gaps; stamps are in UTC."""
    stamps = read_times(X, times, n)
    starts = starts_of_series(stamps, n)
    if stamps is not None and stamps.dtype.kind == "m":
        return np.asarray(stamps).astype("timedelta64[ns]").astype(np.float64) / 1e9, starts
    return stamps, starts
