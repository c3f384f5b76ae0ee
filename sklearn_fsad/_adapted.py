"""A module adapted to one support, and scoring in blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_BLOCK_NUMBERS = 2**18  # numbers a block of rows may take in one intermediate: two MiB
_LEAST_BLOCK_ROWS, _MOST_BLOCK_ROWS = 16, 256


class Representation(Protocol):
    """How a support describes rows to a module: scaled features, or evidence."""

    @property
    def support(self) -> Array:
        """The support, described, and rows made from it: (n_support, d_out)."""
        ...

    @property
    def support_y(self) -> NDArray[np.int8]:
        """What its rows are to the module: (n_support,)."""
        ...

    def transform(self, X: Array) -> Array:
        """Describe rows: (m, d) -> (m, d_out)."""
        ...


@dataclass(frozen=True)
class Adapted:
    """A module adapted to one support.

    Attributes
    ----------
    representation : Representation
    values : dict of str to ndarray
        What the module's ``adapt`` returned.
    parameters : dict of str to object
        Those that the detector had.
    module : torch.nn.Module or None
        Left out of pickles: the detector builds it again from its state.
    own_rows : OwnRows or None
        Tells normal rows of the support from others; left out of pickles too.
    """

    representation: Any
    values: dict[str, Array]
    parameters: dict[str, Any]
    module: Any = None
    own_rows: Any = None

    def score(self, X: Array) -> Array:
        """Score rows, larger = more anomalous: (m, d) -> (m,)."""
        return self.score_represented(self.representation.transform(X))

    def score_represented(self, Z: Array) -> Array:
        """Score rows that are represented already: (m, d_out) -> (m,)."""
        import torch

        from ._layers import aligned

        with torch.no_grad():
            values = {name: aligned(value) for name, value in self.values.items()}
            return self.module.score(values, aligned(Z)).numpy()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "module": None, "own_rows": None}


def in_blocks(function: Callable[[Array], Array], X: Array, n_support: int) -> Array:
    """Apply a function to blocks of rows of one fixed size.

    Matrix products round differently for other numbers of rows: with one size, padded, a row's
    score is the same whatever it comes with, and memory does not grow with the rows.

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
        block = np.asarray(X[start : start + size], dtype=np.float64)
        n = len(block)
        if n < size:
            block = block[np.minimum(np.arange(size), n - 1)]  # C order, like a whole block
        parts.append(np.array(function(block)[:n]))  # a view would keep all that it is a part of
    return np.concatenate(parts)
