"""List the stretches of a series that a detector flags, the most anomalous first."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._input.containers import unwrapped
from .._input.names import names_of
from .._stats.ranking import conformal_p_values
from .._typing import Array, Positions
from ._channels import channel_names, contributions_at
from ._decisions import StepDecisions

_N_BLAMED = 2


def stretches(
    detector: StepDecisions,
    X: Any,
    times: Any = None,
    *,
    n: int | None = None,
    join: int | None = None,
) -> Any:
    """List the flagged stretches of a series, the most anomalous first.

    A window that ends shortly after an anomaly still holds it, so with ``causal=True`` a stretch
    may end up to a window later than the anomaly.

    Parameters
    ----------
    detector : WindowedDetector
        A fitted detector.
    X : array-like of shape (n_steps, n_channels)
        Steps in order of time.
    times : array-like of shape (n_steps,), default=None
        Their times, as in :meth:`WindowedDetector.fit`.
    n : int or None, default=None
        Number of stretches to list; None lists all.
    join : int or None, default=None
        Flagged steps that are at most so many steps apart form one stretch, unless there is a gap
        in time between them; 1 joins neighbours only. None is the length of a window.

    Returns
    -------
    stretches : DataFrame of shape (n_stretches, 8) or less
        Of pandas, one row for each stretch. Columns:

        - ``start``, ``end``: first and last flagged step, by its time, its name in the index of a
          pandas frame, or its position;
        - ``n_steps``: steps from the first to the last;
        - ``peak``: the most anomalous step, like ``start``;
        - ``anomaly_score``: its score relative to the threshold, larger = more anomalous;
        - ``p_value``: its p-value, as of :meth:`WindowedDetector.p_values`;
        - ``column_1``, ``column_2``: the channels that add most to its score. They are left out if
          the detector of windows has no ``feature_scores``, or ``features`` has no ``channels()``;
          the second one also if there is one channel.

    Raises
    ------
    TypeError
        If ``detector`` is no ``WindowedDetector``.
    ValueError
        If ``n`` or ``join`` is not a positive integer or None.
    ImportError
        If pandas is not installed.

    See Also
    --------
    sklearn_fsad.plotting.SeriesDisplay : A picture of a series with its flagged steps.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.series import WindowedDetector, stretches
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> X[400:420, 1] += 3
    >>> detector = WindowedDetector(ProtoNetDetector(), window=8).fit(X[:300])
    >>> found = stretches(detector, X[300:], n=1)
    >>> found[["start", "end", "n_steps", "column_1"]].to_dict("records")
    [{'start': 103, 'end': 123, 'n_steps': 21, 'column_1': 'x1'}]
    """
    pandas = _pandas()
    if not isinstance(detector, StepDecisions):
        raise TypeError(
            f"stretches takes a WindowedDetector, got {type(detector).__name__}. Of a pipeline "
            "give its last step, and the series as the steps before it transform it."
        )
    check_is_fitted(detector)
    n, join = _count("n", n), _count("join", join) or detector.window_
    rows, starts = detector._series(X, times)
    scores = detector.offset_ - detector.score_samples(X, times=times)
    first, last = _joined(np.flatnonzero(scores > 0), join, starts)
    peaks = np.array(
        [a + np.argmax(scores[a : b + 1]) for a, b in zip(first, last, strict=True)], dtype=np.intp
    )
    order = np.argsort(-scores[peaks], kind="stable")[:n]
    first, last, peaks = first[order], last[order], peaks[order]
    labels, normals = _labels(X, times, len(rows)), detector._independent.normals
    return pandas.DataFrame(
        {
            "start": labels[first],
            "end": labels[last],
            "n_steps": last - first + 1,
            "peak": labels[peaks],
            "anomaly_score": scores[peaks],
            "p_value": conformal_p_values(scores[peaks] - detector.offset_, normals),
            **_columns_to_blame(detector, X, rows, starts, peaks),
        }
    )


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "A list of stretches is a pandas frame and requires pandas. Install it with "
            "`pip install 'sklearn-fsad[data]'`."
        ) from error
    return pandas


def _count(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name}={value!r} must be a positive integer or None.")
    return int(value)


def _joined(flagged: Positions, join: int, starts: Sequence[int]) -> tuple[Positions, Positions]:
    """Return the first and the last step of each stretch: (k,), (k,)."""
    series = np.searchsorted(starts, flagged, side="right")
    begins = np.ones(len(flagged), dtype=bool)
    begins[1:] = (np.diff(flagged) > join) | (np.diff(series) > 0)
    return flagged[begins], flagged[np.roll(begins, -1)]


def _labels(X: Any, times: Any, n: int) -> Any:
    """Return what the steps are called: their times, the index of a frame, or positions: (n,)."""
    import pandas

    if times is not None:
        held = pandas.Index(names_of(times))
        return pandas.to_datetime(held) if _are_words(held) else held
    X = unwrapped(X)
    return X.index if isinstance(X, pandas.DataFrame) else np.arange(n)


def _are_words(names: Any) -> bool:
    return all(isinstance(name, str) for name in names)


def _columns_to_blame(
    detector: StepDecisions, X: Any, rows: Array, starts: Sequence[int], peaks: Positions
) -> dict[str, list[Any]]:
    contributions = contributions_at(detector, rows, starts, peaks)
    if contributions is None:
        return {}
    names = channel_names(detector, X)
    order = np.argsort(-contributions, axis=1, kind="stable")[:, :_N_BLAMED]
    return {f"column_{k + 1}": [names[j] for j in column] for k, column in enumerate(order.T)}
