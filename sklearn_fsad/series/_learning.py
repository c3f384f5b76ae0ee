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
from .._input.rows import named_rows, refuse_huge
from .._input.times import read_times, starts_of_series
from .._state import resolve_state
from .._stats.ranking import clearly_better
from .._typing import Array, Codes
from ..tasks._forms import rows_by_task
from ..tasks._task_set import TaskSet, coded_tasks, split_tasks
from ._training import FEATURES, USUAL_WINDOW, kept_steps, reader_of, training_windows, window_for

WINDOWS = (8, 16, 32)
CHOICES = ("statistics", "mean")
_STARTS = (50, 200)  # steps of a support in the comparison of windows
_SHARE = 2  # of a window: steps between two windows to learn from
_FEWEST = 6  # normal windows of a series: five shots, and one to score
_WANTED = 30  # normal windows of a series that has too few, if it has so many steps


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
    channels : tuple or None
        Names of its channels, where it has names.
    group : object
        Series of one group are held out together; the name where it is of no group.
    """

    name: Any
    X: Array
    codes: Codes
    starts: list[int]
    channels: tuple[Any, ...] | None = None
    group: Any = None

    def windows(self, window: int, features: Any, causal: bool) -> tuple[Array, Array]:
        """Describe windows: rows (m, d) and labels, 1 for anomalies and 0 (m,).

        They are half a window apart, or closer together in a series that would be lost.
        """
        kept, groups = kept_steps(self.codes, self.starts, window, causal)
        normal = kept & (groups == 0)
        stride = stride_for(int(normal.sum()), window)
        reader = reader_of(features, window, stride, causal, self.X, normal, self.starts)
        made = training_windows(reader, self.X, kept, groups, self.starts)
        return made.rows, (made.groups > 0).astype(int)


def past_series(X: Any, y: Any, groups: Any, times: Any, outlier_label: Any) -> list[PastSeries]:
    """Read series in any form of tasks, each with its times if there are any."""
    tasks = split_tasks(X, y, groups)
    given = coded_tasks(tasks, outlier_label=outlier_label)
    stamps = dict.fromkeys(given) if times is None else _by_series(times, groups, list(given))
    series = []
    for name, (X_t, codes) in given.items():
        try:
            rows, channels = named_rows(X_t, dtype=np.float64, ensure_all_finite="allow-nan")
            refuse_huge(rows, columns=channels)
            starts = starts_of_series(read_times(X_t, stamps[name], len(rows)), len(rows))
        except (ValueError, TypeError) as error:
            raise type(error)(f"Series {name!r}: {error}") from error
        group = getattr(tasks[name], "group", None)
        series.append(
            PastSeries(name, rows, codes, starts, channels, name if group is None else group)
        )
    return series


def channels_of(series: list[PastSeries]) -> list[str] | None:
    """Return the names of the channels, on which series that have names must agree."""
    named = [past for past in series if past.channels is not None]
    for past in named[1:]:
        if past.channels != named[0].channels:
            raise ValueError(
                f"Series {past.name!r} has the channels {list(past.channels or ())}, series "
                f"{named[0].name!r} has {list(named[0].channels or ())}: give all of them the same "
                "channels, in the same order."
            )
    return [str(name) for name in named[0].channels or ()] if named else None


def _by_series(times: Any, groups: Any, names: list[Any]) -> dict[Any, Any]:
    """Divide the times of steps by series."""
    if groups is not None:
        stamps, rows_of = names_of(times), rows_by_task(groups)
        n = sum(map(len, rows_of.values()))
        if len(stamps) != n:
            raise ValueError(
                f"times must hold one time for each of the {n} rows, got {len(stamps)}."
            )
        return {name: [stamps[i] for i in rows] for name, rows in rows_of.items()}
    is_mapping = isinstance(times, Mapping)
    if len(times) != len(names) or (is_mapping and any(name not in times for name in names)):
        raise ValueError(
            f"times must hold the times of each of the {len(names)} series, got {len(times)} "
            "entries."
        )
    return dict(times) if is_mapping else dict(zip(names, times, strict=True))


def name_of(features: Any) -> str:
    """Return what a description of windows is remembered by: its name, or that of its class."""
    return features if isinstance(features, str) else type(features).__name__


def is_auto(features: Any) -> bool:
    """Tell whether the description of windows is to be chosen."""
    return isinstance(features, str) and features == "auto"


def settings(
    detector: Any, window: Any, features: Any, X: Array, starts: list[int], channels: Any
) -> tuple[int, Any]:
    """Return the length and the description of windows: given, learned or usual.

    Refuse other windows, other features and channels of other names than ``meta_fit`` has learned
    from.
    """
    state = resolve_state(getattr(detector, "pretrained", None))
    learned = {} if state is None else state.info.get("windows", {})
    names, described = learned.get("channels"), learned.get("features", CHOICES[0])
    if names is not None and channels is not None and names != [str(name) for name in channels]:
        raise ValueError(
            f"X has the channels {list(channels)}, but meta_fit had {names}, in this order."
        )
    for name, value in {"window": window, "features": name_of(features)}.items():
        known = learned.get(name, value)
        can_be_had = name == "window" or known in FEATURES
        if value != known and not (value == "auto" and can_be_had):
            raise ValueError(
                f"{name}={value!r} here, but meta_fit has learned from {name}={known!r}: "
                f"leave {name} as it was, or call meta_fit again."
            )
    if window == "auto":
        window = learned.get("window", window_for(X, starts))
    return int(window), described if is_auto(features) else features


def check_widths(detector: Any, width: int, n_channels: int) -> None:
    """Refuse windows that a meta-fitted detector of so many columns was not meant for."""
    state = resolve_state(getattr(detector, "pretrained", None))
    learned = None if state is None else state.n_features_in
    if learned is not None and learned != width:
        raise ValueError(
            f"Windows of {n_channels} channels are described by {width} columns here, but the "
            f"{type(detector).__name__} was meta-fitted on {learned}: give as many channels as to "
            "meta_fit, with the same window and features, or call meta_fit of WindowedDetector."
        )


def stride_for(n_normal: int, window: int) -> int:
    """Return the steps between two windows to learn from, of a series with so many normal ones.

    Windows that have more than half of their steps in common teach less, and held-out recordings
    were ranked worse: only a series that could not be learned from otherwise is cut into those.
    """
    usual = max(window // _SHARE, 1)
    if n_normal // usual >= _FEWEST:
        return usual
    return int(np.clip(n_normal // _WANTED, 1, usual))


def tasks_of(series: list[PastSeries], window: int, features: Any, causal: bool) -> TaskSet:
    """Describe each series as a task of windows."""
    return TaskSet(
        [past.windows(window, features, causal) for past in series],
        names=[past.name for past in series],
        groups=[past.group for past in series],
        outlier_label=1,
    )


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
