"""MAMLDetector: what it starts from, what adaptation is worth, the gate, reports and warnings."""

import logging
import warnings

import numpy as np
import pytest
from families import MAML, QUICK, far_off, make_detector, make_family, new_task, self_taught
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from sklearn_fsad import MAMLDetector, ProtoNetDetector
from sklearn_fsad.exceptions import AdaptationWarning, TaskWarning
from sklearn_fsad.tasks import TaskSet

ALONE = {"residual": False, "gate": False, "augment": False, "scaler": "none", "random_state": 0}


# --- a parameter that only the support tells ------------------------------------------------------
def mirrored_task(rng, n=60):
    """Normals on one side of the origin, anomalies on the other: which side, the task decides."""
    side = rng.choice([-1.0, 1.0])
    y = np.repeat([0, 1], n)
    X = rng.normal(scale=0.5, size=(2 * n, 2))
    X[:, 0] += side * np.where(y == 0, 1.5, -1.5)
    return X, y


@pytest.fixture(scope="module")
def mirrored():
    rng = np.random.default_rng(0)
    return [mirrored_task(rng) for _ in range(40)], [mirrored_task(rng) for _ in range(20)]


def mean_auc(detector, tasks, k):
    aucs = []
    for X, y in tasks:
        support = np.r_[:10, 60 : 60 + k]
        query = np.r_[20:60, 80:120]
        aucs.append(detector.fit(X[support], y[support]).score(X[query], y[query]))
    return np.mean(aucs)


@pytest.mark.parametrize(
    "parameters",
    [
        {"inject": False},
        {"algorithm": "metasgd", "inject": False},
        {"learner": "svdd"},
        {"inject": False, "multi_step_loss": True},
    ],
)
def test_adaptation_finds_what_one_network_for_all_tasks_cannot(mirrored, parameters):
    train, test = mirrored
    settings = {**ALONE, **parameters, "episodes_per_epoch": 60, "max_epochs": 3}
    adapting = MAMLDetector(**settings).meta_fit(train)
    pooled = MAMLDetector(**settings, n_inner_steps=0).meta_fit(train)
    for k in (0, 5):
        assert mean_auc(adapting, test, k) > mean_auc(pooled, test, k) + 0.2, k


# --- the closed form ------------------------------------------------------------------------------
@pytest.mark.parametrize("learner", ["classifier", "autoencoder", "svdd"])
@pytest.mark.parametrize("k", [0, 4])
def test_without_meta_training_it_is_the_closed_form(learner, k):
    X, y, query, _ = new_task(k_support=k)
    expected = ProtoNetDetector().fit(X, y)
    detector = MAMLDetector(learner=learner).fit(X, y)
    scores = detector.decision_function(query)
    np.testing.assert_allclose(scores, expected.decision_function(query), rtol=1e-9)
    assert detector.adaptation_report_ == {"used": "closed form"}


def test_no_epochs_keep_the_closed_form_with_what_is_pooled(family, task):
    X, y, query, _ = task
    settings = {**QUICK, "max_epochs": 0}
    expected = ProtoNetDetector(**settings).meta_fit(family).fit(X, y).score_samples(query)
    detector = MAMLDetector(**settings).meta_fit(family).fit(X, y)
    np.testing.assert_allclose(detector.score_samples(query), expected, rtol=1e-9)


def test_tasks_without_anomalies_keep_the_closed_form(family):
    normals_only = [(X[y == 0], None) for X, y in family]
    with pytest.warns(TaskWarning, match="the default formula is used"):
        detector = MAMLDetector(**QUICK).meta_fit(normals_only)
    assert "sizes" not in detector.pretrained.arrays
    with pytest.raises(ValueError, match="use residual=True"):
        MAMLDetector(residual=False, **QUICK).meta_fit(normals_only)


# --- the size of the correction -------------------------------------------------------------------
def one_sided_task(rng, n=60):
    """Anomalies always rise in the first feature, by less than another one varies."""
    y = np.repeat([0, 1], n)
    X = rng.normal(size=(2 * n, 4)) * [1.0, 1.0, 3.0, 3.0] + rng.normal(size=4)
    X[n:, 0] += 2.0
    return X, y


@pytest.fixture(scope="module")
def one_sided():
    rng = np.random.default_rng(0)
    return [[one_sided_task(rng) for _ in range(n)] for n in (9, 10)]


def test_a_correction_that_held_out_tasks_favour_is_large_and_is_better(one_sided):
    train, test = one_sided
    settings = {"n_normal": (5, 30), "n_query": 40, "episodes_per_epoch": 72, "random_state": 0}
    detector = MAMLDetector(**settings).meta_fit(train)
    held_out, labelled = detector.pretrained.info["held_out"]
    options = {"closed form", "corrected", "network", "not adapted", "swapped support"}
    assert set(held_out["roc_auc"]) == options
    assert set(labelled["roc_auc"]) == options | {"permuted labels"}
    assert (held_out["choice"], held_out["used"]) == ("network", "corrected")
    assert held_out["size"] == pytest.approx(detector.pretrained.arrays["sizes"][0], abs=1e-4)
    assert held_out["size"] > 0.25
    assert 0.0 < held_out["standard_error"] < 0.1
    assert held_out["roc_auc"]["corrected"] > held_out["roc_auc"]["closed form"] + 0.015
    assert detector.pretrained.info["permuted_features"] is False
    closed = ProtoNetDetector(n_normal=(5, 30), random_state=0).meta_fit(train)
    assert mean_auc(detector, test, 0) > mean_auc(closed, test, 0) + 0.02
    assert detector.adaptation_report_["used"] == "network"


def test_of_two_groups_of_siblings_a_quarter_is_used_with_a_warning(one_sided):
    train, _ = one_sided
    grouped = TaskSet(train, groups=[i % 2 for i in range(len(train))])
    with pytest.warns(AdaptationWarning, match="unlabelled and labelled supports.*: 25% of its"):
        detector = MAMLDetector(**{**QUICK, "max_epochs": 1}).meta_fit(grouped)
    assert detector.pretrained.arrays["sizes"].tolist() == [0.25, 0.25]
    X, y = train[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = detector.fit(X[:20], y[:20]).adaptation_report_
    assert (report["used"], report["size"]) == ("network", 0.25)


def test_of_one_group_nothing_is_used(one_sided):
    train, _ = one_sided
    grouped = TaskSet(train, groups=[0] * len(train))
    with pytest.warns(AdaptationWarning, match="groups of tasks to compare: the default formula"):
        detector = MAMLDetector(**QUICK).meta_fit(grouped)
    assert "sizes" not in detector.pretrained.arrays
    X, y = train[0]
    assert detector.fit(X[:20], y[:20]).adaptation_report_ == {"used": "closed form"}


def test_a_network_on_its_own_that_loses_is_kept_with_a_warning(family, task):
    settings = {**QUICK, "max_epochs": 1, "residual": False}
    with pytest.warns(AdaptationWarning, match="the network is used all the same"):
        detector = MAMLDetector(**settings).meta_fit(family)
    assert detector.fit(*task[:2]).adaptation_report_["used"] == "network"
    held_out = detector.pretrained.info["held_out"]
    assert held_out
    for report in held_out:
        assert report["used"] == "network"
        assert not {"size", "standard_error"} & {*report}
        assert "corrected" not in report["roc_auc"]


# --- reports and warnings -------------------------------------------------------------------------
def test_the_report_tells_losses_and_whether_the_support_mattered(task):
    X, y, _, _ = task
    detector = make_detector("residual maml").fit(X, y)
    report = detector.adaptation_report_
    assert len(report["support_loss"]) == detector.n_inner_steps + 1
    assert report["support_loss"][-1] < report["support_loss"][0]
    assert set(report["score_change"]) == {"not adapted", "swapped support", "permuted labels"}
    assert all(0.0 <= change <= 2.0 for change in report["score_change"].values())
    assert max(report["score_change"].values()) > 0.001
    alone = detector.fit(X[y == 0]).adaptation_report_
    assert set(alone["score_change"]) == {"not adapted", "swapped support"}


@far_off
def test_the_report_of_equal_rows_is_finite():
    report = make_detector("fomaml svdd").fit(np.full((10, 5), 2.0)).adaptation_report_
    assert np.isfinite(list(report["score_change"].values())).all()
    assert np.isfinite(report["support_loss"]).all()


def test_a_network_that_never_adapts_is_seen_in_the_report(family, task):
    settings = {**QUICK, **MAML["fomaml svdd"], "max_epochs": 2, "n_inner_steps": 0}
    report = MAMLDetector(**settings).meta_fit(family).fit(*task[:2]).adaptation_report_
    assert len(report["support_loss"]) == 1
    assert set(report["score_change"].values()) == {0.0}


def test_steps_that_worsen_the_loss_of_the_support_are_warned_of(family, task):
    settings = {**QUICK, **MAML["fomaml svdd"], "max_epochs": 1, "inner_lr": 100.0}
    detector = MAMLDetector(**settings).meta_fit(family)
    with pytest.warns(AdaptationWarning, match=r"worse: .* before, .* after 5 steps"):
        detector.fit(*task[:2])


# --- errors of features ---------------------------------------------------------------------------
def test_an_autoencoder_tells_which_features_are_off(task):
    X, y, query, _ = task
    detector = make_detector("reptile autoencoder").fit(X[y == 0])
    errors = detector.feature_errors(query)
    assert errors.shape == query.shape
    np.testing.assert_allclose(
        np.log(errors.mean(axis=1) + 1e-6), -detector.score_samples(query), rtol=1e-9
    )
    off = query[:1] + np.eye(5)[2] * 1e6
    assert detector.feature_errors(off).argmax() == 2


def test_only_a_trained_autoencoder_has_errors_of_features(task):
    X, y, query, _ = task
    assert not hasattr(MAMLDetector(), "feature_errors")
    detector = MAMLDetector(learner="autoencoder").fit(X, y)
    with pytest.raises(ValueError, match="There is no autoencoder"):
        detector.feature_errors(query)


# --- without meta_fit, wide rows, parameters ------------------------------------------------------
@pytest.mark.parametrize("k", [0, 4])
def test_a_network_on_its_own_first_learns_from_the_support(k, caplog):
    caplog.set_level(logging.INFO, "sklearn_fsad")
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 0, 1], [20, k, 60, 60])
    X = rng.normal(size=(len(y), 4)) + 4.0 * y[:, None]
    detector = self_taught("svdd").fit(X[: 20 + k], y[: 20 + k])
    assert "learning from the" in caplog.text
    assert roc_auc_score(y[20 + k :], -detector.score_samples(X[20 + k :])) > 0.9
    assert detector.pretrained is None
    assert detector.state_.info["n_tasks"] == 0


def test_a_fold_that_the_mix_saw_no_episode_of_is_described_by_the_mix_of_all(family, monkeypatch):
    monkeypatch.setattr("sklearn_fsad._detectors.maml.learning._MIX_EPISODES", 3)  # of five folds
    settings = {**QUICK, "max_epochs": 1, "gate": False, "augment": False}
    state = MAMLDetector(**settings).meta_fit(family).pretrained
    assert state.info["n_tasks"] == len(family)
    assert "sizes" in state.arrays


def test_embeddings_are_seen_by_their_main_directions():
    family = make_family(6, n_features=120)
    settings = {**QUICK, "max_epochs": 1, "gate": False, "augment": False, "residual": False}
    detector = MAMLDetector(**settings, learner="autoencoder").meta_fit(family)
    assert detector.pretrained.info["network"]["n_features"] == 32
    X, y, query, _ = new_task(n_features=120)
    assert detector.fit(X, y).feature_errors(query).shape == (len(query), 32)
    assert np.isfinite(detector.score_samples(query * 1e300)).all()


def test_a_huge_normal_row_does_not_stop_a_network_on_its_own():
    X = np.random.default_rng(0).normal(size=(12, 3))
    X[0, 0] = 1e60
    assert np.isfinite(self_taught("classifier").fit(X).score_samples(X)).all()


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"learner": "forest"}, "'learner' parameter"),
        ({"algorithm": "sgd"}, "'algorithm' parameter"),
        ({"inner_lr": 0.0}, "'inner_lr' parameter"),
        ({"inner_lr": "adam"}, "'inner_lr' parameter"),
        ({"n_inner_steps": -1}, "'n_inner_steps' parameter"),
        ({"inner_batch": "balanced"}, "'inner_batch' parameter"),
        ({"augment": "yes"}, "'augment' parameter"),
    ],
)
def test_wrong_parameters_are_named(task, parameters, match):
    with pytest.raises(ValueError, match=match):
        MAMLDetector(**parameters).fit(*task[:2])


def test_a_number_for_inner_lr_fixes_the_rates(family):
    settings = {**QUICK, **MAML["fomaml svdd"], "max_epochs": 2}
    fixed = MAMLDetector(**settings, inner_lr=0.05).meta_fit(family).pretrained
    np.testing.assert_allclose(np.exp(fixed.arrays["network.log_rates"]), 0.05, rtol=1e-6)
    learned = MAMLDetector(**settings).meta_fit(family).pretrained
    assert np.ptp(learned.arrays["network.log_rates"]) > 1e-3


def test_one_class_steps_see_no_labelled_anomaly(task):
    X, y, query, _ = task
    detector = make_detector("metasgd one-class")
    moved = X.copy()
    moved[y == 1] += 100.0
    expected = clone(detector).fit(X, y).score_samples(query)
    np.testing.assert_allclose(detector.fit(moved, y).score_samples(query), expected, rtol=1e-9)
