"""Graphs of ONNX give the scores and the labels of the detectors they were written from."""

import sys

import numpy as np
import pytest

from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    NeuralProcessDetector,
    ProtoNetDetector,
    distil,
)

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(size=(30, 4)), RNG.normal(3.0, 1.0, (4, 4))])
Y = np.repeat([0, 1], [30, 4])
FAR = np.zeros((4, 4))
FAR[:, 1] = [1e4, -1e6, 1e14, -1e15]
OF_SINGLES = 1e-5  # the network of a distilled detector is computed in float32 here
ROWS = np.concatenate([X, 2.0 * RNG.normal(size=(300, 4)), FAR[:2]])


def run(path, rows):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["scores", "anomaly"], {"X": rows})


def agree(detector, path, rows=ROWS, tolerance=1e-9):
    pytest.importorskip("onnx", reason="onnx is not installed")
    detector.to_onnx(path)
    scores, anomaly = run(path, rows)
    expected = detector.score_samples(rows)
    np.testing.assert_allclose(scores, expected, rtol=tolerance, atol=tolerance)
    assert np.array_equal(anomaly == 1, detector.predict(rows) == -1)
    assert 0 < anomaly.sum() < len(rows)


@pytest.fixture(scope="module")
def prototypes():
    tasks = [(RNG.normal(size=(40, 4)), np.repeat([0, 1], [32, 8])) for _ in range(3)]
    detector = ProtoNetDetector(embedding="mlp", max_epochs=1, episodes_per_epoch=8, random_state=0)
    return detector.meta_fit(tasks)


@pytest.mark.parametrize("labels", [None, Y], ids=["normals", "labelled"])
def test_a_prototypical_network_scores_the_same_in_the_runtime(prototypes, labels, tmp_path):
    rows = X if labels is not None else X[:30]
    agree(prototypes.fit(rows, labels), tmp_path / "net.onnx")


def test_prototypes_without_an_embedding_score_the_same(tmp_path):
    agree(ProtoNetDetector(embedding="mlp").fit(X, Y), tmp_path / "net.onnx")


@pytest.mark.parametrize("labels", [None, Y], ids=["normals", "labelled"])
@pytest.mark.parametrize("learner", ["classifier", "autoencoder", "svdd"])
def test_adapted_networks_score_the_same(learner, labels, tmp_path):
    detector = MAMLDetector(learner=learner, residual=False, max_epochs=1, random_state=0)
    rows = X if labels is not None else X[:30]
    agree(detector.fit(rows, labels), tmp_path / "net.onnx")


def test_training_rows_with_a_constant_column_are_found_in_the_graph(tmp_path):
    rows = np.concatenate([X, np.full((len(X), 1), 1e9)], axis=1)
    detector = ProtoNetDetector(embedding="mlp").fit(rows, Y)
    assert not np.allclose(
        detector.score_samples(rows[:30]), detector.score_samples(rows[:30] + 1e-9)
    )
    agree(detector, tmp_path / "net.onnx", rows)


@pytest.mark.filterwarnings("ignore:On held-out tasks")
def test_networks_that_learned_from_embeddings_score_the_same(tmp_path):
    tasks = [(RNG.normal(size=(30, 120)), np.repeat([0, 1], [24, 6])) for _ in range(4)]
    detector = MAMLDetector(residual=False, max_epochs=1, episodes_per_epoch=8, random_state=0)
    detector.meta_fit(tasks).fit(tasks[0][0][:20])
    assert "view_basis" in detector.state_.arrays
    agree(detector, tmp_path / "net.onnx", np.concatenate([task[0] for task in tasks]))


@pytest.mark.parametrize("labels", [None, Y], ids=["normals", "labelled"])
def test_a_distilled_detector_scores_the_same(labels, tmp_path):
    rows = X if labels is not None else X[:30]
    fitted = ProtoNetDetector().fit(rows, labels)
    copy = distil(fitted, min_agreement=-1, n_rows=2000, max_epochs=2, hidden=(16,), random_state=0)
    agree(copy, tmp_path / "net.onnx", np.concatenate([ROWS, FAR]), tolerance=OF_SINGLES)


def test_wide_rows_are_projected_in_the_graph_too(tmp_path):
    rows = RNG.normal(size=(20, 130))
    copy = distil(
        ProtoNetDetector().fit(rows), min_agreement=-1, n_rows=1000, max_epochs=1, random_state=0
    )
    later = np.concatenate([rows, 3.0 * rows, FAR.repeat(33, 1)[:, :130]])
    agree(copy, tmp_path / "net.onnx", later, tolerance=OF_SINGLES)


def test_a_changed_threshold_is_written(tmp_path):
    detector = ProtoNetDetector(embedding="mlp").fit(X, Y)
    agree(detector.set_threshold(contamination=0.4), tmp_path / "net.onnx")


def test_rows_with_missing_values_are_anomalies_in_the_graph(tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed")
    ProtoNetDetector(embedding="mlp").fit(X, Y).to_onnx(tmp_path / "net.onnx")
    rows = np.zeros((3, 4))
    rows[0, 1], rows[1, 2] = np.nan, np.inf
    scores, anomaly = run(tmp_path / "net.onnx", rows)
    assert list(np.isnan(scores)) == [True, True, False]
    assert list(anomaly) == [1, 1, 0]


@pytest.mark.parametrize(
    "detector",
    [
        ProtoNetDetector(),
        MAMLDetector(),
        InContextDetector(),
        NeuralProcessDetector(max_epochs=0, random_state=0),
    ],
    ids=lambda detector: type(detector).__name__,
)
def test_scores_that_are_no_network_are_refused(detector, tmp_path):
    with pytest.raises(ValueError, match=r"not a network alone.*distil\(detector\)\.to_onnx"):
        detector.fit(X, Y).to_onnx(tmp_path / "net.onnx")


def test_a_transformer_as_scaler_and_gaps_are_refused(tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed")
    from sklearn.preprocessing import StandardScaler

    scaled = ProtoNetDetector(embedding="mlp", scaler=StandardScaler()).fit(X, Y)
    with pytest.raises(ValueError, match="scaler='task'"):
        scaled.to_onnx(tmp_path / "net.onnx")
    gap = X.copy()
    gap[0, 0] = np.nan
    with pytest.raises(ValueError, match="missing values or categories"):
        ProtoNetDetector(embedding="mlp").fit(gap, Y).to_onnx(tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_without_onnx_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"sklearn-fsad\[onnx\]"):
        ProtoNetDetector(embedding="mlp").fit(X, Y).to_onnx(tmp_path / "net.onnx")
