"""Independent windows, and blocks that are left out."""

import numpy as np
import pytest

from sklearn_fsad.series._independent import (
    IndependentScores,
    blocks_of,
    correlation_time,
    left_out_scores,
    others_of,
    thinned,
)
from sklearn_fsad.series._training import TrainingWindows


def autoregression(phi, n, seed=0):
    rng = np.random.default_rng(seed)
    values = np.zeros(n)
    for i in range(1, n):
        values[i] = phi * values[i - 1] + rng.normal()
    return values


@pytest.mark.parametrize(("phi", "time"), [(0.0, 1.0), (0.5, 3.0), (0.9, 19.0)])
def test_the_correlation_time_of_an_autoregression_is_near_its_true_one(phi, time):
    found = correlation_time(autoregression(phi, 20_000), [0])
    assert found == pytest.approx(time, rel=0.3)


def test_pairs_across_the_start_of_a_series_do_not_correlate():
    scores = np.repeat([0.0, 1.0], 50)
    apart = correlation_time(scores, [0, 50])
    assert apart > 10  # each half is one value
    noise = np.random.default_rng(0).normal(size=100)
    assert correlation_time(noise, list(range(100))) == 1.0


def test_thinned_scores_have_the_quantiles_of_all_scores():
    scores = np.arange(1.0, 101.0)
    np.testing.assert_array_equal(thinned(scores, 4), [25, 50, 75, 100])
    np.testing.assert_array_equal(thinned(scores, 200), scores)


def test_blocks_cover_all_windows_once_and_each_stretch_of_anomalies_is_one():
    groups = np.repeat([0, 1, 0, 2], [60, 5, 60, 5])
    blocks = blocks_of(groups, np.arange(130), 10)
    np.testing.assert_array_equal(np.sum(blocks, axis=0), 1)
    assert [groups[block].tolist() for block in blocks[-2:]] == [[1] * 5, [2] * 5]
    assert len(blocks) == 7


def test_windows_that_share_a_step_with_a_block_are_left_out_with_it():
    steps, groups = np.arange(100), np.zeros(100, dtype=int)
    others = others_of((steps >= 40) & (steps < 60), steps, groups, 8)
    np.testing.assert_array_equal(np.flatnonzero(~others), np.arange(33, 67))


def test_all_other_windows_are_used_where_too_few_are_apart():
    steps, groups = np.arange(12), np.zeros(12, dtype=int)
    block = steps < 6
    np.testing.assert_array_equal(others_of(block, steps, groups, 10), ~block)


def test_a_left_out_score_comes_from_windows_that_share_no_step():
    windows = TrainingWindows(np.arange(80.0)[:, None], np.arange(80), np.zeros(80, dtype=int))

    def distances(parts, blocks):  # from the nearest window that was seen
        pairs = zip(parts, blocks, strict=True)
        return [np.abs(own.rows - others.rows.T).min(axis=1) for others, own in pairs]

    assert left_out_scores(distances, windows, 8).min() == 8


def test_a_rate_takes_more_steps_the_longer_neighbours_agree():
    steps, groups = np.arange(400), np.zeros(400, dtype=int)
    short, long = (
        IndependentScores.of(autoregression(phi, 400), groups, steps, 2.0) for phi in (0.2, 0.95)
    )
    assert len(short.normals) > 5 * len(long.normals)
    assert len(IndependentScores.of(autoregression(0.0, 400), groups, steps, 16.0).normals) == 25
    assert long.steps_for(19) > 5 * short.steps_for(19)
