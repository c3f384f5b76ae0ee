"""Networks of left-out blocks of a series: trained together, they learn what each would alone."""

import numpy as np
import pytest

from sklearn_fsad import NeuralProcessDetector
from sklearn_fsad._detectors.neural_process import self_teaching
from sklearn_fsad.series import WindowedDetector

pytestmark = pytest.mark.filterwarnings("ignore:A rate of false alarms", "ignore:.*left out of")
X = np.random.default_rng(0).normal(size=(140, 2)).cumsum(axis=0)


class OneByOne(NeuralProcessDetector):
    def _scores_by_parts(self, parts, queries):
        return None


def windowed(detector=NeuralProcessDetector, features="mean", **how):
    usual = {"episodes_per_epoch": 16, "max_epochs": 2, "lr": 0.05, "random_state": 0}
    how = {**usual, **how}
    return WindowedDetector(detector(**how), window=8, features=features)


@pytest.fixture
def trainings(monkeypatch):
    """Count the networks of each training."""
    counts, train = [], self_teaching.train_together

    def counted(modules, *args):
        counts.append(len(modules))
        return train(modules, *args)

    monkeypatch.setattr(self_teaching, "train_together", counted)
    return counts


@pytest.mark.parametrize(
    "how", [{}, {"kind": "cnp"}, {"max_context": 60}, {"scaler": "pooled"}], ids=str
)
def test_left_out_scores_are_those_of_fits_one_by_one(how, trainings):
    together = windowed(**how).fit(X)
    assert trainings == [4, 5]
    alone = windowed(OneByOne, **how).fit(X)
    assert trainings == [4, 5] + [4] * 6
    np.testing.assert_allclose(together._left_out, alone._left_out, rtol=1e-4, atol=1e-4)
    assert np.ptp(together._left_out) > 0.1
    later = X[-20:] + 1.0
    assert (together.detector_.offset_, together.n_independent_) == (
        alone.detector_.offset_,
        alone.n_independent_,
    )
    assert (together.score_samples(later) == alone.score_samples(later)).all()


def test_parts_of_unequal_epochs_learn_apart(trainings):
    detector = NeuralProcessDetector(episodes_per_epoch=16, random_state=0)
    rows = np.random.default_rng(1).normal(size=(60, 3))
    parts = [rows[:30], rows, rows[10:40]]
    states = self_teaching.states_of_parts(detector, parts, 7)
    assert sorted(trainings) == [1, 2]
    assert [len(state.info["history"]) for state in states] == [4, 8, 4]
    for state, part in zip(states, parts, strict=True):
        (alone,) = self_teaching.self_taught_states(detector, [part], 7, len(part))
        for name, array in alone.arrays.items():
            np.testing.assert_allclose(state.arrays[name], array, rtol=1e-3, atol=1e-5)


def test_without_a_network_to_train_parts_are_fitted_one_by_one(trainings):
    together, alone = (
        windowed(of, max_epochs=0).fit(X) for of in (NeuralProcessDetector, OneByOne)
    )
    assert (together._left_out == alone._left_out).all()
    assert trainings == []


def test_what_takes_more_than_a_network_a_part_is_not_scored_together():
    state = NeuralProcessDetector(max_epochs=0).fit(X).state_
    for how in ({"clean_support": True}, {"max_epochs": 0}, {"pretrained": state}):
        assert NeuralProcessDetector(**how)._scores_by_parts([X], [X]) is None


def test_with_labelled_anomalies_each_block_has_networks_for_its_label_evidence(trainings):
    y = np.where((np.arange(140) >= 120) & (np.arange(140) < 128), -1, 1)
    windowed(max_epochs=1).fit(X, y)
    assert trainings.count(5) == 1  # those of the fit without labels
    assert set(trainings) == {4, 5}


def test_a_left_out_score_knows_nothing_of_the_windows_that_are_left_out_with_it():
    changed = X.copy()
    changed[-1] += 50.0
    first, second = (windowed().fit(rows)._left_out for rows in (X, changed))
    last_block = slice(-20, -1)  # all but the window that was changed
    np.testing.assert_allclose(first[last_block], second[last_block], rtol=1e-4, atol=1e-4)
    assert abs(first[-1] - second[-1]) > 0.1
    assert np.abs(first[:80] - second[:80]).max() > 1e-3  # which have learned from it
