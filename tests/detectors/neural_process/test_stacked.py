"""Networks that are trained together: each learns what it would learn alone."""

import copy

import numpy as np
import pytest
import torch

from sklearn_fsad import NeuralProcessDetector
from sklearn_fsad._detectors.neural_process.grids import Convolutions, apply_to_distinct
from sklearn_fsad._detectors.neural_process.self_teaching import _episodes_of
from sklearn_fsad._detectors.neural_process.states import draft, new_module
from sklearn_fsad._detectors.neural_process.training import train_process, train_together

GRIDS = [("convcnp", None), ("convcnp", (2, 3))]


def modules_and_episodes(kind, grid_shape, parts, **how):
    detector = NeuralProcessDetector(
        kind=kind, grid_shape=grid_shape, embedding_dim=8, n_heads=2, n_latent_samples=4, **how
    )
    drafts = [draft(detector, [rows], 0, None, n_tasks=0) for rows in parts]
    modules = [new_module(detector, one, [], True) for one in drafts]
    episodes = [_episodes_of(detector, *part) for part in zip(drafts, parts, strict=True)]
    settings = detector._net_settings(lr=5e-3, seed=0, max_epochs=2)
    return modules, episodes, settings


def some_parts(*sizes, seed=0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(6, 6))
    return [rng.normal(size=(n, 6)) @ mixing for n in sizes]


@pytest.mark.parametrize(
    ("kind", "grid_shape"), [("tnp", None), ("cnp", None), ("anp", None), *GRIDS]
)
def test_networks_learn_together_what_each_learns_alone(kind, grid_shape):
    modules, episodes, settings = modules_and_episodes(
        kind,
        grid_shape,
        some_parts(30, 12, 90),
        net_params={"optimizer": torch.optim.SGD, "lr": 0.1},
    )
    alone = copy.deepcopy(modules)
    history = train_together(modules, episodes, 12, settings)
    for i, (one, own) in enumerate(zip(alone, episodes, strict=True)):
        before = copy.deepcopy(one.network.state_dict())
        one, own_history = train_process(one, own, 12, settings)
        for name, weight in one.network.state_dict().items():
            found = modules[i].network.state_dict()[name]
            torch.testing.assert_close(found, weight, rtol=1e-4, atol=1e-6)
        moved = max((one.network.state_dict()[k] - v).abs().max() for k, v in before.items())
        assert moved > 0.003
        if i == 0:
            losses = [[epoch["train_loss"] for epoch in h] for h in (history, own_history)]
            np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.parametrize("kind", ["np", "tnp"])
def test_what_a_network_learns_does_not_depend_on_the_rows_of_another(kind):
    same, *others = some_parts(30, 20, 20)
    learned = []
    for other in others:
        modules, episodes, settings = modules_and_episodes(kind, None, [same, other])
        train_together(modules, episodes, 12, settings)
        learned.append([module.network.state_dict() for module in modules])
    (first, other), (first_again, another) = learned
    for name, weight in first.items():
        torch.testing.assert_close(weight, first_again[name], rtol=0.0, atol=1e-6)
    assert any((weight - another[name]).abs().max() > 1e-3 for name, weight in other.items())


@pytest.mark.parametrize("grid", [(7,), (4, 5)])
def test_convolutions_round_to_the_same_with_and_without_gradients(grid):
    net = Convolutions(len(grid), 2, 6, 3).double()
    grids = torch.from_numpy(np.random.default_rng(0).normal(size=(9, 2, *grid)))
    with torch.no_grad():
        found = net(grids)
        torch.testing.assert_close(net(grids[4:5]), found[4:5], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found, net(grids).detach(), rtol=1e-12, atol=1e-12)


def test_rows_that_occur_more_than_once_are_convolved_once_and_weigh_by_their_number():
    net = Convolutions(1, 2, 6, 3).double()
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 2, 7)))
    repeated = rows[[3, 1, 1, 4, 3, 1]]
    sizes = []

    def layers(grids):
        sizes.append(len(grids))
        return net.apply_layers(grids)

    gradients = []
    for apply in (apply_to_distinct, lambda layers, grids: layers(grids)):
        net.zero_grad()
        apply(layers, repeated).square().sum().backward()
        gradients.append([weight.grad.clone() for weight in net.parameters()])
    assert sizes == [3, 6]
    for own, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(own, expected)
