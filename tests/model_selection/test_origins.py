"""Contributions, reports and plots name the columns of the table in front of a pipeline."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fsad import FewShotSplit, ProtoNetDetector
from sklearn_fsad.model_selection import feature_scores, report
from sklearn_fsad.pipeline import make_table_pipeline

pytest.importorskip("skrub", reason="skrub is not installed")

rng = np.random.default_rng(0)
SUPPORT = pd.DataFrame(
    {
        "flow": rng.normal(50.0, 2.0, size=40),
        "colour": rng.choice(["red", "blue", "green"], size=40),
        "day": pd.date_range("2026-01-01", periods=40, freq="h"),
        "empty": np.nan,
    }
)
ROWS = SUPPORT.iloc[:6].reset_index(drop=True).assign(flow=50.1)
ROWS.index = list("abcdef")
ROWS.loc["c", "flow"] = 80.0
ROWS.loc["e", "colour"] = "violet"
NAMES = ["flow", "colour", "day", "empty"]


@pytest.fixture(scope="module")
def pipe():
    return make_table_pipeline(ProtoNetDetector()).fit(SUPPORT)


def test_contributions_add_up_over_the_columns_that_are_made_of_one(pipe):
    found = feature_scores(pipe, ROWS)
    assert list(found.columns) == NAMES
    assert list(found.index) == list("abcdef")
    assert found.loc["c"].idxmax() == "flow"
    assert found.loc["e"].idxmax() == "colour"
    assert (found["empty"] == 0.0).all()
    made = pipe[-1].feature_scores(pipe[:-1].transform(ROWS))
    is_colour = [name.startswith("colour") for name in pipe[-1].feature_names_in_]
    assert sum(is_colour) == 3
    np.testing.assert_allclose(found["colour"], made[:, is_colour].sum(axis=1))
    np.testing.assert_allclose(found.sum(axis=1), -pipe.score_samples(ROWS))


def test_frames_of_polars_give_frames_of_polars(pipe):
    in_polars = make_table_pipeline(ProtoNetDetector()).fit(pl.from_pandas(SUPPORT))
    found = feature_scores(in_polars, pl.from_pandas(ROWS))
    assert isinstance(found, pl.DataFrame)
    np.testing.assert_array_equal(found, feature_scores(pipe, ROWS))


@pytest.mark.parametrize("kind", ["search", "frozen", "nested", "scaled"])
def test_nested_searched_and_scaled_pipelines_are_seen_through(pipe, kind):
    inner = make_pipeline(StandardScaler(), ProtoNetDetector())
    cv = FewShotSplit(10, 0, n_draws=1, random_state=0)
    y = np.repeat([0, 1], [36, 4])
    made = {
        "search": lambda: GridSearchCV(pipe, {"detector__scaler": ["task"]}, cv=cv).fit(SUPPORT, y),
        "frozen": lambda: FrozenEstimator(pipe),
        "nested": lambda: make_pipeline(FrozenEstimator(pipe[:-1]), inner).fit(SUPPORT),
        "scaled": lambda: make_table_pipeline(inner).fit(SUPPORT),
    }[kind]()
    found = feature_scores(made, ROWS)
    assert list(found.columns) == NAMES
    np.testing.assert_allclose(found.sum(axis=1), -made.score_samples(ROWS))


def test_steps_that_mix_columns_leave_those_that_the_detector_sees():
    mixed = make_table_pipeline(make_pipeline(PCA(2), ProtoNetDetector())).fit(SUPPORT)
    assert list(feature_scores(mixed, ROWS).columns) == ["pca0", "pca1"]


def test_a_detector_alone_gives_its_own_contributions():
    X = SUPPORT[["flow"]].to_numpy()
    detector = ProtoNetDetector().fit(X)
    found = feature_scores(detector, X[:3])
    assert list(found.columns) == ["x0"]
    np.testing.assert_array_equal(found, detector.feature_scores(X[:3]))


def test_what_cannot_explain_is_refused():
    with pytest.raises(TypeError, match="IsolationForest has no feature_scores"):
        feature_scores(make_table_pipeline(IsolationForest()).fit(SUPPORT), ROWS)
    with pytest.raises(NotFittedError):
        feature_scores(make_table_pipeline(ProtoNetDetector()), ROWS)


@pytest.mark.parametrize(
    "last", [ProtoNetDetector(), make_pipeline(StandardScaler(), ProtoNetDetector())]
)
def test_a_report_blames_columns_of_the_table_with_their_own_entries(last):
    found = report(make_table_pipeline(last).fit(SUPPORT), ROWS)
    heat, colour = found.loc["c"], found.loc["e"]
    assert (heat["column_1"], heat["value_1"]) == ("flow", 80.0)
    usual = np.percentile(SUPPORT["flow"], [5, 95])
    np.testing.assert_allclose([heat["usual_low_1"], heat["usual_high_1"]], usual)
    assert (colour["column_1"], colour["value_1"]) == ("colour", "violet")
    assert np.isnan([colour["usual_low_1"], colour["usual_high_1"]]).all()
    assert set(found["column_2"]) <= set(NAMES)


def test_a_report_on_polars_holds_mixed_entries_as_words():
    in_polars = make_table_pipeline(ProtoNetDetector()).fit(pl.from_pandas(SUPPORT))
    found = report(in_polars, pl.from_pandas(ROWS), top=2)
    assert set(found["value_1"]) == {"80.0", "violet"}


def test_pictures_show_columns_of_the_table(pipe):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    from matplotlib.figure import Figure

    from sklearn_fsad.plotting import FeatureScoreDisplay, ReportDisplay

    bars = FeatureScoreDisplay.from_estimator(pipe, ROWS.loc[["e"]], ax=Figure().subplots())
    assert bars.ax_.get_yticklabels()[0].get_text() == "colour"
    listed = ReportDisplay.from_estimator(pipe, ROWS, top=2, ax=Figure().subplots())
    labels = sorted(label.get_text() for label in listed.ax_.get_yticklabels())
    assert labels[0].startswith("c: flow = 80")
    assert labels[1].startswith("e: colour = violet")


def test_shap_gets_columns_and_entries_of_the_table(pipe):
    pytest.importorskip("shap", reason="shap is not installed")
    from sklearn_fsad.plotting import shap_explanation

    found = shap_explanation(pipe, ROWS)
    assert found.feature_names == NAMES
    assert found.data[4, 1] == "violet"
    np.testing.assert_allclose(found.values, feature_scores(pipe, ROWS))
