"""Labels are given to detectors that use them, and to no others."""

import pytest
from pyod.models.knn import KNN
from pyod.models.xgbod import XGBOD
from sklearn.ensemble import IsolationForest
from sklearn.feature_selection import SelectFpr
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from sklearn_fsad import InContextDetector, MAMLDetector, ProtoNetDetector, PyODDetector
from sklearn_fsad._input.estimators import uses_labels
from sklearn_fsad.adapters import AnomalyClassifier


class WithoutTags:
    """A detector of another library, which knows nothing of scikit-learn's tags."""

    def fit(self, X, y=None):
        return self


@pytest.mark.parametrize(
    "detector",
    [
        ProtoNetDetector(),
        MAMLDetector(),
        InContextDetector(),
        AnomalyClassifier(ProtoNetDetector()),
        LogisticRegression(),
        XGBOD(),
        PyODDetector(XGBOD()),
        make_pipeline(StandardScaler(), ProtoNetDetector()),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline("passthrough", PyODDetector(XGBOD())),
        make_pipeline(SelectFpr(), IsolationForest()),
        GridSearchCV(IsolationForest(), {"max_samples": [4, 8]}, scoring="roc_auc"),
    ],
    ids=lambda detector: str(detector)[:50],
)
def test_labels_are_given_to_what_uses_them(detector):
    assert uses_labels(detector)


@pytest.mark.parametrize(
    "detector",
    [
        IsolationForest(),
        LocalOutlierFactor(novelty=True),
        OneClassSVM(),
        KNN(),
        PyODDetector(KNN()),
        make_pipeline(StandardScaler(), PyODDetector(KNN())),
        make_pipeline(StandardScaler(), OneClassSVM()),
        WithoutTags(),
    ],
    ids=lambda detector: str(detector)[:50],
)
def test_normal_rows_alone_are_given_to_what_does_not(detector):
    assert not uses_labels(detector)
