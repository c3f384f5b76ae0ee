"""Series of few steps or few normal ones, and what reaches the inner detector."""

import warnings

import numpy as np
import pytest
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.exceptions import LabelConventionWarning
from sklearn_fsad.series import WindowedDetector

pytestmark = pytest.mark.filterwarnings("ignore:A rate of false alarms")
X = np.random.default_rng(0).normal(size=(120, 2))


def windowed(**parameters):
    return WindowedDetector(ProtoNetDetector(), **{"window": 8, **parameters})


@pytest.mark.parametrize("window", [8, "auto"])
@pytest.mark.parametrize("n", [3, 5, 6, 9, 10, 11])
def test_three_steps_are_enough(n, window):
    assert np.isfinite(windowed(window=window).fit(X[:n]).score_samples(X)).all()


@pytest.mark.parametrize(
    ("n", "stride", "told"),
    [
        (2, 1, r"2 steps hold 2 window\(s\) .* needs 3: give more normal steps\.$"),
        (20, 15, r"20 steps hold 2 window\(s\) .* or a smaller stride than 15"),
    ],
)
def test_fewer_than_three_windows_are_refused(n, stride, told):
    with pytest.raises(ValueError, match=told):
        windowed(stride=stride).fit(X[:n])


def test_an_anomaly_between_two_windows_of_a_stride_is_not_lost():
    y = np.isin(np.arange(100), [51, 52, 53]).astype(int)
    detector = windowed(stride=10).fit(X[:100], y)
    assert detector._windows.steps[detector._windows.groups > 0].tolist() == [53]


def test_a_warning_about_many_anomalies_names_the_labels_that_were_given():
    y = np.r_[np.zeros(20), np.ones(80)]
    with pytest.warns(LabelConventionWarning, match="80 of 100 rows as anomalies: 1 is read"):
        windowed().fit(X[:100], y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", LabelConventionWarning)
        windowed(outlier_label=1).fit(X[:100], y)


def test_steps_that_are_all_anomalies_can_be_added():
    y = np.r_[np.ones(100), -np.ones(20)]
    added = windowed().fit(X[:100]).partial_fit(X[100:], y[100:])
    at_once = windowed().fit(X, y)
    np.testing.assert_array_equal(added.score_samples(X), at_once.score_samples(X))


def test_past_series_without_anomalies_need_no_convention_of_labels():
    with warnings.catch_warnings():
        warnings.simplefilter("error", LabelConventionWarning)
        with pytest.warns(UserWarning, match="nothing to learn from"):
            windowed().meta_fit([(X[:60], np.zeros(60)), (X[60:], np.zeros(60))])


def test_wrong_parameters_of_the_inner_detector_are_refused():
    with pytest.raises(InvalidParameterError, match="'max_epochs' parameter of ProtoNetDetector"):
        WindowedDetector(ProtoNetDetector(max_epochs=-1)).fit(X)


def test_a_training_window_is_found_whatever_the_sign_of_its_zeros():
    zeros, negative = X[:100].copy(), X[:100].copy()
    zeros[30], negative[30] = 0.0, -0.0
    detector = windowed(features="raw").fit(zeros)
    np.testing.assert_array_equal(detector.score_samples(negative), detector.score_samples(zeros))
