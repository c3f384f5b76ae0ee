"""Test that settings that cannot be used are refused by name before anything is learned."""

import io
import sys
from unittest.mock import patch

import numpy as np
import pytest
import skorch.callbacks
import torch
from families import SHOTS, make_family, new_task
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EarlyStopping, EpochScoring, LRScheduler, PrintLog, ProgressBar

from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    MetaState,
    NeuralProcessDetector,
    ProtoNetDetector,
)
from sklearn_fsad._training.net import EpisodicNet
from sklearn_fsad._training.progress import progress, steps
from sklearn_fsad.thresholds import ConformalThreshold

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")

BRIEF = {**SHOTS, "max_epochs": 1, "episodes_per_epoch": 4, "random_state": 0}
MLP = {"embedding": "mlp", "scaler": "task", "hidden": (4,)}
ALONE = {"residual": False, "gate": False, "augment": False, "hidden": (4,)}
PROCESS = {"kind": "cnp", "gate": False, "embedding_dim": 4, "anchor": "none"}
EACH = {
    "pooled": (ProtoNetDetector, {}),
    "mlp": (ProtoNetDetector, MLP),
    "maml": (MAMLDetector, ALONE),
    "process": (NeuralProcessDetector, PROCESS),
    "context": (InContextDetector, {}),
}


def brief(name, **more):
    cls, own = EACH[name]
    return cls(**{**BRIEF, **own, **more})


@pytest.fixture(params=EACH)
def name(request):
    return request.param


def refused(detector, match):
    """Before an episode is drawn and a network trained, and with the detector as it was."""
    given, drawn = detector.get_params(), AssertionError("an episode was drawn")
    with (
        patch.object(EpisodicNet, "fit_loop", side_effect=AssertionError("a network was trained")),
        patch("sklearn_fsad.tasks._episodes.EpisodeSampler.episode", side_effect=drawn),
        pytest.raises(ValueError, match=match),
    ):
        detector.meta_fit(make_family(6))
    assert detector.get_params() == given


# --- parameters that do not go together -----------------------------------------------------------
APART = [
    (ProtoNetDetector, {"embedding": "mlp", "evidence": ["off_axis"]}, "evidence=.*'mlp'"),
    (ProtoNetDetector, {"embedding": "mlp", "evidence": "support"}, "evidence='support'"),
    (ProtoNetDetector, {"hidden": (8,)}, r"hidden=\(8,\) does not apply to embedding='pooled'"),
    (ProtoNetDetector, {"adversarial_eps": 0.1}, "adversarial_eps=0.1 does not apply"),
    (ProtoNetDetector, {"evidence": ["unknown"]}, "evidence holds 'unknown'"),
    (MAMLDetector, {"algorithm": "reptile", "n_inner_steps": 0}, "n_inner_steps=0 learns nothing"),
    (MAMLDetector, {"residual": False, "max_epochs": 0}, "max_epochs=0 with residual=False"),
    (NeuralProcessDetector, {"n_heads": 5}, "embedding_dim=32 is not a multiple of n_heads=5"),
    (NeuralProcessDetector, {"reduce": "autoencoder", "kind": "convcnp"}, "reduce='autoencoder'"),
    (NeuralProcessDetector, {"reduce": "pca", "target_features": [0]}, "reduce='pca'"),
    (NeuralProcessDetector, {"kind": "convcnp", "grid_shape": (2, 2)}, r"grid_shape=\(2, 2\)"),
    (NeuralProcessDetector, {"target_features": [True, False]}, "target_features has True"),
    (NeuralProcessDetector, {"target_features": ["speed"]}, "the features are unnamed"),
    *((cls, {"hidden": hidden, **own}, r"hidden=.* must be a sequence of whole numbers")
      for cls, own in ((ProtoNetDetector, {"embedding": "mlp"}), (MAMLDetector, {}))
      for hidden in ((0,), (8, -1), ("a",), (8.5,))),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "parameters", "message"), APART)
def test_parameters_that_do_not_go_together_are_refused_by_name(cls, parameters, message):
    refused(cls(**{**BRIEF, **parameters}), message)


def test_a_state_or_path_that_meta_fit_could_not_begin_with_is_refused(name):
    refused(brief(name, pretrained="no_such_file"), "No weights file at 'no_such_file'")
    refused(brief(name, pretrained=MetaState("Other", {}, {}, 5)), "the state of a Other, not of a")


@pytest.mark.parametrize("parameter", ["scaler", "threshold"])
def test_a_class_in_place_of_an_object_is_refused(parameter):
    given = {"scaler": StandardScaler, "threshold": ConformalThreshold}[parameter]
    for fit in (ProtoNetDetector(**{parameter: given}).fit, brief("mlp", **{parameter: given}).fit):
        with pytest.raises(ValueError, match=rf"is the class .* such as {given.__name__}\(\)"):
            fit(new_task()[0])


# --- settings of the net --------------------------------------------------------------------------
NET = [
    ({"no_such_setting": 1}, "no_such_setting"),
    ({"optimizer": "adam"}, "'optimizer': 'adam'"),
    ({"optimizer__no_such": 1}, "no_such"),
    ({"criterion": "mse"}, "'criterion': 'mse'"),
    ({"module__width": 1}, "module__width"),
    ({"iterator_train__no_such": 1}, "no_such"),
    ({"lr": np.nan}, "'lr' parameter of net_params"),
    ({"max_epochs": -1}, "'max_epochs' parameter of net_params"),
    ({"batch_size": 0}, "'batch_size' parameter of net_params"),
    ({"device": "cuda:99"}, "device='cuda:99' cannot be used"),
    ({"callbacks": [3]}, "callbacks holds 3"),
]


@pytest.mark.parametrize(("net_params", "message"), NET)
def test_settings_of_the_net_that_it_does_not_take_are_refused(net_params, message, name):
    refused(brief(name, net_params=net_params), message)


@pytest.mark.parametrize("optimizer", [torch.optim.Rprop, torch.optim.Adagrad])
@pytest.mark.parametrize("name", ["mlp", "maml", "process"])
def test_any_optimiser_trains_a_network(optimizer, name):
    detector = brief(name, net_params={"optimizer": optimizer, "max_epochs": 1}, max_epochs=2)
    state = detector.meta_fit(make_family(4)).pretrained
    assert len(state.info["history"]) == 1  # net_params come first


# --- callbacks ------------------------------------------------------------------------------------
WAITING = {
    "EarlyStopping": EarlyStopping(),
    "its class": EarlyStopping,
    "another figure": EarlyStopping("valid_acc"),
    "a schedule": LRScheduler("ReduceLROnPlateau", monitor="valid_loss"),
    "a checkpoint of skorch": ("mine", skorch.callbacks.Checkpoint(dirname="unused")),
}


@pytest.mark.parametrize("kind", WAITING)
def test_a_callback_that_waits_for_validation_is_told_to_watch_the_training(kind, name):
    for where in ({"callbacks": [WAITING[kind]]}, {"net_params": {"callbacks": [WAITING[kind]]}}):
        detector = brief(name, **where)
        if name != "mlp":  # which has validation episodes, of five tasks at least
            refused(detector, r"no validation episodes: use .*monitor='train_loss")
            continue
        with pytest.raises(ValueError, match="no validation episodes"):
            detector.meta_fit(make_family(4))


def test_early_stopping_works_by_either_loss(name):
    family = make_family(6)
    by_training = EarlyStopping("train_loss", patience=1, threshold=1e9, threshold_mode="abs")
    by_training.sink = str
    state = brief(name, callbacks=[by_training], max_epochs=5).meta_fit(family).pretrained
    assert len(state.info.get("history", [])) <= 2
    if name == "mlp":
        by_validation = EarlyStopping(patience=1, threshold=1e9, threshold_mode="abs", sink=str)
        state = brief(name, callbacks=[by_validation], max_epochs=5).meta_fit(family).pretrained
        assert len(state.info["history"]) == 2


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        ("early", "callbacks holds 'early'"),
        (None, "callbacks holds None"),
        (("mine", 3), "callbacks holds 3"),
        (("clip", PrintLog()), "the name 'clip'"),
        (EpochScoring("accuracy", on_train=True), r"EpochScoring\(scoring='accuracy'\)"),
    ],
)
def test_what_cannot_be_a_callback_is_refused(callback, message, name):
    refused(brief(name, callbacks=[callback]), message)


def test_callbacks_of_skorch_that_watch_the_training_run(tmp_path):
    seen = []
    callbacks = [
        ProgressBar(),
        PrintLog(sink=seen.append),
        LRScheduler("StepLR", step_size=1),
        EpochScoring(lambda net, X, y: 1.0, name="mine", on_train=True),
        skorch.callbacks.Checkpoint(dirname=str(tmp_path), monitor="train_loss_best"),
    ]
    detector = brief("mlp", callbacks=tuple(callbacks), max_epochs=2).meta_fit(make_family(4))
    assert len(detector.pretrained.info["history"]) == 2
    assert any("mine" in line for line in seen)
    assert (tmp_path / "params.pt").is_file()


# --- no console -----------------------------------------------------------------------------------
class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


STREAMS = {"none": lambda: None, "closed": closed, "broken": Broken}


@pytest.mark.parametrize("kind", STREAMS)
def test_progress_needs_no_console(kind, monkeypatch):
    monkeypatch.setattr(sys, "stdout", STREAMS[kind]())
    monkeypatch.setattr(sys, "stderr", STREAMS[kind]())
    with progress("call", verbose=1):
        assert list(steps(range(3), "episodes")) == [0, 1, 2]


def test_training_tells_its_progress_and_needs_no_console(name, monkeypatch, capsys):
    X = make_family(1)[0][0][:12]
    brief(name, verbose=1).meta_fit(make_family(4)).fit(X)
    assert "100%" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    learned = brief(name, verbose=1).meta_fit(make_family(4)).fit(X)
    without = brief(name, verbose=1, **({"pretrained": None} if name == "context" else {})).fit(X)
    assert np.isfinite(learned.score_samples(X)).all()
    assert np.isfinite(without.score_samples(X)).all()
