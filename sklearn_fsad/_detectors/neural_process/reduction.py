"""Reduce the features of a neural process by a map that is learned across tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import expit
from sklearn.decomposition import PCA
from torch import Tensor, nn

from ..._training.batches import EpisodeDataset
from ..._training.layers import mlp
from ..._training.loop import train_episodic
from ..._training.losses import MeanLoss
from ..._training.optimizers import Adam
from ..._training.seeding import torch_seed
from ..._training.settings import TrainingSettings
from ..._typing import Array
from ...tasks._episodes import Episode

REDUCTIONS = ("pca", "autoencoder")
_HIDDEN = 64
_STEPS, _BATCH_ROWS, _BATCHES = 400, 32, 8
_TINY = 1e-12


class Reduction:
    """Map rows to codes and the log squared error of their reconstruction.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Weights and biases of the encoding and decoding layers, ``encode0.weight``, ...

    Attributes
    ----------
    n_codes : int
        Number of codes; the reduced rows have one feature more.
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = dict(arrays)
        self.n_codes = len(self._layers("encode")[-1][1])

    @classmethod
    def fit(cls, kind: str, normals: Sequence[Array], n_codes: int, seed: int) -> Reduction:
        """Learn a reduction from the scaled normals of each task: (n_t, d) each."""
        rows = np.nan_to_num(np.concatenate(list(normals)))
        n_codes = min(n_codes, *rows.shape)
        pca = PCA(n_codes, random_state=seed).fit(rows)
        linear = {
            "encode0.weight": pca.components_,
            "encode0.bias": -pca.components_ @ pca.mean_,
            "decode0.weight": pca.components_.T,
            "decode0.bias": pca.mean_,
        }
        if kind == "pca":
            return cls(linear)
        return cls(_train_autoencoder(rows, n_codes, seed))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Reduction | None:
        """Read the reduction in the arrays of a state, None without one."""
        mine = {k.removeprefix("reduce."): v for k, v in arrays.items() if k.startswith("reduce.")}
        return cls(mine) if mine else None

    def to_arrays(self) -> dict[str, Array]:
        """Return named arrays for a :class:`MetaState`."""
        return {f"reduce.{name}": value for name, value in self._arrays.items()}

    def transform(self, Z: Array) -> Array:
        """Reduce scaled rows, with missing entries at the mean of 0: (m, d) -> (m, q + 1)."""
        codes, rest = self._codes_and_rest(Z)
        return np.column_stack([codes, np.log((rest * rest).sum(axis=1) + _TINY)])

    def spread_terms(self, Z: Array, terms: Array) -> Array:
        """Divide the term of each code among features: (m, q + 1) -> (m, d).

        The share of a feature in a code is proportional to its absolute value times its absolute
        loading; in the reconstruction error, to its squared error.
        """
        _, rest = self._codes_and_rest(Z)
        first, _ = self._layers("encode")[0]
        last, _ = self._layers("encode")[-1]
        loading = np.abs(first) if last is first else np.abs(last) @ np.abs(first)  # (q, d)
        brought = loading[None] * np.abs(np.nan_to_num(Z))[:, None] + _TINY  # (m, q, d)
        share = np.concatenate([brought, (rest * rest + _TINY)[:, None]], axis=1)
        share /= share.sum(axis=2, keepdims=True)
        return np.einsum("mq,mqd->md", terms, share)

    def _codes_and_rest(self, Z: Array) -> tuple[Array, Array]:
        rows = np.nan_to_num(Z)
        codes = self._through("encode", rows)
        return codes, rows - self._through("decode", codes)

    def _through(self, name: str, rows: Array) -> Array:
        layers = self._layers(name)
        for i, (weight, bias) in enumerate(layers):
            rows = rows @ weight.T + bias
            if i < len(layers) - 1:
                rows = rows * expit(rows)  # SiLU
        return rows

    def _layers(self, name: str) -> list[tuple[Array, Array]]:
        found = sorted(k for k in self._arrays if k.startswith(name) and k.endswith(".weight"))
        return [(self._arrays[k], self._arrays[k.replace("weight", "bias")]) for k in found]


class _Autoencoder(nn.Module):
    """Compute the squared error of rows after a bottleneck."""

    def __init__(self, n_features: int, n_codes: int) -> None:
        super().__init__()
        self.encode = mlp(n_features, [_HIDDEN], n_codes)
        self.decode = mlp(n_codes, [_HIDDEN], n_features)

    def forward(self, support_X: Tensor, support_y: Tensor, query_X: Tensor) -> Tensor:
        """Compute the error of query rows: (..., q, d) -> (..., q)."""
        return (self.decode(self.encode(query_X)) - query_X).square().mean(-1)


def _train_autoencoder(rows: Array, n_codes: int, seed: int) -> dict[str, Array]:
    def draw(epoch: int, index: int) -> Episode:
        rng = np.random.default_rng([seed, epoch, index])
        batch = rows[rng.integers(len(rows), size=_BATCH_ROWS)]
        zeros = np.zeros(_BATCH_ROWS, dtype=np.int8)
        return Episode(0, batch[:1], zeros[:1], batch, zeros)

    with torch_seed(seed):
        module = _Autoencoder(rows.shape[1], n_codes)
    settings = TrainingSettings(lr=3e-3, max_epochs=1, batch_size=_BATCHES, seed=seed)
    settings = settings.with_defaults(criterion=MeanLoss, optimizer=Adam)
    data = EpisodeDataset(draw, _STEPS * _BATCHES)
    module, _ = train_episodic(module, data, None, settings)
    return {
        f"{name}{i // 2}.{part}": value.double().numpy()
        for name in ("encode", "decode")
        for i, layer in enumerate(getattr(module, name))
        if isinstance(layer, nn.Linear)
        for part, value in layer.state_dict().items()
    }
