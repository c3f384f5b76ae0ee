"""Copies, weights files and devices: what is damaged or not there is refused, the fit stays.

The numbers in the names are those of the list of faults that the project promises about.
"""

import copy
import os
import pickle
import signal
import subprocess
import sys

import cloudpickle
import joblib
import numpy as np
import pytest
import skops.io
import torch
from families import (
    META_FITTED,
    make_detector,
    methods_of,
)
from safetensors import safe_open
from safetensors.numpy import save_file

from sklearn_fsad import MetaState
from sklearn_fsad.exceptions import WeightsError

pytestmark = [
    pytest.mark.filterwarnings("error::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:X has feature names"),
    pytest.mark.usefixtures("few_trees", "few_lessons"),
]


# --- 30: persistence; pickle, joblib and deepcopy are in test_states ------------------------------
def through_skops(detector):
    data = skops.io.dumps(detector)
    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


COPIES = {
    "cloudpickle": lambda detector: pickle.loads(cloudpickle.dumps(detector)),
    "skops": through_skops,
}


@pytest.mark.parametrize("way", COPIES)
def test_30_copies_by_cloudpickle_and_skops_score_alike(ready, task, way):
    detector, query = ready, task[2]
    other = COPIES[way](detector)
    assert other.pretrained == detector.pretrained
    assert other.state_ == detector.state_
    np.testing.assert_array_equal(other.decision_function(query), detector.decision_function(query))
    more = query[:3]
    np.testing.assert_array_equal(
        other.partial_fit(more).score_samples(query),
        detector.partial_fit(more).score_samples(query),
    )


def test_30_types_that_skops_is_asked_to_trust_are_ours(ready):
    data = skops.io.dumps(ready)
    assert {name.split(".")[0] for name in skops.io.get_untrusted_types(data=data)} <= {
        "sklearn_fsad"
    }


SAVED = {
    "pickle": pickle.dumps,
    "hash of joblib": joblib.hash,
    "deepcopy": lambda detector: pickle.dumps(copy.deepcopy(detector)),
}
READS = (
    "predict_proba",
    "p_values",
    "feature_scores",
    "transform",
    "evidence_scores",
    "feature_errors",
    "predict_distribution",
)


def read_all(detector, query, query_y):
    for name in methods_of(detector, *READS):
        getattr(detector, name)(query[:3])
    detector.diagnose(query, query_y)
    getattr(detector, "adaptation_report_", None)


def test_30_what_is_saved_does_not_change_by_scoring(ready, task):
    before = {way: saved(ready) for way, saved in SAVED.items()}
    read_all(ready, *task[2:])
    for way, saved in SAVED.items():
        assert saved(ready) == before[way], way


@pytest.mark.parametrize("name", ["meta-fitted", "in context"])
def test_30_nor_with_a_single_anomaly_that_fit_cannot_leave_out(name, task):
    X, y, query, query_y = task
    kept = np.cumsum(y) <= 1
    detector = make_detector(name).fit(X[kept], y[kept])
    before = skops.io.dumps(detector)
    read_all(detector, query, query_y)
    assert len(skops.io.dumps(detector)) == len(before)


# --- 31: weights files; more kinds of damage are in test_state ------------------------------------
def rewritten(path, change):
    """Change the arrays of a file and leave what it says of itself as it is."""
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    save_file(change(arrays), path, metadata=metadata)


def first_of(arrays):
    return next((name, array) for name, array in arrays.items() if array.size)


def without_first(arrays):
    name, _ = first_of(arrays)
    return {n: array for n, array in arrays.items() if n != name}


def spoilt_first(arrays, spoil):
    name, array = first_of(arrays)
    return {**arrays, name: spoil(array)}


DAMAGE = {
    "a missing array": without_first,
    "an extra array": lambda arrays: {**arrays, "more": np.zeros(2)},
    "a misshaped array": lambda arrays: spoilt_first(arrays, lambda a: np.append(a, a)),
    "another type": lambda arrays: spoilt_first(arrays, lambda a: a.astype(np.int8)),
    "NaN": lambda arrays: spoilt_first(arrays, lambda a: np.full_like(a, np.nan, dtype=float)),
}


@pytest.mark.parametrize("name", [*META_FITTED, "in context"])
def test_31_a_damaged_weights_file_is_refused_and_the_estimator_stays(name, fitted, task, tmp_path):
    X, y, query, _ = task
    detector = fitted[name]
    state, expected = detector.state_, detector.decision_function(query)
    for damage, change in DAMAGE.items():
        path = tmp_path / f"{damage}.safetensors"
        state.save(path)
        rewritten(path, change)
        detector.set_params(pretrained=path)
        with pytest.raises(WeightsError, match=f"{damage}.* is damaged"):
            detector.fit(X, y)
        assert detector.state_ is state
        np.testing.assert_array_equal(detector.decision_function(query), expected)


@pytest.mark.parametrize("name", [*META_FITTED, "in context"])
def test_31_a_file_signed_again_after_an_array_was_lost_is_refused_by_its_path(
    name, fitted, task, tmp_path
):
    X, y, query, _ = task
    detector = fitted[name]
    state, expected = detector.state_, detector.decision_function(query)
    lost = [n for n in state.arrays if n.startswith(("net", "embed."))] or ["closed"]
    arrays = {n: array for n, array in state.arrays.items() if n != lost[0]}
    path = tmp_path / "lost.safetensors"
    facts = (state.architecture, arrays, state.n_features_in, state.feature_names_in, state.info)
    MetaState(state.detector, *facts).save(path)
    with pytest.raises(
        WeightsError, match=r"lost\.safetensors has missing or wrongly shaped arrays"
    ):
        detector.set_params(pretrained=path).fit(X, y)
    np.testing.assert_array_equal(detector.decision_function(query), expected)


# --- 32: saving -----------------------------------------------------------------------------------
KILLED_WHILE_SAVING = """
import os, signal, sys
from sklearn_fsad import MetaState
state = MetaState.load(sys.argv[1])

def kill(*args):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(os, sys.argv[2], kill)
MetaState("StubDetector", {}, dict(state.arrays), None).save(sys.argv[1])
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_32_a_process_killed_while_saving_leaves_the_former_file_whole(
    function, meta_fitted, tmp_path
):
    path = tmp_path / "state.safetensors"
    meta_fitted.pretrained.save(path)
    command = [sys.executable, "-c", KILLED_WHILE_SAVING, str(path), function]
    process = subprocess.run(command, capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert MetaState.load(path) == meta_fitted.pretrained
    assert [part.suffix for part in tmp_path.iterdir() if part != path] == [".part"]
    MetaState("StubDetector", {}, {}, None).save(path)  # what the dead one left is in nobody's way
    assert MetaState.load(path).detector == "StubDetector"


# --- 33: devices ----------------------------------------------------------------------------------
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "gpu", "mps"])
def test_33_a_device_that_is_not_there_is_refused_at_fit(each_class, task, device):
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("there is a device of Apple here")
    X, y, query, _ = task
    expected = each_class.fit(X, y).decision_function(query)
    each_class.set_params(device=device)
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used here: .*device='cpu'"):
        each_class.fit(X, y)
    np.testing.assert_array_equal(each_class.decision_function(query), expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("name", META_FITTED)
def test_33_a_device_that_is_not_there_is_refused_at_meta_fit(name, family):
    detector = make_detector(name)
    state = detector.pretrained
    with pytest.raises(ValueError, match="device='cuda' cannot be used here"):
        detector.set_params(device="cuda").meta_fit(family)
    assert detector.pretrained is state
