"""Distil a fitted detector: a small, fast network with nearly the same scores."""

from ._agreement import Agreement
from ._detector import DistilledDetector
from ._distil import distil

__all__ = ["Agreement", "DistilledDetector", "distil"]


def __dir__() -> list[str]:
    return sorted(__all__)
