"""Hold matrices in panels of columns, as compiled products read them."""

from __future__ import annotations

import numpy as np

from .._typing import Array
from ._registers import WIDTH


def in_panels(matrix: Array) -> Array:
    """Return a matrix in panels: (n_in, n_out) -> (n_panels, n_in, WIDTH)."""
    n_in, n_out = matrix.shape
    filled = np.pad(matrix, [(0, 0), (0, -n_out % WIDTH)])
    return np.ascontiguousarray(filled.reshape(n_in, -1, WIDTH).transpose(1, 0, 2))


def from_panels(panels: Array, n_out: int) -> Array:
    """Return the matrix that is held in panels: (n_panels, n_in, WIDTH) -> (n_in, n_out)."""
    return panels.transpose(1, 0, 2).reshape(panels.shape[1], -1)[:, :n_out]
