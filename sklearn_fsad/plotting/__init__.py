"""Plot detectors and their scores by displays like scikit-learn's; they need matplotlib.

Make a display by ``from_estimator``, or from existing results. It stores them, so that
``display.plot(ax=...)`` can draw them again. Importing this module does not import matplotlib.
"""

from ._critical_difference import CriticalDifferenceDisplay
from ._embedding import EmbeddingDisplay
from ._features import FeatureScoreDisplay
from ._labels import LabelCurveDisplay
from ._report import ReportDisplay
from ._scores import AnomalyScoreDisplay
from ._series import SeriesDisplay
from ._shap import shap_explanation
from ._shots import ShotCurveDisplay
from ._training import MetaTrainingDisplay

__all__ = [
    "AnomalyScoreDisplay",
    "CriticalDifferenceDisplay",
    "EmbeddingDisplay",
    "FeatureScoreDisplay",
    "LabelCurveDisplay",
    "MetaTrainingDisplay",
    "ReportDisplay",
    "SeriesDisplay",
    "ShotCurveDisplay",
    "shap_explanation",
]


def __dir__() -> list[str]:
    return sorted(__all__)
