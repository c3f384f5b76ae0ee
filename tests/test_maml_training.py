"""Meta-training of networks that adapt: augmentation, and what held-out tasks decide."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from families import make_family
from sklearn.metrics import roc_auc_score
from skorch.callbacks import Callback

from sklearn_fsad import _maml_training
from sklearn_fsad._calibration import CalibratedEvidence
from sklearn_fsad._description import AnchoredDescription, NetworkView, PlainDescription
from sklearn_fsad._evidence import EVIDENCE
from sklearn_fsad._injection import inject_anomalies
from sklearn_fsad._inner_loop import GradientAdaptation
from sklearn_fsad._learners import make_learner
from sklearn_fsad._losses import PairwiseLoss
from sklearn_fsad._maml_training import (
    Exercise,
    Judged,
    Verdict,
    _all_scores,
    _approved,
    _judge,
    _permuted_labels,
    _positions_of_others,
    _train,
    exercise,
    learn_to_adapt,
    permuted_features,
)
from sklearn_fsad._mix_training import FoldedEvidence, observe
from sklearn_fsad._mixing import CLOSED_FORM, EvidenceMix, closed_form
from sklearn_fsad._net import EpisodeDataset
from sklearn_fsad._scaling import ScaledSupport
from sklearn_fsad.tasks import Episode, EpisodeSampler, TaskSet

N_FEATURES = 4
QUICK = {"lr": 0.03, "max_epochs": 6, "batch_size": 9}
NO_AUC = np.nan


def new_module(algorithm="maml"):
    learner = make_learner("classifier", N_FEATURES, 1, (8,), 2, residual=True)
    return GradientAdaptation(learner, algorithm=algorithm, n_steps=2, inner_lr=0.3)


def module_apart(algorithm="maml"):
    """An untrained module in float64 that draws nothing from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return new_module(algorithm).double().eval()


def same_everywhere(fold):
    return 0, 1.0


def of_its_fold_alone(fold):
    return fold % 3, (-1.0) ** fold


def exercises(direction=same_everywhere, *, n_tasks=9, per_task=3, perfect=False, n_folds=3):
    """Tasks whose anomalies move one feature; a closed form that is blind to it, or perfect."""
    made = []
    for task in range(n_tasks):
        feature, sign = direction(task % n_folds)
        for i in range(per_task):
            rng = np.random.default_rng([task, i])
            parts = []
            for n, k in ((10, 5 if i else 0), (15, 15)):
                y = np.repeat([0, 1], [n, k]).astype(np.int8)
                Z = rng.normal(size=(n + k, N_FEATURES + 2))
                Z[:, feature] += sign * 2.0 * y
                Z[:, N_FEATURES] = Z[:, -1] = 9.0 * y if perfect else Z[:, N_FEATURES] + 0.5 * y
                parts += [Z, y]
            made.append(Exercise(task % n_folds, task, Episode(task, *parts), parts[2][:, -1]))
    return made


def learned(made, *, augment="auto", gate=True, needed=False, seed=0, **given):
    settings = {**QUICK, **given}
    return learn_to_adapt(
        made, new_module, augment=augment, gate=gate, needed=needed, seed=seed, **settings
    )


# --- exercises ------------------------------------------------------------------------------------
@pytest.mark.parametrize("residual", [True, False])
def test_training_shows_the_network_a_support_as_fit_will(residual):
    tasks = TaskSet(make_family())
    kinds = tuple(e for e in EVIDENCE.values() if not e.needs_pooled)
    sampler = EpisodeSampler(tasks, n_normal=(4, 16), n_anomalous=(0, 5), n_query=30)
    observations = observe(
        FoldedEvidence(tasks, kinds, "none", None),
        sampler,
        6,
        tasks.folds(4, 0),
        inject=lambda e, i: inject_anomalies(e.support_X, np.random.default_rng(i), 7),
    )
    mix = EvidenceMix(closed_form(kinds, 5), (4, 16), (0, 5), None, (CLOSED_FORM, CLOSED_FORM))
    view = NetworkView.from_tasks(tasks, "shrunk")
    assert len({len(o.raw.support_y) for o in observations}) > 1
    for o in observations:
        X, y = o.raw.support_X, o.raw.support_y
        features = view.features(X, y)
        evidence = CalibratedEvidence(ScaledSupport(X, y, "none"), y, kinds)
        if residual:
            at_fit = AnchoredDescription(features, evidence, mix, o.injected_X)
        else:
            at_fit = PlainDescription(features, o.injected_X)
        made = exercise(o, mix, view, residual)
        close = {"rtol": 1e-9, "atol": 1e-9}
        np.testing.assert_allclose(made.episode.support_X, at_fit.support, **close)
        np.testing.assert_array_equal(made.episode.support_y, at_fit.support_y)
        np.testing.assert_allclose(made.episode.query_X, at_fit.transform(o.raw.query_X), **close)
        np.testing.assert_array_equal(made.episode.query_y, o.raw.query_y)
        assert (made.fold, made.group, made.episode.task) == (o.fold, o.group, o.raw.task)
        closed = evidence.transform(o.raw.query_X) @ mix.weights(evidence.support, y)
        np.testing.assert_allclose(made.closed, closed, **close)
        assert (made.episode.support_y == 2).sum() == 7


# --- augmentation ---------------------------------------------------------------------------------
def permuted(seed=0, n_features=N_FEATURES):
    episode = exercises()[1].episode
    return episode, permuted_features(episode, n_features, np.random.default_rng(seed))


def placed(Z, seen):
    """Where each of the features came from, and its sign."""
    same = np.isclose(np.abs(seen)[:, :, None], np.abs(Z)[:, None]).all(axis=0)
    assert (same.sum(axis=1) == 1).all()
    order = same.argmax(axis=1)
    sign = (seen / Z[:, order])[0]
    np.testing.assert_allclose(seen, Z[:, order] * sign)
    return order.tolist(), sign.round(6).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_support_and_query_are_permuted_alike(seed):
    before, after = permuted(seed)
    order, sign = placed(before.support_X[:, :4], after.support_X[:, :4])
    assert sorted(order) == [0, 1, 2, 3]
    assert set(sign) <= {-1.0, 1.0}
    assert placed(before.query_X[:, :4], after.query_X[:, :4]) == (order, sign)


def test_evidence_closed_form_labels_and_task_stay():
    before, after = permuted()
    for name in ("support_X", "query_X"):
        Z, seen = getattr(before, name), getattr(after, name)
        assert (seen[:, :N_FEATURES] != Z[:, :N_FEATURES]).any()
        np.testing.assert_array_equal(seen[:, N_FEATURES:], Z[:, N_FEATURES:])
    np.testing.assert_array_equal(after.support_y, before.support_y)
    np.testing.assert_array_equal(after.query_y, before.query_y)
    assert after.task == before.task


@pytest.mark.parametrize("n_features", [4, 6])
def test_values_of_a_row_stay_up_to_order_and_sign(n_features):
    before, after = permuted(1, n_features)
    for Z, seen in ((before.support_X, after.support_X), (before.query_X, after.query_X)):
        np.testing.assert_array_equal(np.sort(np.abs(seen)), np.sort(np.abs(Z)))
        assert (seen[:, :n_features] != Z[:, :n_features]).any()


def test_every_feature_comes_to_every_place_with_either_sign():
    seen = set()
    for seed in range(100):
        before, after = permuted(seed)
        order, sign = placed(before.query_X[:, :4], after.query_X[:, :4])
        seen |= {(place, *moved) for place, moved in enumerate(zip(order, sign, strict=True))}
    assert seen == {(i, j, s) for i in range(4) for j in range(4) for s in (-1.0, 1.0)}


def test_the_generator_decides_on_the_permutation_and_the_episode_stays_as_it_is():
    (before, first), (_, again), (_, other) = permuted(0), permuted(0), permuted(1)
    np.testing.assert_array_equal(first.query_X, again.query_X)
    assert (first.query_X != other.query_X).any()
    np.testing.assert_array_equal(before.query_X, exercises()[1].episode.query_X)


# --- training -------------------------------------------------------------------------------------
class Drawn(Exception):
    """Ends a training once its episodes are known."""


def episodes_of(monkeypatch, made, permute, seed=0):
    """What a training would draw: a function of epoch and index."""
    caught = []

    def instead(module, data, valid, **settings):
        caught.append(data)
        raise Drawn

    monkeypatch.setattr(_maml_training, "train_episodic", instead)
    with pytest.raises(Drawn):
        _train(module_apart(), made, permute=permute, seed=seed, **QUICK)
    assert isinstance(caught[0], EpisodeDataset)
    assert len(caught[0]) == len(made)
    return caught[0].draw


def test_each_epoch_sees_every_episode_once_in_an_order_of_its_own(monkeypatch):
    made = exercises()
    draw = episodes_of(monkeypatch, made, permute=False)
    seen = [[id(draw(epoch, i)) for i in range(len(made))] for epoch in (0, 1)]
    expected = [id(e.episode) for e in made]
    assert seen[0] != seen[1]
    assert sorted(seen[0]) == sorted(seen[1]) == sorted(expected)
    assert id(episodes_of(monkeypatch, made, permute=False, seed=1)(0, 0)) in expected


def test_augmented_episodes_are_a_pure_function_of_seed_epoch_and_index(monkeypatch):
    made = exercises(per_task=1)[:1]
    draw, again, other = (episodes_of(monkeypatch, made, True, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(draw(3, 0).query_X, again(3, 0).query_X)
    different = [draw(epoch, 0).query_X for epoch in range(4)] + [other(3, 0).query_X]
    for i, Z in enumerate(different):
        assert all((elsewhere != Z).any() for elsewhere in different[:i])


@pytest.mark.parametrize("algorithm", ["maml", "reptile"])
@pytest.mark.parametrize("permute", [False, True])
def test_training_ends_in_float64_and_is_the_same_for_the_same_seed(permute, algorithm):
    made = exercises()
    runs = []
    before = torch.random.get_rng_state()
    for seed in (0, 0, 1):
        start = module_apart(algorithm).float()
        runs.append(_train(start, made, permute=permute, seed=seed, **QUICK))
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
    _, history = _train(module_apart().float(), exercises(), permute=False, seed=0, **QUICK)
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
    made, recorder = exercises(), Recorder()
    given = {**QUICK, "callbacks": [recorder], "criterion": LoudLoss}
    _train(module_apart().float(), made, permute=False, seed=0, **given)
    rates, peak = recorder.rates, int(np.argmax(recorder.rates))
    assert len(rates) == len(recorder.lengths) == 18
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert 0.9 * QUICK["lr"] < rates[peak] <= QUICK["lr"]
    assert 0 < peak < 9
    assert rates[-1] < 1e-3 * QUICK["lr"]
    np.testing.assert_allclose(recorder.lengths, 5.0, rtol=1e-3)


# --- judging --------------------------------------------------------------------------------------
def test_an_episode_is_judged_by_the_auc_of_its_closed_form_and_of_the_network():
    made = exercises(n_tasks=3)
    shorter = replace(made[1].episode, support_X=made[1].episode.support_X[1:],
                      support_y=made[1].episode.support_y[1:],
                      query_X=made[1].episode.query_X[:-5],
                      query_y=made[1].episode.query_y[:-5])  # fmt: skip
    made[1] = replace(made[1], episode=shorter, closed=made[1].closed[:-5])
    module, _ = _train(module_apart().float(), made, permute=False, seed=0, **QUICK)
    judged = _judge(module, made, fold=7)
    assert [(j.fold, j.group, j.regime) for j in judged] == (
        [(7, task, 0) for task in range(3)] + [(7, t, 1) for t in (0, 0, 1, 1, 2, 2)]
    )
    for j, e in zip(judged, [made[i] for i in (0, 3, 6, 1, 2, 4, 5, 7, 8)], strict=True):
        parts = (e.episode.support_X, e.episode.support_y, e.episode.query_X)
        with torch.no_grad():
            adapted = module(*map(torch.from_numpy, parts))
            plain = module.unadapted(torch.from_numpy(e.episode.query_X)[None])[0]
        aucs = [roc_auc_score(e.episode.query_y, s) for s in (e.closed, adapted, plain)]
        np.testing.assert_allclose(j.aucs[:3], aucs)
        assert np.isnan(j.aucs[4]) == (j.regime == 0)
        assert 0 <= j.aucs[3] <= 1
    assert len({j.aucs[1] for j in judged}) > 3


def test_a_query_of_one_class_is_not_judged():
    made = exercises(n_tasks=2)
    for i, label in ((0, 0), (1, 1)):
        alike = np.full(30, label, dtype=np.int8)
        made[i] = replace(made[i], episode=replace(made[i].episode, query_y=alike))
    judged = _judge(module_apart(), made, 0)
    assert sorted((j.group, j.regime) for j in judged) == [(0, 1), (1, 0), (1, 1), (1, 1)]


def test_more_episodes_than_are_judged_at_once_come_out_as_one_by_one():
    made = exercises(n_tasks=25)
    module, _ = _train(module_apart().float(), made[:9], permute=False, seed=0, **QUICK)
    judged = _judge(module, made, 0)
    assert len(judged) == 75
    labelled = [j for j in judged if j.regime == 1]
    for i in (0, 31, 32, 49):
        task, which = divmod(i, 2)
        [alone] = _judge(module, [made[3 * task + 1 + which]], 0)
        np.testing.assert_allclose(alone.aucs[:3], labelled[i].aucs[:3])
        assert alone.group == labelled[i].group == task
        assert np.isnan(alone.aucs[3])  # there is no other task to take a support from


def test_a_swapped_support_is_that_of_another_task():
    assert _positions_of_others(np.array([4, 4, 7, 4])).tolist() == [2, 2, 3, 2]
    assert _positions_of_others(np.array([4, 4])).tolist() == [0, 1]
    assert _positions_of_others(np.array([0, 1, 2])).tolist() == [1, 2, 0]
    made = [e for e in exercises(n_tasks=3, per_task=2) if (e.episode.support_y == 1).any()]
    module, _ = _train(module_apart().float(), made, permute=False, seed=0, **QUICK)
    swapped = _all_scores(module, made, 1)[..., 2]
    for i in range(3):
        other, own = made[(i + 1) % 3].episode, made[i].episode
        parts = (other.support_X, other.support_y, own.query_X)
        with torch.no_grad():
            expected = module(*map(torch.from_numpy, parts)).numpy()
        np.testing.assert_allclose(swapped[i], expected)


def test_labels_are_permuted_among_the_rows_of_the_support_alone():
    y = np.array([0, 0, 0, 0, 2, 1, 1, 1, 1, 2, -1, -1])
    shuffled = _permuted_labels(y)
    assert (shuffled != y).any()
    np.testing.assert_array_equal(shuffled[[4, 9, 10, 11]], y[[4, 9, 10, 11]])
    np.testing.assert_array_equal(np.sort(shuffled), np.sort(y))
    assert y.tolist() == [0, 0, 0, 0, 2, 1, 1, 1, 1, 2, -1, -1]


# --- the verdict ----------------------------------------------------------------------------------
def aucs(closed, adapted):
    return np.array([closed, adapted, 0.5, NO_AUC, NO_AUC])


@pytest.mark.parametrize(
    ("gains", "approved"),
    [
        ([(0, 0.1), (1, 0.1), (2, 0.1)], True),
        ([(0, 0.1), (0, 0.2), (1, 0.1), (1, 0.15), (2, 0.1), (2, 0.12)], True),
        ([(0, 0.3), (0, 0.3), (1, 0.3), (1, 0.3), (2, -0.01), (2, -0.01)], False),
        ([(0, 0.3), (0, -0.1), (1, 0.3), (1, 0.3), (2, 0.1), (2, -0.05)], True),
        ([(0, 0.01), (0, 0.01), (1, 0.5), (1, -0.45), (2, 0.0), (2, 0.02)], False),
        ([(0, 0.0), (1, 0.0), (2, 0.0)], False),
        ([(0, -0.1), (1, -0.1), (2, -0.1)], False),
        ([(0, 0.3), (1, 0.3)], False),
        ([(0, 0.3)], False),
        ([], False),
    ],
    ids=[
        "clear",
        "clear over several",
        "one fold loses",
        "one task loses, no fold",
        "within the noise",
        "equal",
        "worse",
        "two groups",
        "one group",
        "none",
    ],
)
def test_a_network_is_approved_where_it_clearly_wins_and_loses_in_no_fold(gains, approved):
    assert _approved([(fold, aucs(0.6, 0.6 + gain)) for fold, gain in gains]) is approved


def judgements(regime, gains, closed=0.6, episodes=2):
    """Judged episodes of a group in each fold, some better and some worse than their mean."""
    return [
        Judged(fold, fold, regime, aucs(closed, closed + gain + off))
        for fold, gain in enumerate(gains)
        for off in np.linspace(-0.05, 0.05, episodes)
    ]


def test_the_two_regimes_are_judged_apart():
    won, lost = judgements(0, [0.1, 0.1, 0.1]), judgements(1, [0.1, 0.1, -0.1])
    assert Verdict(won + lost, gate=True).approved == (True, False)
    assert Verdict(won, gate=True).approved == (True, False)
    assert Verdict([replace(j, regime=1) for j in won], gate=True).approved == (False, True)
    assert Verdict([], gate=True).approved == (False, False)


def test_without_a_gate_everything_is_approved():
    for judged in ([], judgements(0, [-0.1, -0.1, -0.1])):
        assert Verdict(judged, gate=False).approved == (True, True)


def test_a_group_weighs_the_same_however_many_episodes_it_has():
    often = judgements(0, [-0.2], episodes=50)
    seldom = [replace(j, fold=j.fold + 1, group=j.group + 1) for j in judgements(0, [0.1] * 4)]
    [report] = Verdict(often + seldom, gate=False).report
    assert report["adapted"] == pytest.approx(0.6 + (0.4 - 0.2) / 5)


def test_siblings_count_once():
    alike = [Judged(fold, 5, 0, aucs(0.6, 0.7)) for fold in (0, 0, 0, 0)]
    assert Verdict(alike, gate=True).approved == (False, False)
    apart = [replace(j, group=i, fold=i % 3) for i, j in enumerate(alike)]
    assert Verdict(apart, gate=True).approved == (True, False)


def test_the_report_names_what_was_compared():
    judged = [
        Judged(i, i, 1, np.array([0.6, 0.81234, 0.7, 0.65 + 0.01 * i, 0.5])) for i in range(3)
    ]
    judged += judgements(0, [-0.1, -0.1, -0.1])
    unlabelled, labelled = Verdict(judged, gate=True).report
    assert labelled == {
        "regime": "labelled",
        "used": "network",
        "closed form": 0.6,
        "adapted": 0.8123,
        "not adapted": 0.7,
        "swapped support": 0.66,
        "permuted labels": 0.5,
    }
    assert unlabelled == {
        "regime": "unlabelled",
        "used": "closed form",
        "closed form": 0.6,
        "adapted": 0.5,
        "not adapted": 0.5,
    }
    assert all(type(value) in (str, float) for value in labelled.values())
    assert Verdict([], gate=True).report == []


def test_quality_is_the_auc_of_what_would_be_used():
    won, lost = judgements(0, [0.1, 0.1, 0.1]), judgements(1, [-0.1, -0.1, -0.1], closed=0.9)
    assert Verdict(won + lost, gate=True).quality == pytest.approx((0.7 + 0.9) / 2)
    assert Verdict(won + lost, gate=False).quality == pytest.approx((0.7 + 0.8) / 2)


# --- what held-out tasks decide -------------------------------------------------------------------
@pytest.mark.parametrize("seed", [0, 1])
def test_where_all_anomalies_are_alike_the_features_stay_as_they_are(seed):
    result = learned(exercises(same_everywhere), seed=seed)
    assert not result.permuted
    assert result.approved == (True, True)
    for report in result.report:
        assert report["adapted"] > report["closed form"] + 0.05
    assert len(result.history) == QUICK["max_epochs"]


@pytest.mark.parametrize("seed", [0, 3])
def test_where_each_fold_has_anomalies_of_its_own_the_features_are_permuted(seed):
    made = exercises(of_its_fold_alone)
    result = learned(made, seed=seed, max_epochs=10)
    assert result.permuted
    assert result.approved[1]
    memorised = learned(made, augment=False, seed=seed, max_epochs=10).report[1]
    assert result.report[1]["adapted"] > memorised["adapted"] + 0.05


@pytest.mark.parametrize("augment", ["auto", False, True])
def test_a_perfect_closed_form_is_kept(augment):
    result = learned(exercises(perfect=True), augment=augment)
    assert result.approved == (False, False)
    assert [r["closed form"] for r in result.report] == [1.0, 1.0]
    assert [r["used"] for r in result.report] == ["closed form"] * 2
    assert result.module is None
    assert result.history == []


def test_a_network_that_is_needed_is_trained_though_the_closed_form_is_better():
    result = learned(exercises(perfect=True), augment=False, needed=True)
    assert result.approved == (False, False)
    assert isinstance(result.module, GradientAdaptation)
    assert len(result.history) == QUICK["max_epochs"]


class Spy:
    """Notes what a function is called with, and what it returns, before it is passed on."""

    def __init__(self, monkeypatch, name):
        self.calls = []
        original = getattr(_maml_training, name)

        def noting(*args, **kwargs):
            result = original(*args, **kwargs)
            self.calls.append((args, kwargs, result))
            return result

        monkeypatch.setattr(_maml_training, name, noting)


def test_folds_that_have_no_episode_leave_none_to_be_judged_untrained(monkeypatch):
    made = [replace(e, fold=3 * (e.fold % 2)) for e in exercises()]
    sizes = []
    train = _maml_training._train

    def spied(module, part, **given):
        sizes.append(len(part))
        return train(module, part, **given)

    monkeypatch.setattr(_maml_training, "_train", spied)
    learned(made, augment=False)
    assert min(sizes) > 0
    assert sum(sizes[:2]) == len(made)
    sizes.clear()
    learned([replace(e, fold=3) for e in made], augment=False)
    assert sizes == []  # one fold: nothing can be held out, and nothing is approved


@pytest.mark.parametrize(
    ("augment", "variants"), [("auto", [False, True]), (False, [False]), (True, [True])]
)
def test_held_out_tasks_are_never_trained_on(monkeypatch, augment, variants):
    made = exercises(n_folds=5, n_tasks=10, per_task=2)
    trainings, judgings = Spy(monkeypatch, "_train"), Spy(monkeypatch, "_judge")
    result = learned(made, augment=augment, max_epochs=1)
    *gate, (last_args, last_given, last_result) = trainings.calls
    assert [given["permute"] for _, given, _ in gate] == [v for v in variants for _ in range(3)]
    assert len(gate) == len(judgings.calls)
    judged = []
    for (args, _, (module, _)), ((seen, held_out, _), _, _) in zip(
        gate, judgings.calls, strict=True
    ):
        assert seen is module
        tasks = [{e.episode.task for e in part} for part in (args[1], held_out)]
        assert not tasks[0] & tasks[1]
        assert tasks[0] | tasks[1] == set(range(10))
        judged += tasks[1]
    assert sorted(judged) == sorted([*range(10)] * len(variants))
    assert last_args[1] == made
    assert last_given["permute"] == result.permuted
    assert last_result[0] is result.module


def test_every_training_starts_from_the_same_weights(monkeypatch):
    started = []

    def instead(module, part, **given):
        started.append({name: value.copy() for name, value in module.to_arrays().items()})
        return module.double().eval(), []

    monkeypatch.setattr(_maml_training, "_train", instead)
    before = torch.random.get_rng_state()
    learned(exercises(), needed=True)
    learned(exercises(), needed=True, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(started) == 14
    for name, value in started[0].items():
        assert all(np.array_equal(value, other[name]) for other in started[1:7])
    weight = "network.learner.weights.0"
    assert (started[0][weight] != started[7][weight]).any()


def test_callbacks_and_progress_bars_are_for_the_last_training_alone(monkeypatch):
    trainings = Spy(monkeypatch, "_train")
    callbacks = []
    learned(exercises(), augment=False, needed=True, verbose=0, callbacks=callbacks, max_epochs=1)
    *gate, last = [given for _, given, _ in trainings.calls]
    assert len(gate) == 3
    assert all(given["callbacks"] is None and given["verbose"] == 0 for given in gate)
    assert last["callbacks"] is callbacks


@pytest.mark.parametrize(
    ("given", "n_trainings"),
    [
        ({"augment": False, "gate": False}, 1),
        ({"augment": "auto", "gate": False}, 7),
        ({"augment": True, "gate": True, "needed": True}, 4),
    ],
)
def test_tasks_are_held_out_only_where_something_is_to_be_decided(monkeypatch, given, n_trainings):
    trainings = Spy(monkeypatch, "_train")
    result = learned(exercises(), **given, max_epochs=1)
    assert len(trainings.calls) == n_trainings
    assert result.module is trainings.calls[-1][2][0]
    if not given["gate"]:
        assert result.approved == (True, True)


@pytest.mark.parametrize("gate", [True, False])
def test_of_two_groups_of_siblings_nothing_can_be_said(monkeypatch, gate):
    trainings = Spy(monkeypatch, "_train")
    made = [replace(e, group=e.group % 2, fold=e.group % 2) for e in exercises()]
    result = learned(made, gate=gate, max_epochs=1)
    assert result.approved == (not gate, not gate)
    assert result.report == []
    assert (result.module is None) == gate
    assert len(trainings.calls) == (not gate)


def test_learning_is_the_same_for_the_same_seed():
    first, again, other = (learned(exercises(), augment=False, seed=seed) for seed in (0, 0, 1))
    assert first.report == again.report != other.report
    assert first.history == again.history != other.history
    for name, value in first.module.to_arrays().items():
        np.testing.assert_array_equal(value, again.module.to_arrays()[name])
