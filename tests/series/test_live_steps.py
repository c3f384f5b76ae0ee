"""Live series: steps that cannot be read, gaps in the history, detectors that are fitted again."""

import numpy as np
import pytest
from sklearn.neighbors import LocalOutlierFactor

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.series import WindowedDetector

pytestmark = pytest.mark.filterwarnings("ignore:A rate of false alarms")
X = np.random.default_rng(0).normal(size=(200, 3))


def fitted(series=X, **parameters):
    return WindowedDetector(ProtoNetDetector(), **{"window": 8, **parameters}).fit(series[:120])


def test_fitting_again_does_not_change_a_stream_that_was_begun():
    detector = fitted()
    stream, expected = detector.stream(), detector.score_samples(X)
    detector.fit(3.0 * X[50:])
    np.testing.assert_array_equal(list(stream.scores(X)), expected)


def test_a_refused_step_leaves_the_stream_as_it_was():
    detector = WindowedDetector(LocalOutlierFactor(novelty=True), window=8).fit(X[:120])
    stream = detector.stream(X[:150])
    with pytest.raises(ValueError, match="NaN, which the detector does not accept, in channel 1"):
        stream.score_next([0.0, np.nan, 0.0])
    for refused in (np.array(["2024", "2025", "2026"], dtype="M8[Y]"), [1j, 0, 0], ["a", 0, 0]):
        with pytest.raises(ValueError, match=r"X holds|is a word"):
            stream.score_next(refused)
    assert stream.score_next(X[150]) == detector.score_samples(X[:151])[-1]


def test_a_step_whose_channels_are_in_another_order_is_refused():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    stream = fitted(frame).stream()
    with pytest.raises(ValueError, match=r"channels \['b', 'a', 'c'\], but fit had \['a', 'b'"):
        stream.score_next(frame.iloc[0][["b", "a", "c"]])
    assert stream.score_next(frame.iloc[0]) == fitted(frame).score_samples(frame[:1])[0]


@pytest.mark.parametrize("stride", [1, 3])
def test_windows_do_not_reach_across_a_gap_in_the_history(stride):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, index=np.r_[0:145, 500:555])
    detector = fitted(frame, stride=stride)
    live = list(detector.stream(frame[:149]).scores(X[149:]))
    np.testing.assert_array_equal(live, detector.score_samples(frame)[149:])


def test_an_empty_history_is_none():
    detector = fitted()
    assert detector.stream(X[:0]).score_next(X[0]) == detector.score_samples(X[:1])[0]


def test_a_stream_looks_ahead_or_not_as_the_detector_was_fitted():
    detector = fitted(causal=False).set_params(causal=True)
    with pytest.raises(ValueError, match="no steps to come"):
        detector.stream()
