"""Remember and compare column names that are no strings, which scikit-learn does not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from .frames import column_names


def known_columns(estimator: Any) -> Any:
    """Return the column names that an estimator remembers, strings or not; None without any."""
    return getattr(estimator, "feature_names_in_", getattr(estimator, "_columns_in_", None))


def remember_columns(estimator: Any, X: Any) -> None:
    """Remember column names that are no strings, and forget those of earlier rows."""
    vars(estimator).pop("_columns_in_", None)
    names = _other_names(X)
    if names is not None:
        estimator._columns_in_ = [n.item() if isinstance(n, np.generic) else n for n in names]


def refuse_repeated_columns(X: Any) -> None:
    """Refuse a frame with two columns of one name; older scikit-learn accepts it."""
    names = column_names(X) or []
    if len(set(names)) < len(names):
        name, times = Counter(names).most_common(1)[0]
        raise ValueError(
            f"Expected unique column names, but {times} columns are named {name!r}: rename them, "
            "or pass an array."
        )


def check_columns(estimator: Any, X: Any) -> None:
    """Refuse rows with other column names than those remembered, where neither are strings."""
    names, known = _other_names(X), getattr(estimator, "_columns_in_", None)
    if names is None or known is None or names == known or len(names) != len(known):
        return  # scikit-learn compares the numbers of columns
    told = next(
        f"column {i} is {name!r} and was {former!r}"
        for i, (name, former) in enumerate(zip(names, known, strict=True))
        if name != former
    )
    raise ValueError(
        "The feature names should match those that were passed during fit, in the same order: "
        f"{told}. Select the columns by those names, or pass an array."
    )


def _other_names(X: Any) -> list[Any] | None:
    """List column names that are no strings, such as those of a csv file without a header."""
    names = column_names(X)
    return None if not names or any(isinstance(name, str) for name in names) else names
