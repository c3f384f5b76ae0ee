"""The training loop: the loss, padding, what reaches the net, and how training may end."""

import threading

import numpy as np
import pytest
import torch
from families import META_FITTED, QUICK, make_detector, make_family, new_task
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad._detectors.prototypes.network import PrototypicalNetwork
from sklearn_fsad._evidence.kinds import EVIDENCE
from sklearn_fsad._evidence.mix import EvidenceMix, default_weights
from sklearn_fsad._training.batches import EpisodeDataset, collate_episodes
from sklearn_fsad._training.layers import log_shots, masked_mean, mlp
from sklearn_fsad._training.loop import train_episodic
from sklearn_fsad._training.losses import PairwiseLoss, TopLoss
from sklearn_fsad._training.seeding import torch_seed
from sklearn_fsad._training.settings import TrainingSettings
from sklearn_fsad.callbacks import Checkpoint
from sklearn_fsad.exceptions import InterruptedWarning, MetaTrainingDivergedError
from sklearn_fsad.model_selection import TaskEstimator
from sklearn_fsad.tasks import Episode

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")
both_methods = pytest.mark.parametrize("name", ["meta-fitted", "meta-fitted mlp"])

TRAININGS = ["meta-fitted", "meta-fitted mlp", "residual anil", "meta-fitted tnp"]


# --- the loss -------------------------------------------------------------------------------------
def loss_by_hand(scores, y):
    gaps = [a - b for a in scores[y == 1] for b in scores[y == 0]]
    return np.mean([np.log1p(np.exp(-gap)) for gap in gaps])


def test_pairwise_loss_is_the_mean_over_pairs_and_then_over_episodes():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, 6))
    y = np.array([[0, 0, 1, 0, 1, 0], [1, 1, 1, 1, 0, 1], [0, 1, 0, 1, 0, 1]])
    expected = np.mean([loss_by_hand(s, label) for s, label in zip(scores, y, strict=True)])
    loss = PairwiseLoss()(torch.from_numpy(scores), torch.from_numpy(y))
    assert loss.item() == pytest.approx(expected)


def test_pairwise_loss_ignores_padding_and_episodes_without_a_pair():
    scores = torch.tensor([[1.0, 3.0, 2.0, 99.0], [5.0, 6.0, -99.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    y = torch.tensor([[0, 1, 0, -1], [0, 0, -1, -1], [1, 1, 1, 1]])
    expected = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0))) / 2
    assert PairwiseLoss()(scores, y).item() == pytest.approx(expected, rel=1e-6)
    assert PairwiseLoss()(scores[1:], y[1:]).item() == 0.0


def test_the_top_loss_compares_anomalies_with_the_strangest_normals():
    scores = torch.tensor([[0.0, 1.0, 5.0, 2.0, 9.0], [3.0, 1.0, 0.0, 0.0, 0.0]])
    y = torch.tensor([[0, 0, 1, 1, -1], [0, 0, 0, -1, -1]])
    top = np.log(np.mean(np.exp([0.0, 2.0])))
    expected = np.mean([np.log1p(np.exp(top - 2 * a + 2.0)) for a in (5.0, 2.0)])
    assert TopLoss()(scores, y).item() == pytest.approx(expected, rel=1e-6)  # the second has none
    assert TopLoss()(scores[1:], y[1:]).item() == 0.0
    strange = scores.clone()
    strange[0, 1] = 4.0
    calm = scores.clone()
    calm[0, 0] = -4.0
    assert TopLoss()(strange, y) > 2 * TopLoss()(scores, y)
    assert TopLoss()(calm, y) > 0.8 * TopLoss()(scores, y)


def test_pairwise_loss_leaves_padding_without_gradient():
    scores = torch.tensor([[1.0, 3.0, 2.0, 99.0]], requires_grad=True)
    PairwiseLoss()(scores, torch.tensor([[0, 1, 0, -1]])).backward()
    assert scores.grad[0, 3] == 0.0
    assert scores.grad[0, 1] < 0.0 < scores.grad[0, 0]


# --- padding --------------------------------------------------------------------------------------
def some_episodes(n_features):
    rng = np.random.default_rng(0)
    episodes = []
    for n, k, m in ((5, 0, 6), (9, 3, 4), (2, 1, 8)):
        y, query_y = [0] * n + [1] * k, [0, 1] * (m // 2)
        episodes.append(
            Episode(
                0,
                rng.normal(size=(n + k, n_features)),
                np.array(y, dtype=np.int8),
                rng.normal(size=(m, n_features)),
                np.array(query_y, dtype=np.int8),
            )
        )
    return episodes


def network():
    torch.manual_seed(0)
    return PrototypicalNetwork(mlp(12, (7,), 3)).double()


def mix():
    theta = np.random.default_rng(0).normal(size=(3, 12))
    return EvidenceMix(default_weights(tuple(EVIDENCE.values()), False), (5, 50), (0, 10), theta)


@pytest.mark.parametrize("make_module", [network, mix])
def test_a_padded_batch_equals_its_episodes_one_by_one(make_module):
    with torch.random.fork_rng():
        module = make_module()
    episodes = some_episodes(12)
    inputs, query_y = collate_episodes(episodes, torch.float64)
    assert inputs["support_X"].shape == (3, 12, 12)
    assert inputs["query_X"].shape == (3, 8, 12)
    with torch.no_grad():
        together = module(**inputs)
        for row, labels, e in zip(together, query_y, episodes, strict=True):
            alone = module(*(torch.from_numpy(p) for p in (e.support_X, e.support_y, e.query_X)))
            m = len(e.query_y)
            np.testing.assert_allclose(row[:m], alone, rtol=1e-10)
            assert labels[:m].tolist() == e.query_y.tolist()
            assert (labels[m:] == -1).all()


def test_means_and_shots_do_not_count_padding():
    X = torch.tensor([[[1.0], [3.0], [100.0]]])
    y = torch.tensor([[0, 0, -1]])
    assert masked_mean(X, y == 0).tolist() == [[2.0]]
    assert masked_mean(X, y == 1).tolist() == [[0.0]]
    log_n, log_k1 = log_shots(torch.tensor([[0, 0, 1, -1], [0, 0, 0, 0]]))
    np.testing.assert_allclose(log_n, np.log([2, 4]))
    np.testing.assert_allclose(log_k1, [np.log(2), 0])


# --- the loop -------------------------------------------------------------------------------------
def test_each_epoch_asks_for_its_own_episodes():
    asked = []
    episodes = some_episodes(12)

    def draw(epoch, index):
        asked.append((epoch, index))
        return episodes[index]

    module = mix()
    data = EpisodeDataset(draw, 3)
    trained, history = train_episodic(
        module, data, None,
        TrainingSettings(lr=0.1, max_epochs=4, batch_size=2, dtype=torch.float64,
                         skorch={"criterion": PairwiseLoss}),
    )  # fmt: skip
    assert asked == [(epoch, index) for epoch in range(4) for index in range(3)]
    assert trained is module
    assert len(history) == 4
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_net_params_override_a_detectors_parameters():
    given = {"lr": 0.5, "max_epochs": 3, "batch_size": 7, "device": "meta", "callbacks": None,
             "optimizer": torch.optim.SGD}  # fmt: skip
    detector = ProtoNetDetector(lr=0.1, callbacks=[Callback()], net_params=given)
    settings = detector._net_settings(lr=0.2, seed=4).with_defaults(optimizer=torch.optim.Adam)
    assert settings.of_net() == {name: given[name] for name in given if name != "callbacks"}
    assert settings.callbacks == ()
    assert settings.seed == 4
    assert detector.set_params(net_params=None)._net_settings(lr=0.2, seed=4).lr == 0.1
    assert detector.set_params(lr=None)._net_settings(lr=0.2, seed=4).lr == 0.2


def test_settings_for_held_out_tasks_keep_the_checkpoints_alone():
    checkpoint = Checkpoint("folder")
    settings = TrainingSettings(lr=0.1, max_epochs=2, keep_on_interrupt=True,
                                callbacks=[Callback(), ("mine", checkpoint)])  # fmt: skip
    held_out = settings.for_held_out()
    assert list(held_out.callbacks) == [checkpoint]
    assert (held_out.keep_on_interrupt, held_out.lr) == (False, 0.1)


class Recorder(Callback):
    """Counts epochs in a list that copies share, and in a number that they do not."""

    def __init__(self, log):
        self.log = log
        self.count = 0

    def on_epoch_end(self, net, **kwargs):
        self.count += 1
        self.log.append(
            (type(net.optimizer_).__name__, net.optimizer_.param_groups[0].get("weight_decay"))
        )

    def __deepcopy__(self, memo):
        copied = Recorder(self.log)
        copied.count = self.count
        return copied

    def __sklearn_clone__(self):
        return Recorder(self.log)


@both_methods
def test_net_params_reach_the_net_and_the_callers_dict_and_callbacks_stay_as_they_are(name):
    log = []
    recorder = Recorder(log)
    net_params = {"optimizer": torch.optim.SGD, "optimizer__weight_decay": 0.125}
    callbacks = [recorder]
    detector = make_detector(name).set_params(
        max_epochs=2, net_params=net_params, callbacks=callbacks
    )
    detector.meta_fit(make_family())
    assert log == [("SGD", 0.125)] * 2
    assert recorder.count == 0
    assert not hasattr(recorder, "net")
    assert callbacks == [recorder]
    assert net_params == {"optimizer": torch.optim.SGD, "optimizer__weight_decay": 0.125}
    assert detector.net_params is net_params


class Compiled(nn.Module):
    """A module as ``torch.compile`` returns it, whose weights have other names; nothing is slow."""

    def __init__(self, module, **settings):
        super().__init__()
        self._orig_mod = module

    def forward(self, *inputs, **named):
        return self._orig_mod(*inputs, **named)

    def __getattr__(self, name):
        return super().__getattr__(name) if name == "_orig_mod" else getattr(self._orig_mod, name)


@pytest.mark.parametrize("name", ["meta-fitted mlp", "residual anil", "meta-fitted in context"])
def test_a_compiled_net_learns_the_same(name, monkeypatch, tmp_path):
    monkeypatch.setattr(torch, "compile", Compiled)
    brief = {"max_epochs": 1, "episodes_per_epoch": 4}
    expected = make_detector(name).set_params(**brief).meta_fit(make_family(4)).pretrained
    detector = make_detector(name).set_params(
        **brief, net_params={"compile": True}, callbacks=[Checkpoint(tmp_path)]
    )
    for _ in range(2):  # the second one reads what the first has saved
        assert detector.meta_fit(make_family(4)).pretrained == expected


@both_methods
def test_named_callbacks_are_accepted(name):
    log = []
    callbacks = [("mine", Recorder(log))]
    make_detector(name).set_params(max_epochs=2, callbacks=callbacks).meta_fit(make_family())
    assert len(log) == 2
    assert callbacks[0][1].count == 0


@both_methods
@pytest.mark.parametrize("named", [False, True])
def test_callbacks_may_hold_what_cannot_be_copied(name, named):
    class Writing(Callback):
        def __init__(self, lock, log):
            self.lock, self.log = lock, log

        def on_epoch_end(self, net, **kwargs):
            self.epoch_ = len(net.history)
            self.log.append(self.lock)

    callback = Writing(threading.Lock(), log := [])
    callbacks = [("mine", callback) if named else callback]
    make_detector(name).set_params(max_epochs=2, callbacks=callbacks).meta_fit(make_family())
    assert log == [callback.lock] * 2
    assert not hasattr(callback, "epoch_")


@both_methods
@pytest.mark.parametrize("typo", ["optimzer__weight_decay", "max_epoch", "optimizer__wait_decay"])
def test_misspelt_net_params_are_refused_and_the_former_state_stays(name, typo):
    detector = make_detector(name)
    state = detector.pretrained
    detector.set_params(net_params={typo: 3})
    with pytest.raises((TypeError, ValueError), match=typo.split("__")[-1]):
        detector.meta_fit(make_family())
    assert detector.pretrained is state


class NotANumber(nn.Module):
    """A loss that becomes NaN once the scores have moved."""

    def forward(self, scores, y):
        return scores.sum() * float("nan")


@pytest.mark.parametrize(
    ("name", "cause"),
    [(name, "criterion") for name in META_FITTED]
    # an autoencoder that only corrects has weights that grow without bound and a finite loss
    + [(name, "lr") for name in META_FITTED if name != "residual anil"],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_not_finite_stops_at_once_and_keeps_the_former_state(name, cause):
    X, y, query, _ = new_task()
    detector = make_detector(name).fit(X, y)
    state, expected = detector.pretrained, detector.decision_function(query)
    if cause == "criterion":
        detector.set_params(net_params={"criterion": NotANumber})
    else:
        in_float64 = getattr(detector, "embedding", None) == "pooled"
        detector.set_params(lr=1e300 if in_float64 else 1e30)
    with pytest.raises(MetaTrainingDivergedError, match=r"became (nan|inf) in epoch") as caught:
        detector.meta_fit(make_family())
    assert "Lower lr" in str(caught.value)
    assert detector.pretrained is state
    np.testing.assert_array_equal(detector.decision_function(query), expected)


class Interrupting(Callback):
    """Ctrl-C when some epochs are over, in the middle of the next."""

    def __init__(self, n_whole):
        self.n_whole = n_whole

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == self.n_whole + 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", META_FITTED)
def test_ctrl_c_in_the_first_epoch_leaves_all_as_it_was(name):
    X, y, query, _ = new_task()
    detector = make_detector(name).fit(X, y)
    state, expected = detector.pretrained, detector.decision_function(query)
    detector.set_params(callbacks=[Interrupting(0)])
    with pytest.raises(KeyboardInterrupt):
        detector.meta_fit(make_family())
    assert detector.pretrained is state
    np.testing.assert_array_equal(detector.decision_function(query), expected)


@pytest.mark.parametrize("name", TRAININGS)
def test_ctrl_c_keeps_the_whole_epochs_and_is_let_through(name):
    detector = make_detector(name)
    n_epochs = detector.max_epochs
    detector.set_params(callbacks=[Interrupting(1)])
    with (
        pytest.warns(InterruptedWarning, match=f"after 1 of {n_epochs} epochs"),
        pytest.raises(KeyboardInterrupt),
    ):
        detector.meta_fit(make_family())
    assert len(detector.pretrained.info["history"]) <= 1
    X, y, query, _ = new_task()
    assert np.isfinite(detector.set_params(callbacks=None).fit(X, y).score_samples(query)).all()


def test_weights_after_ctrl_c_are_those_of_as_many_epochs():
    detector = make_detector("meta-fitted mlp").set_params(max_epochs=5)
    detector.set_params(callbacks=[Interrupting(3)])
    with pytest.warns(InterruptedWarning), pytest.raises(KeyboardInterrupt):
        detector.meta_fit(make_family())
    stopped = detector.pretrained
    whole = detector.set_params(callbacks=None, max_epochs=3).meta_fit(make_family()).pretrained
    assert stopped.info["history"] == whole.info["history"]
    for name in set(whole.arrays) - {"probability"}:
        np.testing.assert_array_equal(stopped.arrays[name], whole.arrays[name])


def test_ctrl_c_ends_a_search():
    search = GridSearchCV(
        TaskEstimator(make_detector("meta-fitted").set_params(callbacks=[Interrupting(1)])),
        {"detector__max_epochs": [2, 3]},
        cv=2,
    )
    with pytest.warns(InterruptedWarning), pytest.raises(KeyboardInterrupt):
        search.fit(make_family())
    assert not hasattr(search, "best_estimator_")


def test_early_stopping_ends_the_training_quietly_and_keeps_the_best_epoch(monkeypatch):
    monkeypatch.setattr("sklearn_fsad._detectors.prototypes.network._PATIENCE", 2)
    detector = ProtoNetDetector(
        embedding="mlp", **{**QUICK, "max_epochs": 60, "lr": 0.3, "episodes_per_epoch": 16}
    ).meta_fit(make_family())
    losses = [epoch["valid_loss"] for epoch in detector.pretrained.info["history"]]
    assert len(losses) < 60
    assert int(np.argmin(losses)) < len(losses) - 1


def test_a_seed_is_of_the_cpu_alone(monkeypatch):
    def seeded(seed):
        raise AssertionError("a generator of CUDA was seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded)
    former = torch.get_rng_state()
    with torch_seed(3):
        drawn = torch.rand(2)
    assert torch.equal(torch.get_rng_state(), former)
    expected = torch.rand(2, generator=torch.Generator().manual_seed(3))
    assert torch.equal(drawn, expected)
