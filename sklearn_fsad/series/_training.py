"""Choose the windows of a series to fit a detector to, and their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import get_tags

from .._input.estimators import final_estimator, requires_labels
from .._input.labels import ANOMALOUS
from .._typing import Array, Codes, Mask
from .._warn import warn
from ._statistics import FlatWindows, WindowStatistics
from ._windows import WindowReader, steps_of_windows, whole_windows, windows_of

USUAL_WINDOW = 16
_LEAST_WINDOW = 4
_WINDOWS = 6  # of a series to fit to, at least
_FEWEST = 3  # normal windows: where one is left out, two others remain
_MANY = 5  # series without labelled anomalies, from which on short ones are told
_OTHER = 1.5  # times the usual distance in time: the steps are of another kind
_MOST_DESCRIBED = 4096  # windows that features are fitted to
FEATURES = {
    "statistics": WindowStatistics(),
    "mean": WindowStatistics(("level",)),
    "raw": FlatWindows(),
}


@dataclass(frozen=True)
class TrainingWindows:
    """Hold described windows of a series, and what they tell.

    Attributes
    ----------
    rows : ndarray of shape (m, d)
    steps : ndarray of shape (m,)
        Step that each window describes.
    groups : ndarray of shape (m,)
        0 for normal windows, else the number of the stretch of anomalies.
    """

    rows: Array
    steps: Array
    groups: Array

    @property
    def y(self) -> Array | None:
        """Labels in scikit-learn's coding; None without anomalies."""
        return np.where(self.groups > 0, -1, 1) if (self.groups > 0).any() else None

    @cached_property
    def _places(self) -> dict[bytes, int]:
        """Place of each window that no other equals."""
        keys = [row.tobytes() for row in self.rows + 0.0]  # -0.0 becomes 0.0
        repeated = {key for key, n in Counter(keys).items() if n > 1}
        return {key: i for i, key in enumerate(keys) if key not in repeated}

    def find(self, rows: Array) -> NDArray[np.intp]:
        """Find windows among these: their places, -1 where they are none of them: (m,)."""
        return np.array([self._places.get(row.tobytes(), -1) for row in rows + 0.0], dtype=np.intp)

    def without_overlaps(self, window: int) -> TrainingWindows:
        """Keep windows of each stretch of anomalies that share no step, counted from its end.

        Overlapping ones would count as that many examples of the same thing.
        """
        kept = self.groups == 0
        for group in np.unique(self.groups[~kept]):
            last = np.inf
            for i in np.flatnonzero(self.groups == group)[::-1]:
                if self.steps[i] <= last - window:
                    kept[i], last = True, self.steps[i]
        return self.part(kept)

    def part(self, kept: Mask) -> TrainingWindows:
        """Return some of the windows."""
        return TrainingWindows(self.rows[kept], self.steps[kept], self.groups[kept])


def window_for(X: Array, starts: Sequence[int]) -> int:
    """Return the window for a series to fit to: 16, or less so that its longest part holds six."""
    longest = max(b - a for a, b in pairwise([*starts, len(X)]))
    return int(np.clip(longest // _WINDOWS, _LEAST_WINDOW, USUAL_WINDOW))


def warn_if_divided(codes: Codes, starts: Sequence[int], window: int) -> None:
    """Warn if gaps in time leave pieces that hardly hold a window, as those of working days."""
    pieces = [b - a for a, b in pairwise([*starts, len(codes)]) if (codes[a:b] != ANOMALOUS).all()]
    if len(pieces) >= _MANY and np.median(pieces) < 2 * window:
        warn(
            f"Gaps in the times divide the steps into {len(starts)} series of about "
            f"{np.median(pieces):.0f} steps, and windows of {window} do not reach across a gap. If "
            "the steps follow each other all the same, pass times=range(len(X)) here and where "
            "steps are scored."
        )


def warn_if_at_other_distances(ratio: float) -> None:
    """Warn of steps that are farther apart than those of ``fit``, or closer together."""
    if 1.0 / _OTHER <= ratio <= _OTHER:
        return
    apart = "windows do not reach across the gaps, and hold few steps"
    close = "windows are as many steps, but less time"
    warn(
        f"The steps are {ratio:.2g} times as far apart in time as those of fit: "
        f"{apart if ratio > 1.0 else close}. Give steps at the same distance, or "
        "times=range(len(X)) here and to fit if their times do not matter."
    )


def refuse_no_labels(detector: Any, y: Array | None) -> None:
    """Refuse to fit a detector that requires labels where no window is labelled as an anomaly."""
    detector = final_estimator(detector)
    if y is None and requires_labels(detector):
        raise ValueError(
            f"{type(detector).__name__} requires labels, also where a stretch of anomalies is left "
            "out: label at least two stretches."
        )


def reader_of(
    features: Any, window: int, stride: int, causal: bool, X: Array, kept: Mask, starts: Any
) -> WindowReader:
    """Fit the description of windows to those of some steps of a series: (n, c), (n,)."""
    features = clone(FEATURES[features] if isinstance(features, str) else features)
    reader = WindowReader(window, stride, causal, features)
    wanted = np.flatnonzero(kept)
    wanted = wanted[:: -(-len(wanted) // _MOST_DESCRIBED)]
    edge = not getattr(features, "reads_short_windows", False)
    stacked = []
    for a, b in pairwise([*starts, len(X)]):
        of_series = windows_of(X[a:b], window, causal=causal, edge=edge)
        stacked.append(of_series[wanted[(wanted >= a) & (wanted < b)] - a])
    features.fit(np.concatenate(stacked))
    return reader


def described_without(
    block: TrainingWindows,
    others: TrainingWindows,
    reader: WindowReader,
    X: Array,
    starts: Sequence[int],
) -> tuple[TrainingWindows, TrainingWindows]:
    """Describe a block of windows, and others, by features fitted to the normal others alone.

    A transformer that had seen the block would describe it as too usual.
    """
    if not _learns(reader.features):
        return block, others
    seen = np.zeros(len(X), dtype=bool)
    seen[others.steps[others.groups == 0]] = True
    how = reader.window, reader.stride, reader.causal
    try:
        anew = reader_of(reader.features, *how, X, seen, starts)
    except ValueError as error:
        raise ValueError(
            f"{type(reader.features).__name__} is fitted anew to {seen.sum()} windows, so that "
            f"others can be left out, and it fails: {error} Give more normal steps."
        ) from error
    block, others = (replace(w, rows=anew.rows_at(X, starts, w.steps)) for w in (block, others))
    return block, others


def _learns(features: Any) -> bool:
    """Tell whether a description depends on the windows that it was fitted to.

    Those of this package hardly do: left-out scores and thresholds stay the same to three digits.
    """
    if type(features) in (WindowStatistics, FlatWindows):
        return False
    return not hasattr(features, "__sklearn_tags__") or bool(get_tags(features).requires_fit)


def kept_steps(
    codes: Codes, starts: Sequence[int], window: int, causal: bool, stride: int = 1
) -> tuple[Mask, Array]:
    """Select the steps whose windows a detector is fitted to, and number stretches of anomalies.

    Normal steps are left out if their window holds a labelled anomaly, or begins before the series
    does, unless fewer than three of those that windows are made of would be left.

    Returns
    -------
    kept : ndarray of shape (n,), dtype bool
    groups : ndarray of shape (n,)
        0 for normal steps, else the number of the stretch of anomalies.
    """
    n, anomalous = len(codes), codes == ANOMALOUS
    parts = pairwise([*starts, n])
    near = np.concatenate(
        [
            np.nanmax(windows_of(anomalous[a:b, None] * 1.0, window, causal=causal), axis=(1, 2))
            for a, b in parts
        ]
    )
    whole = whole_windows(np.arange(n), n, starts, window, causal)
    for normal in (whole & (near == 0.0), near == 0.0, ~anomalous):
        if normal[steps_of_windows(n, starts, stride)].sum() >= _FEWEST:
            break
    begins = anomalous & ~np.concatenate([[False], anomalous[:-1]])
    begins[np.asarray(starts)] = anomalous[np.asarray(starts)]
    return normal | anomalous, np.where(anomalous, np.cumsum(begins), 0)


def training_windows(
    reader: WindowReader, X: Array, kept: Mask, groups: Array, starts: Sequence[int]
) -> TrainingWindows:
    """Describe the windows of the kept steps: (n, c), (n,), (n,)."""
    steps = reader.steps(len(X), starts)
    windows = TrainingWindows(reader.rows(X, starts), steps, groups[steps])
    return windows.part(kept[steps])


def windows_to_fit(
    reader: WindowReader,
    X: Array,
    kept: Mask,
    groups: Array,
    starts: Sequence[int],
    method: str = "fit",
) -> TrainingWindows:
    """Describe the windows to fit a detector to: a stride apart, of anomalies as many as fit in.

    Anomalies shorter than a stride would be lost otherwise. ``method`` is what needs them.
    """
    taken = groups > 0
    taken[reader.steps(len(X), starts)] = True
    every = replace(reader, stride=1)
    windows = training_windows(every, X, kept & taken, groups, starts)
    n = int((windows.groups == 0).sum())
    if n < _FEWEST:
        smaller = "" if reader.stride == 1 else f", or a smaller stride than {reader.stride}"
        raise ValueError(
            f"The {len(X)} steps hold {n} window(s) that are not labelled as anomalies, and "
            f"{method} needs {_FEWEST}: give more normal steps{smaller}."
        )
    return windows.without_overlaps(reader.window)
