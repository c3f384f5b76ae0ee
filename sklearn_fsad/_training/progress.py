"""Show progress on standard error and output, where a program has them."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from tqdm import tqdm

_UNUSABLE = (AttributeError, OSError, ValueError)  # no stream, a broken one, a closed one


def progress_bar(*args: Any, **kwargs: Any) -> Any:
    """Make a progress bar of tqdm on standard error; it shows nothing where that cannot be used.

    Parameters
    ----------
    *args, **kwargs
        As of :class:`tqdm.tqdm`.

    Returns
    -------
    bar : tqdm
        The bar.
    """
    return tqdm(*args, file=_Stream(sys.stderr), dynamic_ncols=True, **kwargs)


def say(message: str) -> None:
    """Print a message; without a usable standard output it is lost.

    Parameters
    ----------
    message : str
        One line.
    """
    with suppress(*_UNUSABLE):
        print(message)


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
