"""Evidence of labelled anomalies in the anomaly scores of a neural process."""

import pickle

import numpy as np
import pytest
from brief_processes import META, auc, brief, closed_form, holed, line
from families import make_family, new_task
from sklearn.base import clone

from sklearn_fsad import MetaState, NeuralProcessDetector
from sklearn_fsad._detectors.neural_process.label_evidence import LABEL_KINDS
from sklearn_fsad._detectors.neural_process.label_weights import _unless_labels_mislead
from sklearn_fsad._detectors.neural_process.labelled import LabelledAdaptation, process_and_rows
from sklearn_fsad._evidence.mix import CLOSED_FORM, MIX, SINGLE
from sklearn_fsad._evidence.mix_training import LearnedMix
from sklearn_fsad._training.held_out import HeldOutReport

PROCESS, RATIOS, DISCRIMINANTS = 0, [1, 2], [3, 4]  # positions of the weights


def rows_with_a_kind_of_anomaly(n_normal, n_anomalous, seed=0):
    """Six features; anomalies are in range but all in one corner of two of them."""
    rng = np.random.default_rng([seed, n_normal])
    X = rng.normal(size=(n_normal + n_anomalous, 6))
    X[n_normal:, :2] = 1.5 + 0.15 * rng.normal(size=(n_anomalous, 2))
    return X, np.repeat([0, 1], [n_normal, n_anomalous])


@pytest.fixture(scope="module")
def corner():
    """A support with five labelled anomalies, and normal and anomalous rows to score."""
    X, y = rows_with_a_kind_of_anomaly(40, 5)
    query, query_y = rows_with_a_kind_of_anomaly(200, 200, seed=1)
    return X, y, query[query_y == 0], query[query_y == 1]


# --- scores ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("trained", [False, True])
def test_labelled_anomalies_show_the_way_to_others_of_their_kind(corner, trained):
    X, y, normal, anomalous = corner
    detector = (brief if trained else closed_form)()
    told = auc(detector.fit(X, y), normal, anomalous)
    process = auc(clone(detector).set_params(label_evidence=False).fit(X, y), normal, anomalous)
    assert told > 0.94
    assert told > process + 0.05


@pytest.mark.parametrize("trained", [False, True])
def test_without_labels_scores_are_those_of_the_process_to_the_last_bit(corner, trained):
    X, y, normal, _ = corner
    detector = (brief if trained else closed_form)()
    alone = clone(detector).set_params(label_evidence=False)
    one, other = (d.fit(X[y == 0]) for d in (detector, alone))
    np.testing.assert_array_equal(one.score_samples(normal), other.score_samples(normal))
    assert one.offset_ == other.offset_


def test_what_a_process_predicts_does_not_depend_on_the_evidence(corner):
    X, y, normal, _ = corner
    one, other = (closed_form(label_evidence=use).fit(X, y) for use in (True, False))
    for a, b in zip(*(d.predict_distribution(normal) for d in (one, other)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_the_more_anomalies_are_labelled_the_less_the_process_weighs(k):
    X, y = rows_with_a_kind_of_anomaly(30, k)
    weights = closed_form().fit(X, y)._adaptation.labels.weights
    assert weights[PROCESS] == pytest.approx(1.0 / (1.0 + 0.5 * k))
    assert weights[RATIOS] == pytest.approx(0.5)
    assert weights[DISCRIMINANTS] == pytest.approx(0.25)


def test_embeddings_are_told_apart_by_a_discriminant_alone():
    X = np.random.default_rng(0).normal(size=(33, 110))
    X[30:, :40] += 3.0
    labels = closed_form().fit(X, np.arange(33) >= 30)._adaptation.labels
    used = [kind.name for kind, w in zip(LABEL_KINDS, labels.weights[1:], strict=True) if w]
    assert used == ["discriminant_raw"]


def test_scores_do_not_depend_on_the_units_of_columns(corner):
    X, y, normal, _ = corner
    unit, zero = np.array([1e2, 1e-2, 1.0, 7.0, 1e3, 0.1]), np.arange(6.0)
    one = closed_form().fit(X, y).score_samples(normal)
    other = closed_form().fit(X * unit + zero, y).score_samples(normal * unit + zero)
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_score_depends_on_no_other_row_of_a_call(corner):
    X, y, normal, _ = corner
    rows = holed(np.tile(normal, (6, 1)), 0.1)
    detector = closed_form().fit(holed(X, 0.1), y)
    whole = detector.score_samples(rows)
    for part in (slice(0, 1), slice(100, 103), slice(1020, 1030)):
        np.testing.assert_array_equal(detector.score_samples(rows[part]), whole[part])


# --- thresholds and copies ------------------------------------------------------------------------
@pytest.mark.parametrize("trained", [False, True])
def test_thresholds_come_from_leave_one_out_scores_with_the_evidence(corner, trained):
    X, y, normal, anomalous = corner
    detector = (brief if trained else closed_form)().fit(X, y)
    of_normals, of_anomalies = detector._adaptation.left_out_by_label()
    fresh = detector._adaptation.score_fresh(X)
    assert of_anomalies.mean() < fresh[y == 1].mean()  # which are near themselves
    assert of_normals.mean() < -detector.offset_ < of_anomalies.mean()
    assert (detector.predict(normal) == -1).mean() < 0.15
    assert (detector.predict(anomalous) == -1).mean() > 0.5
    assert np.median(detector.p_values(anomalous)) < 0.05


def test_more_rows_later_are_the_same_as_all_at_once(corner):
    X, y, normal, _ = corner
    at_once = closed_form().fit(X, y)
    later = closed_form(outlier_label=1).fit(X[:30], y[:30]).partial_fit(X[30:], y[30:])
    np.testing.assert_array_equal(later.score_samples(normal), at_once.score_samples(normal))


def test_a_pickled_detector_scores_the_same(corner):
    X, y, normal, _ = corner
    detector = closed_form().fit(X, y)
    copy = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(copy.score_samples(normal), detector.score_samples(normal))
    np.testing.assert_array_equal(copy.feature_scores(normal), detector.feature_scores(normal))


# --- features -------------------------------------------------------------------------------------
def test_features_of_the_labelled_kind_come_first(corner):
    X, y, _, anomalous = corner
    parts = closed_form().fit(X, y).feature_scores(anomalous)
    assert np.isin(parts.argmax(axis=1), [0, 1]).mean() > 0.9


@pytest.mark.parametrize("settings", [{}, {"reduce": "pca", "reduce_dim": 3}])
def test_feature_scores_add_up_with_the_evidence(corner, settings):
    X, y, normal, anomalous = corner
    detector = closed_form(**settings).fit(X, y)
    rows = np.concatenate([holed(normal, 0.2), anomalous, X[:3], np.full((1, 6), np.nan)])
    parts = detector.feature_scores(rows)
    np.testing.assert_allclose(parts.sum(axis=1), -detector.score_samples(rows), atol=1e-9)


# --- missing values -------------------------------------------------------------------------------
def test_gaps_are_filled_by_what_the_process_predicts():
    X = line(60, noise=0.05)
    detector = closed_form().fit(X, np.arange(60) >= 57)
    rows = line(20, 1, noise=0.05)
    gaps = rows.copy()
    gaps[:, 1] = np.nan  # three times the first, plus one
    _, whole = process_and_rows(detector._adaptation, rows)
    _, filled = process_and_rows(detector._adaptation, gaps)
    np.testing.assert_array_equal(filled[:, [0, 2]], whole[:, [0, 2]])
    assert np.abs(filled[:, 1] - whole[:, 1]).mean() < 0.3 * whole[:, 1].std()


def test_labels_help_with_a_fifth_of_the_entries_missing(corner):
    X, y, normal, anomalous = corner
    X, normal, anomalous = (
        holed(rows, 0.2, seed) for seed, rows in enumerate([X, normal, anomalous])
    )
    told, untold = closed_form().fit(X, y), closed_form().fit(X[y == 0])
    assert auc(told, normal, anomalous) > auc(untold, normal, anomalous) + 0.1
    assert auc(told, normal, anomalous) > 0.85


def test_a_feature_that_no_normal_row_has_tells_nothing(corner):
    X, y, normal, anomalous = corner
    without = np.where((y == 0)[:, None] & (np.arange(6) == 5), np.nan, X)
    detector = closed_form().fit(without, y)
    scores = detector.score_samples(normal)
    moved = normal + 9.0 * (np.arange(6) == 5)
    np.testing.assert_array_equal(detector.score_samples(moved), scores)
    assert auc(detector, normal, anomalous) > 0.9


# --- where nothing is added -----------------------------------------------------------------------
@pytest.mark.parametrize("settings", [{"label_evidence": False}, {"target_features": [1]}])
def test_nothing_is_added_where_it_is_not_asked_for_or_only_outputs_count(corner, settings):
    X, y, *_ = corner
    detector = closed_form(kind="cnp", **settings).fit(X, y)
    assert not isinstance(detector._adaptation, LabelledAdaptation)


# --- past tasks -----------------------------------------------------------------------------------
def test_past_tasks_teach_the_weights_of_the_evidence(of_kind, task):
    X, y, *_ = task
    state = of_kind["tnp"].pretrained
    *_, report = state.info["held_out"]
    assert (report["choice"], report["regime"]) == ("evidence weights", "labelled")
    assert {"mix", "closed form", "process"} == set(report["roc_auc"])
    assert state.arrays["labels.theta"].shape == (3, 1 + len(LABEL_KINDS))
    np.testing.assert_array_equal(state.arrays["labels.n_normal"], META["n_normal"])
    told, default = clone(of_kind["tnp"]).fit(X, y), closed_form().fit(X, y)
    weights = [detector._adaptation.labels.weights for detector in (told, default)]
    assert not np.allclose(*weights, rtol=0.01)


def test_what_past_tasks_teach_helps_on_new_ones(monkeypatch):
    monkeypatch.setattr("sklearn_fsad._detectors.neural_process.knowledge._EPISODES_A_TASK", 3)
    tasks = [new_task(seed=seed) for seed in range(200, 205)]
    quality = []
    for use in (False, True):
        detector = NeuralProcessDetector(**{**META, "max_epochs": 0, "label_evidence": use})
        detector.meta_fit(make_family())
        quality.append(np.mean([detector.fit(X, y).score(*query) for X, y, *query in tasks]))
    assert quality[1] > quality[0] + 0.03


@pytest.mark.parametrize(
    ("aucs", "used", "alone"),
    [
        ({"mix": 0.74, "closed form": 0.73, "process": 0.75}, "process", True),
        ({"mix": 0.76, "closed form": 0.73, "process": 0.75}, "mix", False),
        ({}, "closed form", False),
    ],
)
def test_labels_that_mislead_on_held_out_tasks_are_not_used(aucs, used, alone):
    report = HeldOutReport("evidence weights", "labelled", "mix" if aucs else used, aucs)
    nothing = np.zeros(1)
    learned = LearnedMix(nothing, nothing, (CLOSED_FORM, MIX), [report, report], [], {})
    found = _unless_labels_mislead(learned)
    assert found.reports[1].used == used
    assert found.choice == (CLOSED_FORM, SINGLE if alone else MIX)


def test_learned_weights_survive_a_file(of_kind, task, tmp_path):
    X, y, query, _ = task
    of_kind["tnp"].pretrained.save(tmp_path / "state.safetensors")
    again = clone(of_kind["tnp"]).set_params(pretrained=tmp_path / "state.safetensors")
    one, other = (d.fit(X, y).score_samples(query) for d in (clone(of_kind["tnp"]), again))
    np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("few_lessons")
@pytest.mark.parametrize("settings", [{"label_evidence": False}, {"n_anomalous": (0, 0)}])
def test_no_weights_are_learned_where_no_label_is_expected(settings):
    detector = NeuralProcessDetector(**{**META, "max_epochs": 0, **settings})
    state = detector.meta_fit(make_family()).pretrained
    assert not any(name.startswith("labels.") for name in state.arrays)
    assert "evidence weights" not in [report["choice"] for report in state.info["held_out"]]


def test_a_state_without_learned_weights_uses_the_default_ones(of_kind, task):
    X, y, *_ = task
    state = of_kind["tnp"].pretrained
    arrays = {k: v for k, v in state.arrays.items() if not k.startswith("labels.")}
    older = MetaState(
        state.detector, state.architecture, arrays, state.n_features_in, None, state.info
    )
    labels = clone(of_kind["tnp"]).set_params(pretrained=older).fit(X, y)._adaptation.labels
    np.testing.assert_array_equal(
        labels.weights, closed_form().fit(X, y)._adaptation.labels.weights
    )
