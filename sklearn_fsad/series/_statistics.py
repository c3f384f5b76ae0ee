"""Describe windows by statistics of each channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from .._typing import Array

STATISTICS = ("level", "recent_level", "roughness", "recent_roughness")
ALL_STATISTICS = (*STATISTICS, "last", "spread", "recent_spread")
_FLOOR = 1e-3  # of the spread of a channel, below which roughness is not told apart
_MOST = 1e300  # sums of larger values may overflow


class WindowStatistics(TransformerMixin, BaseEstimator):
    """Describe each channel of a window by its level, roughness and spread.

    Missing values are left out. Windows at the start of a series have fewer steps; what they lack
    for roughness and spread is taken to be as in the training windows.

    Parameters
    ----------
    statistics : sequence of str, default=("level", "recent_level", "roughness", "recent_roughness")
        What to compute of each channel: ``"level"``, the mean; ``"roughness"``, the logarithm of
        the mean absolute difference of neighbouring steps; ``"spread"``, the logarithm of the mean
        absolute distance from the level; ``"last"``, the newest value. Those with ``recent_`` are
        of the newer half of the window.

    Attributes
    ----------
    floor_ : ndarray of shape (n_channels,)
        Roughness and spread below this, a thousandth of the spread of the training windows, are not
        told apart.
    usual_ : dict of str to ndarray of shape (n_channels,)
        Median roughness and spread of the training windows, before the logarithm.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad.series import WindowStatistics
    >>> windows = np.array([[[0.0], [1.0], [0.0], [1.0]], [[5.0], [5.0], [5.0], [6.0]]])
    >>> WindowStatistics(("level", "roughness")).fit_transform(windows).round(2)
    array([[0.5 , 6.05],
           [5.25, 4.95]])
    """

    reads_short_windows = True  # steps that a window lacks are missing, and not repeated

    def __init__(self, statistics: Sequence[str] = STATISTICS) -> None:
        self.statistics = statistics

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the usual roughness and spread of normal windows.

        Parameters
        ----------
        X : array-like of shape (n_windows, window, n_channels)
            Windows.
        y : ignored
            Not used.

        Returns
        -------
        self : object
            The fitted transformer.
        """
        X = _windows(X)
        wanted = [self.statistics] if isinstance(self.statistics, str) else list(self.statistics)
        unknown = [name for name in wanted if name not in ALL_STATISTICS]
        if unknown or not wanted:
            raise ValueError(
                f"statistics={self.statistics!r} must be some of {', '.join(ALL_STATISTICS)}."
            )
        self._names, self.n_channels_in_ = wanted, X.shape[2]
        self.floor_ = _FLOOR * _spread(X.reshape(-1, X.shape[2]))
        self.usual_ = {}
        for name in wanted:
            if name.endswith(("roughness", "spread")):
                sizes, counts = _sizes(X, name)
                with np.errstate(invalid="ignore"):
                    means = np.where(counts > 0, sizes / np.maximum(counts, 1), np.nan)
                self.usual_[name] = np.nan_to_num(_median(means))
        return self

    def transform(self, X: Any) -> Array:
        """Describe windows.

        Parameters
        ----------
        X : array-like of shape (n_windows, window, n_channels)
            Windows; NaN is a missing value, or a step before the start of the series.

        Returns
        -------
        Z : ndarray of shape (n_windows, n_statistics * n_channels)
            All channels of the first statistic, then those of the next. NaN where all values are
            missing.
        """
        X = np.clip(_windows(X), -_MOST, _MOST)
        return np.concatenate([self._statistic(X, name) for name in self._names], axis=1)

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Name the columns of ``transform``: "level of channel".

        Parameters
        ----------
        input_features : array-like of shape (n_channels,), default=None
            Names of the channels.

        Returns
        -------
        names : ndarray of shape (n_statistics * n_channels,), dtype object
            All channels of the first statistic, then those of the next.
        """
        channels = range(self.n_channels_in_) if input_features is None else input_features
        names = [f"{s.replace('_', ' ')} of {c}" for s in self._names for c in channels]
        return np.array(names, dtype=object)

    def channels(self) -> list[int]:
        """Tell which channel each column of ``transform`` describes.

        Returns
        -------
        channels : list of int
            Position of the channel, for each column.
        """
        return list(range(self.n_channels_in_)) * len(self._names)

    def _statistic(self, X: Array, name: str) -> Array:
        if name == "last":
            return X[:, -1]
        if name.endswith("level"):
            return _mean(_recent(X, name))
        sizes, counts = _sizes(X, name)
        n = _recent(X, name).shape[1] - (1 if name.endswith("roughness") else 0)
        mean = (sizes + (n - counts) * self.usual_[name]) / max(n, 1)
        floor = np.where(self.floor_ > 0.0, self.floor_, 1.0)
        described = np.log(mean + floor) - np.log(floor) if n else np.zeros_like(mean)
        return np.where(np.isnan(_recent(X, name)).all(axis=1), np.nan, described)


class FlatWindows(TransformerMixin, BaseEstimator):
    """Describe a window by all its values: (m, window, channels) -> (m, window * channels)."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Remember the shape of windows."""
        self._shape = _windows(X).shape[1:]
        return self

    def transform(self, X: Any) -> Array:
        """Return the values in a row, step by step."""
        return _windows(X).reshape(len(X), -1)

    def channels(self) -> list[int]:
        """Return the position of the channel of each column."""
        window, n_channels = self._shape
        return list(range(n_channels)) * window


def _windows(X: Any) -> Array:
    X = np.asarray(X, dtype=np.float64)
    if X.ndim != 3:
        raise ValueError(
            f"Expected windows of shape (n_windows, window, n_channels), got shape {X.shape}."
        )
    return X


def _recent(X: Array, name: str) -> Array:
    """Return the newer half of the windows where the statistic asks for it."""
    return X[:, X.shape[1] // 2 :] if name.startswith("recent") else X


def _sizes(X: Array, name: str) -> tuple[Array, Array]:
    """Add up the absolute differences, or distances from the level, and count them: two (m, c)."""
    X = _recent(X, name)
    return _sum(np.abs(np.diff(X, axis=1) if name.endswith("roughness") else X - _mean(X)[:, None]))


def _mean(X: Array) -> Array:
    """Return the mean of the values that are not missing: (m, w, c) -> (m, c)."""
    total, count = _sum(X)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0.0, total / np.maximum(count, 1.0), np.nan)


def _sum(X: Array) -> tuple[Array, Array]:
    """Add up the values that are not missing, and count them: (m, w, c) -> two (m, c)."""
    total, count = np.zeros((2, len(X), X.shape[2]))
    for i in range(X.shape[1]):  # step by step: a window alone gives the same bits as among others
        known = ~np.isnan(X[:, i])
        total += np.where(known, X[:, i], 0.0)
        count += known
    return total, count


def _spread(rows: Array) -> Array:
    """Return the mean absolute distance from the mean of each column, without warnings: (c,)."""
    known = ~np.isnan(rows)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, rows, 0.0).sum(axis=0) / count
    return np.asarray(np.where(known, np.abs(rows - mean), 0.0).sum(axis=0) / count)


def _median(rows: Array) -> Array:
    """Return the median of the known entries of each column, NaN where there are none: (c,)."""
    columns = [column[~np.isnan(column)] for column in rows.T]
    return np.array([np.median(column) if len(column) else np.nan for column in columns])
