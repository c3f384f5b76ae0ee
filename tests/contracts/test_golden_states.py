"""States saved by this and by earlier versions load and give the scores that they gave."""

import pickle
import warnings
from unittest.mock import patch

import numpy as np
import pytest
from golden_states import CASES, DETECTORS, GOLDEN, SHIPPED, fitted, rows, stored
from scipy.stats import spearmanr

from sklearn_fsad import MetaState, __version__
from sklearn_fsad.exceptions import InconsistentVersionWarning

TREES = ("0.1.0", "tabular-v1")  # whose random trees are drawn otherwise since


@pytest.mark.parametrize(("version", "name", "kind"), CASES)
def test_a_state_scores_as_it_did(version, name, kind):
    golden, detector = stored(version), fitted(version, name, kind)
    *_, query = rows(golden, kind)
    scores, expected = detector.score_samples(query), golden[f"{name}/{kind}"]
    if (version, name) == TREES and kind == "labelled":
        assert spearmanr(scores, expected).statistic > 0.98
        assert np.abs(scores - expected).mean() < 0.1 * expected.std()
        return
    np.testing.assert_allclose(scores, expected, rtol=1e-9)
    np.testing.assert_allclose(detector.offset_, golden[f"{name}/{kind}/offset"], rtol=1e-9)


@pytest.mark.parametrize(("version", "name", "kind"), [c for c in CASES if c[2] != "normals"])
def test_its_probabilities_are_those_it_gave(version, name, kind):
    golden = stored(version)
    *_, query = rows(golden, kind)
    found = fitted(version, name, kind).predict_proba(query)[:, 1]
    closeness = {"rtol": 0, "atol": 0.1} if (version, name) == TREES else {"rtol": 1e-7}
    np.testing.assert_allclose(found, golden[f"{name}/{kind}/probability"], **closeness)


SAVED = [(version, name) for version in DETECTORS for name in DETECTORS[version]]


@pytest.mark.parametrize(("version", "name"), [s for s in SAVED if s[1] not in SHIPPED])
def test_it_is_saved_again_as_it_was(version, name, tmp_path):
    state = MetaState.load(GOLDEN / version / f"{name}.safetensors")
    state.save(tmp_path / "again.safetensors")
    assert MetaState.load(tmp_path / "again.safetensors") == state


def test_the_present_version_has_states():
    assert __version__ in DETECTORS


def test_a_pickle_of_another_version_warns():
    detector = fitted("0.1.0", "mix", "labelled")
    query = stored("0.1.0")["query_X"]
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
    np.testing.assert_array_equal(other.score_samples(query), detector.score_samples(query))
