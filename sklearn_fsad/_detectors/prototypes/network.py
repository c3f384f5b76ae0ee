"""Learn the embedding of a prototypical network, whose prototypes are the class means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from skorch.callbacks import EarlyStopping
from torch import Tensor, nn

from ..._input.labels import ANOMALOUS
from ..._state import MetaState
from ..._stats.ranking import column_aucs
from ..._stats.scaling import ScaledSupport, ScalePrior, check_width, choose_without_tasks
from ..._training.batches import EpisodeDataset
from ..._training.layers import aligned, masked_mean, mlp
from ..._training.loop import train_episodic
from ..._training.losses import PairwiseLoss
from ..._training.optimizers import AdamW
from ..._training.progress import expect_more
from ..._training.seeding import torch_seed
from ..._training.settings import TrainingSettings
from ..._training.weights import from_arrays, to_arrays
from ..._typing import Array, Codes
from ...tasks._episodes import Episode, EpisodeSampler, scaled_episode
from ...tasks._task_set import TaskSet
from .method import Method

_PATIENCE = 20
_LAYER = "embed."


class PrototypicalNetwork(nn.Module):
    """Score rows by the squared distance to the normal minus that to the anomalous prototype [1]_.

    Parameters
    ----------
    embed : torch.nn.Module
        Embedding, ``(..., n, d) -> (..., n, embedding_dim)``.

    References
    ----------
    .. [1] J. Snell, K. Swersky and R. Zemel, "Prototypical networks for few-shot learning",
       NeurIPS 2017.
    """

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.embed = embed

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> PrototypicalNetwork:
        """Make the network of a state; without weights its embedding is the identity."""
        weights = from_arrays(arrays, _LAYER)
        if not weights:
            return cls(nn.Identity())
        shapes = [weight.shape for name, weight in weights.items() if name.endswith("weight")]
        with torch.device("meta"):  # initial weights would draw from the global generator
            embed = mlp(shapes[0][1], [shape[0] for shape in shapes[:-1]], shapes[-1][0])
        embed.load_state_dict(weights, assign=True)
        return cls(embed)

    def to_arrays(self) -> dict[str, Array]:
        """Return named arrays for a :class:`MetaState`."""
        return to_arrays(self.embed.state_dict(), _LAYER)

    def adapt(self, X: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Compute the prototypes of a support: (..., n, d), (..., n)."""
        Z = self.embed(X)
        return {
            "normal": masked_mean(Z, y == 0),  # (..., embedding_dim)
            "anomalous": masked_mean(Z, y == 1),
            "has_anomalies": (y == 1).any(-1),  # (...)
        }

    def score(self, state: dict[str, Tensor], X: Tensor) -> Tensor:
        """Compute the logit that rows are anomalous: (..., m, d) -> (..., m)."""
        Z = self.embed(X)
        to_normal = _squared_distance(Z, state["normal"].unsqueeze(-2))
        to_anomalous = _squared_distance(Z, state["anomalous"].unsqueeze(-2))
        return to_normal - to_anomalous * state["has_anomalies"].unsqueeze(-1)

    def forward(self, support_X: Tensor, support_y: Tensor, query_X: Tensor) -> Tensor:
        """Score query rows by a support: (..., m, d) -> (..., m)."""
        return self.score(self.adapt(support_X, support_y), query_X)


@dataclass(frozen=True)
class NetworkMethod(Method):
    """Learn and apply prototypes in an embedding that is learned across tasks."""

    def meta_train(self, tasks: TaskSet, sampler: EpisodeSampler, seed: int) -> MetaState:
        """Train the embedding on episodes."""
        d = self.detector
        tasks.one_feature_space()
        prior = ScalePrior.from_normals(task.normals for task in tasks)
        sampler.require('The network needs some: add such tasks, or use embedding="pooled".')
        hidden = (128, 128) if d.hidden is None else tuple(d.hidden)
        width = 32 if d.embedding_dim is None else d.embedding_dim
        scaler = best_scaler(sampler, prior) if d._scaler_follows else d.scaler
        settings = d._net_settings(lr=3e-3, seed=seed, max_epochs=200)
        expect_more((d.episodes_per_epoch or 256) * settings.max_epochs)
        network, history = train_network(
            tasks,
            sampler,
            scaler,
            prior,
            hidden=hidden,
            embedding_dim=width,
            n_episodes=d.episodes_per_epoch or 256,
            settings=replace(settings, adversarial_eps=d.adversarial_eps),
        )
        architecture = {
            "embedding_dim": width,
            "hidden": list(hidden),
            "evidence": None,
            "scaler": d._architecture_value("scaler") or scaler,
        }
        info = {"history": history}
        return self._learned(tasks, prior, architecture, network.to_arrays(), info)

    def untrained_state(self, X: Array, y: Codes) -> MetaState:
        """Make the state of prototypes of scaled rows, without an embedding."""
        scaler = choose_without_tasks(X[y != ANOMALOUS])
        return self._without_tasks(X.shape[1], {"hidden": None, "scaler": scaler}, {})

    def module(self, state: MetaState) -> PrototypicalNetwork:
        """Make the network of a state."""
        return PrototypicalNetwork.from_arrays(state.arrays)

    def represent(self, X: Array, y: Codes, state: MetaState) -> ScaledSupport:
        """Scale rows relative to a support."""
        scaled = self._scaled(X, y, state)
        if f"{_LAYER}0.weight" in state.arrays:
            check_width(scaled.support, state.arrays[f"{_LAYER}0.weight"].shape[1])
        return scaled

    def embed(self, module: PrototypicalNetwork, representation: ScaledSupport, X: Array) -> Array:
        """Embed rows by the network: (m, d) -> (m, embedding_dim)."""
        with torch.no_grad():
            return module.embed(aligned(representation.transform(X))).numpy()


def _squared_distance(Z: Tensor, prototype: Tensor) -> Tensor:
    """Compute squared distances, 0 within rounding: (..., m, e), (..., 1, e) -> (..., m)."""
    distance = (Z - prototype).square().sum(-1)
    noise = (16 * torch.finfo(Z.dtype).eps) ** 2 * Z.square().sum(-1)
    return torch.where(distance < noise, torch.zeros_like(distance), distance)


def train_network(
    tasks: TaskSet,
    sampler: EpisodeSampler,
    scaler: Any,
    prior: ScalePrior,
    *,
    hidden: Sequence[int],
    embedding_dim: int,
    n_episodes: int,
    settings: TrainingSettings,
) -> tuple[PrototypicalNetwork, list[dict[str, float]]]:
    """Train on episodes; with five or more groups of tasks, stop early by a held-out fifth."""

    def episodes(positions: Sequence[int] | None, epoch: int | None) -> EpisodeDataset:
        source = sampler if positions is None else sampler.restricted_to(positions)

        def draw(now: int, index: int) -> Episode:
            return scaled_episode(
                source.episode(now if epoch is None else epoch, index), scaler, prior
            )

        return EpisodeDataset(draw, n_episodes, [task.X for task in tasks])

    folds = tasks.folds(5, settings.seed)
    held_out = [i for i in folds[0] if i in sampler.drawable]
    rest = [i for fold in folds[1:] for i in fold if i in sampler.drawable]
    valid = None
    train = episodes(None, None)
    if len(folds) == 5 and held_out and rest:
        train, valid = episodes(rest, None), episodes(held_out, 0)
        stop = EarlyStopping(patience=_PATIENCE, load_best=True, sink=_silent)
        settings = settings.with_callbacks(after=[("stop", stop)])
    n_in = scaled_episode(sampler.episode(0, 0), scaler, prior).support_X.shape[1]
    with torch_seed(settings.seed):
        network = PrototypicalNetwork(mlp(n_in, hidden, embedding_dim))
    settings = settings.with_defaults(criterion=PairwiseLoss, optimizer=AdamW)
    return train_episodic(network, train, valid, settings)


def best_scaler(sampler: EpisodeSampler, prior: ScalePrior, n_episodes: int = 48) -> str:
    """Choose the scaler with which untrained prototypes rank best on the training tasks."""
    network = PrototypicalNetwork(nn.Identity())
    quality = dict.fromkeys(("none", "task", "shrunk"), 0.0)
    for i in range(n_episodes):
        episode = sampler.episode(0, i)
        for scaler in quality:
            e = scaled_episode(episode, scaler, prior)
            parts = (e.support_X, e.support_y, e.query_X)
            scores = network(*(torch.from_numpy(part) for part in parts)).numpy()
            quality[scaler] += column_aucs(scores[:, None], e.query_y == 1)[0]
    return max(quality, key=quality.__getitem__)


def _silent(message: str) -> None:
    """Discard a message of early stopping."""
