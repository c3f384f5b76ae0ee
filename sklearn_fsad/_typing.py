"""Define the array types that the whole package uses."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int8]  # of labels: see _input.labels
Mask = NDArray[np.bool_]
Positions = NDArray[np.intp]
Singles = NDArray[np.float32]
