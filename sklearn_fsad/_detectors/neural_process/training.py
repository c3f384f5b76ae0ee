"""Train a neural process on normal rows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..._training.batches import EpisodeDataset
from ..._training.loop import train_episodic
from ..._training.losses import MeanLoss
from ..._training.optimizers import AdamW
from ..._training.settings import TrainingSettings
from ..._training.stacked import StackedCollate
from ..._typing import Array
from ...tasks._episodes import Episode, draw_hidden
from .masks import training_mask
from .module import NeuralProcess
from .representation import MaskedRepresentation
from .stacked import (
    StackedMeanLoss,
    StackedNormClipping,
    StackedProcess,
    stacked,
    weights_of,
)

MOST_CONTEXT, MOST_QUERIES = 64, 32
_MOST_GRADIENT = 1.0  # norm
_OPTIMIZER: dict[str, Any] = {
    "optimizer": AdamW,
    "optimizer__weight_decay": 1e-3,
    "optimizer__fused": True,
}


class NormalEpisodes:
    """Draw episodes of normal rows: a context, query rows of its task and the features to hide.

    Parameters
    ----------
    normals : sequence of ndarray of shape (n_t, d)
        Normal rows of each task, at least two.
    describe : callable or None
        ``(X, y) -> MaskedRepresentation``, which describes a context and its query; None where the
        rows are described already.
    n_normal : tuple of (int, int)
        Lowest and highest number of rows in a context, drawn log-uniformly.
    n_query : int
        Largest number of query rows.
    targets : sequence of int or None
        Features that every query hides; None hides random ones.
    seed : int
        Seed of the episodes.
    anomalies : sequence of ndarray of shape (m_t, d), default=()
        Anomalies of each task that may be in its contexts, unlabelled.
    support_contamination : float, default=0.0
        Highest share of anomalies in a context; each episode draws its own.
    """

    def __init__(
        self,
        normals: Sequence[Array],
        describe: Callable[[Array, NDArray[np.int8]], MaskedRepresentation] | None,
        *,
        n_normal: tuple[int, int],
        n_query: int,
        targets: Sequence[int] | None,
        seed: int,
        anomalies: Sequence[Array] = (),
        support_contamination: float = 0.0,
    ) -> None:
        self.normals = list(normals)
        self.describe = describe
        self.n_normal = n_normal
        self.n_query = n_query
        self.targets = targets
        self.seed = seed
        self.anomalies = list(anomalies) or [rows[:0] for rows in self.normals]
        self.support_contamination = support_contamination

    def episode(self, epoch: int, index: int) -> Episode:
        """Draw episode ``index`` of an epoch, a pure function of (seed, epoch, index)."""
        n_tasks = len(self.normals)
        position = 0
        if n_tasks > 1:
            turn = np.random.default_rng([self.seed, epoch]).permutation(n_tasks)
            position = int(turn[index % n_tasks])
        rng = np.random.default_rng([self.seed, epoch, index])
        rows = self.normals[position]
        low, high = (min(n, max(1, len(rows) - 1)) for n in self.n_normal)
        n = int(np.exp(rng.uniform(np.log(low), np.log(high + 1))))
        order = rng.permutation(len(rows))
        context, query = rows[order[:n]], rows[order[n:][: self.n_query]]
        hidden = self.anomalies[position]
        n_hidden = min(draw_hidden(rng, n, self.support_contamination), len(hidden))
        if n_hidden:
            context = np.concatenate([context[n_hidden:], rng.permutation(hidden)[:n_hidden]])
        y, query_y = np.zeros(len(context), np.int8), np.zeros(len(query), np.int8)
        if self.describe is not None:
            described = self.describe(context, y)
            context, query = described.support, described.transform(query)
        mask = training_mask(context.shape[1] // 3, self.targets, rng)
        queries = np.empty((len(query), query.shape[1] + len(mask)))
        queries[:, : -len(mask)], queries[:, -len(mask) :] = query, mask
        return Episode(position, context, y, queries, query_y)


def train_process(
    module: NeuralProcess,
    episodes: NormalEpisodes,
    n_episodes: int,
    settings: TrainingSettings,
) -> tuple[NeuralProcess, list[dict[str, float]]]:
    """Train a module on episodes; return it, in float64, and the loss of each epoch."""
    settings = settings.with_defaults(criterion=MeanLoss, **_OPTIMIZER)
    data = EpisodeDataset(episodes.episode, n_episodes, episodes.normals)
    settings = settings.one_cycle(n_episodes, _MOST_GRADIENT)
    module, history = train_episodic(module, data, None, settings)
    return module.double().eval(), history


def train_together(
    modules: Sequence[NeuralProcess],
    episodes: Sequence[NormalEpisodes],
    n_episodes: int,
    settings: TrainingSettings,
) -> list[dict[str, float]]:
    """Train modules of one shape and equal initial weights in place, each on its own episodes.

    Returns
    -------
    history : list of dict
        Losses of each epoch, of the first module.
    """
    module = copy.deepcopy(modules[0])
    settings = settings.with_defaults(
        criterion=StackedMeanLoss,
        iterator_train__collate_fn=StackedCollate(torch.float32),
        **_OPTIMIZER,
    )

    def draw(epoch: int, index: int) -> list[Episode]:
        return [of_module.episode(epoch, index) for of_module in episodes]

    rows = [rows for of_module in episodes for rows in of_module.normals]
    module.network = stacked(module.network, len(modules))
    data = EpisodeDataset(draw, n_episodes, rows)
    clip = StackedNormClipping(_MOST_GRADIENT)
    settings = settings.one_cycle(n_episodes, clip)
    _, history = train_episodic(StackedProcess(module), data, None, settings)
    for i, one in enumerate(modules):
        one.network.load_state_dict(weights_of(module.network, i))
        one.double().eval()
    return history
