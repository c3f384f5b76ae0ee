"""Draw a line and a band for each of several qualities against a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Array
from ._style import SERIES_COLORS, SERIES_MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BANDS = ("standard error", "standard deviation", None)


def check_band(band: str | None) -> None:
    """Refuse a kind of band that does not exist."""
    if band not in _BANDS:
        raise ValueError(f"band={band!r} must be one of {', '.join(map(repr, _BANDS))}.")


def draw_curves(
    ax: Axes, x: ArrayLike, curves: Mapping[str, Array], band: str | None, **kwargs: Any
) -> str:
    """Draw the mean of each curve and a band; return what to write behind the name of the quality.

    Parameters
    ----------
    ax : matplotlib Axes
    x : array-like of shape (n_points,)
    curves : mapping of str to ndarray of shape (n_points, n_tasks) or (n_points, n_tasks, n_draws)
    band : {"standard error", "standard deviation"} or None
        Half the height of the bands.
    **kwargs
        Parameters of ``Axes.plot``, for all lines.
    """
    unit = "tasks"
    for i, (label, values) in enumerate(curves.items()):
        runs, unit = _runs(values)
        centre, half = runs.mean(axis=1), _half_width(runs, band)
        color = SERIES_COLORS[i % len(SERIES_COLORS)]
        look = {"marker": SERIES_MARKERS[i % len(SERIES_MARKERS)], "markersize": 5}
        line = {"color": color, "label": label, **look, **kwargs}
        ax.plot(x, centre, **line)
        if band is not None:
            ax.fill_between(x, centre - half, centre + half, color=line["color"],
                            alpha=0.15, linewidth=0)  # fmt: skip
    if band is None:
        return ""
    of_mean = "mean with its" if band == "standard error" else "mean and"
    return f", {of_mean} {band} over {unit}"


def metric_name(scoring: Any) -> str:
    """Return the name of a quality, for an axis."""
    name = scoring if isinstance(scoring, str) else getattr(scoring, "metric", "score")
    known = {"roc_auc": "ROC AUC", "average_precision": "Average precision", "f1": "F1"}
    return known.get(name, str(name).capitalize())


def _runs(values: Array) -> tuple[Array, str]:
    """Return the values under a band, (n_shots, n_runs): means of tasks, or draws of one task."""
    if values.ndim == 3 and values.shape[1] == 1:
        return values[:, 0], "draws"
    return (values.mean(axis=2) if values.ndim == 3 else values), "tasks"


def _half_width(runs: Array, band: str | None) -> Array:
    if band is None or runs.shape[1] < 2:
        return np.zeros(len(runs))
    spread = runs.std(axis=1, ddof=1)
    return spread / np.sqrt(runs.shape[1]) if band == "standard error" else spread
