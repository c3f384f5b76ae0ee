"""Descriptions of windows by transformers of one's own, and huge values."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import IsolationForest

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.series import WindowedDetector

pytestmark = pytest.mark.filterwarnings("ignore:A rate of false alarms")
X = np.random.default_rng(0).normal(size=(150, 2))

MADE = {
    "sparse": csr_matrix,
    "a list": np.ndarray.tolist,
    "single": np.float32,
    "one dimension": lambda rows: rows[:, 0],
    "a row less": lambda rows: rows[1:],
    "infinite": lambda rows: np.where(rows == rows.max(), np.inf, rows),
}


class Own(TransformerMixin, BaseEstimator):
    """Return all values of a window, in some container."""

    def __init__(self, kind=None):
        self.kind = kind

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        rows = X.reshape(len(X), -1)
        return rows if self.kind is None else MADE[self.kind](rows)


def windowed(features):
    return WindowedDetector(ProtoNetDetector(), window=8, features=features)


@pytest.mark.parametrize("kind", ["sparse", "a list", "single"])
def test_rows_in_any_container_are_read(kind):
    own = windowed(Own(kind)).fit(X[:100]).score_samples(X)
    np.testing.assert_allclose(own, windowed(Own()).fit(X[:100]).score_samples(X), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("one dimension", r"\(100, 8, 2\) into rows of shape \(100, d\).*gave shape \(100,\)"),
        ("a row less", r"transform of Own gave shape \(99, 16\)"),
        ("infinite", r"transform of Own gave infinity in column \d+"),
    ],
)
def test_what_is_no_row_for_each_window_is_refused(kind, told):
    with pytest.raises(ValueError, match=told):
        windowed(Own(kind)).fit(X[:100])


@pytest.mark.parametrize("features", ["statistics", "mean", "raw"])
@pytest.mark.parametrize("value", [1e61, 1.7e308])
def test_huge_values_are_scored_as_anomalies(features, value):
    detector = windowed(features).fit(X[:100])
    wrong = X.copy()
    wrong[120:122] = value
    scores = detector.score_samples(wrong)
    assert np.isfinite(scores).all()
    assert scores[120] < detector.score_samples(X[100:]).min()


def test_contributions_need_a_detector_that_gives_some():
    detector = WindowedDetector(IsolationForest(random_state=0), window=8).fit(X[:100])
    with pytest.raises(TypeError, match="IsolationForest has no feature_scores"):
        detector.feature_scores(X)
