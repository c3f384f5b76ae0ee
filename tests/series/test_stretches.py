"""Flagged steps are joined to stretches, named by their times, the most anomalous first."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.series import WindowedDetector, stretches

WINDOW, START = 8, 300
MINUTES = pd.date_range("2026-03-01 06:00", periods=500, freq="min")


def made_series():
    """500 steps of two channels, with a large and a small anomaly in the second one."""
    X = np.random.default_rng(0).normal(size=(500, 2))
    X[350:360, 1] += 2.5
    X[400:420, 1] += 5.0
    return X


@pytest.fixture(scope="module")
def detector():
    return WindowedDetector(ProtoNetDetector(), window=WINDOW).fit(made_series()[:START])


@pytest.fixture(scope="module")
def later():
    return made_series()[START:]


def test_stretches_are_ranked_by_the_score_of_their_peak(detector, later):
    found, scores = stretches(detector, later), -detector.decision_function(later)
    assert (np.diff(found["anomaly_score"]) <= 0.0).all()
    worst = found.iloc[0]
    assert worst["start"] <= 101
    assert 119 <= worst["end"] <= 119 + 2 * WINDOW
    assert worst["peak"] == scores.argmax()
    assert worst["n_steps"] == worst["end"] - worst["start"] + 1
    np.testing.assert_array_equal(found["anomaly_score"], scores[found["peak"]])
    np.testing.assert_array_equal(found["p_value"], detector.p_values(later)[found["peak"]])


def test_every_flagged_step_is_in_one_stretch_and_every_stretch_begins_and_ends_flagged(
    detector, later
):
    found = stretches(detector, later)
    flagged = np.flatnonzero(detector.predict(later) == -1)
    inside = [((found["start"] <= step) & (found["end"] >= step)).sum() for step in flagged]
    assert set(inside) == {1}
    assert set(found["start"]) | set(found["end"]) <= set(flagged)


def test_join_says_how_far_apart_the_steps_of_a_stretch_may_be(detector, later):
    flagged = np.flatnonzero(detector.predict(later) == -1)
    for join in (1, 3, WINDOW):
        expected = 1 + (np.diff(flagged) > join).sum()
        assert len(stretches(detector, later, join=join)) == expected
    assert stretches(detector, later).equals(stretches(detector, later, join=WINDOW))


def test_n_lists_the_first_ones(detector, later):
    assert stretches(detector, later, n=2).equals(stretches(detector, later).iloc[:2])


def test_channels_to_blame_are_those_of_the_feature_scores_at_the_peak(detector, later):
    found = stretches(detector, later)
    blamed = detector.feature_scores(later)[found["peak"]].argsort(axis=1)[:, ::-1]
    assert found["column_1"].tolist() == [f"x{j}" for j in blamed[:, 0]]
    assert found["column_2"].tolist() == [f"x{j}" for j in blamed[:, 1]]
    assert found["column_1"][0] == "x1"


def test_stretches_are_named_by_the_index_and_the_columns_of_a_frame():
    frame = pd.DataFrame(made_series(), columns=["heat", "noise"], index=MINUTES)
    detector = WindowedDetector(ProtoNetDetector(), window=WINDOW).fit(frame[:START])
    worst = stretches(detector, frame[START:]).iloc[0]
    assert MINUTES[400] <= worst["start"] <= worst["peak"] <= worst["end"]
    assert worst["column_1"] == "noise"


@pytest.mark.parametrize(
    "of", [list, np.asarray, lambda times: times.astype(str).tolist(), lambda times: times]
)
def test_stretches_are_named_by_given_times(of, detector, later):
    found = stretches(detector, later, times=of(MINUTES[START:]))
    plain = stretches(detector, later)
    assert found["start"].tolist() == MINUTES[START:][plain["start"]].tolist()


def test_stretches_are_named_by_durations_and_numbers(detector, later):
    plain = stretches(detector, later)
    durations = stretches(detector, later, times=MINUTES[START:] - MINUTES[START])
    assert (durations["peak"] / pd.Timedelta("1min")).tolist() == plain["peak"].tolist()
    numbers = stretches(detector, later, times=np.arange(200) * 0.5)
    assert numbers["end"].tolist() == (plain["end"] * 0.5).tolist()


def test_no_stretch_reaches_across_a_gap(detector, later):
    times = np.arange(200)
    times[110:] += 1000
    found = stretches(detector, later, times=times)
    assert not ((found["start"] < 110) & (found["end"] >= 110)).any()
    assert 1110 in found["start"].tolist()


def test_a_stride_and_windows_around_the_step_are_read_too(later):
    for how in ({"stride": 3}, {"causal": False}):
        detector = WindowedDetector(ProtoNetDetector(), window=WINDOW, **how)
        worst = stretches(detector.fit(made_series()[:START]), later).iloc[0]
        expected = detector.feature_scores(later)[worst["peak"]].argmax()
        assert worst["column_1"] == f"x{expected}"


def test_without_reasons_the_columns_are_left_out(later):
    inner = LocalOutlierFactor(novelty=True)
    found = stretches(WindowedDetector(inner, window=WINDOW).fit(made_series()[:START]), later)
    assert len(found)
    assert not {"column_1", "column_2"} & set(found)


def test_one_channel_has_no_second_one_to_blame(later):
    detector = WindowedDetector(ProtoNetDetector(), window=WINDOW).fit(made_series()[:START, 1:])
    found = stretches(detector, later[:, 1:])
    assert "column_1" in found
    assert "column_2" not in found


def test_a_series_without_flagged_steps_has_no_stretches():
    normal = made_series()[:START]
    detector = WindowedDetector(ProtoNetDetector(), window=WINDOW).fit(normal)
    detector.set_threshold(lambda *_: 1e6)
    found = stretches(detector, normal)
    assert len(found) == 0
    assert {"start", "p_value", "column_2"} <= set(found)


@pytest.mark.parametrize("value", [0, -1, 1.5, True])
@pytest.mark.parametrize("name", ["n", "join"])
def test_counts_are_positive_integers(name, value, detector, later):
    with pytest.raises(ValueError, match=f"{name}={value} must be a positive integer"):
        stretches(detector, later, **{name: value})


def test_what_is_no_windowed_detector_is_refused(later):
    pipe = make_pipeline(StandardScaler(), WindowedDetector(ProtoNetDetector()))
    for other in (ProtoNetDetector(), pipe):
        with pytest.raises(TypeError, match=r"WindowedDetector, got .* its last step"):
            stretches(other, later)
    with pytest.raises(NotFittedError):
        stretches(WindowedDetector(), later)


def test_a_missing_pandas_is_told_with_its_remedy(detector, later, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"requires pandas.*sklearn-fsad\[data\]"):
        stretches(detector, later)
