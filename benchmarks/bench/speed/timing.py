"""Measure processor time of functions that take turns, and hold what a section found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

K = TypeVar("K")


@dataclass(frozen=True)
class Section:
    """Hold the table of a section, with a row for each method.

    Attributes
    ----------
    title : str
    about : str
        What was measured.
    rows : list of dict
        May be empty, where ``about`` says why nothing was measured.
    digits : str
        Format of the numbers.
    """

    title: str
    about: str
    rows: list[dict[str, Any]]
    digits: str = ".2f"

    def to_markdown(self) -> str:
        """Return title, text and table."""
        parts = [f"## {self.title}", self.about]
        if self.rows:
            table = pd.DataFrame(self.rows)
            parts.append(table.to_markdown(index=False, floatfmt=self.digits, missingval=""))
        return "\n\n".join(parts) + "\n"

    def figure(self, column: str, where: Mapping[str, Any]) -> float | None:
        """Return the number in a column of the first row that has these entries, if there is one.

        Parameters
        ----------
        column : str
        where : mapping of str to object
        """
        for row in self.rows:
            if all(row.get(name) == value for name, value in where.items()) and column in row:
                return float(row[column])
        return None


def median_seconds(functions: Mapping[K, Callable[[], Any]], rounds: int) -> dict[K, float]:
    """Return the median processor time of each function over rounds in which all take turns.

    Parameters
    ----------
    functions : mapping to callable
        By name; each is called once before, for what is made once.
    rounds : int
    """
    for function in functions.values():
        function()
    return medians_of(functions, rounds)


def medians_of(functions: Mapping[K, Callable[[], Any]], rounds: int) -> dict[K, float]:
    """Return the same without the first call, for functions that take long."""
    seconds: dict[K, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            function()
            seconds[name].append(time.process_time() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}
