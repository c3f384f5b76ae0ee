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


@pytest.mark.filterwarnings("ignore::sklearn_fsad.exceptions.LabelConventionWarning")
@parametrize_with_checks(CHECKED)
def test_sklearn_check_passes(estimator, check):
    check(estimator)
