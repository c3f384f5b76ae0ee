"""The checks that scikit-learn has for every estimator."""

import pytest
from families import (
    ANY_WIDTH,
    brief_process,
    make_detector,
    self_taught,
)
from sklearn.utils.estimator_checks import parametrize_with_checks

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")


# After validation kinds and learners differ: tests of each of them are those of their methods
CHECKED = [*map(make_detector, ANY_WIDTH), self_taught("classifier"), brief_process("tnp")]


def expected_failures(estimator):
    """Weights are no repetitions: a row that occurs twice lowers its own leave-one-out score."""
    reason = "weights say how far labels are trusted; repeated rows change leave-one-out scores"
    return {"check_sample_weight_equivalence_on_dense_data": reason}


@pytest.mark.filterwarnings("ignore::sklearn_fsad.exceptions.LabelConventionWarning")
@parametrize_with_checks(CHECKED, expected_failed_checks=expected_failures)
def test_sklearn_check_passes(estimator, check):
    check(estimator)
