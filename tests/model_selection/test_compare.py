"""compare gives every detector the same supports and keeps held-out tasks from meta-training."""

import warnings

import numpy as np
import pytest
from pyod.models.knn import KNN
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from sklearn_fsad import MetaState, PyODDetector, TaskSet
from sklearn_fsad.exceptions import TaskWarning
from sklearn_fsad.model_selection import compare

SHOTS = [(5, 0), (5, 2)]


class Spy(OutlierMixin, BaseEstimator):
    """Scores a column, and records what it is given by a key that clones share."""

    log = ()

    def __init__(self, key="spy", random_state=None):
        self.key = key
        self.random_state = random_state

    def fit(self, X, y=None):
        self.offset_ = 0.0
        Spy.log += ((self.key, "fit", X[:, 1].tolist()),)
        return self

    def decision_function(self, X):
        Spy.log += ((self.key, "score", X[:, 1].tolist()),)
        return -X[:, 0]

    score_samples = decision_function


class MetaSpy(Spy):
    """Records its training tasks too."""

    def meta_fit(self, X, y=None, groups=None):
        self.trained_on_ = X.names
        Spy.log += ((self.key, "meta_fit", X.names),)
        return self


@pytest.fixture(autouse=True)
def _empty_log():
    Spy.log = ()


def make_tasks(n=4, groups=None):
    """The second column tells the task and the row apart: 100 * task + row."""
    rng, y = np.random.default_rng(0), np.repeat([0, 1], [20, 8])
    tasks = {}
    for t in range(n):
        scores = rng.normal(size=28) + 2 * y
        tasks[f"t{t}"] = np.column_stack([scores, 100 * t + np.arange(28.0)]), y
    return TaskSet(tasks, groups=groups)


def logged(key, what):
    return [entry for k, w, entry in Spy.log if (k, w) == (key, what)]


def test_every_detector_gets_the_same_supports_and_queries():
    compare({"a": MetaSpy("a"), "b": MetaSpy("b")}, make_tasks(), SHOTS, n_draws=2, random_state=0)
    assert logged("a", "fit") == logged("b", "fit")
    assert logged("a", "score") == logged("b", "score")
    assert len(logged("a", "fit")) == 4 * 2 * 2


def test_detectors_without_labels_are_fitted_to_the_normals_of_the_support():
    compare({"a": MetaSpy("a"), "b": Spy("b")}, make_tasks(), [(5, 2)], n_draws=1, random_state=0)
    for with_labels, without in zip(logged("a", "fit"), logged("b", "fit"), strict=True):
        assert len(with_labels) == 7
        assert without == [row for row in with_labels if row % 100 < 20]


def test_meta_training_sees_no_task_of_the_fold_nor_its_siblings():
    tasks = make_tasks(6, groups=[0, 0, 1, 1, 2, 2])
    compare({"a": MetaSpy("a")}, tasks, [(5, 0)], n_draws=1, random_state=0)
    seen = None
    for _, what, entry in Spy.log:
        if what == "meta_fit":
            seen = {int(name[1:]) for name in entry}
            assert len(seen) == 4
        else:
            held_out = int(entry[0]) // 100
            assert not {held_out, held_out ^ 1} & seen


def test_detectors_named_in_without_meta_fit_are_used_as_they_are():
    compare({"a": MetaSpy("a")}, make_tasks(), [(5, 0)], n_draws=1, without_meta_fit="a")
    assert not logged("a", "meta_fit")


def test_raw_and_wrapped_pyod_detectors_score_the_same():
    found = compare([KNN(n_neighbors=1), PyODDetector(KNN(n_neighbors=1))], make_tasks(), SHOTS)
    assert found.detectors == ("KNN", "PyODDetector")
    np.testing.assert_array_equal(*found.values["roc_auc"])
    assert not np.isnan(found.mean()).any()


def test_results_do_not_depend_on_the_number_of_jobs():
    detectors = [
        IsolationForest(n_estimators=5),
        KNN(n_neighbors=2),
        IsolationForest(n_estimators=3),
    ]
    runs = [
        compare(detectors, make_tasks(), SHOTS, n_draws=2, n_jobs=n, random_state=0)
        for n in (None, 2)
    ]
    assert runs[0].detectors == ("IsolationForest", "KNN", "IsolationForest 2")
    for metric in ("roc_auc", "average_precision"):
        np.testing.assert_array_equal(runs[0].values[metric], runs[1].values[metric])


def test_a_classifier_without_anomalies_is_nan_there_with_one_warning():
    with pytest.warns(FitFailedWarning, match=r"linear failed with 5\+0 shots on 4") as told:
        found = compare({"linear": LogisticRegression()}, make_tasks(), SHOTS, random_state=0)
    assert len(told) == 1
    assert "'t" in str(told[0].message)
    assert "ValueError" in str(told[0].message)
    assert np.isnan(found.mean()[0, 0])
    assert found.mean()[0, 1] > 0.5


def test_errors_are_raised_where_asked_for():
    with pytest.raises(ValueError, match="class"):
        compare([LogisticRegression()], make_tasks(), [(5, 0)], error_score="raise")


def test_short_tasks_are_left_out_with_one_warning():
    X, y = make_tasks(1)[0].X, np.repeat([0, 1], [20, 8])
    tasks = {"a": (X, y), "b": (X, y), "short": (X[16:24], y[16:24])}
    with pytest.warns(TaskWarning, match=r"5\+0 shots: 'short'; 5\+2 shots: 'short'") as told:
        found = compare({"spy": Spy()}, tasks, SHOTS, n_draws=1)
    assert len(told) == 1
    assert found.drawn.tolist() == [[True, True], [True, True], [False, False]]


def test_a_cross_validator_is_given_the_groups():
    tasks = make_tasks(4, groups=["x", "x", "y", "y"])
    compare({"a": MetaSpy("a")}, tasks, [(5, 0)], cv=GroupKFold(2), n_draws=1)
    assert {tuple(names) for names in logged("a", "meta_fit")} == {("t0", "t1"), ("t2", "t3")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"detectors": []}, "no detector"),
        ({"scoring": "auc"}, "Unknown metric 'auc'"),
        ({"scoring": ()}, "no metric"),
        ({"cv": 5}, r"cv=5 folds of 4 group\(s\)"),
        ({"cv": "x"}, "cv must be"),
        ({"shots": [(50, 5)]}, r"None of the 4 tasks has more than 50 normal"),
        ({"shots": [5]}, "shots must be pairs"),
        ({"shots": []}, "at least one"),
        ({"error_score": 0}, "error_score must be"),
        ({"without_meta_fit": ["b"]}, "without_meta_fit names b"),
    ],
)
def test_what_cannot_be_compared_is_named(change, message):
    given = {"detectors": [Spy()], "tasks": make_tasks(), "shots": SHOTS} | change
    with pytest.raises(ValueError, match=message):
        compare(**given)


class BrokenMetaFit(Spy):
    def meta_fit(self, X, y=None, groups=None):
        raise RuntimeError("diverged")


def test_a_meta_training_that_fails_is_nan_on_the_tasks_of_its_fold():
    with pytest.warns(FitFailedWarning, match=r"a failed with 5\+0 shots on 4.*diverged"):
        found = compare({"a": BrokenMetaFit(), "b": Spy()}, make_tasks(), [(5, 0)], n_draws=1)
    assert np.isnan(found.values["roc_auc"][0]).all()
    assert list(found.mean_ranks()) == ["b"]


class Grumbler(Spy):
    """Warns at each fit."""

    def fit(self, X, y=None):
        warnings.warn(f"{len(X)} rows are few", RuntimeWarning, stacklevel=2)
        return super().fit(X, y)


def test_warnings_of_a_detector_are_told_once_with_their_number():
    detectors = {"grumbler": Grumbler("g"), "spy": Spy("s")}
    with pytest.warns(RuntimeWarning, match=r"grumbler gave 8 .*first: 5 rows are few") as caught:
        compare(detectors, make_tasks(), [(5, 0)], n_draws=2, random_state=0)
    assert len(caught) == 1


class Learned(MetaSpy):
    """Says in its state that a network is used with labelled anomalies alone."""

    pretrained = None

    def meta_fit(self, X, y=None, groups=None):
        arrays = {"use": np.array([False, "t0" in X.names])}
        self.pretrained = MetaState("Learned", {}, arrays, None)
        return super().meta_fit(X, y, groups)


def test_it_is_told_where_what_was_trained_is_not_used():
    detectors = {"learned": Learned("l"), "plain": Learned("p"), "meta": MetaSpy("m")}
    found = compare(
        detectors, make_tasks(), SHOTS, n_draws=1, without_meta_fit=["plain"], random_state=0
    )
    # on t0 the network is not used at all, since that is not among the training tasks
    np.testing.assert_array_equal(
        found.by_default[0], [[True, True], [True, False], [True, False], [True, False]]
    )
    assert not found.by_default[1:].any()
