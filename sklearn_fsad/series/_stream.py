"""Score a live series step by step."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

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
        Steps before the first one to score; only the newest of them are used.
    """

    def __init__(self, detector: Any, history: Any = None) -> None:
        if not detector.causal:
            raise ValueError("A live series has no steps to come: set causal=True and fit again.")
        self._reader, self._detector = detector._reader, detector.detector_
        self._score, self.offset_ = detector._window_scores, detector.offset_
        self._n_channels = detector.n_features_in_
        self._steps: deque[Array] = deque(maxlen=self._reader.window)
        self._n, self._last = 0, np.nan
        rows = (
            np.empty((0, self._n_channels))
            if history is None
            else detector._validated(history, reset=False)
        )
        self._n = len(rows)
        self._steps.extend(rows[-self._reader.window :])
        if self._n % self._reader.stride:
            done = self._n - self._n % self._reader.stride
            self._last = float(self._scored(rows[: done + 1][-self._reader.window :]))

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
            self._last = float(self._scored(np.array(self._steps)))
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
        """
        for row in rows:
            yield self.score_next(row)

    def _scored(self, steps: Array) -> float:
        """Score the newest of some steps, by the window that they are or begin."""
        window = self._reader.newest(steps)
        return float(self._score(window)[0])

    def _checked(self, row: Any) -> Array:
        values = np.asarray(row, dtype=np.float64).ravel()
        if values.shape != (self._n_channels,):
            raise ValueError(
                f"A step has {self._n_channels} channels, got {values.shape[0]} values."
            )
        if np.isinf(values).any():
            raise ValueError(
                f"The step holds infinity in channel {int(np.argmax(np.isinf(values)))}."
            )
        return values
