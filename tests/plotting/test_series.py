"""The picture of a series: channels above its score, labels shaded, flagged steps marked."""

import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib")
matplotlib.use("agg")

import matplotlib.pyplot as plt  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402
from sklearn.frozen import FrozenEstimator  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.neighbors import LocalOutlierFactor  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from sklearn_fsad import ProtoNetDetector, WindowedDetector  # noqa: E402
from sklearn_fsad.plotting import SeriesDisplay  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:A rate of false alarms")
START, N = 200, 300
MINUTES = pd.date_range("2026-03-01 06:00", periods=N, freq="min")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def made_series(n_channels=2):
    """300 steps; the last channel is anomalous at 240 to 259."""
    X = np.random.default_rng(0).normal(size=(N, n_channels))
    X[240:260, -1] += 4.0
    y = np.zeros(N)
    y[240:260] = 1
    return X, y


def windowed(X, detector=None, **how):
    return WindowedDetector(detector or ProtoNetDetector(), window=8, alpha=0.1, **how).fit(
        X[:START]
    )


def labels_of(display):
    return [ax.get_ylabel() for ax in display.axes_]


def spans_of(ax):
    return [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]


def test_channels_stand_above_the_score_with_the_threshold():
    X, y = made_series()
    detector = windowed(X)
    display = SeriesDisplay.from_estimator(detector, X, y)
    assert labels_of(display) == ["x0", "x1", "anomaly score"]
    assert display.ax_ is display.axes_[-1]
    assert display.ax_.figure is display.figure_
    np.testing.assert_array_equal(display.axes_[1].lines[0].get_ydata(), X[:, 1])
    line, threshold, flagged = display.ax_.lines
    np.testing.assert_array_equal(line.get_ydata(), -detector.score_samples(X))
    assert threshold.get_ydata()[0] == -detector.offset_
    np.testing.assert_array_equal(flagged.get_xdata(), np.flatnonzero(detector.predict(X) == -1))
    assert display.axes_[0].get_title() == "WindowedDetector"


def test_labelled_stretches_are_shaded_in_every_panel():
    X, y = made_series()
    y[10] = 1
    display = SeriesDisplay.from_estimator(windowed(X), X, y)
    for ax in display.axes_:
        assert spans_of(ax) == [(9.5, 10.5), (239.5, 259.5)]
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend.count("labelled anomalies") == 1
    without = SeriesDisplay.from_estimator(windowed(X), X)
    assert spans_of(without.ax_) == []


def test_labels_are_read_as_the_detector_was_told():
    X, y = made_series()
    words = np.where(y == 1, "fault", "fine")
    detector = windowed(X, outlier_label="fault")
    display = SeriesDisplay.from_estimator(detector, X, words, outlier_label="fault")
    np.testing.assert_array_equal(display.y, y)


def test_of_many_channels_those_that_add_most_to_the_worst_scores_are_shown():
    X, _ = made_series(n_channels=9)
    display = SeriesDisplay.from_estimator(windowed(X), X)
    assert len(display.axes_) == 5
    assert labels_of(display)[3] == "x8"
    cannot_tell = windowed(X, LocalOutlierFactor(novelty=True))
    assert labels_of(SeriesDisplay.from_estimator(cannot_tell, X))[:4] == ["x0", "x1", "x2", "x3"]


@pytest.mark.parametrize("channels", [["heat", "noise"], [2, 0], ["heat", 0]])
def test_channels_are_chosen_by_name_or_position(channels):
    X, _ = made_series(n_channels=3)
    frame = pd.DataFrame(X, columns=["noise", "load", "heat"])
    display = SeriesDisplay.from_estimator(windowed(frame), frame, channels=channels)
    assert labels_of(display) == ["heat", "noise", "anomaly score"]
    np.testing.assert_array_equal(display.X, X[:, [2, 0]])


@pytest.mark.parametrize("channel", ["heat", 7, -1])
def test_a_channel_that_is_not_there_is_refused(channel):
    X, _ = made_series()
    with pytest.raises(ValueError, match=f"channels holds {channel!r}.*such as 'x0' or 0"):
        SeriesDisplay.from_estimator(windowed(X), X, channels=[channel])


@pytest.mark.parametrize(
    "of", [lambda t: t, lambda t: t.astype(str).tolist(), lambda t: t.tz_localize("Asia/Tokyo")]
)
def test_time_stamps_stand_on_the_axis_and_lines_break_at_gaps(of):
    X, y = made_series()
    times = MINUTES[:220].append(MINUTES[220:] + pd.Timedelta("1h"))
    display = SeriesDisplay.from_estimator(windowed(X), X, y, times=of(times))
    assert display.times.dtype.kind == "M"
    assert display.ax_.get_xlabel() == "time"
    assert [len(line.get_xdata()) for line in display.axes_[0].lines] == [220, 80]
    display.figure_.canvas.draw()


def test_the_index_of_a_frame_is_its_times():
    X, y = made_series()
    frame = pd.DataFrame(X, index=MINUTES, columns=["a", "b"])
    display = SeriesDisplay.from_estimator(windowed(frame), frame, y)
    np.testing.assert_array_equal(display.times, MINUTES.to_numpy())
    numbered = frame.set_index(np.arange(N) * 10)
    again = SeriesDisplay.from_estimator(windowed(numbered), numbered, y)
    assert spans_of(again.ax_) == [(2395.0, 2595.0)]


def test_durations_are_drawn_in_seconds():
    X, y = made_series()
    display = SeriesDisplay.from_estimator(windowed(X), X, y, times=MINUTES - MINUTES[0])
    np.testing.assert_array_equal(display.times, np.arange(N) * 60.0)


def test_given_axes_are_used_a_single_one_for_the_score():
    X, y = made_series()
    _, axes = plt.subplots(3, 1)
    display = SeriesDisplay.from_estimator(windowed(X), X, y, ax=axes[0])
    assert display.axes_ == [axes[0]]
    assert display.ax_.get_ylabel() == "anomaly score"
    assert display.plot(axes, name="again", color="C3") is display
    assert display.axes_ == list(axes)
    assert axes[0].get_title() == "again"
    assert axes[1].lines[0].get_color() == "C3"


def test_detectors_of_rows_are_drawn_too():
    X, y = made_series()
    detector = ProtoNetDetector().fit(X[:START])
    display = SeriesDisplay.from_estimator(detector, X, y, times=np.arange(N) * 2.0)
    np.testing.assert_array_equal(display.scores, -detector.score_samples(X))
    classifier = LogisticRegression().fit(X, y)
    chances = SeriesDisplay.from_estimator(classifier, X, y)
    np.testing.assert_array_equal(chances.scores > chances.threshold, classifier.predict(X) == 1)


def test_a_detector_at_the_end_of_a_pipeline_is_drawn_in_the_units_of_the_series():
    X, y = made_series(n_channels=6)
    pipe = make_pipeline(
        StandardScaler(), PCA(5), WindowedDetector(ProtoNetDetector(), window=8, alpha=0.1)
    )
    display = SeriesDisplay.from_estimator(pipe.fit(X[:START]), X, y)
    np.testing.assert_array_equal(display.X, X[:, :4])
    np.testing.assert_array_equal(display.scores, -pipe.score_samples(X))
    frozen = FrozenEstimator(windowed(X))
    assert labels_of(SeriesDisplay.from_estimator(frozen, X, y))[3] == "x5"


def test_known_scores_can_be_drawn_without_a_threshold():
    display = SeriesDisplay.from_predictions(np.zeros((4, 1)), [0.0, 1.0, 0.5, 2.0])
    assert len(display.ax_.lines) == 1
    assert display.ax_.get_legend() is None


@pytest.mark.parametrize("of", [pl.DataFrame, lambda d: pl.DataFrame(d).to_arrow()])
def test_frames_of_other_libraries_are_drawn_with_their_names(of):
    X, y = made_series()
    frame = of(dict(zip(["noise", "heat"], X.T, strict=True)))
    display = SeriesDisplay.from_predictions(frame, X[:, 0], y, times=pl.Series(MINUTES))
    assert labels_of(display) == ["noise", "heat", "anomaly score"]
    np.testing.assert_array_equal(display.X, X)
    np.testing.assert_array_equal(display.times, MINUTES.to_numpy())


def test_a_channel_may_have_gaps():
    X, y = made_series()
    X[50:60, 0] = np.nan
    assert SeriesDisplay.from_estimator(windowed(X), X, y).ax_ is not None


@pytest.mark.parametrize(
    ("scores", "how", "message"),
    [
        ([0.0, np.nan], {}, "scores must be finite"),
        ([0.0], {}, "inconsistent numbers of samples"),
        ([0.0, 1.0], {"threshold": np.nan}, "threshold=nan must be a number"),
        ([0.0, 1.0], {"times": [1, 1]}, "times must grow"),
    ],
)
def test_what_cannot_be_drawn_is_refused(scores, how, message):
    with pytest.raises(ValueError, match=message):
        SeriesDisplay.from_predictions(np.zeros((2, 1)), scores, **how)


def test_a_missing_matplotlib_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"SeriesDisplay.*sklearn-fsad\[plot\]"):
        SeriesDisplay.from_predictions(np.zeros((2, 1)), [0.0, 1.0])
