"""Validate ``target_features``, ``grid_shape`` and the columns of a scaler."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from ..._stats.scaling import ScaledSupport
from ..._typing import Array


def resolve_targets(
    target_features: Sequence[Any] | None, n_features: int, names: Sequence[str] | None
) -> list[int] | None:
    """Find the positions of the target features; refuse unknown ones."""
    if target_features is None:
        return None
    targets = []
    for feature in target_features:
        if isinstance(feature, str):
            if names is None or feature not in names:
                raise ValueError(
                    f"target_features has {feature!r}, but the features are "
                    f"{'unnamed' if names is None else names}."
                )
            targets.append(list(names).index(feature))
        elif _is_position(feature) and -n_features <= int(feature) < n_features:
            targets.append(int(feature) % n_features)
        else:
            raise ValueError(
                f"target_features has {feature!r}: give names, or positions below the number of "
                f"features, {n_features}."
            )
    if not 0 < len(set(targets)) < n_features:
        raise ValueError(
            f"target_features={target_features!r} of {n_features} features: there must be at "
            "least one target and one other feature to predict it from."
        )
    return sorted(set(targets))


def _is_position(feature: Any) -> bool:
    """Tell whether it is a whole number; True and False would be positions 1 and 0."""
    return isinstance(feature, Integral) and not isinstance(feature, (bool, np.bool_))


def check_columns(scaler: Any, rows: Array) -> None:
    """Refuse a transformer that does not return one column for each feature: (n, d)."""
    if isinstance(scaler, str):
        return
    scaled = ScaledSupport(rows, np.zeros(len(rows), dtype=np.int8), scaler).support
    if scaled.shape[1] != rows.shape[1]:
        raise ValueError(
            f"scaler={scaler!r} returns {scaled.shape[1]} columns for {rows.shape[1]} features: a "
            "process needs one for each. Put it before the detector in a pipeline, or use reduce."
        )


def check_grid(grid_shape: Sequence[int] | None, n_features: int) -> None:
    """Refuse a grid whose size is not the number of features."""
    if grid_shape is None:
        return
    whole = all(isinstance(size, Integral) and int(size) > 0 for size in grid_shape)
    if not whole or len(grid_shape) not in (1, 2) or int(np.prod(grid_shape)) != n_features:
        raise ValueError(
            f"grid_shape={tuple(grid_shape)} does not fit rows of {n_features} features: give one "
            "or two whole numbers whose product is that."
        )
