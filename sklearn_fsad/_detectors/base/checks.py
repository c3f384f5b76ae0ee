"""Check parameters and states, and restore attributes when ``fit`` fails."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from ..._input.columns import known_columns
from ..._input.rows import refuse_huge
from ..._state import MetaState
from ..._stats.moments import without_traces
from ..._stats.scaling import SCALERS
from ...exceptions import WeightsError
from ...tasks._task_set import TaskSet

SHARED_CONSTRAINTS: dict[str, Any] = {
    "n_normal": [tuple],  # any sequence is one by then: see plain_parameters
    "n_anomalous": [tuple],
    "n_query": [Interval(Integral, 2, None, closed="left")],
    "max_epochs": [Interval(Integral, 0, None, closed="left")],
    "episodes_per_epoch": [Interval(Integral, 1, None, closed="left"), None],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="neither"), None],
    "scaler": [StrOptions({"auto", *SCALERS}), HasMethods(["fit", "transform", "get_params"])],
    "threshold": [StrOptions({"auto", "conformal", "f1"}), callable, HasMethods(["eval"])],
    "alpha": [Interval(Real, 0, 1, closed="neither")],
    "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
    "outlier_label": "no_validation",
    "max_context": [Interval(Integral, 10, None, closed="left")],
    "clean_support": ["boolean", StrOptions({"all"})],
    "support_contamination": [Interval(Real, 0, 0.5, closed="both")],
    "pretrained": [None, MetaState, str, HasMethods("__fspath__")],
    "device": [str],
    "net_params": [None, dict],
    "callbacks": [None, tuple],
    "verbose": [None, "verbose"],
    "random_state": ["random_state"],
}

CATEGORICAL_FEATURES = [StrOptions({"from_dtype"}), "array-like", None]
E = TypeVar("E", bound=BaseEstimator)
_OF_FIT = ("_adaptation", "_categories", "_coding", "_threshold_by", "_trust")


@contextmanager
def restored_on_error(estimator: BaseEstimator) -> Iterator[None]:
    """Restore the attributes of the estimator when the block fails."""
    former = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(former)
        raise


def forget_fit(estimator: BaseEstimator) -> None:
    """Delete the attributes that ``fit`` has set."""
    for name in [n for n in vars(estimator) if n.endswith("_") or n in _OF_FIT]:
        delattr(estimator, name)


def unfitted_copy(estimator: E, **changed: Any) -> E:
    """Copy a detector without its fit, with other parameters, whatever its constructor takes."""
    other = copy.copy(estimator)
    forget_fit(other)
    # a Pipeline of scikit-learn 1.9 lends it to fit: an object that must not be kept
    vars(other).pop("_parent_callback_ctx", None)
    vars(other).update(changed)
    return other


@contextmanager
def as_weights_error(pretrained: Any) -> Iterator[None]:
    """Re-raise errors by missing or misshaped arrays of a state as ``WeightsError``."""
    try:
        yield
    except (KeyError, RuntimeError) as error:
        is_misshaped = "loading state_dict" in str(error)
        if pretrained is None or not (isinstance(error, KeyError) or is_misshaped):
            raise
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"pretrained={pretrained!s} has missing or wrongly shaped arrays: {reason}"
        ) from error


def check_device(device: str) -> None:
    """Refuse a device that torch does not find on this machine."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split(". ")[0].splitlines()[0].rstrip(".")
        raise ValueError(
            f"device={device!r} cannot be used here: {reason}. Use device='cpu', or install a "
            "version of torch that supports the device."
        ) from error


def check_shots(n_normal: Sequence[Any], n_anomalous: Sequence[Any]) -> None:
    """Refuse ranges of shots that no episode can have."""
    for name, bounds, least in (("n_normal", n_normal, 2), ("n_anomalous", n_anomalous, 0)):
        whole = len(bounds) == 2 and all(isinstance(b, Integral) for b in bounds)
        if not whole or not least <= bounds[0] <= bounds[1]:
            raise ValueError(
                f"{name}={bounds!r} must be a pair (lowest, highest) of whole numbers, the "
                f"lowest at least {least}."
            )


def check_layers(name: str, widths: Sequence[Any] | None) -> None:
    """Refuse widths of hidden layers that are not whole numbers of at least 1."""
    for width in widths or ():
        if not isinstance(width, Integral) or int(width) < 1:
            raise ValueError(
                f"{name}={widths!r} must be a sequence of whole numbers of at least 1."
            )


def check_class(detector: Any, state: MetaState | None) -> None:
    """Refuse a state that neither the class of the detector has made, nor one it is derived from.

    A subclass may represent rows or build its module in another way than its base class does: what
    it learned is for itself and its own subclasses.
    """
    names = [cls.__name__ for cls in type(detector).__mro__]
    if state is not None and state.detector not in names:
        raise ValueError(f"pretrained holds the state of a {state.detector}, not of a {names[0]}.")


def without_extremes(tasks: TaskSet) -> TaskSet:
    """Refuse tasks to learn from that are huge or missing; take what is next to zero for zero."""
    for task in tasks:
        if np.isnan(task.normals).all():
            raise ValueError(
                f"Task {task.name!r} has nothing to learn from: all values of its normal rows are "
                "missing (NaN). Leave it out, or check how it was read."
            )
        refuse_huge(task.X, f"Task {task.name!r}: X", task.columns)
    return tasks.with_tasks(replace(task, X=without_traces(task.X)) for task in tasks)


def check_state(detector: Any, state: MetaState) -> None:
    """Refuse a state that does not fit a detector or the data that it has just validated."""
    check_class(detector, state)
    for name in detector._architecture:
        mine, learned = detector._architecture_value(name), state.architecture.get(name)
        if mine is not None and mine != learned:
            raise ValueError(
                f"{name}={mine!r} here, but the meta-learned state has {name}={learned!r}. "
                f"Call meta_fit again, or leave {name} as it was."
            )
    if state.n_features_in is not None and state.n_features_in != detector.n_features_in_:
        raise ValueError(
            f"X has {detector.n_features_in_} features, but {type(detector).__name__} was "
            f"meta-fitted on tasks with {state.n_features_in} features."
        )
    names, learned_names = known_columns(detector), state.feature_names_in
    if names is not None and learned_names is not None and [*map(str, names)] != [*learned_names]:
        raise ValueError(
            "The feature names should match those that were passed during meta_fit, in the "
            f"same order: got {list(names)}, meta_fit had {list(learned_names)}."
        )


def copied_callback(callback: Any) -> Any:
    """Copy a callback to train with; parts that cannot be copied, such as a writer, are shared."""
    if isinstance(callback, (tuple, list)):
        return (callback[0], copied_callback(callback[1]))
    try:
        return clone(callback, safe=False)
    except TypeError:
        return copy.copy(callback)
