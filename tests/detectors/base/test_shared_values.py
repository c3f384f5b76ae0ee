"""clean_support on tables of categories: no value that many rows share is left out whole."""

import numpy as np
import pandas as pd
import pytest

from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    NeuralProcessDetector,
    ProtoNetDetector,
)
from sklearn_fsad._detectors.base.shared_values import usual_but_for_one_value, with_usual_values

pytestmark = pytest.mark.usefixtures("few_trees")
N_RARE = 7


def table(seed, rare=(1.0, 0.0)):
    """Sixty normal rows of four numbers, and a column in which seven have the first value."""
    X = pd.DataFrame(np.random.default_rng(seed).normal(size=(60, 4)), columns=list("abcd"))
    return X.assign(maker=[rare[0]] * N_RARE + [rare[1]] * (60 - N_RARE))


def never():
    raise AssertionError("nothing was to be scored")


# --- the rule -------------------------------------------------------------------------------------
def test_values_that_many_rows_share_become_the_usual_one():
    two = np.repeat([1.0, 0.0], [5, 15])
    X = np.column_stack([two, np.repeat([1.0, 0.0], [4, 16]), np.arange(20.0), two, 2.0 * two])
    X[7, 4] = np.nan
    X[6, 3] = 5.0  # a third value
    normal = np.ones(20, dtype=bool)
    changed = with_usual_values(X, normal, np.arange(20) >= 5, categorical=())
    np.testing.assert_array_equal(changed[:, 0], np.zeros(20))
    np.testing.assert_array_equal(changed[:, [1, 2, 3]], X[:, [1, 2, 3]])
    np.testing.assert_array_equal(changed[:, 4], np.where(np.isnan(X[:, 4]), np.nan, 0.0))
    of_categories = with_usual_values(X, normal, np.arange(20) >= 5, categorical=(3,))
    np.testing.assert_array_equal(of_categories[:, 3], np.where(X[:, 3] == 5.0, 5.0, 0.0))


def test_of_many_rows_a_twentieth_has_to_share_a_value():
    X, normal = np.repeat([[1.0], [0.0]], [9, 191], axis=0), np.ones(200, dtype=bool)
    kept = np.arange(200) >= 9
    np.testing.assert_array_equal(with_usual_values(X, normal, kept, (0,)), X)
    X[9] = 1.0
    np.testing.assert_array_equal(with_usual_values(X, normal, kept, (0,)), np.zeros((200, 1)))


def test_rows_come_back_where_one_value_is_the_only_reason():
    X = np.zeros((30, 3))
    X[:6, 0] = X[5:11, 1] = 1.0  # row 5 has two such values
    X[4, 2] = 9.0  # and row 4 another reason
    kept = X.sum(axis=1) == 0.0

    def scores_by_kept():
        return lambda rows: rows.sum(axis=1), np.zeros(kept.sum())

    found = usual_but_for_one_value(X, np.ones(30, dtype=bool), kept, (0, 1), scores_by_kept)
    np.testing.assert_array_equal(np.flatnonzero(found), [0, 1, 2, 3, 6, 7, 8, 9, 10])


def test_without_such_values_nothing_is_scored():
    X = np.random.default_rng(0).normal(size=(30, 3))
    X[0, 0] = np.nan
    kept = np.arange(30) >= 8
    assert not usual_but_for_one_value(X, np.ones(30, dtype=bool), kept, (), never).any()


# --- the detectors --------------------------------------------------------------------------------
@pytest.mark.parametrize("gaps", [[], [20]], ids=["", "gap"])
@pytest.mark.parametrize("rare", [(1.0, 0.0), ("Bo", "Abe")], ids=["numbers", "words"])
@pytest.mark.parametrize("cls", [ProtoNetDetector, InContextDetector])
def test_normal_rows_of_a_rarer_value_stay(cls, rare, gaps):
    left_out = []
    for seed in range(6):
        X = table(seed, rare)
        X.loc[gaps, "maker"] = None
        kept = cls(clean_support=True).fit(X).support_kept_
        assert kept[:N_RARE].any()
        left_out.append((~kept[:N_RARE]).mean())
    assert np.mean(left_out) < 0.4


@pytest.mark.parametrize(
    "detector", [MAMLDetector(), NeuralProcessDetector(max_epochs=0, random_state=0)]
)
def test_in_other_detectors_they_stay_too(detector):
    detector.set_params(clean_support=True)
    assert detector.fit(table(0).to_numpy()).support_kept_[:N_RARE].mean() > 0.5


@pytest.mark.parametrize("cls", [ProtoNetDetector, InContextDetector])
def test_anomalies_that_share_a_value_are_left_out_where_they_are_far_in_other_columns(cls):
    X = table(1, ("Bo", "Abe"))
    X.loc[: N_RARE - 1, ["a", "b"]] += 8.0
    kept = cls(clean_support=True).fit(X).support_kept_
    assert not kept[:N_RARE].any()
    assert kept[N_RARE:].mean() > 0.7


@pytest.mark.parametrize("cls", [ProtoNetDetector, InContextDetector])
def test_the_order_of_the_rows_does_not_change_what_stays(cls):
    X, order = table(2, ("Bo", "Abe")), np.random.default_rng(0).permutation(60)
    expected = cls(clean_support=True).fit(X).support_kept_
    found = cls(clean_support=True).fit(X.iloc[order]).support_kept_
    np.testing.assert_array_equal(found, expected[order])
