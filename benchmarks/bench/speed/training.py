"""Run epochs of meta-training by skorch and by a bare loop, and a prototypical meta-step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from bench.speed.steps import Tasks, make_module, make_tasks
from torch import Tensor

from sklearn_fsad._detectors.prototypes.network import PrototypicalNetwork
from sklearn_fsad._training.batches import EpisodeDataset, collate_episodes
from sklearn_fsad._training.layers import mlp
from sklearn_fsad._training.loop import train_episodic
from sklearn_fsad._training.losses import PairwiseLoss
from sklearn_fsad._training.settings import TrainingSettings
from sklearn_fsad.tasks._episodes import Episode

Batch = tuple[dict[str, Tensor], Tensor]
Epoch = Callable[[], float]

BATCH_SIZE, RATE = 16, 1e-3
COLLATED, PREPARED = "collated in the epoch", "collated before"
BARE, SKORCH = "bare loop", "skorch"


def make_epochs(n_steps: int) -> dict[tuple[str, str], Epoch]:
    """Make epochs of so many meta-steps by (batches, loop); each returns its mean loss."""
    episodes = make_episodes(n_steps * BATCH_SIZE)
    batches = [collate_episodes(part) for part in _parts(episodes)]
    module = make_module("maml")
    one = {"batch_size": 1, "iterator_train__collate_fn": _only}
    several = {"batch_size": BATCH_SIZE}
    return {
        (COLLATED, BARE): lambda: bare_epoch(module, map(collate_episodes, _parts(episodes))),
        (COLLATED, SKORCH): lambda: skorch_epoch(module, episodes, **several),
        (PREPARED, BARE): lambda: bare_epoch(module, iter(batches)),
        (PREPARED, SKORCH): lambda: skorch_epoch(module, batches, **one),
    }


def make_episodes(n: int) -> list[Episode]:
    """Draw episodes of 20 support and 64 query rows in 32 features, drawn in advance."""
    support_X, support_y, query_X, query_y = (part.numpy() for part in make_tasks(n))
    X, query_X = support_X.astype(float), query_X.astype(float)
    y, query_y = support_y.astype("int8"), query_y.astype("int8")
    return [Episode(i, X[i], y[i], query_X[i], query_y[i]) for i in range(n)]


def skorch_epoch(
    module: torch.nn.Module, samples: Sequence[Any], batch_size: int, **skorch: Any
) -> float:
    """Run one epoch through :func:`train_episodic`, which leaves the module as it is."""
    data = EpisodeDataset(lambda epoch, index: samples[index], len(samples))
    skorch |= {"criterion": PairwiseLoss, "optimizer": torch.optim.Adam}
    settings = TrainingSettings(lr=RATE, max_epochs=1, batch_size=batch_size, skorch=skorch)
    _, history = train_episodic(copy.deepcopy(module), data, None, settings)
    return history[0]["train_loss"]


def bare_epoch(module: torch.nn.Module, batches: Iterator[Batch]) -> float:
    """Run the same epoch by hand."""
    module, criterion, losses = copy.deepcopy(module), PairwiseLoss(), []
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE)
    for inputs, labels in batches:
        optimizer.zero_grad()
        loss = criterion(module(**inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


def prototypical_meta_step(tasks: Tasks) -> Callable[[], Sequence[Tensor]]:
    """Take the gradient of the pairwise loss of prototypes in an embedding of 32 dimensions."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PrototypicalNetwork(mlp(tasks.support_X.shape[-1], (64, 64), 32))
    criterion, weights = PairwiseLoss(), list(network.parameters())

    def run() -> Sequence[Tensor]:
        return torch.autograd.grad(criterion(network(*tasks[:3]), tasks.query_y), weights)

    return run


def _parts(episodes: Sequence[Episode]) -> list[Sequence[Episode]]:
    starts = range(0, len(episodes), BATCH_SIZE)
    return [episodes[start : start + BATCH_SIZE] for start in starts]


def _only(batches: Sequence[Batch]) -> Batch:
    """Take the one batch of a list."""
    return batches[0]
