"""Several networks that are trained together."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_episodes import N_FEATURES, QUICK, module_apart, prepared_episodes, weights_of
from made_loops import SECOND_ORDER, all_learners
from skorch.callbacks import Callback

from sklearn_fsad._detectors.maml import stacked, training
from sklearn_fsad._detectors.maml.inner_loop import GradientAdaptation
from sklearn_fsad._detectors.maml.learners import make_learner
from sklearn_fsad._detectors.maml.stacked import StackedAdaptation, StackedPairwiseLoss
from sklearn_fsad._detectors.maml.training import (
    Training,
    _can_be_stacked,
    _train,
    _train_together,
    learn_to_adapt,
)
from sklearn_fsad._input.labels import PADDING
from sklearn_fsad._training.batches import collate_episodes
from sklearn_fsad._training.losses import PairwiseLoss
from sklearn_fsad.callbacks import Checkpoint

EXACT = replace(QUICK, dtype=torch.float64, max_epochs=3, batch_size=4)


def new_module(kind="classifier", algorithm="maml", **given):
    """An untrained module in float64, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        learner = make_learner(kind, N_FEATURES, 1, (8,), 2, residual=True)
        given = {"n_steps": 2, "inner_lr": 0.3, **given}
        return GradientAdaptation(learner, algorithm=algorithm, **given).double()


def episodes_of_all_sizes():
    """Prepared episodes whose supports differ in size."""
    made = []
    for i, e in enumerate(prepared_episodes()):
        keep = np.sort(np.random.default_rng(i).permutation(len(e.episode.support_y))[: 6 + i % 9])
        support = {name: getattr(e.episode, name)[keep] for name in ("support_X", "support_y")}
        made.append(replace(e, episode=replace(e.episode, **support)))
    return made


def three_trainings(new):
    """Trainings that take 5, 7 and 5 steps an epoch."""
    made = episodes_of_all_sizes()
    parts = [(made[:18], True), (made, False), (made[5:25], False)]
    return [Training(new(), part, permute) for part, permute in parts]


def arrays_of(trainings):
    return [weights_of(t.module) for t in trainings]


def assert_alike(found, expected):
    for these, those in zip(found, expected, strict=True):
        for name, value in those.items():
            np.testing.assert_allclose(these[name], value, rtol=1e-7, atol=1e-8, err_msg=name)


def assert_as_alone(new, settings):
    """Compare networks that were trained together with networks that were trained alone."""
    trainings = three_trainings(new)
    untrained = weights_of(new())
    _train_together(trainings, settings)
    alone = [_train(new(), t.prepared, settings, permute=t.permute)[0] for t in trainings]
    assert all(not t.module.training for t in trainings)
    assert_alike(arrays_of(trainings), [weights_of(module) for module in alone])
    for name, value in arrays_of(trainings)[0].items():
        if name.startswith("learner.weights"):
            assert (value != untrained[name]).any()


@all_learners
@pytest.mark.parametrize("algorithm", [*SECOND_ORDER, "fomaml"])
def test_networks_learn_together_what_each_learns_alone(kind, algorithm, monkeypatch):
    monkeypatch.setattr(stacked, "_MOST_PADDING", 3)
    assert_as_alone(lambda: new_module(kind, algorithm), EXACT)


@pytest.mark.parametrize(
    "given",
    [{"multi_step_loss": True}, {"learn_rates": False}, {"one_class": True}, {"n_steps": 0}],
    ids=str,
)
def test_that_holds_for_every_way_of_adapting(given):
    assert_as_alone(lambda: new_module(**given), EXACT)


def test_that_holds_for_settings_of_the_optimiser():
    settings = replace(EXACT, skorch={"optimizer__weight_decay": 0.5})
    assert _can_be_stacked(new_module(), settings)
    assert_as_alone(new_module, settings)


def test_a_network_whose_supports_are_padding_gets_no_gradient():
    episodes = [e.episode for e in episodes_of_all_sizes()[:6]]
    inputs, _ = collate_episodes(episodes, torch.float64)
    inputs = {name: part.unflatten(0, (3, 2)) for name, part in inputs.items()}
    inputs["support_y"][:, 0] = PADDING
    modules = [new_module(), new_module()]
    scores = StackedAdaptation(modules).train()(**inputs)
    scores.sum().backward()
    assert all(p.grad is None for p in modules[0].parameters())
    assert all(p.grad is not None for p in modules[1].parameters())
    for i in range(3):
        e = episodes[2 * i + 1]
        parts = map(torch.from_numpy, (e.support_X, e.support_y, e.query_X))
        expected = modules[1](*parts)
        torch.testing.assert_close(scores[i, 1, : len(e.query_y)], expected)


# --- where it is done -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "given",
    [
        {"skorch": {"criterion": PairwiseLoss}},
        {"skorch": {"optimizer": torch.optim.SGD}},
        {"skorch": {"optimizer__param_groups": [("learner*", {"lr": 0.1})]}},
        {"skorch": {"iterator_train__shuffle": True}},
        {"adversarial_eps": 0.1},
        {"accelerator": object},
    ],
    ids=str,
)
def test_other_settings_of_the_user_train_one_network_after_another(given):
    assert not _can_be_stacked(new_module(), replace(QUICK, **given))


def test_reptile_trains_one_network_after_another():
    assert not _can_be_stacked(module_apart("reptile"), QUICK)
    assert _can_be_stacked(module_apart("maml"), QUICK)


def test_held_out_tasks_are_scored_as_by_networks_trained_alone(monkeypatch):
    made = prepared_episodes(n_tasks=10)
    calls = []

    def noted(*args):
        calls.append(args)
        return _train_together(*args)

    monkeypatch.setattr(training, "_train_together", noted)
    together, alone = (
        learn_to_adapt(made, new_module, augment="auto", gate=True, needed=False, settings=how)
        for how in (EXACT, replace(EXACT, skorch={"criterion": PairwiseLoss}))
    )
    assert len(calls) == 1
    for one, other in zip(together.reports, alone.reports, strict=True):
        assert one.roc_auc == pytest.approx(other.roc_auc, abs=1e-6)
    assert together.permuted == alone.permuted


# --- checkpoints ----------------------------------------------------------------------------------
class Killing(Callback):
    """Fails in the third epoch, as a power cut would."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            raise OSError("power cut")


def test_a_killed_training_goes_on_where_it_was(tmp_path):
    whole, trainings = three_trainings(new_module), three_trainings(new_module)
    again = copy.deepcopy(trainings)
    _train_together(whole, EXACT)
    with pytest.raises(OSError, match="power cut"):
        _train_together(trainings, replace(EXACT, callbacks=[Killing(), Checkpoint(tmp_path)]))
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    _train_together(again, replace(EXACT, callbacks=[Checkpoint(tmp_path)]))
    assert [*tmp_path.iterdir()] == [file]
    assert file.read_bytes() != before
    for found, expected in zip(arrays_of(again), arrays_of(whole), strict=True):
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)


# --- in which groups ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("ascending", "most", "counts"),
    [
        ([4], 10, [1]),
        ([4, 4, 4], 0, [3]),
        ([4, 5, 6], 3, [3]),
        ([4, 5, 6], 2, [2, 1]),
        ([4, 4, 9, 9, 10], 5, [2, 3]),
        ([1, 2, 3], 0, [1, 1, 1]),
    ],
    ids=str,
)
def test_tasks_are_taken_together_while_little_is_padded(ascending, most, counts, monkeypatch):
    monkeypatch.setattr(stacked, "_MOST_PADDING", most)
    assert stacked._counts(ascending) == counts


def test_losses_of_networks_are_those_of_each_alone():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 4, 5, 7, generator=generator)
    y = torch.randint(-1, 2, (4, 5, 7), generator=generator)
    y[0, 1] = PADDING
    y[:, 3] = PADDING
    for some in (scores[0], scores):
        found = StackedPairwiseLoss().of_each(some, y)
        expected = [PairwiseLoss()(some[..., i, :], y[:, i]) for i in range(5)]
        torch.testing.assert_close(found, torch.stack(expected))
