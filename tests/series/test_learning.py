"""``meta_fit`` on past series: windows, features and groups."""

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.series import WindowedDetector
from sklearn_fsad.series._learning import chosen, past_series, tasks_of
from sklearn_fsad.tasks import TaskSet

from .test_windowed_detector import series

pytestmark = pytest.mark.filterwarnings(
    "ignore:A rate of false alarms", "ignore:The normal rows of this task differ"
)
QUICK = {"n_normal": (5, 20), "n_anomalous": (0, 3), "episodes_per_epoch": 8, "max_epochs": 1}


@pytest.fixture(scope="module")
def past():
    return {f"pump{i}": series(seed=i) for i in range(6)}


@pytest.fixture(scope="module")
def learned(past):
    return WindowedDetector(ProtoNetDetector(random_state=0, **QUICK)).meta_fit(past)


def test_what_past_series_chose_is_kept_by_clones_and_used_by_fit(learned):
    found = learned.detector.pretrained.info["windows"]
    assert found["features"] == "statistics"
    again = clone(learned).fit(series(seed=9)[0][:150])
    assert again.window_ == found["window"]
    assert again.detector_.state_.n_features_in == 8


def test_a_meta_fitted_detector_ranks_the_steps_of_a_new_series(learned):
    X, y = series(seed=9)
    assert clone(learned).fit(X[:100]).score(X[120:], y[120:]) > 0.85


def test_all_forms_of_series_teach_the_same(past, learned):
    X = np.concatenate([X_t for X_t, _ in past.values()])
    y = np.concatenate([y_t for _, y_t in past.values()])
    groups = np.repeat(list(past), 400)
    flat = WindowedDetector(ProtoNetDetector(random_state=0, **QUICK))
    flat.meta_fit(X, y, groups=groups, times=np.tile(np.arange(400), 6))
    for name, value in learned.detector.pretrained.arrays.items():
        np.testing.assert_array_equal(flat.detector.pretrained.arrays[name], value)


def test_levels_alone_are_chosen_where_roughness_is_noise():
    rng = np.random.default_rng(0)
    past = []
    for _ in range(8):
        X = rng.normal(size=(500, 3)) * np.exp(0.5 * rng.normal(size=(500, 1)))
        y = np.repeat([0, 1, 0], [300, 60, 140])
        X[y == 1] += 0.6
        past.append((X, y))
    found = chosen(
        past_series(past, None, None, None, "auto"), (8, 16), ("statistics", "mean"), True
    )
    assert found == (16, "mean")


def test_windows_are_half_a_window_apart_but_closer_in_a_series_that_would_be_lost():
    def n_normal(n, window=16):
        past = [(series(n=400, seed=i)[0][:n], np.repeat([0, 1], [n - 8, 8])) for i in range(2)]
        [task, _] = tasks_of(past_series(past, None, None, None, "auto"), window, "mean", True)
        return len(task.normals)

    assert n_normal(400) == (400 - 8 - 15) // 8
    assert n_normal(75) == 7
    assert n_normal(60) == 60 - 8 - 15  # would be 4
    assert n_normal(200, window=64) == (200 - 8 - 63) // 4  # would be 4


def test_series_without_anomalies_leave_the_usual_windows():
    past = [(series(seed=i)[0], np.zeros(400)) for i in range(3)]
    read = past_series(past, None, None, None, "auto")
    assert chosen(read, (8, 16, 32), ("statistics", "mean"), True) == (16, "statistics")


def test_errors_name_the_series(past):
    wrong = {**past, "odd": (np.zeros((5, 2)), [0] * 5)}
    times = {name: np.arange(400) for name in past} | {"odd": [0, 1, 2, 2, 3]}
    with pytest.raises(ValueError, match=r"Series 'odd': times must grow: row 3 has 2, after 2"):
        WindowedDetector(ProtoNetDetector(**QUICK)).meta_fit(wrong, times=times)
    with pytest.raises(ValueError, match="times of each of the 6 series"):
        WindowedDetector(ProtoNetDetector(**QUICK)).meta_fit(past, times={"pump0": [1]})


def test_groups_of_series_are_kept_so_that_they_are_held_out_together(past):
    names = list(past)
    given = TaskSet(list(past.values()), names=names, groups=["a", "a", "a", "b", "b", "b"])
    tasks = tasks_of(past_series(given, None, None, None, "auto"), 16, "mean", True)
    assert [task.group for task in tasks] == ["a", "a", "a", "b", "b", "b"]
    tasks = tasks_of(past_series(past, None, None, None, "auto"), 16, "mean", True)
    assert [task.group for task in tasks] == names
