"""Compute in one thread and in the settings that torch starts with, whatever the user has set.

The networks are tiny: more threads slow them down, and a forked child that used the threads of its
parent would wait for them for ever. The same holds for the products of NumPy and SciPy, whose
threads wait for each other where all cores are busy.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, NamedTuple

import torch
from threadpoolctl import ThreadpoolController

from .threads import threads_asked_for

_here = threading.local()


@contextmanager
def usual_torch() -> Iterator[None]:
    """Use one thread, the CPU, float32 and gradients within the block; restore what was set.

    Settings of a thread are changed in the present one alone. Those that there are once for all
    threads are the usual ones until the last thread leaves its block: torch's default dtype and its
    precision of products of float32, and one thread for each BLAS of NumPy and SciPy.
    """
    if getattr(_here, "inside", False):
        yield
        return
    _here.inside = True
    try:
        with _PROCESS.usual(), ExitStack() as own:
            _settle_thread(own)
            yield
    finally:
        _here.inside = False


@contextmanager
def scoring_torch() -> Iterator[None]:
    """Use the same within the block, without gradients and without functions in place of torch's.

    A default device, even the CPU, is such a function; attention rounds otherwise beside one.
    """
    with usual_torch(), torch.no_grad(), torch._C.DisableTorchFunction():
        yield


@contextmanager
def training_threads() -> Iterator[None]:
    """Use as many threads of torch as the user asks for, where a block above uses one."""
    n_threads = threads_asked_for()
    if n_threads == 1:
        yield
        return
    _set_own_threads(n_threads)
    try:
        yield
    finally:
        _set_own_threads(1)


# --- settings of this thread ----------------------------------------------------------------------
_SMALLEST = 5e-324


def _settle_thread(own: ExitStack) -> None:
    """Change settings of this thread that are not the usual ones, to be restored by the stack."""
    n_threads = torch.get_num_threads()
    if n_threads > 1:
        _set_own_threads(1)
        own.callback(_set_own_threads, n_threads)
    if _SMALLEST * 1.0 == 0.0:
        torch.set_flush_denormal(False)
        own.callback(torch.set_flush_denormal, True)
    own.enter_context(torch.inference_mode(False))  # enables gradients too
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            own.enter_context(torch.autocast(device, enabled=False))
    if torch.empty(0).device.type != "cpu":
        own.enter_context(torch.device("cpu"))


def _set_own_threads(n: int) -> None:
    """Set the number of torch's threads for the present thread of Python alone.

    torch gives the number that was set last, in any thread, to all threads that start later: it is
    read and set again by a thread that has just started.
    """
    known, changed = threading.Event(), threading.Event()

    def keep() -> None:
        n_of_new = torch.get_num_threads()
        known.set()
        changed.wait()
        torch.set_num_threads(n_of_new)

    with _PROCESS.lock:
        keeper = threading.Thread(target=keep)
        try:
            keeper.start()
        except RuntimeError:  # the interpreter shuts down: no thread starts any more
            torch.set_num_threads(n)
            return
        known.wait()
        torch.set_num_threads(n)
        changed.set()
        keeper.join()


# --- settings of the process ----------------------------------------------------------------------
class _Setting(NamedTuple):
    """Read and change a setting that is shared by all threads, and name its usual value."""

    get: Callable[[], Any]
    put: Callable[[Any], None]
    usual: Any


def _precision_of(part: Any) -> _Setting:
    """Return the precision in which a part of torch multiplies numbers of float32."""

    def get() -> str:
        own: str = part.fp32_precision
        return own if own in ("bf16", "tf32") else "ieee"

    def put(precision: str) -> None:
        part.fp32_precision = "none"  # as the part that this one belongs to
        if precision != part.fp32_precision:
            part.fp32_precision = precision

    return _Setting(get, put, "ieee")


_SETTINGS = (
    _Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    _precision_of(torch.backends.mkldnn.matmul),  # type: ignore[attr-defined]  # torch has no stub of it
    _precision_of(torch.backends.mkldnn.conv),  # type: ignore[attr-defined]  # torch has no stub of it
    _precision_of(torch.backends.cudnn.conv),  # type: ignore[attr-defined]  # nor of this one
)


@cache
def _settings() -> tuple[_Setting, ...]:
    """Return what all threads share: the settings of torch, and the threads of each BLAS."""
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    return _SETTINGS + tuple(_Setting(b.get_num_threads, b.set_num_threads, 1) for b in libraries)


class _Process:
    """Count the threads inside of a block, and restore the settings when the last one leaves."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._n_inside = 0
        self._former: dict[_Setting, Any] = {}

    @contextmanager
    def usual(self) -> Iterator[None]:
        """Set what all threads share to the usual values within the block."""
        with self.lock:
            self._n_inside += 1
            for setting in _settings():
                if (found := setting.get()) != setting.usual:
                    self._former[setting] = found
                    setting.put(setting.usual)
        try:
            yield
        finally:
            with self.lock:
                self._n_inside -= 1
                if not self._n_inside:
                    self._restore()

    def renew(self) -> None:
        """Forget the other threads of the parent, which a forked child does not have."""
        self.lock = threading.Lock()
        self._n_inside = int(getattr(_here, "inside", False))
        if not self._n_inside:
            self._restore()

    def _restore(self) -> None:
        for setting, former in self._former.items():
            if setting.get() == setting.usual:  # else somebody has set it since
                setting.put(former)
        self._former.clear()


_PROCESS = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_PROCESS.renew)
