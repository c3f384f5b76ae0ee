"""Cut windows of steps out of a series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from .._typing import Array, Mask

Positions = NDArray[np.intp]

_BLOCK = 2048  # windows that are described at once


@dataclass(frozen=True)
class WindowReader:
    """Describe each step of a series by the window of steps around it.

    Attributes
    ----------
    window : int
        Steps of a window.
    stride : int
        Steps between two windows.
    causal : bool
        Whether a window ends at its step; otherwise its step is in the middle.
    features : transformer
        Fitted; turns windows (m, window, channels) into rows (m, d).
    """

    window: int
    stride: int
    causal: bool
    features: Any

    def rows(self, X: Array, starts: Sequence[int]) -> Array:
        """Describe the windows of a series: (n, channels) -> (m, d)."""
        return self.rows_at(X, starts, self.steps(len(X), starts))

    def rows_at(self, X: Array, starts: Sequence[int], steps: Array) -> Array:
        """Describe the windows of some steps, in growing order: (n, channels), (m,) -> (m, d)."""
        blocks = self._blocks(X, starts, steps)
        return np.concatenate([self._described(block) for block in blocks])

    def newest(self, X: Array) -> Array:
        """Describe the last window of a series that has no more steps than that: (1, d)."""
        edge = not getattr(self.features, "reads_short_windows", False)
        stacked = windows_of(X, self.window, edge=edge)[-1:]
        return self._described(np.ascontiguousarray(stacked))

    def steps(self, n: int, starts: Sequence[int]) -> Array:
        """Return the step that each window describes: (m,)."""
        return steps_of_windows(n, starts, self.stride)

    def of_steps(self, values: Array, n: int, starts: Sequence[int]) -> Array:
        """Hold the value of each window until the next one: (m, ...) -> (n, ...)."""
        of = np.searchsorted(self.steps(n, starts), np.arange(n), side="right") - 1
        return np.asarray(values[of])

    def _described(self, windows: Array) -> Array:
        """Describe windows, and refuse what is no row of numbers for each: -> (m, d)."""
        made, by = self.features.transform(windows), type(self.features).__name__
        rows = np.asarray(made.toarray() if issparse(made) else made, dtype=np.float64)
        if rows.ndim != 2 or len(rows) != len(windows):
            raise ValueError(
                f"features must turn windows of shape {windows.shape} into rows of shape "
                f"({len(windows)}, d), but transform of {by} gave shape {rows.shape}."
            )
        for column in np.flatnonzero(np.isinf(rows).any(axis=0))[:1]:
            raise ValueError(f"transform of {by} gave infinity in column {column}.")
        return rows

    def _blocks(self, X: Array, starts: Sequence[int], steps: Array) -> Iterator[Array]:
        keeps_gaps = getattr(self.features, "reads_short_windows", False)
        for a, b in pairwise([*starts, len(X)]):
            stacked = windows_of(X[a:b], self.window, causal=self.causal, edge=not keeps_gaps)
            inside = steps[(steps >= a) & (steps < b)] - a
            for i in range(0, len(inside), _BLOCK):
                yield np.ascontiguousarray(stacked[inside[i : i + _BLOCK]])


def windows_of(X: Array, window: int, *, causal: bool = True, edge: bool = False) -> Array:
    """Return the window of each step of a series: (n, channels) -> (n, window, channels).

    Steps before the start, and with ``causal=False`` after the end, are missing, or with ``edge``
    repeat the first or last one.
    """
    after = 0 if causal else (window - 1) // 2
    before = window - 1 - after
    ends = (X[:1], X[-1:]) if edge else (np.full((1, X.shape[1]), np.nan),) * 2
    padded = np.concatenate([np.repeat(ends[0], before, 0), X, np.repeat(ends[1], after, 0)])
    return np.lib.stride_tricks.sliding_window_view(padded, window, axis=0).transpose(0, 2, 1)


def steps_of_windows(n: int, starts: Sequence[int], stride: int) -> Array:
    """Return the steps that windows describe, the first of each series among them: (m,)."""
    return np.concatenate([np.arange(a, b, stride) for a, b in pairwise([*starts, n])])


def whole_windows(
    steps: Positions, n: int, starts: Sequence[int], window: int, causal: bool
) -> Mask:
    """Mark the windows that lie inside their series: (m,)."""
    after = 0 if causal else (window - 1) // 2
    ends = np.array([*starts[1:], n])
    first = np.searchsorted(starts, steps, side="right") - 1
    begins = np.asarray(starts)[first]
    return (steps - (window - 1 - after) >= begins) & (steps + after < ends[first])
