"""Protocols of families: draws of supports and queries, and folds over tasks."""

import dataclasses

import numpy as np
import pytest

MODULES = ("protocols.families",)


# --- draws -------------------------------------------------------------------------------------


def test_supports_are_nested_and_never_in_the_query(bench, task):
    draw = bench.protocols.families.draw_rows(task, 0, 0, 20, 5)
    small, large = set(draw.support(10, 2)), set(draw.support(20, 5))
    assert len(small) == 12
    assert len(large) == 25
    assert small < large
    assert set(draw.query) == set(range(len(task.y))) - large


def test_query_is_the_same_in_all_cells_of_a_draw_and_new_in_the_next(bench, task):
    protocol = bench.protocols.families.Protocol((5, 10), (0, 3), 2, 0)
    episodes = list(protocol.episodes(task))
    by_draw = [[e for e in episodes if e.draw == number] for number in range(2)]
    for same in by_draw:
        assert len(same) == 4
        for episode in same[1:]:
            np.testing.assert_array_equal(episode.query_X, same[0].query_X)
        for episode in same:
            together = np.vstack([episode.support_X, episode.query_X])
            assert len(np.unique(together, axis=0)) == len(together)
            assert episode.support_y.sum() == episode.k
    assert not np.array_equal(by_draw[0][0].support_X, by_draw[1][0].support_X)


def test_a_draw_depends_on_seed_name_and_number_only(bench, task):
    draw_rows = bench.protocols.families.draw_rows
    first = draw_rows(task, 0, 1, 10, 3)
    np.testing.assert_array_equal(first.query, draw_rows(task, 0, 1, 10, 3).query)
    assert not np.array_equal(first.normals, draw_rows(task, 1, 1, 10, 3).normals)
    np.testing.assert_array_equal(first.normals, draw_rows(task, 0, 1, 20, 5).normals[:10])


def test_a_short_task_keeps_twenty_normals_and_three_anomalies_for_the_query(bench, tasks):
    short = next(task for task in tasks if task.name == "fan_1")
    (episode,) = bench.protocols.families.Protocol((10,), (10,), 1, 0).episodes(short)
    assert (episode.n, episode.n_used, episode.k, episode.k_used) == (10, 7, 10, 5)
    assert np.bincount(episode.query_y).tolist() == [20, 3]


def test_a_capped_query_keeps_anomalies(bench):
    y = np.repeat([0, 1], [5000, 40])
    task = bench.protocols.families.Task(
        "big_1", "big", np.arange(len(y))[:, None].astype(float), y
    )
    capped = bench.protocols.families.draw_rows(task, 0, 0, 10, 5, max_query=200)
    assert np.bincount(task.y[capped.query]).tolist() == [170, 30]
    whole = bench.protocols.families.draw_rows(task, 0, 0, 10, 5)
    assert set(capped.query) < set(whole.query)


# --- folds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["random", "groups"])
def test_every_task_is_tested_once_and_never_learned_from_in_its_fold(bench, tasks, split):
    folds = bench.protocols.families.make_folds(tasks, split, seed=0)
    tested = [name for fold in folds for name in fold.test]
    assert sorted(tested) == sorted(task.name for task in tasks if task.testable)
    for fold in folds:
        assert not set(fold.train) & set(fold.test)
        assert "calm_calm" in fold.train


def test_groups_stay_whole(bench, tasks):
    folds = bench.protocols.families.make_folds(tasks, "groups", seed=0)
    group_of = bench.protocols.families.group_of
    assert [{group_of(name) for name in fold.test} for fold in folds] == [
        {"fan"},
        {"pump1"},
        {"pump2"},
    ]
    for fold in folds:
        assert not {group_of(name) for name in fold.train} & {group_of(n) for n in fold.test}


def test_a_task_without_anomalies_is_held_out_with_its_group(bench, tasks):
    calm = dataclasses.replace(tasks[0], name="pump2_9", group="pump2")
    folds = bench.protocols.families.make_folds([*tasks, calm], "groups", seed=0)
    assert ["pump2_9" in fold.train for fold in folds] == [True, True, False]


@pytest.mark.parametrize(
    ("name", "group"),
    [("valve1_13", "valve1"), ("metal_nut", "metal_nut"), ("BERT_20news_3", "BERT")],
)
def test_group_of_a_name(bench, name, group):
    assert bench.protocols.families.group_of(name) == group


def test_unrelated_tables_are_not_learned_from(bench, tasks):
    (fold,) = bench.protocols.families.make_folds(tasks, "none", seed=0)
    assert fold.train == ()
    assert len(fold.test) == 6
