"""Provide the base class of detectors and the functions that train a torch module.

Provisional: names and signatures here may change between versions, and the changelog says so.
"""

from ._detectors.base.detector import BaseFewShotDetector
from ._detectors.base.support_set import SupportSet
from ._state import MetaState
from ._stats.scaling import ScaledSupport
from ._training.batches import EpisodeDataset
from ._training.loop import train_episodic
from ._training.losses import PairwiseLoss
from ._training.settings import TrainingSettings
from .tasks._episodes import scaled_episode

__all__ = [
    "BaseFewShotDetector",
    "EpisodeDataset",
    "MetaState",
    "PairwiseLoss",
    "ScaledSupport",
    "SupportSet",
    "TrainingSettings",
    "scaled_episode",
    "train_episodic",
]


def __dir__() -> list[str]:
    return sorted(__all__)
