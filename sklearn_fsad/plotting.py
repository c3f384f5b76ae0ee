"""Pictures of detectors, after the fashion of scikit-learn's displays; they need matplotlib.

A display is made by ``from_estimator``, or from what is known already, and keeps what it drew:
``display.plot(ax=...)`` draws it again elsewhere. Importing this module does not import matplotlib.
"""

from ._display_embedding import EmbeddingDisplay
from ._display_features import FeatureScoreDisplay
from ._display_scores import AnomalyScoreDisplay
from ._display_shots import ShotCurveDisplay
from ._display_training import MetaTrainingDisplay

__all__ = [
    "AnomalyScoreDisplay",
    "EmbeddingDisplay",
    "FeatureScoreDisplay",
    "MetaTrainingDisplay",
    "ShotCurveDisplay",
]
