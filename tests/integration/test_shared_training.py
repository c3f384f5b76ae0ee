"""Meta-training that several processes share comes out as that of one process."""

import copy
import os
import pickle
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from families import TESTS, new_task
from shared_cases import NET, ODD, PLAIN, detectors, meta_fitted
from sklearn.base import clone

from sklearn_fsad import MAMLDetector, MetaState, ProtoNetDetector

accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.xdist_group("shared_training"),  # its fixtures take long
]
N = 2
CASES = list(detectors({}))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Folder in which each of two processes has left its states."""
    folder = tmp_path_factory.mktemp("shared")
    path = os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={N}",
    ]
    subprocess.run(
        [*launch, str(TESTS / "shared_cases.py"), str(folder)],
        check=True,
        timeout=300,
        env={
            **os.environ,
            "PYTHONPATH": path,
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": "1",
        },
    )
    return folder


def states(two, name):
    return [MetaState.load(two / f"{name} {rank}") for rank in range(N)]


@pytest.fixture(scope="module")
def alone():
    return {name: meta_fitted(detector).pretrained for name, detector in detectors({}).items()}


@pytest.mark.parametrize("name", CASES)
def test_all_processes_end_with_one_state(two, name):
    first, second = states(two, name)
    assert first == second


@pytest.mark.parametrize("name", CASES)
def test_two_processes_learn_what_one_learns(two, alone, name):
    expected, found = alone[name], states(two, name)[0]
    assert found.arrays.keys() == expected.arrays.keys()
    rtol, atol = (1e-7, 1e-9) if name == "mix" else (1e-5, 1e-5)  # float64, float32
    for key, array in expected.arrays.items():
        np.testing.assert_allclose(found.arrays[key], array, rtol, atol, err_msg=key)


@pytest.mark.parametrize("name", CASES)
def test_the_tolerance_is_far_below_what_training_changes(alone, name):
    brief = meta_fitted(detectors({})[name].set_params(max_epochs=1)).pretrained
    moved = [
        np.abs(brief.arrays[k] - v).max() for k, v in alone[name].arrays.items() if _learned(k)
    ]
    assert max(moved) > 1e-3


def _learned(key):
    return key == "theta" or key.startswith(("embed", "network"))


@pytest.mark.parametrize("name", CASES)
def test_the_history_is_that_of_one_process(two, alone, name):
    expected, found = alone[name].info["history"], states(two, name)[0].info["history"]
    assert len(found) == len(expected) == 2
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_every_episode_is_drawn_by_one_process(two):
    drawn = [state.arrays["drawn"] for state in states(two, "facts")]
    pairs = [{tuple(pair) for pair in part.tolist()} for part in drawn]
    whole = {(epoch, index) for epoch in range(3) for index in range(7)}
    assert set.union(*pairs) == whole
    # more than once: those that fill up a short share, and the one that the processes compare
    assert sum(len(part) for part in drawn) <= len(whole) + 3 + N


def test_processes_whose_generators_part_still_agree(two):
    first, second = (state.arrays["weight"] for state in states(two, "facts"))
    np.testing.assert_array_equal(first, second)
    assert (np.abs(first - 1.0) > 1e-3).all()


def test_processes_that_would_not_train_the_same_are_refused_in_each(two):
    for state in states(two, "facts"):
        assert "integer random_state" in state.info["refusals"]["no seed"]


def test_a_loss_that_diverges_is_reported_by_each_process(two):
    for state in states(two, "facts"):
        assert state.info["refusals"]["diverges"].startswith("MetaTrainingDivergedError")


def test_a_checkpoint_is_read_by_all_processes(two):
    assert all(state.info["again"] for state in states(two, "facts"))


def test_generator_and_threads_are_left_as_they_were(two):
    assert all(state.info["untouched"] for state in states(two, "facts"))


# --- one process ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", CASES)
def test_an_accelerator_of_one_process_changes_no_bit(alone, name):
    shared = detectors({"accelerator": accelerate.Accelerator})[name]
    assert meta_fitted(shared).pretrained == alone[name]


def test_the_parameter_survives_clone_copy_and_pickle():
    make = partial(accelerate.Accelerator, cpu=True)
    detector = ProtoNetDetector(net_params={"accelerator": make, **PLAIN})
    for same in (clone(detector), copy.deepcopy(detector), pickle.loads(pickle.dumps(detector))):
        kept = same.get_params()["net_params"]
        assert kept["accelerator"].func is accelerate.Accelerator
        assert kept["accelerator"].keywords == {"cpu": True}


def test_an_instance_is_refused_with_what_to_give_instead():
    detector = detectors({"accelerator": accelerate.Accelerator()})["early stopping"]
    with pytest.raises(TypeError, match=r"the class accelerate\.Accelerator"):
        meta_fitted(detector)


def test_processes_that_accelerate_does_not_know_of_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    detector = detectors({"accelerator": lambda: SimpleNamespace(num_processes=1)})["mix"]
    with pytest.raises(ValueError, match=r"2 processes were launched.*ACCELERATE_USE_CPU"):
        meta_fitted(detector)


def test_fit_trains_in_its_own_process():
    def never():
        raise AssertionError("fit must not wait for other processes")

    X, y, query, _ = new_task()
    detector = MAMLDetector(**NET, **{**ODD, "n_normal": (4, 9)})
    expected = detector.fit(X, y).score_samples(query)
    detector.set_params(net_params={"accelerator": never})
    np.testing.assert_array_equal(detector.fit(X, y).score_samples(query), expected)
    with pytest.raises(AssertionError, match="must not wait"):
        meta_fitted(detector)


def test_the_generator_of_torch_is_left_alone_in_one_process():
    before, n_threads = torch.get_rng_state(), torch.get_num_threads()
    meta_fitted(detectors({"accelerator": accelerate.Accelerator})["early stopping"])
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == n_threads
    assert not torch.distributed.is_initialized()
