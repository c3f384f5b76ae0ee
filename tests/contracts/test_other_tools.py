"""Detectors work in the hands of other tools: searches, explainers, resamplers, servers."""

import asyncio
import pickle
import time

import numpy as np
import pandas as pd
import pytest
from families import EACH_CLASS, far_off, make_detector, make_family, unlearned
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes the next import work
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, KFold, learning_curve
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_fsad import FewShotSplit, TaskEstimator

pytestmark = [pytest.mark.usefixtures("few_trees", "few_lessons"), far_off]

NAMES = ["speed", "load", "heat", "noise", "flow"]


def as_frame(X):
    return pd.DataFrame(X, columns=NAMES)


# --- scikit-learn ---------------------------------------------------------------------------------
@pytest.mark.filterwarnings("error:.*feature names:UserWarning")
@pytest.mark.filterwarnings("ignore:No row is flagged at q=0.3:UserWarning")  # from 12 normal rows
@pytest.mark.parametrize("contamination", ["auto", 0.1])
def test_frames_raise_no_warning_about_names_from_inside(each_class, task, contamination):
    X, y, query, query_y = task
    frame, rows = as_frame(X), as_frame(query)
    detector = each_class.set_params(contamination=contamination).fit(frame, y)
    assert detector.fit_predict(frame, y).shape == (16,)
    assert 0.0 <= detector.score(rows, query_y) <= 1.0
    for method in ("p_values", "predict_proba", "feature_scores"):
        assert len(getattr(detector, method)(rows[:9])) == 9
    assert set(detector.predict_fdr(rows, 0.3)) <= {1, -1}
    detector.set_threshold(contamination=0.2).calibrate(rows, query_y)
    assert detector.diagnose(rows, query_y).n_anomalous == 20
    assert list(detector.partial_fit(rows, query_y).feature_names_in_) == NAMES


def test_two_columns_of_one_name_are_named(each_class, task):
    X, y, _, _ = task
    frame = pd.DataFrame(X, columns=["a", "b", "b", "d", "e"])
    with pytest.raises(ValueError, match="2 columns are named 'b'"):
        each_class.fit(frame, y)


def test_a_search_without_labels_asks_for_them(each_class, task):
    search = GridSearchCV(each_class, {"alpha": [0.2, 0.3]}, cv=2, error_score="raise")
    with pytest.raises((ValueError, TypeError), match="'y'"):
        search.fit(task[0])


def test_halving_and_learning_curves_take_tasks_for_samples():
    tasks = list(make_family(4))
    splitter = FewShotSplit(10, 2, n_draws=1, random_state=0)
    few = unlearned("mix").set_params(episodes_per_epoch=8, max_epochs=1)
    estimator = TaskEstimator(few, splitter=splitter)
    budget = {"resource": "detector__max_epochs", "min_resources": 1, "max_resources": 2}
    grid = {"detector__embedding_dim": [2, None]}
    search = HalvingGridSearchCV(estimator, grid, cv=KFold(2), random_state=0, **budget)
    assert 0.5 < search.fit(tasks).best_score_ <= 1.0
    _, _, held_out = learning_curve(estimator, tasks, None, cv=KFold(2), train_sizes=[2])
    assert np.isfinite(held_out).all()


@pytest.mark.filterwarnings("always")
def test_a_learning_curve_of_sorted_rows_is_no_silent_nan(each_class, task, recwarn):
    X, y, _, _ = task
    sorted_y = np.sort(y)[::-1]
    rows = X[np.argsort(-y, kind="stable")]
    _, _, curve = learning_curve(each_class, rows, sorted_y, cv=3, train_sizes=[0.3, 1.0])
    assert np.isnan(curve).any()
    assert any("one class" in str(w.message) or "failed" in str(w.message) for w in recwarn)


def test_permutations_find_the_column_that_tells(each_class):
    rng, y = np.random.default_rng(3), np.repeat([0, 1], [65, 15])
    X, held_out = rng.normal(size=(80, 5)), rng.normal(size=(80, 5))
    X[y == 1, 2] += 6.0
    held_out[y == 1, 2] += 6.0
    detector = each_class.fit(X, y)
    for labels in (y, 1 - 2 * y):
        found = permutation_importance(detector, held_out, labels, n_repeats=2, random_state=0)
        assert found.importances_mean.argmax() == 2
        assert found.importances_mean[2] > 0.1


@pytest.mark.parametrize("seed", [np.random.RandomState(0), np.int64(3), np.uint32(5)])
def test_every_random_state_of_scikit_learn_is_taken(each_class, task, seed):
    X, y, query, _ = task
    assert len(each_class.set_params(random_state=seed).fit(X, y).predict(query)) == len(query)


def test_a_generator_is_refused_by_the_name_of_the_parameter(each_class, task):
    with pytest.raises(InvalidParameterError, match="'random_state' parameter"):
        each_class.set_params(random_state=np.random.default_rng(0)).fit(*task[:2])


# --- workers and servers --------------------------------------------------------------------------
def scores_by(name, X, y, query):
    assert not X.flags.writeable  # joblib maps it
    return make_detector(name).fit(X, y).score_samples(query)


@pytest.mark.xdist_group("elsewhere")  # which has workers of joblib already
def test_rows_that_joblib_maps_read_only_are_fitted(task):
    X, y, query, _ = task
    many = np.tile(X, (30, 1)) + np.repeat(np.arange(30.0), len(X))[:, None] * 1e-3
    labels = np.tile(y, 30)
    names = ["closed form", "maml closed form", "process closed form"]
    work = [delayed(scores_by)(name, many, labels, query) for name in names]
    for name, scores in zip(names, Parallel(n_jobs=2, max_nbytes=100)(work), strict=True):
        expected = make_detector(name).fit(many, labels).score_samples(query)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", EACH_CLASS)
def test_threads_of_a_server_fit_and_score_at_once(name, task):
    X, y, query, _ = task
    detector = make_detector(name).fit(X, y)
    expected = detector.score_samples(query)
    detector = pickle.loads(pickle.dumps(detector))

    def answer(i):
        served = detector if i % 2 else clone(detector).fit(X, y)
        return served.score_samples(query)

    async def serve():
        return await asyncio.gather(*[asyncio.to_thread(answer, i) for i in range(6)])

    for scores in asyncio.run(serve()):
        np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize("name", EACH_CLASS)
def test_one_row_at_a_time_is_answered_at_once(name, task):
    X, y, query, _ = task
    detector = make_detector(name).fit(X, y)
    detector.predict(query[:1])
    start = time.process_time()
    for i in range(20):
        detector.predict(query[i : i + 1])
    assert time.process_time() - start < 20 * 0.06


# --- other libraries ------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore")  # what those libraries say of numpy and of each other
def test_shap_explains_decisions(each_class, task):
    shap = pytest.importorskip("shap", reason="shap is not installed")
    X, y, query, _ = task
    detector, rows = each_class.fit(as_frame(X), y), as_frame(query)[:2]
    explainer = shap.KernelExplainer(detector.decision_function, as_frame(X)[:6])
    values = explainer.shap_values(rows, silent=True)
    total = values.sum(axis=1) + explainer.expected_value
    np.testing.assert_allclose(total, detector.decision_function(rows), atol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["SMOTE", "RandomOverSampler", "RandomUnderSampler"])
def test_resampled_rows_are_fitted(each_class, kind):
    imblearn = pytest.importorskip("imblearn", reason="imbalanced-learn is not installed")
    from imblearn import over_sampling, under_sampling

    sampler = getattr(over_sampling, kind, None) or getattr(under_sampling, kind)
    rng, y = np.random.default_rng(0), np.repeat([0, 1], [40, 10])
    X = rng.normal(size=(50, 5)) + 4.0 * y[:, None]
    for labels in (y, 1 - 2 * y):
        pipe = imblearn.pipeline.make_pipeline(sampler(random_state=0), clone(each_class))
        assert pipe.fit(X, labels).score(X, labels) > 0.9


@pytest.mark.filterwarnings("ignore")
def test_mixed_columns_pass_the_vectorizer_of_skrub(task):
    skrub = pytest.importorskip("skrub", reason="skrub is not installed")
    X, y, _, _ = task
    raw = as_frame(X).assign(
        kind=np.where(X[:, 0] > 0, "red", "blue"),
        day=pd.date_range("2024", periods=len(X)),
        flag=X[:, 1] > 0,
    )
    for name in ("closed form", "maml closed form", "process closed form", "in context"):
        pipe = make_pipeline(skrub.TableVectorizer(), make_detector(name))
        assert np.isfinite(pipe.fit(raw, y).score_samples(raw)).all()
