"""Detectors that use no labels are fitted to normal windows alone."""

import numpy as np
import pytest
from families import BARELY
from pyod.models.knn import KNN
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from sklearn_fsad import ProtoNetDetector, PyODDetector
from sklearn_fsad.series import WindowedDetector

pytestmark = pytest.mark.filterwarnings("ignore:A rate of false alarms")
X = np.random.default_rng(0).normal(size=(220, 1))
Y = np.isin(np.arange(220), [*range(100, 124), *range(170, 194)]).astype(int)
X[Y == 1] += 4.0


class Spy(OutlierMixin, BaseEstimator):
    """Keep the rows and labels of each fit."""

    calls = ()

    def fit(self, X, y=None):
        Spy.calls += ((X, y),)
        self.fitted_ = True
        return self

    def score_samples(self, X):
        return -np.abs(X).max(axis=1)


@pytest.fixture(autouse=True)
def _no_calls():
    Spy.calls = ()


class LabelledSpy(Spy):
    """A detector of windows that uses labels, and says so."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def windowed(detector):
    return WindowedDetector(detector, window=8, features="mean")


def test_a_detector_without_labels_sees_no_labelled_anomaly():
    windowed(make_pipeline(StandardScaler(), Spy())).fit(X, Y)
    windowed(Spy()).fit(X, Y)
    assert all(y is None for _, y in Spy.calls)
    assert max(len(rows) for rows, _ in Spy.calls) == 220 - 7 - 2 * (24 + 7)
    assert max(rows[:, 0].max() for rows, _ in Spy.calls[-5:]) < 2.0


def test_a_detector_with_labels_sees_them():
    windowed(LabelledSpy()).fit(X, Y)
    rows, y = Spy.calls[0]
    assert (y == -1).sum() == 6  # three windows of each stretch share no step
    assert rows[y == -1].min() > rows[y == 1].max()


@pytest.mark.parametrize(
    "detector",
    [
        IsolationForest(random_state=0),
        LocalOutlierFactor(novelty=True),
        OneClassSVM(),
        PyODDetector(KNN()),
    ],
    ids=lambda detector: type(detector).__name__,
)
def test_labelled_anomalies_do_not_count_as_normal(detector):
    fitted = windowed(detector).fit(X, Y)
    normal = fitted._windows.rows[fitted._windows.groups == 0]
    np.testing.assert_array_equal(
        fitted.detector_.score_samples(normal), clone(detector).fit(normal).score_samples(normal)
    )


def test_anomalies_like_labelled_ones_score_higher_where_labels_are_used():
    other = X[:50] - 4.0  # of another kind
    scores = windowed(ProtoNetDetector()).fit(X, Y).score_samples
    assert scores(X[100:124]).mean() < scores(other).mean()


def test_the_only_labelled_stretch_is_too_little_for_a_detector_that_requires_labels():
    with pytest.raises(ValueError, match=r"LabelledSpy requires labels, .* at least two stretches"):
        windowed(LabelledSpy()).fit(X[:150], Y[:150])


def test_the_label_of_anomalies_may_be_told_to_the_detector_inside():
    y = np.where(Y == 1, "defect", "ok")
    inside = windowed(ProtoNetDetector(outlier_label="defect")).fit(X, y)
    outside = windowed(ProtoNetDetector()).set_params(outlier_label="defect").fit(X, y)
    np.testing.assert_array_equal(inside.score_samples(X), outside.score_samples(X))
    assert inside.score(X, y) == outside.score(X, y)
    learned = WindowedDetector(ProtoNetDetector(outlier_label="defect", **BARELY), window=8)
    learned.meta_fit([(X, y)] * 3)
    assert learned.detector.outlier_label == "defect"


def test_steps_added_in_another_coding_are_refused():
    fitted = windowed(ProtoNetDetector()).fit(X[:150], Y[:150])
    with pytest.raises(ValueError, match="read as 1 normal, -1 anomalous; labels given before"):
        fitted.partial_fit(X[150:], 1 - 2 * Y[150:])


def test_steps_without_any_value_are_anomalies():
    fitted = windowed(ProtoNetDetector()).fit(X[:90])
    assert (fitted.predict(np.full((30, X.shape[1]), np.nan)) == -1).all()
