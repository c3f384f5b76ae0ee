"""Probabilities: what tasks teach, what a support alone says, and how users see them."""

import pickle

import numpy as np
import pytest
from families import make_family
from scipy.special import logit
from sklearn.base import clone

from sklearn_fsad import MetaState, ProtoNetDetector
from sklearn_fsad._detectors.base.probability import (
    ScoredEpisode,
    by_curve,
    by_support,
    learn_curve,
)

NONE = np.array([])


def made_episode(seed, rate=0.3, n=40, n_query=400, share=0.5):
    """Normals score N(0, 1), anomalies N(2, 1), on a scale that differs between episodes."""
    rng = np.random.default_rng(seed)
    scale, shift = 10.0 ** rng.uniform(-2, 2), rng.normal(scale=50.0)
    is_anomaly = np.arange(n_query) < share * n_query
    scores = rng.normal(size=n_query) + 2.0 * is_anomaly
    normals = rng.normal(size=n)
    return ScoredEpisode(normals * scale + shift, NONE, scores * scale + shift, is_anomaly, rate)


@pytest.fixture(scope="module")
def curve():
    return learn_curve([made_episode(seed) for seed in range(40)])


def test_a_learned_curve_is_nearly_as_good_as_the_true_odds(curve):
    errors = []
    for seed in range(100, 130):
        e = made_episode(seed, n=200, share=0.3)
        p = by_curve(curve, e.scores, e.normals, e.anomalies)
        z = (e.scores - e.normals.mean()) / e.normals.std()
        true = 1.0 / (1.0 + np.exp(-(logit(0.3) + 2.0 * z - 2.0)))
        errors.append([np.mean((q - e.is_anomaly) ** 2) for q in (p, true, 0.3)])
    mine, best, constant = np.mean(errors, axis=0)
    assert mine < best + 0.01 < constant


def test_a_learned_curve_expects_the_share_of_anomalies_that_tasks_have(curve):
    means = [
        by_curve(curve, e.scores, e.normals, e.anomalies).mean()
        for e in (made_episode(seed, share=0.3) for seed in range(200, 230))
    ]
    assert np.mean(means) == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("anomalies", [NONE, np.array([3.0]), np.array([2.0, 9.0])])
@pytest.mark.parametrize("n", [2, 5, 50])
def test_probabilities_never_fall_with_the_score(curve, n, anomalies):
    normals = np.random.default_rng(n).normal(size=n)
    scores = np.linspace(-5.0, 1e6, 500)
    for p in (
        by_curve(curve, scores, normals, anomalies),
        by_support(scores, normals, anomalies, rate=0.1),
    ):
        assert np.isfinite(p).all()
        assert (np.diff(p) >= -1e-12).all()
        assert p[-1] > p[0]


def test_equal_scores_of_the_support_give_finite_probabilities(curve):
    equal, scores = np.ones(6), np.array([0.0, 1.0, 2.0])
    for p in (by_curve(curve, scores, equal, NONE), by_support(scores, equal, NONE, rate=0.1)):
        assert np.isfinite(p).all()
        assert p[2] > p[1]


def test_labelled_anomalies_beyond_the_normals_make_beyond_more_suspect():
    normals = np.random.default_rng(0).normal(size=50)
    far = np.array([4.0])
    alone = by_support(far, normals, NONE, rate=0.1)
    told = by_support(far, normals, np.array([5.0, 6.0, 5.0]), rate=0.1)
    misled = by_support(far, normals, np.array([0.0, -1.0, 0.5]), rate=0.1)
    assert misled < alone < told


def test_columns_are_those_of_classes_and_rows_add_up(detector, task):
    X, y, query, _ = task
    p = detector.fit(X, y).predict_proba(query)
    assert p.shape == (len(query), 2)
    assert ((p >= 0.0) & (p <= 1.0)).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert detector.classes_.tolist() == [0, 1]
    order = np.argsort(detector.score_samples(query))
    assert (np.diff(p[order, 1]) <= 1e-12).all()


@pytest.mark.parametrize(
    ("code", "label", "classes", "column"),
    [
        (lambda y: 1 - 2 * y, "auto", [-1, 1], 0),
        (lambda y: y.astype(float), "auto", [0.0, 1.0], 1),
        (lambda y: y.astype(bool), "auto", [False, True], 1),
        (lambda y: 1 - y, 0, [0, 1], 0),
        (lambda y: np.where(y, "bad", "good"), "bad", ["bad", "good"], 0),
        (lambda y: np.where(y, "scratch", "fine"), "scratch", ["fine", "scratch"], 1),
        (lambda y: np.where(y, y + np.arange(len(y)) % 2, 0), [1, 2], [-1, 1], 0),
        (lambda y: None, "auto", [-1, 1], 0),
        (lambda y: np.where(y, np.nan, 1.0), 1 - 2, [-1, 1], 0),
    ],
)
def test_columns_follow_the_coding_that_fit_was_given(
    each_class, task, code, label, classes, column
):
    X, y, query, _ = task
    detector = each_class.set_params(outlier_label=label).fit(X, code(y))
    assert detector.classes_.tolist() == classes
    p = detector.predict_proba(query)
    order = np.argsort(detector.score_samples(query))
    assert p[order[0], column] > p[order[-1], column]


def test_meta_fitted_probabilities_beat_the_share_of_anomalies(meta_fitted, task):
    X, y, query, truth = task
    p = clone(meta_fitted).fit(X, y).predict_proba(query)[:, 1]
    assert np.mean((p - truth) ** 2) < 0.5 * truth.mean() * (1.0 - truth.mean())


def test_the_curve_is_kept_by_clones_pickles_and_files(meta_fitted, task, tmp_path):
    X, y, query, _ = task
    fitted = clone(meta_fitted).fit(X, y)
    expected = fitted.predict_proba(query)
    assert (pickle.loads(pickle.dumps(fitted)).predict_proba(query) == expected).all()
    meta_fitted.pretrained.save(tmp_path / "state.safetensors")
    loaded = ProtoNetDetector(pretrained=MetaState.load(tmp_path / "state.safetensors"))
    assert (loaded.fit(X, y).predict_proba(query) == expected).all()


def test_another_share_of_anomalies_shifts_the_log_odds(meta_fitted, task):
    X, y, query, _ = task
    fitted = clone(meta_fitted).fit(X, y)
    usual = fitted.state_.info["anomaly_rate"]
    few = fitted.predict_proba(query, anomaly_rate=0.01)[:, 1]
    shift = logit(0.01) - logit(usual)
    seen = fitted.predict_proba(query)[:, 1]
    inner = (seen > 1e-6) & (seen < 1.0 - 1e-6)
    np.testing.assert_allclose(logit(few)[inner], logit(seen)[inner] + shift, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 2.0])
def test_impossible_shares_are_refused(task, rate):
    X, y, query, _ = task
    with pytest.raises(ValueError, match="anomaly_rate"):
        ProtoNetDetector().fit(X, y).predict_proba(query, anomaly_rate=rate)


def test_without_tasks_the_share_is_contamination(task):
    X, _, query, _ = task
    usual, tenth, third = (
        ProtoNetDetector(contamination=c).fit(X).predict_proba(query)[:, 0]
        for c in ("auto", 0.1, 0.3)
    )
    np.testing.assert_array_equal(usual, tenth)
    assert (third > tenth).all()


def test_tasks_without_anomalies_teach_no_curve(task):
    X, y, query, _ = task
    tasks = [(X_t[y_t == 0], None) for X_t, y_t in make_family(4)]
    with pytest.warns(UserWarning, match="nothing to learn"):
        detector = ProtoNetDetector(random_state=0).meta_fit(tasks)
    assert "probability" not in detector.pretrained.arrays
    assert np.isfinite(detector.fit(X, y).predict_proba(query)).all()
