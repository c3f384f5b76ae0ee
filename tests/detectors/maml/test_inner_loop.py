"""Adaptation by gradient steps against gradient descent by hand, finite differences and memory."""

import weakref

import pytest
import torch
from made_loops import (
    N_COLUMNS,
    N_FEATURES,
    SECOND_ORDER,
    adapted,
    all_algorithms,
    all_learners,
    assert_all_close,
    loss_of,
    new_module,
    scores_of,
    some_tasks,
)
from torch.autograd.graph import saved_tensors_hooks

from sklearn_fsad._detectors.maml.inner_loop import ALGORITHMS, ClosedFormOnly


# --- the steps ------------------------------------------------------------------------------------
def descent_by_hand(module, X, y, n_steps):
    """Weights of one task after steps that are written down one by one."""
    learner = module.learner
    weights = [w.detach().clone() for w in learner.weights]
    first = len(weights) - 2 if module.algorithm == "anil" else 0
    for step in range(n_steps):
        leaves = [w.clone().requires_grad_() for w in weights]
        gradients = torch.autograd.grad(learner.loss(leaves, X, y), leaves)
        length = sum((g**2).sum() for g in gradients[first:]).sqrt()
        shortened = min(1.0, module.most_gradient / length.item())
        for i in range(first, len(weights)):
            per_weight = module.algorithm == "metasgd"
            log_rate = module.log_rates[i] if per_weight else module.log_rates[step, i]
            weights[i] = weights[i] - log_rate.detach().exp() * shortened * gradients[i]
    return weights


@all_learners
@all_algorithms
def test_steps_equal_gradient_descent_by_hand(algorithm, kind):
    module = new_module(kind, algorithm, n_steps=4)
    X, y, query, _ = some_tasks()
    together = adapted(module, X, y)
    scores = module.eval()(X, y, query)
    for t in range(len(X)):
        expected = descent_by_hand(module, X[t], y[t], 4)
        assert_all_close([w[t] for w in together], expected)
        torch.testing.assert_close(scores[t], module.learner.score(expected, query[t]))
        moved = [
            not torch.equal(w, start)
            for w, start in zip(expected, module.learner.weights, strict=True)
        ]
        assert moved == [algorithm != "anil"] * (len(moved) - 2) + [True, True]


@all_algorithms
def test_losses_of_the_support_are_told_before_and_after_each_step(algorithm):
    module = new_module("autoencoder", algorithm)
    X, y, _, _ = some_tasks()
    losses = module.adapt(X, y)["losses"]
    assert losses.shape == (3, 4)
    for t in range(3):
        for step in range(4):
            weights = descent_by_hand(module, X[t], y[t], step)
            expected = module.learner.loss(weights, X[t], y[t])
            torch.testing.assert_close(losses[t, step], expected.detach())


@all_algorithms
def test_one_support_is_adapted_to_as_in_a_batch(algorithm):
    module = new_module(algorithm=algorithm)
    X, y, query, _ = some_tasks()
    together = scores_of(module, X, y, query)
    for t in range(3):
        alone = scores_of(module, X[t], y[t], query[t])
        torch.testing.assert_close(alone, together[t], rtol=1e-10, atol=1e-12)


def test_anil_moves_the_last_layer_and_shows_all_tasks_the_same_features():
    module = new_module("svdd", "anil")
    X, y, _, _ = some_tasks()
    *kept, weight, bias = adapted(module, X, y)
    for w, start in zip(kept, module.learner.weights[:-2], strict=True):
        assert all(torch.equal(own, start) for own in w)
    for w, start in zip((weight, bias), module.learner.weights[-2:], strict=True):
        assert all((own != start).any() for own in w)
        assert (w[0] != w[1]).any()


@all_learners
def test_padded_rows_change_nothing(kind):
    module = new_module(kind)
    X, y, query, _ = some_tasks(1)
    expected = adapted(module, X[:, :8], y[:, :8])
    scores = scores_of(module, X[:, :8], y[:, :8], query)
    assert y[0, 8] == -1
    for value in (0.0, 7.0, -1e3):
        padded = torch.cat([X[:, :8], torch.full((1, 5, N_COLUMNS), value, dtype=X.dtype)], dim=1)
        labels = torch.cat([y[:, :8], torch.full((1, 5), -1)], dim=1)
        assert_all_close(adapted(module, padded, labels), expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(scores_of(module, padded, labels, query), scores)


@all_learners
def test_one_class_steps_look_away_from_labelled_anomalies(kind):
    X, y, _, _ = some_tasks(1)
    hidden = y.masked_fill(y == 1, -1)
    assert (hidden != y).sum() == 2
    one_class, plain = new_module(kind, one_class=True), new_module(kind)
    expected = adapted(plain, X, hidden)
    assert_all_close(adapted(one_class, X, y), expected, rtol=0, atol=0)
    assert any((w != e).any() for w, e in zip(adapted(plain, X, y), expected, strict=True))
    moved = X.clone()
    moved[y == 1] += 5.0
    assert_all_close(adapted(one_class, moved, y), expected, rtol=0, atol=0)
    assert torch.equal(one_class.adapt(X, y)["losses"], plain.adapt(X, hidden)["losses"])


def test_one_class_steps_of_a_classifier_still_see_injected_rows():
    X, y, _, _ = some_tasks(2)
    module = new_module(one_class=True)
    moved = X.clone()
    moved[y == 2] += 5.0
    before, after = adapted(module, X, y), adapted(module, moved, y)
    assert (before[0][1] != after[0][1]).any()
    assert torch.equal(before[0][0], after[0][0])


# --- long gradients -------------------------------------------------------------------------------
def first_gradient(module, X, y):
    """What the first step subtracts, before the rate: by task, all layers in one row."""
    rates = module.log_rates.detach().exp()[0]
    parts = [
        ((w - after) / rate).flatten(1)
        for w, after, rate in zip(module.learner.weights, adapted(module, X, y), rates, strict=True)
    ]
    return torch.cat(parts, dim=1).detach()


def test_long_gradients_are_shortened_task_by_task():
    module = new_module("autoencoder", n_steps=1)
    X, y, _, _ = some_tasks()
    X = X * torch.tensor([0.1, 10.0, 1e3])[:, None, None]
    module.most_gradient = float("inf")
    raw = first_gradient(module, X, y)
    del module.most_gradient
    lengths = raw.norm(dim=1)
    assert lengths[0] < 3.0 < lengths[1] < lengths[2]
    seen = first_gradient(module, X, y)
    torch.testing.assert_close(seen[0], raw[0])
    torch.testing.assert_close(seen[1:].norm(dim=1), torch.full((2,), 3.0, dtype=X.dtype))
    expected = raw[1:] / lengths[1:, None] * 3.0
    torch.testing.assert_close(seen[1:], expected, rtol=1e-6, atol=1e-9)


def test_a_long_gradient_leaves_the_other_tasks_of_its_batch_alone():
    module = new_module("autoencoder")
    X, y, _, _ = some_tasks()
    loud = X.clone()
    loud[1] *= 1e4
    quiet, beside = adapted(module, X, y), adapted(module, loud, y)
    for w, v in zip(quiet, beside, strict=True):
        torch.testing.assert_close(w[[0, 2]], v[[0, 2]], rtol=0, atol=1e-12)
    assert any((w[1] != v[1]).any() for w, v in zip(quiet, beside, strict=True))


@all_learners
def test_steps_stay_finite_on_rows_far_out(kind):
    module = new_module(kind)
    X, y, query, _ = some_tasks()
    X[:, 0, :N_FEATURES] = 1e5
    assert all(torch.isfinite(w).all() for w in adapted(module, X, y))
    assert torch.isfinite(scores_of(module, X, y, query)).all()


# --- forward --------------------------------------------------------------------------------------
@all_algorithms
def test_a_multi_step_loss_sees_the_scores_after_each_step_in_training_alone(algorithm):
    module = new_module(algorithm=algorithm, multi_step_loss=True)
    X, y, query, _ = some_tasks()
    scores = module(X, y, query).detach()
    assert scores.shape == (3, 3, 8)
    for step in (1, 2, 3):
        for t in range(3):
            weights = descent_by_hand(module, X[t], y[t], step)
            expected = module.learner.score(weights, query[t]).detach()
            torch.testing.assert_close(scores[step - 1, t], expected)
    assert torch.equal(module.eval()(X, y, query), scores[-1])


@all_algorithms
def test_training_and_use_score_alike(algorithm):
    module = new_module(algorithm=algorithm)
    X, y, query, _ = some_tasks()
    in_training = module(X, y, query).detach()
    torch.testing.assert_close(scores_of(module, X, y, query), in_training, rtol=1e-10, atol=0)
    torch.testing.assert_close(module.eval()(X, y, query).detach(), in_training)


@pytest.mark.parametrize("multi_step_loss", [False, True])
def test_without_steps_one_network_serves_all_tasks(multi_step_loss):
    module = new_module(n_steps=0, multi_step_loss=multi_step_loss)
    tasks = some_tasks()
    X, y, query, _ = tasks
    expected = module.unadapted(query).detach()
    assert torch.equal(module(X, y, query), expected)
    assert torch.equal(scores_of(module, X, y, query), expected)
    torch.testing.assert_close(scores_of(module, X[0], y[0], query[0]), expected[0])
    assert module.adapt(X, y)["losses"].shape == (3, 1)
    loss_of(module, tasks).backward()
    assert (module.learner.weights[0].grad != 0).any()


def test_unadapted_scores_are_those_of_the_initial_weights():
    module = new_module("svdd")
    _, _, query, _ = some_tasks()
    with torch.no_grad():
        for own, scores in zip(query, module.unadapted(query), strict=True):
            torch.testing.assert_close(scores, module.learner.score(module.learner.weights, own))


# --- adapt ----------------------------------------------------------------------------------------
@all_algorithms
def test_adapt_keeps_no_graph_and_does_the_same_twice(algorithm):
    module = new_module(algorithm=algorithm)
    X, y, _, _ = some_tasks()
    states = [module.adapt(X, y), module.adapt(X, y)]
    assert all(value.grad_fn is None for value in states[0].values())
    for part in (module.requires_grad_(False), module.eval()):  # as after from_arrays
        states.append(part.adapt(X, y))
        assert not any(value.requires_grad for value in states[-1].values())
    for state in states[1:]:
        assert state.keys() == states[0].keys()
        assert all(torch.equal(state[name], value) for name, value in states[0].items())
    assert all(p.grad is None for p in module.parameters())
    assert torch.is_grad_enabled()


def test_where_no_network_was_learned_the_closed_form_scores():
    X, y, query, _ = some_tasks()
    assert torch.equal(scores_of(ClosedFormOnly(), X, y, query), query[..., -1])


# --- memory ---------------------------------------------------------------------------------------
class SavedBytes:
    """Bytes that autograd keeps for its backward passes: now, and at most so far."""

    def __init__(self):
        self.alive = self.peak = 0

    def __enter__(self):
        self._hooks = saved_tensors_hooks(self._pack, lambda box: box[0])
        self._hooks.__enter__()
        return self

    def __exit__(self, *error):
        self._hooks.__exit__(*error)

    def _pack(self, tensor):
        box = Box([tensor.detach()])
        self.alive += tensor.nbytes
        self.peak = max(self.peak, self.alive)
        weakref.finalize(box, self._free, tensor.nbytes)
        return box

    def _free(self, n):
        self.alive -= n


class Box(list):
    """A list that can be watched."""

    __hash__ = object.__hash__


def wide_module(algorithm, n_steps):
    return new_module(algorithm=algorithm, n_steps=n_steps, hidden=(32, 32))


@all_algorithms
def test_adapt_keeps_nothing_for_a_backward_pass(algorithm):
    X, y, _, _ = some_tasks(n=40)
    for n_steps in (2, 12):
        with SavedBytes() as saved:
            wide_module(algorithm, n_steps).adapt(X, y)
        assert saved.peak == 0


def bytes_of_forward(algorithm, n_steps):
    X, y, query, _ = some_tasks(n=40)
    module = wide_module(algorithm, n_steps)
    with SavedBytes() as saved:
        scores = module(X, y, query)
        kept = saved.alive
    assert scores.requires_grad
    return kept


def test_memory_of_a_meta_step_grows_linearly_at_second_order_and_hardly_at_first():
    kept = {a: [bytes_of_forward(a, n) for n in (4, 8, 12)] for a in ALGORITHMS}
    for algorithm in SECOND_ORDER:
        four, eight, twelve = kept[algorithm]
        assert twelve - eight == pytest.approx(eight - four, rel=0.05)
        assert eight > 1.4 * four
    growth = {a: b[2] - b[0] for a, b in kept.items()}
    assert growth["fomaml"] < 0.12 * growth["maml"]
    assert growth["reptile"] == 0


@pytest.mark.parametrize(("algorithm", "n_steps"), [("anil", 5), ("maml", 0)])
def test_a_module_in_training_adapts_without_a_gradient_too(algorithm, n_steps):
    X, y, _, _ = some_tasks()
    state = new_module(algorithm=algorithm, n_steps=n_steps).adapt(X, y)
    assert not [name for name, value in state.items() if value.requires_grad]
