"""Areas under ROC curves by comparison of pairs equal those by ranks."""

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from sklearn_fsad._stats.ranking import column_aucs


@pytest.mark.parametrize("m", [9, 40, 300])
def test_aucs_are_those_of_scikit_learn_with_ties_as_halves(m):
    rng = np.random.default_rng(m)
    scores, anomalous = rng.integers(8, size=(m, 6)) * 1.0, np.arange(m) < m // 3
    scores[0, 1], scores[-1, 1] = np.inf, np.inf
    expected = [roc_auc_score(anomalous, rankdata(column)) for column in scores.T]
    np.testing.assert_allclose(column_aucs(scores, anomalous), expected, rtol=1e-14)


@pytest.mark.parametrize("m", [9, 300])
def test_a_missing_score_gives_no_auc(m):
    scores = np.random.default_rng(0).normal(size=(m, 3))
    scores[2, 1] = np.nan
    aucs = column_aucs(scores, np.arange(m) < m // 3)
    np.testing.assert_array_equal(np.isnan(aucs), [False, True, False])
