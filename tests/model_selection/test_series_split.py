"""Splits of series: the normal start and a few labelled stretches, far from what is tested."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import GridSearchCV, cross_validate

from sklearn_fsad.metrics import anomaly_scorer
from sklearn_fsad.model_selection import SeriesSplit

STRETCHES = [(40, 50), (70, 73), (100, 130), (150, 155)]


def labels(stretches, n=200):
    y = np.zeros(n)
    for start, stop in stretches:
        y[start:stop] = 1
    return y


Y = labels(STRETCHES)


def splits(splitter, y=Y, groups=None):
    X = np.zeros((len(y), 1))
    return [(a.tolist(), b.tolist()) for a, b in splitter.split(X, y, groups)]


def distance(train, test):
    return np.abs(np.subtract.outer(test, train)).min()


def test_the_train_part_is_the_start_and_the_test_part_all_later_steps_far_enough():
    [(train, test)] = splits(SeriesSplit(20, embargo=7))
    assert train == list(range(20))
    assert test == list(range(19 + 7, 200))


def test_labelled_stretches_are_the_beginnings_of_the_first_anomalies():
    [(train, test)] = splits(SeriesSplit(20, 3, stretch=5, embargo=7))
    assert train == [*range(20), *range(40, 45), *range(70, 73), *range(100, 105)]
    expected = [*range(26, 34), *range(51, 64), *range(79, 94), *range(111, 200)]
    assert test == expected


@pytest.mark.parametrize("embargo", [0, 1, 2, 16])
def test_no_test_step_is_nearer_to_a_training_step_than_the_embargo(embargo):
    for train, test in splits(
        SeriesSplit(20, 2, embargo=embargo, stretch=4, n_draws=8, random_state=0)
    ):
        assert not set(train) & set(test)
        assert distance(train, test) == max(embargo, 1)


def test_where_there_are_fewer_anomalies_parts_of_one_are_taken_apart():
    y = labels([(50, 90), (120, 125), (160, 190)])
    [(train, _)] = splits(SeriesSplit(20, 5, stretch=4, embargo=6), y)
    # second parts start 6 steps after the last of the first ones; the short anomaly has none
    beginnings = [*range(50, 54), *range(120, 124), *range(160, 164)]
    second = [*range(59, 63), *range(169, 173)]
    assert train == [*range(20), *sorted(beginnings + second)]


def test_draws_permute_the_anomalies_and_more_stretches_contain_the_fewer():
    def draws(n_stretches, seed=0):
        splitter = SeriesSplit(20, n_stretches, stretch=3, embargo=4, n_draws=6, random_state=seed)
        assert splitter.get_n_splits() == splitter.get_n_splits(None, Y) == 6
        return splits(splitter)

    one, two = draws(1), draws(2)
    assert one == draws(1) != draws(1, seed=1)
    assert all(set(a) < set(b) for (a, _), (b, _) in zip(one, two, strict=True))
    beginnings = {train[20] for train, _ in one}
    assert len(beginnings) > 2
    assert beginnings <= {start for start, _ in STRETCHES}


def test_without_stretches_there_is_nothing_to_draw():
    splitter = SeriesSplit(20, n_draws=5)
    assert splitter.get_n_splits() == len(splits(splitter)) == 1


def test_a_draw_that_leaves_nothing_to_test_is_drawn_again():
    y = labels([(40, 44), (50, 150)], n=151)  # the second one covers the rest but for one step
    splitter = SeriesSplit(20, 1, stretch=95, embargo=10, n_draws=9, random_state=0)
    found = splits(splitter, y)
    assert len(found) == splitter.get_n_splits(None, y) == 9
    for _, test in found:
        assert set(y[test]) == {0, 1}


def test_splits_lie_inside_series_whose_steps_may_be_interleaved():
    y = np.repeat(Y, 2)  # two series, step by step
    groups = np.tile(["a", "b"], 200)
    alone = splits(SeriesSplit(20, 2))
    splitter = SeriesSplit(20, 2)
    assert splitter.get_n_splits(None, y, groups) == 2
    for i, (train, test) in enumerate(splits(splitter, y, groups)):
        assert (np.array(train) // 2).tolist() == alone[0][0]
        assert (np.array(test) // 2).tolist() == alone[0][1]
        assert set(groups[train]) == set(groups[test]) == {"ab"[i]}


@pytest.mark.parametrize(
    "y",
    [1 - 2 * Y.astype(int), Y.astype(bool), pd.Series(Y), pl.Series(Y), Y.tolist()],
    ids=lambda y: type(y),
)
def test_splits_do_not_depend_on_the_coding(y):
    assert splits(SeriesSplit(20, 2), y=y) == splits(SeriesSplit(20, 2))
    words = np.where(Y, "fault", "ok")
    assert splits(SeriesSplit(20, 2, outlier_label="fault"), y=words) == splits(SeriesSplit(20, 2))


def test_unlabelled_steps_are_tested_with_the_others_and_never_trained_on():
    y = Y.copy()
    y[[3, 4, 90]] = np.nan
    [(train, test)] = splits(SeriesSplit(20, embargo=5), y)
    assert train == [*range(3), *range(5, 22)]
    assert test == list(range(26, 200))


def test_a_series_with_a_short_start_is_named_with_the_number_of_steps():
    with pytest.raises(ValueError, match=r"The series has 40 normal steps before its first anomal"):
        splits(SeriesSplit(41))
    with pytest.raises(ValueError, match=r"n_start=41 needs 41\. Lower n_start\..*on_short='skip'"):
        splits(SeriesSplit(41))
    assert len(splits(SeriesSplit(40))) == 1


def test_too_few_anomalies_for_the_stretches_are_told():
    with pytest.raises(ValueError, match=r"1 anomalous stretches, 40 steps.*n_stretches=3.*2 can"):
        splits(SeriesSplit(20, 3), labels([(100, 140)]))
    with pytest.raises(ValueError, match="0 anomalous stretches"):
        splits(SeriesSplit(20, 1), labels([]))


def test_nothing_left_to_test_is_told():
    with pytest.raises(ValueError, match="180 labelled normal and 0 anomalous steps left"):
        splits(SeriesSplit(20, embargo=1), labels([]))
    with pytest.raises(ValueError, match=r"and 0 anomalous steps left.*at least 40 steps from"):
        splits(SeriesSplit(20, 1, embargo=40), labels([(100, 130)]))
    with pytest.raises(ValueError, match="0 labelled normal and 11 anomalous steps left"):
        splits(SeriesSplit(20, 1, stretch=10, embargo=10), labels([(30, 60)], n=60))


def test_short_series_are_left_out_where_asked_and_all_of_them_are_an_error():
    y = np.concatenate([labels([]), Y, Y])
    groups = np.repeat(["a", "b", "c"], 200)
    splitter = SeriesSplit(20, 1, n_draws=2, on_short="skip", random_state=0)
    assert splitter.get_n_splits(None, y, groups) == len(splits(splitter, y, groups)) == 4
    with pytest.raises(ValueError, match="Series 'a' has 0 anomalous stretches"):
        splits(SeriesSplit(20, 1), y, groups)
    none = SeriesSplit(100, on_short="skip")
    assert none.get_n_splits(None, y, groups) == 0
    with pytest.raises(ValueError, match=r"None of the 3 series can be split\. Series 'a' has 85 "):
        splits(none, y, groups)


def test_draws_of_a_series_do_not_depend_on_the_series_around_it():
    groups = np.repeat(["a", "b", "c"], 200)
    how = {"n_start": 20, "n_stretches": 1, "n_draws": 3, "random_state": 0}
    y = np.concatenate([Y, labels([]), Y])
    skipping = splits(SeriesSplit(**how, on_short="skip"), y, groups)
    complete = splits(SeriesSplit(**how), np.tile(Y, 3), groups)
    assert skipping == complete[:3] + complete[6:]


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"n_start": 0}, "n_start must be an integer of at least 1, got 0"),
        ({"n_stretches": -1}, "n_stretches must be an integer of at least 0"),
        ({"stretch": 0}, "stretch must be an integer of at least 1"),
        ({"embargo": 1.5}, "embargo must be an integer of at least 0"),
        ({"n_draws": 0}, "n_draws"),
        ({"on_short": "ignore"}, "on_short must be one of"),
    ],
)
def test_a_wrong_parameter_is_named(kwargs, match):
    with pytest.raises(ValueError, match=match):
        SeriesSplit(**kwargs)


def test_missing_labels_or_wrong_lengths_are_refused():
    with pytest.raises(ValueError, match="SeriesSplit needs y"):
        list(SeriesSplit().split(np.zeros((9, 1))))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        splits(SeriesSplit(20), groups=np.zeros(199))


@pytest.mark.parametrize("routing", [False, True])
def test_cross_validate_and_grid_search_split_inside_series(routing):
    X = np.random.default_rng(0).normal(size=(400, 2)) + np.tile(Y, 2)[:, None]
    groups, y = np.repeat([7, 8], 200), np.tile(Y, 2)
    splitter = SeriesSplit(30, 1, n_draws=2, random_state=0)
    forest = IsolationForest(n_estimators=5, random_state=0)
    with config_context(enable_metadata_routing=routing):
        given = {"params": {"groups": groups}} if routing else {"groups": groups}
        result = cross_validate(
            forest, X, y, cv=splitter, scoring=anomaly_scorer(), return_indices=True, **given
        )
        search = GridSearchCV(
            forest, {"n_estimators": [2, 5]}, cv=splitter, scoring=anomaly_scorer(), refit=False
        ).fit(X, y, groups=groups)
    assert [a.tolist() for a in result["indices"]["train"]] == [
        train for train, _ in splits(splitter, y, groups)
    ]
    assert search.n_splits_ == 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
