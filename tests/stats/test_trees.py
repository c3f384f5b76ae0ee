"""Extremely randomised trees tell classes apart as well as those of scikit-learn."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score

from sklearn_fsad._stats.trees import grow_forest


def two_classes(n=60, k=12, d=6, shift=1.0, seed=0):
    rng = np.random.default_rng(seed)
    second = np.arange(n + k) >= n
    return rng.normal(size=(n + k, d)) + shift * second[:, None], second


@pytest.mark.parametrize(("k", "shift"), [(1, 2.0), (5, 1.0), (30, 0.5)])
def test_they_rank_as_well_as_those_of_a_library(k, shift):
    ours, theirs = [], []
    for seed in range(12):
        X, second = two_classes(k=k, shift=shift, seed=seed)
        rows, truth = two_classes(150, 150, shift=shift, seed=100 + seed)
        ours.append(roc_auc_score(truth, grow_forest(X, second, 40, seed).vote(rows)))
        trees = ExtraTreesClassifier(40, class_weight="balanced", random_state=seed).fit(X, second)
        theirs.append(roc_auc_score(truth, trees.predict_proba(rows)[:, 1]))
    assert np.mean(ours) > np.mean(theirs) - 0.02
    assert np.mean(ours) > 0.6


def test_rows_of_the_training_end_in_pure_leaves():
    X, second = two_classes()
    np.testing.assert_array_equal(grow_forest(X, second, 10).vote(X), second)


def test_both_classes_have_one_weight_and_columns_without_variation_are_passed_over():
    X = np.ones((9, 3))
    second = np.arange(9) < 2
    assert (grow_forest(X, second, 5).vote(X) == 0.5).all()  # nothing to split by
    X[:, 1] = second
    for d in ([1], [0, 1, 2]):
        votes = grow_forest(X[:, d], second, 5).vote(X[:, d])
        np.testing.assert_array_equal(votes, second)


def test_a_seed_gives_the_same_trees_and_another_seed_others():
    X, second = two_classes()
    rows, _ = two_classes(seed=1)
    first = grow_forest(X, second, 7, seed=3)
    for one, other in zip(first, grow_forest(X, second, 7, seed=3), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (first.vote(rows) != grow_forest(X, second, 7, seed=4).vote(rows)).any()
    assert len(np.unique(first.column[:, 0])) > 1  # trees differ


def test_a_row_gets_the_same_votes_in_any_company():
    X, second = two_classes()
    rows, _ = two_classes(seed=1)
    forest = grow_forest(X, second, 20)
    whole = forest.vote(rows)
    np.testing.assert_array_equal([forest.vote(row[None])[0] for row in rows], whole)
    np.testing.assert_array_equal(forest.vote(np.asfortranarray(rows)), whole)


def test_more_columns_at_a_node_find_the_one_that_tells():
    rng = np.random.default_rng(0)
    X, second = rng.normal(size=(60, 20)), np.arange(60) >= 50
    X[:, 7] += 8.0 * second
    few, all_of_them = (grow_forest(X, second, 40, n_tried=n) for n in (1, 20))
    assert (all_of_them.column[:, 0] == 7).mean() > 0.7 > 0.3 > (few.column[:, 0] == 7).mean()
    np.testing.assert_array_equal(grow_forest(X, second, 9, n_tried=4), grow_forest(X, second, 9))
