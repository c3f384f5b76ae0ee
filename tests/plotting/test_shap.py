"""Contributions of features are drawn by the plots of shap."""

import sys

import numpy as np
import pandas as pd
import pytest
from pyod.models.knn import KNN
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.plotting import shap_explanation

# what shap says of numpy, of matplotlib and of itself
pytestmark = pytest.mark.filterwarnings("ignore")
NAMES = ["flow", "heat", "load"]


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(40, 3)), columns=NAMES), pd.DataFrame(
        [[0.0, 0.0, 6.0], [5.0, 0.0, 0.0]], columns=NAMES
    )


@pytest.fixture
def shap():
    return pytest.importorskip("shap", reason="shap is not installed")


def test_values_are_the_feature_scores_and_add_up_to_the_anomaly_score(rows, shap):
    detector = ProtoNetDetector().fit(rows[0])
    found = shap_explanation(detector, rows[1])
    assert isinstance(found, shap.Explanation)
    np.testing.assert_array_equal(found.values, detector.feature_scores(rows[1]))
    total = found.base_values + found.values.sum(axis=1)
    np.testing.assert_allclose(total, -detector.score_samples(rows[1]))
    np.testing.assert_array_equal(found.data, rows[1])
    assert found.feature_names == NAMES


def test_a_pipeline_is_explained_by_its_detector(rows, shap):
    pipe = make_pipeline(StandardScaler().set_output(transform="pandas"), ProtoNetDetector())
    found = shap_explanation(pipe.fit(rows[0]), rows[1])
    seen = pipe[:-1].transform(rows[1])
    np.testing.assert_array_equal(found.values, pipe[-1].feature_scores(seen))
    np.testing.assert_array_equal(found.data, seen)
    assert found.feature_names == NAMES


@pytest.mark.parametrize("name", ["waterfall", "bar", "beeswarm"])
def test_the_plots_of_shap_take_it(rows, shap, name):
    plt = pytest.importorskip("matplotlib.pyplot", reason="pictures need matplotlib")
    plt.switch_backend("agg")
    found = shap_explanation(ProtoNetDetector().fit(rows[0]), rows[1])
    getattr(shap.plots, name)(found[0] if name == "waterfall" else found, show=False)
    labels = [label.get_text() for label in plt.gcf().axes[0].get_yticklabels()]
    assert any("load" in label for label in labels)
    plt.close("all")


def test_names_that_do_not_fit_and_other_detectors_are_refused(rows, shap):
    with pytest.raises(ValueError, match="feature_names has 1 entries for 3 columns"):
        shap_explanation(ProtoNetDetector().fit(rows[0]), rows[1], feature_names=["a"])
    with pytest.raises(TypeError, match="KNN has no feature_scores"):
        shap_explanation(KNN().fit(rows[0].to_numpy()), rows[1])


def test_without_shap_it_says_what_to_install(rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ImportError, match="pip install shap"):
        shap_explanation(ProtoNetDetector().fit(rows[0]), rows[1])
