"""Displays: what they compute, what they draw, and what they refuse."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from families import make_detector, make_family, new_task

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib")
matplotlib.use("agg")

import matplotlib.pyplot as plt  # noqa: E402
from pyod.models.knn import KNN  # noqa: E402
from sklearn.covariance import EllipticEnvelope  # noqa: E402
from sklearn.frozen import FrozenEstimator  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV, StratifiedKFold  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from sklearn_fsad import (  # noqa: E402
    FewShotSplit,
    InContextDetector,
    MetaState,
    ProtoNetDetector,
    PyODDetector,
)
from sklearn_fsad.plotting import (  # noqa: E402
    AnomalyScoreDisplay,
    EmbeddingDisplay,
    FeatureScoreDisplay,
    LabelCurveDisplay,
    MetaTrainingDisplay,
    ReportDisplay,
    ShotCurveDisplay,
)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def task():
    return new_task()


@pytest.fixture(scope="module")
def fitted(task):
    return ProtoNetDetector().fit(*task[:2])


def with_info(info):
    """A detector with a state that holds these facts only."""
    state = MetaState("ProtoNetDetector", {}, {"closed": np.ones(1)}, 5, info=info)
    return ProtoNetDetector(pretrained=state)


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# --- all displays -------------------------------------------------------------------------------
def test_a_missing_matplotlib_is_told_with_its_remedy(fitted, task, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    calls = [
        lambda: AnomalyScoreDisplay.from_estimator(fitted, task[2]),
        lambda: ShotCurveDisplay([1], {"a": [[0.5]]}).plot(),
        lambda: LabelCurveDisplay({"a": [[0.5]]}).plot(),
        lambda: MetaTrainingDisplay([{"train_loss": 1.0}]).plot(),
        lambda: EmbeddingDisplay.from_estimator(fitted),
        lambda: FeatureScoreDisplay.from_predictions([[1.0]]),
    ]
    for call in calls:
        with pytest.raises(ImportError, match=r"Display.*matplotlib.*sklearn-fsad\[plot\]"):
            call()


def test_displays_draw_on_given_axes_and_again_elsewhere(fitted, task):
    fig, axes = plt.subplots(1, 2)
    display = AnomalyScoreDisplay.from_estimator(fitted, task[2], task[3], ax=axes[0])
    assert display.ax_ is axes[0]
    assert display.figure_ is fig
    assert display.plot(axes[1], name="again") is display
    assert display.ax_ is axes[1]
    assert axes[1].get_title() == "again"


# --- scores -------------------------------------------------------------------------------------
def test_scores_and_threshold_agree_with_predict(fitted, task):
    _, _, X, y = task
    for estimator in (
        fitted,
        PyODDetector(KNN(n_neighbors=3)).fit(task[0]),
        KNN(n_neighbors=3).fit(task[0]),
        EllipticEnvelope(random_state=0, support_fraction=1.0).fit(task[0]),
        make_pipeline(StandardScaler(), ProtoNetDetector()).fit(*task[:2]),
        LogisticRegression().fit(*task[:2]),
    ):
        display = AnomalyScoreDisplay.from_estimator(estimator, X, y)
        anomalous = 1 if isinstance(estimator, (KNN, LogisticRegression)) else -1
        flagged = estimator.predict(X) == anomalous
        np.testing.assert_array_equal(display.scores > display.threshold, flagged)


@pytest.mark.parametrize("code", [lambda y: y, lambda y: 1 - 2 * y, lambda y: y.astype(bool)])
def test_score_display_reads_every_coding(code):
    y = np.array([0, 0, 0, 1])
    display = AnomalyScoreDisplay.from_predictions(code(y), [0.0, 1.0, 2.0, 9.0], threshold=1.5)
    np.testing.assert_array_equal(display.y, y)
    assert legend_of(display.ax_) == [
        "normal (3, 33% flagged)",
        "anomalous (1, 100% flagged)",
        "threshold",
    ]
    assert "larger = more anomalous" in display.ax_.get_xlabel()


def test_a_display_reads_ones_as_the_detector_was_told():
    y = np.repeat([0, 1], [20, 5])
    X = np.random.default_rng(0).normal(size=(25, 2)) + 9 * y[:, None]
    detector = ProtoNetDetector().fit(X, y)
    display = AnomalyScoreDisplay.from_estimator(detector, X[20:], np.ones(5))
    assert display.y.tolist() == [1] * 5
    assert EmbeddingDisplay.from_estimator(detector, X[20:], [np.nan, 1, 1, 1, 1]).ax_ is not None


def test_each_kind_of_rows_adds_up_to_one_without_labels_too():
    display = AnomalyScoreDisplay.from_predictions(None, np.arange(40.0), bins=8)
    assert legend_of(display.ax_) == ["unlabelled (40)"]
    heights = display.ax_.patches[0].get_path().vertices[:, 1]
    assert heights.max() == pytest.approx(5 / 40)


def test_a_score_far_out_leaves_the_others_legible():
    scores = np.append(np.linspace(0.0, 1.0, 400), 1e9)
    display = AnomalyScoreDisplay.from_predictions(None, scores)
    assert display.ax_.get_xlim()[1] < 10.0
    assert "1 rows beyond" in display.ax_.get_xlabel()


def test_equal_scores_can_be_drawn():
    AnomalyScoreDisplay.from_predictions(None, [2.0, 2.0])


@pytest.mark.parametrize(("y", "scores"), [([0], [1.0, 2.0]), (None, [np.nan]), (None, [])])
def test_score_display_refuses_what_is_no_score(y, scores):
    with pytest.raises(ValueError, match=r"inconsistent|finite"):
        AnomalyScoreDisplay.from_predictions(y, scores)


def test_a_threshold_that_is_nan_is_not_drawn():
    with pytest.raises(ValueError, match="threshold=nan must be a number"):
        AnomalyScoreDisplay.from_predictions([0, 1], [1.0, 2.0], threshold=np.nan)


# --- shots --------------------------------------------------------------------------------------
def test_curves_measure_nested_supports_of_several_detectors():
    detectors = {
        "prototypes": ProtoNetDetector(),
        "KNN": PyODDetector(KNN(n_neighbors=2)),
        "logistic": LogisticRegression(),
    }
    display = ShotCurveDisplay.from_estimator(
        detectors, make_family(3), shots=(0, 3), n_draws=2, random_state=0
    )
    assert {v.shape for v in display.values.values()} == {(2, 3, 2)}
    assert np.isnan(display.values["logistic"][0]).all()  # no classes without anomalies
    assert np.isfinite(display.values["prototypes"]).all()
    assert display.values["prototypes"].min() > 0.5
    assert legend_of(display.ax_) == list(detectors)
    assert "3" in [t.get_text() for t in display.ax_.get_xticklabels()]


def test_a_point_of_a_curve_is_the_score_on_that_support():
    X, y = make_family(1)[0]
    display = ShotCurveDisplay.from_estimator(
        ProtoNetDetector(), [(X, y)], shots=(2, 4), n_draws=1, n_other=6, random_state=3
    )
    train, test = next(FewShotSplit(6, 4, n_draws=1, random_state=3).split(X, y))
    score = ProtoNetDetector().fit(X[train], y[train]).score(X[test], y[test])
    assert display.values["ProtoNetDetector"][1, 0, 0] == pytest.approx(score)
    assert "over draws" in display.ax_.get_ylabel()


def test_normals_can_be_varied_and_labels_can_be_words():
    tasks = [(X, np.where(y == 1, "bad", "good")) for X, y in make_family(2)]
    display = ShotCurveDisplay.from_estimator(
        ProtoNetDetector(outlier_label="bad"),
        tasks,
        varied="n_normal",
        shots=(4, 12),
        n_other=2,
        n_draws=1,
        outlier_label="bad",
        scoring="average_precision",
        random_state=0,
    )
    assert "normal rows" in display.ax_.get_xlabel()
    assert "Average precision" in display.ax_.get_ylabel()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"shots": (500,)}, "No task has more than 10"),
        ({"shots": ()}, "shots"),
        ({"varied": "n_normal", "shots": (1,)}, "at least 2"),
        ({"varied": "rows"}, "varied"),
        ({"band": "wide", "shots": (1,), "n_draws": 1}, "band"),
    ],
)
def test_shot_curves_refuse(how, message):
    with pytest.raises(ValueError, match=message):
        ShotCurveDisplay.from_estimator(ProtoNetDetector(), make_family(1), **how)


def test_known_results_can_be_drawn():
    values = {"a": np.array([[0.5, 0.7], [0.8, 1.0]]), "b": [[0.5], [0.6]]}
    display = ShotCurveDisplay([1, 5], values, metric="F1").plot(band=None)
    np.testing.assert_allclose(display.ax_.lines[0].get_ydata(), [0.6, 0.9])
    assert display.ax_.get_ylabel() == "F1"


# --- training -----------------------------------------------------------------------------------
def test_training_display_draws_losses_and_held_out_tasks(meta_fitted):
    display = MetaTrainingDisplay.from_estimator(make_pipeline(StandardScaler(), meta_fitted))
    losses = [epoch["train_loss"] for epoch in meta_fitted.pretrained.info["history"]]
    np.testing.assert_allclose(display.axes_[0].lines[0].get_ydata(), losses)
    assert len(display.axes_) == 2
    assert {"mix", "closed form"} <= {t.get_text() for t in display.axes_[1].get_yticklabels()}


@pytest.mark.parametrize(
    ("held_out", "shown"),
    [
        (
            [{"regime": "labelled", "used": "fine-tuned", "before": 0.8, "stages": [0.85, 0.9]}],
            ["before", "stage 1", "stage 2"],
        ),
        (
            {
                "prior_rows": {"0.0": 0.7, "8.0": 0.8},
                "weights": [{"regime": "unlabelled", "used": "network", "closed form": 0.7,
                             "adapted": 0.8, "not adapted": np.nan}],
                "network": [{"regime": "unlabelled", "used": "closed form", "closed form": 0.8,
                             "adapted": 0.7}],
            },
            ["0 rows", "8 rows", "equal weights", "learned weights", "closed form", "network"],
        ),
        (
            [{"regime": "labelled", "used": "network", "closed form": 0.7, "adapted": 0.8,
              "not adapted": 0.6}],
            ["closed form", "network", "not adapted"],
        ),
        ([{"regime": "labelled", "used": "mix", "mix": 0.8, "closed form": 0.7}],
         ["mix", "closed form"]),
    ],
)  # fmt: skip
def test_reports_of_earlier_versions_are_read(held_out, shown):
    display = MetaTrainingDisplay.from_estimator(with_info({"held_out": held_out}))
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == shown


def test_a_report_is_drawn_under_its_choice_with_what_is_used_filled():
    report = {"choice": "network", "regime": "labelled", "used": "closed form",
              "roc_auc": {"closed form": 0.8, "network": 0.7}}  # fmt: skip
    nothing = {"choice": "network", "regime": "unlabelled", "used": "closed form", "roc_auc": {}}
    ax = MetaTrainingDisplay.from_estimator(with_info({"held_out": [nothing, report]})).ax_
    assert ax.texts[0].get_text() == "Network, with labelled anomalies: closed form"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["closed form", "network"]
    filled = [line.get_markerfacecolor() != "white" for line in ax.lines]
    assert filled == [True, False]


@pytest.mark.parametrize("name", ["mix", "neural_process"])
def test_held_out_tasks_of_states_of_earlier_versions_are_drawn(name):
    state = MetaState.load(Path(__file__).parents[1] / "golden" / "0.1.0" / f"{name}.safetensors")
    display = MetaTrainingDisplay([], state.info["held_out"]).plot()
    assert any(line.get_markerfacecolor() != "white" for line in display.ax_.lines)


def test_validation_losses_are_drawn_on_one_given_axis():
    history = [{"train_loss": 1.0, "valid_loss": 1.2}, {"train_loss": 0.5, "valid_loss": 0.9}]
    _, ax = plt.subplots()
    display = MetaTrainingDisplay.from_estimator(
        with_info({"history": history, "held_out": [{"regime": "x", "used": "a", "a": 0.5}]}), ax=ax
    )
    assert legend_of(display.ax_) == ["training episodes", "held-out tasks"]
    assert display.axes_ == [ax]


def test_a_detector_without_training_is_refused(fitted):
    with pytest.raises(ValueError, match="call meta_fit"):
        MetaTrainingDisplay.from_estimator(ProtoNetDetector())
    with pytest.raises(ValueError, match="Nothing to plot"):
        MetaTrainingDisplay.from_estimator(fitted)


# --- embedding ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["closed form", "meta-fitted", "meta-fitted mlp", "in context"])
def test_embedding_is_that_of_the_detector_seen_from_its_support(name, task):
    detector = make_detector(name).fit(*task[:2])
    display = EmbeddingDisplay.from_estimator(detector, task[2], task[3])
    assert display.query.shape == (len(task[2]), 2)
    np.testing.assert_allclose(display.support.mean(axis=0), 0.0, atol=1e-6)
    assert display.support[:, 0].var() >= display.support[:, 1].var()
    np.testing.assert_allclose(
        display.prototypes_["anomalous"], display.support[task[1] == 1].mean(axis=0)
    )
    again = EmbeddingDisplay.from_estimator(detector, task[2][:3])
    np.testing.assert_allclose(again.query, display.query[:3])  # new rows have no say
    assert again.query_is_predicted
    assert any("predicted" in text for text in legend_of(again.ax_))


def test_embedding_of_frames_pipelines_and_other_libraries(task, recwarn):
    X, y, new, _ = (pd.DataFrame(part) if np.ndim(part) == 2 else part for part in task)
    X.columns = new.columns = list("abcde")
    EmbeddingDisplay.from_estimator(ProtoNetDetector().fit(X, y), new)
    EmbeddingDisplay.from_estimator(make_pipeline(StandardScaler(), ProtoNetDetector()).fit(X), new)
    knn = PyODDetector(KNN(n_neighbors=2)).fit(X)
    display = EmbeddingDisplay.from_estimator(knn, new, support=(X, None))
    assert (display.support_y == -1).all()
    with pytest.raises(ValueError, match="support="):
        EmbeddingDisplay.from_estimator(knn, new)
    assert not [w for w in recwarn if "feature names" in str(w.message)]


def test_new_rows_pass_the_steps_before_the_detector(task):
    X, y, new, _ = task
    pipe = make_pipeline(StandardScaler(), ProtoNetDetector()).fit(X, y)
    search = GridSearchCV(pipe, {"protonetdetector__alpha": [0.1]}, cv=StratifiedKFold(2)).fit(X, y)
    scaled = StandardScaler().fit(X)
    bare = ProtoNetDetector().fit(scaled.transform(X), y)
    expected = EmbeddingDisplay.from_estimator(bare, scaled.transform(new)).query
    for estimator in (pipe, search, FrozenEstimator(pipe)):
        found = EmbeddingDisplay.from_estimator(estimator, new).query
        np.testing.assert_allclose(found, expected)


def test_one_dimension_can_be_embedded_too():
    display = EmbeddingDisplay.from_embeddings([[0.0], [1.0], [5.0]], [0, 0, 1], [[2.0]])
    assert display.support.shape == (3, 2)
    assert display.explained == pytest.approx((1.0, 0.0))


# --- features -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def explained(task):
    frame = pd.DataFrame(task[2], columns=list("abcde"), index=[f"r{i}" for i in range(80)])
    detector = InContextDetector().fit(pd.DataFrame(task[0], columns=list("abcde")))
    return detector, frame.iloc[-4:]


def test_rows_with_gaps_need_a_detector_with_a_transform_to_be_shown():
    frame = pd.DataFrame({"heat": [0.1, None, 0.3, 0.2], "oil": ["a", "b", "a", "a"]})
    assert EmbeddingDisplay.from_estimator(ProtoNetDetector().fit(frame), frame).ax_ is not None
    with pytest.raises(ValueError, match=r"InContextDetector has no transform.* ProtoNet"):
        EmbeddingDisplay.from_estimator(InContextDetector().fit(frame), frame)


def test_bars_of_one_row_are_its_feature_scores(explained):
    detector, rows = explained
    display = FeatureScoreDisplay.from_estimator(detector, rows.iloc[:1])
    scores = detector.feature_scores(rows.iloc[:1])[0]
    order = np.argsort(-np.abs(scores))
    labels = [t.get_text() for t in display.ax_.get_yticklabels()]
    assert labels == [list("abcde")[j] for j in order]
    np.testing.assert_allclose([bar.get_width() for bar in display.ax_.patches], scores[order])


def test_several_rows_are_a_heat_map_with_their_names(explained):
    detector, rows = explained
    display = FeatureScoreDisplay.from_estimator(make_pipeline(detector), rows)
    np.testing.assert_allclose(display.ax_.images[0].get_array(), display.feature_scores)
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == list(rows.index)
    assert [t.get_text() for t in display.ax_.get_xticklabels()] == list("abcde")


def test_many_features_are_cut_to_the_largest():
    values = np.r_[np.full(20, 0.1), 3.0, -2.0]
    display = FeatureScoreDisplay.from_predictions([values], max_features=2)
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["x20", "x21", "20 others"]
    assert display.ax_.patches[2].get_width() == pytest.approx(2.0)
    two = FeatureScoreDisplay.from_predictions([values, values], max_features=2)
    assert "20 of smaller" in two.ax_.get_xlabel()


def test_feature_display_refuses(fitted, task):
    with pytest.raises(TypeError, match="no feature_scores"):
        FeatureScoreDisplay.from_estimator(PyODDetector(KNN()), task[2])
    with pytest.raises(ValueError, match="feature_names has 1"):
        FeatureScoreDisplay.from_predictions([[1.0, 2.0]], feature_names=["a"])


# --- reports --------------------------------------------------------------------------------------
@pytest.mark.parametrize("of", [pd.DataFrame, pl.DataFrame])
def test_the_report_is_drawn_with_its_rows_from_the_top(of):
    rows = np.random.default_rng(0).normal(size=(40, 3))
    rows[5, 1] = 9.0
    rows = of(dict(zip("abc", rows.T, strict=True)))
    display = ReportDisplay.from_estimator(ProtoNetDetector().fit(rows[:5]), rows, top=4)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels[0].startswith("5: b = 9")
    bars = [bar.get_width() for bar in display.ax_.patches]
    assert bars == sorted(bars, reverse=True)
    assert display.ax_.get_title() == "ProtoNetDetector"


def test_detectors_without_reasons_are_drawn_without_them():
    rows = np.random.default_rng(0).normal(size=(40, 3))
    display = ReportDisplay.from_estimator(EllipticEnvelope(random_state=0).fit(rows), rows, top=2)
    found = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert found == [str(row) for row in display.report["row"]]
