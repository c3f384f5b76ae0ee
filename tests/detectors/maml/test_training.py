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
    of_its_fold_alone,
    prepared_episodes,
    same_everywhere,
)
from skorch.callbacks import Callback

from sklearn_fsad._detectors.maml.inner_loop import GradientAdaptation
from sklearn_fsad._detectors.maml.training import _train
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
    arrays, same, different = (m.to_arrays() for m in (module, again, other))
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
    result = learned(prepared_episodes(same_everywhere), seed=seed)
    assert not result.permuted
    assert result.used == (True, True)
    for report in result.reports:
        assert report.roc_auc["network"] > report.roc_auc["closed form"] + 0.05
    assert len(result.history) == QUICK.max_epochs


@pytest.mark.parametrize("seed", [0, 3])
def test_where_each_fold_has_anomalies_of_its_own_the_features_are_permuted(seed):
    made = prepared_episodes(of_its_fold_alone)
    result = learned(made, seed=seed, max_epochs=10)
    assert result.permuted
    assert result.used[1]
    memorised = learned(made, augment=False, seed=seed, max_epochs=10).reports[1]
    assert result.reports[1].roc_auc["network"] > memorised.roc_auc["network"] + 0.05


@pytest.mark.parametrize("augment", ["auto", False, True])
def test_a_perfect_closed_form_is_kept(augment):
    result = learned(prepared_episodes(perfect=True), augment=augment)
    assert result.used == (False, False)
    assert [r.roc_auc["closed form"] for r in result.reports] == [1.0, 1.0]
    assert [r.used for r in result.reports] == ["closed form"] * 2
    assert result.module is None
    assert result.history == []


def test_a_network_that_is_needed_is_trained_though_the_closed_form_is_better():
    result = learned(prepared_episodes(perfect=True), augment=False, needed=True)
    assert result.used == (False, False)
    assert isinstance(result.module, GradientAdaptation)
    assert len(result.history) == QUICK.max_epochs


TRAIN = "sklearn_fsad._detectors.maml.training._train"
GATE = "sklearn_fsad._detectors.maml.training._train_for_held_out"
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


def test_folds_that_have_no_episode_leave_none_to_be_scored_untrained(monkeypatch):
    made = [replace(e, fold=3 * (e.fold % 2)) for e in prepared_episodes()]
    gate = Spy(monkeypatch, GATE)
    learned(made, augment=False)
    (((trainings, _), _, _),) = gate.calls
    sizes = [len(training.prepared) for training in trainings]
    assert min(sizes) > 0
    assert sum(sizes) == len(made)
    learned([replace(e, fold=3) for e in made], augment=False)
    assert len(gate.calls) == 1  # one fold: nothing can be held out, and nothing is used


@pytest.mark.parametrize(
    ("augment", "variants"), [("auto", [False, True]), (False, [False]), (True, [True])]
)
def test_held_out_tasks_are_never_trained_on(monkeypatch, augment, variants):
    made = prepared_episodes(n_folds=5, n_tasks=10, per_task=2)
    gate, last, scorings = (Spy(monkeypatch, name) for name in (GATE, TRAIN, SCORE))
    result = learned(made, augment=augment, max_epochs=1)
    (((trainings, _), _, _),) = gate.calls
    assert [training.permute for training in trainings] == [v for v in variants for _ in range(3)]
    assert len({id(training.module) for training in trainings}) == len(trainings)
    scored = []
    for training, ((seen, held_out, _), _, _) in zip(trainings, scorings.calls, strict=True):
        assert seen is training.module
        tasks = [{e.episode.task for e in part} for part in (training.prepared, held_out)]
        assert not tasks[0] & tasks[1]
        assert tasks[0] | tasks[1] == set(range(10))
        scored += tasks[1]
    assert sorted(scored) == sorted([*range(10)] * len(variants))
    (((_, part, _), given, (module, _)),) = last.calls
    assert part == made
    assert given["permute"] == result.permuted
    assert module is result.module


def test_every_training_starts_from_the_same_weights(monkeypatch):
    started = []

    def instead(module, part, settings, **given):
        started.append({name: value.copy() for name, value in module.to_arrays().items()})
        return module.double().eval(), []

    def instead_of_all(trainings, settings):
        for training in trainings:
            instead(training.module, training.prepared, settings)

    monkeypatch.setattr(TRAIN, instead)
    monkeypatch.setattr(GATE, instead_of_all)
    before = torch.random.get_rng_state()
    learned(prepared_episodes(), needed=True)
    learned(prepared_episodes(), needed=True, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(started) == 14
    for name, value in started[0].items():
        assert all(np.array_equal(value, other[name]) for other in started[1:7])
    weight = "network.learner.weights.0"
    assert (started[0][weight] != started[7][weight]).any()


def test_callbacks_are_for_the_last_training_alone(monkeypatch):
    gate, last = Spy(monkeypatch, GATE), Spy(monkeypatch, TRAIN)
    callbacks = [Recorder()]
    learned(
        prepared_episodes(),
        augment=False,
        needed=True,
        callbacks=callbacks,
        max_epochs=1,
    )
    (((trainings, of_gate), _, _),) = gate.calls
    (((_, _, of_last), _, _),) = last.calls
    assert len(trainings) == 3
    assert not of_gate.callbacks
    assert of_last.callbacks is callbacks


@pytest.mark.parametrize(
    ("given", "n_held_out"),
    [
        ({"augment": False, "gate": False}, 0),
        ({"augment": "auto", "gate": False}, 6),
        ({"augment": True, "gate": True, "needed": True}, 3),
    ],
)
def test_tasks_are_held_out_only_where_something_is_to_be_decided(monkeypatch, given, n_held_out):
    gate, last = Spy(monkeypatch, GATE), Spy(monkeypatch, TRAIN)
    result = learned(prepared_episodes(), **given, max_epochs=1)
    assert sum(len(trainings) for (trainings, _), _, _ in gate.calls) == n_held_out
    ((_, _, (module, _)),) = last.calls
    assert result.module is module
    if not given["gate"]:
        assert result.used == (True, True)


@pytest.mark.parametrize("gate", [True, False])
def test_of_two_groups_of_siblings_nothing_can_be_said(monkeypatch, gate):
    held_out, last = Spy(monkeypatch, GATE), Spy(monkeypatch, TRAIN)
    made = [replace(e, group=e.group % 2, fold=e.group % 2) for e in prepared_episodes()]
    result = learned(made, gate=gate, max_epochs=1)
    assert result.used == (not gate, not gate)
    assert result.reports == []
    assert (result.module is None) == gate
    assert held_out.calls == []
    assert len(last.calls) == (not gate)


def test_learning_is_the_same_for_the_same_seed():
    first, again, other = (
        learned(prepared_episodes(), augment=False, seed=seed) for seed in (0, 0, 1)
    )
    assert first.reports == again.reports != other.reports
    assert first.history == again.history != other.history
    for name, value in first.module.to_arrays().items():
        np.testing.assert_array_equal(value, again.module.to_arrays()[name])
