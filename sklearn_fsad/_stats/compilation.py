"""Compile functions when they are first called, and keep them on disk where that can be done."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types

from .._typing import Array, Positions

F = TypeVar("F", bound=Callable[..., Any])

_LOGGER = logging.getLogger("sklearn_fsad")
_FLOAT = np.dtype(np.float64)
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

NUMBER, FLOAT, SEED, YES_OR_NO = types.intp, types.float64, types.uint64, types.boolean
# arrays in C order that are read alone, whether they may be written to or not
MATRIX = types.Array(types.float64, 2, "C", readonly=True)
POSITIONS = types.Array(types.intp, 2, "C", readonly=True)
# arrays in C order that are written to
OUT = types.Array(types.float64, 2, "C")
POSITIONS_OUT = types.Array(types.intp, 2, "C")
CUBE_OUT = types.Array(types.float64, 3, "C")


def vector(of: types.Type, *, out: bool = False) -> types.Type:
    """Return the type of a one-dimensional array; ``out`` for one that is written to."""
    return types.Array(of, 1, "C", readonly=not out)


def compiled(*arguments: types.Type, fastmath: Collection[str] = ()) -> Callable[[F], F]:
    """Return a decorator that compiles a function for arguments of these types.

    ``fastmath`` names what LLVM may assume or do, such as "reassoc" to sum in vectors.

    It is compiled or read from numba's cache when it is first called, so that importing costs
    nothing. It returns nothing, and writes to arrays made outside: numba calls Python to return
    arrays, and where Ctrl-C comes just then, it may raise SystemError. Functions of numpy within
    take long to compile, too.
    """

    def decorate(function: F) -> F:
        @functools.cache
        def made() -> Callable[..., Any]:
            how = _OPTIONS | ({"fastmath": set(fastmath)} if fastmath else {})
            return _made(function, arguments, how)

        @functools.wraps(function)
        def call(*values: Any) -> Any:
            return made()(*values)

        return call  # type: ignore[return-value]  # of the signature of F by ``wraps``

    return decorate


def inner(function: F) -> F:
    """Return a function that compiled functions of the same file call, compiled along with them."""
    made: F = numba.njit(**_OPTIONS)(function)
    return made


def _made(
    function: Callable[..., Any], arguments: tuple[types.Type, ...], how: dict[str, Any]
) -> Callable[..., Any]:
    """Read a function from numba's cache, or compile it: also where the cache cannot be used."""
    name, start = function.__name__.lstrip("_"), time.perf_counter()
    signature = types.none(*arguments)
    try:
        made = numba.njit(signature, cache=True, **how)(function)
    except Exception as error:  # of the disk or, from a damaged file, anything that pickle raises
        if not isinstance(error, OSError | RuntimeError):  # a damaged file: empty the cache
            with suppress(Exception):
                numba.njit(cache=True, **how)(function).recompile()
        made = numba.njit(signature, **how)(function)
        _LOGGER.info(
            "Compiled %s in %.1f s, and could not keep it for other processes (%r). "
            "NUMBA_CACHE_DIR names another folder to keep it in.",
            name, time.perf_counter() - start, error,
        )  # fmt: skip
    else:
        stats = getattr(made, "stats", None)  # none with NUMBA_DISABLE_JIT
        if stats and not stats.cache_hits:
            _LOGGER.info(
                "Compiled %s in %.1f s, and kept it for other processes in %s.",
                name, time.perf_counter() - start, stats.cache_path,
            )  # fmt: skip
    return made


def plain(array: Array) -> Array:
    """Return an array of float64 in C order, as compiled functions take it."""
    flags = array.flags
    if type(array) is np.ndarray and array.dtype is _FLOAT and flags.c_contiguous and flags.aligned:
        return array  # a fifth of the time that numpy takes to find that out
    return np.require(array, np.float64, ["C", "A"])


def plain_positions(array: Positions) -> Positions:
    """Return an array of positions in C order, as compiled functions take it."""
    return np.require(array, np.intp, ["C", "A"])
