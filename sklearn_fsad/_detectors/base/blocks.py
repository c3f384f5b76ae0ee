"""Apply a function to rows in blocks of one size, in several threads if the user asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from ..._stats.moments import without_traces
from ..._training.threads import threads_asked_for
from ..._training.usual_torch import usual_torch
from ..._typing import Array

_PLAIN_ROWS = 1024  # of a block where no row changes the rounding of another


def in_plain_blocks(
    function: Callable[[Array], Array], X: Array, *, keep_traces: bool = False
) -> Array:
    """Apply a function whose result for a row depends on no other row, in blocks of 1024.

    Parameters
    ----------
    function : callable
        ``(m, d) -> (m,)``, row by row.
    X : ndarray of shape (n, d)
        At least one row; float32 is widened block by block.
    keep_traces : bool, default=False
        Whether to keep values next to zero, which takes three passes less.
    """

    def of_block(start: int) -> Array:
        part = np.asarray(X[start : start + _PLAIN_ROWS], dtype=np.float64, order="C")
        return function(part if keep_traces else without_traces(part))

    return _joined(of_block, range(0, len(X), _PLAIN_ROWS), around=nullcontext)


def block_size(numbers: int, numbers_a_row: int, least: int, most: int) -> int:
    """Choose how many rows to compute at once: a power of two, by the numbers of one step."""
    rows = 2 ** int(np.log2(max(numbers / numbers_a_row, 1.0)))
    return min(max(rows, least), most)


def in_blocks(
    function: Callable[[Array], Array], X: Array, size: int, fill: int | None = None
) -> Array:
    """Apply a function to blocks of rows of one fixed size.

    Matrix products round differently for different numbers of rows. With blocks of one size, the
    last one padded, the score of a row does not depend on the other rows of a call, and memory
    does not grow with their number.

    Parameters
    ----------
    function : callable
        ``(m, d) -> (m,) or (m, d_out)``, row by row.
    X : ndarray of shape (n, d)
        At least one row; float32 is widened block by block.
    size : int
        Rows of a block.
    fill : int or None, default=None
        Fill up the last block to a multiple of so many rows, where these and no more change the
        rounding of others; with gaps, or None, to the size of a block.
    """

    def of_block(start: int) -> Array:
        block = without_traces(np.asarray(X[start : start + size], dtype=np.float64))
        n = len(block)
        wanted = size if fill is None or np.isnan(block).any() else n + -n % fill
        if n < wanted:
            block = block[np.minimum(np.arange(wanted), n - 1)]  # C order, like a whole block
        return np.array(function(block)[:n])  # a view would keep all that it is a part of

    return _joined(of_block, range(0, len(X), size), around=usual_torch)


def _joined(
    of_block: Callable[[int], Array],
    starts: Sequence[int],
    around: Callable[[], AbstractContextManager[None]],
) -> Array:
    """Join the results of blocks; each thread takes blocks that follow each other."""

    def of_blocks(part: Sequence[int]) -> list[Array]:
        with around():
            return [of_block(start) for start in part]

    n_threads = min(threads_asked_for(), len(starts))
    if n_threads == 1:
        return np.concatenate(of_blocks(starts))
    shares = [starts[len(starts) * i // n_threads : len(starts) * (i + 1) // n_threads]
              for i in range(n_threads)]  # fmt: skip
    done = Parallel(n_threads, require="sharedmem")(delayed(of_blocks)(part) for part in shares)
    return np.concatenate([part for parts in done for part in parts])
