"""TaskSet reads every accepted form alike; episodes are a pure function of (seed, epoch, index)."""

import random
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone

from sklearn_fsad.exceptions import LabelConventionWarning, TaskWarning
from sklearn_fsad.tasks import EpisodeSampler, TaskSet
from sklearn_fsad.tasks._task_set import coded_tasks, split_tasks


def make_tasks(n_tasks=3, n_normal=12, n_anomalous=4, n_features=2, seed=0):
    rng = np.random.default_rng(seed)
    n = n_normal + n_anomalous
    y = np.array([0] * n_normal + [1] * n_anomalous)
    return [(rng.normal(size=(n, n_features)), y.copy()) for _ in range(n_tasks)]


def flatten(tasks):
    X = np.concatenate([X_t for X_t, _ in tasks])
    y = np.concatenate([y_t for _, y_t in tasks])
    return X, y, np.repeat(np.arange(len(tasks)), [len(y_t) for _, y_t in tasks])


def as_frames(tasks, kind):
    return [(kind({"a": X_t[:, 0], "b": X_t[:, 1]}), kind({"y": y_t})["y"]) for X_t, y_t in tasks]


TASKS = make_tasks()
X_FLAT, Y_FLAT, GROUPS = flatten(TASKS)
FORMS = {
    "list": ((TASKS,), {}),
    "tuple": ((tuple(TASKS),), {}),
    "generator": (((pair for pair in TASKS),), {}),
    "dict": ((dict(enumerate(TASKS)),), {}),
    "pairs_as_lists": (([list(pair) for pair in TASKS],), {}),
    "task_set": ((TaskSet(TASKS),), {}),
    "list_of_tasks": ((list(TaskSet(TASKS)),), {}),
    "dict_of_tasks": ((dict(enumerate(TaskSet(TASKS))),), {}),
    "two_lists": (([X for X, _ in TASKS], [y for _, y in TASKS]), {}),
    "flat": ((X_FLAT, Y_FLAT), {"groups": GROUPS}),
    "flat_lists": ((X_FLAT.tolist(), Y_FLAT.tolist()), {"groups": GROUPS.tolist()}),
    "flat_pandas": (
        (pd.DataFrame(X_FLAT, columns=["a", "b"]), pd.Series(Y_FLAT)),
        {"groups": pd.Series(GROUPS)},
    ),
    "flat_polars": (
        (pl.DataFrame(X_FLAT, schema=["a", "b"]), pl.Series(Y_FLAT)),
        {"groups": pl.Series(GROUPS)},
    ),
    "pandas": ((as_frames(TASKS, pd.DataFrame),), {}),
    "polars": ((as_frames(TASKS, pl.DataFrame),), {}),
    "signed_labels": (([(X, 1 - 2 * y) for X, y in TASKS],), {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_identical_tasks(form):
    args, kwargs = FORMS[form]
    made = TaskSet.make(*args, **kwargs)
    assert made.names == [0, 1, 2]
    for task, (X, y) in zip(made, TASKS, strict=True):
        assert task.X.dtype == np.float64
        np.testing.assert_array_equal(task.X, X)
        np.testing.assert_array_equal(task.y, y)


def test_interleaved_groups_keep_the_row_order_inside_each_task():
    X = np.arange(6.0).reshape(6, 1)
    made = TaskSet.make(X, [0, 0, 0, 0, 1, 1], groups=["b", "a", "b", "a", "b", "a"])
    assert made.names == ["b", "a"]
    np.testing.assert_array_equal(made[0].X.ravel(), [0, 2, 4])
    np.testing.assert_array_equal(made[1].y, [0, 0, 1])


def test_tasks_without_labels_are_unlabelled_and_count_as_normal():
    made = TaskSet.make([X for X, _ in TASKS])
    assert (made[0].y == -1).all()
    assert len(made[0].normals) == 16
    assert len(made[0].anomalies) == 0


def test_frames_leave_their_column_names():
    assert TaskSet(as_frames(TASKS, pd.DataFrame)).feature_names_in == ("a", "b")
    assert TaskSet(TASKS).feature_names_in is None


@pytest.mark.parametrize(
    ("args", "kwargs", "found"),
    [
        (([],), {}, "Got no task"),
        (({},), {}, "Got no task"),
        ((TASKS[0],), {}, "Entry 1 of the tasks is not a task"),
        (TASKS[0], {}, "y was given without groups"),
        ((X_FLAT,), {}, "Got ndarray without groups"),
        ((X_FLAT.tolist(),), {}, "Entry 0 of the tasks is not a task"),
        ((pd.DataFrame(X_FLAT),), {}, "Got DataFrame without groups"),
        ((pl.DataFrame(X_FLAT),), {}, "Got DataFrame without groups"),
        (("tasks.csv",), {}, "Got str without groups"),
        ((3,), {}, "Got int without groups"),
        ((TASKS, [0, 1]), {}, "y was given without groups"),
    ],
)
def test_other_forms_are_refused_with_the_accepted_ones(args, kwargs, found):
    with pytest.raises(ValueError, match=found) as caught:
        TaskSet.make(*args, **kwargs)
    assert "a list of (X_t, y_t) pairs, a dict name -> (X_t, y_t), a TaskSet" in str(caught.value)


@pytest.mark.parametrize(
    ("X", "y", "match"),
    [
        ([[0.0, np.inf]], [0], "infinity"),
        ([["a", "b"]], [0], "could not convert"),
        ([[0.0, 1.0]] * 3, [0, 1, 2], "Unknown label type"),
        ([[0.0, 1.0]] * 2, [1, 1], "all 2 rows as anomalies"),
        ([[0.0, 1.0]] * 2, [0, 0, 1], r"\[2, 3\]"),
        (np.zeros((0, 2)), [], "0 sample"),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn_fsad.exceptions.LabelConventionWarning")
def test_wrong_task_is_named_with_the_reason(X, y, match):
    with pytest.raises(ValueError, match=f"Task 'fan': .*{match}"):
        TaskSet({"pump": TASKS[0], "fan": (X, y)}, outlier_label=1 if y == [1, 1] else "auto")


def test_nan_is_kept_where_it_is_allowed_and_refused_by_name_later():
    X = np.array([[0.0, np.nan], [1.0, 2.0]])
    made = TaskSet({"pump": TASKS[0], "fan": (X, [0, 1])})
    assert np.isnan(made[1].X[0, 1])
    assert TaskSet.make(made) is made
    with pytest.raises(ValueError, match=r"Task 'fan' contains NaN.* in column 1, row 0"):
        TaskSet.make(made, allow_nan=False)


def test_task_of_another_width_is_named():
    made = TaskSet({"pump": TASKS[0], "fan": (np.zeros((4, 3)), None)})
    assert made.n_features is None
    with pytest.raises(ValueError, match=r"Task 'fan' has 3 features.*2"):
        made.one_feature_space()
    assert TaskSet(TASKS).one_feature_space() == TaskSet(TASKS).n_features == 2


def test_reordered_columns_are_named():
    frames = as_frames(TASKS, pd.DataFrame)
    frames[1] = (frames[1][0][["b", "a"]], frames[1][1])
    with pytest.raises(ValueError, match=r"Task 1 has columns \('b', 'a'\)"):
        TaskSet(frames)


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"names": ["a", "b"]}, "names has 2 entries for 3 tasks"),
        ({"names": ["a", "b", "a"]}, "names must differ"),
        ({"groups": ["m"]}, "groups has 1 entries for 3 tasks"),
    ],
)
def test_names_and_groups_must_fit_the_tasks(kwargs, match):
    with pytest.raises(ValueError, match=match):
        TaskSet(TASKS, **kwargs)


@pytest.mark.parametrize(
    ("groups", "match"),
    [
        (GROUPS[:-1], "inconsistent numbers of samples"),
        (np.where(GROUPS == 2, np.nan, GROUPS), "no task id for row 32"),
        ([None] + [1] * 47, "no task id for row 0"),
        (GROUPS[:, None], "one task id per row"),
        ([[i] for i in GROUPS], r"groups must be one task id per row, got \[.*, a list"),
        (pa.table({"machine": GROUPS}), "groups must be one task id per row, got .*, a dict"),
        (3, "groups must be one task id per row"),
    ],
)
def test_wrong_groups_of_flat_rows_are_refused(groups, match):
    with pytest.raises(ValueError, match=match):
        TaskSet.make(X_FLAT, Y_FLAT, groups=groups)


def test_the_callers_arrays_stay_as_they_are():
    X, y = TASKS[0][0].copy(), TASKS[0][1].copy()
    X.flags.writeable = y.flags.writeable = False
    EpisodeSampler(TaskSet([(X, y)]), n_normal=(2, 5), n_anomalous=(0, 2)).episode(0, 0)
    np.testing.assert_array_equal(X, TASKS[0][0])


def test_a_task_set_is_passed_whole_by_clone_and_has_no_length():
    made = TaskSet(TASKS)
    assert clone(made) is made
    assert not hasattr(made, "__len__")


def test_folds_keep_groups_together_and_cover_every_task_once():
    groups = ["m1", "m1", "m2", "m3", "m2", "m3", "m4"]
    made = TaskSet(make_tasks(7), groups=groups)
    folds = made.folds(3, seed=5)
    assert sorted(i for fold in folds for i in fold) == list(range(7))
    homes = {(groups[i], f) for f, fold in enumerate(folds) for i in fold}
    assert len(homes) == len(set(groups)) == 4
    assert folds == made.folds(3, seed=5)
    assert len(made.folds(10, seed=0)) == 4


def test_subset_keeps_names_and_groups():
    part = TaskSet(TASKS, names=["a", "b", "c"], groups=["g", "h", "g"]).subset([2, 0])
    assert part.names == ["c", "a"]
    assert part.groups == ["g", "g"]


def test_split_tasks_returns_the_users_containers():
    split = split_tasks(pl.DataFrame(X_FLAT), pl.Series(Y_FLAT), GROUPS)
    assert isinstance(split[0][0], pl.DataFrame)
    assert isinstance(split[0][1], pl.Series)
    assert split_tasks(dict(enumerate(TASKS)))[1][0] is TASKS[1][0]


def test_a_list_of_tasks_keeps_names_groups_columns_and_unlabelled_rows():
    y = np.where(np.arange(16) % 3 == 0, np.nan, TASKS[0][1])
    frame = pd.DataFrame(TASKS[0][0], columns=["a", "b"])
    made = TaskSet({"pump": (frame, y), "fan": (frame, y)}, groups=["g", "g"])
    again = TaskSet(list(made))
    assert (again.names, again.groups) == (["pump", "fan"], ["g", "g"])
    assert again.feature_names_in == ("a", "b")
    for task, former in zip(again, made, strict=True):
        np.testing.assert_array_equal(task.y, former.y)
        np.testing.assert_array_equal(task.X, former.X)
    assert TaskSet([*made, *TaskSet({"pump": (frame, y)})]).names == [0, 1, 2]
    other = TaskSet(list(made), names=["x", "y"], groups=["p", "q"])
    assert (other.names, other.groups) == (["x", "y"], ["p", "q"])
    mixed = TaskSet([made[0], (frame, np.array(["ok"] * 15 + ["bad"]))], outlier_label="bad")
    assert [int((task.y == 1).sum()) for task in mixed] == [2, 1]
    assert coded_tasks(list(made), outlier_label="bad")["fan"][1].tolist() == made[1].y.tolist()


def test_tasks_of_several_sets_are_siblings_only_where_groups_were_given():
    sets = [TaskSet([task]) for task in TASKS]
    assert TaskSet([each[0] for each in sets]).groups == [0, 1, 2]
    grouped = [TaskSet({f"m{i}": task}, groups=["pump"])[0] for i, task in enumerate(TASKS)]
    assert TaskSet(grouped).groups == ["pump"] * 3


def test_missing_values_in_a_list_of_tasks_are_refused_on_request():
    X = TASKS[0][0].copy()
    X[0, 0] = np.nan
    tasks = TaskSet({"pump": (X, None)})
    with pytest.raises(ValueError, match="Task 'pump' contains NaN"):
        TaskSet(list(tasks), allow_nan=False)
    assert TaskSet(list(tasks)).n_tasks == 1


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, np.asfortranarray])
def test_what_is_done_to_rows_later_does_not_change_the_tasks(kind):
    rows, labels = TASKS[0][0].copy(), TASKS[0][1].copy()
    tasks = TaskSet([(kind(rows), labels)])
    before = tasks[0].X.copy()
    rows *= 1000.0
    labels[:] = 1
    np.testing.assert_array_equal(tasks[0].X, before)
    assert tasks[0].y.sum() == 4


@pytest.mark.parametrize("form", ["list", "dict", "flat"])
def test_ones_are_read_by_the_coding_of_the_other_tasks(form):
    ones = {"signed": np.ones(16), "binary": np.ones(16)}
    tasks = {"pump": TASKS[0], "fan": (TASKS[1][0], ones["binary"])}
    X = np.concatenate([TASKS[0][0], TASKS[1][0]])
    flat = {"groups": np.repeat(["pump", "fan"], 16)}
    y = np.concatenate([TASKS[0][1], ones["binary"]])
    name = 1 if form == "list" else "fan"
    args, how = {
        "list": ((list(tasks.values()),), {}),
        "dict": ((tasks,), {}),
        "flat": ((X, y), flat),
    }[form]
    with pytest.raises(ValueError, match=f"Task {name!r}: y marks all 16 rows as anomalies"):
        TaskSet.make(*args, **how)
    with pytest.raises(ValueError, match=f"Task {name!r}: y marks all 16 rows as anomalies"):
        coded_tasks(*args, **how)
    signed = {"pump": (TASKS[0][0], 1 - 2 * TASKS[0][1]), "fan": (TASKS[1][0], ones["signed"])}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert TaskSet(signed)[1].y.tolist() == [0] * 16


def test_tasks_with_more_anomalies_than_normal_rows_are_told_once():
    turned = [(X, 1 - y) for X, y in TASKS]
    with pytest.warns(LabelConventionWarning, match="36 of 48.*outlier_label=0") as told:
        TaskSet(turned)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert TaskSet(turned, outlier_label=0)[0].y.sum() == 4
        assert TaskSet(turned, outlier_label=1)[0].y.sum() == 12
        assert TaskSet([*TASKS, turned[0]]).n_tasks == 4  # one alone says little


def test_coded_tasks_name_the_task_with_wrong_labels():
    tasks = {"pump": (TASKS[0][0], ["ok"] * 15 + ["bad"]), "fan": (TASKS[1][0], [0, 1])}
    with pytest.raises(ValueError, match=r"Task 'pump': Unknown label"):
        coded_tasks(tasks)
    del tasks["fan"]
    assert coded_tasks(tasks, outlier_label="bad")["pump"][1].tolist() == [0] * 15 + [1]


def sampler(tasks=None, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TaskWarning)
        return EpisodeSampler(tasks or TaskSet(TASKS), **kwargs)


def same(first, second):
    return first.task == second.task and all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("support_X", "support_y", "query_X", "query_y")
    )


def test_episodes_are_a_pure_function_of_seed_epoch_and_index():
    first, second = sampler(seed=3), sampler(seed=3)
    forward = [first.episode(1, i) for i in range(8)]
    backward = [second.episode(1, i) for i in reversed(range(8))][::-1]
    assert all(same(a, b) for a, b in zip(forward, backward, strict=True))
    assert not all(same(a, first.episode(2, i)) for i, a in enumerate(forward))
    assert not all(same(a, sampler(seed=4).episode(1, i)) for i, a in enumerate(forward))


def test_episodes_of_one_epoch_visit_the_tasks_in_turn():
    visited = [sampler().episode(0, i).task for i in range(6)]
    assert sorted(visited[:3]) == sorted(visited[3:]) == [0, 1, 2]


def test_support_and_query_are_disjoint_rows_of_the_task_with_its_labels():
    tasks = TaskSet(TASKS)
    for i in range(30):
        episode = sampler(tasks).episode(0, i)
        task = tasks[episode.task]
        labels = {tuple(row): int(label) for row, label in zip(task.X, task.y, strict=True)}
        support = {tuple(row) for row in episode.support_X}
        query = {tuple(row) for row in episode.query_X}
        assert len(support) == len(episode.support_X)
        assert not support & query
        for X, y in [(episode.support_X, episode.support_y), (episode.query_X, episode.query_y)]:
            assert [labels[tuple(row)] for row in X] == y.tolist()
        assert set(episode.query_y.tolist()) == {0, 1}


def test_shots_stay_in_their_ranges_and_reach_both_ends():
    tasks = TaskSet(make_tasks(2, n_normal=60, n_anomalous=30))
    episodes = [
        sampler(tasks, n_normal=(3, 8), n_anomalous=(0, 4)).episode(0, i) for i in range(300)
    ]
    normal = {int((e.support_y == 0).sum()) for e in episodes}
    anomalous = [int((e.support_y == 1).sum()) for e in episodes]
    assert normal == {3, 4, 5, 6, 7, 8}
    assert set(anomalous) == {0, 1, 2, 3, 4}
    assert 0.15 < np.mean(np.array(anomalous) == 0) < 0.35


def test_fixed_shots_are_drawn_exactly():
    tasks = TaskSet(make_tasks(2, n_normal=60, n_anomalous=30))
    episode = sampler(tasks, n_normal=(5, 5), n_anomalous=(3, 3), n_query=20).episode(0, 0)
    assert np.bincount(episode.support_y).tolist() == [5, 3]
    assert np.bincount(episode.query_y).tolist() == [10, 10]


def test_contaminated_supports_hide_anomalies_among_the_normals():
    tasks = TaskSet(make_tasks(2, n_normal=60, n_anomalous=30))
    shots = {"n_normal": (20, 20), "n_anomalous": (0, 3), "n_query": 20}
    labels = {tuple(row): int(y) for t in tasks for row, y in zip(t.X, t.y, strict=True)}
    shares = []
    for i in range(200):
        episode = sampler(tasks, support_contamination=0.4, **shots).episode(0, i)
        true = np.array([labels[tuple(row)] for row in episode.support_X])
        assert (episode.support_y == 0).sum() == 20
        assert (true[episode.support_y == 1] == 1).all()
        shares.append(true[episode.support_y == 0].mean())
        query = {tuple(row) for row in episode.query_X}
        assert not query & {tuple(row) for row in episode.support_X}
        assert [labels[tuple(row)] for row in episode.query_X] == episode.query_y.tolist()
        assert episode.query_y.sum() == 10
    assert np.mean(shares) == pytest.approx(0.2, abs=0.03)
    assert min(shares) == 0.0
    assert max(shares) > 0.35


def test_hidden_anomalies_leave_half_of_them_to_the_query():
    tasks = TaskSet(make_tasks(2, n_normal=60, n_anomalous=6))
    shots = {"n_normal": (40, 40), "n_anomalous": (0, 2)}
    for i in range(40):
        episode = sampler(tasks, support_contamination=0.5, **shots).episode(0, i)
        assert episode.query_y.sum() >= 3


def test_small_task_is_drawn_with_fewer_shots():
    tasks = TaskSet({"big": make_tasks(1, 100, 40)[0], "small": make_tasks(1, 6, 2)[0]})
    small = EpisodeSampler(tasks)
    episodes = [small.episode(0, i) for i in range(8)]
    supports = [e.support_y for e in episodes if tasks[e.task].name == "small"]
    assert len(supports) == 4
    assert max((y == 0).sum() for y in supports) <= 4
    assert max((y == 1).sum() for y in supports) <= 1


def test_only_tasks_with_anomalies_and_normals_are_drawn():
    tasks = TaskSet([(np.zeros((9, 2)), None), TASKS[0], (np.zeros((3, 2)), [0, 0, 1])])
    assert {sampler(tasks).episode(0, i).task for i in range(10)} == {1}
    with pytest.raises(ValueError, match="No task can be drawn"):
        sampler(tasks.subset([0, 2])).episode(0, 0)


def test_global_random_states_are_not_touched():
    state, numpy_state = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    sampler().episode(0, 0)
    TaskSet(TASKS).folds(2, seed=0)
    assert random.getstate() == state
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
