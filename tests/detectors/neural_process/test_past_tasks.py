"""What labelled anomalies and past tasks teach a neural process, twice the same."""

import logging
import warnings

import numpy as np
import pytest
from brief_processes import META, auc, brief, closed_form, every_kind, is_trained, line
from families import BRIEF, little_work, make_family, new_task
from sklearn.base import clone

from sklearn_fsad import NeuralProcessDetector
from sklearn_fsad.exceptions import AdaptationWarning


# --- labelled anomalies ---------------------------------------------------------------------------
@pytest.mark.parametrize("meta", [False, True])
def test_labelled_anomalies_change_what_features_count(of_kind, task, meta):
    X, y, query, _ = task
    detector = clone(of_kind["tnp"]) if meta else closed_form()
    told, untold = clone(detector).fit(X, y), clone(detector).fit(X[y == 0])
    assert not np.allclose(told.score_samples(query), untold.score_samples(query))
    weights = told._adaptation.values["weights"]
    assert weights.std() > 0.01
    assert weights.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("trained", [False, True])
def test_labelled_anomalies_leave_scores_alone_if_they_may_neither_weigh_nor_add(task, trained):
    X, y, query, _ = task
    detector = (brief if trained else closed_form)(weigh_features=False, label_evidence=False)
    told, untold = clone(detector).fit(X, y), clone(detector).fit(X[y == 0])
    np.testing.assert_array_equal(told.score_samples(query), untold.score_samples(query))


def test_labelled_anomalies_that_move_one_feature_make_it_count():
    rng = np.random.default_rng(0)
    X, normal, anomalous = (rng.normal(size=(n, 8)) for n in (40, 200, 200))
    X[30:, 3] += 3.0
    anomalous[:, 3] += 2.0
    y = np.arange(40) >= 30
    told, untold = closed_form().fit(X, y), closed_form().fit(X[~y])
    assert told._adaptation.values["weights"].argmax() == 3
    assert auc(told, normal, anomalous) > auc(untold, normal, anomalous) + 0.05


# --- past tasks -----------------------------------------------------------------------------------
def test_a_network_that_does_not_help_is_dropped(judged, task):
    X, y, query, _ = task
    assert not is_trained(judged.pretrained)
    *_, report = judged.pretrained.info["held_out"]
    assert (report["choice"], report["used"]) == ("network", "closed form")
    assert set(report["roc_auc"]) == {"closed form", "network"}
    with little_work():
        closed = NeuralProcessDetector(**{**META, "max_epochs": 0}).meta_fit(make_family(5))
    found, expected = (clone(d).fit(X, y).score_samples(query) for d in (judged, closed))
    np.testing.assert_array_equal(found, expected)


def test_without_a_gate_the_network_stays(of_kind):
    state = of_kind["tnp"].pretrained
    assert is_trained(state)
    assert "network" not in [report["choice"] for report in state.info["held_out"]]
    assert len(state.info["history"]) == BRIEF["max_epochs"]


def test_past_tasks_choose_prior_rows_and_weights(judged):
    state = judged.pretrained
    rows, weights, *_ = state.info["held_out"]
    assert rows["used"] == max(rows["roc_auc"], key=rows["roc_auc"].get)
    assert rows["used"] == f"{state.arrays['knowledge.prior_rows']:g} rows"
    assert weights["used"] == "learned weights"
    assert state.arrays["knowledge.weights"].mean() == pytest.approx(1.0)
    assert state.arrays["knowledge.weights"].std() > 0.01


def test_past_tasks_that_share_their_covariance_help_with_few_rows(judged):
    with_past, without = [], []
    for seed in range(5):
        X, _, query, query_y = new_task(seed=200 + seed, n_support=5, k_support=0)
        with_past.append(clone(judged).fit(X).score(query, query_y))
        without.append(closed_form().fit(X).score(query, query_y))
    assert np.mean(with_past) > np.mean(without) + 0.1


def test_past_tasks_need_no_anomaly(task):
    X, y, query, query_y = task
    tasks = [rows[labels == 0] for rows, labels in make_family()]
    with warnings.catch_warnings():
        warnings.simplefilter("error", AdaptationWarning)
        detector = NeuralProcessDetector(**{**META, "gate": True}).meta_fit(tasks)
    assert is_trained(detector.pretrained)
    assert "held_out" not in detector.pretrained.info
    assert detector.fit(X, y).score(query, query_y) > 0.65


def test_tasks_of_single_rows_teach_nothing():
    with pytest.raises(ValueError, match="No task has two normal rows"):
        NeuralProcessDetector(**META).meta_fit([X[:1] for X, _ in make_family()])


@pytest.mark.parametrize(("n", "n_epochs"), [(20, 4), (60, 8), (400, 16)])
def test_more_rows_teach_for_more_epochs(n, n_epochs):
    detector = brief(kind="cnp", max_epochs=None, episodes_per_epoch=1).fit(line(n))
    assert len(detector.state_.info["history"]) == n_epochs


def test_learning_from_the_support_alone_is_logged(caplog):
    caplog.set_level(logging.INFO, "sklearn_fsad")
    brief(kind="cnp").fit(line(30))
    assert "no meta_fit: learning from the 30 rows of fit" in caplog.text


# --- reproducible ---------------------------------------------------------------------------------
@every_kind
def test_the_same_random_state_gives_the_same_scores_to_the_last_bit(kind):
    X, query = line(30), line(9, 1)
    one, same, other = (
        brief(kind=kind, n_masks=2, random_state=seed).fit(X).score_samples(query)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("detector", [closed_form(), brief()], ids=["closed form", "trained"])
def test_the_order_of_the_support_does_not_matter(detector, task):
    X, y, query, _ = task
    turned = np.random.default_rng(0).permutation(len(X))
    one, other = clone(detector).fit(X, y), clone(detector).fit(X[turned], y[turned])
    np.testing.assert_array_equal(one.score_samples(query), other.score_samples(query))
    assert one.offset_ == other.offset_
