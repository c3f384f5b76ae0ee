"""Take the support from the start of a recording, and test on its later steps.

A recording is a task whose rows are steps in order of time. All methods are tested on the same
steps: those after the start that are far from every step of the support.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from bench.protocols.families import Task, random_state_of

STRETCH = 16  # steps of a labelled stretch
AFTER_ONSET = 8  # steps from the start of the anomaly to the first labelled one
EMBARGO = 32  # steps between the support and what is tested on, at least


@dataclass(frozen=True)
class SeriesEpisode:
    """The support of a recording in a cell (n, k), and the steps to test on.

    ``n`` is the number of steps at the start, ``k`` the number of labelled stretches of anomalies.
    """

    task: Task
    n: int
    k: int
    steps: np.ndarray  # (n_support,), growing
    test: np.ndarray  # (n_test,), growing

    @property
    def support_X(self) -> np.ndarray:
        """Rows of the support: (n_support, n_channels)."""
        return self.task.X[self.steps]

    @property
    def support_y(self) -> np.ndarray:
        """Labels of the support: (n_support,)."""
        return self.task.y[self.steps]

    @property
    def test_y(self) -> np.ndarray:
        """Labels of the steps to test on: (n_test,)."""
        return self.task.y[self.test]


def labelled_steps(y: np.ndarray, k: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """Return the steps of the first k of two labelled stretches.

    They are near the onset of the anomaly and in its middle, or with ``rng`` anywhere in it.

    Examples
    --------
    >>> y = np.repeat([0, 1, 0], [100, 80, 20])
    >>> labelled_steps(y, 2)[[0, 15, 16, 31]].tolist()
    [108, 123, 132, 147]
    """
    anomalous = np.flatnonzero(y)
    begins = [anomalous[0] + AFTER_ONSET, anomalous[len(anomalous) // 2] - STRETCH // 2]
    if rng is not None:
        begins = [int(rng.choice(anomalous[: -STRETCH + 1]))]
        others = anomalous[: -STRETCH + 1]
        begins.append(int(rng.choice(others[np.abs(others - begins[0]) >= STRETCH])))
    return np.concatenate([np.arange(0), *(begin + np.arange(STRETCH) for begin in begins[:k])])


def episode_of(task: Task, n: int, k: int, rng: np.random.Generator | None = None) -> SeriesEpisode:
    """Return the support and the steps to test on.

    Raises
    ------
    ValueError
        When the recording is not normal up to ``EMBARGO`` steps after its start, or its anomaly is
        too short for the labelled stretches.
    """
    if rng is not None and task.y.sum() < 4 * STRETCH:
        raise ValueError(f"{task.name}: its anomaly is too short to draw stretches of it.")
    labelled = labelled_steps(task.y, k, rng)
    if task.y[: n + EMBARGO].any():
        raise ValueError(f"{task.name}: the first {n + EMBARGO} steps must be normal.")
    if len(task.y) <= labelled.max(initial=0) or not task.y[labelled].all():
        raise ValueError(f"{task.name}: its anomaly is too short for {k} labelled stretches.")
    steps = np.concatenate([np.arange(n), np.sort(labelled)])
    later = np.arange(n, len(task.y))
    far = np.abs(later[:, None] - steps).min(axis=1) >= EMBARGO
    return SeriesEpisode(task, n, k, steps, later[far])


@dataclass(frozen=True)
class SeriesProtocol:
    """Hold the cells: steps at the start, and labelled stretches; with a seed, those are drawn."""

    n: tuple[int, ...]
    k: tuple[int, ...]
    seed: int | None = None

    def episodes(self, task: Task) -> Iterator[SeriesEpisode]:
        """Yield the episode of each cell, n first."""
        return (episode_of(task, n, k, self._rng(task)) for n in self.n for k in self.k)

    def _rng(self, task: Task) -> np.random.Generator | None:
        """Return a generator that draws the same stretches of a recording in every cell."""
        if self.seed is None:
            return None
        return np.random.default_rng(random_state_of(self.seed, task.name))
