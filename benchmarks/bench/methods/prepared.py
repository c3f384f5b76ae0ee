"""Say what methods read: the rows as they are, or what something before them makes of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bench.methods.base import Baseline
from bench.methods.detectors import Adapted, Spec

# of the rows of a support and of a query; what it learns, it learns from the support
Prepare = Callable[[Any, Any], tuple[Any, Any]]


class Method(NamedTuple):
    """A method: the name of what prepares its rows, None for nothing, and its maker, of a seed."""

    behind: str | None
    make: Callable[[int], Baseline]


def detector_methods(specs: Sequence[Spec], ways: Sequence[str | None]) -> dict[str, Method]:
    """Name every detector of the command line behind every preparation."""
    return {
        spec.label if way is None else f"{way}+{spec.label}": Method(
            way, lambda seed, spec=spec: Adapted(spec.make())
        )
        for spec in specs
        for way in ways
    }
