"""Test that five journeys from data to a report issue no warning; pytest raises warnings."""

import numpy as np
import pandas as pd
import pytest
from families import make_task
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    NeuralProcessDetector,
    ProtoNetDetector,
    TaskSet,
    meta_fit_pipeline,
)
from sklearn_fsad.datasets import tasks_from_folder
from sklearn_fsad.model_selection import report, summary

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("few_trees", "few_lessons"),
]
# networks of one epoch lose to their closed form, and say so
untrained = pytest.mark.filterwarnings(
    "ignore:On held-out tasks the network was not:sklearn_fsad.exceptions.AdaptationWarning"
)
NAMES = ["current", "flow", "heat", "noise", "pressure"]
BRIEF = {"episodes_per_epoch": 8, "max_epochs": 1, "random_state": 0}


def machine(seed, gaps=False):
    """Readings of a machine in the order of time, as a frame with a label for each."""
    rng = np.random.default_rng(seed)
    X, y = make_task(rng, 60, 15)
    frame = pd.DataFrame(X, columns=NAMES)
    if gaps:
        frame = frame.mask(rng.random(X.shape) < 0.02)
    return frame, y


def test_from_csv_files_with_times_and_gaps_to_a_ranked_list(tmp_path):
    for i in range(6):
        frame, y = machine(i, gaps=True)
        frame.insert(0, "timestamp", pd.date_range("2024", periods=len(y), freq="min"))
        frame.assign(anomaly=y).to_csv(tmp_path / f"machine_{i}.csv", index=False)
    tasks = tasks_from_folder(tmp_path, label="anomaly", drop="timestamp", allow_nan=True)
    pipe = make_pipeline(SimpleImputer(), ProtoNetDetector(**BRIEF))
    pipe = meta_fit_pipeline(pipe, tasks)
    frame, y = machine(9, gaps=True)
    pipe.fit(frame[:40], y[:40])
    found = report(pipe, frame[40:], top=5)
    assert len(found) == 5
    assert set(found["column_1"]) <= set(NAMES)
    assert "6 tasks" in str(summary(pipe))


def test_embeddings_of_eight_products():
    rng = np.random.default_rng(0)
    tasks = {f"product {i}": make_task(rng, 40, 6, 64) for i in range(8)}
    detector = ProtoNetDetector(**BRIEF).meta_fit(tasks)
    X, y = make_task(rng, 40, 6, 64)
    detector.fit(X[:20])
    assert 0.0 <= detector.score(X[20:], y[20:]) <= 1.0
    assert detector.diagnose(X[20:], y[20:]).n_anomalous == 6
    assert len(detector.report(X[20:], top=3)) == 3


def test_one_table_of_which_five_anomalies_are_known():
    frame, y = machine(0)
    known = np.full(len(y), np.nan)
    known[np.flatnonzero(y)[:5]] = 1
    detector = InContextDetector(outlier_label=1, random_state=0).fit(frame, known)
    assert set(detector.predict(frame)) <= {1, -1}
    assert list(detector.report(frame, top=3)["column_1"].isin(NAMES)) == [True] * 3
    assert detector.predict_proba(frame).shape == (len(y), 2)


@untrained
def test_sensors_in_frames_through_a_pipeline_with_maml():
    tasks = TaskSet({f"machine {i}": machine(i) for i in range(6)})
    pipe = make_pipeline(SimpleImputer(), MAMLDetector(**BRIEF))
    pipe = meta_fit_pipeline(pipe, tasks)
    frame, y = machine(9)
    pipe.fit(frame[:40], y[:40])
    assert np.isfinite(pipe.score_samples(frame[40:])).all()
    assert len(report(pipe, frame[40:], top=3)) == 3


@untrained
def test_gaps_with_a_neural_process():
    tasks = TaskSet({f"machine {i}": machine(i, gaps=True) for i in range(6)}, allow_nan=True)
    detector = NeuralProcessDetector(embedding_dim=8, n_masks=2, **BRIEF).meta_fit(tasks)
    frame, y = machine(9, gaps=True)
    detector.fit(frame[:40], y[:40])
    assert len(detector.report(frame[40:], top=3)) == 3
    assert np.isfinite(detector.p_values(frame[40:])).all()
    assert "6 tasks" in str(detector.summary())
