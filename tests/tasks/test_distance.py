"""FarTaskWarning: a support that is unlike all training tasks."""

import warnings

import numpy as np
import pytest
from families import ONE_WIDTH, QUICK, make_detector, make_family, new_task
from sklearn.base import clone

from sklearn_fsad import InContextDetector, MetaState, ProtoNetDetector, TaskSet
from sklearn_fsad.exceptions import FarTaskWarning
from sklearn_fsad.tasks._distance import NormalsStatistics, TrainingTasks


def tasks_of(n_tasks=8, d=4, seed=0, n=60):
    rng = np.random.default_rng(seed)
    return [
        rng.normal(size=(n, d)) * np.exp(rng.normal(0, 0.2, d)) + rng.normal(0, 2, d)
        for _ in range(n_tasks)
    ]


def known(tasks, **how):
    return TrainingTasks.from_tasks(TaskSet(tasks, **how), 0)


@pytest.fixture
def quick():
    """A prototype detector that learns from the family in no time."""
    return ProtoNetDetector(**{**QUICK, "max_epochs": 0})


# --- the distance ---------------------------------------------------------------------------------
def test_the_distance_is_that_computed_by_hand():
    statistics = NormalsStatistics(
        np.array([1.0, 0.0]), np.array([4.0, 1.0]), np.log([1.0, 2.0]), np.array([0.5, 0.1])
    )
    rows = np.array([[2.0, 5.0], [4.0, 1.0], [3.0, 3.0]])
    place = (rows.mean(axis=0) - [1, 0]) ** 2 / (np.array([4, 1]) + np.array([1, 4]) / 3)
    spread = (np.log(rows.std(axis=0)) - np.log([1, 2])) ** 2 / (np.array([0.5, 0.1]) + 1 / 2)
    expected = (np.log1p(place) + np.log1p(spread)).mean()
    assert statistics.distance(rows) == pytest.approx(expected, rel=1e-9)


def test_distances_are_those_to_the_other_tasks_by_supports_of_each_size():
    found = known(tasks_of())
    assert found.distances.shape == (4, 8 * 3)
    assert (np.diff(found.distances, axis=1) >= 0).all()
    assert set(np.unique(found.distances[3]).round(9)) == set(
        np.unique([_left_out(tasks_of(), i) for i in range(8)]).round(9)
    )  # of 60 rows a support of 100 has all


def _left_out(tasks, i):
    others = known([*tasks[:i], *tasks[i + 1 :]])
    return others.statistics.distance(tasks[i])


def test_siblings_are_left_out_together():
    tasks = tasks_of(9)
    tasks[1] = tasks[0] + 0.01
    tasks[2] = tasks[0] - 0.01
    tasks[0], tasks[1], tasks[2] = (t + 30.0 for t in tasks[:3])
    alone, together = known(tasks), known(tasks, groups=list("aaabbbccc"))
    assert together.distances[-1, -1] > alone.distances[-1, -1]


@pytest.mark.parametrize("tasks", [tasks_of(4), [*tasks_of(3), *tasks_of(3, d=2)]])
def test_few_tasks_or_tasks_of_several_widths_tell_nothing(tasks):
    assert known(tasks) is None


def test_missing_entries_and_columns_count_for_nothing():
    tasks = tasks_of()
    tasks[0][:, 1] = np.nan
    tasks[1][::2, 0] = np.nan
    found = known(tasks, allow_nan=True)
    assert all(np.isfinite(a).all() for a in found.to_arrays().values())
    rows = tasks_of(1, seed=5)[0]
    rows[:, 3] = np.nan
    assert np.isfinite(found.place(rows).distance)
    assert found.place(np.full((3, 4), np.nan)).distance == 0.0


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("value", [0.0, 1e300, -1e308, 1e-300])
def test_columns_that_are_far_out_or_never_vary_leave_all_finite(value):
    tasks = tasks_of()
    for rows in tasks:
        rows[:, 0] = value
        rows[::2, 1] = value
    found = known(tasks)
    assert all(np.isfinite(a).all() for a in found.to_arrays().values())
    assert np.isfinite(found.place(tasks_of(1, seed=3)[0]).distance)


def test_a_place_is_a_share_of_the_training_tasks():
    found = known(tasks_of())
    rows = tasks_of(1, seed=7)[0][:10]
    place = found.place(rows)
    others = found.distances[1]
    assert place.percentile == 100 * np.mean(others < place.distance)
    assert place.farthest == others[-1]
    assert not place.is_far
    assert found.place(rows * 1e6).is_far
    assert found.place(rows * 1e300).percentile == 100.0


def test_left_out_tasks_are_rarely_far_and_other_columns_are():
    hits = []
    for seed in range(20):
        tasks = tasks_of(13, seed=seed)
        found = known(tasks[:12])
        hits.append([found.place(tasks[12][:15]).is_far, found.place(tasks[12][:15] * 50).is_far])
    false, true = np.mean(hits, axis=0)
    assert false <= 0.1
    assert true == 1.0


# --- the warning ----------------------------------------------------------------------------------
def test_a_task_of_the_family_is_near_and_one_in_other_units_is_far(quick, family):
    X, y, _, _ = new_task()
    detector = quick.meta_fit(family)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(detector).fit(X, y)
    with pytest.warns(FarTaskWarning, match="differ from those of every training task") as caught:
        clone(detector).fit(X * 100, y)
    assert caught[0].filename == __file__
    with pytest.warns(FarTaskWarning):
        clone(detector).fit(X * 100, y).partial_fit(X[:3] * 100)


@pytest.mark.parametrize("name", ONE_WIDTH)
def test_every_detector_of_one_width_knows_its_training_tasks(name, task):
    X, y, _, _ = task
    detector = make_detector(name)
    assert detector.pretrained.arrays["tasks_centre"].shape == (5,)
    with pytest.warns(FarTaskWarning):
        detector.fit(X * 1000, y)


def test_detectors_of_any_width_and_without_tasks_say_nothing(task):
    X, y, _, _ = task
    for detector in (make_detector("any width"), InContextDetector(), ProtoNetDetector()):
        with warnings.catch_warnings():
            warnings.simplefilter("error", FarTaskWarning)
            detector.fit(X * 1000, y)
        assert detector._place_among_tasks() is None


def test_a_state_without_these_arrays_is_read_and_says_nothing(quick, family, task, tmp_path):
    X, y, _, _ = task
    state = quick.meta_fit(family).pretrained
    former = {n: a for n, a in state.arrays.items() if not n.startswith("tasks_")}
    assert len(former) == len(state.arrays) - 5
    old = MetaState(
        state.detector, state.architecture, former, state.n_features_in, None, state.info
    )
    old.save(tmp_path / "old.safetensors")
    scores = clone(quick).fit(X, y).score_samples(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = ProtoNetDetector(pretrained=tmp_path / "old.safetensors").fit(X, y)
        ProtoNetDetector(pretrained=old).fit(X * 1000, y)
    np.testing.assert_array_equal(loaded.score_samples(X), scores)


def test_the_arrays_survive_saving(quick, family, task, tmp_path):
    X, y, _, _ = task
    quick.meta_fit(family).pretrained.save(tmp_path / "new.safetensors")
    loaded = ProtoNetDetector(pretrained=tmp_path / "new.safetensors")
    assert loaded.fit(X, y)._place_among_tasks() == quick.fit(X, y)._place_among_tasks()


def test_four_tasks_are_too_few_to_tell(quick):
    state = quick.meta_fit(make_family(4)).pretrained
    assert not any(name.startswith("tasks_") for name in state.arrays)
