"""Meta-training of networks that adapt, and what held-out tasks decide."""

from dataclasses import replace
from pkgutil import resolve_name

import numpy as np
import pytest
import torch
from made_episodes import (
    QUICK,
    learned,
    module_apart,
    of_its_group_alone,
    prepared_episodes,
    same_everywhere,
    weights_of,
)
from skorch.callbacks import Callback

from sklearn_fsad._detectors.maml.training import _train, held_out_of_each
from sklearn_fsad._training.batches import EpisodeDataset
from sklearn_fsad._training.losses import PairwiseLoss


# --- training -------------------------------------------------------------------------------------
class Drawn(Exception):
    """Ends a training once its episodes are known."""


def episodes_of(monkeypatch, made, permute, seed=0):
    """What a training would draw: a function of epoch and index."""
    caught = []

    def instead(module, data, valid, settings):
        caught.append(data)
        raise Drawn

    monkeypatch.setattr("sklearn_fsad._detectors.maml.training.train_episodic", instead)
    with pytest.raises(Drawn):
        _train(module_apart(), made, replace(QUICK, seed=seed), permute=permute)
    assert isinstance(caught[0], EpisodeDataset)
    assert len(caught[0]) == len(made)
    return caught[0].draw


def test_each_epoch_sees_every_episode_once_in_an_order_of_its_own(monkeypatch):
    made = prepared_episodes()
    draw = episodes_of(monkeypatch, made, permute=False)
    seen = [[id(draw(epoch, i)) for i in range(len(made))] for epoch in (0, 1)]
    expected = [id(e.episode) for e in made]
    assert seen[0] != seen[1]
    assert sorted(seen[0]) == sorted(seen[1]) == sorted(expected)
    assert id(episodes_of(monkeypatch, made, permute=False, seed=1)(0, 0)) in expected


def test_augmented_episodes_are_a_pure_function_of_seed_epoch_and_index(monkeypatch):
    made = prepared_episodes(per_task=1)[:1]
    draw, again, other = (episodes_of(monkeypatch, made, True, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(draw(3, 0).query_X, again(3, 0).query_X)
    different = [draw(epoch, 0).query_X for epoch in range(4)] + [other(3, 0).query_X]
    for i, Z in enumerate(different):
        assert all((elsewhere != Z).any() for elsewhere in different[:i])


@pytest.mark.parametrize("algorithm", ["maml", "reptile"])
@pytest.mark.parametrize("permute", [False, True])
def test_training_ends_in_float64_and_is_the_same_for_the_same_seed(permute, algorithm):
    made = prepared_episodes()
    runs = []
    before = torch.random.get_rng_state()
    for seed in (0, 0, 1):
        start = module_apart(algorithm).float()
        runs.append(_train(start, made, replace(QUICK, seed=seed), permute=permute))
    assert torch.equal(torch.random.get_rng_state(), before)
    (module, history), (again, _), (other, _) = runs
    assert [set(epoch) for epoch in history] == [{"train_loss"}] * 6
    assert {p.dtype for p in module.parameters()} == {torch.float64}
    assert not module.training
    arrays, same, different = (weights_of(m) for m in (module, again, other))
    for name, value in arrays.items():
        np.testing.assert_array_equal(value, same[name])
    assert any((value != different[name]).any() for name, value in arrays.items())


def test_training_lowers_the_loss():
    _, history = _train(module_apart().float(), prepared_episodes(), QUICK, permute=False)
    losses = [epoch["train_loss"] for epoch in history]
    assert losses[-1] < 0.8 * losses[0]


class LoudLoss(PairwiseLoss):
    """A loss whose gradients are far too long."""

    def forward(self, scores, y):
        return 1e4 * super().forward(scores, y)


class Recorder(Callback):
    """Notes the rate of each meta-step and how long its gradient is."""

    def __init__(self):
        self.rates, self.lengths = [], []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        gradients = [p.grad.flatten() for _, p in named_parameters if p.grad is not None]
        self.lengths.append(torch.cat(gradients).norm().item())
        self.rates.append(net.optimizer_.param_groups[0]["lr"])


def test_meta_steps_follow_a_cycle_of_rates_and_gradients_of_bounded_length():
    made, recorder = prepared_episodes(), Recorder()
    settings = replace(QUICK, callbacks=[recorder], skorch={"criterion": LoudLoss})
    _train(module_apart().float(), made, settings, permute=False)
    rates, peak = recorder.rates, int(np.argmax(recorder.rates))
    assert len(rates) == len(recorder.lengths) == 18
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert 0.9 * QUICK.lr < rates[peak] <= QUICK.lr
    assert 0 < peak < 9
    assert rates[-1] < 1e-3 * QUICK.lr
    np.testing.assert_allclose(recorder.lengths, 5.0, rtol=1e-3)


# --- what held-out tasks decide -------------------------------------------------------------------
@pytest.mark.parametrize("seed", [0, 1])
def test_where_all_anomalies_are_alike_the_features_stay_as_they_are(seed):
    result = learned(prepared_episodes(same_everywhere), augment="auto", seed=seed)
    assert not result.permuted
    assert min(result.sizes) > 0.25
    for report in result.reports:
        assert report.roc_auc["corrected"] > report.roc_auc["closed form"] + 0.05
    assert len(result.history) == QUICK.max_epochs


@pytest.mark.parametrize("seed", [0, 3])
def test_where_each_group_has_anomalies_of_its_own_the_features_are_permuted(seed):
    made = [replace(e, group=e.group % 3) for e in prepared_episodes(of_its_group_alone)]
    result = learned(made, augment="auto", seed=seed, max_epochs=10)
    assert result.permuted
    memorised = learned(made, augment=False, seed=seed, max_epochs=10).reports[1]
    assert result.reports[1].roc_auc["network"] > memorised.roc_auc["network"] + 0.05


@pytest.mark.parametrize("augment", ["auto", False, True])
def test_little_of_a_network_is_added_to_a_perfect_closed_form(augment):
    result = learned(prepared_episodes(perfect=True), augment=augment)
    assert result.sizes == (pytest.approx(0.1), pytest.approx(0.1))  # of nine groups, six of 1/4
    assert [r.roc_auc["closed form"] for r in result.reports] == [1.0, 1.0]
    assert all(r.roc_auc["corrected"] > 0.99 for r in result.reports)


TRAIN = "sklearn_fsad._detectors.maml.training._train"
TRAIN_ALL = "sklearn_fsad._detectors.maml.training.train_all"
SCORE = "sklearn_fsad._detectors.maml.training.score_held_out"


class Spy:
    """Notes what a function is called with, and what it returns, before it is passed on."""

    def __init__(self, monkeypatch, name):
        self.calls = []
        original = resolve_name(name)

        def noting(*args, **kwargs):
            result = original(*args, **kwargs)
            self.calls.append((args, kwargs, result))
            return result

        monkeypatch.setattr(name, noting)


@pytest.mark.parametrize(
    ("augment", "variants"), [("auto", [False, True]), (False, [False]), (True, [True])]
)
def test_held_out_tasks_are_never_trained_on(monkeypatch, augment, variants):
    made = prepared_episodes(n_tasks=10, per_task=2)
    trained, scored = (Spy(monkeypatch, name) for name in (TRAIN_ALL, SCORE))
    result = learned(made, augment=augment, max_epochs=1)
    (((trainings, _), _, _),) = trained.calls
    assert [training.permute for training in trainings] == [v for v in variants for _ in range(6)]
    assert len({id(training.module) for training in trainings}) == len(trainings)
    assert len(scored.calls) == len(variants)
    for call, (_, permute) in zip(scored.calls, enumerate(variants), strict=True):
        networks, unseen, episodes = call[0]
        assert episodes is made
        own = [t for t in trainings if t.permute == permute]
        held_out_times = np.zeros(10)
        for network, out, training in zip(networks, unseen, own, strict=True):
            assert network is training.module
            tasks = {e.episode.task for e in training.prepared}
            left_out = {e.episode.task for e, held_out in zip(made, out, strict=True) if held_out}
            assert not tasks & left_out
            assert tasks | left_out == set(range(10))
            held_out_times[list(left_out)] += 1
        assert (held_out_times == 2).all()
    assert result.networks == [t.module for t in trainings if t.permute == result.permuted]


def test_siblings_are_held_out_together():
    groups = np.repeat([4, 7, 9, 11], [5, 1, 3, 2])
    unseen = held_out_of_each(groups, seed=0)
    assert len(unseen) == 6
    for out in unseen:
        assert 0 < out.sum() < len(groups)
        assert all(len(set(out[groups == group])) == 1 for group in set(groups))
    assert any((a != b).any() for a, b in zip(unseen, held_out_of_each(groups, 1), strict=True))


def test_each_network_starts_from_weights_of_its_own(monkeypatch):
    started = []

    def instead(trainings, settings):
        for training in trainings:
            started.append(weights_of(training.module))
            training.module.double().eval()
        return []

    monkeypatch.setattr(TRAIN_ALL, instead)
    before = torch.random.get_rng_state()
    learned(prepared_episodes(), augment="auto")
    learned(prepared_episodes(), augment="auto")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(started) == 24
    first = "learner.weights.0"
    for i in range(12):
        np.testing.assert_array_equal(started[i][first], started[12 + i][first])
        np.testing.assert_array_equal(started[i][first], started[i % 6][first])
        assert i % 6 == 0 or (started[i][first] != started[0][first]).any()


def test_callbacks_are_for_the_one_training_of_all_networks():
    recorder = Recorder()
    learned(prepared_episodes(), callbacks=[recorder], max_epochs=1)
    assert len(recorder.rates) == 2  # steps: 18 of 27 episodes, 9 at once


@pytest.mark.parametrize(
    ("given", "n_networks", "n_trained"),
    [
        ({"gate": False}, 1, 1),
        ({"augment": "auto", "gate": False}, 6, 12),
        ({"augment": True}, 6, 6),
    ],
)
def test_tasks_are_held_out_only_where_something_is_to_be_decided(
    monkeypatch, given, n_networks, n_trained
):
    together, alone = Spy(monkeypatch, TRAIN_ALL), Spy(monkeypatch, TRAIN)
    result = learned(prepared_episodes(), **given, max_epochs=1)
    assert len(alone.calls) + sum(len(call[0][0]) for call in together.calls) == n_trained
    assert len(result.networks) == n_networks
    assert given.get("gate", True) or result.sizes == (1.0, 1.0)


def test_of_two_groups_of_siblings_a_quarter_of_the_correction_is_used(monkeypatch):
    together = Spy(monkeypatch, TRAIN_ALL)
    made = [replace(e, group=e.group % 2) for e in prepared_episodes()]
    result = learned(made, max_epochs=1)
    assert result.sizes == (0.25, 0.25)
    assert result.reports == []
    (((trainings, _), _, _),) = together.calls
    assert [training.prepared for training in trainings] == [made] * 6


def test_one_group_of_siblings_trains_nothing_unless_a_network_is_needed():
    made = [replace(e, group=0) for e in prepared_episodes()]
    assert learned(made, max_epochs=1).networks == []
    assert len(learned(made, needed=True, max_epochs=1).networks) == 6


def test_learning_is_the_same_for_the_same_seed():
    first, again, other = (learned(prepared_episodes(), seed=seed) for seed in (0, 0, 1))
    assert first.reports == again.reports != other.reports
    assert first.history == again.history != other.history
    for one, same in zip(first.networks, again.networks, strict=True):
        for name, value in weights_of(one).items():
            np.testing.assert_array_equal(value, weights_of(same)[name])


def test_networks_trained_one_after_another_ignore_that_one_may_be_cut_short(monkeypatch):
    alone = Spy(monkeypatch, TRAIN)
    settings = {"keep_on_interrupt": True, "skorch": {"criterion": PairwiseLoss}}
    learned(prepared_episodes(), max_epochs=1, **settings)
    assert len(alone.calls) == 6
    assert not any(args[2].keep_on_interrupt for args, _, _ in alone.calls)
