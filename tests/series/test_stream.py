"""Live series."""

import time

import numpy as np
import pytest

from .test_windowed_detector import series, windowed

pytestmark = pytest.mark.filterwarnings("ignore:A rate of false alarms")


@pytest.mark.parametrize(
    "parameters", [{}, {"stride": 3}, {"features": "raw"}, {"features": "mean"}]
)
@pytest.mark.parametrize("n_before", [0, 5, 40])
def test_live_scores_equal_those_of_the_whole_series_bit_for_bit(parameters, n_before):
    X, _ = series()
    X[30:33, 1] = np.nan
    detector = windowed(**parameters).fit(X[:150])
    stream = detector.stream(X[:n_before] if n_before else None)
    live = list(stream.scores(X[n_before : n_before + 60]))
    np.testing.assert_array_equal(live, detector.score_samples(X[:100])[n_before : n_before + 60])


def test_a_step_is_labelled_by_the_threshold_of_the_detector():
    X, _ = series()
    detector = windowed().fit(X[:150])
    stream = detector.stream(X[:200])
    labels = [stream.predict_next(row) for row in X[200:230]]
    np.testing.assert_array_equal(labels, detector.predict(X)[200:230])


def test_a_step_takes_less_than_two_milliseconds():
    X, _ = series(channels=8)
    stream = windowed(window=16).fit(X[:200]).stream(X[:200])
    stream.score_next(X[200])
    start = time.process_time()
    for row in X[201:301]:
        stream.score_next(row)
    assert (time.process_time() - start) / 100 < 2e-3


def test_steps_that_cannot_be_read_are_refused_and_detectors_that_look_ahead_too():
    X, _ = series()
    stream = windowed().fit(X[:150]).stream()
    with pytest.raises(ValueError, match="2 channels, got 3 values"):
        stream.score_next([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="infinity in channel 1"):
        stream.score_next([1.0, np.inf])
    with pytest.raises(ValueError, match="set causal=True"):
        windowed(causal=False).fit(X[:150]).stream()
