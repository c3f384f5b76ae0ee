"""MetaState: a value that clones, pickles and saves; damaged files are named, never trusted."""

import copy
import io
import json
import os
import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

from sklearn_fsad._state import MetaState, resolve_state
from sklearn_fsad.exceptions import WeightsError

MODULES = ("measures.weights",)


def make_state(**changes):
    arguments = {
        "detector": "StubDetector",
        "architecture": {"hidden": [4, 2], "embedding_dim": 3},
        "arrays": {"weight": np.arange(6.0).reshape(2, 3), "bias": np.float32([0.5, -1.0])},
        "n_features_in": 3,
        "feature_names_in": ["a", "b", "c"],
        "info": {"n_tasks": 7, "history": [0.5, 0.25]},
    }
    return MetaState(**(arguments | changes))


class Holder(BaseEstimator):
    def __init__(self, pretrained=None):
        self.pretrained = pretrained


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "state.safetensors"
    make_state().save(path)
    return path


def test_clone_and_copies_share_the_same_object():
    state = make_state()
    assert clone(Holder(state)).pretrained is state
    assert copy.copy(state) is state
    assert copy.deepcopy({"state": [state]})["state"][0] is state


def test_pickle_round_trip_is_equal_and_read_only():
    state = make_state()
    loaded = pickle.loads(pickle.dumps(state))
    assert loaded == state
    assert hash(loaded) == hash(state)
    with pytest.raises(ValueError, match="read-only"):
        loaded.arrays["weight"][0, 0] = 9


def test_joblib_memmap_round_trip_is_equal(tmp_path):
    joblib.dump(make_state(), tmp_path / "state.joblib")
    assert joblib.load(tmp_path / "state.joblib", mmap_mode="r") == make_state()


def test_arrays_and_mappings_refuse_changes():
    state = make_state()
    with pytest.raises(ValueError, match="read-only"):
        state.arrays["weight"][0, 0] = 9
    with pytest.raises(TypeError):
        state.arrays["weight"] = np.zeros(1)
    with pytest.raises(TypeError):
        state.architecture["hidden"] = 1


def test_changes_to_the_callers_arrays_do_not_reach_the_state():
    weight = np.zeros((2, 3))
    view = weight[:]
    view.flags.writeable = False
    state = make_state(arrays={"weight": weight, "view": view})
    weight += 1
    assert state.arrays["weight"].sum() == state.arrays["view"].sum() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"detector": "Other"},
        {"architecture": {"hidden": [4, 3], "embedding_dim": 3}},
        {"arrays": {"weight": np.arange(6.0).reshape(3, 2), "bias": np.float32([0.5, -1.0])}},
        {"arrays": {"weight": np.arange(6.0).reshape(2, 3), "bias": np.float64([0.5, -1.0])}},
        {"n_features_in": None},
        {"feature_names_in": None},
        {"info": {}},
    ],
)
def test_any_difference_makes_states_unequal(changes):
    assert make_state() == make_state()
    assert make_state(**changes) != make_state()


def test_save_and_load_give_an_equal_state(saved):
    loaded = MetaState.load(saved)
    assert loaded == make_state()
    assert loaded.feature_names_in == ("a", "b", "c")
    assert loaded.arrays["bias"].dtype == np.float32
    assert loaded.n_weights == 8


@pytest.mark.parametrize(
    "array",
    [
        np.float64(3.5),
        np.arange(4.0).astype(">f8"),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 3)),
        np.array([True, False]),
    ],
    ids=["scalar", "big_endian", "fortran", "empty", "bool"],
)
def test_unusual_arrays_survive_saving(tmp_path, array):
    state = make_state(arrays={"a": array})
    state.save(tmp_path / "s.safetensors")
    loaded = MetaState.load(tmp_path / "s.safetensors")
    assert loaded == state
    np.testing.assert_array_equal(loaded.arrays["a"], array)
    assert loaded.arrays["a"].shape == np.shape(array)


def _flip_last_bit(data):
    return data[:-1] + bytes([data[-1] ^ 1])


DAMAGE = {
    "empty": (lambda data: b"", "not a weights file"),
    "truncated": (lambda data: data[:-10], "not a weights file"),
    "cut_in_the_header": (lambda data: data[:20], "not a weights file"),
    "text": (lambda data: b"hello, these are no weights", "not a weights file"),
    "renamed_pickle": (lambda data: pickle.dumps(make_state()), "not a weights file"),
    "flipped_bit": (_flip_last_bit, "damaged"),
    "renamed_array": (lambda data: data.replace(b'"weight":', b'"weighs":'), "damaged"),
    "newer_format": (lambda data: data.replace(rb"\"format\": 1", rb"\"format\": 9"), "format 9"),
    "changed_header": (lambda data: data.replace(b"StubDetector", b"OtheDetector"), "damaged"),
    "unknown_field": (lambda data: data.replace(b"n_features_in", b"n_features_at"), "header"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_file_is_refused_with_path_and_reason(saved, name):
    spoil, reason = DAMAGE[name]
    before = saved.read_bytes()
    saved.write_bytes(spoil(before))
    assert saved.read_bytes() != before
    with pytest.raises(WeightsError, match=reason) as caught:
        MetaState.load(saved)
    assert saved.name in str(caught.value)


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_non_finite_weights_are_refused(tmp_path, spoilt):
    make_state(arrays={"weight": np.array([1.0, spoilt])}).save(tmp_path / "s.safetensors")
    with pytest.raises(WeightsError, match=r"NaN or infinity in \['weight'\]"):
        MetaState.load(tmp_path / "s.safetensors")


def test_safetensors_file_of_another_program_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="not a weights file of sklearn-fsad"):
        MetaState.load(tmp_path / "other.safetensors")


def test_loading_never_unpickles(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    stream = io.BytesIO()
    pickle.dump(Bomb(), stream)
    (tmp_path / "bomb.safetensors").write_bytes(stream.getvalue())
    with pytest.raises(WeightsError):
        MetaState.load(tmp_path / "bomb.safetensors")
    assert not (tmp_path / "exploded").exists()


def test_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"No weights file at .*absent"):
        MetaState.load(tmp_path / "absent.safetensors")
    with pytest.raises(WeightsError, match="No weights file"):
        MetaState.load(tmp_path)


def test_saving_leaves_no_temporary_file(tmp_path):
    make_state().save(tmp_path / "state.safetensors")
    make_state().save(tmp_path / "state.safetensors")
    assert os.listdir(tmp_path) == ["state.safetensors"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_interrupted_saving_keeps_the_former_file(saved, monkeypatch, function):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, function, interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_state(info={"n_tasks": 99}).save(saved)
    assert MetaState.load(saved) == make_state()
    assert os.listdir(saved.parent) == [saved.name]


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_saved_file_has_the_usual_permissions(saved, tmp_path):
    (tmp_path / "plain").write_text("x")
    assert saved.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_metadata_of_the_file_is_json_anyone_can_read(saved):
    from safetensors import safe_open

    with safe_open(saved, framework="numpy") as file:
        header = json.loads(file.metadata()["sklearn_fsad"])
    assert header["detector"] == "StubDetector"
    assert header["info"]["n_tasks"] == 7


def test_resolve_state_takes_a_state_a_path_or_none(saved):
    state = make_state()
    assert resolve_state(None) is None
    assert resolve_state(state) is state
    assert resolve_state(saved) == resolve_state(str(saved)) == state
    with pytest.raises(WeightsError, match="no-such-weights"):
        resolve_state("no-such-weights")


def test_damaged_files_are_refused_and_nothing_in_them_is_executed(bench, tmp_path, saved):
    fuzz = bench.measures.weights
    outcomes = fuzz.fuzz(saved.read_bytes(), 350, 0, tmp_path)
    assert sum(outcomes.values()) == 350
    assert {name.split(": ")[1] for name in outcomes} <= {"refused", "the same"}
    assert {name.split(": ")[0] for name in outcomes} == {d.__name__ for d in fuzz.DAMAGES}
    assert not fuzz.Canary.woken
    pickle.loads(pickle.dumps(fuzz.Canary()))
    assert fuzz.Canary.woken  # the canary would have sung
    fuzz.Canary.woken = False
