"""Test that long calls tell their progress by one bar and a log, where somebody wants to know."""

import io
import logging
import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from families import SHOTS, make_family, new_task
from joblib import Parallel, delayed
from sklearn.base import clone
from skorch.callbacks import Callback

from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    NeuralProcessDetector,
    ProtoNetDetector,
)
from sklearn_fsad._training import bar
from sklearn_fsad._training.progress import (
    _current,
    advance,
    expect_at_least,
    expect_more,
    expect_only,
    log_verdicts,
    phase,
    phases,
    progress,
    steps,
    unless_named,
)

pytestmark = [
    pytest.mark.usefixtures("few_trees", "few_lessons"),
    pytest.mark.filterwarnings("ignore::sklearn_fsad.exceptions.AdaptationWarning"),
]

BRIEF = {**SHOTS, "max_epochs": 1, "episodes_per_epoch": 12, "random_state": 0}
EACH = {
    "pooled": ProtoNetDetector(**BRIEF),
    "mlp": ProtoNetDetector(**BRIEF, embedding="mlp", hidden=(4,)),
    "maml": MAMLDetector(**BRIEF, hidden=(4,), augment=False),
    "process": NeuralProcessDetector(**BRIEF, kind="cnp", embedding_dim=4),
    "context": InContextDetector(**BRIEF),
}


@pytest.fixture(params=EACH)
def detector(request):
    return clone(EACH[request.param])


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A terminal as standard error, in which a bar appears soon."""
    streams = SimpleNamespace(stderr=Terminal(), modules=sys.modules)
    monkeypatch.setattr(bar, "sys", streams)
    monkeypatch.setattr(bar, "DELAY", 0.02)
    monkeypatch.setattr(bar, "_EVERY", 0.01)
    return streams.stderr


@pytest.fixture
def bars(monkeypatch):
    """Bars of tqdm that were made."""
    made = []

    class Spied(bar.tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(bar, "tqdm", Spied)
    return made


def wait_until(met):
    end = time.monotonic() + 10.0
    while not met() and time.monotonic() < end:
        time.sleep(0.005)
    assert met()


def share():
    return _current.get().share


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "sklearn_fsad-bar"]


# --- whether there is a bar -----------------------------------------------------------------------
def test_one_bar_for_the_whole_call_where_it_is_asked_for(detector, bars, capsys):
    detector.set_params(verbose=1).meta_fit(make_family(6))
    assert len(bars) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"{type(detector).__name__}.meta_fit: 100%" in shown.err
    X, y, _, _ = new_task()
    detector.fit(X, y)
    assert len(bars) == 2
    assert f"{type(detector).__name__}.fit: 100%" in capsys.readouterr().err


@pytest.mark.parametrize("verbose", [None, 0])
def test_nothing_is_shown_where_nobody_asks_and_no_terminal_is_there(verbose, bars, capsys):
    detector = clone(EACH["pooled"]).set_params(verbose=verbose).meta_fit(make_family(6))
    detector.fit(*new_task()[:2])
    assert capsys.readouterr() == ("", "")
    assert not bars
    assert not watchers()


@pytest.mark.parametrize(("verbose", "n_bars"), [(None, 1), (0, 0), (False, 0), (True, 1)])
def test_a_terminal_shows_a_bar_after_a_while_unless_it_is_to_be_silent(
    verbose, n_bars, terminal, bars
):
    with progress("call", verbose), phase("waiting"):
        time.sleep(0.1)
        if n_bars:
            wait_until(lambda: "waiting:   0%" in terminal.getvalue())  # without any step
    assert len(bars) == n_bars
    assert not terminal.getvalue() or "call: 100%" in terminal.getvalue()


def test_a_call_that_is_soon_over_shows_nothing(terminal, bars, monkeypatch):
    monkeypatch.setattr(bar, "DELAY", 60.0)
    for _ in range(3):
        EACH["pooled"].fit(*new_task()[:2])
    assert not bars
    assert terminal.getvalue() == ""
    wait_until(lambda: not watchers())


def test_net_params_come_before_the_parameter(bars, capsys):
    detector = clone(EACH["mlp"]).set_params(verbose=1, net_params={"verbose": 0})
    detector.meta_fit(make_family(6))
    assert not bars
    assert capsys.readouterr().err == ""


def test_a_notebook_shows_a_bar_without_a_terminal(monkeypatch):
    assert bar.delay_of(None) is None
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", object())
    assert bar.delay_of(None) == 5.0


def test_workers_and_other_processes_of_a_shared_training_are_silent(terminal, monkeypatch):
    assert bar.delay_of(None) == bar.DELAY
    monkeypatch.setattr(multiprocessing, "parent_process", object)
    assert bar.delay_of(None) is None
    assert bar.delay_of(1) == 0.0
    monkeypatch.setenv("RANK", "1")
    assert bar.delay_of(1) is None


# --- one bar, and how it ends ---------------------------------------------------------------------
def test_calls_within_a_call_are_a_part_of_it(terminal, bars, caplog):
    caplog.set_level(logging.INFO, "sklearn_fsad")
    with progress("outer", 1):
        expect_more(10)
        with phase("first"):
            with progress("inner", 1), phase("hidden"):
                advance(5)
            assert share() == 0.0
            advance(4)
        assert share() == 0.4
    assert len(bars) == 1
    assert [r.getMessage() for r in caplog.records] == ["outer: first took 0.0 s"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_closes_the_bar_where_it_was(error, terminal, bars):
    class Failing(Callback):
        def on_epoch_begin(self, net, **kwargs):
            wait_until(lambda: len(bars) == 1)
            raise error

    detector = clone(EACH["maml"]).set_params(callbacks=[Failing()], residual=False, verbose=None)
    with pytest.raises(error):
        detector.meta_fit(make_family(6))
    assert bars[0].disable  # as closed ones are
    assert bars[0].n < 1
    assert _current.get() is None
    wait_until(lambda: not watchers())
    with progress("next", 1):
        pass
    assert "next: 100%" in terminal.getvalue()


def test_each_thread_has_its_own_bar(terminal, bars):
    def call(i):
        with progress(f"call {i}", 1), phase("waiting"):
            time.sleep(0.05)
            if i == 2:
                raise ValueError("failed")
        return i

    assert Parallel(2, prefer="threads")(delayed(call)(i) for i in range(2)) == [0, 1]
    with pytest.raises(ValueError, match="failed"):
        Parallel(2, prefer="threads")(delayed(call)(i) for i in range(2, 4))
    wait_until(lambda: not watchers())
    assert len(bars) >= 3
    assert all(made.disable for made in bars)


def test_a_machine_that_starts_no_threads_shows_the_ends(terminal, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(bar.tqdm, "monitor_interval", 0)  # a thread of tqdm
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with progress("call", 1):
        advance()
    assert "call:   0%" in terminal.getvalue()
    assert "call: 100%" in terminal.getvalue()


# --- how far it is --------------------------------------------------------------------------------
def test_the_share_is_that_of_the_work_of_all_phases():
    with progress("call", 0):
        assert share() == 0.0
        expect_more(40)
        expect_more(60)
        for _ in steps(range(10), "drawing", cost=4.0):
            pass
        assert share() == 0.4
        with phase("training"):
            advance(20)
        assert share() == 0.6
        expect_only(20)  # the others are not needed
        assert share() == 0.75
        with phase("more than expected", cost=0.5):
            expect_at_least(80)
            assert share() == 0.6
            advance(160)
        assert share() == 0.99  # it is not over


def test_the_work_that_is_expected_is_about_what_is_done(detector, monkeypatch):
    """Each phase is counted: nearly all that is left before probabilities are learned is these."""
    seen = []

    def notice(work):
        call = _current.get()
        seen.append((call.done, call.expected - work))
        expect_only(work)

    monkeypatch.setattr("sklearn_fsad._detectors.base.detector.expect_only", notice)
    family = make_family(6)
    detector.set_params(max_epochs=2).meta_fit(family)
    ((done, expected),) = seen
    assert 0.3 * expected < done < 1.1 * expected  # less where a network is not needed


def test_phases_are_numbered_and_a_training_of_ones_own_is_one(caplog):
    caplog.set_level(logging.INFO, "sklearn_fsad")
    with progress("call", 0):
        for _ in phases("ab", "held-out tasks, fold"):
            with unless_named("training"):
                assert _current.get().text.startswith("held-out tasks, fold ")
        with unless_named("training"):
            assert _current.get().text == "training"
        assert _current.get().text == "call"
    assert [r.getMessage() for r in caplog.records] == [
        "call: held-out tasks, fold 1 of 2 took 0.0 s",
        "call: held-out tasks, fold 2 of 2 took 0.0 s",
        "call: training took 0.0 s",
    ]


def test_the_bar_tells_epoch_and_loss_of_a_training(bars, terminal):
    class Slow(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                wait_until(lambda: "epoch 1/2, train_loss 0." in terminal.getvalue())

    detector = clone(EACH["mlp"]).set_params(max_epochs=2, callbacks=[Slow()], verbose=1)
    detector.meta_fit(make_family(6))
    assert re.search(r"training: +\d+%\|.* train_loss 0\.\d{4}", terminal.getvalue())


# --- the log --------------------------------------------------------------------------------------
PHASES = {
    "pooled": ["pooling tasks", "drawing episodes", "evidence weights"],
    "mlp": ["training"],
    "maml": ["drawing episodes", "evidence weights", "training"],
    "process": ["closed form on held-out tasks", "held-out tasks, fold 1 of 3"],
    "context": ["drawing episodes", "held-out tasks, fold 5 of 5"],
}
VERDICTS = {
    "pooled": ["evidence weights"],
    "mlp": [],
    "maml": ["evidence weights", "network"],
    "process": ["covariance prior", "feature weights", "network"],
    "context": ["fine-tuning"],
}


@pytest.mark.parametrize("name", EACH)
def test_phases_and_verdicts_are_logged(name, caplog):
    caplog.set_level(logging.INFO, "sklearn_fsad")
    detector = clone(EACH[name]).meta_fit(make_family(6))
    call = f"{type(detector).__name__}.meta_fit"
    lines = [r.getMessage() for r in caplog.records]
    assert all(line.startswith(f"{call}: ") for line in lines)
    for wanted in [*PHASES[name], "probabilities"]:
        assert sum(bool(re.fullmatch(f"{call}: {wanted} took .* s", line)) for line in lines) == 1
    for choice in VERDICTS[name]:
        verdicts = "\n".join(line for line in lines if line.startswith(f"{call}: {choice} for "))
        assert re.search(r" supports: [\w ]+ kept \(held-out ROC AUC: .* [01]\.\d{3}", verdicts)


def test_a_verdict_names_what_is_kept_and_why(caplog):
    caplog.set_level(logging.INFO, "sklearn_fsad")
    regime = {"choice": "fine-tuning", "regime": "labelled", "used": "before"}
    log_verdicts(
        [
            {**regime, "roc_auc": {"before": 0.91234, "stage 1": 0.9}},
            {**regime, "used": "closed form", "roc_auc": {}},
            {"of another": "detector"},
        ]
    )
    assert [r.getMessage() for r in caplog.records] == [
        ": fine-tuning for labelled supports: given weights kept (held-out ROC AUC: before 0.912, "
        "stage 1 0.900)",
        ": fine-tuning for labelled supports: closed form kept (too few groups of tasks to "
        "compare)",
    ]


def test_the_log_is_silent_unless_it_is_configured():
    code = (
        "import logging, sklearn_fsad\n"
        "from sklearn_fsad._training.progress import phase\n"
        "with phase('quiet'): pass\n"
        "logging.getLogger('sklearn_fsad').warning('quiet too')\n"
        "logging.basicConfig(level=logging.INFO)\n"
        "with phase('told'): pass\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert "quiet" not in told.stdout + told.stderr
    assert "told took 0.0 s" in told.stderr


# --- nothing stays --------------------------------------------------------------------------------
def test_detectors_keep_nothing_of_their_bars(detector, terminal):
    assert detector.get_params()["verbose"] is None
    detector.set_params(verbose=1).meta_fit(make_family(6)).fit(*new_task()[:2])
    silent = clone(detector).set_params(verbose=0).fit(*new_task()[:2])
    assert set(vars(detector)) == set(vars(silent))
    assert pickle.loads(pickle.dumps(detector)).get_params()["verbose"] == 1
    assert clone(detector).get_params()["verbose"] == 1
