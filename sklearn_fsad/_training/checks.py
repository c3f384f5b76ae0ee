"""Refuse settings with which a training would fail, before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from sklearn.utils._param_validation import Interval, validate_parameter_constraints

from .losses import PairwiseLoss
from .net import EpisodicNet
from .optimizers import Adam
from .seeding import torch_seed
from .settings import TrainingSettings

_NUMBERS = {
    "lr": [Interval(Real, 0, None, closed="neither")],
    "max_epochs": [Interval(Integral, 0, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
}
_OWN_NAMES = ("clip", "schedule", "stop", "snapshots", "progress", "checkpoint")


def check_settings(settings: TrainingSettings, *, may_validate: bool) -> None:
    """Refuse settings of a user that cannot be used, before the training is prepared.

    Parameters
    ----------
    settings : TrainingSettings
        Settings without callbacks of the training itself.
    may_validate : bool
        Whether the training may have episodes to validate on.

    Raises
    ------
    ValueError
        With the name and the value of what cannot be used.
    """
    _check_names(settings.callbacks)
    check_training(settings, validates=may_validate)


def check_training(settings: TrainingSettings, *, validates: bool) -> None:
    """Refuse settings with which a training would fail.

    Parameters
    ----------
    settings : TrainingSettings
        All settings of the training.
    validates : bool
        Whether it has episodes to validate on.

    Raises
    ------
    ValueError
        With the name and the value of what cannot be used.
    """
    numbers = {name: getattr(settings, name) for name in _NUMBERS}
    validate_parameter_constraints(_NUMBERS, numbers, "net_params")
    callbacks = [_without_name(callback) for callback in settings.callbacks]
    for callback in callbacks:
        if not hasattr(callback, "on_train_begin"):
            raise ValueError(
                f"callbacks holds {callback!r}, which is no callback of skorch: give skorch "
                "callbacks, or pairs (name, callback)."
            )
        if isinstance(getattr(callback, "scoring", None), str):
            raise ValueError(
                f"{type(callback).__name__}(scoring={callback.scoring!r}) in callbacks needs rows "
                "with labels, but training uses episodes: give a function (net, X, y) -> score."
            )
    if not validates and settings.skorch.get("train_split") is None:
        _refuse_monitors(callbacks)
    _check_net(settings)


def _check_names(callbacks: Sequence[Any]) -> None:
    names = [c[0] for c in callbacks if isinstance(c, (tuple, list))]
    taken = [name for name in names if names.count(name) > 1 or name in _OWN_NAMES]
    if taken:
        raise ValueError(
            f"callbacks has the name {taken[0]!r} twice, or the training uses it for a callback of "
            "its own: choose another name."
        )


def _refuse_monitors(callbacks: Sequence[Any]) -> None:
    """Refuse callbacks that wait for a loss on validation episodes, which there are none of."""
    scored: set[Any] = set()
    for callback in callbacks:
        scoring = getattr(callback, "scoring", None)
        scored |= {getattr(callback, "name", None), getattr(scoring, "__name__", str(scoring))}
    for callback in callbacks:
        monitor = getattr(callback() if isinstance(callback, type) else callback, "monitor", None)
        watched = str(monitor)
        if watched.startswith("valid_") and watched.removesuffix("_best") not in scored:
            name = getattr(callback, "__name__", type(callback).__name__)
            instead = "train_loss_best" if watched.endswith("_best") else "train_loss"
            raise ValueError(
                f"{name} in callbacks monitors {watched!r}, and this training has no validation "
                f"episodes: use {name}(monitor={instead!r})."
            )


def _check_net(settings: TrainingSettings) -> None:
    """Make a net of these settings around another module, to see whether skorch accepts them."""
    if any(name.partition("__")[0] == "module" for name in settings.skorch):
        raise ValueError(
            f"net_params={dict(settings.skorch)!r} sets the module, which the detector makes."
        )
    if settings.accelerator is not None:
        return
    usual = settings.with_defaults(criterion=PairwiseLoss, optimizer=Adam).of_net()
    probe = {**usual, "callbacks": "disable", "device": "cpu", "compile": False}
    try:
        with torch_seed(settings.seed):
            net = EpisodicNet(torch.nn.Linear(1, 1), **probe).initialize()
            for training in (True, False):
                net.get_iterator([0], training=training)
    except (TypeError, ValueError, AttributeError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"net_params={dict(settings.skorch)!r} cannot be used to train: {error}"
        ) from error


def _without_name(callback: Any) -> Any:
    return callback[1] if isinstance(callback, (tuple, list)) else callback
