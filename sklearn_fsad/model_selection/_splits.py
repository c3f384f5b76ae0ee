"""Read what the splitters are given: labels and tasks, seeds, counts and choices."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length, check_random_state

from .._input.containers import n_rows
from .._input.labels import encode_labels
from .._values import plain_scalar
from ..tasks._forms import rows_by_task


def codes_by_task(
    splitter: Any, X: Any, y: Any, groups: Any
) -> tuple[NDArray[np.int8], dict[Any, NDArray[np.intp]]]:
    """Return the coded labels and task id -> positions; the id is None without ``groups``."""
    if y is None:
        name = type(splitter).__name__
        raise ValueError(f"{name} needs y to tell normal from anomalous rows; got None.")
    n_samples = n_rows(X)
    codes = encode_labels(y, n_samples, outlier_label=splitter.outlier_label, require_normal=False)
    if groups is None:
        return codes, {None: np.arange(n_samples)}
    check_consistent_length(codes, groups)
    return codes, rows_by_task(groups)


def draw_seed(random_state: Any) -> int:
    """Draw a seed without changing numpy's global random state."""
    random_state = plain_scalar(random_state)
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def check_count(name: str, value: Any, least: int) -> None:
    """Refuse what is not an integer of at least ``least``."""
    value = plain_scalar(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {choices}, got {value!r}.")
