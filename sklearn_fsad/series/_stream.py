"""Score a live series step by step."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

import numpy as np
from sklearn.utils import get_tags

from .._input.columns import known_columns
from .._input.containers import n_rows
from .._input.entries import as_numbers
from .._typing import Array


class SeriesStream:
    """Score the steps of a live series one by one, each by the window that ends with it.

    The scores are those of ``score_samples`` on the whole series, bit for bit. Made by
    :meth:`WindowedDetector.stream`.

    Parameters
    ----------
    detector : WindowedDetector
        A fitted detector with ``causal=True``. Later changes of it do not matter.
    history : array-like of shape (n_steps, n_channels), default=None
        Steps before the first one to score; only the newest of them are used, and of a frame whose
        index shows a gap those after it.
    """

    def __init__(self, detector: Any, history: Any = None) -> None:
        detector = copy(detector)
        self._reader = detector._reader
        if not self._reader.causal:
            raise ValueError("A live series has no steps to come: set causal=True and fit again.")
        self._score, self.offset_ = detector._window_scores, detector.offset_
        self._n_channels, self._names = detector.n_features_in_, known_columns(detector)
        self._allow_nan = get_tags(detector).input_tags.allow_nan
        self._steps: deque[Array] = deque(maxlen=self._reader.window)
        self._n, self._last = 0, np.nan
        if history is not None and n_rows(history):
            rows, starts = detector._series(history, None)
            self._read(rows[starts[-1] :])

    def score_next(self, row: Any) -> float:
        """Score the next step.

        Parameters
        ----------
        row : array-like of shape (n_channels,)
            Its values.

        Returns
        -------
        score : float
            Higher = more normal; below ``offset_`` it is an anomaly.
        """
        self._steps.append(self._checked(row))
        if self._n % self._reader.stride == 0:
            self._last = self._scored(np.array(self._steps))
        self._n += 1
        return self._last

    def predict_next(self, row: Any) -> int:
        """Label the next step: 1 normal, -1 anomaly.

        Parameters
        ----------
        row : array-like of shape (n_channels,)
            Its values.

        Returns
        -------
        label : int
            1 or -1.
        """
        return 1 if self.score_next(row) >= self.offset_ else -1

    def scores(self, rows: Iterable[Any]) -> Iterator[float]:
        """Score steps as they come.

        Parameters
        ----------
        rows : iterable of array-like of shape (n_channels,)
            Steps, such as of a generator that waits for the next one.

        Yields
        ------
        score : float
            Higher = more normal.
        """
        for row in rows:
            yield self.score_next(row)

    def _read(self, rows: Array) -> None:
        """Take in the steps since the last gap; score the newest window that has begun."""
        window, stride = self._reader.window, self._reader.stride
        self._n = len(rows)
        self._steps.extend(rows[-window:])
        if self._n % stride:
            newest = rows[: self._n - self._n % stride + 1]
            self._last = self._scored(newest[-window:])

    def _scored(self, steps: Array) -> float:
        """Score the newest of some steps, by the window that they are or begin."""
        window = self._reader.newest(steps)
        return float(self._score(window)[0])

    def _checked(self, row: Any) -> Array:
        if self._names is not None and hasattr(row, "to_frame"):
            check_names(list(row.index), list(self._names))
        values = as_numbers(np.asarray(row).reshape(1, -1)).astype(np.float64)[0]
        if values.shape != (self._n_channels,):
            raise ValueError(
                f"A step has {self._n_channels} channels, got {values.shape[0]} values."
            )
        refused = np.isinf(values) if self._allow_nan else ~np.isfinite(values)
        for channel in np.flatnonzero(refused)[:1]:
            what = (
                "NaN, which the detector does not accept,"
                if np.isnan(values[channel])
                else "infinity"
            )
            raise ValueError(f"The step holds {what} in channel {channel}.")
        return values


def check_names(names: list[Any], known: list[Any]) -> None:
    """Refuse a step whose channels are not those of the training series, in that order."""
    if names != known:
        raise ValueError(f"The step has the channels {names}, but fit had {known}, in this order.")
