"""Apply a function to rows in blocks of one size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..._stats.moments import without_traces
from ..._typing import Array

_BLOCK_NUMBERS = 2**18  # numbers a block of rows may take in one intermediate: two MiB
_PLAIN_ROWS = 1024  # of a block where no row changes the rounding of another
_LEAST_BLOCK_ROWS, _MOST_BLOCK_ROWS = 16, 256


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


def in_blocks(function: Callable[[Array], Array], X: Array, n_support: int) -> Array:
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
    n_support : int
        Rows that each row is compared with.
    """
    rows = 2 ** int(np.log2(_BLOCK_NUMBERS / max(X.shape[1], n_support)))
    size = min(max(rows, _LEAST_BLOCK_ROWS), _MOST_BLOCK_ROWS)
    parts = []
    for start in range(0, len(X), size):
        block = without_traces(np.asarray(X[start : start + size], dtype=np.float64))
        n = len(block)
        if n < size:
            block = block[np.minimum(np.arange(size), n - 1)]  # C order, like a whole block
        parts.append(np.array(function(block)[:n]))  # a view would keep all that it is a part of
    return np.concatenate(parts)
