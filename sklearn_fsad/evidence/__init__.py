"""Evidence from models that you already have, for ``ProtoNetDetector(evidence=[...])``."""

from ._classifier import ClassifierEvidence
from ._regressor import RegressorEvidence

__all__ = ["ClassifierEvidence", "RegressorEvidence"]


def __dir__() -> list[str]:
    return sorted(__all__)
