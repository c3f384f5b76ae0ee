"""Set and read the number of threads that detectors use."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import joblib

_N_THREADS = ContextVar("_N_THREADS", default=1)


@contextmanager
def config_context(*, n_threads: int | None = None) -> Iterator[None]:
    """Let detectors use several threads within a block; by default they use one.

    Scores are the same to the bit with any number: each thread scores rows of its own. Networks
    train in that many threads of torch, which pays for large ones alone and can change the last
    digits of what they learn.

    The setting holds in the present thread of Python (or task of asyncio). Worker processes and
    threads, such as those of ``n_jobs``, use one thread each unless they enter such a block too.

    Parameters
    ----------
    n_threads : int, default=None
        Most threads to use; -1 for as many as there are cores, None to keep the present number.

    Yields
    ------
    None

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import ProtoNetDetector, config_context
    >>> X = np.random.default_rng(0).normal(size=(5000, 3))
    >>> detector = ProtoNetDetector().fit(X[:50])
    >>> with config_context(n_threads=2):
    ...     scores = detector.score_samples(X)
    >>> bool((scores == detector.score_samples(X)).all())
    True
    """
    token = _N_THREADS.set(_checked(n_threads))
    try:
        yield
    finally:
        _N_THREADS.reset(token)


def threads_asked_for() -> int:
    """Return how many threads may be used at this place."""
    return _N_THREADS.get()


def _checked(n_threads: int | None) -> int:
    if n_threads is None:
        return _N_THREADS.get()
    is_int = isinstance(n_threads, numbers.Integral) and not isinstance(n_threads, bool)
    if not is_int or (n_threads < 1 and n_threads != -1):
        raise ValueError(f"n_threads={n_threads!r} has to be a positive int, -1 or None.")
    return int(joblib.cpu_count() if n_threads == -1 else n_threads)
