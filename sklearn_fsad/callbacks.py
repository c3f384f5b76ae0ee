"""Provide a checkpoint callback, with which a stopped meta-training can be resumed."""

from ._training.checkpoint import Checkpoint

__all__ = ["Checkpoint"]


def __dir__() -> list[str]:
    return sorted(__all__)
