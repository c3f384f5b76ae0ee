"""Learn from past series: how to cut windows, and what a detector meta-learns of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from .._detectors.prototypes.detector import ProtoNetDetector
from .._input.labels import ANOMALOUS, UNLABELLED
from .._input.names import names_of
from .._input.rows import named_rows
from .._stats.ranking import clearly_better
from .._typing import Array, Codes
from ..tasks._forms import rows_by_task
from ..tasks._task_set import coded_tasks
from ._times import read_times, starts_of_series
from ._training import USUAL_WINDOW, kept_steps, reader_of, training_windows

WINDOWS = (8, 16, 32)
CHOICES = ("statistics", "mean")
_STARTS = (50, 200)  # steps of a support in the comparison of windows
_SHARE = 2  # of a window: steps between two windows to learn from


@dataclass(frozen=True)
class PastSeries:
    """Hold one series to learn from.

    Attributes
    ----------
    name : object
    X : ndarray of shape (n, channels)
    codes : ndarray of shape (n,)
    starts : list of int
        Positions at which it starts, or goes on after a gap.
    """

    name: Any
    X: Array
    codes: Codes
    starts: list[int]

    def windows(self, window: int, features: Any, stride: int, causal: bool) -> tuple[Array, Array]:
        """Describe windows: rows (m, d) and labels, 1 for anomalies and 0 (m,)."""
        kept, groups = kept_steps(self.codes, self.starts, window, causal)
        normal = kept & (groups == 0)
        reader = reader_of(features, window, stride, causal, self.X, normal, self.starts)
        made = training_windows(reader, self.X, kept, groups, self.starts)
        return made.rows, (made.groups > 0).astype(int)


def past_series(X: Any, y: Any, groups: Any, times: Any, outlier_label: Any) -> list[PastSeries]:
    """Read series in any form of tasks, each with its times if there are any."""
    given = coded_tasks(X, y, groups, outlier_label=outlier_label)
    stamps = dict.fromkeys(given) if times is None else _by_series(times, groups, list(given))
    series = []
    for name, (X_t, codes) in given.items():
        try:
            rows, _ = named_rows(X_t, dtype=np.float64, ensure_all_finite="allow-nan")
            starts = starts_of_series(read_times(X_t, stamps[name], len(rows)), len(rows))
        except (ValueError, TypeError) as error:
            raise type(error)(f"Series {name!r}: {error}") from error
        series.append(PastSeries(name, rows, codes, starts))
    return series


def _by_series(times: Any, groups: Any, names: list[Any]) -> dict[Any, Any]:
    """Divide the times of steps by series."""
    if groups is not None:
        stamps = np.asarray(names_of(times), dtype=object)
        return {name: stamps[rows] for name, rows in rows_by_task(groups).items()}
    held = dict(times) if isinstance(times, Mapping) else dict(zip(names, times, strict=False))
    if len(held) != len(names) or any(name not in held for name in names):
        raise ValueError(f"times must hold the times of each of the {len(names)} series.")
    return held


def tasks_of(
    series: list[PastSeries], window: int, features: Any, causal: bool
) -> dict[Any, tuple[Array, Array]]:
    """Describe each series as a task of windows, half a window apart."""
    stride = max(int(window // _SHARE), 1)
    return {past.name: past.windows(window, features, stride, causal) for past in series}


def chosen(
    series: list[PastSeries], windows: tuple[int, ...], features: tuple[Any, ...], causal: bool
) -> tuple[int, Any]:
    """Choose window and features by series that are held out in turn.

    A closed-form detector is fitted to the first steps of a series and ranks the later ones. The
    first features with windows of 16 are replaced only by what is better by one standard error
    over series, the best of those.
    """
    options = [(w, f) for f in features for w in windows]
    usual = (USUAL_WINDOW if USUAL_WINDOW in windows else windows[0], features[0])
    if len(options) == 1:
        return options[0]
    aucs = {
        option: np.array([_quality(past, *option, causal) for past in series]) for option in options
    }
    gains = {option: auc - aucs[usual] for option, auc in aucs.items()}
    gains = {option: gain[~np.isnan(gain)] for option, gain in gains.items()}
    better = {o: float(gain.mean()) for o, gain in gains.items() if clearly_better(gain)}
    return max(better, key=better.__getitem__, default=usual)


def _quality(past: PastSeries, window: int, features: Any, causal: bool) -> float:
    """Return the mean ROC AUC of later steps over starts of a series; NaN where there is none."""
    aucs = [
        roc_auc_score(truth, scores)
        for truth, scores in _scored(past, window, features, causal)
        if 0 < truth.sum() < len(truth)
    ]
    return float(np.mean(aucs)) if aucs else np.nan


def _scored(
    past: PastSeries, window: int, features: Any, causal: bool
) -> Iterator[tuple[Array, Array]]:
    """Yield truth and anomaly scores of the steps after each start of a series."""
    apart = max(WINDOWS)  # the same steps for all windows
    first = np.flatnonzero(past.codes == ANOMALOUS)
    for n in _STARTS:
        if not len(first) or first[0] < n + apart:
            continue
        codes = past.codes[:n]
        starts = [start for start in past.starts if start < n]
        kept, groups = kept_steps(codes, starts, window, causal)
        X = past.X[:n]
        reader = reader_of(features, window, 1, causal, X, kept, starts)
        rows = training_windows(reader, X, kept, groups, starts).rows
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detector = ProtoNetDetector().fit(rows)
        later = np.flatnonzero(past.codes != UNLABELLED)
        later = later[later >= n + apart]
        scores = -detector.score_samples(reader.rows(past.X, past.starts)[later])
        yield past.codes[later] == ANOMALOUS, scores
