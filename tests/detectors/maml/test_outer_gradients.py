"""Outer gradients of adaptation against finite differences and unrolled steps."""

import numpy as np
import pytest
import torch
from made_loops import (
    SECOND_ORDER,
    adapted,
    all_algorithms,
    all_learners,
    assert_all_close,
    loss_of,
    new_learner,
    new_module,
    some_tasks,
)

from sklearn_fsad._detectors.maml.inner_loop import GradientAdaptation
from sklearn_fsad._training.losses import PairwiseLoss


# --- outer gradients ------------------------------------------------------------------------------
def slope_along(module, direction, tasks, size=1e-5):
    """Central difference of the loss along a direction in the space of the parameters."""
    losses = []
    for sign in (1.0, -1.0):
        for parameter, d in direction:
            parameter.data.add_(d, alpha=sign * size)
        losses.append(loss_of(module, tasks).item())
        for parameter, d in direction:
            parameter.data.sub_(d, alpha=sign * size)
    return (losses[0] - losses[1]) / (2 * size)


@all_learners
@pytest.mark.parametrize("algorithm", SECOND_ORDER)
def test_second_order_gradients_equal_finite_differences(algorithm, kind):
    module, tasks = new_module(kind, algorithm, hidden=(4,), n_steps=2), some_tasks(2)
    module.most_gradient = 1e9  # what shortens is no part of the gradient
    named = dict(module.named_parameters())
    gradients = torch.autograd.grad(loss_of(module, tasks), list(named.values()))
    rng = np.random.default_rng(1)
    for (name, parameter), gradient in zip(named.items(), gradients, strict=True):
        d = torch.from_numpy(np.asarray(rng.normal(size=parameter.shape)))
        expected = slope_along(module, [(parameter, d)], tasks)
        assert (gradient * d).sum().item() == pytest.approx(expected, rel=1e-5, abs=1e-8), name
        assert expected != 0.0, name


def unrolled(module, X, y):
    """Weights of one task after its steps, with a graph of all of them but the shortening."""
    learner, weights = module.learner, list(module.learner.weights)
    first = len(weights) - 2 if module.algorithm == "anil" else 0
    for step in range(module.n_steps):
        gradients = torch.autograd.grad(
            learner.loss(weights, X, y), weights[first:], create_graph=True
        )
        length = torch.cat([g.detach().flatten() for g in gradients]).norm().item()
        for i, g in enumerate(gradients, first):
            per_weight = module.algorithm == "metasgd"
            log_rate = module.log_rates[i] if per_weight else module.log_rates[step, i]
            weights[i] = weights[i] - log_rate.exp() * min(1.0, module.most_gradient / length) * g
    return weights


@pytest.mark.parametrize("most_gradient", [1e9, 0.05], ids=["whole", "shortened"])
@all_learners
@pytest.mark.parametrize("algorithm", SECOND_ORDER)
def test_second_order_gradients_are_those_of_unrolled_steps(algorithm, kind, most_gradient):
    module, (X, y, query, query_y) = new_module(kind, algorithm), some_tasks(2)
    module.most_gradient = most_gradient
    named = dict(module.named_parameters())
    scores = [module.learner.score(unrolled(module, X[t], y[t]), query[t]) for t in range(2)]
    losses = [PairwiseLoss()(s, query_y) for s in (module(X, y, query), torch.stack(scores))]
    found, expected = (torch.autograd.grad(loss, list(named.values())) for loss in losses)
    assert_all_close(found, expected)
    assert all((g != 0).any() for g in expected)


def test_every_version_of_a_multi_step_loss_is_differentiated_through():
    module = new_module(n_steps=3, multi_step_loss=True, hidden=(4,))
    tasks = some_tasks(2)
    weight = module.learner.weights[0]
    gradient = torch.autograd.grad(loss_of(module, tasks), weight)[0]
    d = torch.from_numpy(np.random.default_rng(1).normal(size=weight.shape))
    expected = slope_along(module, [(weight, d)], tasks)
    assert (gradient * d).sum().item() == pytest.approx(expected, rel=1e-5)
    module.multi_step_loss = False
    last = torch.autograd.grad(loss_of(module, tasks), weight)[0]
    assert (gradient - last).abs().max() > 1e-3


def query_gradients_at(module, weights, tasks):
    """Gradients of the query loss: at adapted weights, and of the gain if there is one."""
    _, _, query, query_y = tasks
    leaves = [w.detach().clone().requires_grad_() for w in weights]
    loss = PairwiseLoss()(module.learner.score(leaves, query), query_y)
    gain = getattr(module.learner, "gain", None)
    found = torch.autograd.grad(loss, leaves if gain is None else [*leaves, gain])
    return found[: len(leaves)], None if gain is None else found[-1]


@all_learners
def test_fomaml_descends_by_the_gradient_at_the_adapted_weights(kind):
    module, tasks = new_module(kind, "fomaml"), some_tasks()
    loss_of(module, tasks).backward()
    at_adapted, gain = query_gradients_at(module, adapted(module, *tasks[:2]), tasks)
    found = [w.grad for w in module.learner.weights]
    assert_all_close(found, [g.sum(0) for g in at_adapted])  # the loss is a mean over tasks
    if gain is not None:
        torch.testing.assert_close(module.learner.gain.grad, gain)
    maml = new_module(kind, "maml")
    loss_of(maml, tasks).backward()
    other = [w.grad for w in maml.learner.weights]
    assert any((g - f).abs().max() > 1e-4 for g, f in zip(other, found, strict=True))


def test_fomaml_learns_rates_by_the_product_of_gradients():
    module, tasks = new_module(algorithm="fomaml", n_steps=1), some_tasks()
    loss_of(module, tasks).backward()
    at_adapted, _ = query_gradients_at(module, adapted(module, *tasks[:2]), tasks)
    before, after = module.learner.weights, adapted(module, *tasks[:2])
    expected = [
        ((v - w) * g).sum() for w, v, g in zip(before, after, at_adapted, strict=True)
    ]  # a step is minus the rate times the gradient
    torch.testing.assert_close(module.log_rates.grad, torch.stack(expected).detach()[None])


@pytest.mark.parametrize("multi_step_loss", [False, True])
@pytest.mark.parametrize("factor", [1.0, 100.0])
@all_learners
def test_reptile_leads_the_initial_weights_to_the_mean_of_the_adapted(
    kind, factor, multi_step_loss
):
    module, tasks = new_module(kind, "reptile", multi_step_loss=multi_step_loss), some_tasks()
    (factor * loss_of(module, tasks)).backward()
    for w, after in zip(module.learner.weights, adapted(module, *tasks[:2]), strict=True):
        torch.testing.assert_close(w.grad, (w - after.mean(0)).detach(), rtol=1e-10, atol=1e-12)
        assert (w.grad != 0).any()


@pytest.mark.parametrize("kind", ["autoencoder", "svdd"])
def test_reptile_still_learns_its_gain_from_the_queries(kind):
    module, tasks = new_module(kind, "reptile"), some_tasks()
    loss_of(module, tasks).backward()
    _, gain = query_gradients_at(module, adapted(module, *tasks[:2]), tasks)
    assert gain != 0
    torch.testing.assert_close(module.learner.gain.grad, gain)
    assert module.log_rates.grad is None


@all_algorithms
def test_rates_are_learned_only_where_asked_for_and_never_by_reptile(algorithm):
    learned = new_module(algorithm=algorithm)
    given = new_module(algorithm=algorithm, learn_rates=False)
    assert any("rates" in n for n, p in learned.named_parameters() if p.requires_grad) == (
        algorithm != "reptile"
    )
    assert any("rates" in n for n, p in given.named_parameters() if p.requires_grad) == (
        algorithm == "metasgd"
    )


@all_algorithms
def test_rates_start_as_given(algorithm):
    with torch.random.fork_rng(devices=[]):
        module = GradientAdaptation(new_learner(), algorithm=algorithm, n_steps=3, inner_lr=0.25)
    if algorithm == "metasgd":
        shapes = [rate.shape for rate in module.log_rates]
        assert shapes == [w.shape for w in module.learner.weights]
    else:
        assert module.log_rates.shape == (3, len(module.learner.weights))
    for rates in module.log_rates:
        torch.testing.assert_close(rates.exp(), torch.full_like(rates, 0.25))


@pytest.mark.parametrize("algorithm", SECOND_ORDER)
def test_a_graph_that_is_kept_gives_the_same_gradients_twice(algorithm):
    module, tasks = new_module(algorithm=algorithm), some_tasks()
    parameters, loss = list(module.parameters()), loss_of(module, tasks)
    first = torch.autograd.grad(loss, parameters, retain_graph=True)
    second = torch.autograd.grad(loss, parameters)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_gradients_of_one_task_are_those_of_a_batch():
    module, (X, y, query, query_y) = new_module(), some_tasks()
    parameters = list(module.parameters())
    alone = [
        torch.autograd.grad(loss_of(module, (X[t], y[t], query[t], query_y[t])), parameters)
        for t in range(len(X))
    ]
    together = torch.autograd.grad(loss_of(module, (X, y, query, query_y)), parameters)
    assert_all_close(together, [sum(parts) / len(X) for parts in zip(*alone, strict=True)])
