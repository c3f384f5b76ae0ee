"""report and summary through pipelines, and of detectors of other libraries."""

import numpy as np
import pandas as pd
import pytest
from pyod.models.knn import KNN
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, RobustScaler, StandardScaler

from sklearn_fsad import ProtoNetDetector, PyODDetector
from sklearn_fsad.model_selection import report, summary

rng = np.random.default_rng(0)
NAMES = ["flow", "pressure", "current"]
SUPPORT = pd.DataFrame(rng.normal(50.0, 2.0, size=(40, 3)), columns=NAMES)
ROWS = pd.DataFrame(rng.normal(50.0, 2.0, size=(20, 3)), columns=NAMES)
ROWS.iloc[4, 1] = 80.0


def first_of(*steps, rows=ROWS):
    return report(make_pipeline(*steps, ProtoNetDetector()).fit(SUPPORT), rows, top=3).iloc[0]


@pytest.mark.parametrize(
    "steps",
    [
        (StandardScaler(),),
        (SimpleImputer(), RobustScaler(), "passthrough"),
        (make_pipeline(SimpleImputer(), StandardScaler().set_output(transform="pandas")),),
        ("passthrough",),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_rows_are_named_and_steps_that_keep_columns_are_seen_through(steps):
    first = first_of(*steps)
    assert (first["row"], first["column_1"]) == (4, "pressure")


def test_training_rows_are_marked_through_the_steps():
    rows = pd.concat([ROWS, SUPPORT.iloc[:1]])
    pipe = make_pipeline(StandardScaler(), ProtoNetDetector()).fit(SUPPORT)
    found = report(pipe, rows, top=None)
    assert found["row"][found["training_row"]].tolist() == [len(ROWS)]


@pytest.mark.parametrize(
    "steps", [(StandardScaler(),), (make_pipeline(SimpleImputer(), RobustScaler()),)]
)
def test_values_and_ranges_are_in_the_units_of_the_rows(steps):
    first = first_of(*steps)
    assert first["value_1"] == 80.0
    usual = np.percentile(SUPPORT["pressure"], [5, 95])
    np.testing.assert_allclose([first["usual_low_1"], first["usual_high_1"]], usual)


def test_what_cannot_be_undone_is_shown_as_the_detector_saw_it():
    logarithm = FunctionTransformer(np.log, feature_names_out="one-to-one")
    first = first_of(logarithm)
    assert first["column_1"] == "pressure"
    assert first["value_1"] == np.log(80.0)
    assert first_of(PCA(2))["column_1"].startswith("pca")
    chosen = make_column_transformer((StandardScaler(), ["pressure", "flow"]))
    assert first_of(chosen)["column_1"] == "standardscaler__pressure"


def test_nested_and_frozen_pipelines_are_searched():
    inner = make_pipeline(StandardScaler(), ProtoNetDetector())
    pipe = make_pipeline(SimpleImputer(), inner).fit(SUPPORT.to_numpy())
    expected = report(pipe, ROWS.to_numpy())
    assert expected["column_1"].iloc[0] == "x1"
    pd.testing.assert_frame_equal(report(FrozenEstimator(pipe), ROWS.to_numpy()), expected)
    assert summary(pipe).n_normal == 40


def test_a_missing_value_that_an_imputer_fills_is_reported_as_missing():
    rows = ROWS.copy()
    rows.iloc[4, 0] = np.nan
    pipe = make_pipeline(SimpleImputer(), StandardScaler(), ProtoNetDetector()).fit(SUPPORT)
    found = report(pipe, rows, top=1).iloc[0]
    assert (found["row"], found["value_1"]) == (4, 80.0)


def test_a_detector_alone_gives_its_own_report():
    detector = ProtoNetDetector().fit(SUPPORT)
    pd.testing.assert_frame_equal(report(detector, ROWS, 5), detector.report(ROWS, 5))


@pytest.mark.parametrize("detector", [LocalOutlierFactor(novelty=True), PyODDetector(KNN()), KNN()])
def test_detectors_of_other_libraries_give_what_they_can_tell(detector):
    found = report(detector.fit(SUPPORT.to_numpy()), ROWS.to_numpy(), top=2)
    assert list(found) == ["row", "anomaly_score", "flagged"]
    assert found["row"].iloc[0] == 4
    assert found["flagged"].iloc[0]


def test_what_has_no_summary_is_refused():
    with pytest.raises(TypeError, match="IsolationForest is not a detector of this package"):
        summary(make_pipeline(StandardScaler(), IsolationForest()))


def test_an_unfitted_pipeline_is_refused():
    with pytest.raises(NotFittedError):
        report(make_pipeline(StandardScaler(), ProtoNetDetector()), ROWS)


def test_methods_of_the_detector_take_rows_that_the_steps_have_transformed():
    pipe = make_pipeline(StandardScaler(), ProtoNetDetector()).fit(SUPPORT)
    p = pipe[-1].p_values(pipe[:-1].transform(ROWS))
    assert report(pipe, ROWS, top=1)["p_value"].iloc[0] == p[4]
