"""Ensembles of networks: their mean, and the share of their correction that is used."""

import numpy as np
import pytest
import torch
from made_loops import all_algorithms, all_learners, new_learner, new_module, scores_of, some_tasks

from sklearn_fsad._detectors.maml.ensemble import NetworkEnsemble, sizes_of
from sklearn_fsad._detectors.maml.inner_loop import GradientAdaptation


def three_networks(kind="classifier", algorithm="maml", **given):
    """Three networks of one shape and of different weights."""
    networks = []
    for seed in range(3):
        network = new_module(kind, algorithm, **given)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in network.learner.weights:
                noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
                weight += 0.2 * noise
        networks.append(network)
    return networks


@pytest.mark.parametrize("sizes", [(0.0, 0.0), (0.3, 1.0), (1.0, 0.4)])
def test_the_score_is_the_closed_form_and_a_share_of_the_mean_correction(sizes):
    networks = three_networks()
    X, y, query, _ = some_tasks(4)
    labelled = [bool((labels == 1).any()) for labels in y]
    assert labelled == [True, False, True, False]
    scores = scores_of(NetworkEnsemble(networks, sizes), X, y, query)
    mean = torch.stack([scores_of(network, X, y, query) for network in networks]).mean(0)
    for t, known in enumerate(labelled):
        closed = query[t, :, -1]
        torch.testing.assert_close(scores[t], closed + sizes[known] * (mean[t] - closed))
        alone = scores_of(NetworkEnsemble(networks, sizes), X[t], y[t], query[t])
        torch.testing.assert_close(alone, scores[t])


def test_all_or_nothing_of_one_network_is_its_score_or_the_closed_form_to_the_bit():
    [network, *_] = three_networks()
    X, y, query, _ = some_tasks(2)
    scores = scores_of(NetworkEnsemble([network], (0.0, 1.0)), X, y, query)
    assert torch.equal(scores[0], scores_of(network, X, y, query)[0])
    assert torch.equal(scores[1], query[1, :, -1])


def test_losses_are_means_over_networks():
    networks = three_networks()
    X, y, _, _ = some_tasks()
    losses = NetworkEnsemble(networks).adapt(X, y)["losses"]
    expected = torch.stack([network.adapt(X, y)["losses"] for network in networks]).mean(0)
    torch.testing.assert_close(losses, expected)


def test_unadapted_scores_are_of_the_initial_weights():
    networks = three_networks()
    X, y, query, _ = some_tasks()
    ensemble = NetworkEnsemble(networks, (0.5, 0.5))
    state = ensemble.adapt(X[0], y[0])
    with torch.no_grad():
        found = ensemble.score_unadapted(state, query[0])
        mean = torch.stack([n.unadapted(query[:1])[0] for n in networks]).mean(0)
    torch.testing.assert_close(found, (query[0, :, -1] + mean) / 2)


# --- arrays ---------------------------------------------------------------------------------------
@all_learners
@all_algorithms
def test_arrays_and_back_score_alike(algorithm, kind):
    settings = {"algorithm": algorithm, "n_steps": 3}
    ensemble = NetworkEnsemble(three_networks(kind, **settings), (0.25, 0.5))
    X, y, query, _ = some_tasks()
    back = NetworkEnsemble.from_arrays(
        ensemble.to_arrays(), lambda: GradientAdaptation(new_learner(kind), **settings)
    )
    assert torch.equal(scores_of(back, X, y, query), scores_of(ensemble, X, y, query))
    assert back.sizes == (0.25, 0.5)
    assert len(back.networks) == 3
    assert not any(network.training for network in back.networks)
    assert not any(p.requires_grad for p in back.parameters())
    assert {p.dtype for p in back.parameters()} == {torch.float64}


def test_from_arrays_leaves_the_global_generator_alone_and_keeps_its_own_copy():
    arrays = {k: v.copy() for k, v in NetworkEnsemble(three_networks()).to_arrays().items()}
    X, y, query, _ = some_tasks()
    before = torch.random.get_rng_state()
    back = NetworkEnsemble.from_arrays(arrays, lambda: GradientAdaptation(new_learner(), n_steps=3))
    assert torch.equal(torch.random.get_rng_state(), before)
    expected = scores_of(back, X, y, query)
    for value in arrays.values():
        value[...] = 0
    assert torch.equal(scores_of(back, X, y, query), expected)


def test_arrays_of_another_shape_are_refused():
    arrays = NetworkEnsemble(three_networks()).to_arrays()
    other = GradientAdaptation(new_learner(hidden=(5, 6)), n_steps=3)
    with pytest.raises(RuntimeError, match="size mismatch"):
        NetworkEnsemble.from_arrays(arrays, lambda: other)


def test_a_state_of_version_0_1_0_has_one_network_that_is_used_or_not():
    ensemble = NetworkEnsemble(three_networks()[:1])
    earlier = {name: value[0] for name, value in ensemble.to_arrays().items() if name != "sizes"}
    earlier["use"] = np.array([True, False])
    back = NetworkEnsemble.from_arrays(
        earlier, lambda: GradientAdaptation(new_learner(), n_steps=3)
    )
    assert back.sizes == (1.0, 0.0)
    assert len(back.networks) == 1
    X, y, query, _ = some_tasks(2)
    own = scores_of(ensemble, X, y, query)
    scores = scores_of(back, X, y, query)
    assert torch.equal(scores[0], query[0, :, -1])
    assert torch.equal(scores[1], own[1])


def test_arrays_without_a_network_have_no_sizes():
    assert sizes_of({"closed": np.zeros(3)}) is None
    assert sizes_of({"sizes": np.array([0.5, 0.25])}) == (0.5, 0.25)
