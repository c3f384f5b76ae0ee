"""Issue warnings at the line of the user's code."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import joblib
import sklearn

# scikit-learn's decorators and joblib's frames may lie between the user's code and this package
_PACKAGE = Path(__file__).parent
_INNER = tuple(
    str(path) + os.sep for path in (_PACKAGE, *(Path(m.__file__).parent for m in (sklearn, joblib)))
)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning at the first frame outside of this package, scikit-learn and joblib.

    Parameters
    ----------
    message : str
        What is wrong and what to do instead.
    category : type of Warning, default=UserWarning
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INNER):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
