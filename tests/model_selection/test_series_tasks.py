"""A TaskEstimator over series: a detector that takes times is told where its steps were."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_fsad import InContextDetector
from sklearn_fsad.metrics import anomaly_scorer
from sklearn_fsad.model_selection import FewShotSplit, SeriesSplit, TaskEstimator
from sklearn_fsad.model_selection._times import times_of
from sklearn_fsad.tasks._task_set import coded_tasks


class ChangeDetector(OutlierMixin, BaseEstimator):
    """The largest change from one of the ``lag`` steps before, where no step between is missing."""

    def __init__(self, lag=1, outlier_label="auto"):
        self.lag = lag
        self.outlier_label = outlier_label

    def meta_fit(self, X, y=None, *, groups=None):
        coded_tasks(X, y, groups, outlier_label=self.outlier_label)
        return self

    def fit(self, X, y=None, *, times=None):
        self.asked_ = [("fit", list(times))]
        self.labels_ = np.asarray(y).tolist()
        return self

    def score_samples(self, X, *, times=None):
        self.asked_.append(("score", np.asarray(times).tolist()))
        assert len(times) == len(X)
        score = np.zeros(len(X))
        for step in range(1, self.lag + 1):
            change = np.abs(X[step:] - X[:-step]).max(axis=1)
            score[step:] = np.maximum(score[step:], change * (times[step:] - times[:-step] == step))
        return -score

    def decision_function(self, X, *, times=None):
        return self.score_samples(X, times=times)


class Wrapper(OutlierMixin, BaseEstimator):
    """A detector for series around another one, which alone has a label of the anomalies."""

    def __init__(self, detector):
        self.detector = detector

    def meta_fit(self, X, y=None, *, groups=None):
        return self

    def fit(self, X, y=None):
        assert self.detector.outlier_label == 1
        self.detector.fit(X, y)
        return self

    def decision_function(self, X):
        return self.detector.decision_function(X)


def series(seed, n=120):
    rng = np.random.default_rng(seed)
    y = np.zeros(n)
    for start in (50, 70, 90, 110):
        y[start : start + 4] = 1
    walk = np.cumsum(rng.normal(scale=0.1, size=(n, 2)), axis=0)  # levels tell nothing
    return walk + rng.normal(scale=5.0, size=(n, 2)) * y[:, None], y


TASKS = [series(seed) for seed in range(4)]
SPLIT = SeriesSplit(30, 1, stretch=3, embargo=4)


def test_a_detector_is_told_the_positions_of_its_steps():
    seen = []

    def scoring(detector, X, y):
        scores = detector.decision_function(X)
        seen.extend(detector.asked_)
        return anomaly_scorer()(detector, X, y) + 0 * scores.sum()

    estimator = TaskEstimator(ChangeDetector(), splitter=SPLIT, scoring=scoring).fit(TASKS)
    estimator.score(TASKS[:1])
    [(train, test)] = SPLIT.split(*TASKS[0])
    assert seen[:2] == [("fit", train.tolist()), ("score", test.tolist())]


def test_scores_know_of_the_steps_that_a_split_left_out():
    X, y = TASKS[0]
    estimator = TaskEstimator(ChangeDetector(3), splitter=SPLIT).fit(TASKS)
    [(train, test)] = SPLIT.split(X, y)
    detector = ChangeDetector(3).fit(X[train], y[train], times=train)
    expected = -detector.score_samples(X[test], times=test)
    y_test = y[test]
    pairs = np.subtract.outer(expected[y_test == 1], expected[y_test == 0])
    assert estimator.task_scores([TASKS[0]])[0][0] == pytest.approx(
        (pairs > 0).mean() + 0.5 * (pairs == 0).mean()
    )
    holed = -detector.score_samples(X[test], times=np.arange(len(test)))
    assert (holed != expected).any()


def test_unlabelled_steps_are_scored_with_the_others_and_left_out_of_the_metric():
    X, y = TASKS[0]
    y = y.copy()
    y[[95, 96]] = np.nan
    estimator = TaskEstimator(ChangeDetector(3), splitter=SPLIT).fit(TASKS)
    assert np.isfinite(estimator.task_scores([(X, y)])[0]).all()


def test_a_search_over_series_finds_the_better_parameter():
    search = GridSearchCV(
        TaskEstimator(ChangeDetector(), splitter=SPLIT),
        {"detector__lag": [8, 1]},
        cv=KFold(2),
        error_score="raise",
    ).fit(TASKS)
    assert search.best_params_ == {"detector__lag": 1}
    assert search.best_score_ > 0.9


def test_a_few_shot_split_tells_the_positions_too():
    split = FewShotSplit(20, 2, n_draws=1, random_state=0)
    estimator = TaskEstimator(ChangeDetector(), splitter=split, scoring=seen_times)
    assert estimator.fit(TASKS).score(TASKS[:1]) == next(split.split(*TASKS[0]))[0].sum()


def seen_times(detector, X, y):
    return float(sum(detector.asked_[0][1]))


@pytest.mark.parametrize(
    ("index", "told"),
    [
        (None, np.arange(120)),
        (np.arange(120) * 10 + 3, np.arange(120) * 10 + 3),
        (np.arange(120)[::-1], np.arange(120)),  # no order of time
        (np.repeat(np.arange(60), 2), np.arange(120)),
        ([f"row {i}" for i in range(120)], np.arange(120)),
        (STAMPS := pd.date_range("2026-01-01", periods=120, freq="h"), STAMPS.to_numpy()),
        (STAMPS.tz_localize("UTC").tz_convert("Asia/Tokyo"), STAMPS.to_numpy()),
        (STAMPS - STAMPS[0], (STAMPS - STAMPS[0]).to_numpy()),
        (STAMPS.to_period("h"), STAMPS.to_numpy()),
    ],
    ids=["none", "numbers", "backwards", "twice", "words", "stamps", "stamps of a zone"]
    + ["durations", "periods"],
)
def test_times_in_the_index_of_a_frame_are_told(index, told):
    X, y = TASKS[0]
    [(train, test)] = SPLIT.split(X, y)
    frame = pd.DataFrame(X, index=index)
    np.testing.assert_array_equal(times_of(ChangeDetector(), frame), told)
    seen = []

    def scoring(detector, X_test, y_test):
        seen.append((detector.asked_[0][1], detector.decision_function.keywords["times"]))
        return 0.0

    TaskEstimator(ChangeDetector(), splitter=SPLIT, scoring=scoring).fit([(frame, y)]).score(
        [(frame, y)]
    )
    [(fitted, asked)] = seen
    np.testing.assert_array_equal(fitted, told[train])
    np.testing.assert_array_equal(asked, told[test])


def test_series_that_the_splitter_skips_are_left_out():
    split = SeriesSplit(30, embargo=4, on_short="skip")
    estimator = TaskEstimator(ChangeDetector(), splitter=split).fit(TASKS)
    X, y = TASKS[0]
    tasks = {"long": (X, y), "calm": (X, np.zeros(120)), "unlabelled": (X, None)}
    assert list(estimator.task_scores(tasks)) == ["long"]
    with pytest.raises(ValueError, match="Task 'calm': The series has 87 labelled normal and 0"):
        TaskEstimator(ChangeDetector(), splitter=SeriesSplit(30, embargo=4)).fit(TASKS).score(tasks)


def test_stamps_in_no_order_are_refused_for_detectors_that_take_times_alone():
    X, y = TASKS[0]
    frame = pd.DataFrame(X, index=STAMPS[::-1])
    with pytest.raises(ValueError, match=r"Task 0: times must grow: row 1 has .*X\.sort_index"):
        TaskEstimator(ChangeDetector(), splitter=SPLIT).fit(TASKS).score([(frame, y)])
    assert times_of(InContextDetector(), frame) is None


def test_a_detector_without_times_is_used_as_before():
    X, y = TASKS[0]
    detector = InContextDetector()
    found = TaskEstimator(Wrapper(detector), splitter=SPLIT).fit(TASKS).score([TASKS[0]])
    [(train, test)] = SPLIT.split(X, y)
    expected = InContextDetector().fit(X[train], y[train])
    assert found == anomaly_scorer()(expected, X[test], y[test])


def test_a_label_of_anomalies_that_a_part_of_the_detector_knows_is_used():
    words = [(X, np.where(y, "fault", "ok")) for X, y in TASKS]
    estimator = TaskEstimator(Wrapper(InContextDetector(outlier_label="fault")), splitter=SPLIT)
    plain = TaskEstimator(Wrapper(InContextDetector()), splitter=SPLIT)
    assert estimator.fit(words).score(words) == plain.fit(TASKS).score(TASKS)
