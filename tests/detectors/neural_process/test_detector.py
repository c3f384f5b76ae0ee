"""NeuralProcessDetector: what it finds, tells, predicts and refuses."""

import numpy as np
import pytest
from brief_processes import (
    META,
    auc,
    brief,
    closed_form,
    every_kind,
    every_score,
    holed,
    is_trained,
    line,
)
from families import brief_process, make_family
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError

from sklearn_fsad import NeuralProcessDetector
from sklearn_fsad._detectors.neural_process.networks import KINDS


# --- scores ---------------------------------------------------------------------------------------
@every_kind
def test_each_kind_learns_from_a_support_alone(kind, task):
    X, y, query, _ = task
    detector = brief_process(kind).fit(X, y)
    assert is_trained(detector.state_)
    assert np.isfinite(detector.score_samples(query)).all()
    assert np.isfinite(detector.offset_)


@every_kind
@every_score
def test_each_score_of_a_trained_network_is_finite_and_adds_up_over_features(
    of_kind, kind, score, task
):
    X, y, query, _ = task
    detector = clone(of_kind[kind]).set_params(anomaly_score=score, contamination=0.1).fit(X, y)
    for rows in (query, holed(query, 0.3)):
        scores, parts = detector.score_samples(rows), detector.feature_scores(rows)
        assert np.isfinite(scores).all()
        assert scores.std() > 0
        assert parts.shape == rows.shape
        np.testing.assert_allclose(parts.sum(axis=1), -scores, atol=1e-10)
        assert (parts[np.isnan(rows)] == 0.0).all()


def test_feature_scores_need_a_fit():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        NeuralProcessDetector().feature_scores(np.zeros((2, 3)))


def test_a_meta_fitted_network_beats_chance_on_a_new_task(of_kind, task):
    X, y, query, query_y = task
    for kind in KINDS:
        assert clone(of_kind[kind]).fit(X[y == 0]).score(query, query_y) > 0.65


# --- broken dependencies --------------------------------------------------------------------------
def paired_rows(n, seed=0, broken=False):
    """Five standard normal features, of which the second follows the first.

    Broken: each row has the second feature of a row half of all ranks away.
    """
    X = np.random.default_rng([seed, n]).normal(size=(n, 5))
    X[:, 1] = X[:, 0] + 0.05 * X[:, 1]
    if broken:
        order = np.argsort(X[:, 0])
        X[np.roll(order, n // 2), 1] = X[order, 1]
    return X


def test_a_broken_pair_is_found_where_each_feature_alone_tells_nothing():
    support, normal, broken = paired_rows(300), paired_rows(200, 1), paired_rows(200, 1, True)
    np.testing.assert_array_equal(np.sort(normal, axis=0), np.sort(broken, axis=0))
    assert auc(IsolationForest(random_state=0).fit(support), normal, broken) < 0.65
    detector = closed_form().fit(support)
    assert auc(detector, normal, broken) > 0.9
    assert (detector.predict(broken) == -1).mean() > 0.9


def test_feature_scores_put_the_broken_pair_on_top():
    detector = closed_form().fit(paired_rows(300))
    parts = detector.feature_scores(paired_rows(200, 1, broken=True))
    top = np.sort(np.argsort(parts, axis=1)[:, -2:], axis=1)
    assert (top == [0, 1]).all(axis=1).mean() > 0.8
    assert np.isin(parts.argmax(axis=1), [0, 1]).mean() > 0.9


def test_a_broken_pair_is_found_beside_missing_entries():
    support = holed(paired_rows(300), 0.2)
    normal, broken = (holed(paired_rows(200, 1, part), 0.2, seed=2) for part in (False, True))
    detector = closed_form().fit(support)
    assert auc(detector, normal, broken) > 0.7
    parts, both = detector.feature_scores(broken), ~np.isnan(broken[:, :2]).any(axis=1)
    assert np.isin(parts[both].argmax(axis=1), [0, 1]).mean() > 0.6


# --- features that never varied -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("detector", "d"),
    [(closed_form(), 4), (closed_form(), 100), (brief(), 4)],
    ids=["closed form", "wide closed form", "trained"],
)
def test_a_row_that_departs_from_a_constant_is_an_anomaly(detector, d):
    X = np.random.default_rng(0).normal(size=(40, d))
    X[:, 2] = 7.0
    query = np.random.default_rng(1).normal(size=(40, d))
    query[:, 2] = 7.0
    detector = clone(detector).fit(X)
    before = detector.score_samples(query)
    query[:, 2] = 8.0
    assert (detector.predict(query) == -1).all()
    assert (detector.score_samples(query) < before).all()
    assert (detector.feature_scores(query).argmax(axis=1) == 2).all()


@every_score
@pytest.mark.parametrize("n", [2, 30])
def test_constant_and_binary_features_give_finite_scores(score, n):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=n), np.full(n, 7.0), np.arange(n) % 2, np.arange(n) < 1])
    query = np.column_stack([rng.normal(size=9), rng.integers(6, 9, 9), rng.integers(0, 3, (9, 2))])
    detector = closed_form(anomaly_score=score).fit(X)
    assert np.isfinite(detector.score_samples(query)).all()
    assert np.isfinite(detector.feature_scores(query)).all()
    assert np.isfinite(detector.offset_)


# --- missing values -------------------------------------------------------------------------------
def rows_of_a_plane(n, seed=0, shuffled=False):
    """Six features near a plane; shuffled: each from another row."""
    rng = np.random.default_rng([seed, n])
    X = rng.normal(size=(n, 2)) @ np.random.default_rng(0).normal(size=(2, 6))
    X += 0.2 * rng.normal(size=X.shape)
    return rng.permuted(X, axis=0) if shuffled else X


@pytest.mark.parametrize("trained", [False, True])
def test_anomalies_are_found_with_a_fifth_of_the_entries_missing(trained):
    detector = (brief if trained else closed_form)().fit(holed(rows_of_a_plane(60), 0.2))
    normal, anomalous = (
        holed(rows_of_a_plane(200, 1, shuffled), 0.2, seed=1) for shuffled in (False, True)
    )
    assert auc(detector, normal, anomalous) > 0.75


@pytest.mark.usefixtures("few_lessons")
def test_past_tasks_may_miss_entries(task):
    tasks = [(holed(X, 0.2, seed), y) for seed, (X, y) in enumerate(make_family())]
    detector = NeuralProcessDetector(**META, contamination=0.1).meta_fit(tasks)
    assert all(np.isfinite(array).all() for array in detector.pretrained.arrays.values())
    X, y, query, query_y = task
    assert detector.fit(holed(X, 0.1), y).score(holed(query, 0.1), query_y) > 0.65


def test_a_past_task_without_any_value_is_refused_by_name(family):
    tasks = dict(zip("abcdefgh", family, strict=True))
    X, y = tasks["c"]
    for missing in (np.full(X.shape, True), np.repeat(np.equal(y, 0)[:, None], X.shape[1], axis=1)):
        tasks["c"] = np.where(missing, np.nan, X), y
        with pytest.raises(ValueError, match="Task 'c' has nothing to learn from: all values"):
            NeuralProcessDetector(**META).meta_fit(tasks)


# --- architecture ---------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["anp", "tnp"])
def test_heads_must_share_the_width_evenly(kind):
    with pytest.raises(ValueError, match="embedding_dim=10 is not a multiple of n_heads=4"):
        brief(kind=kind, embedding_dim=10).fit(line(30))
    even = brief(kind=kind, embedding_dim=10, n_heads=5).fit(line(30))
    assert np.isfinite(even.score_samples(line(9))).all()


def test_a_kind_without_heads_may_have_any_width():
    assert is_trained(brief(kind="cnp", embedding_dim=7).fit(line(30)).state_)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "cnp"),
        ("anchor", "linear"),
        ("likelihood", "gaussian"),
        ("target_features", [0]),
        ("grid_shape", (5,)),
        ("reduce", "pca"),
        ("embedding_dim", 16),
        ("n_layers", 3),
        ("n_heads", 2),
        ("scaler", "robust"),
    ],
)
def test_a_parameter_that_disagrees_with_what_was_learned_is_refused(of_kind, task, name, value):
    detector = clone(of_kind["tnp"]).set_params(**{name: value})
    with pytest.raises(ValueError, match=f"{name}=.* here, but the meta-learned state has {name}="):
        detector.fit(*task[:2])


@pytest.mark.parametrize(
    "change",
    [{"anomaly_score": "density"}, {"anomaly_score": "nll"}, {"n_masks": 2}, {"n_masks": None}],
)
def test_how_rows_are_scored_may_change_without_learning_again(of_kind, task, change):
    X, y, query, _ = task
    detector = clone(of_kind["tnp"]).set_params(contamination=0.1)
    before, after = clone(detector).fit(X, y), clone(detector).set_params(**change).fit(X, y)
    assert after.state_ is before.state_
    assert not np.allclose(after.score_samples(query), before.score_samples(query))


# --- thresholds -----------------------------------------------------------------------------------
def test_few_fresh_normals_are_flagged_after_learning_from_the_support_alone():
    rates = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        mixing = rng.normal(size=(4, 4))
        X, fresh = (rng.normal(size=(n, 4)) @ mixing for n in (60, 300))
        rates.append(
            (brief(max_epochs=4, episodes_per_epoch=30).fit(X).predict(fresh) == -1).mean()
        )
    assert np.mean(rates) < 0.15
    assert max(rates) < 0.25


def test_the_threshold_comes_from_weights_that_have_not_seen_the_row():
    X = np.random.default_rng(0).normal(size=(30, 4))
    detector = brief(max_epochs=4, alpha=0.5).fit(X)
    order = np.lexsort(X.T[::-1])
    left_out = detector._left_out_scores(detector._adaptation)
    seen = detector._adaptation.score_fresh(X[order])
    scores = -detector.score_samples(X[order])
    np.testing.assert_allclose(scores, left_out, rtol=1e-4)  # trained without the whole support
    assert (left_out != seen).all()
    assert -detector.offset_ == pytest.approx(np.median(left_out))
    assert left_out.mean() > seen.mean()


# --- what a network starts from -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("anchor", "likelihood"),
    [(a, "student-t") for a in ("none", "linear", "kernel")] + [("both", "gaussian")],
)
def test_a_process_learns_from_any_anchor_under_any_likelihood(anchor, likelihood):
    detector = brief(kind="cnp", anchor=anchor, likelihood=likelihood).fit(line(40))
    assert np.isfinite(detector.score_samples(line(9, 1))).all()
    assert detector.state_.architecture["anchor"] == anchor
    assert set(detector._module(detector.state_).anchors) == {
        "none": set(), "linear": {"linear"}, "kernel": {"kernel"}, "both": {"linear", "kernel"}
    }[anchor]  # fmt: skip


@pytest.mark.parametrize(
    ("d", "targets", "anchor", "scaler"),
    [(5, None, "both", "task"), (101, None, "linear", "joint"), (5, [1], "none", "pooled")],
)
def test_anchors_and_scaler_follow_the_kind_of_rows(d, targets, anchor, scaler):
    X = np.random.default_rng(0).normal(size=(12, d))
    state = closed_form(kind="cnp", target_features=targets).fit(X).state_
    assert (state.architecture["anchor"], state.architecture["scaler"]) == (anchor, scaler)
    assert is_trained(state) == (anchor == "none")


def test_the_objective_of_a_latent_variable_changes_what_is_learned():
    X, query = line(40), line(9, 1)
    one, other = (
        brief(kind="np", objective=name).fit(X).score_samples(query)
        for name in ("elbo", "importance")
    )
    assert not np.array_equal(one, other)


# --- many rows ------------------------------------------------------------------------------------
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.filterwarnings("ignore:71 of 1095 normal rows are left out")
def test_a_context_has_no_more_than_1024_normals(trained):
    X = paired_rows(1100)
    X[-5:, 2] += 9.0
    y = np.arange(1100) >= 1095
    make = brief if trained else closed_form
    detector = make(kind="cnp", n_masks=None).fit(X, y)
    described = detector._adaptation.representation
    assert (described.support_y == 0).sum() == 1024
    assert (described.support_y == 1).sum() == 5
    assert len(detector.support_X_) == 1100
    assert auc(detector, paired_rows(60, 1), paired_rows(60, 1, broken=True)) > 0.9


def test_a_closed_form_has_no_functions_to_sample():
    X = np.random.default_rng(0).normal(size=(30, 5))
    detector = NeuralProcessDetector(kind="np", max_epochs=0).fit(X)
    with pytest.raises(ValueError, match="no latent variable"):
        detector.sample_functions(X[:3])
