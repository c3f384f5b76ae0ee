"""Every meta-estimator of scikit-learn gets the anomalies right, or the user is told."""

import warnings
from functools import partial

import numpy as np
import polars as pl
import pytest
import sklearn
from families import EACH_CLASS, N_FEATURES, far_off, make_detector, make_family, unlearned
from pyod.models.knn import KNN
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes the next import work
from sklearn.feature_selection import RFE, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from sklearn_fsad import (
    AnomalyClassifier,
    DistilledDetector,
    FewShotSplit,
    ProtoNetDetector,
    PyODDetector,
    TaskEstimator,
    to_pyod,
)
from sklearn_fsad.exceptions import LabelConventionWarning
from sklearn_fsad.metrics import anomaly_scorer

pytestmark = [pytest.mark.usefixtures("few_trees", "few_lessons"), far_off]

CV = StratifiedKFold(2)
WEIGHED = (
    partial(unlearned, "prototypes"),
    partial(PyODDetector, KNN()),
    partial(DistilledDetector, ProtoNetDetector(), min_agreement=0, n_rows=1000, max_epochs=1),
)
CODINGS = {  # of y, and the label of the anomalies
    "binary": (lambda y: y, 1),
    "boolean": (lambda y: y.astype(bool), True),
    "signed": (lambda y: 1 - 2 * y, -1),
}


def easy_task():
    """Rows, labels, other rows and theirs; anomalies are far out in every column."""
    rng, y = np.random.default_rng(0), np.repeat([0, 1], [30, 14])
    X, query = (rng.normal(size=(44, N_FEATURES)) + 8 * y[:, None] for _ in range(2))
    return X, y, query, y


TASK = easy_task()


def cross_validated(method):
    def predicted(estimator, X, y, query):
        return cross_val_predict(estimator, X, y, cv=CV, method=method)

    return predicted


def fitted(make):
    """Probabilities of query rows by a tool around the estimator."""

    def predicted(estimator, X, y, query):
        return make(estimator).fit(X, y).predict_proba(query)

    return predicted


def labelled(make):
    """Labels of query rows by a tool around the estimator."""

    def predicted(estimator, X, y, query):
        return make(estimator).fit(X, y).predict(query)

    return predicted


def pair(estimator):
    return [("one", estimator), ("other", estimator)]


NUMBERS_ANEW = {  # tools that replace labels by 0 and 1 before they fit
    "cross_val_predict decision_function": cross_validated("decision_function"),
    "cross_val_predict predict_proba": cross_validated("predict_proba"),
    "bagging": fitted(lambda e: BaggingClassifier(e, 2, random_state=0)),
    "calibrated by one": fitted(lambda e: CalibratedClassifierCV(e, cv=CV, ensemble=False)),
    "stacking": fitted(lambda e: StackingClassifier(pair(e), LogisticRegression(), cv=CV)),
    "isotonic by one": fitted(
        lambda e: CalibratedClassifierCV(e, cv=CV, ensemble=False, method="isotonic")
    ),
}
KEEPS_LABELS = {
    "cross_val_predict predict": cross_validated("predict"),
    "calibrated": fitted(lambda e: CalibratedClassifierCV(e, cv=CV)),
    "isotonic": fitted(lambda e: CalibratedClassifierCV(e, cv=CV, method="isotonic")),
    "fixed threshold": labelled(lambda e: FixedThresholdClassifier(e)),
    "tuned threshold": labelled(lambda e: TunedThresholdClassifierCV(e, cv=CV)),
}
FOR_CLASSIFIERS = {  # refuse what is no classifier
    "cross_val_predict predict_log_proba": cross_validated("predict_log_proba"),
    "hard vote": labelled(lambda e: VotingClassifier(pair(e))),
    "soft vote": fitted(lambda e: VotingClassifier(pair(e), voting="soft")),
}
TOOLS = NUMBERS_ANEW | KEEPS_LABELS | FOR_CLASSIFIERS


def auc_of(name, estimator, coding, detector_signs=False):
    """ROC AUC of what a tool says of the anomalies, read as its documentation tells."""
    X, codes, query, query_codes = TASK
    code, anomaly = CODINGS[coding]
    y = code(codes)
    said = TOOLS[name](estimator, X, y, query)
    truth = codes if "cross_val_predict" in name else query_codes
    classes = np.unique(y).tolist()
    if said.ndim == 2:
        score = said[:, classes.index(anomaly)]
    elif name.endswith("decision_function"):
        larger_is_anomalous = not detector_signs and classes.index(anomaly) == 1
        score = said if larger_is_anomalous else -said
    else:
        score = said == (-1 if detector_signs and "cross_val_predict" in name else anomaly)
    return roc_auc_score(truth, score)


@pytest.mark.parametrize("name", TOOLS)
def test_a_wrapped_detector_is_right_in_every_tool_for_labels_0_and_1(each_class, name):
    wrapped = AnomalyClassifier(each_class, outlier_label=1)
    assert auc_of(name, wrapped, "binary") > 0.8
    assert auc_of(name, AnomalyClassifier(each_class), "boolean") > 0.8


@pytest.mark.parametrize("name", [*KEEPS_LABELS])
def test_a_wrapped_detector_is_right_for_signed_labels_where_a_tool_keeps_them(name):
    wrapped = AnomalyClassifier(make_detector("closed form"))
    assert auc_of(name, wrapped, "signed") > 0.8


@pytest.mark.parametrize("name", [*NUMBERS_ANEW, "hard vote", "soft vote"])
def test_a_wrapped_detector_tells_that_a_tool_has_numbered_signed_labels_anew(name):
    wrapped = AnomalyClassifier(make_detector("closed form"))
    with pytest.warns(LabelConventionWarning, match=r"1 for the anomalies and 0 for normal rows"):
        auc_of(name, wrapped, "signed")


BARE = [
    *[("closed form", tool) for tool in NUMBERS_ANEW | KEEPS_LABELS],
    *[(name, tool) for name in EACH_CLASS for tool in ("bagging", "calibrated by one")],
]


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(("name", "tool"), BARE)
def test_a_bare_detector_is_right_or_refuses_or_tells(name, tool, coding):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            right = auc_of(tool, make_detector(name), coding, detector_signs=True) > 0.8
        except ValueError as error:
            right = "classifier" in str(error)
    told = any(issubclass(w.category, LabelConventionWarning) for w in told)
    assert right or told
    assert coding == "signed" or not told


@pytest.mark.parametrize("name", FOR_CLASSIFIERS)
def test_tools_for_classifiers_refuse_a_bare_detector(name):
    with pytest.raises((ValueError, AttributeError), match=r"classifier|predict_log_proba"):
        auc_of(name, make_detector("closed form"), "binary")


@pytest.mark.parametrize(
    "make",
    [
        lambda d: CalibratedClassifierCV(d, method="isotonic"),
        lambda d: TunedThresholdClassifierCV(d, cv="prefit", refit=False),
        lambda d: FixedThresholdClassifier(d),
    ],
)
def test_tools_for_classifiers_refuse_a_frozen_detector_too(make):
    X, y, query, _ = TASK
    frozen = FrozenEstimator(make_detector("closed form").fit(X, y))
    with pytest.raises(ValueError, match="classifier"):
        make(frozen).fit(X, y).predict(query)


@pytest.mark.parametrize("counts", [(20, 20), (15, 20)])
def test_as_many_anomalies_as_normals_do_not_hide_that_labels_were_numbered_anew(counts):
    y = np.repeat([1, -1], counts)
    X = np.random.default_rng(0).normal(size=(len(y), 2)) + 5 * (y[:, None] == -1)
    message = "cross_val_predict has replaced the labels -1 and 1 by 0 and 1"
    with pytest.warns(LabelConventionWarning, match=message):
        cross_val_predict(make_detector("closed form"), X, y, cv=CV, method="decision_function")


@pytest.mark.parametrize("label", [-1, "bad", [-1]])
def test_an_explicit_label_that_a_tool_has_replaced_is_refused(label):
    X, codes, _, _ = TASK
    y = np.where(codes, "bad", "good") if label == "bad" else 1 - 2 * codes
    detector = make_detector("closed form").set_params(outlier_label=label)
    with pytest.raises(ValueError, match="1 for the anomalies and 0 for normal rows"):
        cross_val_predict(detector, X, y, cv=CV, method="decision_function")


@pytest.mark.parametrize(("code", "label"), [(lambda y: 2 - y, 1), (lambda y: y - 1, 0)])
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_explicit_label_that_another_one_was_given_is_told(wrapped, code, label):
    X, y, _, _ = TASK
    turned = code(y) if label else -code(y) - 1  # {1, 2} with 1, and {-1, 0} with 0 the anomaly
    detector = make_detector("closed form").set_params(outlier_label=label)
    if wrapped:
        detector = AnomalyClassifier(make_detector("closed form"), outlier_label=label)
    with pytest.warns(LabelConventionWarning, match=f"outlier_label={label} is another label now"):
        cross_val_predict(detector, X, turned, cv=CV, method="decision_function")


@pytest.mark.parametrize("tool", [OneVsRestClassifier, OneVsOneClassifier])
def test_one_against_others_needs_a_classifier(tool):
    X, y, query, _ = TASK
    with pytest.raises(ValueError, match="AnomalyClassifier"):
        tool(make_detector("closed form")).fit(X, y).predict(query)
    wrapped = tool(AnomalyClassifier(make_detector("closed form"))).fit(X, y)
    assert (wrapped.predict(query) == y).mean() > 0.9


@pytest.mark.parametrize("labels", [None, "signed"])
def test_columns_of_a_frozen_detector_that_are_others_are_told(labels):
    X, y, query, query_y = TASK
    kept = y == 0 if labels is None else y < 2
    detector = make_detector("closed form").fit(X[kept], labels and 1 - 2 * y)
    frozen = FrozenEstimator(detector)
    with pytest.warns(LabelConventionWarning, match="fitted with -1 and 1"):
        cross_val_predict(frozen, query, query_y, cv=CV, method="predict_proba")
    said = cross_val_predict(frozen, query, 1 - 2 * query_y, cv=CV, method="predict_proba")
    assert roc_auc_score(query_y, said[:, 0]) > 0.9
    wrapped = AnomalyClassifier(frozen).fit(X, y)
    assert roc_auc_score(query_y, wrapped.predict_proba(query)[:, 1]) > 0.9


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.8"),
    reason="scikit-learn before 1.8 has no temperature scaling",
)
@pytest.mark.parametrize("labels", [None, "signed"])
def test_temperature_scaling_of_a_frozen_detector_names_the_classifier(labels):
    X, y, query, query_y = TASK
    kept = y == 0 if labels is None else y < 2
    frozen = FrozenEstimator(make_detector("closed form").fit(X[kept], labels and 1 - 2 * y))
    calibrated = CalibratedClassifierCV(frozen, method="temperature")
    with pytest.raises(ValueError, match=r"AnomalyClassifier|unseen labels"):
        calibrated.fit(query, query_y).predict_proba(query)


# --- tools that select columns, and searches ------------------------------------------------------
@pytest.mark.parametrize("coding", CODINGS)
def test_selections_of_columns_find_the_one_that_tells(coding):
    y = np.repeat([0, 1], [40, 20])
    X = np.random.default_rng(0).normal(size=(60, 4))
    X[y == 1, 2] += 6.0
    code, _ = CODINGS[coding]
    detector = make_detector("closed form")
    forward = SequentialFeatureSelector(
        detector, n_features_to_select=1, scoring=anomaly_scorer(), cv=StratifiedKFold(2)
    )
    assert forward.fit(X, code(y)).get_support().tolist() == [False, False, True, False]
    by_score = SequentialFeatureSelector(detector, n_features_to_select=1, cv=StratifiedKFold(2))
    assert by_score.fit(X, code(y)).get_support()[2]

    def importances(fitted):
        return fitted.feature_scores(fitted.support_X_[fitted.support_y_ == 1]).mean(axis=0)

    backward = RFE(detector, n_features_to_select=1, importance_getter=importances)
    assert backward.fit(X, code(y)).get_support()[2]


@pytest.mark.parametrize("search", [HalvingGridSearchCV, HalvingRandomSearchCV])
@pytest.mark.parametrize("coding", CODINGS)
def test_halving_searches_rank_candidates_by_the_anomalies(search, coding):
    X, y, query, query_y = TASK
    code, _ = CODINGS[coding]
    how = {"cv": CV, "random_state": 0, "min_resources": 40, "scoring": anomaly_scorer()}
    found = search(make_detector("closed form"), {"embedding_dim": [1, None]}, **how)
    found.fit(X, code(y))
    assert min(found.best_score_, found.score(query, code(query_y))) > 0.9


@pytest.mark.parametrize("name", EACH_CLASS)
def test_a_search_over_what_the_score_cannot_see_tells_of_the_tie(name):
    X, y, _, _ = TASK
    detector = make_detector(name)
    grid = {"contamination": [0.1, 0.3], "alpha": [0.1]}
    with pytest.warns(UserWarning, match="does not depend on alpha, contamination"):
        GridSearchCV(detector, grid, cv=CV).fit(X, y)
    pipe = make_pipeline(StandardScaler(), detector)
    grid = {f"{type(detector).__name__.lower()}__{key}": value for key, value in grid.items()}
    with pytest.warns(UserWarning, match="does not depend on alpha, contamination"):
        GridSearchCV(pipe, grid, cv=CV).fit(X, y)


@pytest.mark.parametrize(
    ("make", "grid"),
    [
        (lambda: PyODDetector(KNN()), {"detector__contamination": [0.1, 0.3]}),
        (lambda: AnomalyClassifier(make_detector("closed form")), {"detector__alpha": [0.1, 0.2]}),
        (lambda: make_detector("closed form"), [{"alpha": [0.1, 0.2]}, {"max_context": [10, 30]}]),
    ],
)
@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
def test_ties_under_every_ranking_are_told_once(make, grid, metric, recwarn):
    X, y, _, _ = TASK
    scoring = anomaly_scorer(metric)
    GridSearchCV(make(), grid, cv=StratifiedKFold(3), scoring=scoring).fit(X, y)
    ties = [w for w in recwarn if "search that differ in nothing else tie" in str(w.message)]
    assert len(ties) == 1


def test_a_search_over_tasks_tells_of_its_tie():
    tasks = list(make_family(4))
    few = unlearned("mix").set_params(episodes_per_epoch=8, max_epochs=1)
    splitter = FewShotSplit(10, 2, n_draws=1, random_state=0)
    grid = {"detector__contamination": [0.1, 0.2]}
    with pytest.warns(UserWarning, match="does not depend on contamination"):
        GridSearchCV(TaskEstimator(few, splitter=splitter), grid, cv=KFold(2)).fit(tasks)


@pytest.mark.parametrize("grid", [[{"alpha": [0.1]}, {"max_context": [10]}], {"lr": [0.1, 0.2]}])
def test_candidates_that_differ_in_more_are_no_ties(grid, recwarn):
    X, y, _, _ = TASK
    GridSearchCV(make_detector("closed form"), grid, cv=CV).fit(X, y)
    assert not [w for w in recwarn if "tie" in str(w.message)]


def test_a_search_with_a_scorer_of_predictions_chooses_and_says_nothing():
    X, y, _, _ = TASK
    grid = {"contamination": [0.02, 0.35]}
    found = GridSearchCV(make_detector("closed form"), grid, cv=CV, scoring=anomaly_scorer("f1"))
    assert found.fit(X, y).best_params_ == {"contamination": 0.35}
    only = GridSearchCV(make_detector("closed form"), {"contamination": [0.1]}, cv=CV)
    assert only.fit(X, y).best_score_ > 0.9


# --- AnomalyClassifier ----------------------------------------------------------------------------
def test_the_classifier_refuses_lazy_frames_with_the_way_out(task):
    X, y, _, _ = task
    classifier = AnomalyClassifier(make_detector("closed form"))
    with pytest.raises(ValueError, match=r"lazy.*call its \.collect\(\) first"):
        classifier.fit(pl.DataFrame(X).lazy(), y)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_classifier_speaks_in_the_coding_of_y(each_class, coding):
    X, codes, query, query_codes = TASK
    code, anomaly = CODINGS[coding]
    classifier = AnomalyClassifier(each_class).fit(X, code(codes))
    assert classifier.classes_.tolist() == sorted(set(code(codes).tolist()))
    assert set(classifier.predict(query).tolist()) == set(classifier.classes_.tolist())
    flagged = classifier.detector_.predict(query) == -1
    np.testing.assert_array_equal(classifier.predict(query) == anomaly, flagged)
    second = classifier.classes_[1]
    np.testing.assert_array_equal(
        classifier.decision_function(query) > 0, classifier.predict(query) == second
    )
    p = classifier.predict_proba(query)[:, classifier.classes_.tolist().index(anomaly)]
    assert roc_auc_score(query_codes, p) > 0.8
    assert 0.5 < classifier.score(query, code(query_codes)) <= 1.0


def test_a_classifier_leaves_a_frozen_detector_as_it_is():
    X, y, query, query_y = TASK
    detector = make_detector("closed form").set_params(outlier_label=0).fit(X, 1 - y)
    AnomalyClassifier(FrozenEstimator(detector), outlier_label=0).fit(X, 1 - y)
    assert detector.outlier_label == 0
    assert detector.fit(X, 1 - y).score(query, 1 - query_y) > 0.9


def test_a_classifier_refuses_what_is_no_detector_of_scikit_learn():
    X, y, _, _ = TASK
    for detector in (KNN(), to_pyod(make_detector("closed form"))):
        with pytest.raises(TypeError, match="PyODDetector"):
            AnomalyClassifier(detector).fit(X, y)
    with pytest.raises(TypeError, match="is a classifier already"):
        AnomalyClassifier(AnomalyClassifier(make_detector("closed form"))).fit(X, y)


def test_a_classifier_of_a_search_reads_its_own_labels():
    X, y, query, query_y = TASK
    words = np.array(["good", "bad"])
    detector = make_detector("closed form").set_params(outlier_label="bad")
    search = GridSearchCV(detector, {"max_context": [50, 100]}, cv=CV)
    classifier = AnomalyClassifier(search, outlier_label="bad").fit(X, words[y])
    assert classifier.score(query, words[query_y]) > 0.9


def test_a_classifier_takes_pipelines_and_detectors_of_pyod():
    X, y, query, _ = TASK
    words = np.array(["good", "bad"])
    for detector in (
        make_pipeline(StandardScaler(), make_detector("closed form")),
        PyODDetector(KNN(n_neighbors=2)),
    ):
        classifier = AnomalyClassifier(detector, outlier_label="bad").fit(X, words[y])
        assert classifier.classes_.tolist() == ["bad", "good"]
        scores = classifier.detector_.decision_function(query)
        np.testing.assert_array_equal(classifier.decision_function(query), scores)
        assert classifier.n_features_in_ == X.shape[1]
    assert not hasattr(classifier, "predict_proba")
    assert not hasattr(classifier, "feature_names_in_")


def test_what_a_classifier_cannot_be_fitted_to_is_refused_and_the_fit_stays():
    X, y, query, _ = TASK
    classifier = AnomalyClassifier(make_detector("closed form"), outlier_label=1).fit(X, y)
    before = classifier.decision_function(query)
    for labels, match in (
        (None, "requires y"),
        (np.arange(len(y)) % 3, "Only binary classification"),
        (np.full(len(y), np.nan), "Only binary classification"),
        (np.ones(len(y)), "all 44 rows as anomalies"),
    ):
        with pytest.raises(ValueError, match=match):
            classifier.fit(X, labels)
        np.testing.assert_array_equal(classifier.decision_function(query), before)


@pytest.mark.parametrize("make", WEIGHED, ids=["ours", "PyOD's", "distilled"])
def test_score_takes_weights_also_through_a_pipeline_that_routes_them(make):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, N_FEATURES)), np.repeat([1, -1], [50, 10])
    X[50:, 0] += 2.0
    weight = np.where(np.arange(60) % 2, 1.0, 0.0)
    detector = make().fit(X[::2], y[::2])
    expected = roc_auc_score(y[1::2] == -1, -detector.score_samples(X)[1::2])
    assert detector.score(X, y, sample_weight=weight) == pytest.approx(expected)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        detector.score(X, y, sample_weight=weight[:3])
    with sklearn.config_context(enable_metadata_routing=True):
        asked = make().set_score_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler(), asked).fit(X, y)
        assert pipeline.score(X, y) == pytest.approx(
            pipeline.score(X, y, sample_weight=weight * 0 + 1)
        )
