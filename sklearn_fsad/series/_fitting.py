"""Fit a detector to windows of a series, with their labels and without, and leave windows out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from .._input.estimators import requires_labels, uses_labels
from .._typing import Array
from ..exceptions import FarTaskWarning
from ._averaging import AveragedDetectors
from ._independent import left_out_scores
from ._training import TrainingWindows, described_without, refuse_no_labels
from ._windows import WindowReader

Parts = Sequence[TrainingWindows]


@dataclass(frozen=True)
class WindowFits:
    """Fit clones of a detector to windows of a series.

    Attributes
    ----------
    detector : estimator
        To be cloned; it reads -1 as the label of anomalies.
    reader : WindowReader
    X : ndarray of shape (n, channels)
        The series.
    starts : list of int
        Positions at which it starts, or goes on after a gap.
    """

    detector: Any
    reader: WindowReader
    X: Array
    starts: list[int]

    def fitted(self, windows: TrainingWindows) -> Any:
        """Fit the detector to windows; to normal ones where it would take all for normal."""
        if not uses_labels(self.detector):
            windows = windows.part(windows.groups == 0)
        refuse_no_labels(self.detector, windows.y)
        with warnings.catch_warnings():  # its limit is for rows that are independent
            warnings.simplefilter("ignore", FarTaskWarning)
            return clone(self.detector).fit(windows.rows, windows.y)

    def scorer(self, windows: TrainingWindows, fitted: Any) -> tuple[Any, Array]:
        """Return what scores windows, and left-out scores of the training windows: (m,).

        That is the fitted detector, or its average with one that is fitted without the labels.
        """
        left_out = self.left_out(windows)
        needs_no_labels = uses_labels(self.detector) and not requires_labels(self.detector)
        if windows.y is None or not needs_no_labels:
            return fitted, left_out
        normal = windows.groups == 0
        unlabelled = self.fitted(windows.part(normal))
        without = -np.asarray(unlabelled.score_samples(windows.rows))
        without[normal] = self.left_out(windows.part(normal))
        scorer = AveragedDetectors.of(fitted, unlabelled, (left_out, without), windows)
        return scorer, scorer.average(left_out, without)

    def left_out(self, windows: TrainingWindows) -> Array:
        """Score each block of windows by a detector that saw none of their steps: (m,)."""
        return left_out_scores(self.scores_by_parts, windows, self.reader.window)

    def scores_by_parts(self, parts: Parts, blocks: Parts) -> list[Array]:
        """Score blocks by detectors fitted to parts, larger = more anomalous.

        A detector that trains a network on its rows trains those of all parts together.
        """
        pairs = [
            described_without(block, part, self.reader, self.X, self.starts)
            for part, block in zip(parts, blocks, strict=True)
        ]
        together = getattr(self.detector, "_scores_by_parts", None)
        if together is not None and all(part.y is None for part in parts):
            found: list[Array] | None = together(
                [part.rows for _, part in pairs], [block.rows for block, _ in pairs]
            )
            if found is not None:
                return found
        return [-np.asarray(self.fitted(part).score_samples(block.rows)) for block, part in pairs]
