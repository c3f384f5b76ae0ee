"""The adapters: PyOD detectors pass scikit-learn's checks, ours work in PyOD's own tools."""

import inspect
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from pyod.models.base import BaseDetector
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from pyod.utils.data import evaluate_print
from sklearn.base import clone, is_outlier_detector
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_fsad.adapters import PyODDetector, to_pyod

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(size=(90, 4)), RNG.normal(2, 2, size=(20, 4))])
TRUTH = np.array([0] * 90 + [1] * 20)


class SupervisedStub(BaseDetector):
    """Like XGBOD: fit requires y, and no threshold_ is kept."""

    def __init__(self, contamination=0.1):
        super().__init__(contamination=contamination)

    def fit(self, X, y):
        self.seen_y_ = np.asarray(y)
        self.decision_scores_ = np.where(self.seen_y_ == 1, 0.9, 0.1)
        self.labels_ = self.seen_y_
        return self

    def decision_function(self, X):
        return np.asarray(X)[:, :1]


class FailingAt(KNN):
    def __init__(self, fail=False, contamination=0.1):
        super().__init__(contamination=contamination)
        self.fail = fail

    def fit(self, X, y=None):
        if self.fail:
            raise RuntimeError("out of luck")
        return super().fit(X)


@parametrize_with_checks([PyODDetector(KNN()), PyODDetector(IForest(10))])
@pytest.mark.filterwarnings("ignore::sklearn_fsad.exceptions.LabelConventionWarning")
def test_pyod_detector_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_scores_and_labels_are_those_of_pyod_with_scikit_learns_sign():
    inner = KNN(contamination=0.2).fit(X)
    detector = PyODDetector(KNN(contamination=0.2)).fit(X)
    assert_array_equal(detector.score_samples(X), -inner.decision_function(X))
    assert detector.offset_ == -inner.threshold_
    assert_array_equal(detector.decision_function(X), detector.score_samples(X) - detector.offset_)
    assert_array_equal(detector.predict(X), 1 - 2 * inner.predict(X))
    assert is_outlier_detector(detector)


@pytest.mark.parametrize("y", [TRUTH, 1 - 2 * TRUTH, TRUTH.astype(bool)], ids=["01", "+-1", "bool"])
def test_score_is_the_auc_of_the_anomalies_in_any_coding(y):
    detector = PyODDetector(KNN()).fit(X[:90])
    assert detector.score(X, y) == roc_auc_score(TRUTH, -detector.decision_function(X)) > 0.8


def test_frames_keep_their_names_and_other_names_are_refused():
    frame = pd.DataFrame(X, columns=list("abcd"))
    detector = PyODDetector(KNN()).fit(frame)
    assert detector.feature_names_in_.tolist() == list("abcd")
    assert_array_equal(detector.score_samples(frame), PyODDetector(KNN()).fit(X).score_samples(X))
    with pytest.raises(ValueError, match="feature names"):
        detector.predict(frame[list("dcba")])


def test_supervised_detector_gets_zero_one_labels_and_requires_them():
    y = 1.0 - 2 * TRUTH
    y[:5] = np.nan
    detector = PyODDetector(SupervisedStub()).fit(X, y)
    assert_array_equal(detector.detector_.seen_y_, TRUTH)
    assert detector.offset_ == -0.5
    assert detector.__sklearn_tags__().target_tags.required
    assert not PyODDetector(KNN()).__sklearn_tags__().target_tags.required
    with pytest.raises(ValueError, match="SupervisedStub is supervised: it requires y"):
        PyODDetector(SupervisedStub()).fit(X)


def test_fit_predict_passes_the_labels_on():
    detector = PyODDetector(SupervisedStub())
    labels = detector.fit_predict(X, TRUTH)
    assert detector.detector_.seen_y_.sum() == 20
    assert_array_equal(labels, np.where(X[:, 0] > 0.5, -1, 1))


def test_outlier_label_is_passed_on():
    y = np.where(TRUTH, "bad", "ok")
    detector = PyODDetector(SupervisedStub(), outlier_label="bad").fit(X, y)
    assert_array_equal(detector.detector_.seen_y_, TRUTH)
    assert detector.score(X, y) == roc_auc_score(TRUTH, X[:, 0])


@pytest.mark.parametrize(
    ("change", "arguments", "error"),
    [
        ({"detector__fail": True}, (X[:, :2],), RuntimeError),
        ({"detector": IsolationForest()}, (X[:, :2],), TypeError),
        ({}, (X[:, :2], np.arange(110)), ValueError),
        ({}, (X[:1, :2],), ValueError),
        ({}, (X[:, :2] * np.nan,), ValueError),
    ],
)
def test_failing_fit_leaves_the_former_fitted_state(change, arguments, error):
    detector = PyODDetector(FailingAt()).fit(pd.DataFrame(X, columns=list("abcd")))
    detector.set_params(**change)
    frame = pd.DataFrame(X, columns=list("abcd"))
    before, scores = dict(vars(detector)), detector.score_samples(frame)
    with pytest.raises(error):
        detector.fit(*arguments)
    assert vars(detector) == before
    assert_array_equal(detector.score_samples(frame), scores)


def test_first_fit_that_fails_leaves_it_unfitted():
    detector = PyODDetector(FailingAt(fail=True))
    with pytest.raises(RuntimeError):
        detector.fit(X)
    assert set(vars(detector)) == {"detector", "outlier_label", "random_state"}
    with pytest.raises(NotFittedError):
        detector.predict(X)


def test_detector_of_another_library_is_refused_at_fit():
    with pytest.raises(TypeError, match="IsolationForest is not one"):
        PyODDetector(IsolationForest()).fit(X)


class OnAnotherScale:
    """Like a PyThresh object: labels by score, but its threshold is on a scale of its own."""

    def fit(self, scores):
        self.thresh_ = 0.123
        self.labels_ = (scores > np.quantile(scores, 0.7)).astype(int)

    def eval(self, scores):  # what PyOD 3.0 calls
        self.fit(scores)
        return self.labels_


def test_threshold_object_flags_the_rows_that_it_flagged():
    detector = PyODDetector(KNN(contamination=OnAnotherScale())).fit(X)
    fitted = detector.detector_
    assert 0 < fitted.labels_.sum() < 110
    assert_array_equal(fitted.labels_ == 1, -fitted.decision_scores_ < detector.offset_)


def test_nested_parameters_are_searched_with_the_detectors_own_score():
    rows = np.random.default_rng(0).permutation(110)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), PyODDetector(KNN())),
        {"pyoddetector__detector__n_neighbors": [1, 5]},
        cv=2,
    ).fit(X[rows], TRUTH[rows])
    assert search.best_score_ > 0.7
    assert clone(search.best_estimator_)[-1].detector.n_neighbors in (1, 5)


def test_fitted_detectors_pickle():
    detector = PyODDetector(KNN()).fit(X)
    assert_array_equal(pickle.loads(pickle.dumps(detector)).predict(X), detector.predict(X))
    adapted = to_pyod(IsolationForest(n_estimators=10, random_state=0)).fit(X)
    loaded = pickle.loads(pickle.dumps(adapted))
    assert_array_equal(loaded.decision_function(X), adapted.decision_function(X))


# to_pyod


def forest(**params):
    return IsolationForest(n_estimators=20, random_state=0, **params)


def auc(detector):
    return roc_auc_score(TRUTH, detector.decision_function(X))


def test_adapted_detector_keeps_pyods_promises():
    detector = to_pyod(forest(), contamination=0.2).fit(X)
    assert isinstance(detector, BaseDetector)
    assert_array_equal(detector.decision_scores_, -forest().fit(X).score_samples(X))
    assert detector.labels_.sum() == 22
    assert_array_equal(detector.predict(X), detector.labels_)
    assert detector.predict_proba(X).shape == (110, 2)
    labels, confidence = detector.predict(X, return_confidence=True)
    assert_array_equal(labels, detector.labels_)
    assert ((confidence >= 0) & (confidence <= 1)).all()


def test_threshold_of_the_estimator_flags_what_the_estimator_flags():
    for inner in (forest(contamination=0.3), make_pipeline(StandardScaler(), forest())):
        detector = to_pyod(inner, threshold="estimator").fit(X)
        flagged = clone(inner).fit(X).predict(X) == -1
        assert 5 < flagged.sum() < 60
        assert_array_equal(detector.labels_ == 1, flagged)
        assert_array_equal(detector.predict(X) == 1, flagged)


def test_adapted_detector_clones_with_its_parameters():
    detector = to_pyod(forest(), contamination=0.2, threshold="estimator").fit(X)
    copy = clone(detector)
    assert not hasattr(copy, "estimator_")
    assert (copy.contamination, copy.threshold) == (0.2, "estimator")
    assert clone(detector).set_params(estimator__n_estimators=3).estimator.n_estimators == 3


def test_labels_reach_the_estimator_without_pyods_warning():
    class Recorder(IsolationForest):
        def fit(self, X, y=None):
            self.seen_y_ = y
            return super().fit(X)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector = to_pyod(Recorder(n_estimators=5)).fit(X, TRUTH)
    assert_array_equal(detector.estimator_.seen_y_, TRUTH)


def test_wrong_settings_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="contamination"):
        to_pyod(forest(), contamination=0.7)
    with pytest.raises(ValueError, match="threshold must be"):
        to_pyod(forest(), threshold="auto").fit(X)
    with pytest.raises(TypeError, match="LocalOutlierFactor has none; use novelty=True"):
        to_pyod(LocalOutlierFactor()).fit(X)
    with pytest.raises(NotFittedError):
        to_pyod(forest()).decision_function(X)


def test_there_and_back_gives_the_same_detector():
    both = PyODDetector(to_pyod(forest(), contamination=0.2)).fit(X)
    assert_array_equal(both.score_samples(X), forest().fit(X).score_samples(X))
    assert (both.predict(X) == -1).sum() == 22


@pytest.fixture
def combo():
    pytest.importorskip("combo", reason="PyOD's score combination needs the combo package")


@pytest.mark.usefixtures("combo")
def test_score_combination_of_both_libraries():
    from pyod.models.combination import average, maximization

    adapted = to_pyod(forest()).fit(X[:90])
    scores = np.column_stack([adapted.decision_function(X), KNN().fit(X[:90]).decision_function(X)])
    scores = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    assert roc_auc_score(TRUTH, average(scores)) > 0.8
    assert roc_auc_score(TRUTH, maximization(scores)) > 0.8


@pytest.mark.usefixtures("combo")
def test_feature_bagging():
    from pyod.models.feature_bagging import FeatureBagging

    bagging = FeatureBagging(to_pyod(forest()), n_estimators=3, random_state=0).fit(X)
    assert auc(bagging) > 0.7
    assert {type(inner).__name__ for inner in bagging.estimators_} == {"PyODAdapter"}


@pytest.mark.usefixtures("combo")
def test_lscp():
    from pyod.models.lscp import LSCP

    detectors = [to_pyod(forest()), to_pyod(forest(max_features=0.5)), KNN()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert auc(LSCP(detectors, random_state=0).fit(X)) > 0.7


def test_evaluate_print(capsys):
    evaluate_print("adapted", TRUTH, to_pyod(forest()).fit(X).decision_scores_)
    assert "adapted ROC:0." in capsys.readouterr().out


@pytest.mark.usefixtures("combo")
def test_suod():
    pytest.importorskip("suod", reason="PyOD's SUOD needs the suod package")
    from pyod.models.suod import SUOD

    suod = SUOD([to_pyod(forest()), KNN()], n_jobs=1, bps_flag=False, verbose=False).fit(X)
    assert auc(suod) > 0.7


@pytest.mark.filterwarnings("ignore::UserWarning:xgboost")
def test_xgbod_with_and_inside_an_adapter():
    pytest.importorskip("xgboost", reason="PyOD's XGBOD needs the xgboost package")
    from pyod.models.xgbod import XGBOD

    assert inspect.signature(XGBOD.fit).parameters["y"].default is inspect.Parameter.empty
    settings = {"n_estimators": 10, "random_state": 0}
    xgbod = XGBOD([to_pyod(forest()), KNN()], standardization_flag_list=[False, True], **settings)
    assert auc(xgbod.fit(X, TRUTH)) > 0.8
    detector = PyODDetector(XGBOD([KNN()], standardization_flag_list=[True], **settings))
    assert detector.fit(X, 1 - 2 * TRUTH).score(X, TRUTH) > 0.8
    assert set(detector.predict(X)) == {1, -1}


def test_random_state_seeds_the_trained_clone_and_leaves_the_detector_alone():
    X = np.random.default_rng(0).normal(size=(60, 3))
    forest = IForest(10)
    first, again, other = (
        PyODDetector(forest, random_state=seed).fit(X).score_samples(X) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert forest.random_state is None
