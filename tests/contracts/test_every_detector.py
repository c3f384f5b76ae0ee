"""Test what every public detector promises: scores, threads, memory, random states."""

import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier

import numpy as np
import pandas as pd
import pytest
import torch
from families import (
    EACH_CLASS,
    META_FITTED,
    META_OF_EACH_CLASS,
    ONE_WIDTH,
    far_off,
    make_detector,
    methods_of,
    new_task,
)
from sklearn.base import clone
from skorch.callbacks import Callback

from sklearn_fsad import (
    ProtoNetDetector,
    TaskSet,
)

N_THREADS = 5
ONE_EPOCH = {"max_epochs": 1, "episodes_per_epoch": 8}
THREE_EPOCHS = {"max_epochs": 3, "episodes_per_epoch": 8}

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")


# --- one row, many rows, many threads -------------------------------------------------------------
def assert_scores_alone_are_those_in_a_batch(detector, n_support):
    X, y, query, _ = new_task(n_support=n_support, n_query=300)
    detector.fit(X, y)
    batch = detector.score_samples(query)
    some = list(range(0, len(query), 23))
    alone = np.concatenate([detector.score_samples(query[i : i + 1]) for i in some])
    np.testing.assert_array_equal(alone, batch[some])
    chunks = np.split(query, [1, 4, 130, 131])
    np.testing.assert_array_equal(np.concatenate([*map(detector.score_samples, chunks)]), batch)
    np.testing.assert_array_equal(detector.score_samples(query[::-1])[::-1], batch)
    np.testing.assert_array_equal(detector.predict(query[:1]), detector.predict(query)[:1])


def test_a_row_scores_the_same_alone_and_in_a_batch(detector):
    assert_scores_alone_are_those_in_a_batch(detector, 12)


# blocks are as small as many rows of the support make them, whatever is scored in them
@pytest.mark.parametrize(
    "name", [*dict.fromkeys((*EACH_CLASS, *META_OF_EACH_CLASS)), "meta-fitted mlp"]
)
def test_a_row_scores_the_same_alone_beside_a_large_support(name):
    assert_scores_alone_are_those_in_a_batch(make_detector(name), 700)


def test_what_is_said_of_a_row_is_the_same_alone_and_in_any_chunk(ready, task):
    query = task[2][:20]
    for method in methods_of(ready, "transform", "feature_scores"):
        function = getattr(ready, method)
        whole = function(query)
        for parts in (np.split(query, [3, 4, 11]), np.split(query, len(query))):
            np.testing.assert_array_equal(np.concatenate([*map(function, parts)]), whole)


def in_threads(function):
    """Results of a function called with 0 to 4 in threads that start together."""
    start = Barrier(N_THREADS)

    def run(i):
        start.wait()
        return function(i)

    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(run, range(N_THREADS)))


def test_threads_scoring_at_once_agree_with_one(ready, task):
    query = task[2]
    restored = pickle.loads(pickle.dumps(ready))  # builds its module when first used
    expected = ready.decision_function(query)
    for fitted in (ready, restored):  # each thread has rows of its own
        found = in_threads(lambda i, f=fitted: f.decision_function(np.roll(query, i, axis=0)))
        for i, scores in enumerate(found):
            np.testing.assert_array_equal(scores, np.roll(expected, i))


@far_off
def test_threads_fitting_clones_that_share_a_state_agree_with_one(detector, task):
    X, y, query, _ = task
    digest = getattr(detector.pretrained, "sha256", None)
    rows = [np.delete(np.arange(len(X)), i) for i in range(N_THREADS)]
    alone = [clone(detector).fit(X[r], y[r]).decision_function(query) for r in rows]
    together = in_threads(
        lambda i: clone(detector).fit(X[rows[i]], y[rows[i]]).decision_function(query)
    )
    for scores, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(scores, expected)
    assert getattr(detector.pretrained, "sha256", None) == digest


# --- randomness -----------------------------------------------------------------------------------
def global_state():
    return (
        pickle.dumps(np.random.get_state()),  # noqa: NPY002
        torch.random.get_rng_state().numpy().tobytes(),
        random.getstate(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
    )


class Failing(Callback):
    """Raises at the end of the second epoch."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise OSError("disk full")


@pytest.mark.parametrize("name", META_FITTED)
def test_global_random_states_and_threads_stay_as_they_are(name, family, task):
    X, y, query, query_y = task
    before = global_state()
    detector = make_detector(name).set_params(random_state=None, **THREE_EPOCHS)
    detector.set_params(random_state=3).meta_fit(family[:5])
    assert global_state() == before
    detector.fit(X, y).score(query, query_y)
    assert global_state() == before
    with pytest.raises(OSError, match="disk full"):
        detector.set_params(callbacks=[Failing()]).meta_fit(family[:5])
    assert global_state() == before
    with pytest.raises(ValueError, match="infinity"):
        detector.fit(np.full_like(X, np.inf))
    assert global_state() == before


@pytest.mark.parametrize("name", META_FITTED)
def test_the_same_seed_twice_gives_equal_states_and_another_differs(name, family):
    detector, family = make_detector(name).set_params(**THREE_EPOCHS), family[:5]
    first = detector.meta_fit(family).pretrained
    again = detector.meta_fit(family).pretrained  # a second call starts afresh
    assert again == first
    assert again is not first
    for array, other in zip(first.arrays.values(), again.arrays.values(), strict=True):
        np.testing.assert_array_equal(array, other)
    assert clone(detector).set_params(random_state=1).meta_fit(family).pretrained != first


@pytest.mark.parametrize("name", META_OF_EACH_CLASS)
def test_every_form_of_tasks_gives_an_equal_state(name, family):
    detector, family = make_detector(name).set_params(**ONE_EPOCH), family[:5]
    expected = clone(detector).meta_fit(family).pretrained
    X = np.concatenate([X_t for X_t, _ in family])
    y = np.concatenate([y_t for _, y_t in family])
    groups = np.repeat(np.arange(len(family)), [len(y_t) for _, y_t in family])
    forms = {
        "dict": ({f"pump {i}": pair for i, pair in enumerate(family)}, None, None),
        "generator": (((X_t, y_t) for X_t, y_t in family), None, None),
        "task set": (TaskSet(family), None, None),
        "signed labels": ([(X_t, 1 - 2 * y_t) for X_t, y_t in family], None, None),
        "two lists": ([X_t for X_t, _ in family], [y_t for _, y_t in family], None),
        "flat": (X, y, groups),
        "flat series": (X, pd.Series(y), pd.Series([f"pump {g}" for g in groups])),
    }
    if name != "meta-fitted":  # one function of the base class reads them all
        forms = {form: forms[form] for form in ("generator", "flat series")}
    for form, (X_form, y_form, groups_form) in forms.items():
        state = clone(detector).meta_fit(X_form, y_form, groups=groups_form).pretrained
        assert state == expected, form


# --- refitting ------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore::sklearn_fsad.exceptions.LabelConventionWarning")
def test_partial_fit_equals_one_fit_on_all_rows(detector, task):
    X, y, query, _ = task
    order = np.array([0, 1, 2, 13, 3, 4, 14, 5, 6, 12, 7, 8, 9, 10, 11, 15])
    y = 1 - 2 * y  # the coding in which a chunk of anomalies only says so
    expected = clone(detector).fit(X[order], y[order])
    for ends in ([0, 5, 16], [0, 3, 4, 9, 16]):
        grown = clone(detector)
        for start, end in pairwise(ends):
            grown.partial_fit(X[order[start:end]], y[order[start:end]])
        assert grown.offset_ == expected.offset_
        np.testing.assert_array_equal(grown.score_samples(query), expected.score_samples(query))


def test_fit_again_forgets_the_former_rows(ready, task):
    X, y, query, _ = task
    other_X, other_y, _, _ = new_task(seed=5)
    expected = ready.decision_function(query)
    np.testing.assert_array_equal(
        ready.fit(other_X, other_y).fit(X, y).decision_function(query), expected
    )


BAD_INPUT = {
    "infinity": lambda X, y: ({}, np.where(np.eye(*X.shape) > 0, np.inf, X), y),
    "inconsistent numbers": lambda X, y: ({}, X, y[1:]),
    "Unknown label type": lambda X, y: ({}, X, np.arange(len(y)) % 3 + 4),
    "rows as anomalies": lambda X, y: ({"outlier_label": 1}, X, np.ones(len(y))),
    "at least 2 normal": lambda X, y: ({}, X[-5:], [0, 1, 1, 1, 1]),
    "1 sample": lambda X, y: ({}, X[:1], None),
    "1D array": lambda X, y: ({}, X[0], None),
    "'contamination' parameter": lambda X, y: ({"contamination": 0.7}, X, y),
    "'alpha' parameter": lambda X, y: ({"alpha": 2.0}, X, y),
}


def test_a_failed_fit_leaves_the_former_one_usable(each_class, task):
    X, y, query, query_y = task
    each_class.fit(X, y)
    expected = each_class.decision_function(query)
    for message, spoil in BAD_INPUT.items():
        parameters, bad_X, bad_y = spoil(X, y)
        former = {name: getattr(each_class, name) for name in parameters}
        each_class.set_params(**parameters)
        with pytest.raises(ValueError, match=message):
            each_class.fit(bad_X, bad_y)
        each_class.set_params(**former)
        np.testing.assert_array_equal(
            each_class.decision_function(query), expected, err_msg=message
        )
        assert len(each_class.support_X_) == len(X), message
    each_class.partial_fit(query[:2], query_y[:2])
    assert len(each_class.support_X_) == len(X) + 2


def test_a_failed_partial_fit_leaves_the_former_fit_usable(each_class, task):
    X, y, query, _ = task
    expected = each_class.fit(X, y).decision_function(query)
    bad_input = {
        "4 features": (X[:, 1:], y),
        "inconsistent numbers": (X, y[1:]),
        "infinity": (np.full_like(X, np.inf), y),
    }
    for message, (bad_X, bad_y) in bad_input.items():
        with pytest.raises(ValueError, match=message):
            each_class.partial_fit(bad_X, bad_y)
        np.testing.assert_array_equal(each_class.decision_function(query), expected)


@pytest.mark.parametrize("name", ONE_WIDTH)
def test_a_width_that_the_state_does_not_know_leaves_the_former_fit_usable(name, fitted, task):
    X, y, query, _ = task
    detector = fitted[name]
    expected = detector.decision_function(query)
    with pytest.raises(ValueError, match=r"X has 4 features, but \w+Detector .* 5 features"):
        detector.fit(X[:, 1:], y)
    assert detector.n_features_in_ == X.shape[1]
    np.testing.assert_array_equal(detector.decision_function(query), expected)


@pytest.mark.parametrize(
    ("first", "more", "anomalous"), [([0, 0, 0, 1], [1, 1], 3), ([1, 1, 1, -1], [1, 1], 1)]
)
def test_ones_in_a_later_chunk_mean_what_they_meant_in_the_first(first, more, anomalous):
    X = np.random.default_rng(0).normal(size=(6, 2))
    detector = ProtoNetDetector().fit(X[:4], first).partial_fit(X[4:], more)
    assert (detector.support_y_ == 1).sum() == anomalous
