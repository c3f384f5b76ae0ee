"""Apply a function to rows in blocks of one size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..._stats.moments import without_traces
from ..._typing import Array

_PLAIN_ROWS = 1024  # of a block where no row changes the rounding of another


def in_plain_blocks(function: Callable[[Array], Array], X: Array) -> Array:
    """Apply a function whose result for a row depends on no other row, in blocks of 1024.

    Parameters
    ----------
    function : callable
        ``(m, d) -> (m,)``, row by row.
    X : ndarray of shape (n, d)
        At least one row; float32 is widened block by block.
    """
    parts = [X[start : start + _PLAIN_ROWS] for start in range(0, len(X), _PLAIN_ROWS)]
    return np.concatenate(
        [function(without_traces(np.asarray(part, dtype=np.float64, order="C"))) for part in parts]
    )


def block_size(numbers: int, numbers_a_row: int, least: int, most: int) -> int:
    """Choose how many rows to compute at once: a power of two, by the numbers of one step."""
    rows = 2 ** int(np.log2(max(numbers / numbers_a_row, 1.0)))
    return min(max(rows, least), most)


def in_blocks(function: Callable[[Array], Array], X: Array, size: int) -> Array:
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
    """
    parts = []
    for start in range(0, len(X), size):
        block = without_traces(np.asarray(X[start : start + size], dtype=np.float64))
        n = len(block)
        if n < size:
            block = block[np.minimum(np.arange(size), n - 1)]  # C order, like a whole block
        parts.append(np.array(function(block)[:n]))  # a view would keep all that it is a part of
    return np.concatenate(parts)
