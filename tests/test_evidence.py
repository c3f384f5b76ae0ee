"""Evidence from a regressor or a classifier of the user."""

import pickle

import numpy as np
import pytest
from families import make_family, new_task
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeRegressor

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.evidence import ClassifierEvidence, RegressorEvidence


def related(n, seed, curved=False):
    """Rows whose last column follows from the others."""
    X = np.random.default_rng(seed).normal(size=(n, 4))
    X[:, 3] = X[:, 0] * X[:, 1] if curved else X[:, 0] - 2.0 * X[:, 1]
    return X + 0.05 * np.random.default_rng(seed + 1).normal(size=X.shape)


def broken(n, seed, curved=False):
    """Rows like those, with the last column of other rows."""
    X = related(n, seed, curved)
    return np.column_stack([X[:, :3], np.roll(X[:, 3], 1)])


def auc(detector, curved=False):
    """ROC AUC of broken relations."""
    rows = np.concatenate([related(200, 10, curved), broken(200, 20, curved)])
    return roc_auc_score(np.repeat([0, 1], 200), -detector.score_samples(rows))


# --- regressors -----------------------------------------------------------------------------------
def test_a_linear_regressor_finds_broken_relations():
    detector = ProtoNetDetector(evidence=[RegressorEvidence(Ridge())]).fit(related(100, 0))
    assert auc(detector) > 0.95


def test_trees_find_relations_that_no_line_tells():
    trees = HistGradientBoostingRegressor(max_iter=30, min_samples_leaf=5)
    X = related(300, 0, curved=True)
    by_trees = ProtoNetDetector(evidence=[RegressorEvidence(trees, columns=[3])]).fit(X)
    by_lines = ProtoNetDetector(evidence=[RegressorEvidence(Ridge(), columns=[3])]).fit(X)
    assert auc(by_trees, curved=True) > auc(by_lines, curved=True) + 0.1


def test_it_is_one_kind_of_evidence_beside_those_that_are_built_in():
    X = related(60, 0)
    detector = ProtoNetDetector(evidence=["support", RegressorEvidence(Ridge())]).fit(X)
    assert detector.state_.architecture["evidence"][-1] == "residuals_of_Ridge"
    assert auc(detector) > auc(ProtoNetDetector(evidence="support").fit(X)) + 0.01


def test_meta_fit_weighs_it_where_past_tasks_break_relations():
    tasks = {}
    for i in range(6):
        X = np.concatenate([related(60, 100 + i, True), broken(20, 200 + i, True)])
        tasks[f"task {i}"] = X, np.repeat([0, 1], [60, 20])
    curve = RegressorEvidence(make_pipeline(PolynomialFeatures(2), Ridge()), columns=[3])
    evidence = ["mahalanobis_raw", "nearest_scaled", curve]
    detector = ProtoNetDetector(evidence=evidence, episodes_per_epoch=24, random_state=0)
    detector.set_params(n_normal=(25, 40)).meta_fit(tasks).fit(related(40, 0, True))
    assert np.argmax(detector._adaptation.values["weights"]) == 2
    assert auc(detector, curved=True) > 0.9


def test_left_out_scores_of_training_rows_are_of_regressors_that_did_not_see_them():
    deep = DecisionTreeRegressor()
    X = np.random.default_rng(0).normal(size=(60, 3))
    detector = ProtoNetDetector(evidence=[RegressorEvidence(deep)], threshold="conformal")
    detector.set_params(alpha=0.1).fit(X)
    new = np.random.default_rng(1).normal(size=(1000, 3))
    assert 0.02 < (detector.predict(new) == -1).mean() < 0.2


def test_clones_pickles_and_another_fit_score_alike():
    X, rows = related(60, 0), broken(20, 1)
    trees = HistGradientBoostingRegressor(max_iter=10, max_features=0.5)
    detector = ProtoNetDetector(evidence=[RegressorEvidence(trees, columns=[3])]).fit(X)
    expected = detector.score_samples(rows)
    for copy in (clone(detector).fit(X), pickle.loads(pickle.dumps(detector)), detector.fit(X)):
        np.testing.assert_array_equal(copy.score_samples(rows), expected)
    assert not hasattr(trees, "_predictors")


def test_rows_alone_score_as_among_others():
    X, rows = related(60, 0), broken(5, 1)
    detector = ProtoNetDetector(evidence=[RegressorEvidence(Ridge())]).fit(X)
    alone = np.concatenate([detector.score_samples(row[None]) for row in rows])
    np.testing.assert_allclose(alone, detector.score_samples(rows), rtol=1e-12)


def test_the_columns_most_related_to_others_are_predicted_where_there_are_many():
    X = np.random.default_rng(0).normal(size=(50, 30))
    X[:, 17] = X[:, 4] + 0.1 * X[:, 5]
    assert RegressorEvidence(Ridge(), max_columns=2)._columns_of(X) == [4, 17]


def test_a_column_that_never_varies_and_a_support_of_two_rows_are_no_error():
    X = related(40, 0)
    X[:, 1] = 3.0
    evidence = [RegressorEvidence(Ridge())]
    assert np.isfinite(ProtoNetDetector(evidence=evidence).fit(X).score_samples(X)).all()
    two = ProtoNetDetector(evidence=["support", *evidence]).fit(X[:2])
    assert np.isfinite(two.score_samples(X)).all()


def test_gaps_are_filled_before_the_regressor_sees_them():
    X, rows = related(60, 0), broken(20, 1)
    X[::5, 2] = np.nan
    rows[::3, 0] = np.nan
    detector = ProtoNetDetector(evidence=["support", RegressorEvidence(Ridge())]).fit(X)
    assert np.isfinite(detector.score_samples(rows)).all()


def test_what_is_no_regressor_is_refused_with_a_word_about_classifiers():
    detector = ProtoNetDetector(evidence=[RegressorEvidence(LogisticRegression())])
    with pytest.raises(TypeError, match="take ClassifierEvidence"):
        detector.fit(related(30, 0))


def test_columns_that_are_not_there_are_refused():
    detector = ProtoNetDetector(evidence=[RegressorEvidence(Ridge(), columns=[4])])
    with pytest.raises(
        ValueError, match=r"columns=\[4\] must be different positions .* from 0 to 3"
    ):
        detector.fit(related(30, 0))


# --- classifiers ----------------------------------------------------------------------------------
CLASSIFIERS = {
    "probabilities": RandomForestClassifier(n_estimators=20, class_weight="balanced"),
    "scores": make_pipeline(StandardScaler(), LinearSVC(class_weight="balanced")),
}


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_ranks_rows_like_the_labelled_anomalies_first(kind):
    X = np.concatenate([related(60, 0), related(5, 1) + [2.5, 0.0, 0.0, 2.5]])
    rows = np.concatenate([related(100, 2), related(100, 3) + [2.5, 0.0, 0.0, 2.5]])
    y, truth = np.repeat([1, -1], [60, 5]), np.repeat([0, 1], 100)
    detector = ProtoNetDetector(evidence=[ClassifierEvidence(CLASSIFIERS[kind])]).fit(X, y)
    scores = detector.score_samples(rows)
    assert roc_auc_score(truth, -scores) > 0.85
    np.testing.assert_array_equal(clone(detector).fit(X, y).score_samples(rows), scores)


@pytest.mark.parametrize("k", [0, 1])
def test_fewer_than_two_labelled_anomalies_count_nothing(k):
    X, y, query, _ = new_task(k_support=k)
    evidence = ["support", ClassifierEvidence(LogisticRegression())]
    scores = ProtoNetDetector(evidence=evidence).fit(X, y).score_samples(query)
    expected = ProtoNetDetector(evidence="support").fit(X, y).score_samples(query)
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_meta_fit_takes_a_classifier_too():
    evidence = ["mahalanobis_pooled", ClassifierEvidence(LogisticRegression())]
    detector = ProtoNetDetector(evidence=evidence, episodes_per_epoch=24, random_state=0)
    detector.meta_fit(make_family())
    assert detector.pretrained.arrays["theta"].shape == (3, 2)
    X, y, query, query_y = new_task()
    assert detector.fit(X, y).score(query, query_y) > 0.8


def test_what_is_no_classifier_is_refused():
    X, y, _, _ = new_task(k_support=3)
    with pytest.raises(TypeError, match="needs a classifier"):
        ProtoNetDetector(evidence=[ClassifierEvidence(Ridge())]).fit(X, y)
