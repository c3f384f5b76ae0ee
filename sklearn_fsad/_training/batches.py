"""Draw episodes as a data set, and collate them to batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from .._input.labels import PADDING
from .._stats.scaling import check_width
from ..tasks._episodes import Episode


class EpisodeDataset(Dataset):
    """Draw the episodes of one epoch after another.

    Parameters
    ----------
    draw : callable
        ``(epoch, index) -> Episode``, or several episodes that are collated as one sample; a pure
        function.
    n_episodes : int
        Number of episodes in an epoch.
    drawn_from : sequence of ndarray, default=()
        Rows that the episodes are drawn from, where the first epoch does not show all of them; part
        of the fingerprint.
    """

    def __init__(
        self,
        draw: Callable[[int, int], Any],
        n_episodes: int,
        drawn_from: Sequence[NDArray[Any]] = (),
    ) -> None:
        self.draw = draw
        self.n_episodes = n_episodes
        self.drawn_from = drawn_from
        self.epoch = 0

    def __len__(self) -> int:
        return self.n_episodes

    def __getitem__(self, index: int) -> Any:
        return self.draw(self.epoch, index)

    def fingerprint(self) -> list[Any]:
        """Return what identifies a training on these episodes.

        Returns
        -------
        fingerprint : list
            The episodes of the first epoch, and the rows that all of them are drawn from.
        """
        return [[self.draw(0, i) for i in range(len(self))], list(self.drawn_from)]


def collate_episodes(
    episodes: Sequence[Episode], dtype: torch.dtype = torch.float32
) -> tuple[dict[str, Tensor], Tensor]:
    """Pad episodes to a batch: inputs of a module's ``forward`` and the labels of the queries."""
    support_X, support_y = _pad([(e.support_X, e.support_y) for e in episodes], dtype)
    query_X, query_y = _pad([(e.query_X, e.query_y) for e in episodes], dtype)
    return {"support_X": support_X, "support_y": support_y, "query_X": query_X}, query_y


def _pad(parts: Sequence[tuple[Any, Any]], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    n, d = max(len(X) for X, _ in parts), parts[0][0].shape[1]
    for X, _ in parts:
        check_width(X, d)
    rows = np.zeros((len(parts), n, d))
    labels = np.full((len(parts), n), PADDING, dtype=np.int64)
    for i, (X, y) in enumerate(parts):
        rows[i, : len(X)], labels[i, : len(y)] = X, y
    return torch.as_tensor(rows, dtype=dtype), torch.as_tensor(labels)


class Collate:
    """Collate episodes in one precision; picklable, unlike a closure."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, episodes: Sequence[Episode]) -> tuple[dict[str, Tensor], Tensor]:
        return collate_episodes(episodes, self.dtype)


class CollateOnce:
    """Collate the same episodes in every epoch, but once; picklable.

    Parameters
    ----------
    dtype : torch.dtype
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._batch: tuple[dict[str, Tensor], Tensor] | None = None

    def __call__(self, episodes: Sequence[Episode]) -> tuple[dict[str, Tensor], Tensor]:
        if self._batch is None:
            self._batch = collate_episodes(episodes, self.dtype)
        return self._batch
