"""Checkpoints: a meta-training that was killed goes on where it was, bit for bit."""

import os
import pickle
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from families import MAML, PROCESSES, make_family, unlearned
from sklearn.base import clone
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, LRScheduler

from sklearn_fsad import MetaState
from sklearn_fsad._training import net
from sklearn_fsad.callbacks import Checkpoint
from sklearn_fsad.exceptions import WeightsError

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")

NAMES = ("support", "mix", "mlp", *MAML, *PROCESSES, "in context")
EPOCHS, KILLED_IN = 4, 3


class Killing(Callback):
    """Fails in an epoch, as a power cut would."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == KILLED_IN:
            raise OSError("power cut")


class Counting(Callback):
    """Notes the epochs that were trained, in a list that copies share."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, net, **kwargs):
        self.epochs.append(len(net.history))

    def __sklearn_clone__(self):
        return self


class Averaging(Callback):
    """Keeps a running mean of the weights and puts it in at the end."""

    def on_train_begin(self, net, **kwargs):
        self.mean_ = None

    def on_epoch_end(self, net, **kwargs):
        now = {name: value.clone() for name, value in net.module_.state_dict().items()}
        if self.mean_ is not None:
            now = {name: (value + self.mean_[name]) / 2 for name, value in now.items()}
        self.mean_ = now

    def on_train_end(self, net, **kwargs):
        net.module_.load_state_dict(self.mean_)


def brief(name, *callbacks, **more):
    """A detector that learns for a few epochs of a few episodes."""
    settings = {"max_epochs": EPOCHS, "episodes_per_epoch": 12}
    if name == "in context":
        settings["episodes_per_epoch"] = 6
    if name == "mlp":
        settings["scaler"] = "task"  # finding the best one takes longer than learning
    return unlearned(name).set_params(**{**settings, **more}, callbacks=list(callbacks))


@cache
def learned(name):
    return brief(name).meta_fit(make_family(4)).pretrained


def killed(name, folder, *callbacks, **more):
    """Leave behind what a meta_fit does that is killed in its third epoch."""
    with pytest.raises(OSError, match="power cut"):
        brief(name, *callbacks, Killing(), Checkpoint(folder), **more).meta_fit(make_family(4))


@pytest.mark.parametrize("name", NAMES)
def test_24_killed_and_resumed_equals_uninterrupted_bit_for_bit(name, tmp_path):
    epochs = []
    killed(name, tmp_path, Counting(epochs))
    assert epochs == list(range(1, KILLED_IN))
    resumed = brief(name, Counting(epochs), Checkpoint(tmp_path)).meta_fit(make_family(4))
    assert resumed.pretrained == learned(name)
    assert epochs[:EPOCHS] == list(range(1, EPOCHS + 1))  # no epoch was trained twice


KILLED_FOR_GOOD = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from families import make_family, unlearned
from skorch.callbacks import Callback
from sklearn_fsad.callbacks import Checkpoint

class Killing(Callback):
    def on_batch_end(self, net, **kwargs):
        if len(net.history) == 6:
            os.kill(os.getpid(), signal.SIGKILL)

detector = unlearned("mlp").set_params(
    max_epochs=10, episodes_per_epoch=12, scaler="task"
)
detector.set_params(callbacks=[Killing(), Checkpoint({folder!r})])
detector.meta_fit(make_family(4))
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_24_five_epochs_of_a_killed_process_and_five_more_equal_ten(tmp_path):
    tests = str(Path(__file__).parent)
    program = KILLED_FOR_GOOD.format(tests=tests, folder=str(tmp_path / "new" / "folder"))
    process = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    epochs = []
    more = {"max_epochs": 10}
    resumed = brief("mlp", Checkpoint(tmp_path / "new" / "folder"), Counting(epochs), **more)
    resumed.meta_fit(make_family(4))
    assert epochs == [6, 7, 8, 9, 10]
    assert resumed.pretrained == brief("mlp", **more).meta_fit(make_family(4)).pretrained


@pytest.mark.filterwarnings("ignore:On held-out tasks:sklearn_fsad.exceptions.AdaptationWarning")
@pytest.mark.parametrize("name", ["residual maml", "meta-fitted tnp"])
def test_24_trainings_on_held_out_tasks_are_kept_too(name, tmp_path):
    callbacks = [Counting([]), Checkpoint(tmp_path)]
    detector = brief(name, *callbacks, max_epochs=2).set_params(gate=True)
    family = [*make_family(4), *make_family(4, seed=7)]
    if name == "residual maml":
        detector.set_params(augment="auto")
    expected = clone(detector).set_params(callbacks=None).meta_fit(family).pretrained
    assert detector.meta_fit(family).pretrained == expected
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert files
    if name == "residual maml":  # its twelve networks are trained together
        (path,) = files
        assert "'networks.11.learner.weights.0'" in str(MetaState.load(path).info["training"])
    assert detector.meta_fit(family).pretrained == expected
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files


def test_24_what_was_finished_is_only_read(tmp_path):
    epochs = []
    detector = brief("mlp", Counting(epochs), Checkpoint(tmp_path))
    for _ in range(2):
        assert detector.meta_fit(make_family(4)).pretrained == learned("mlp")
    assert epochs == list(range(1, EPOCHS + 1))


def changed_row():
    (X, y), *rest = make_family(4)
    X = X.copy()
    X[3, 1] += 1e-9
    return [(X, y), *rest]


CHANGES = {
    "lr": ({"lr": 0.0031}, None),
    "more epochs": ({"max_epochs": EPOCHS + 1}, None),
    "another seed": ({"random_state": 1}, None),
    "shots": ({"n_normal": (4, 15)}, None),
    "settings of the net": ({"net_params": {"optimizer__weight_decay": 0.1}}, None),
    "one entry of one row": ({}, changed_row),
    "fewer tasks": ({}, lambda: make_family(4)[1:]),
}


def test_24_another_training_never_goes_on_from_it(tmp_path):
    killed("mlp", tmp_path)
    for parameters, tasks in CHANGES.values():
        epochs = []
        detector = brief("mlp", Counting(epochs), Checkpoint(tmp_path), **parameters)
        detector.meta_fit(make_family(4) if tasks is None else tasks())
        assert epochs[0] == 1, (parameters, tasks)
    assert len(os.listdir(tmp_path)) == 1 + len(CHANGES)


def test_24_networks_that_start_alike_but_learn_otherwise_are_told_apart(tmp_path):
    for algorithm in ("maml", "fomaml"):
        epochs = []
        parameters = {"algorithm": algorithm, "residual": False}
        callbacks = (Counting(epochs), Checkpoint(tmp_path))
        brief("residual maml", *callbacks, **parameters).meta_fit(make_family(4))
        assert epochs == list(range(1, EPOCHS + 1))


CALLBACKS = {
    "a schedule by epochs": lambda: [LRScheduler("StepLR", step_size=2, gamma=0.1)],
    "a schedule by losses": lambda: [LRScheduler("ReduceLROnPlateau", monitor="train_loss")],
    "stopping early": lambda: [
        EarlyStopping("train_loss", patience=1, threshold=0.9, load_best=True, sink=str)
    ],
    "a running mean": lambda: [("mean", Averaging())],
    "a score": lambda: [EpochScoring(lambda net, X, y: float(len(net.history)), name="n")],
}


@pytest.mark.parametrize("kind", CALLBACKS)
def test_24_what_other_callbacks_know_is_kept(kind, tmp_path):
    expected = brief("mlp", *CALLBACKS[kind](), lr=0.05).meta_fit(make_family(4)).pretrained
    if kind == "stopping early":
        assert len(expected.info["history"]) < EPOCHS
        interrupted = brief("mlp", *CALLBACKS[kind](), Checkpoint(tmp_path), lr=0.05)
        interrupted.meta_fit(make_family(4))
    else:
        killed("mlp", tmp_path, *CALLBACKS[kind](), lr=0.05)
    resumed = brief("mlp", ("mine", Checkpoint(tmp_path)), *CALLBACKS[kind](), lr=0.05)
    assert resumed.meta_fit(make_family(4)).pretrained == expected


def test_24_a_checkpoint_leaves_the_result_and_the_generator_alone(tmp_path):
    before = torch.get_rng_state()
    killed("meta-fitted np", tmp_path)
    detector = brief("meta-fitted np", Checkpoint(tmp_path)).meta_fit(make_family(4))
    assert detector.pretrained == learned("meta-fitted np")
    np.testing.assert_array_equal(torch.get_rng_state(), before)


def test_24_a_damaged_checkpoint_is_refused_and_named(tmp_path):
    killed("mlp", tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    state = MetaState.load(path)
    foreign = MetaState("ProtoNetDetector", {}, state.arrays, None, info=state.info)
    detector = brief("mlp", Checkpoint(tmp_path))
    for data, reason in (
        (b"", "not a weights file"),
        (pickle.dumps(state), "not a weights file"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "damaged"),
    ):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=reason) as caught:
            detector.meta_fit(make_family(4))
        assert path.name in str(caught.value)
        assert detector.pretrained is None
    foreign.save(path)
    with pytest.raises(WeightsError, match="holds a ProtoNetDetector, not a checkpoint"):
        detector.meta_fit(make_family(4))
    path.unlink()
    assert detector.meta_fit(make_family(4)).pretrained == learned("mlp")


def test_24_a_write_that_fails_keeps_the_epoch_before(tmp_path, monkeypatch):
    replace, calls = os.replace, []

    def full(*paths):
        calls.append(paths)
        if len(calls) == KILLED_IN:
            raise OSError("disk full")
        replace(*paths)

    monkeypatch.setattr(os, "replace", full)
    epochs = []
    detector = brief("mlp", Counting(epochs), Checkpoint(tmp_path))
    with pytest.raises(OSError, match="disk full"):
        detector.meta_fit(make_family(4))
    assert len(os.listdir(tmp_path)) == 1
    assert detector.meta_fit(make_family(4)).pretrained == learned("mlp")
    assert epochs == [1, 2, 3, 3, 4]


def test_a_detector_with_a_checkpoint_can_be_cloned_and_pickled(tmp_path):
    detector = brief("mlp", Checkpoint(str(tmp_path)))
    for copy in (clone(detector), pickle.loads(pickle.dumps(detector))):
        assert copy.callbacks[0].dirname == str(tmp_path)
        assert copy.meta_fit(make_family(4)).pretrained == learned("mlp")
    assert len(os.listdir(tmp_path)) == 1
    assert vars(detector.callbacks[0]) == {"dirname": str(tmp_path)}


def test_a_process_that_learns_from_the_rows_of_fit_keeps_that_training_too(tmp_path):
    X = make_family(1)[0][0][:16]
    expected = brief("meta-fitted tnp", max_epochs=2).fit(X).decision_function(X)
    for _ in range(2):
        detector = brief("meta-fitted tnp", Checkpoint(tmp_path), max_epochs=2).fit(X)
        np.testing.assert_array_equal(detector.decision_function(X), expected)
    assert os.listdir(tmp_path)


def test_the_progress_of_a_resumed_training_counts_from_where_it_was(tmp_path, monkeypatch):
    killed("mlp", tmp_path)
    counted = []
    monkeypatch.setattr(net, "advance", lambda *told: counted.append(told))
    detector = brief("mlp", Checkpoint(tmp_path)).meta_fit(make_family(4))
    assert sum(n for n, _ in counted) == EPOCHS * detector.episodes_per_epoch
    assert len(counted) < EPOCHS
    assert counted[-1][1].startswith(f"epoch {EPOCHS}/{EPOCHS}, train_loss ")
