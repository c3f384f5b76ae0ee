"""The training loop: a skorch net whose samples are episodes."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import unpack_data
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from ._adversary import attacked
from ._episodes import Episode
from ._interruption import cut_short
from .callbacks import checkpoints_in, without_checkpoints
from .exceptions import MetaTrainingDivergedError

PADDING = -1

M = TypeVar("M", bound=torch.nn.Module)

_GENERATOR = threading.RLock()  # torch has one generator for all threads


@contextmanager
def torch_seed(seed: int) -> Iterator[None]:
    """Seed torch within the block; afterwards its generator is as it was."""
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class EpisodeDataset(Dataset):
    """Episodes of one epoch after another.

    Parameters
    ----------
    draw : callable
        ``(epoch, index) -> Episode``, a pure function.
    n_episodes : int
        Episodes an epoch.
    drawn_from : sequence of ndarray, default=()
        The rows of the episodes, where the first epoch does not show all of them: they tell one
        training from another.
    """

    def __init__(
        self,
        draw: Callable[[int, int], Episode],
        n_episodes: int,
        drawn_from: Sequence[NDArray[Any]] = (),
    ) -> None:
        self.draw = draw
        self.n_episodes = n_episodes
        self.drawn_from = drawn_from
        self.epoch = 0

    def __len__(self) -> int:
        return self.n_episodes

    def __getitem__(self, index: int) -> Episode:
        return self.draw(self.epoch, index)

    def facts(self) -> list[Any]:
        """What training on these episodes depends on."""
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
    rows = np.zeros((len(parts), n, d))
    labels = np.full((len(parts), n), PADDING, dtype=np.int64)
    for i, (X, y) in enumerate(parts):
        rows[i, : len(X)], labels[i, : len(y)] = X, y
    return torch.as_tensor(rows, dtype=dtype), torch.as_tensor(labels)


class EpisodicNet(NeuralNet):
    """skorch net that trains a module with ``forward(support_X, support_y, query_X)``.

    It tells the data set which epoch it is in, refuses a loss that is not finite, and lets Ctrl-C
    through, which skorch alone would swallow, unless it may be cut short: then it ends with the
    weights after its last whole epoch. It can move its queries against the module before each step.
    """

    may_be_cut_short = False
    adversarial_eps = 0.0

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Let episode i of epoch e be a pure function of (seed, e, i)."""
        super().on_epoch_begin(net, dataset_train=dataset_train, **kwargs)
        dataset_train.epoch = len(self.history) - 1

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Remember the weights."""
        super().on_epoch_end(net, **kwargs)
        if self.may_be_cut_short:
            self.whole_epochs_ = len(self.history), copy.deepcopy(self.module_.state_dict())

    def train_step(self, batch: Any, **fit_params: Any) -> Any:
        """One step, on the batch or on what an adversary makes of it."""
        if self.adversarial_eps:
            inputs, y = unpack_data(batch)
            self._set_training(True)

            def loss(query: Tensor) -> Any:
                scores = self.infer({**inputs, "query_X": query}, **fit_params)
                return NeuralNet.get_loss(self, scores, y)  # of one's own share of the batch

            batch = (
                {**inputs, "query_X": attacked(loss, inputs["query_X"], self.adversarial_eps)},
                y,
            )
        return super().train_step(batch, **fit_params)

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Any:
        """Loss of a batch plus what the module asks to keep small."""
        loss = super().get_loss(y_pred, y_true, X=X, training=training)
        penalty = getattr(self.module_, "penalty", None)
        if training and penalty is not None:
            loss = loss + penalty()
        if not torch.isfinite(loss):
            raise MetaTrainingDivergedError(
                f"The meta-training loss became {loss.item()} in epoch {len(self.history)}. Lower "
                f"lr (it is {self.lr}) or scale the features; the estimator is as it was before."
            )
        return loss

    def fit_loop(self, X: Any, y: Any = None, epochs: int | None = None, **fit_params: Any) -> Any:
        """Run the epochs still to come; Ctrl-C and early stopping may end them."""
        if epochs is None:
            epochs = self.max_epochs - len(self.history)  # some, where a checkpoint was read
        try:
            return super().fit_loop(X, y, epochs=epochs, **fit_params)
        except KeyboardInterrupt as interrupt:
            if any(_has_stopped(callback) for _, callback in self.callbacks_):
                raise
            n_whole, weights = getattr(self, "whole_epochs_", (0, {}))
            if not cut_short(n_whole, self.max_epochs):
                raise _Interrupted from interrupt
            self.module_.load_state_dict(weights)
            del self.history[n_whole:]
            return self


class _Interrupted(BaseException):
    """Ctrl-C on its way through skorch, which swallows KeyboardInterrupt."""


def _has_stopped(callback: Any) -> bool:
    return isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience


class EpochProgress(Callback):
    """A progress bar over epochs with the latest losses."""

    def __init__(self, description: str = "meta-training") -> None:
        self.description = description

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Open the bar."""
        self.bar_ = tqdm(total=net.max_epochs, desc=self.description, unit="epoch")

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Advance it."""
        last = net.history[-1]
        losses = {k: f"{last[k]:.4f}" for k in ("train_loss", "valid_loss") if k in last}
        self.bar_.set_postfix(losses, refresh=False)
        self.bar_.update(len(net.history) - self.bar_.n)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Close it."""
        self.bar_.close()
        del self.bar_


def train_episodic(
    module: M,
    train: EpisodeDataset,
    valid: EpisodeDataset | None,
    *,
    seed: int,
    dtype: torch.dtype = torch.float32,
    verbose: int = 0,
    parameters: Mapping[str, Any] | None = None,
    may_be_cut_short: bool = False,
    adversarial_eps: float = 0.0,
    **net_params: Any,
) -> tuple[M, list[dict[str, float]]]:
    """Train a module on episodes and return it with its history; global randomness is left alone.

    Parameters
    ----------
    module : torch.nn.Module
        Trained in place; its initial weights are the caller's choice.
    train, valid : EpisodeDataset
        Episodes to learn from and, if any, to validate on.
    seed : int
        Seed of torch within the training.
    dtype : torch.dtype, default=torch.float32
        Precision of the rows.
    verbose : int, default=0
        1 shows a progress bar.
    parameters : mapping, default=None
        Those of the detector that trains: they tell its checkpoints from those of others.
    may_be_cut_short : bool, default=False
        Whether Ctrl-C during a ``meta_fit`` ends this training alone, after its last whole epoch.
    adversarial_eps : float, default=0.0
        How far each step may move the values of the queries against the module.
    **net_params
        Handed to :class:`EpisodicNet`; with ``accelerator`` the training is shared by processes.
    """
    kind, ways = EpisodicNet, {"callbacks__print_log": None}
    make_accelerator = net_params.pop("accelerator", None)
    if make_accelerator is not None:
        from ._shared_training import Share, SharedEpisodicNet, join, ways_of

        accelerator = join(make_accelerator, module, train, seed)
        train, valid = Share(train, accelerator), valid and Share(valid, accelerator)
        kind, ways = SharedEpisodicNet, ways_of(accelerator)
        net_params["device"] = None  # the accelerator's
        verbose = verbose if accelerator.is_main_process else 0
    given = net_params.pop("callbacks", None)
    callbacks = without_checkpoints(given)
    if verbose:
        callbacks.append(("progress", EpochProgress()))
    for checkpoint in checkpoints_in(given):
        weights = {name: value.cpu().numpy() for name, value in module.state_dict().items()}
        episodes = [data.facts() for data in (train, valid) if data is not None]
        facts = (weights, seed, str(dtype), parameters, net_params, episodes)
        callbacks.append(("checkpoint", checkpoint.keeper(*facts)))  # the last: it sees all others
    collate = _Collate(dtype)
    settings: dict[str, Any] = {
        "train_split": _fixed_split(valid),
        "iterator_train__collate_fn": collate,
        "iterator_valid__collate_fn": collate,
        "verbose": 0,
        **ways,
        **net_params,
    }
    with torch_seed(seed):
        net = kind(module, callbacks=callbacks, **settings)
        net.adversarial_eps = adversarial_eps
        net.may_be_cut_short = may_be_cut_short and make_accelerator is None
        try:
            net.partial_fit(train, y=None)
        except _Interrupted:
            raise KeyboardInterrupt from None
    history = [
        {k: float(v) for k, v in epoch.items() if k in ("train_loss", "valid_loss")}
        for epoch in net.history
    ]
    return net.module_.cpu(), history


class _Collate:
    """Picklable collate function of one precision."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, episodes: Sequence[Episode]) -> tuple[dict[str, Tensor], Tensor]:
        return collate_episodes(episodes, self.dtype)


def _fixed_split(valid: EpisodeDataset | None) -> Any:
    if valid is None:
        return None
    from skorch.helper import predefined_split

    return predefined_split(valid)
