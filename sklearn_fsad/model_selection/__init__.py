"""Choosing and comparing few-shot detectors: splits inside tasks, searches across tasks."""

from ._compare import compare
from ._comparison import Comparison
from ._few_shot_split import FewShotSplit
from ._suggest import Suggestion, suggest_detector
from ._task_estimator import TaskEstimator

__all__ = [
    "Comparison",
    "FewShotSplit",
    "Suggestion",
    "TaskEstimator",
    "compare",
    "suggest_detector",
]


def __dir__() -> list[str]:
    return sorted(__all__)
