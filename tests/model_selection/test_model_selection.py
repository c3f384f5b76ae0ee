"""Few-shot splits lie inside tasks; a TaskEstimator is searched over tasks like any estimator."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_validate

from sklearn_fsad.metrics import anomaly_scorer
from sklearn_fsad.model_selection import FewShotSplit, TaskEstimator
from sklearn_fsad.tasks import TaskSet
from sklearn_fsad.tasks._task_set import coded_tasks, split_tasks


class StubDetector(OutlierMixin, BaseEstimator):
    """Distance to the support mean; ``weight`` is the only thing that decides its quality."""

    log: list = []  # noqa: RUF012

    def __init__(self, weight=1.0, outlier_label="auto", pretrained=None):
        self.weight = weight
        self.outlier_label = outlier_label
        self.pretrained = pretrained

    def meta_fit(self, X, y=None, *, groups=None):
        tasks = coded_tasks(X, y, groups, outlier_label=self.outlier_label)
        StubDetector.log.append(("meta_fit", len(tasks)))
        self.pretrained = (self.weight, len(tasks), tuple(len(c) for _, c in tasks.values()))
        return self

    def fit(self, X, y=None):
        assert self.pretrained is not None, "fit came before meta_fit"
        StubDetector.log.append(("fit", np.asarray(y, dtype=float).tolist(), self.outlier_label))
        rows = np.asarray(X)[np.asarray(y) != self.outlier_label]
        self.columns_ = list(getattr(X, "columns", ()))
        self.mean_ = rows.mean(axis=0)
        self.offset_ = 0.0
        return self

    def decision_function(self, X):
        assert list(getattr(X, "columns", ())) == self.columns_
        return -self.weight * np.square(np.asarray(X) - self.mean_).sum(axis=1)


@pytest.fixture
def log():
    StubDetector.log.clear()
    return StubDetector.log


def make_tasks(n_tasks=6, n_normal=14, n_anomalous=8, seed=0):
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(n_tasks):
        X = rng.normal(rng.normal(scale=9, size=3), size=(n_normal + n_anomalous, 3))
        X[n_normal:] += 3
        tasks.append((X, np.array([0] * n_normal + [1] * n_anomalous)))
    return tasks


def flatten(tasks):
    groups = np.repeat([f"t{i}" for i in range(len(tasks))], [len(y) for _, y in tasks])
    return np.concatenate([X for X, _ in tasks]), np.concatenate([y for _, y in tasks]), groups


TASKS = make_tasks()
X, Y, GROUPS = flatten(TASKS)


def rows_of(task):
    return [i for i, group in enumerate(GROUPS) if group == task]


def splits(splitter, X=X, y=Y, groups=GROUPS):
    return [(train.tolist(), test.tolist()) for train, test in splitter.split(X, y, groups)]


def test_every_split_is_a_disjoint_support_and_the_rest_of_one_task():
    splitter = FewShotSplit(5, 3, n_draws=4, random_state=0)
    found = splits(splitter)
    assert len(found) == splitter.get_n_splits(X, Y, GROUPS) == 6 * 4
    for i, (train, test) in enumerate(found):
        assert sorted(train + test) == rows_of(f"t{i // 4}")
        assert np.bincount(Y[train]).tolist() == [5, 3]


def test_without_groups_all_rows_are_one_task():
    splitter = FewShotSplit(5, 0, n_draws=2, random_state=0)
    assert splitter.get_n_splits() == splitter.get_n_splits(X, Y) == 2
    for train, test in splitter.split(X, Y):
        assert Y[train].tolist() == [0] * 5
        assert len(test) == len(Y) - 5


@pytest.mark.parametrize(
    "y", [1 - 2 * Y, Y.astype(bool), pd.Series(Y), pl.Series(Y), Y.tolist()], ids=lambda y: type(y)
)
def test_splits_do_not_depend_on_the_coding(y):
    splitter = FewShotSplit(5, 3, random_state=0)
    assert splits(splitter, y=y) == splits(splitter)


def test_same_seed_same_splits_and_other_seed_others():
    assert splits(FewShotSplit(random_state=1)) == splits(FewShotSplit(random_state=1))
    assert splits(FewShotSplit(random_state=1)) != splits(FewShotSplit(random_state=2))
    assert splits(FewShotSplit()) != splits(FewShotSplit())
    state = np.random.RandomState(0)
    assert splits(FewShotSplit(random_state=state)) != splits(FewShotSplit(random_state=state))


def test_no_random_state_leaves_the_global_one_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    splits(FewShotSplit())
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_more_shots_contain_the_fewer_of_the_same_draw():
    few = splits(FewShotSplit(3, 1, random_state=0))
    many = splits(FewShotSplit(5, 4, random_state=0))
    assert all(set(a) < set(b) for (a, _), (b, _) in zip(few, many, strict=True))


def test_draws_of_a_task_do_not_depend_on_the_tasks_around_it():
    y = Y.copy()
    y[GROUPS == "t1"] = 0
    skipping = splits(FewShotSplit(5, 3, n_draws=2, on_short="skip", random_state=0), y=y)
    complete = splits(FewShotSplit(5, 3, n_draws=2, random_state=0))
    assert skipping == complete[:2] + complete[4:]


def test_query_size_keeps_the_rate_of_anomalies():
    for _, test in FewShotSplit(4, 3, n_query=6, random_state=0).split(X, Y, GROUPS):
        assert np.bincount(Y[test]).tolist() == [4, 2]  # 10 normal and 5 anomalous rows are left
    for _, test in FewShotSplit(4, 3, n_query=2, random_state=0).split(X, Y, GROUPS):
        assert np.bincount(Y[test]).tolist() == [1, 1]
    for _, test in FewShotSplit(4, 3, n_query=99, random_state=0).split(X, Y, GROUPS):
        assert len(test) == 15


def test_unlabelled_rows_are_dropped_or_join_every_support():
    y = Y.astype(float)
    y[[0, 1, 22]] = np.nan
    for train, test in FewShotSplit(5, 2, random_state=0).split(X, y, GROUPS):
        assert not np.isnan(y[train]).any()
        assert not np.isnan(y[test]).any()
    joined = splits(FewShotSplit(5, 2, n_draws=1, unlabelled="train", random_state=0), y=y)
    assert {0, 1} < set(joined[0][0])
    assert 22 in joined[1][0]
    assert all(len(train) == 7 for train, _ in joined[2:])


def test_short_task_is_named_with_the_numbers():
    y = Y.copy()
    y[(GROUPS == "t2") & (np.cumsum(Y) % 8 > 2)] = 0
    match = (
        r"Task 't2' has \d+ labelled normal and \d anomalous rows: a 5\+5-shot split needs 6 and 6"
    )
    with pytest.raises(ValueError, match=match):
        splits(FewShotSplit(5, 5), y=y)
    with pytest.raises(ValueError, match=r"The data has 14 .* 8 anomalous .* 5\+8-shot .* 6 and 9"):
        splits(FewShotSplit(5, 8), *TASKS[0], groups=None)


def test_all_tasks_short_is_an_error_even_when_skipping():
    splitter = FewShotSplit(5, 50, on_short="skip")
    assert splitter.get_n_splits(X, Y, GROUPS) == 0
    with pytest.raises(ValueError, match="None of the 6 tasks has more than 5 normal and 50"):
        splits(splitter)


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"n_normal": 0}, "n_normal must be an integer of at least 1, got 0"),
        ({"n_anomalous": -1}, "n_anomalous"),
        ({"n_draws": 1.5}, "n_draws"),
        ({"n_draws": True}, "n_draws"),
        ({"n_query": 1}, "n_query must be an integer of at least 2"),
        ({"unlabelled": "keep"}, "unlabelled must be one of"),
        ({"on_short": "ignore"}, "on_short must be one of"),
    ],
)
def test_wrong_parameter_is_named(kwargs, match):
    with pytest.raises(ValueError, match=match):
        FewShotSplit(**kwargs)


def test_missing_labels_or_wrong_lengths_are_refused():
    with pytest.raises(ValueError, match="FewShotSplit needs y"):
        splits(FewShotSplit(), y=None)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        splits(FewShotSplit(), groups=GROUPS[1:])
    with pytest.raises(ValueError, match="Unknown label type"):
        splits(FewShotSplit(), y=np.where(Y, "defect", "ok"))


def test_explicit_outlier_label_is_used():
    y = np.where(Y, "defect", "ok")
    assert splits(FewShotSplit(outlier_label="defect", random_state=0), y=y) == splits(
        FewShotSplit(random_state=0)
    )


def test_repr_shows_the_parameters():
    assert "n_normal=7" in repr(FewShotSplit(7))


@pytest.mark.parametrize("routing", [False, True])
def test_cross_validate_and_grid_search_split_inside_tasks(routing):
    splitter = FewShotSplit(5, 3, n_draws=2, random_state=0)
    forest = IsolationForest(n_estimators=5, random_state=0)
    with config_context(enable_metadata_routing=routing):
        given = {"params": {"groups": GROUPS}} if routing else {"groups": GROUPS}
        result = cross_validate(
            forest, X, Y, cv=splitter, scoring=anomaly_scorer(), return_indices=True, **given
        )
        search = GridSearchCV(
            forest, {"n_estimators": [2, 5]}, cv=splitter, scoring=anomaly_scorer(), refit=False
        ).fit(X, Y, groups=GROUPS)
    trains = [train.tolist() for train in result["indices"]["train"]]
    assert trains == [train for train, _ in splits(splitter)]
    assert search.n_splits_ == 12
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.xdist_group("elsewhere")  # which has workers of joblib already
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search_over_tasks_trains_and_scores_on_different_tasks(log, n_jobs):
    search = GridSearchCV(
        TaskEstimator(StubDetector()),
        {"detector__weight": [-1.0, 1.0]},
        cv=KFold(3),
        n_jobs=n_jobs,
        error_score="raise",
    ).fit(TASKS)
    assert search.best_params_ == {"detector__weight": 1.0}
    assert search.cv_results_["mean_test_score"][1] > 0.9
    assert search.cv_results_["mean_test_score"][0] < 0.1
    assert search.best_estimator_.detector_.pretrained == (1.0, 6, (22,) * 6)
    if n_jobs == 1:
        meta_fits = [n for kind, n, *_ in log if kind == "meta_fit"]
        assert meta_fits == [4] * 6 + [6]
        assert sum(kind == "fit" for kind, *_ in log) == 6 * 2 * 5


def test_tasks_of_equal_and_of_different_length_are_sliced_as_tasks():
    ragged = [*TASKS[:3], *make_tasks(3, n_normal=20, seed=1)]
    result = cross_validate(
        TaskEstimator(StubDetector()), ragged, cv=KFold(3), return_estimator=True
    )
    sizes = [estimator.detector_.pretrained[2] for estimator in result["estimator"]]
    assert sizes == [(22, 28, 28, 28), (22, 22, 28, 28), (22, 22, 22, 28)]


def test_flat_rows_with_group_folds_and_routing_give_the_same_scores_as_a_list():
    with config_context(enable_metadata_routing=True):
        flat = GridSearchCV(
            TaskEstimator(StubDetector()), {"detector__weight": [-1.0, 1.0]}, cv=GroupKFold(3)
        ).fit(X, Y, groups=GROUPS)
    positions = np.array([int(name[1:]) for name in GROUPS])
    folds = [
        (np.unique(positions[train]), np.unique(positions[test]))
        for train, test in GroupKFold(3).split(X, Y, GROUPS)
    ]
    listed = GridSearchCV(
        TaskEstimator(StubDetector()), {"detector__weight": [-1.0, 1.0]}, cv=folds
    ).fit(TASKS)
    np.testing.assert_array_equal(
        flat.cv_results_["mean_test_score"], listed.cv_results_["mean_test_score"]
    )
    assert flat.best_estimator_.detector_.pretrained == listed.best_estimator_.detector_.pretrained


def test_score_is_the_mean_over_tasks_of_the_mean_over_draws():
    estimator = TaskEstimator(StubDetector()).fit(TASKS)
    scores = estimator.task_scores(dict(zip("abcdef", TASKS, strict=True)))
    assert list(scores) == list("abcdef")
    assert all(values.shape == (5,) for values in scores.values())
    assert estimator.score(TASKS) == np.mean([values.mean() for values in scores.values()])


def test_a_task_is_scored_on_the_same_supports_wherever_it_stands():
    estimator = TaskEstimator(StubDetector()).fit(TASKS)
    np.testing.assert_array_equal(
        estimator.task_scores(TASKS)[4], estimator.task_scores([TASKS[4]])[0]
    )


def test_every_form_of_tasks_is_scored_alike():
    estimator = TaskEstimator(StubDetector()).fit(TASKS)
    expected = estimator.score(TASKS)
    assert expected < 1
    assert estimator.score(TaskSet(TASKS)) == expected
    assert estimator.score(dict(enumerate(TASKS))) == expected
    assert estimator.score(X, Y, groups=GROUPS) == expected
    assert estimator.score([(pd.DataFrame(X_t), y_t) for X_t, y_t in TASKS]) == expected
    assert estimator.score(split_tasks(pl.DataFrame(X), pl.Series(Y), GROUPS)) == expected


@pytest.mark.parametrize(
    ("normal", "anomaly", "label"), [("ok", "bad", "bad"), (5, 3, 3), (2, 4, 4)]
)
def test_detector_splitter_and_scorer_agree_on_any_coding(log, normal, anomaly, label):
    coded = [(X_t, np.where(y_t, anomaly, normal)) for X_t, y_t in TASKS]
    expected = TaskEstimator(StubDetector()).fit(TASKS).score(TASKS)
    log.clear()
    estimator = TaskEstimator(StubDetector(outlier_label=label)).fit(coded)
    assert estimator.score(coded) == expected
    assert estimator.detector_.outlier_label == label
    assert {(tuple(y), used) for kind, y, used in log[1:]} == {((0.0,) * 5 + (1.0,) * 5, 1)}


def test_tasks_without_enough_labels_are_left_out_and_none_is_an_error():
    estimator = TaskEstimator(StubDetector()).fit(TASKS)
    mixed = {"plain": (TASKS[0][0], None), "short": (TASKS[1][0][:16], TASKS[1][1][:16])}
    assert list(estimator.task_scores(mixed | {"long": TASKS[2]})) == ["long"]
    with pytest.raises(ValueError, match="No task can be scored"):
        estimator.score(mixed)


def test_splitter_and_scoring_can_be_chosen(log):
    estimator = TaskEstimator(
        StubDetector(),
        splitter=FewShotSplit(3, 0, n_draws=2, random_state=0),
        scoring="average_precision",
    ).fit(TASKS)
    log.clear()
    scores = estimator.task_scores(TASKS[:1])
    assert log == [("fit", [0.0] * 3, 1)] * 2
    assert scores[0].shape == (2,)
    counting = TaskEstimator(StubDetector(), scoring=lambda detector, X_t, y_t: len(y_t))
    assert counting.fit(TASKS).score(TASKS) == 12
    with pytest.raises(ValueError, match="Unknown metric 'auc'"):
        clone(estimator).set_params(scoring="auc").fit(TASKS).score(TASKS)


def test_error_inside_a_task_names_it():
    estimator = TaskEstimator(StubDetector(), splitter=FewShotSplit(50, 5)).fit(TASKS)
    with pytest.raises(ValueError, match=r"Task 0: The data has 14 labelled normal"):
        estimator.score(TASKS)


def test_fit_leaves_the_given_detector_alone_and_needs_meta_fit():
    detector = StubDetector()
    TaskEstimator(detector).fit(TASKS)
    assert detector.pretrained is None
    with pytest.raises(TypeError, match="IsolationForest has none"):
        TaskEstimator(IsolationForest()).fit(TASKS)


def test_scoring_before_fit_is_refused():
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        TaskEstimator(StubDetector()).score(TASKS)
