"""A checkpoint for meta-training: one that was killed goes on where it was."""

from ._training.checkpoint import Checkpoint

__all__ = ["Checkpoint"]
