"""List what skops has to trust to load a detector."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

_PACKAGE = __name__.partition(".")[0]
# of what detectors hold
_ROOMS = (
    "_detectors",
    "_evidence",
    "_input",
    "_stats",
    "_state",
    "distillation",
    "evidence",
    "thresholds",
)


def skops_trusted_types() -> list[str]:
    """List the types of this package that a saved detector may hold, for ``skops.io.load``.

    They are read from the installed code, so they are those of this version. All are classes of
    this package and the functions that compute evidence. What you gave to a detector yourself,
    such as a function of your own as evidence, is not among them: add its name.

    Returns
    -------
    names : list of str
        Full names, sorted.

    Examples
    --------
    >>> import skops.io
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.adapters import skops_trusted_types
    >>> detector = ProtoNetDetector().fit([[0.0], [0.1], [0.2], [0.3]])
    >>> data = skops.io.dumps(detector)
    >>> same = skops.io.loads(data, trusted=skops_trusted_types())
    >>> bool(same.offset_ == detector.offset_)
    True
    """
    from .._evidence.kinds import EVIDENCE, TABULAR
    from ._from_pyod import PyODDetector
    from ._to_classifier import AnomalyClassifier

    held: list[Any] = [AnomalyClassifier, PyODDetector]
    for module in _modules():
        held += [c for _, c in inspect.getmembers(module, inspect.isclass) if _is_of(c, module)]
    kinds = [*EVIDENCE.values(), *TABULAR.values()]
    functions = [kind.function for kind in kinds if inspect.isfunction(kind.function)]
    return sorted({f"{item.__module__}.{item.__qualname__}" for item in [*held, *functions]})


def _modules() -> Iterator[ModuleType]:
    for room in _ROOMS:
        top = import_module(f"{_PACKAGE}.{room}")
        yield top
        for found in pkgutil.walk_packages(getattr(top, "__path__", ()), f"{top.__name__}."):
            yield import_module(found.name)


def _is_of(cls: type, module: ModuleType) -> bool:
    """Tell whether a public class is defined in a module."""
    return cls.__module__ == module.__name__ and not cls.__name__.startswith("_")
