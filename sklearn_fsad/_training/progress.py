"""Report the progress of a long call: by one bar for all its phases, and by lines of a log.

Nothing is kept on a detector: the call in progress is a context variable, so that each thread has
its own and a call within another one is a part of that.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from .bar import Bar, delay_of

LOG = logging.getLogger("sklearn_fsad")
_MOST_SHOWN = 0.99  # share of the work that a call which is not over has done at most

T = TypeVar("T")


@dataclass
class _Call:
    """Count the work of one call, in the time that a network takes to learn once from an episode.

    What other steps cost in that unit was measured once, on tasks of eight features.
    """

    name: str = ""
    is_part: bool = False  # of another call, which tells of both
    text: str = ""
    note: str = ""
    cost: float = 1.0  # of one step of the present phase
    in_phase: bool = False
    done: float = 0.0
    expected: float = 0.0

    @property
    def share(self) -> float:
        """Return the share of the expected work that is done."""
        return min(self.done / self.expected, _MOST_SHOWN) if self.expected else 0.0


_current: ContextVar[_Call | None] = ContextVar("_current", default=None)


@contextmanager
def progress(name: str, verbose: Any) -> Iterator[None]:
    """Tell the progress of what happens in the block, unless another call does that already.

    Parameters
    ----------
    name : str
        Name of the call, such as "ProtoNetDetector.fit".
    verbose : int or None
        0: no bar, 1: a bar at once, None: after five seconds, where somebody can see it.
    """
    call = _Call(name, is_part=_current.get() is not None, text=name)
    delay = None if call.is_part else delay_of(verbose)
    bar = None if delay is None else Bar(call, delay)
    token = _current.set(call)
    try:
        yield
        call.text, call.note = name, ""
        if bar is not None:
            bar.finish()
    finally:
        _current.reset(token)
        if bar is not None:
            bar.close()


@contextmanager
def worker_of(name: str) -> Iterator[None]:
    """Do a part of a call, which may be in another thread or process: it shows no bar there."""
    if _current.get() is not None:
        yield
        return
    with progress(name, 0):
        yield


def expect_more(work: float) -> None:
    """Add work to what is left of the present call, as far as that is known."""
    _call().expected += work


def expect_only(work: float) -> None:
    """Set how much work is left of the present call: what was expected and not done is left out."""
    call = _call()
    call.expected = call.done + work


def expect_at_least(n_steps: float) -> None:
    """Expect at least the work of so many steps of the present phase."""
    call = _call()
    call.expected = max(call.expected, call.done + n_steps * call.cost)


@contextmanager
def phase(name: str, cost: float = 1.0) -> Iterator[None]:
    """Name what happens in the block in the bar; a line of the log tells how long it took.

    Parameters
    ----------
    name : str
        A few words.
    cost : float, default=1.0
        Work of each step that :func:`advance` counts in the block.
    """
    call, start = _call(), time.perf_counter()
    former = call.text, call.note, call.cost, call.in_phase
    call.text, call.note, call.cost, call.in_phase = name, "", cost, True
    try:
        yield
    finally:
        call.text, call.note, call.cost, call.in_phase = former
        if not call.is_part:
            LOG.info("%s: %s took %.1f s", call.name, name, time.perf_counter() - start)


@contextmanager
def unless_named(name: str) -> Iterator[None]:
    """Make the block a phase, unless it is a part of one."""
    if _call().in_phase:
        yield
        return
    with phase(name):
        yield


def advance(n_steps: float = 1.0, note: str = "") -> None:
    """Count steps of the present phase.

    Parameters
    ----------
    n_steps : float, default=1.0
        How many.
    note : str, default=""
        What the bar shows beside them.
    """
    call = _call()
    call.done += n_steps * call.cost
    call.note = note


def steps(items: Sequence[T], name: str, cost: float = 1.0) -> Iterator[T]:
    """Iterate over items as the steps of a phase."""
    with phase(name, cost):
        expect_at_least(len(items))
        for item in items:
            yield item
            advance()


def phases(items: Sequence[T], name: str, cost: float = 1.0) -> Iterator[T]:
    """Iterate over items, each of which is a phase: its name ends by "2 of 3" for the second."""
    for i, item in enumerate(items, 1):
        with phase(f"{name} {i} of {len(items)}", cost):
            yield item


def log_verdicts(reports: Sequence[Any]) -> None:
    """Log what each held-out comparison decided, and the figures that it decided by.

    Parameters
    ----------
    reports : sequence of dict
        As in ``MetaState.info["held_out"]``.
    """
    for r in () if _call().is_part else reports:
        if not {"choice", "regime", "used", "roc_auc"} <= {*r}:
            continue  # of a detector that records something else
        figures = ", ".join(f"{option} {auc:.3f}" for option, auc in r["roc_auc"].items())
        LOG.info(
            "%s: %s for %s supports: %s kept (%s)",
            _call().name,
            r["choice"],
            r["regime"],
            "given weights" if r["used"] == "before" else r["used"],
            f"held-out ROC AUC: {figures}" if figures else "too few groups of tasks to compare",
        )


def _call() -> _Call:
    """Return the present call; outside of any, one that nobody sees."""
    return _current.get() or _Call()
