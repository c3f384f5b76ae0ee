"""Train a module by a skorch net whose samples are episodes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import unpack_data
from torch import Tensor

from ..exceptions import MetaTrainingDivergedError
from .adversary import attacked
from .interruption import cut_short
from .progress import advance, expect_at_least


class EpisodicNet(NeuralNet):
    """Train a module with ``forward(support_X, support_y, query_X)`` by skorch.

    The net sets the epoch of the data set, refuses a loss that is not finite, and re-raises Ctrl-C,
    which skorch alone would swallow, unless it may be cut short: then it ends with the weights
    after its last whole epoch. It can perturb query rows by projected gradient before each step.
    """

    may_be_cut_short = False
    adversarial_eps = 0.0

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Set the epoch of the data set: episode i of epoch e depends on (seed, e, i) alone."""
        super().on_epoch_begin(net, dataset_train=dataset_train, **kwargs)
        dataset_train.epoch = len(self.history) - 1

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Copy the weights, for a training that may be cut short."""
        super().on_epoch_end(net, **kwargs)
        if self.may_be_cut_short:
            self.whole_epochs_ = len(self.history), copy.deepcopy(self.module_.state_dict())

    def train_step(self, batch: Any, **fit_params: Any) -> Any:
        """Take one step on the batch, its query rows perturbed if ``adversarial_eps`` is set."""
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
        """Compute the loss of a batch, plus the penalty of the module in training if it has one."""
        loss = super().get_loss(y_pred, y_true, X=X, training=training)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise ValueError(
                f"criterion={self.criterion!r} in net_params returned {loss!r}: it has to return a "
                "loss that is a tensor of one number."
            )
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
        """Run the remaining epochs; Ctrl-C and early stopping may end them."""
        if epochs is None:
            epochs = self.max_epochs - len(self.history)  # some, where a checkpoint was read
        try:
            return super().fit_loop(X, y, epochs=epochs, **fit_params)
        except KeyboardInterrupt as interrupt:
            if any(_has_stopped(callback) for _, callback in self.callbacks_):
                raise
            n_whole, weights = getattr(self, "whole_epochs_", (0, {}))
            if not cut_short(n_whole, self.max_epochs):
                raise Interrupted from interrupt
            self.module_.load_state_dict(weights)
            del self.history[n_whole:]
            return self


class Interrupted(BaseException):
    """Carry Ctrl-C through skorch, which swallows KeyboardInterrupt."""


def _has_stopped(callback: Any) -> bool:
    return isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience


class EpochProgress(Callback):
    """Tell the progress of a training: each epoch counts the episodes that it has trained on."""

    def on_train_begin(self, net: Any, X: Any = None, **kwargs: Any) -> None:
        """Begin to count, with nothing that a checkpoint keeps."""
        self._n_counted = 0
        expect_at_least(net.max_epochs * len(X))

    def on_epoch_end(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Count an epoch, and those that a checkpoint has brought; show the latest losses."""
        last = net.history[-1]
        losses = [f"{k} {last[k]:.4f}" for k in ("train_loss", "valid_loss") if k in last]
        epoch = f"epoch {len(net.history)}/{net.max_epochs}"
        n_epochs, self._n_counted = len(net.history) - self._n_counted, len(net.history)
        advance(n_epochs * len(dataset_train), ", ".join([epoch, *losses]))
