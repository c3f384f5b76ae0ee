"""Descriptions of windows by transformers of one's own, and huge values."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, OutlierMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

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


class Memory(TransformerMixin, BaseEstimator):
    """Describe a window by its distance to the nearest one that ``fit`` saw."""

    def fit(self, X, y=None):
        self.seen_ = X.reshape(len(X), -1)
        return self

    def transform(self, X):
        return cdist(X.reshape(len(X), -1), self.seen_).min(axis=1, keepdims=True)


class First(OutlierMixin, BaseEstimator):
    """Score by the first column."""

    def fit(self, X, y=None):
        return self

    def score_samples(self, X):
        return -X[:, 0]


def test_a_transformer_does_not_see_the_windows_that_are_left_out():
    steps = np.random.default_rng(1).normal(size=(600, 2))
    detector = WindowedDetector(First(), window=8, features=Memory(), alpha=0.2).fit(steps[:150])
    assert detector._windows.rows.max() == 0.0  # all of them are known to features_
    assert (detector.predict(steps[158:]) == -1).mean() < 0.3
    assert (detector.predict(steps[:150]) == -1).mean() < 0.3


def test_a_transformer_of_more_columns_than_windows_says_what_it_takes():
    wide = make_pipeline(Own(), PCA(12))
    with pytest.raises(ValueError, match=r"is fitted anew to \d+ windows, .* more normal steps"):
        windowed(wide).fit(X[:20])
    assert windowed(wide).fit(X).detector_.n_features_in_ == 12


def test_a_transformer_that_learns_nothing_is_fitted_once():
    told = []

    def flat(windows):
        told.append(len(windows))
        return windows.reshape(len(windows), -1)

    windowed(FunctionTransformer(flat)).fit(X)
    assert told == [150]


def test_contributions_need_a_detector_that_gives_some():
    detector = WindowedDetector(IsolationForest(random_state=0), window=8).fit(X[:100])
    with pytest.raises(TypeError, match="IsolationForest has no feature_scores"):
        detector.feature_scores(X)
