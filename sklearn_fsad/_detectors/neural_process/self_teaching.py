"""Learn states of a neural process from one support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..._input.labels import ANOMALOUS
from ..._state import MetaState
from ..._training.progress import expect_only
from ..._training.settings import TrainingSettings
from ..._typing import Array, Positions
from ..base.adaptation import Adaptation
from ..base.detector import BaseFewShotDetector
from .learning import EPISODES, RATE, with_network
from .states import describe, draft, new_module
from .training import MOST_CONTEXT, MOST_QUERIES, NormalEpisodes, train_together

_EPOCHS = {50: 4, 400: 8, np.inf: 16}  # below so many rows
_FOLDS = 3  # of a support: the rows of each are scored by a network that has not seen them


def self_taught_states(
    detector: BaseFewShotDetector, parts: Sequence[Array], seed: int, n_rows: int
) -> list[MetaState]:
    """Learn states from parts of a support, each from its rows alone, in one training.

    Some rows of a part are the context of others.

    Parameters
    ----------
    detector : NeuralProcessDetector
        The detector whose parameters are used.
    parts : sequence of ndarray of shape (n_p, d)
        Normal rows of each part.
    seed : int
        Seed of draws and initial weights.
    n_rows : int
        Number of rows that sets the number of epochs.

    Returns
    -------
    states : list of MetaState
        One for each part, with the history of the first; with 0 epochs the first alone.
    """
    settings = replace(_settings(detector, seed, n_rows), accelerator=None)
    n_episodes = detector.episodes_per_epoch or EPISODES
    expect_only(settings.max_epochs * n_episodes)
    names = getattr(detector, "feature_names_in_", None)
    if not settings.max_epochs:
        parts = parts[:1]
    drafts = [draft(detector, [rows], seed, names, n_tasks=0) for rows in parts]
    if not settings.max_epochs and drafts[0].architecture["anchor"] != "none":
        return drafts
    modules = [new_module(detector, of_part, [], True) for of_part in drafts]
    history: list[dict[str, float]] = []
    if settings.max_epochs:
        episodes = [_episodes_of(detector, *part) for part in zip(drafts, parts, strict=True)]
        history = train_together(modules, episodes, n_episodes, settings)
    return [with_network(*part, history) for part in zip(drafts, modules, strict=True)]


def states_of_parts(
    detector: BaseFewShotDetector, parts: Sequence[Array], seed: int
) -> list[MetaState]:
    """Learn a state from each part as from a support of its own.

    Parts that take equally many epochs learn in one training.
    """
    states: dict[int, MetaState] = {}
    epochs = [_settings(detector, seed, len(rows)).max_epochs for rows in parts]
    for n in set(epochs):
        own = [i for i, other in enumerate(epochs) if other == n]
        learned = self_taught_states(detector, [parts[i] for i in own], seed, len(parts[own[0]]))
        states |= dict(zip(own, learned, strict=True))
    return [states[i] for i in range(len(parts))]


def is_taught(detector: BaseFewShotDetector) -> bool:
    """Return whether a network is trained on the rows of a support."""
    return detector.pretrained is None and _settings(detector, 0, 2).max_epochs > 0


def _settings(detector: BaseFewShotDetector, seed: int, n_rows: int) -> TrainingSettings:
    usual = next(e for most, e in _EPOCHS.items() if n_rows < most)
    return detector._net_settings(lr=RATE, seed=seed, max_epochs=usual)


def folds_of(n: int, seed: int) -> Positions:
    """Assign rows to the folds that leave them out: (n,)."""
    fold = np.arange(n) % _FOLDS
    np.random.default_rng([seed, n]).shuffle(fold)
    return fold


def without_folds(normals: Array, seed: int) -> list[Array]:
    """List the rows outside of each fold; none where there are fewer rows than folds."""
    if len(normals) < _FOLDS:
        return []
    fold = folds_of(len(normals), seed)
    return [normals[fold != k] for k in range(_FOLDS)]


def _episodes_of(detector: BaseFewShotDetector, draft: MetaState, normals: Array) -> NormalEpisodes:
    """Draw episodes from the rows of one support, whose contexts share their units."""
    described = describe(detector, normals, np.zeros(len(normals), dtype=np.int8), draft)
    n_context = min(max(len(normals) * 4 // 5, 1), MOST_CONTEXT)
    return NormalEpisodes(
        [described.support],
        None,
        n_normal=(n_context, n_context),
        n_query=MOST_QUERIES,
        targets=draft.info["targets"],
        seed=draft.info["seed"],
    )


def scores_without_folds(
    detector: BaseFewShotDetector, adaptation: Adaptation, without: Sequence[MetaState]
) -> Array:
    """Score each normal row of a support from the others, by a network that has not seen it.

    Parameters
    ----------
    detector : NeuralProcessDetector
        The detector whose parameters are used.
    adaptation : Adaptation
        To the support.
    without : sequence of MetaState
        Learned without the rows of each fold; those that are not given are learned here.

    Returns
    -------
    scores : ndarray of shape (n_support,)
        Of all rows; labelled anomalies, which train no network, are scored by the whole support.
    """
    support, seed = adaptation.support, adaptation.state.info["seed"]
    scores, normals = adaptation.score_fresh(support.X), support.normals
    parts = without_folds(normals, seed)
    if parts and not without:
        without = self_taught_states(detector, parts, seed, len(normals))
    fold = np.full(len(scores), -1)
    fold[support.y != ANOMALOUS] = folds_of(len(normals), seed)
    for k, learned in enumerate(without):
        out = fold == k
        others = adaptation.to(support.without(out), learned)
        scores[out] = others.score_fresh(support.X[out])
    return scores
