"""Choose the features to hide, and the hidden ones to predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..._typing import Array

N_BLOCKS = 8
_MOST_SINGLES = 32


@dataclass(frozen=True)
class MaskPlan:
    """Hold the masks that hide features in turn to score rows.

    Attributes
    ----------
    hidden : ndarray of shape (n_masks, d)
        1 where a feature is hidden.
    weight : ndarray of shape (n_masks, d)
        Weight of the term of a hidden feature: the weights of a feature sum to one, or to zero
        where it is never predicted.
    """

    hidden: Array
    weight: Array


def scoring_plan(
    n_features: int, n_masks: int | str | None, targets: Sequence[int] | None, seed: int
) -> MaskPlan:
    """Plan to hide the targets; or each feature in turn (None), random halves or both ("auto")."""
    rng = np.random.default_rng([seed, n_features])
    if targets is not None:
        hidden = np.zeros((1, n_features))
        hidden[0, list(targets)] = 1.0
        return MaskPlan(hidden, hidden)
    singles, blocks = np.empty((0, n_features)), np.empty((0, n_features))
    if n_masks is None or (n_masks == "auto" and n_features <= _MOST_SINGLES):
        singles = np.eye(n_features)
    if n_masks is not None and n_features > 1:
        blocks = _halves(n_features, N_BLOCKS if n_masks == "auto" else int(n_masks), rng)
    elif not len(singles):
        singles = np.eye(n_features)
    parts = [part for part in (singles, blocks) if len(part)]
    weight = np.concatenate([part / part.sum(axis=0) for part in parts]) / len(parts)
    return MaskPlan(np.concatenate(parts), weight)


def chain_plan(n_features: int, n_orders: int, n_blocks: int, seed: int) -> list[MaskPlan]:
    """Plan the chain rule in random orders: each block of features given those before it."""
    rng = np.random.default_rng([seed, n_features, n_orders])
    plans = []
    for _ in range(n_orders):
        blocks = np.array_split(rng.permutation(n_features), min(n_blocks, n_features))
        hidden, asked = np.zeros((2, len(blocks), n_features))
        for i, block in enumerate(blocks):
            hidden[i, np.concatenate(blocks[i:])] = 1.0
            asked[i, block] = 1.0
        plans.append(MaskPlan(hidden, asked))
    return plans


def training_mask(
    n_features: int, targets: Sequence[int] | None, rng: np.random.Generator
) -> Array:
    """Draw the features to hide in one episode: one of them, up to half, or more; (d,)."""
    hidden = np.zeros(n_features)
    if targets is not None:
        hidden[list(targets)] = 1.0
        return hidden
    kind, half = rng.random(), max(n_features // 2, 1)
    if kind < 0.3:
        n_hidden = 1
    elif kind < 0.9:
        n_hidden = int(rng.integers(1, half + 1))
    else:
        n_hidden = int(rng.integers(half, n_features + 1))
    hidden[rng.permutation(n_features)[:n_hidden]] = 1.0
    return hidden


def _halves(n_features: int, n_masks: int, rng: np.random.Generator) -> Array:
    """Draw random halves and their complements: each feature is hidden by every pair."""
    masks = []
    for _ in range((n_masks + 1) // 2):
        half = np.zeros(n_features)
        half[rng.permutation(n_features)[: n_features // 2]] = 1.0
        masks += [half, 1.0 - half]
    return np.array(masks)
