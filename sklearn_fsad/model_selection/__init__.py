"""Choosing, comparing and reporting on few-shot detectors: splits, searches, tables, reports."""

from .._explain.summary import Summary
from ._compare import compare
from ._comparison import Comparison
from ._few_shot_split import FewShotSplit
from ._origins import feature_scores
from ._report import report, summary
from ._series_split import SeriesSplit
from ._suggest import Suggestion, suggest_detector
from ._task_estimator import TaskEstimator

__all__ = [
    "Comparison",
    "FewShotSplit",
    "SeriesSplit",
    "Suggestion",
    "Summary",
    "TaskEstimator",
    "compare",
    "feature_scores",
    "report",
    "suggest_detector",
    "summary",
]


def __dir__() -> list[str]:
    return sorted(__all__)
