"""Methods for series: on steps alone, on windows that end with a step, and by prediction.

Each has ``fit(X, y, times)`` and ``anomaly_score(X)``, which scores every step of a recording.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from bench.methods.base import Baseline, Scaled, spread_of
from bench.methods.detectors import Adapted, Spec
from bench.methods.libraries import PyOD, make_pyod
from bench.methods.support import Mahalanobis, Trees
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer

from sklearn_fsad._input.estimators import takes_times
from sklearn_fsad.series import WindowedDetector, WindowStatistics

WINDOW = 16
FEATURES = ("statistics", "mean", "raw")
SeriesMaker = Callable[[int], Any]  # of a seed


class OnSteps:
    """A baseline that sees each step alone, or the rows of a series in their order."""

    def __init__(self, base: Baseline) -> None:
        self.base = base
        self.uses_labels, self.needs_labels = base.uses_labels, base.needs_labels

    def fit(self, X: np.ndarray, y: np.ndarray, times: np.ndarray) -> OnSteps:
        """Learn from the steps of a support."""
        self.base.fit(X, y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Score every step of a recording."""
        return self.base.anomaly_score(X)


class OnWindows(OnSteps):
    """A baseline on descriptions of trailing windows.

    It learns from whole windows of normal steps, and from all windows of labelled anomalies.

    Parameters
    ----------
    base : Baseline
    describe : transformer
        Of windows (m, window, channels) into rows; NaN are steps before the start.
    """

    def __init__(self, base: Baseline, describe: Any) -> None:
        super().__init__(base)
        self.describe = describe

    def fit(self, X: np.ndarray, y: np.ndarray, times: np.ndarray) -> OnWindows:
        """Learn from the windows of a support; none reaches across a gap in time."""
        parts = np.split(X, np.flatnonzero(np.diff(times) > 1) + 1)
        windows = np.concatenate([trailing(part) for part in parts])
        kept = (y == 1) | ~np.isnan(windows).any(axis=(1, 2))
        windows, y = windows[kept], y[kept]
        self.describe_ = clone(self.describe).fit(windows[y == 0])
        self.base.fit(self.describe_.transform(windows), y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Score every step; the first ones, which have no whole window, as the first that has."""
        scores = self.base.anomaly_score(self.describe_.transform(trailing(X)[WINDOW - 1 :]))
        return np.concatenate([np.full(WINDOW - 1, scores[0]), scores])


class Windowed(OnSteps):
    """A detector of series of this package."""

    def __init__(self, detector: Any) -> None:
        self.detector = detector
        self.uses_labels, self.needs_labels = True, False

    def fit(self, X: np.ndarray, y: np.ndarray, times: np.ndarray) -> Windowed:
        """Adapt to a support."""
        self.detector.fit(X, y, times=times)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Score every step of a recording."""
        return -np.asarray(self.detector.score_samples(X))


class Autoregression(Baseline):
    """Residuals of a ridge regression of each step on the two before it."""

    n_lags = 2

    def fit(self, X: np.ndarray, y: np.ndarray) -> Autoregression:
        """Learn from the normal steps, which follow each other."""
        normals = X[y == 0]
        self.model_ = Ridge().fit(self._past(normals), normals[self.n_lags :])
        self.spread_ = spread_of(self._residuals(normals))
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the norm of the standardised residuals; the first steps get that of the third."""
        norms = np.sqrt(((self._residuals(X) / self.spread_) ** 2).sum(axis=1))
        return np.concatenate([np.full(self.n_lags, norms[0]), norms])

    def _residuals(self, X: np.ndarray) -> np.ndarray:
        return X[self.n_lags :] - self.model_.predict(self._past(X))

    def _past(self, X: np.ndarray) -> np.ndarray:
        lags = range(self.n_lags)
        return np.hstack([X[lag : len(X) - self.n_lags + lag] for lag in lags])


class Smoothed(Baseline):
    """The trailing mean of a baseline's scores."""

    def __init__(self, base: Baseline) -> None:
        self.base = base

    def fit(self, X: np.ndarray, y: np.ndarray) -> Smoothed:
        """Learn the baseline."""
        self.base.fit(X, y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the mean score of up to ``WINDOW`` steps."""
        return np.nanmean(trailing(self.base.anomaly_score(X)[:, None]), axis=(1, 2))


class ZScore(Baseline):
    """The largest or the mean absolute value of the columns, which are standardised before."""

    def __init__(self, reduce: Callable[..., np.ndarray]) -> None:
        self.reduce = reduce

    def fit(self, X: np.ndarray, y: np.ndarray) -> ZScore:
        """Learn nothing."""
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Reduce each row to one number."""
        return self.reduce(np.abs(X), axis=1)


class AeonWindows(Baseline):
    """A PyOD detector in aeon's adapter: the mean score of all windows that hold a step."""

    def __init__(self, name: str, random_state: int = 0) -> None:
        self.name, self.random_state = name, random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> AeonWindows:
        """Learn from the windows of the normal steps, which follow each other."""
        from aeon.anomaly_detection.series import PyODAdapter

        normals = X[y == 0]
        model = make_pyod(self.name, normals[WINDOW - 1 :], self.random_state)
        self.model_ = PyODAdapter(model, window_size=WINDOW).fit(normals, axis=0)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return aeon's score, to which up to 15 later steps contribute."""
        return np.asarray(self.model_.predict(X, axis=0), dtype=float)


def trailing(X: np.ndarray) -> np.ndarray:
    """Return the window that ends with each step: (n, c) -> (n, window, c), NaN before the start.

    Examples
    --------
    >>> trailing(np.arange(20.0)[:, None])[17, :, 0].tolist()[:3]
    [2.0, 3.0, 4.0]
    """
    padded = np.concatenate([np.full((WINDOW - 1, X.shape[1]), np.nan), X])
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=0).transpose(0, 2, 1)


def _flat(windows: np.ndarray) -> np.ndarray:
    return windows.reshape(len(windows), -1)


def _mean(windows: np.ndarray) -> np.ndarray:
    return np.nanmean(windows, axis=1)


def on_windows(base: Baseline, describe: Callable[[np.ndarray], np.ndarray]) -> OnWindows:
    """Make a baseline on windows that a function describes, in columns scaled by the support."""
    return OnWindows(Scaled(base), FunctionTransformer(describe))


def series_baselines() -> dict[str, SeriesMaker]:
    """Name the baselines; aeon's only where it is installed."""
    makers: dict[str, SeriesMaker] = {}
    for name in ("knn", "lof", "iforest"):
        makers |= {
            f"{name}, steps": lambda seed, name=name: OnSteps(Scaled(PyOD(name, seed))),
            f"{name}, flat windows": lambda seed, name=name: on_windows(PyOD(name, seed), _flat),
        }
    if find_spec("aeon"):
        makers["knn, aeon"] = lambda seed: OnSteps(Scaled(AeonWindows("knn", seed)))
    return makers | {
        "knn, means": lambda seed: on_windows(PyOD("knn"), _mean),
        "maha, steps": lambda seed: OnSteps(Scaled(Mahalanobis())),
        "maha, means": lambda seed: on_windows(Mahalanobis(), _mean),
        "z-score of means, largest": lambda seed: on_windows(ZScore(np.max), _mean),
        "z-score of means, mean": lambda seed: on_windows(ZScore(np.mean), _mean),
        "autoregression": lambda seed: OnSteps(Scaled(Autoregression())),
        "autoregression, smoothed": lambda seed: OnSteps(Scaled(Smoothed(Autoregression()))),
        "forest, steps": lambda seed: OnSteps(Trees("forest", seed)),
        "forest, statistics": lambda seed: OnWindows(Trees("forest", seed), WindowStatistics()),
    }


def on_windows_of_each_kind(specs: Sequence[Spec]) -> dict[str, Any]:
    """Make the detectors of the command line: on steps, and on windows of each kind.

    Detectors of series are left as they are.
    """
    made: dict[str, Any] = {}
    for spec in specs:
        if takes_times(spec.make(), "fit"):
            made[spec.label] = spec.make()
            continue
        made[f"{spec.label}, steps"] = spec.make()
        for features in FEATURES:
            made[f"{spec.label}, {features}"] = WindowedDetector(spec.make(), features=features)
    return made


def detectors_of_series(specs: Sequence[Spec]) -> dict[str, Any]:
    """Make the detectors of the command line: on steps, and on windows with default settings."""
    made: dict[str, Any] = {}
    for spec in specs:
        if takes_times(spec.make(), "fit"):
            made[spec.label] = spec.make()
        else:
            made[f"{spec.label}, steps"] = spec.make()
            made[f"{spec.label}, windows"] = WindowedDetector(spec.make())
    return made


def maker_of(detector: Any) -> SeriesMaker:
    """Return what makes a method of a copy of a detector, of steps or of series."""
    method = Windowed if takes_times(detector, "fit") else lambda copied: OnSteps(Adapted(copied))
    return lambda seed: method(copy.deepcopy(detector))
