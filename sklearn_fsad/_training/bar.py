"""Show the progress of a call by a bar of tqdm, in a terminal, a notebook or a file."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
import warnings
from contextlib import suppress
from typing import Any, Protocol

from tqdm import TqdmWarning

with warnings.catch_warnings():
    warnings.simplefilter("ignore", TqdmWarning)  # a notebook without ipywidgets gets text
    from tqdm.auto import tqdm

DELAY = 5.0  # seconds before a bar appears without being asked for
_EVERY = 0.5  # seconds between two looks at the call
_FORMAT = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
_UNUSABLE = (AttributeError, OSError, ValueError)  # no stream, a broken one, a closed one


class Call(Protocol):
    """Provide the text, the note and the share of the work that a bar shows."""

    text: str
    note: str

    @property
    def share(self) -> float:
        """Return the share of the work that is done, from 0 to 1."""


def delay_of(verbose: Any) -> float | None:
    """Return the seconds until a bar appears; None: it never does.

    Of processes that share a training, only the first one shows a bar.

    Parameters
    ----------
    verbose : int or None
        0: never, 1: at once, None: after ``DELAY`` where somebody can see it.
    """
    if os.environ.get("RANK", "0") != "0" or (verbose is not None and not verbose):
        return None
    if verbose is not None:
        return 0.0
    return DELAY if _is_seen() else None


def _is_seen() -> bool:
    """Return whether this is a notebook or a program in a terminal, and no worker of one."""
    if multiprocessing.parent_process() is not None:
        return False
    with suppress(*_UNUSABLE):
        return "ipykernel.zmqshell" in sys.modules or sys.stderr.isatty()
    return False


class Bar:
    """Show how far a call is, from a thread of its own, until it is closed.

    The call itself never waits for the bar, and the bar moves on where a call does not.

    Parameters
    ----------
    call : Call
    delay : float
        Seconds until it appears.
    """

    def __init__(self, call: Call, delay: float) -> None:
        self._call, self._delay = call, delay
        self._start = time.time()
        self._shown: Any = None
        self._lock, self._closed = threading.Lock(), threading.Event()
        if not delay:
            self._draw(call.share)
        with suppress(RuntimeError):  # where no thread can be started
            threading.Thread(target=self._watch, daemon=True, name="sklearn_fsad-bar").start()

    def finish(self) -> None:
        """Show that all is done, if the bar has appeared."""
        if self._shown is not None:
            self._draw(1.0)

    def close(self) -> None:
        """End the bar, which stays as it is."""
        self._closed.set()
        with self._lock:
            if self._shown is not None:
                self._shown.close()

    def _watch(self) -> None:
        wait = self._delay or _EVERY
        while not self._closed.wait(wait):
            self._draw(self._call.share)
            wait = _EVERY

    def _draw(self, share: float) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            if self._shown is None:
                self._shown = tqdm(
                    total=1.0,
                    desc=self._call.text,
                    file=_Stream(sys.stderr),
                    dynamic_ncols=True,
                    bar_format=_FORMAT,
                )
                self._shown.start_t = self._start
                self._shown.leave = self._shown.pos == 0  # not below a bar of the caller
            self._shown.n = share
            self._shown.set_description_str(self._call.text, refresh=False)
            self._shown.set_postfix_str(self._call.note, refresh=False)
            self._shown.refresh()


class _Stream:
    """Write to a stream, or nowhere where it is missing, closed or broken."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write text, if that is possible."""
        with suppress(*_UNUSABLE):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush the stream, if that is possible."""
        with suppress(*_UNUSABLE):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
