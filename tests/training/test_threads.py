"""Detectors use as many threads as the user asks for, and give the same scores with any number."""

import threading

import joblib
import numpy as np
import pytest
import torch
from families import EACH_CLASS, make_detector, make_family, methods_of, new_task, unlearned
from skorch.callbacks import Callback

from sklearn_fsad import config_context
from sklearn_fsad._detectors.base.adaptation import Adaptation
from sklearn_fsad._training.threads import threads_asked_for

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")


def test_a_block_asks_for_threads_and_blocks_may_be_nested():
    assert threads_asked_for() == 1
    with config_context(n_threads=3):
        with config_context(n_threads=2):
            assert threads_asked_for() == 2
        with config_context():
            assert threads_asked_for() == 3
        with config_context(n_threads=-1):
            assert threads_asked_for() == joblib.cpu_count()
        with pytest.raises(KeyError), config_context(n_threads=2):
            raise KeyError
        assert threads_asked_for() == 3
    assert threads_asked_for() == 1


@pytest.mark.parametrize("wrong", [0, -2, 1.5, True, "2"])
def test_other_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="n_threads"), config_context(n_threads=wrong):
        pass


def asked_and_asking():
    with config_context(n_threads=3):
        asking = threads_asked_for()
    return threads_asked_for(), asking


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_workers_use_one_thread_unless_they_ask_themselves(backend):
    with config_context(n_threads=2):
        work = [joblib.delayed(asked_and_asking)() for _ in range(3)]
        assert joblib.Parallel(2, backend=backend)(work) == [(1, 3)] * 3
        assert threads_asked_for() == 2


def seen_while(monkeypatch, function, n_threads):
    """Return which threads scored blocks, so many at once, and what each of them may use."""
    seen, all_there = {}, threading.Barrier(n_threads)
    score_represented = Adaptation.score_represented

    def spied(adaptation, Z):
        if threading.get_ident() not in seen:
            seen[threading.get_ident()] = threads_asked_for()
            all_there.wait(timeout=60)
        return score_represented(adaptation, Z)

    with monkeypatch.context() as patched:
        patched.setattr(Adaptation, "score_represented", spied)
        with config_context(n_threads=n_threads):
            function()
    return seen


@pytest.mark.parametrize("name", EACH_CLASS)
def test_several_threads_score_the_same_to_the_bit(name, monkeypatch):
    X, y, query, _ = new_task()
    rows = np.tile(query, (5000 // len(query), 1))
    rows = rows + np.random.default_rng(0).normal(size=rows.shape)
    detector = make_detector(name).fit(X, y)
    told = methods_of(detector, "score_samples", "predict_distribution")
    expected = {method: getattr(detector, method)(rows) for method in told}
    for n_threads in (2, 3, 64):
        with config_context(n_threads=n_threads):
            for method in told:
                found = getattr(detector, method)(rows)
                np.testing.assert_equal(found, expected[method], err_msg=method)
    seen = seen_while(monkeypatch, lambda: detector.score_samples(rows), 2)
    assert list(seen.values()) == [1, 1]  # two threads, which start no others
    seen = seen_while(monkeypatch, lambda: detector.score_samples(rows), 1)
    assert list(seen) == [threading.get_ident()]


class Watcher(Callback):
    """Note how many threads torch has while a network trains."""

    seen: list = []  # noqa: RUF012

    def on_batch_end(self, net, **kwargs):
        self.seen.append(torch.get_num_threads())


@pytest.mark.parametrize("name", ["mlp", "residual maml", "meta-fitted np", "in context"])
def test_networks_train_in_the_threads_asked_for(name):
    brief = {"episodes_per_epoch": 4, "max_epochs": 1, "callbacks": [Watcher()]}
    states = []
    for n_threads in (1, 2):
        Watcher.seen.clear()
        with config_context(n_threads=n_threads):
            detector = unlearned(name).set_params(**brief).meta_fit(make_family(4))
        assert set(Watcher.seen) == {n_threads}
        assert torch.get_num_threads() == 1
        states.append(detector.pretrained)
    for one, other in zip(*(state.arrays.values() for state in states), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_an_error_in_training_leaves_the_threads():
    class Failing(Callback):
        def on_batch_end(self, net, **kwargs):
            raise KeyError

    torch.set_num_threads(3)
    try:
        with config_context(n_threads=2), pytest.raises(KeyError):
            unlearned("mlp").set_params(callbacks=[Failing()]).meta_fit(make_family(4))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
