"""Keep the weights of the last whole epoch when Ctrl-C interrupts ``meta_fit``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from .._warn import warn
from ..exceptions import InterruptedWarning


@dataclass
class Interruption:
    """Record whether and when Ctrl-C stopped a training.

    Attributes
    ----------
    epochs : tuple of (int, int) or None
        Whole epochs when it was stopped, and those that were planned; None: it was not stopped.
    """

    epochs: tuple[int, int] | None = None


_current: ContextVar[Interruption | None] = ContextVar("_current", default=None)


@contextmanager
def kept_on_interrupt() -> Iterator[Interruption]:
    """Let Ctrl-C within the block end a training that may be cut short, and record it."""
    interruption = Interruption()
    token = _current.set(interruption)
    try:
        yield interruption
    finally:
        _current.reset(token)


def cut_short(done: int, planned: int) -> bool:
    """Record the interruption; False outside ``meta_fit`` or before the first whole epoch."""
    interruption = _current.get()
    if interruption is None or not done:
        return False
    interruption.epochs = (done, planned)
    return True


def warn_of_interruption(done: int, planned: int) -> None:
    """Warn the caller of ``meta_fit`` how many epochs are kept."""
    warn(
        f"Meta-training was interrupted after {done} of {planned} epochs: what it had learned by "
        "then is in pretrained.",
        InterruptedWarning,
    )
