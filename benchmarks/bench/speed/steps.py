"""Take a meta-step and adapt to a task: all tasks at once, task by task, and by vmap(grad)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from sklearn_fsad._detectors.maml.inner_loop import GradientAdaptation
from sklearn_fsad._detectors.maml.learners import Classifier
from sklearn_fsad._training.layers import mlp

LossAndGradients = tuple[Tensor, Sequence[Tensor]]
MetaStep = Callable[[], LossAndGradients]
LabelledRows = tuple[Tensor, Tensor, Tensor]  # rows, and the sign and weight of each in the loss
Loss = Callable[..., Tensor]  # of weights and labelled rows
Adaptation = Callable[[], Sequence[Tensor]]

ORDERS = {"second": "maml", "first": "fomaml"}
N_STEPS, RATE = 5, 0.1
OURS, VMAP = "sklearn_fsad", "vmap(grad)"
LOOP, MODULE_LOOP = "loop over tasks, bare functions", "loop over tasks, nn.Module"


class Tasks(NamedTuple):
    """Supports and queries of some tasks, both with both classes.

    Attributes
    ----------
    support_X : Tensor of shape (n_tasks, n_support, n_features)
    support_y : Tensor of shape (n_tasks, n_support)
    query_X : Tensor of shape (n_tasks, n_query, n_features)
    query_y : Tensor of shape (n_tasks, n_query)
    """

    support_X: Tensor
    support_y: Tensor
    query_X: Tensor
    query_y: Tensor


def make_tasks(
    n_tasks: int = 16, n_support: int = 20, n_query: int = 64, n_features: int = 32, seed: int = 0
) -> Tasks:
    """Draw tasks whose anomalies, a quarter of the support and half of the query, are shifted."""
    generator = torch.Generator().manual_seed(seed)
    shift = torch.randn(n_tasks, 1, n_features, generator=generator) / 2

    def labelled(n: int, n_anomalous: int) -> tuple[Tensor, Tensor]:
        y = (torch.arange(n) < n_anomalous).long().repeat(n_tasks, 1)
        X = torch.randn(n_tasks, n, n_features, generator=generator)
        return X + y.unsqueeze(-1) * shift, y

    return Tasks(*labelled(n_support, n_support // 4), *labelled(n_query, n_query // 2))


def make_module(
    algorithm: str, n_features: int = 32, hidden: Sequence[int] = (64, 64)
) -> GradientAdaptation:
    """Make a classifier with fixed rates; no gradient is so long as to be shortened."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        learner = Classifier(n_features, n_features, hidden, residual=False)
    module = GradientAdaptation(
        learner, algorithm=algorithm, n_steps=N_STEPS, inner_lr=RATE, learn_rates=False
    )
    module.most_gradient = 1e6
    return module


# --- the network and its loss, as bare functions --------------------------------------------------
def perceptron(weights: Sequence[Tensor], X: Tensor) -> Tensor:
    """Return the logits of the rows of one task: (n, n_features) -> (n,)."""
    last = len(weights) - 2
    for i in range(0, last, 2):
        X = F.silu(torch.addmm(weights[i + 1], X, weights[i]))
    return torch.addmm(weights[last + 1], X, weights[last]).squeeze(-1)


def signs_and_weights(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's sign and weight in the loss: (..., n) -> (..., n) each."""
    anomalous = (y == 1).float()
    normal = 1 - anomalous
    weights = [part / part.sum(-1, keepdim=True) for part in (normal, anomalous)]
    return normal - anomalous, weights[0] + weights[1]


def logistic_loss(logits: Tensor, signs: Tensor, row_weights: Tensor) -> Tensor:
    """Add up the mean losses of normals and of anomalies: (..., n) each -> (...)."""
    return (F.softplus(signs * logits) * row_weights).sum(-1)


def task_loss(weights: Sequence[Tensor], X: Tensor, signs: Tensor, row_weights: Tensor) -> Tensor:
    """Return the loss of one task: (n, n_features), (n,), (n,) -> scalar."""
    return logistic_loss(perceptron(weights, X), signs, row_weights)


# --- meta-steps: outer loss, and its gradient with respect to the initial weights -----------------
def our_meta_step(module: GradientAdaptation, tasks: Tasks) -> MetaStep:
    """Take all tasks in one batch, as the module does it."""
    query = signs_and_weights(tasks.query_y)

    def run() -> LossAndGradients:
        scores = module(tasks.support_X, tasks.support_y, tasks.query_X)
        return _with_gradients(logistic_loss(scores, *query).mean(), module.learner.weights)

    return run


def looped_meta_step(module: GradientAdaptation, tasks: Tasks) -> MetaStep:
    """Go task by task, the network being a bare function of its weights."""
    supports, queries = _by_task(tasks)
    second_order = module.algorithm == ORDERS["second"]
    initial = list(module.learner.weights)

    def run() -> LossAndGradients:
        return _looped(task_loss, initial, supports, queries, second_order)

    return run


def module_meta_step(module: GradientAdaptation, tasks: Tasks) -> MetaStep:
    """Go task by task, the network being an ``nn.Module`` that is called with other parameters."""
    network = _as_layers(module.learner.weights)
    names, initial = zip(*network.named_parameters(), strict=True)
    supports, queries = _by_task(tasks)
    second_order = module.algorithm == ORDERS["second"]

    def loss(weights: Sequence[Tensor], X: Tensor, signs: Tensor, row_weights: Tensor) -> Tensor:
        logits = functional_call(network, dict(zip(names, weights, strict=True)), X).squeeze(-1)
        return logistic_loss(logits, signs, row_weights)

    def run() -> LossAndGradients:
        value, gradients = _looped(loss, initial, supports, queries, second_order)
        return value, [gradient.t().reshape(-1, len(gradient)) for gradient in gradients]

    return run


def vmapped_meta_step(module: GradientAdaptation, tasks: Tasks) -> MetaStep:
    """Take all tasks in one batch, made by vmap out of the gradient of one task's loss."""
    support = (tasks.support_X, *signs_and_weights(tasks.support_y))
    query = (tasks.query_X, *signs_and_weights(tasks.query_y))
    second_order = module.algorithm == ORDERS["second"]
    query_losses = vmap(task_loss)

    def run() -> LossAndGradients:
        weights = _vmap_adapted(module, support, second_order)
        return _with_gradients(query_losses(weights, *query).mean(), module.learner.weights)

    return run


META_STEPS = {
    OURS: our_meta_step,
    MODULE_LOOP: module_meta_step,
    LOOP: looped_meta_step,
    VMAP: vmapped_meta_step,
}


# --- adaptations of one task: its weights ---------------------------------------------------------
def our_adaptation(module: GradientAdaptation, tasks: Tasks) -> Adaptation:
    """Adapt as the module does it, with the loss after each step."""
    X, y = tasks.support_X[0], tasks.support_y[0]
    return lambda: module.weights_in(module.adapt(X, y))


def looped_adaptation(module: GradientAdaptation, tasks: Tasks) -> Adaptation:
    """Adapt by ``autograd.grad``."""
    (support, *_), _ = _by_task(tasks)
    initial = list(module.learner.weights)
    return lambda: [weight.detach() for weight in _adapted(task_loss, initial, support, False)]


def vmapped_adaptation(module: GradientAdaptation, tasks: Tasks) -> Adaptation:
    """Adapt by ``vmap(grad)`` over a batch of one."""
    support = (tasks.support_X[:1], *signs_and_weights(tasks.support_y[:1]))

    def run() -> Sequence[Tensor]:
        with torch.no_grad():
            return [weight[0] for weight in _vmap_adapted(module, support, False)]

    return run


ADAPTATIONS = {OURS: our_adaptation, LOOP: looped_adaptation, VMAP: vmapped_adaptation}


def relative_difference(tensors: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """Return the largest distance of a tensor from its reference, relative to its norm."""
    pairs = zip(tensors, reference, strict=True)
    return max(float((mine - other).norm() / other.norm()) for mine, other in pairs)


def _looped(
    loss: Loss,
    initial: Sequence[Tensor],
    supports: Sequence[LabelledRows],
    queries: Sequence[LabelledRows],
    second_order: bool,
) -> LossAndGradients:
    losses = []
    for support, query in zip(supports, queries, strict=True):
        losses.append(loss(_adapted(loss, initial, support, second_order), *query))
    return _with_gradients(torch.stack(losses).mean(), initial)


def _adapted(
    loss: Loss, weights: Sequence[Tensor], support: LabelledRows, second_order: bool
) -> Sequence[Tensor]:
    """Return weights adapted to one support."""
    for _ in range(N_STEPS):
        value = loss(weights, *support)
        gradients = torch.autograd.grad(value, weights, create_graph=second_order)
        weights = _stepped(weights, gradients)
    return weights


def _vmap_adapted(
    module: GradientAdaptation, support: LabelledRows, second_order: bool
) -> Sequence[Tensor]:
    """Return weights adapted to each support, (n_tasks, n_in, n_out) and (n_tasks, 1, n_out)."""
    gradients_of = vmap(grad(task_loss))
    weights = [w.expand(len(support[0]), *w.shape) for w in module.learner.weights]
    for _ in range(N_STEPS):
        with torch.set_grad_enabled(second_order):
            gradients = gradients_of(weights, *support)
        weights = _stepped(weights, gradients)
    return weights


def _stepped(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
    return [torch.sub(w, g, alpha=RATE) for w, g in zip(weights, gradients, strict=True)]


def _by_task(tasks: Tasks) -> tuple[list[LabelledRows], list[LabelledRows]]:
    """Split tasks into the support and the query of each."""
    parts = tasks[:2], tasks[2:]
    supports, queries = (list(zip(X, *signs_and_weights(y), strict=True)) for X, y in parts)
    return supports, queries


def _as_layers(weights: Sequence[Tensor]) -> nn.Module:
    """Make the perceptron of layers with the same weights, (n_out, n_in) and (n_out,)."""
    widths = [len(weights[0]), *(bias.shape[1] for bias in weights[1::2])]
    network = mlp(widths[0], widths[1:-1], widths[-1])
    pairs = zip(network.parameters(), weights, strict=True)
    with torch.no_grad():
        for parameter, weight in pairs:
            parameter.copy_(weight.T.reshape(parameter.shape))
    return network


def _with_gradients(loss: Tensor, initial: Iterable[Tensor]) -> LossAndGradients:
    return loss.detach(), torch.autograd.grad(loss, list(initial))
