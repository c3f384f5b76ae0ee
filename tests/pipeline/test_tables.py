"""make_table_pipeline puts tables of numbers, categories, times and gaps before any detector."""

import pickle
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from families import BRIEF, FEW_LESSONS, FEW_TREES
from pyod.models.knn import KNN
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.model_selection import GridSearchCV, cross_val_score

from sklearn_fsad import (
    FewShotSplit,
    InContextDetector,
    MAMLDetector,
    NeuralProcessDetector,
    ProtoNetDetector,
    PyODDetector,
    to_pyod,
)
from sklearn_fsad.pipeline import make_table_pipeline, meta_fit_pipeline

pytest.importorskip("skrub", reason="skrub is not installed")


def table(n_normal=30, n_anomalous=8, seed=0):
    """Load follows heat, but for anomalies; every seventh heat is missing."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], [n_normal, n_anomalous])
    heat = rng.normal(60.0, 2.0, size=len(y))
    load = heat / 2 + rng.normal(scale=0.3, size=len(y)) + 4.0 * y
    oil = rng.choice(["thin", "mid", "thick"], size=len(y))
    at = pd.date_range("2026-01-01", periods=len(y), freq="h")
    X = pd.DataFrame({"heat": heat, "load": load, "oil": oil, "at": at})
    X.loc[::7, "heat"] = np.nan
    return X, y


HOUR = ["at_hour_circular_0", "at_hour_circular_1"]
SEEN = ["heat", "load", "oil_mid", "oil_thick", "oil_thin", *HOUR]
X, Y = table(n_anomalous=3)
ROWS, LABELS = table(seed=1)
TASKS = [table(seed=seed) for seed in range(2, 7)]
LITTLE = {"n_normal": (4, 16), "n_anomalous": (0, 4), "episodes_per_epoch": 8, "max_epochs": 1}
LEARNERS = {
    "prototypes": ProtoNetDetector(**LITTLE, random_state=0),
    "maml": MAMLDetector(**LITTLE, hidden=(8,), gate=False, random_state=0),
    "process": NeuralProcessDetector(**{**BRIEF, **LITTLE, "gate": False}),
    "in context": InContextDetector(**LITTLE, pretrained=None, random_state=0),
}


@pytest.fixture(params=LEARNERS)
def learner(request, monkeypatch):
    """Each detector with hardly any training."""
    for part, size in {**FEW_TREES, **FEW_LESSONS}.items():
        monkeypatch.setattr(part, size)
    return LEARNERS[request.param]


@pytest.mark.parametrize(
    "detector",
    [
        ProtoNetDetector(),
        InContextDetector(),
        MAMLDetector(),
        NeuralProcessDetector(max_epochs=0),
        IsolationForest(random_state=0),
        PyODDetector(KNN()),
    ],
    ids=lambda detector: type(detector).__name__,
)
def test_any_detector_reads_a_table_and_knows_its_columns(detector):
    pipe = make_table_pipeline(detector).fit(X[Y == 0])
    assert np.isfinite(pipe.decision_function(ROWS)).all()
    assert list(pipe[-1].feature_names_in_) == SEEN
    assert pipe[-1] is detector


def test_gaps_are_filled_only_for_detectors_that_do_not_take_them():
    filled = make_table_pipeline(IsolationForest().set_params(contamination=0.1))
    assert "imputer" not in filled.named_steps  # scikit-learn's forest takes them
    assert "imputer" not in make_table_pipeline(NeuralProcessDetector()).named_steps
    assert "imputer" in make_table_pipeline(PyODDetector(KNN())).named_steps
    own = make_table_pipeline(ProtoNetDetector(), imputer=SimpleImputer())
    assert isinstance(own["imputer"], SimpleImputer)
    assert "imputer" not in make_table_pipeline(ProtoNetDetector(), imputer=None).named_steps


def test_another_vectorizer_is_taken():
    from skrub import TableVectorizer

    pipe = make_table_pipeline(ProtoNetDetector(), vectorizer=TableVectorizer()).fit(X)
    assert "at_total_seconds" in pipe[-1].feature_names_in_


def test_encoders_are_set_as_parameters():
    pipe = make_table_pipeline(ProtoNetDetector())
    pipe.set_params(tablevectorizer__datetime="drop").fit(X)
    assert list(pipe[-1].feature_names_in_) == SEEN[:-2]


@pytest.mark.parametrize("n", [2, 5, 10, 50])
def test_few_rows_suffice_and_unknown_categories_and_gaps_are_scored(n):
    rows = ROWS.copy()
    rows.loc[0, "oil"] = "grease"
    rows.loc[1, ["heat", "load", "oil", "at"]] = None
    pipe = make_table_pipeline(ProtoNetDetector()).fit(table(n, 0)[0])
    assert np.isfinite(pipe.decision_function(rows)).all()


def test_an_unknown_category_is_anomalous():
    plain = X[["load"]].assign(oil="thin")[Y == 0]
    rows = plain.assign(oil="grease")
    pipe = make_table_pipeline(ProtoNetDetector()).fit(plain)
    assert (pipe.predict(rows) == -1).all()


def test_later_dates_are_no_anomalies():
    later = X.assign(at=X["at"] + pd.Timedelta(days=400))
    pipe = make_table_pipeline(ProtoNetDetector()).fit(X)
    np.testing.assert_array_equal(pipe.score_samples(later), pipe.score_samples(X))


def test_frames_of_polars_score_as_those_of_pandas():
    expected = make_table_pipeline(ProtoNetDetector()).fit(X, Y).decision_function(ROWS)
    pipe = make_table_pipeline(ProtoNetDetector()).fit(pl.from_pandas(X), Y)
    np.testing.assert_array_equal(pipe.decision_function(pl.from_pandas(ROWS)), expected)


def test_clones_and_pickles_score_the_same():
    pipe = make_table_pipeline(ProtoNetDetector()).fit(X, Y)
    expected = pipe.decision_function(ROWS)
    again = pickle.loads(pickle.dumps(pipe))
    np.testing.assert_array_equal(again.decision_function(ROWS), expected)
    np.testing.assert_array_equal(clone(pipe).fit(X, Y).decision_function(ROWS), expected)


def test_parameters_of_the_detector_are_searched_on_few_shot_splits():
    cv = FewShotSplit(10, 3, n_draws=2, random_state=0)
    pipe = make_table_pipeline(ProtoNetDetector())
    search = GridSearchCV(pipe, {"detector__scaler": ["task", "robust"]}, cv=cv)
    assert search.fit(ROWS, LABELS).best_score_ > 0.8
    assert cross_val_score(pipe, ROWS, LABELS, cv=cv).min() > 0.8


def test_it_becomes_a_detector_of_pyod():
    pipe = make_table_pipeline(ProtoNetDetector())
    expected = -clone(pipe).fit(X, Y).score_samples(ROWS)
    np.testing.assert_array_equal(to_pyod(pipe).fit(X, Y).decision_function(ROWS), expected)


def test_without_skrub_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skrub", None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn-fsad\[tables\]'"):
        make_table_pipeline(ProtoNetDetector())


# --- many tasks -----------------------------------------------------------------------------------


def test_every_detector_is_meta_fitted_on_tables_and_keeps_the_names(learner):
    pipe = meta_fit_pipeline(make_table_pipeline(learner), TASKS).fit(X, Y)
    assert list(pipe[-1].feature_names_in_) == SEEN
    assert pipe.score(ROWS, LABELS) > 0.7
    assert pipe[-1].pretrained.info["n_tasks"] == len(TASKS)


def as_flat():
    frames, labels = zip(*TASKS, strict=True)
    groups = np.repeat(np.arange(len(TASKS)), len(LABELS))
    return pd.concat(frames), np.concatenate(labels), groups


def test_every_form_of_tasks_gives_the_same_scores():
    pipe = make_table_pipeline(LEARNERS["prototypes"])
    expected = meta_fit_pipeline(pipe, TASKS).fit(X, Y).decision_function(ROWS)
    flat_X, flat_y, groups = as_flat()
    in_polars = [(pl.from_pandas(X_t), y_t) for X_t, y_t in TASKS]
    as_categories = [(X_t.astype({"oil": "category"}), y_t) for X_t, y_t in TASKS]
    for made in (
        meta_fit_pipeline(pipe, dict(enumerate(TASKS))),
        meta_fit_pipeline(pipe, flat_X, flat_y, groups=groups),
        meta_fit_pipeline(pipe, as_categories),
    ):
        np.testing.assert_array_equal(made.fit(X, Y).decision_function(ROWS), expected)
    made = meta_fit_pipeline(pipe, in_polars).fit(pl.from_pandas(X), Y)
    np.testing.assert_array_equal(made.decision_function(pl.from_pandas(ROWS)), expected)


def test_categories_of_all_tasks_are_known_in_each():
    tasks = [(X_t.assign(oil=f"oil {i}"), y_t) for i, (X_t, y_t) in enumerate(TASKS)]
    pipe = meta_fit_pipeline(make_table_pipeline(LEARNERS["prototypes"]), tasks).fit(X, Y)
    assert [name for name in pipe[-1].feature_names_in_ if name.startswith("oil")] == [
        f"oil_oil {i}" for i in range(len(TASKS))
    ]


def test_gaps_may_be_filled_in_each_task():
    imputer = KNNImputer().set_output(transform="pandas")
    pipe = make_table_pipeline(LEARNERS["prototypes"], imputer=imputer)
    pipe = meta_fit_pipeline(pipe, TASKS, per_task=["imputer"]).fit(X, Y)
    assert list(pipe[-1].feature_names_in_) == SEEN
    assert pipe.score(ROWS, LABELS) > 0.7


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda X_t: X_t.drop(columns="oil").assign(grease=1.0),
            r"Task 'c' has other columns.*\['oil'\] missing, \['grease'\] added",
        ),
        (
            lambda X_t: X_t.astype({"load": object}).replace(
                {"load": {X_t["load"].iloc[-1]: "?!"}}
            ),
            "Task 'c': X holds '\\?!' in column 'load', row 37, where fit saw numbers",
        ),
    ],
)
def test_a_task_that_does_not_fit_is_named_with_its_column(change, told):
    tasks = dict(zip("abcde", TASKS, strict=True))
    tasks["c"] = change(tasks["c"][0]), tasks["c"][1]
    with pytest.raises(ValueError, match=told):
        meta_fit_pipeline(make_table_pipeline(LEARNERS["prototypes"]), tasks)
