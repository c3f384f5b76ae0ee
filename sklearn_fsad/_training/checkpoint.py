"""Save meta-training to files, and resume it after the last whole epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from skorch.callbacks import Callback
from skorch.history import History

from .._state import MetaState
from .._version import __version__
from ..exceptions import WeightsError

__all__ = ["Checkpoint"]
_KIND = "Checkpoint"
_PARTS = ("module_", "criterion_", "optimizer_")


class Checkpoint(Callback):
    """Save every training of ``meta_fit`` to a folder, so that it can be resumed after a crash.

    Pass it in ``callbacks=[Checkpoint(folder)]``. After a crash call ``meta_fit`` again, with the
    same parameters and tasks: finished trainings are read from the folder, and an unfinished one is
    resumed after its last whole epoch. On the CPU the result is identical to that of an
    uninterrupted ``meta_fit``.

    Each training has its own file, also those for the comparison on held-out tasks; networks that
    are trained together share one. Its name is a digest of the initial weights, the seed, the
    settings, the tasks and the versions of the packages. A training that differs in any of these
    starts from its first epoch. The files are safetensors, never pickles, and replaced only when
    complete. ``meta_fit`` does not delete them: delete the folder when it is done.

    Parameters
    ----------
    dirname : str or path
        The folder, made if it does not exist.

    Notes
    -----
    Attributes of other callbacks whose names end in ``_`` are saved too, as far as they consist of
    numbers, text, arrays and objects with a ``state_dict``. The parameters of callbacks are not
    part of the digest.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.callbacks import Checkpoint
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], [20, 8])
    >>> tasks = [(rng.normal(size=(28, 3)) + 3 * y[:, None], y) for _ in range(4)]
    >>> detector = ProtoNetDetector(
    ...     embedding="mlp", scaler="task", n_normal=(5, 9), n_anomalous=(0, 3), max_epochs=2
    ... )
    >>> detector = detector.set_params(episodes_per_epoch=8, random_state=0)
    >>> with TemporaryDirectory() as folder:
    ...     detector = detector.set_params(callbacks=[Checkpoint(folder)])
    ...     state = detector.meta_fit(tasks).pretrained
    ...     state == detector.meta_fit(tasks).pretrained  # which only reads the file
    True
    """

    def __init__(self, dirname: str | os.PathLike[str]) -> None:
        self.dirname = dirname

    def keeper(self, *facts: Any) -> Keeper:
        """Return the callback that saves the training with these facts.

        Parameters
        ----------
        *facts
            Everything that the training depends on.

        Returns
        -------
        keeper : Callback
            It has to be the last of the callbacks of the net.
        """
        folder = Path(self.dirname)
        folder.mkdir(parents=True, exist_ok=True)
        versions = [__version__, *(version(name) for name in ("torch", "numpy", "skorch"))]
        return Keeper(folder / f"{joblib.hash([*facts, versions])}.safetensors")


def checkpoints_in(callbacks: Sequence[Any] | None) -> list[Checkpoint]:
    """Select the checkpoints among callbacks, the only ones of trainings on held-out tasks."""
    plain = [c[1] if isinstance(c, (tuple, list)) else c for c in callbacks or []]
    return [callback for callback in plain if isinstance(callback, Checkpoint)]


def without_checkpoints(callbacks: Sequence[Any] | None) -> list[Any]:
    """Select the callbacks that are no checkpoints, with their names where they have any."""
    return [c for c in callbacks or [] if not checkpoints_in([c])]


class Keeper(Callback):
    """Write one training to a file after each epoch; it has to be the last of the callbacks.

    Parameters
    ----------
    path : path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Resume the training from the file, if there is one."""
        if not self.path.is_file():
            return
        state = MetaState.load(self.path)
        if state.detector != _KIND:
            raise WeightsError(f"{str(self.path)!r} holds a {state.detector}, not a checkpoint.")
        kept = _unpacked(state.info["training"], state.arrays)
        for name in _PARTS:
            getattr(net, name).load_state_dict(kept[name])
        net.history_ = History(kept["history"])
        torch.set_rng_state(kept["generator"])
        for name, callback in net.callbacks_:
            _restore(callback, kept["callbacks"].get(name, {}))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Write the current state of the training."""
        training = {
            **{name: getattr(net, name).state_dict() for name in _PARTS},
            "history": net.history.to_list(),
            "generator": torch.get_rng_state(),
            "callbacks": {name: _learned(callback) for name, callback in net.callbacks_},
        }
        arrays: dict[str, NDArray[Any]] = {}
        info = {"training": _packed(training, arrays)}
        MetaState(_KIND, {}, arrays, None, info=info).save(self.path)


def _learned(callback: Callback) -> dict[str, Any]:
    """Return the attributes that a callback has learned and that a file can hold."""
    learned = {}
    for name, value in vars(callback).items():
        if name.endswith("_") and not isinstance(value, type):
            value = value.state_dict() if hasattr(value, "state_dict") else value
            if _fits_a_file(value):
                learned[name] = value
    return learned


def _restore(callback: Callback, learned: Mapping[str, Any]) -> None:
    for name, value in learned.items():
        own: Any = getattr(callback, name, None)
        if hasattr(own, "load_state_dict"):
            own.load_state_dict(value)
        else:
            setattr(callback, name, value)


def _fits_a_file(value: Any) -> bool:
    try:
        _packed(value, {})
    except TypeError:
        return False
    return True


def _packed(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Convert a value to JSON; its arrays and tensors go to ``arrays``, named by their number."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (torch.Tensor, np.ndarray)):
        name = str(len(arrays))
        kind = "tensor" if isinstance(value, torch.Tensor) else "array"
        arrays[name] = np.asarray(value.cpu() if isinstance(value, torch.Tensor) else value)
        return {kind: name}
    if isinstance(value, Mapping):
        return {"dict": [[_packed(part, arrays) for part in pair] for pair in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_packed(part, arrays) for part in value]}
    raise TypeError(f"A {type(value).__name__} cannot be kept in a checkpoint.")


def _unpacked(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Restore the value that ``_packed`` was given."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return torch.tensor(arrays[content])
    if kind == "array":
        return arrays[content].copy()
    if kind == "dict":
        return {_unpacked(k, arrays): _unpacked(v, arrays) for k, v in content}
    parts = [_unpacked(part, arrays) for part in content]
    return tuple(parts) if kind == "tuple" else parts
