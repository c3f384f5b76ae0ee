"""Series by the tools of other libraries: PyOD's and aeon's windows."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_validate

from sklearn_fsad import InContextDetector, anomaly_scorer, to_pyod
from sklearn_fsad.model_selection import SeriesSplit

pytestmark = pytest.mark.integration
WINDOW = 12


def oscillation(n=400, seed=0):
    """Two sensors that follow each other, in the wrong order for ten steps; labels."""
    step = np.arange(n)
    X = np.column_stack([np.sin(step / 5), np.cos(step / 5)])
    y = (step >= 300) & (step < 310)
    X[y, 0] *= -1
    return X + np.random.default_rng(seed).normal(scale=0.1, size=X.shape), y.astype(int)


@pytest.fixture(scope="module")
def time_series_od():
    module = pytest.importorskip("pyod.models.ts_od", reason="this PyOD has no windows")
    return module.TimeSeriesOD(to_pyod(InContextDetector()), window_size=WINDOW)


# --- windows of other libraries -------------------------------------------------------------------
def test_pyod_slides_windows_over_a_series_for_a_detector(time_series_od):
    X, y = oscillation()
    scores = time_series_od.fit(X[:200]).decision_function(X[200:])
    assert scores.shape == (200,)
    assert roc_auc_score(y[200:], scores) > 0.9
    alone = to_pyod(InContextDetector()).fit(X[:200]).decision_function(X[200:])
    assert roc_auc_score(y[200:], scores) > roc_auc_score(y[200:], alone)


def test_windows_of_pyod_are_cross_validated_on_series(time_series_od):
    series = [oscillation(seed=seed) for seed in range(2)]
    found = cross_validate(
        time_series_od,
        np.concatenate([X for X, _ in series]),
        np.concatenate([y for _, y in series]),
        groups=np.repeat([0, 1], 400),
        cv=SeriesSplit(150, embargo=WINDOW),
        scoring=anomaly_scorer(),
    )
    assert found["test_score"].shape == (2,)
    assert (found["test_score"] > 0.9).all()


def test_aeon_slides_windows_over_a_series_for_a_detector():
    reason = "aeon's windows need it: the extra 'series'"
    aeon = pytest.importorskip("aeon.anomaly_detection.series", reason=reason, exc_type=ImportError)
    X, y = oscillation()
    windows = aeon.PyODAdapter(to_pyod(InContextDetector()), window_size=WINDOW)
    scores = windows.fit(X[:200], axis=0).predict(X[200:], axis=0)
    assert scores.shape == (200,)
    assert roc_auc_score(y[200:], scores) > 0.9
