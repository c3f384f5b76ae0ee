"""Evidence from a regressor or a classifier of the user."""

import pickle

import numpy as np
import pandas as pd
import pytest
from families import make_family, new_task
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVR, LinearSVC
from sklearn.tree import DecisionTreeRegressor

from sklearn_fsad import FewShotSplit, ProtoNetDetector, config_context
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


class CountingRidge(Ridge):
    """Ridge regression that counts its fits."""

    n_fits = 0

    def fit(self, X, y):
        CountingRidge.n_fits += 1
        return super().fit(X, y)


def auc(detector, curved=False):
    """ROC AUC of broken relations."""
    rows = np.concatenate([related(200, 10, curved), broken(200, 20, curved)])
    return roc_auc_score(np.repeat([0, 1], 200), -detector.score_samples(rows))


# --- regressors -----------------------------------------------------------------------------------
def test_a_linear_regressor_finds_broken_relations():
    detector = ProtoNetDetector(evidence=[RegressorEvidence(Ridge())]).fit(related(100, 0))
    assert auc(detector) > 0.95


def test_trees_find_relations_that_no_line_tells():
    trees = HistGradientBoostingRegressor(max_iter=20, min_samples_leaf=5)
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


@pytest.mark.parametrize("columns", [[4], [-1], [1, 1], [], ["flow"], [[0]]])
def test_columns_that_are_no_positions_are_refused(columns):
    detector = ProtoNetDetector(evidence=[RegressorEvidence(Ridge(), columns=columns)])
    with pytest.raises(ValueError, match="must be different positions of columns, from 0 to 3"):
        detector.fit(related(30, 0))


@pytest.mark.parametrize(
    "wrong",
    [{"max_columns": 0}, {"columns": 1}, {"scale": "yes"}, {"name": 3}, {"random_state": None}],
)
def test_wrong_parameters_are_refused_and_the_last_fit_is_kept(wrong):
    evidence, rows = RegressorEvidence(Ridge()), broken(5, 1)
    detector = ProtoNetDetector(evidence=[evidence]).fit(related(30, 0))
    expected = detector.score_samples(rows)
    detector.set_params(evidence=[clone(evidence).set_params(**wrong)])
    with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter of Regressor"):
        detector.fit(related(30, 2))
    np.testing.assert_array_equal(detector.score_samples(rows), expected)


def test_a_regressor_that_needs_more_rows_says_how_many_it_was_given():
    detector = ProtoNetDetector(evidence=[RegressorEvidence(KNeighborsRegressor())])
    with pytest.raises(ValueError, match=r"KNeighborsRegressor failed on 2 normal rows.*n_normal"):
        detector.fit(related(5, 0))


def test_the_class_of_evidence_is_no_evidence():
    with pytest.raises(ValueError, match="holds the class RegressorEvidence: give an instance"):
        ProtoNetDetector(evidence=[RegressorEvidence]).fit(related(30, 0))


def test_two_regressors_of_one_class_need_names():
    two, X = [RegressorEvidence(Ridge()), RegressorEvidence(Ridge(100.0))], related(30, 0)
    with pytest.raises(ValueError, match=r"residuals_of_Ridge twice. Models take name="):
        ProtoNetDetector(evidence=two).fit(X)
    two[1].set_params(name="stiff")
    detector = ProtoNetDetector(evidence=two).fit(X)
    assert detector.state_.architecture["evidence"] == ["residuals_of_Ridge", "stiff"]


@pytest.mark.parametrize("regressor", [Ridge(), SVR()], ids=["ridge", "svm"])
def test_the_units_of_columns_do_not_matter(regressor):
    X, rows, units = related(40, 0), broken(20, 1), np.array([1.0, 2.0**-8, 1.0, 2.0**8])
    detector = ProtoNetDetector(evidence=[RegressorEvidence(regressor)])
    expected = detector.fit(X).score_samples(rows)
    given = detector.fit(X * units).score_samples(rows * units)
    np.testing.assert_allclose(given, expected, rtol=1e-9)


def test_a_fitted_regressor_sees_rows_in_their_own_units():
    X = 1000.0 * related(200, 0) + 5000.0
    known = FrozenEstimator(Ridge().fit(X[:, :3], X[:, 3]))
    evidence = RegressorEvidence(known, columns=[3], scale=False)
    detector = ProtoNetDetector(evidence=[evidence]).fit(1000.0 * related(20, 3) + 5000.0)
    rows = np.concatenate([related(100, 10), broken(100, 20)])
    scores = detector.score_samples(1000.0 * rows + 5000.0)
    assert roc_auc_score(np.repeat([0, 1], 100), -scores) > 0.95


def test_searches_pipelines_and_transformed_targets_are_regressors_too():
    pipeline = make_pipeline(StandardScaler(), Ridge())
    search = GridSearchCV(pipeline, {"ridge__alpha": [0.1, 1.0]}, cv=2)
    target = TransformedTargetRegressor(SVR(), transformer=StandardScaler())
    kinds = [RegressorEvidence(model, columns=[3]) for model in (search, target)]
    detector = ProtoNetDetector(evidence=kinds).fit(related(40, 0))
    names = ["residuals_of_GridSearchCV", "residuals_of_TransformedTargetRegressor"]
    assert detector.state_.architecture["evidence"] == names
    assert auc(detector) > 0.8


def test_fit_takes_eighteen_fits_a_column_and_neither_scoring_nor_loading_takes_one():
    CountingRidge.n_fits = 0
    evidence, rows = RegressorEvidence(CountingRidge(), columns=[0, 3]), broken(20, 1)
    detector = ProtoNetDetector(evidence=[evidence]).fit(related(40, 0))
    assert CountingRidge.n_fits == 36
    loaded = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(loaded.score_samples(rows), detector.score_samples(rows))
    assert CountingRidge.n_fits == 36


def test_what_is_changed_after_fit_changes_no_scores():
    evidence, rows = RegressorEvidence(Ridge()), broken(20, 1)
    detector = ProtoNetDetector(evidence=[evidence]).fit(related(40, 0))
    expected = detector.score_samples(rows)
    evidence.regressor.set_params(alpha=1e6)
    evidence.set_params(max_columns=1)
    np.testing.assert_array_equal(detector.score_samples(rows), expected)


def test_a_grid_search_chooses_among_lists_of_evidence():
    X, y = np.concatenate([related(60, 0), broken(30, 1)]), np.repeat([0, 1], [60, 30])
    grid = {"evidence": ["support", ["support", RegressorEvidence(Ridge())]]}
    splitter = FewShotSplit(n_normal=40, n_anomalous=0, n_draws=2, random_state=0)
    search = GridSearchCV(ProtoNetDetector(), grid, cv=splitter).fit(X, y)
    assert len(search.best_params_["evidence"]) == 2


def test_contributions_of_columns_and_of_evidence_add_up():
    rows, evidence = broken(5, 1), ["support", RegressorEvidence(Ridge())]
    detector = ProtoNetDetector(evidence=evidence).fit(related(40, 0))
    scores = -detector.score_samples(rows)
    np.testing.assert_allclose(detector.feature_scores(rows).sum(axis=1), scores)
    np.testing.assert_allclose(sum(detector.evidence_scores(rows).values()), scores)
    assert len(detector.report(rows)) > 0


def test_more_rows_later_are_as_good_as_at_once():
    X, rows = related(40, 0), broken(20, 1)
    detector = ProtoNetDetector(evidence=[RegressorEvidence(Ridge())])
    expected = clone(detector).fit(X).score_samples(rows)
    later = detector.fit(X[:25]).partial_fit(X[25:]).score_samples(rows)
    np.testing.assert_array_equal(later, expected)


def test_what_was_learned_is_loaded_with_the_same_evidence_and_not_without(tmp_path):
    evidence = ["mahalanobis_raw", RegressorEvidence(Ridge(), columns=[0])]
    path = tmp_path / "mix.safetensors"
    detector = ProtoNetDetector(evidence=evidence, episodes_per_epoch=12, random_state=0)
    detector.meta_fit(make_family()).pretrained.save(path)
    X, _, query, _ = new_task()
    loaded = ProtoNetDetector(evidence=evidence, pretrained=str(path))
    expected = detector.fit(X).score_samples(query)
    np.testing.assert_array_equal(loaded.fit(X).score_samples(query), expected)
    with pytest.raises(ValueError, match=r"of your own named .*residuals_of_Ridge"):
        loaded.set_params(evidence=None).fit(X)


def test_categories_are_dummy_variables_for_the_regressor():
    X = related(60, 0)
    words = np.where(X[:, 0] > 0, "high", "low")
    frame = pd.DataFrame(X, columns=list("abcd")).assign(word=words)
    detector = ProtoNetDetector(evidence=[RegressorEvidence(Ridge())]).fit(frame)
    rows = related(20, 5)
    fitting = np.where(rows[:, 0] > 0, "high", "low")
    usual = pd.DataFrame(rows, columns=list("abcd")).assign(word=fitting)
    turned = usual.assign(word=np.where(fitting == "high", "low", "high"))
    assert (detector.score_samples(usual) > detector.score_samples(turned)).mean() > 0.8


def test_threads_score_alike():
    X, rows = related(40, 0), np.concatenate([broken(1000, i) for i in range(3)])
    detector = ProtoNetDetector(evidence=["support", RegressorEvidence(Ridge())]).fit(X)
    expected = detector.score_samples(rows)
    with config_context(n_threads=2):
        np.testing.assert_allclose(detector.score_samples(rows), expected, rtol=1e-12)


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


@pytest.mark.parametrize("k", [0, 3])
def test_what_is_no_classifier_is_refused_with_labels_or_without(k):
    X, y, _, _ = new_task(k_support=k)
    with pytest.raises(TypeError, match="needs a classifier"):
        ProtoNetDetector(evidence=[ClassifierEvidence(Ridge())]).fit(X, y)


def test_two_anomalies_are_enough_for_the_left_out_scores_of_all_normal_rows():
    X, y = np.concatenate([related(40, 0), related(2, 1) + 3.0]), np.repeat([1, -1], [40, 2])
    detector = ProtoNetDetector(evidence=[ClassifierEvidence(LogisticRegression())]).fit(X, y)
    left_out = detector._adaptation.representation.calibration.left_out[:, 0]
    assert (left_out != 0.0).all()
    assert left_out[:40].max() < left_out[40:].max()


def test_a_classifier_that_needs_more_anomalies_says_how_many_it_was_given():
    X, y = np.concatenate([related(40, 0), related(2, 1) + 3.0]), np.repeat([1, -1], [40, 2])
    needy = ClassifierEvidence(CalibratedClassifierCV(LogisticRegression(), cv=3))
    with pytest.raises(ValueError, match=r"normal rows and 1 anomalies.*n_anomalous"):
        ProtoNetDetector(evidence=[needy]).fit(X, y)


@pytest.mark.parametrize("labels", [(0, 1), (1, -1)])
@pytest.mark.parametrize("model", [LogisticRegression(), LinearSVC()], ids=type)
def test_a_fitted_classifier_of_either_coding_is_not_turned_round(labels, model):
    normal, anomalous = labels
    X = np.random.default_rng(0).normal(size=(80, 3))
    X[60:, 0] += 4.0
    known = FrozenEstimator(clone(model).fit(X, np.repeat([normal, anomalous], [60, 20])))
    evidence = [ClassifierEvidence(known, scale=False)]
    detector = ProtoNetDetector(evidence=evidence).fit(X[:63], np.repeat([1, -1], [60, 3]))
    low, high = detector.score_samples([[4.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert low < high


def test_a_fitted_classifier_of_other_labels_is_refused():
    X = np.random.default_rng(0).normal(size=(30, 3))
    known = FrozenEstimator(LogisticRegression().fit(X, np.repeat(["fine", "odd"], 15)))
    detector = ProtoNetDetector(evidence=[ClassifierEvidence(known, scale=False)])
    with pytest.raises(ValueError, match=r"anomalies among the classes \['fine', 'odd'\]"):
        detector.fit(X, np.repeat([1, -1], [27, 3]))
