"""Ctrl-C during ``meta_fit``: what the training had learned after its last whole epoch is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from .._warn import warn
from ..exceptions import InterruptedWarning


@dataclass
class Interruption:
    """What became of a training.

    Attributes
    ----------
    epochs : tuple of (int, int) or None
        Whole epochs when it was interrupted, and those it was to have; None: it was not.
    """

    epochs: tuple[int, int] | None = None


_listening: ContextVar[Interruption | None] = ContextVar("_listening", default=None)


@contextmanager
def kept_on_interrupt() -> Iterator[Interruption]:
    """Within the block Ctrl-C ends a training that may be cut short, and is noted."""
    interruption = Interruption()
    token = _listening.set(interruption)
    try:
        yield interruption
    finally:
        _listening.reset(token)


def cut_short(done: int, planned: int) -> bool:
    """Note an interruption; False where nobody would hear of it or nothing was learned."""
    interruption = _listening.get()
    if interruption is None or not done:
        return False
    interruption.epochs = (done, planned)
    return True


def warn_of_interruption(done: int, planned: int) -> None:
    """Tell the caller of ``meta_fit`` what is kept."""
    warn(
        f"Meta-training was interrupted after {done} of {planned} epochs: what it had learned by "
        "then is in pretrained.",
        InterruptedWarning,
    )
