"""Choosing, comparing and describing few-shot detectors: splits, searches, reports."""

from .._explain.summary import Summary
from ._few_shot_split import FewShotSplit
from ._report import report, summary
from ._suggest import Suggestion, suggest_detector
from ._task_estimator import TaskEstimator

__all__ = [
    "FewShotSplit",
    "Suggestion",
    "Summary",
    "TaskEstimator",
    "report",
    "suggest_detector",
    "summary",
]
