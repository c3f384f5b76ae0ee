"""Share a training among several processes, through accelerate."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import joblib
import torch
from skorch.hf import AccelerateMixin
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from .._input.labels import PADDING
from ..tasks._episodes import Episode
from .batches import EpisodeDataset
from .net import EpisodicNet


def join(make_accelerator: Any, module: torch.nn.Module, data: EpisodeDataset, seed: int) -> Any:
    """Make the accelerator of this process, and check that all processes will train the same.

    Parameters
    ----------
    make_accelerator : callable
        ``accelerate.Accelerator``, or a ``functools.partial`` of it.
    module : torch.nn.Module
    data : EpisodeDataset
    seed : int
        Has to be the same in all processes, as have the weights and the data.
    """
    if not callable(make_accelerator):
        raise TypeError(
            "net_params['accelerator'] must be the class accelerate.Accelerator, or a "
            f"functools.partial of it, not an instance: got {type(make_accelerator).__name__}."
        )
    n_threads = torch.get_num_threads()
    accelerator = make_accelerator()
    torch.set_num_threads(n_threads)  # which it may have changed
    launched = int(os.environ.get("WORLD_SIZE", 1))
    if launched > accelerator.num_processes:
        raise ValueError(
            f"{launched} processes were launched, but accelerate trains in "
            f"{accelerator.num_processes}. Without GPUs use `accelerate launch --cpu`, or set the "
            "environment variable ACCELERATE_USE_CPU=true."
        )
    weights = [value.cpu().numpy() for value in module.state_dict().values()]
    digest = int(joblib.hash([weights, seed, len(data), data[0]])[:15], 16)
    if (accelerator.gather(torch.tensor([digest], device=accelerator.device)) != digest).any():
        raise ValueError(
            "The processes that share this meta-training would not train the same. Give each the "
            "same tasks and parameters, and an integer random_state."
        )
    return accelerator


def ways_of(accelerator: Any) -> dict[str, Any]:
    """Return the settings of a :class:`SharedEpisodicNet`."""
    return {"accelerator": accelerator, "callbacks__print_log__sink": _silent}


def _silent(message: str) -> None:
    """Discard a log message: the mixin always needs a function that prints the log."""


class Share(EpisodeDataset):
    """Draw the share of one process in every batch; all shares have one size.

    Parameters
    ----------
    whole : EpisodeDataset
    accelerator : Accelerator
    """

    def __init__(self, whole: EpisodeDataset, accelerator: Any) -> None:
        super().__init__(whole.draw, whole.n_episodes, whole.drawn_from)
        self.position, self.n_processes = accelerator.process_index, accelerator.num_processes

    def __getitems__(self, indices: Sequence[int]) -> list[Episode]:
        """Draw this share of a batch, filled up with episodes whose queries are padding."""
        size = -(-len(indices) // self.n_processes)
        mine = [self[i] for i in indices[self.position * size :][:size]]
        if len(mine) == size:
            return mine
        some = self[indices[0]]
        idle = dataclasses.replace(some, query_y=some.query_y * 0 + PADDING)
        return mine + [idle] * (size - len(mine))


class SharedEpisodicNet(AccelerateMixin, EpisodicNet):
    """Train a module together with other processes.

    Each process scores its :class:`Share` of a batch. The loss is that of the whole batch, from the
    scores of all: so it is the same in every process, and the same as that of one process alone,
    whatever it averages over.
    """

    module_: Any
    criterion_: Any
    optimizer_: Any
    _wrapped_with_accelerator: Any

    def _initialize_accelerator(self) -> Any:
        """Prepare module and optimiser, without a wrapper that hides the module's attributes."""
        if not self._wrapped_with_accelerator:
            self.module_ = self.accelerator.prepare_model(self.module_, evaluation_mode=True)
            self.criterion_ = self.accelerator.prepare_model(self.criterion_, evaluation_mode=True)
            self.optimizer_ = self.accelerator.prepare_optimizer(self.optimizer_)
            self._wrapped_with_accelerator = True
        return self

    def get_iterator(self, *args: Any, **kwargs: Any) -> Any:
        """Return batches as they are: :class:`Share` divides them among processes."""
        return super(AccelerateMixin, self).get_iterator(*args, **kwargs)

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Synchronise the generators, so that all processes draw one order of the episodes."""
        from accelerate.utils import synchronize_rng_states

        super().on_epoch_begin(net, dataset_train=dataset_train, **kwargs)
        synchronize_rng_states(["torch"])

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Weigh the batch by all its episodes in the history."""
        super().on_batch_end(net, batch=batch, training=training, **kwargs)
        name = "train_batch_size" if training else "valid_batch_size"
        self.history.record_batch(name, self.n_episodes_)

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Score this share on the device of this process."""
        from accelerate.utils import send_to_device

        return super().infer(send_to_device(x, self.accelerator.device), **fit_params)

    def get_loss(self, y_pred: Tensor, y_true: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Compute the loss of the whole batch."""
        labels = self._of_all(y_true.to(y_pred.device), PADDING)
        scores = self._of_all(y_pred.movedim(-2, 0), 0.0)  # (n_episodes, ..., n_query)
        counts = (labels != PADDING).any(-1)
        self.n_episodes_ = int(counts.sum())
        scores = scores[counts].movedim(0, -2)
        return super().get_loss(scores, labels[counts], *args, **kwargs)

    def _step_optimizer(self, step_fn: Any) -> None:
        """Hand the optimiser its closure, which L-BFGS needs: nothing scales gradients here."""
        super(AccelerateMixin, self)._step_optimizer(step_fn)

    def train_step_single(self, batch: Any, **fit_params: Any) -> Any:
        """Take the gradients of one step, averaged over processes."""
        step = super().train_step_single(batch, **fit_params)
        gradients = [p.grad for p in self.module_.parameters() if p.grad is not None]
        mean = self.accelerator.reduce(parameters_to_vector(gradients), "mean")
        vector_to_parameters(mean, gradients)
        return step

    def _of_all(self, own: Tensor, padding: float) -> Tensor:
        """Gather the rows of all processes, in order; only own rows have gradients: (n, ..., q)."""
        own = self.accelerator.pad_across_processes(own, dim=own.ndim - 1, pad_index=padding)
        rows = self.accelerator.gather(own.detach())
        before = self.accelerator.process_index * len(own)
        if own.requires_grad:  # the mean over processes is to be the gradient of the whole loss
            own = own + (self.accelerator.num_processes - 1) * (own - own.detach())
        return torch.cat([rows[:before], own, rows[before + len(own) :]])
