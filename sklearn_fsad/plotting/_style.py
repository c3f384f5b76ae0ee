"""Define axes, labels and colours (fit for colour-blind readers) that all displays share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier

from .._input.estimators import anomaly_scores, final_estimator, is_pyod
from .._input.labels import ANOMALOUS, NORMAL, UNLABELLED
from .._typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


# the colours of Okabe and Ito
NORMAL_COLOR, ANOMALY_COLOR, GREY = "#0072B2", "#D55E00", "#6E6E6E"
SERIES_COLORS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
SERIES_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
KINDS = {NORMAL: "normal", ANOMALOUS: "anomalous", UNLABELLED: "unlabelled"}
KIND_COLORS = {NORMAL: NORMAL_COLOR, ANOMALOUS: ANOMALY_COLOR, UNLABELLED: GREY}
SCORE_LABEL = "Anomaly score (larger = more anomalous)"


def check_matplotlib(caller: str) -> None:
    """Refuse to draw without matplotlib; the message tells how to install it."""
    try:
        import matplotlib.pyplot  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{caller} requires matplotlib. Install it with `pip install 'sklearn-fsad[plot]'`."
        ) from error


def axes_or_new(ax: Axes | None, caller: str, **figure: Any) -> Axes:
    """Return the given axes, or those of a new figure."""
    check_matplotlib(caller)
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(**{"layout": "constrained", **figure})[1]


def tidy(ax: Axes) -> None:
    """Remove the top and right sides of the frame."""
    ax.spines[["top", "right"]].set_visible(False)


def whole_numbers(axis: Axis) -> None:
    """Put ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def scores_and_threshold(
    estimator: Any, X: Any, outlier_label: Any = "auto"
) -> tuple[Array, float | None]:
    """Score rows, larger = more anomalous; also return the score above which a row is flagged."""
    detector = final_estimator(estimator)
    if hasattr(detector, "offset_") and hasattr(estimator, "score_samples"):
        scores = -np.asarray(estimator.score_samples(X), dtype=np.float64).ravel()
        return scores, -float(np.ravel(detector.offset_)[0])
    scores = anomaly_scores(estimator, X, outlier_label)
    if is_pyod(detector):
        return scores, float(detector.threshold_)
    by_chance = is_classifier(estimator) and hasattr(estimator, "predict_proba")
    return scores, 0.5 if by_chance else 0.0
