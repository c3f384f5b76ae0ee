"""Times reach a detector in pipelines and searches by scikit-learn's metadata routing."""

import numpy as np
import pytest
import sklearn
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.metrics import anomaly_scorer
from sklearn_fsad.model_selection import SeriesSplit
from sklearn_fsad.series import WindowedDetector

pytestmark = pytest.mark.filterwarnings("ignore:A rate of false alarms")
X = np.random.default_rng(0).normal(size=(260, 2))
Y = np.isin(np.arange(260), [*range(150, 170), *range(220, 240)]).astype(int)
X[Y == 1] *= 4.0
TIMES = np.arange(260) + 100 * (np.arange(260) >= 70)
SPLIT = SeriesSplit(60, 1, embargo=8)
REQUESTS = ("fit", "predict", "decision_function", "score")


@pytest.fixture(autouse=True)
def _routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def detector():
    detector = WindowedDetector(ProtoNetDetector(), window=8)
    for method in REQUESTS:
        getattr(detector, f"set_{method}_request")(times=True)
    return detector


def test_a_pipeline_hands_on_the_times(detector):
    pipeline = make_pipeline(StandardScaler(), detector).fit(X, Y, times=TIMES)
    scaled = StandardScaler().fit_transform(X)
    alone = WindowedDetector(ProtoNetDetector(), window=8).fit(scaled, Y, times=TIMES)
    assert not np.isin(np.arange(70, 77), pipeline[-1]._windows.steps).any()
    for method in ("predict", "decision_function"):
        found = getattr(pipeline, method)(X, times=TIMES)
        np.testing.assert_array_equal(found, getattr(alone, method)(scaled, times=TIMES))
    assert pipeline.score(X, Y, times=TIMES) == alone.score(scaled, Y, times=TIMES)


@pytest.mark.parametrize("scoring", [None, anomaly_scorer("f1")])
def test_a_search_hands_on_the_times_of_each_part(detector, scoring):
    [(train, test)] = SPLIT.split(X, Y)
    grid, how = {"window": [4, 8]}, {"cv": SPLIT, "refit": False, "error_score": "raise"}
    found = GridSearchCV(detector, grid, scoring=scoring, **how).fit(X, Y, times=np.arange(260))
    alone = WindowedDetector(ProtoNetDetector(), window=8).fit(X[train], Y[train], times=train)
    expected = alone.score(X[test], Y[test], times=test)
    if scoring is None:
        assert found.cv_results_["mean_test_score"][1] == expected
    else:
        assert found.cv_results_["mean_test_score"].min() > 0.0


def test_a_search_over_a_pipeline_hands_on_the_times(detector):
    pipeline = make_pipeline(StandardScaler(), detector)
    how = {"cv": SPLIT, "params": {"times": TIMES}, "error_score": "raise"}
    assert cross_validate(pipeline, X, Y, **how)["test_score"][0] > 0.9


def test_times_that_were_not_asked_for_are_refused():
    with pytest.raises(UnsetMetadataPassedError, match="set_fit_request"):
        make_pipeline(StandardScaler(), WindowedDetector()).fit(X, Y, times=TIMES)


def test_steps_of_no_weight_do_not_count_in_the_score(detector):
    fitted = detector.fit(X[:140])
    later = np.arange(260) >= 140
    weights = later.astype(float)
    weighted = fitted.score(X, Y, weights)
    assert weighted == fitted.score(X, np.where(later, Y, np.nan)) != fitted.score(X, Y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fitted.score(X, Y, weights[1:])
