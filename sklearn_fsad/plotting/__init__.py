"""Pictures of detectors, after the fashion of scikit-learn's displays; they need matplotlib.

A display is made by ``from_estimator``, or from what is known already, and keeps what it drew:
``display.plot(ax=...)`` draws it again elsewhere. Importing this module does not import matplotlib.
"""

from ._embedding import EmbeddingDisplay
from ._features import FeatureScoreDisplay
from ._scores import AnomalyScoreDisplay
from ._shots import ShotCurveDisplay
from ._training import MetaTrainingDisplay

__all__ = [
    "AnomalyScoreDisplay",
    "EmbeddingDisplay",
    "FeatureScoreDisplay",
    "MetaTrainingDisplay",
    "ShotCurveDisplay",
]
