"""Plans of what to hide: every feature has its turn, and counts once."""

import numpy as np
import pytest

from sklearn_fsad._detectors.neural_process.masks import (
    N_BLOCKS,
    chain_plan,
    scoring_plan,
    training_mask,
)

widths = pytest.mark.parametrize("n_features", [1, 2, 3, 7, 32, 33, 100])


# --- scoring --------------------------------------------------------------------------------------
@widths
@pytest.mark.parametrize("n_masks", [None, "auto", 2, 5, 8])
def test_the_weights_of_a_feature_sum_to_one(n_features, n_masks):
    plan = scoring_plan(n_features, n_masks, None, 0)
    assert plan.hidden.shape == plan.weight.shape == (len(plan.hidden), n_features)
    assert set(np.unique(plan.hidden)) <= {0.0, 1.0}
    assert (plan.weight >= 0.0).all()
    np.testing.assert_allclose(plan.weight.sum(axis=0), 1.0)


@widths
@pytest.mark.parametrize("n_masks", [None, "auto", 2, 5, 8])
def test_features_are_asked_for_only_while_hidden(n_features, n_masks):
    plan = scoring_plan(n_features, n_masks, None, 0)
    np.testing.assert_array_equal(plan.weight > 0, plan.hidden == 1.0)


@widths
@pytest.mark.parametrize("n_masks", [None, "auto", 2, 5, 8])
def test_every_feature_is_hidden_equally_often(n_features, n_masks):
    times = scoring_plan(n_features, n_masks, None, 0).hidden.sum(axis=0)
    assert (times == times[0]).all()
    assert times[0] > 0


@widths
def test_none_hides_each_feature_alone(n_features):
    np.testing.assert_array_equal(
        scoring_plan(n_features, None, None, 0).hidden, np.eye(n_features)
    )


@pytest.mark.parametrize("n_features", [2, 3, 33])
@pytest.mark.parametrize("n_masks", [2, 8])
def test_masks_come_as_halves_and_their_complements(n_features, n_masks):
    hidden = scoring_plan(n_features, n_masks, None, 0).hidden
    assert len(hidden) == n_masks
    np.testing.assert_array_equal(hidden[::2] + hidden[1::2], 1.0)
    assert set(hidden[::2].sum(axis=1)) == {n_features // 2}


def test_auto_joins_single_features_and_halves_while_features_are_few():
    few = scoring_plan(10, "auto", None, 0)
    assert len(few.hidden) == 10 + N_BLOCKS
    np.testing.assert_array_equal(few.hidden[:10], np.eye(10))
    np.testing.assert_allclose(few.weight[:10].sum(axis=0), 0.5)
    assert len(scoring_plan(200, "auto", None, 0).hidden) == N_BLOCKS


@pytest.mark.parametrize("n_masks", [None, "auto", 4])
def test_targets_are_hidden_together_and_nothing_else_is_asked(n_masks):
    plan = scoring_plan(6, n_masks, [1, 4], 0)
    np.testing.assert_array_equal(plan.hidden, [[0, 1, 0, 0, 1, 0]])
    np.testing.assert_array_equal(plan.weight, plan.hidden)


def test_halves_come_from_the_seed():
    one, same, other = (scoring_plan(20, 8, None, seed).hidden for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


# --- the chain rule -------------------------------------------------------------------------------
@widths
@pytest.mark.parametrize("n_blocks", [1, 4, 1000])
def test_a_chain_asks_for_each_feature_once_given_all_before_it(n_features, n_blocks):
    plans = chain_plan(n_features, 3, n_blocks, 0)
    assert len(plans) == 3
    for plan in plans:
        assert len(plan.hidden) == min(n_blocks, n_features)
        np.testing.assert_array_equal(plan.weight.sum(axis=0), 1.0)
        np.testing.assert_array_equal(plan.hidden[0], 1.0)
        for hidden, asked, then in zip(
            plan.hidden, plan.weight, [*plan.hidden[1:], np.zeros(n_features)], strict=True
        ):
            assert asked.any()
            np.testing.assert_array_equal(hidden - asked, then)


def test_the_orders_of_chains_differ_and_come_from_the_seed():
    plans, same = chain_plan(20, 2, 4, 0), chain_plan(20, 2, 4, 0)
    assert not np.array_equal(plans[0].weight, plans[1].weight)
    assert not np.array_equal(plans[0].weight, chain_plan(20, 2, 4, 1)[0].weight)
    for one, other in zip(plans, same, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)


def test_the_blocks_of_a_chain_are_of_like_size():
    (plan,) = chain_plan(10, 1, 4, 0)
    assert sorted(plan.weight.sum(axis=1)) == [2, 2, 3, 3]


# --- training -------------------------------------------------------------------------------------
@pytest.mark.parametrize("n_features", [1, 2, 3, 8])
def test_training_hides_any_number_of_features_but_never_none(n_features):
    rng = np.random.default_rng(0)
    masks = np.array([training_mask(n_features, None, rng) for _ in range(400)])
    assert set(np.unique(masks)) <= {0.0, 1.0}
    assert set(masks.sum(axis=1)) == set(range(1, n_features + 1))
    times = masks.sum(axis=0)
    assert times.max() - times.min() < 5 * np.sqrt(400 / 4)


def test_training_hides_one_to_half_of_the_features_mostly():
    rng = np.random.default_rng(0)
    n_hidden = np.array([training_mask(20, None, rng).sum() for _ in range(1000)])
    assert 0.27 < (n_hidden == 1).mean() < 0.40
    assert (n_hidden <= 10).mean() > 0.87
    assert (n_hidden > 10).any()


def test_training_hides_the_targets_when_there_are_some():
    rng = np.random.default_rng(0)
    for _ in range(5):
        np.testing.assert_array_equal(training_mask(5, [0, 3], rng), [1, 0, 0, 1, 0])
