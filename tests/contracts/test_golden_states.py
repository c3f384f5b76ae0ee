"""States saved by earlier versions load and give the scores that they gave."""

import pickle
import warnings
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from scipy.stats import spearmanr

from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    MetaState,
    NeuralProcessDetector,
    ProtoNetDetector,
)
from sklearn_fsad.exceptions import FarTaskWarning, InconsistentVersionWarning

GOLDEN = Path(__file__).parents[1] / "golden"
DETECTORS = {  # as they were when version 0.1.0 made tests/golden
    "mix": ProtoNetDetector,
    "mlp": lambda **given: ProtoNetDetector(embedding="mlp", **given),
    "maml": MAMLDetector,
    "neural_process": lambda **given: NeuralProcessDetector(label_evidence=False, **given),
    "in_context": InContextDetector,
    "tabular-v1": InContextDetector,
}
N_NORMAL = {"normals": 12, "labelled": None}  # rows of the support that were given


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "scores.npz")


def fitted(name, kind, golden):
    path = name if name == "tabular-v1" else GOLDEN / f"{name}.safetensors"
    rows = slice(N_NORMAL[kind])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FarTaskWarning)
        return DETECTORS[name](pretrained=path).fit(
            golden["support_X"][rows], golden["support_y"][rows]
        )


@pytest.mark.parametrize("kind", N_NORMAL)
@pytest.mark.parametrize("name", DETECTORS)
def test_a_state_of_version_0_1_0_scores_as_it_did(name, kind, golden):
    detector = fitted(name, kind, golden)
    scores = detector.score_samples(golden["query_X"])
    if (name, kind) == ("tabular-v1", "labelled"):  # whose random trees are drawn otherwise since
        expected = golden[f"{name}/{kind}"]
        assert spearmanr(scores, expected).statistic > 0.98
        assert np.abs(scores - expected).mean() < 0.1 * expected.std()
        return
    np.testing.assert_allclose(scores, golden[f"{name}/{kind}"], rtol=1e-9)
    np.testing.assert_allclose(detector.offset_, golden[f"{name}/{kind}/offset"], rtol=1e-9)


@pytest.mark.parametrize("name", DETECTORS)
def test_its_probabilities_are_those_it_gave(name, golden):
    found = fitted(name, "labelled", golden).predict_proba(golden["query_X"])[:, 1]
    trees = {"rtol": 0, "atol": 0.1} if name == "tabular-v1" else {"rtol": 1e-7}
    np.testing.assert_allclose(found, golden[f"{name}/labelled/probability"], **trees)


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != "tabular-v1"])
def test_it_is_saved_again_as_it_was(name, tmp_path):
    state = MetaState.load(GOLDEN / f"{name}.safetensors")
    state.save(tmp_path / "again.safetensors")
    assert MetaState.load(tmp_path / "again.safetensors") == state


def test_a_pickle_of_another_version_warns(golden):
    detector = fitted("mix", "labelled", golden)
    pickled = pickle.dumps(detector)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = pickle.loads(pickled)
    assert "_sklearn_fsad_version" not in vars(same)
    with (
        patch("sklearn_fsad._detectors.base.versions.__version__", "99.0"),
        pytest.warns(InconsistentVersionWarning, match=r"ProtoNetDetector from version .* 99\.0"),
    ):
        other = pickle.loads(pickled)
    np.testing.assert_array_equal(
        other.score_samples(golden["query_X"]), detector.score_samples(golden["query_X"])
    )
