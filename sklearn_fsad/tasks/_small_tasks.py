"""Say once for all tasks that some are too small for the ranges of shots."""

from __future__ import annotations

import logging
from collections.abc import Container

from .._warn import warn
from ..exceptions import TaskWarning
from ._episodes import EpisodeSampler

_LOG = logging.getLogger("sklearn_fsad")
_LEFT = {"normal": "a third of the normal rows", "anomalous": "half of the anomalous rows"}


def tell_of_small_tasks(sampler: EpisodeSampler, given: Container[str]) -> None:
    """Warn once for each range of shots that tasks are too small for.

    Parameters
    ----------
    sampler : EpisodeSampler
        Where the episodes come from.
    given : container of str
        Parameters that the user set; for those left at their defaults there is only a line in the
        log.
    """
    for label in ("normal", "anomalous"):
        message = _message(sampler, label)
        if message and f"n_{label}" in given:
            warn(f"{message} Lower n_{label}, or give larger tasks.", TaskWarning)
        elif message:
            _LOG.info(message)


def _message(sampler: EpisodeSampler, label: str) -> str:
    """Describe the tasks with too few rows of a label; empty where there are none."""
    bounds = {"normal": sampler.n_normal, "anomalous": sampler.n_anomalous}[label]
    tasks = [sampler.tasks[i] for i in sampler.drawable]
    most = [sampler.most_shots(task)[label == "anomalous"] for task in tasks]
    small = [i for i, shots in enumerate(most) if shots < bounds[1]]
    if not small:
        return ""
    smallest = tasks[min(small, key=most.__getitem__)]
    n_rows = len(smallest.normals if label == "normal" else smallest.anomalies)
    low, high = min(most[i] for i in small), max(most[i] for i in small)
    return (
        f"{len(small)} of {len(tasks)} tasks {'has' if len(small) == 1 else 'have'} too few "
        f"{label} rows for n_{label}={bounds}: episodes keep {_LEFT[label]} of a task, at least "
        f"one, as rows to score, so they have at most "
        f"{low if low == high else f'{low} to {high}'} {label} shots. "
        f"The smallest task is {smallest.name!r} with {n_rows} {label} rows."
    )
