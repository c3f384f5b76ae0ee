"""Checks of estimators by scikit-learn; those that rows with an order cannot pass are named."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.series import WindowedDetector

CANNOT_HOLD = {
    "check_methods_sample_order_invariance": "a step is judged by the steps before it",
    "check_methods_subset_invariance": "a part of a series begins with short windows",
}


def cannot_hold(estimator):
    return CANNOT_HOLD


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [WindowedDetector(ProtoNetDetector(), window=2)], expected_failed_checks=cannot_hold
)
def test_it_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)
