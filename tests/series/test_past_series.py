"""Errors of ``meta_fit`` on past series, and of ``fit`` after it."""

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.series import WindowedDetector, WindowStatistics

pytestmark = [
    pytest.mark.filterwarnings("ignore:A rate of false alarms"),
    pytest.mark.filterwarnings("ignore:.*differ from those of every training task"),
]
X = np.random.default_rng(0).normal(size=(4, 80, 2))
Y = np.zeros((4, 80), dtype=int)
Y[:, 50:60] = 1
X[Y == 1] += 3.0
SERIES = list(zip(X, Y, strict=True))


def windowed(**parameters):
    return WindowedDetector(ProtoNetDetector(max_epochs=2), **{"window": 8, **parameters})


@pytest.fixture(scope="module")
def learned():
    return windowed(features="mean").meta_fit(SERIES)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ([range(80)] * 3, "each of the 4 series, got 3 entries"),
        ([range(80)] * 5, "each of the 4 series, got 5 entries"),
        ({"a": range(80), 1: range(80), 2: range(80), 3: range(80)}, "each of the 4 series"),
        ([range(80)] * 3 + [range(9)], "Series 3: times must hold one time for each of the 80"),
    ],
)
def test_times_of_each_series_are_needed(times, told):
    with pytest.raises(ValueError, match=told):
        windowed().meta_fit(SERIES, times=times)


def test_times_of_all_steps_must_be_as_many():
    with pytest.raises(ValueError, match="one time for each of the 320 rows, got 100"):
        windowed().meta_fit(
            X.reshape(-1, 2), Y.ravel(), groups=np.repeat(range(4), 80), times=range(100)
        )


def test_a_huge_value_is_named_by_series_and_channel():
    wrong = X[3].copy()
    wrong[7, 1] = 1e70
    with pytest.raises(ValueError, match=r"Series 3: X holds 1e\+70.*column 1, row 7"):
        windowed().meta_fit([*SERIES[:3], (wrong, Y[3])])


def test_windows_learned_from_are_those_of_auto(learned):
    again = clone(learned).set_params(window="auto", features="auto").fit(X[0][:50])
    assert again.window_ == 8
    np.testing.assert_array_equal(
        again.score_samples(X[1]), clone(learned).fit(X[0][:50]).score_samples(X[1])
    )


def test_other_features_than_those_learned_from_are_refused(learned):
    with pytest.raises(ValueError, match=r"features='raw' here, but .* features='mean'"):
        clone(learned).set_params(features="raw").fit(X[0])


@pytest.mark.parametrize("window", [16, 4])
def test_another_window_than_that_learned_from_is_refused(learned, window):
    other = clone(learned).set_params(window=window)
    with pytest.raises(ValueError, match=rf"window={window} here, but meta_fit .* window=8: leave"):
        other.fit(X[0])
    assert other.meta_fit(SERIES).fit(X[0][:50]).window_ == window


def test_a_transformer_is_refused_where_another_description_was_learned_from(learned):
    mean = WindowStatistics(("level",))
    with pytest.raises(ValueError, match=r"features='WindowStatistics' here, .* features='mean'"):
        clone(learned).set_params(features=mean).fit(X[0])
    by_own = windowed(features=mean).meta_fit(SERIES)
    for features in ("mean", "auto"):
        with pytest.raises(ValueError, match=f"features='{features}' here, .*='WindowStatistics'"):
            clone(by_own).set_params(features=features).fit(X[0])
    assert by_own.fit(X[0][:50]).features_.statistics == ("level",)


def test_all_values_learned_from_are_those_of_auto():
    learned = windowed(features="raw", window=4).meta_fit(SERIES).set_params(features="auto")
    assert learned.fit(X[0][:50]).detector_.n_features_in_ == 8


def test_channels_in_another_order_are_refused():
    pd = pytest.importorskip("pandas")
    frames = [(pd.DataFrame(rows, columns=["a", "b"]), y) for rows, y in SERIES]
    with pytest.raises(ValueError, match=r"Series 3 has the channels \['b', 'a'\], series 0 has"):
        windowed().meta_fit([*frames[:3], (frames[3][0][["b", "a"]], Y[3])])
    learned = windowed().meta_fit(frames)
    with pytest.raises(ValueError, match=r"X has the channels \['b', 'a'\], but meta_fit had"):
        learned.fit(frames[0][0][["b", "a"]])
    assert learned.fit(frames[0][0][:50]).feature_names_in_.tolist() == ["a", "b"]


def test_a_message_about_other_columns_speaks_of_channels(learned):
    with pytest.raises(ValueError, match="Windows of 1 channels are described by 1 columns here"):
        clone(learned).fit(X[0][:, :1])
    by_rows = ProtoNetDetector(max_epochs=2).meta_fit(SERIES)
    with pytest.raises(ValueError, match="was meta-fitted on 2: give as many channels"):
        WindowedDetector(by_rows, window=8).fit(X[0])
