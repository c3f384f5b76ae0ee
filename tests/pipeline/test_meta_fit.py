"""meta_fit_pipeline learns the steps before the detector on the tasks and keeps them."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator, OutlierMixin, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.model_selection import FewShotSplit
from sklearn_fsad.pipeline import meta_fit_pipeline
from sklearn_fsad.tasks import TaskSet


class StubDetector(OutlierMixin, BaseEstimator):
    """Keeps the tasks it was meta-fitted on in ``pretrained``."""

    def __init__(self, pretrained=None, outlier_label="auto", allow_nan=False):
        self.pretrained = pretrained
        self.outlier_label = outlier_label
        self.allow_nan = allow_nan

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.allow_nan
        return tags

    def meta_fit(self, X, y=None, *, groups=None):
        self.pretrained = TaskSet.make(X, y, groups, allow_nan=self.allow_nan)
        return self

    def fit(self, X, y=None):
        self.support_ = np.asarray(X)
        self.offset_ = -1.0
        return self

    def score_samples(self, X):
        return -np.square(np.asarray(X) - self.support_.mean(axis=0)).sum(axis=1)

    def decision_function(self, X):
        return self.score_samples(X) - self.offset_

    def score(self, X, y):
        return float(self.score_samples(X).mean())


class FitCounter(TransformerMixin, BaseEstimator):
    sizes: list = []  # noqa: RUF012

    def fit(self, X, y=None):
        assert y is None
        FitCounter.sizes.append(len(X))
        self.fitted_ = True
        return self

    def transform(self, X):
        return X


def make_tasks():
    rng = np.random.default_rng(0)
    y = np.array([0] * 10 + [1] * 4)
    return {
        name: (rng.normal(shift, 1 + i, size=(14, 3)) + 100 * y[:, None], y)
        for i, (name, shift) in enumerate([("pump", 0.0), ("fan", 50.0), ("motor", -20.0)])
    }


TASKS = make_tasks()
NORMALS = np.concatenate([X[y == 0] for X, y in TASKS.values()])
SUPPORT = np.random.default_rng(1).normal(5, 2, size=(6, 3))


def frames(kind):
    return {name: (kind(dict(zip("abc", X.T, strict=True))), y) for name, (X, y) in TASKS.items()}


def test_steps_are_fitted_on_the_pooled_normal_rows_and_frozen():
    pipe = meta_fit_pipeline(make_pipeline(StandardScaler(), StubDetector()), TASKS)
    scaler = pipe[0]
    assert isinstance(scaler, FrozenEstimator)
    np.testing.assert_allclose(scaler.mean_, NORMALS.mean(axis=0))
    np.testing.assert_allclose(scaler.scale_, NORMALS.std(axis=0))
    pipe.fit(SUPPORT)
    np.testing.assert_allclose(pipe[0].mean_, NORMALS.mean(axis=0))
    np.testing.assert_allclose(pipe[-1].support_, (SUPPORT - scaler.mean_) / scaler.scale_)


def test_detector_is_meta_fitted_on_the_transformed_tasks_with_their_names_and_labels():
    pipe = meta_fit_pipeline(make_pipeline(StandardScaler(), StubDetector()), TASKS)
    learned = pipe[-1].pretrained
    assert learned.names == ["pump", "fan", "motor"]
    for task, (X, y) in zip(learned, TASKS.values(), strict=True):
        np.testing.assert_array_equal(task.y, y)
        np.testing.assert_allclose(task.X, pipe[0].transform(X))


def test_per_task_steps_are_fitted_on_the_normals_of_each_task_and_again_on_the_support():
    pipe = Pipeline([("scale", StandardScaler()), ("pca", PCA(2)), ("detector", StubDetector())])
    pipe = meta_fit_pipeline(pipe, TASKS, per_task=["scale"])
    scaled = np.concatenate(
        [(X[y == 0] - X[y == 0].mean(axis=0)) / X[y == 0].std(axis=0) for X, y in TASKS.values()]
    )
    assert isinstance(pipe[0], StandardScaler)
    np.testing.assert_allclose(
        np.abs(pipe[1].components_), np.abs(PCA(2).fit(scaled).components_), atol=1e-9
    )
    for task in pipe[-1].pretrained:
        np.testing.assert_allclose(task.normals.mean(axis=0), 0, atol=1e-9)
        assert abs(task.anomalies.mean()) > 1
    np.testing.assert_allclose(pipe.fit(SUPPORT)[0].mean_, SUPPORT.mean(axis=0))


def test_a_single_name_may_be_given_as_a_string_and_tasks_may_differ_in_width():
    ragged = TASKS | {"wide": (np.zeros((5, 7)), None)}
    pipe = make_pipeline(StandardScaler(), StubDetector())
    learned = meta_fit_pipeline(pipe, ragged, per_task="standardscaler")[-1].pretrained
    assert [task.X.shape[1] for task in learned] == [3, 3, 3, 7]
    with pytest.raises(ValueError, match="Task 'wide' has other columns"):
        meta_fit_pipeline(pipe, ragged)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_columns_can_be_selected_by_name(kind):
    columns = ColumnTransformer([("left", StandardScaler(), ["c"]), ("right", PCA(1), ["a", "b"])])
    pipe = make_pipeline(columns, StubDetector())
    expected = meta_fit_pipeline(
        make_pipeline(
            ColumnTransformer([("left", StandardScaler(), [2]), ("right", PCA(1), [0, 1])]),
            StubDetector(),
        ),
        TASKS,
    )
    fitted = meta_fit_pipeline(pipe, frames(kind))
    for task, same in zip(fitted[-1].pretrained, expected[-1].pretrained, strict=True):
        np.testing.assert_allclose(task.X, same.X)
    support = kind(dict(zip("abc", SUPPORT.T, strict=True)))
    np.testing.assert_allclose(
        fitted.fit(support).score_samples(support), expected.fit(SUPPORT).score_samples(SUPPORT)
    )


def test_column_names_reach_the_detector_with_set_output():
    pipe = make_pipeline(StandardScaler(), StubDetector()).set_output(transform="pandas")
    fitted = meta_fit_pipeline(pipe, frames(pd.DataFrame))
    assert fitted[-1].pretrained.feature_names_in == ("a", "b", "c")


def flat():
    X = np.concatenate([X for X, _ in TASKS.values()])
    y = np.concatenate([y for _, y in TASKS.values()])
    return X, y, np.repeat(list(TASKS), 14)


@pytest.mark.parametrize("form", ["list", "task_set", "flat", "flat_pandas", "flat_polars"])
def test_every_form_of_tasks_gives_the_same_pipeline(form):
    X, y, groups = flat()
    arguments = {
        "list": (list(TASKS.values()),),
        "task_set": (TaskSet(TASKS),),
        "flat": (X, y, groups),
        "flat_pandas": (pd.DataFrame(X), pd.Series(y), pd.Series(groups)),
        "flat_polars": (pl.DataFrame(X), pl.Series(y), pl.Series(groups)),
    }[form]
    groups = arguments[2] if len(arguments) == 3 else None
    pipe = make_pipeline(StandardScaler(), StubDetector())
    made = meta_fit_pipeline(pipe, *arguments[:2], groups=groups)
    expected = meta_fit_pipeline(pipe, TASKS)
    close = 1e-12 if form in ("flat_pandas", "flat_polars") else 0  # summed in another order
    np.testing.assert_allclose(made[0].mean_, expected[0].mean_, rtol=close)
    for task, same in zip(made[-1].pretrained, expected[-1].pretrained, strict=True):
        np.testing.assert_allclose(task.X, same.X, rtol=close, atol=close)


@pytest.mark.parametrize("form", [TaskSet, list, iter, lambda t: {e.name: e for e in t}])
def test_siblings_of_validated_tasks_are_kept_in_every_form(form):
    tasks = TaskSet(TASKS, groups=["line1", "line2", "line1"])
    pipe = make_pipeline(StandardScaler(), StubDetector())
    learned = meta_fit_pipeline(pipe, form(tasks))
    assert learned[-1].pretrained.groups == ["line1", "line2", "line1"]


@pytest.mark.parametrize("per_task", [(), ["standardscaler"]])
def test_steps_that_work_in_place_do_not_change_the_tasks(per_task):
    tasks = TaskSet(TASKS)
    before = [task.X.copy() for task in tasks]
    pipe = make_pipeline(StandardScaler(copy=False), StubDetector())
    meta_fit_pipeline(pipe, tasks, per_task=per_task)
    for task, rows in zip(tasks, before, strict=True):
        np.testing.assert_array_equal(task.X, rows)


def test_labels_in_the_coding_of_the_detector_are_understood():
    tasks = {n: (X, np.where(y, "bad", "ok").astype(object)) for n, (X, y) in TASKS.items()}
    tasks["pump"][1][0] = None
    pipe = make_pipeline(StandardScaler(), StubDetector(outlier_label="bad"))
    learned = meta_fit_pipeline(pipe, tasks)
    np.testing.assert_allclose(learned[0].mean_, NORMALS.mean(axis=0))
    assert learned[-1].pretrained[0].y.tolist() == [-1] + [0] * 9 + [1] * 4


def test_rows_before_the_imputer_may_be_missing_and_after_it_as_the_detector_allows():
    X = TASKS["pump"][0].copy()
    X[0, 0] = np.nan
    tasks = TASKS | {"pump": (X, TASKS["pump"][1])}
    imputed = meta_fit_pipeline(make_pipeline(SimpleImputer(), StubDetector()), tasks)
    assert np.isfinite(imputed[-1].pretrained[0].X).all()
    with pytest.raises(ValueError, match=r"Task 'pump': .*NaN"):
        meta_fit_pipeline(make_pipeline(StandardScaler(), StubDetector()), tasks)
    kept = meta_fit_pipeline(make_pipeline(StandardScaler(), StubDetector(allow_nan=True)), tasks)
    assert np.isnan(kept[-1].pretrained[0].X[0, 0])


def test_text_columns_can_be_encoded():
    tasks = [pd.DataFrame({"kind": kinds}) for kinds in (["a", "b", "a"], ["c", "c"])]
    pipe = make_pipeline(OneHotEncoder(sparse_output=False), StubDetector())
    assert [t.X.tolist() for t in meta_fit_pipeline(pipe, tasks)[-1].pretrained] == [
        [[1, 0, 0], [0, 1, 0], [1, 0, 0]],
        [[0, 0, 1]] * 2,
    ]


def test_sparse_steps_in_the_middle_are_pooled():
    tasks = [(np.array([["a"], ["b"], ["a"]]), None), (np.array([["b"], ["a"]]), None)]
    dense = StandardScaler(with_mean=False)
    pipe = make_pipeline(OneHotEncoder(), dense, StubDetector())
    with pytest.raises(TypeError, match="Task 0: Sparse"):
        meta_fit_pipeline(pipe, tasks)


def test_each_step_is_fitted_once_or_once_a_task():
    FitCounter.sizes.clear()
    pipe = Pipeline([("each", FitCounter()), ("all", FitCounter()), ("detector", StubDetector())])
    pipe = meta_fit_pipeline(pipe, TASKS, per_task=["each"])
    assert FitCounter.sizes == [10, 10, 10, 30]
    pipe.fit(SUPPORT)
    assert FitCounter.sizes[4:] == [6]


def test_passthrough_none_and_already_frozen_steps_stay():
    frozen = FrozenEstimator(StandardScaler().fit(SUPPORT))
    pipe = Pipeline(
        [("a", "passthrough"), ("b", None), ("frozen", frozen), ("detector", StubDetector())]
    )
    fitted = meta_fit_pipeline(pipe, TASKS)
    assert fitted.steps[0][1] == "passthrough"
    assert fitted.steps[1][1] is None
    assert fitted.steps[2][1] is frozen
    np.testing.assert_allclose(
        fitted[-1].pretrained[0].X, frozen.transform(TASKS["pump"][0]), atol=1e-12
    )


def test_the_given_pipeline_and_the_tasks_stay_as_they_are():
    pipe = make_pipeline(StandardScaler(), StubDetector(), verbose=False, memory=None)
    tasks = {name: (X.copy(), y) for name, (X, y) in TASKS.items()}
    fitted = meta_fit_pipeline(pipe, tasks)
    assert fitted is not pipe
    assert type(pipe[0]) is StandardScaler
    assert not hasattr(pipe[0], "mean_")
    assert pipe[-1].pretrained is None
    assert all(np.array_equal(tasks[name][0], TASKS[name][0]) for name in TASKS)


def test_memory_and_verbosity_of_the_pipeline_are_kept(tmp_path):
    pipe = make_pipeline(StandardScaler(), StubDetector(), memory=str(tmp_path), verbose=True)
    fitted = meta_fit_pipeline(pipe, TASKS)
    assert (fitted.memory, fitted.verbose) == (str(tmp_path), True)


def test_clone_and_grid_search_keep_frozen_steps_and_weights():
    pipe = meta_fit_pipeline(make_pipeline(StandardScaler(), StubDetector()), TASKS)
    copy = clone(pipe)
    assert copy[0] is pipe[0]
    assert copy[-1].pretrained is pipe[-1].pretrained
    search = GridSearchCV(
        pipe,
        {"stubdetector__outlier_label": ["auto", 1]},
        cv=FewShotSplit(3, 1, n_draws=2, random_state=0),
        refit=False,
        error_score="raise",
    ).fit(*TASKS["fan"])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    ("pipe", "kwargs", "error", "match"),
    [
        (StubDetector(), {}, TypeError, "needs a Pipeline, got StubDetector"),
        (make_pipeline(StandardScaler()), {}, TypeError, "with meta_fit, got StandardScaler"),
        (
            make_pipeline(StandardScaler(), StubDetector()),
            {"per_task": ["scaler"]},
            ValueError,
            r"per_task names \['scaler'\]; the steps before the detector are \['standardscaler'\]",
        ),
        (
            make_pipeline(StandardScaler(), StubDetector()),
            {"per_task": ["stubdetector"]},
            ValueError,
            "per_task names",
        ),
    ],
)
def test_wrong_pipeline_is_refused(pipe, kwargs, error, match):
    with pytest.raises(error, match=match):
        meta_fit_pipeline(pipe, TASKS, **kwargs)


@pytest.mark.parametrize(
    ("tasks", "match"),
    [
        (TASKS["pump"], "Entry 1 of the tasks is not a task"),
        ([], "Got no task"),
        ({"pump": (TASKS["pump"][0], [0, 1, 2] * 4 + [0, 0])}, "Task 'pump': Unknown label"),
        (TASKS | {"frame": frames(pd.DataFrame)["fan"]}, "Task 'frame' has other columns"),
    ],
)
def test_wrong_tasks_are_refused_by_name(tasks, match):
    with pytest.raises(ValueError, match=match):
        meta_fit_pipeline(make_pipeline(StandardScaler(), StubDetector()), tasks)


def named_tasks():
    """Tasks with column names, of a set, and a frame of a new task."""
    rng, y = np.random.default_rng(0), np.repeat([0, 1], [20, 6])
    frames = [pd.DataFrame(rng.normal(size=(26, 3)), columns=["a", "b", "c"]) for _ in range(4)]
    return TaskSet([(frame, y) for frame in frames[:3]]), frames[3]


@pytest.mark.parametrize("pandas_out", [False, True])
@pytest.mark.parametrize(
    "step",
    [SimpleImputer(), StandardScaler(), ColumnTransformer([("two", StandardScaler(), ["a", "c"])])],
    ids=lambda step: type(step).__name__,
)
def test_steps_learn_the_column_names_of_a_task_set(step, pandas_out):
    tasks, new = named_tasks()
    pipe = make_pipeline(clone(step), ProtoNetDetector(episodes_per_epoch=4, max_epochs=1))
    if pandas_out:
        pipe.set_output(transform="pandas")
    pipe = meta_fit_pipeline(pipe, tasks)
    pipe.fit(new).score_samples(new)  # a warning about names would be an error
    assert list(pipe[0].feature_names_in_) == ["a", "b", "c"]
    assert hasattr(pipe[-1], "feature_names_in_") == pandas_out


def test_columns_without_names_stay_arrays():
    rng, y = np.random.default_rng(0), np.repeat([0, 1], [20, 6])
    tasks = TaskSet([(rng.normal(size=(26, 3)), y) for _ in range(3)])
    pipe = meta_fit_pipeline(make_pipeline(SimpleImputer(), StubDetector()), tasks)
    assert not hasattr(pipe[0], "feature_names_in_")
