"""Hold what meta-training learned as an immutable value; save and load it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._values import plain
from .exceptions import WeightsError

_FORMAT = 1
_WEIGHTS = Path(__file__).parent / "weights"


class MetaState:
    """Hold the meta-learned state of a detector.

    It is immutable, so ``clone`` and ``copy.deepcopy`` return the same object, and a grid search
    over fifty candidates shares one copy. Arrays are numpy's and read-only.

    Parameters
    ----------
    detector : str
        Name of the estimator class that the state belongs to.
    architecture : mapping
        Constructor parameters that the shape of the state depends on: JSON values, or numbers and
        arrays of numpy, which are converted.
    arrays : mapping of str to ndarray
        Learned arrays.
    n_features_in : int or None
        Width of the training tasks; None when the state fits any width.
    feature_names_in : sequence of str or None, default=None
        Column names of the training tasks, if they had any.
    info : mapping, default=None
        Facts about the training (number of tasks, shots, history); values as in ``architecture``.
    """

    def __init__(
        self,
        detector: str,
        architecture: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        n_features_in: int | None,
        feature_names_in: Any = None,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self.detector = str(detector)
        self.architecture = MappingProxyType(_json_values(architecture))
        self.arrays = MappingProxyType({name: _frozen(a) for name, a in sorted(arrays.items())})
        self.n_features_in = None if n_features_in is None else int(n_features_in)
        self.feature_names_in = (
            None if feature_names_in is None else tuple(str(name) for name in feature_names_in)
        )
        self.info = MappingProxyType(_json_values(info or {}))

    @property
    def sha256(self) -> str:
        """Digest of everything that the state holds."""
        return _digest(self._header(), self.arrays)

    @property
    def n_weights(self) -> int:
        """Number of learned numbers, without letters of names."""
        return int(sum(a.size for a in self.arrays.values() if a.dtype != np.uint8))

    def with_arrays(self, arrays: Mapping[str, NDArray[Any]], **info: Any) -> MetaState:
        """Return a state with more arrays and facts.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            Arrays to add or to replace others by.
        **info
            Facts to add, as in the constructor.

        Returns
        -------
        state : MetaState
            A new state.
        """
        return MetaState(
            self.detector,
            self.architecture,
            {**self.arrays, **arrays},
            self.n_features_in,
            self.feature_names_in,
            {**self.info, **info},
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a safetensors file; an older file is replaced only by a whole one.

        Parameters
        ----------
        path : str or path
            File to write.
        """
        from safetensors.numpy import save

        header = self._header()
        metadata = {"sklearn_fsad": json.dumps(header), "sha256": self.sha256}
        path = Path(path)
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        try:
            with open(temporary, "xb") as file:
                file.write(save(dict(self.arrays), metadata=metadata))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> MetaState:
        """Read a file written by :meth:`save`; reading runs no code from the file.

        Parameters
        ----------
        path : str or path
            File to read.

        Returns
        -------
        state : MetaState
            The state that was saved.

        Raises
        ------
        WeightsError
            If the file is not a whole, unchanged state in a format of this version.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise WeightsError(f"No weights file at {str(path)!r}.")
        try:
            with safe_open(str(path), framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
            header = json.loads(metadata["sklearn_fsad"])
            version = header.pop("format")
        except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, OSError) as error:
            raise WeightsError(
                f"{str(path)!r} is not a weights file of sklearn-fsad: {error}"
            ) from error
        if version != _FORMAT:
            raise WeightsError(
                f"{str(path)!r} has format {version}; this version reads format {_FORMAT}. "
                "Install a newer sklearn-fsad."
            )
        try:
            state = cls(arrays=arrays, **header)
        except (TypeError, ValueError) as error:
            raise WeightsError(f"{str(path)!r} has an unknown header: {error}") from error
        if state.sha256 != metadata.get("sha256"):
            raise WeightsError(f"{str(path)!r} is damaged: its sha256 is not the recorded one.")
        broken = [n for n, a in arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all()]
        if broken:
            raise WeightsError(f"{str(path)!r} holds NaN or infinity in {broken}.")
        return state

    def _header(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "detector": self.detector,
            "architecture": dict(self.architecture),
            "n_features_in": self.n_features_in,
            "feature_names_in": self.feature_names_in and list(self.feature_names_in),
            "info": dict(self.info),
        }

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "architecture": dict(self.architecture),
                "arrays": dict(self.arrays), "info": dict(self.info)}  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.architecture = MappingProxyType(state["architecture"])
        self.info = MappingProxyType(state["info"])
        self.arrays = MappingProxyType({name: _frozen(a) for name, a in state["arrays"].items()})

    def __sklearn_clone__(self) -> MetaState:
        return self

    def __copy__(self) -> MetaState:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> MetaState:
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MetaState) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        tasks = self.info.get("n_tasks", "?")
        return (
            f"MetaState({self.detector}, n_features_in={self.n_features_in}, {tasks} tasks, "
            f"{self.n_weights} weights, {self.sha256[:8]})"
        )


def is_shipped(pretrained: Any) -> bool:
    """Tell whether ``pretrained`` names weights that come with the package."""
    return isinstance(pretrained, str) and (_WEIGHTS / f"{pretrained}.safetensors").is_file()


def resolve_state(pretrained: Any) -> MetaState | None:
    """Load the state given as ``pretrained``: None, a state, a shipped name or a path."""
    if pretrained is None or isinstance(pretrained, MetaState):
        return pretrained
    shipped = _WEIGHTS / f"{pretrained}.safetensors"
    return MetaState.load(shipped if shipped.is_file() else pretrained)


def _json_values(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Convert facts to what JSON knows; a TypeError names what it does not know."""

    def converted(value: Any) -> Any:
        known = plain(value)
        if known is value:
            raise TypeError(f"A state cannot hold {value!r}, a {type(value).__name__}.")
        return known

    known: dict[str, Any] = json.loads(json.dumps(dict(facts), default=converted))
    return known


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array if nobody can change it, else a read-only copy in native byte order."""
    array = np.asarray(array, order="C")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    base = array.base
    if array.flags.writeable or (isinstance(base, np.ndarray) and base.flags.writeable):
        array = array.copy()
        array.flags.writeable = False
    return array


def _digest(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in arrays.items():
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
