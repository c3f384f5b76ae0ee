"""Average the scores of a detector that was fitted with labels and of one without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._typing import Array
from ._training import TrainingWindows

_LEAST = 1e-9  # of a score: scores that differ less are alike
_MOST = 100.0  # times that one detector may spread its scores more than the other


@dataclass(frozen=True)
class AveragedDetectors:
    """Average two detectors of windows, one of which was fitted with k labelled stretches.

    It counts k times, the one without labels once: what a single stretch tells is uncertain, since
    all its steps are of one fault, and early ones have changed little. Scores are in units of the
    detector with labels.

    Attributes
    ----------
    labelled, unlabelled : estimator
        Fitted.
    share : float
        Weight of the first.
    unit : float
        Spread of left-out scores of normal windows, by the first one, divided by that of the
        second.
    """

    labelled: Any
    unlabelled: Any
    share: float
    unit: float

    @classmethod
    def of(
        cls, labelled: Any, unlabelled: Any, left_out: tuple[Array, Array], windows: TrainingWindows
    ) -> AveragedDetectors:
        """Weigh two detectors by their left-out scores of windows: two (m,)."""
        normal = windows.groups == 0
        k = len(np.unique(windows.groups[~normal]))
        spreads = [spread_of(scores[normal]) for scores in left_out]
        unit = float(np.clip(spreads[0] / spreads[1], 1.0 / _MOST, _MOST)) if all(spreads) else 1.0
        return cls(labelled, unlabelled, k / (k + 1.0), unit)

    def score_samples(self, Z: Array) -> Array:
        """Score described windows, higher = more normal: (m, d) -> (m,)."""
        return self.average(self.labelled.score_samples(Z), self.unlabelled.score_samples(Z))

    def feature_scores(self, Z: Array) -> Array:
        """Attribute anomaly scores to the columns: (m, d) -> (m, d)."""
        return self.average(self.labelled.feature_scores(Z), self.unlabelled.feature_scores(Z))

    def average(self, labelled: Any, unlabelled: Any) -> Array:
        """Average values with and without labels."""
        labelled, unlabelled = np.asarray(labelled), np.asarray(unlabelled) * self.unit
        return np.asarray(self.share * labelled + (1.0 - self.share) * unlabelled)


def spread_of(scores: Array) -> float:
    """Return half of the range that holds the middle 68 % of scores; rounding errors are none."""
    low, middle, high = np.percentile(scores, [16.0, 50.0, 84.0])
    return float(high - low) / 2.0 if high - low > _LEAST * (1.0 + abs(middle)) else 0.0
