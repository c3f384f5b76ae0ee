"""Draw few-shot episodes from tasks."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._input.labels import ANOMALOUS, NORMAL
from .._stats.scaling import ScaledSupport, ScalePrior
from .._warn import warn
from ..exceptions import TaskWarning
from ._task import Task
from ._task_set import TaskSet

_NONE = "no training task has both labelled anomalies and three normal rows"


@dataclass(frozen=True)
class Episode:
    """Hold an episode: the support to adapt to, and the query to evaluate the adaptation on.

    Parameters
    ----------
    task : int
        Position of the task in its set.
    support_X : ndarray of shape (n_support, n_features)
        Rows to adapt to.
    support_y : ndarray of shape (n_support,), dtype int8
        Their labels: 0 normal, 1 anomalous.
    query_X : ndarray of shape (n_query, n_features)
        Rows to score.
    query_y : ndarray of shape (n_query,), dtype int8
        Their labels.
    """

    task: int
    support_X: NDArray[np.float64]
    support_y: NDArray[np.int8]
    query_X: NDArray[np.float64]
    query_y: NDArray[np.int8]


class EpisodeSampler:
    """Draw episodes as a pure function of (seed, epoch, index).

    The number of normal shots is drawn log-uniformly from its range, that of anomalous shots too,
    with zero (where allowed) in a quarter of the episodes. Only tasks with anomalies are drawn. A
    third of the normal rows and half of the anomalies of a task stay in the query. If that leaves
    fewer rows than were drawn, the episode has fewer shots.

    Parameters
    ----------
    tasks : TaskSet
        Where the episodes come from.
    n_normal, n_anomalous : tuple of (int, int)
        Lowest and highest number of shots.
    n_query : int
        Rows of the query, half of them anomalous where the task has that many.
    seed : int
        Seed of all draws.
    support_contamination : float in [0, 0.5], default=0.0
        Highest expected share of hidden anomalies among the normal shots; each episode draws its
        own share, uniformly. At least half of the anomalies of a task stay in the query.
    """

    def __init__(
        self,
        tasks: TaskSet,
        *,
        n_normal: tuple[int, int] = (5, 50),
        n_anomalous: tuple[int, int] = (0, 10),
        n_query: int = 70,
        seed: int = 0,
        support_contamination: float = 0.0,
    ) -> None:
        self.tasks = tasks
        self.n_normal = n_normal
        self.n_anomalous = n_anomalous
        self.n_query = n_query
        self.seed = seed
        self.support_contamination = support_contamination
        self.drawable = [i for i, task in enumerate(tasks) if self._is_drawable(task)]

    @staticmethod
    def _is_drawable(task: Task) -> bool:
        return len(task.normals) >= 3 and len(task.anomalies) >= 1

    @staticmethod
    def most_shots(task: Task) -> tuple[int, int]:
        """Return the largest numbers of shots that leave a third, and half, for the query.

        Parameters
        ----------
        task : Task
            A task with at least three normal rows and an anomaly.

        Returns
        -------
        n_normal, n_anomalous : int
            Largest numbers of normal and of anomalous shots.
        """
        n, k = len(task.normals), len(task.anomalies)
        return n - max(1, n // 3), k - max(1, k // 2)

    def require(self, remedy: str) -> None:
        """Raise an error if there is no task to draw.

        Parameters
        ----------
        remedy : str
            What to do then, a sentence.
        """
        if not self.drawable:
            raise ValueError(f"No task can be drawn: {_NONE}. {remedy}")

    def warn_if_empty(self, kept: str) -> None:
        """Warn if there is no task to draw.

        Parameters
        ----------
        kept : str
            What is used without learning, a clause.
        """
        if not self.drawable:
            warn(f"There is nothing to learn from, so {kept}: {_NONE}.", TaskWarning)

    def restricted_to(self, positions: Iterable[int]) -> EpisodeSampler:
        """Copy the sampler, restricted to the tasks at some positions.

        Parameters
        ----------
        positions : iterable of int
            Positions of the tasks.

        Returns
        -------
        sampler : EpisodeSampler
            A copy.
        """
        part = copy.copy(self)
        part.drawable = [i for i in positions if i in self.drawable]
        return part

    def episode(self, epoch: int, index: int) -> Episode:
        """Draw episode ``index`` of an epoch.

        Parameters
        ----------
        epoch : int
            Number of the epoch.
        index : int
            Number of the episode in it.

        Returns
        -------
        episode : Episode
            The same for the same numbers.
        """
        self.require("Give tasks that have both.")
        turn = np.random.default_rng([self.seed, epoch]).permutation(self.drawable)
        position = int(turn[index % len(turn)])
        rng = np.random.default_rng([self.seed, epoch, index])
        task = self.tasks[position]
        most_n, most_k = self.most_shots(task)
        n = max(2, min(_draw_shots(rng, self.n_normal), most_n))
        k = min(_draw_shots(rng, self.n_anomalous), most_k)
        n_hidden = min(draw_hidden(rng, n, self.support_contamination), most_k - k)
        return draw_episode(task, position, n, k, self.n_query, rng, n_hidden)


def draw_episode(
    task: Task,
    position: int,
    n: int,
    k: int,
    n_query: int,
    rng: np.random.Generator,
    n_hidden: int = 0,
) -> Episode:
    """Draw an episode with ``n`` normal and ``k`` anomalous shots; the query is other rows.

    ``n_hidden`` of the normal shots are anomalies.
    """
    normal = rng.permutation(np.flatnonzero(task.y != ANOMALOUS))
    anomalous = rng.permutation(np.flatnonzero(task.y == ANOMALOUS))
    labelled, hidden, left = np.split(anomalous, [k, k + n_hidden])
    query_anomalous = left[: n_query // 2]
    query_normal = normal[n:][: n_query - len(query_anomalous)]
    support = np.concatenate([normal[: n - n_hidden], hidden, labelled])
    support_y = np.repeat(np.array([NORMAL, ANOMALOUS], dtype=np.int8), [n, k])
    query = np.concatenate([query_normal, query_anomalous])
    query_y = np.where(task.y[query] == ANOMALOUS, ANOMALOUS, NORMAL).astype(np.int8)
    return Episode(position, task.X[support], support_y, task.X[query], query_y)


def draw_hidden(rng: np.random.Generator, n: int, highest_share: float) -> int:
    """Draw how many of ``n`` normal shots are anomalies, by a uniform share; at most n - 1."""
    if not highest_share:
        return 0
    return min(int(rng.binomial(n, rng.uniform(0.0, highest_share))), n - 1)


def _draw_shots(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    low, high = bounds
    if low == 0 and (high == 0 or rng.random() < 0.25):
        return 0
    shots = int(np.exp(rng.uniform(np.log(max(low, 1)), np.log(high + 1))))
    return min(max(shots, low), high)


def scaled_episode(episode: Episode, scaler: Any, prior: ScalePrior | None) -> Episode:
    """Scale an episode by its own support.

    Parameters
    ----------
    episode : Episode
        Support and query in the units of the task.
    scaler : str or transformer
        As in :class:`ScaledSupport`.
    prior : ScalePrior or None
        As in :class:`ScaledSupport`.

    Returns
    -------
    episode : Episode
        The same rows, scaled.
    """
    scaled = ScaledSupport(episode.support_X, episode.support_y, scaler, prior)
    query = scaled.transform(episode.query_X)
    return Episode(episode.task, scaled.support, episode.support_y, query, episode.query_y)
