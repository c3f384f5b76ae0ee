"""torch computes in its usual settings and in one thread, and what was set is as it was."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from threadpoolctl import ThreadpoolController, threadpool_limits

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad._training.usual_torch import usual_torch


@pytest.fixture(autouse=True)
def inherited_precision():
    """``set_float32_matmul_precision`` leaves a precision of its own, even "highest"."""
    torch.backends.mkldnn.matmul.fp32_precision = "none"


@contextmanager
def changed(get, put, value):
    """Change a setting of torch, and see that nobody else has changed it within the block."""
    former = get()
    put(value)
    try:
        yield
        assert get() == value
    finally:
        put(former)


def flushes():
    return torch.tensor(5e-324, dtype=torch.float64).mul(1.0).item() == 0.0


def precision(part):
    return lambda: part.fp32_precision, lambda value: setattr(part, "fp32_precision", value)


SETTINGS = {
    "two threads": lambda: changed(torch.get_num_threads, torch.set_num_threads, 2),
    "default device": lambda: changed(
        torch.get_default_device, torch.set_default_device, torch.device("meta")
    ),
    "device of a block": lambda: torch.device("meta"),
    "float64": lambda: changed(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "bfloat16": lambda: changed(torch.get_default_dtype, torch.set_default_dtype, torch.bfloat16),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "flushed denormals": lambda: changed(flushes, torch.set_flush_denormal, True),
    "medium precision": lambda: changed(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "bf16 everywhere": lambda: changed(*precision(torch.backends), "bf16"),
    "bf16 in products": lambda: changed(*precision(torch.backends.mkldnn.matmul), "bf16"),
}


def seen():
    """Return the settings of torch as they stand now."""
    new = torch.ones(2)
    return {
        "threads": torch.get_num_threads(),
        "device": new.device.type,
        "dtype": new.dtype,
        "inference": torch.is_inference_mode_enabled(),
        "gradients": torch.is_grad_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "flushes": None if new.is_meta else flushes(),
        "products": precision(torch.backends.mkldnn.matmul)[0]() in ("bf16", "tf32"),
    }


def in_thread(function):
    """Return what a function returns in a thread that has just started."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_block_has_the_usual_settings_and_leaves_those_that_were(name):
    with changed(torch.get_num_threads, torch.set_num_threads, 1):
        usual = seen()
    with SETTINGS[name]():
        before = seen()
        assert before != usual
        with usual_torch():
            assert seen() == usual
            with usual_torch():
                assert seen() == usual
            assert seen() == usual
        assert seen() == before
        with pytest.raises(KeyError), usual_torch():
            raise KeyError
        assert seen() == before


def test_threads_that_start_meanwhile_have_the_number_of_the_user():
    def both():
        before = torch.get_num_threads()
        with usual_torch():
            within = torch.get_num_threads()
        return before, within, torch.get_num_threads()

    with changed(torch.get_num_threads, torch.set_num_threads, 3):
        with usual_torch():
            assert in_thread(both) == (3, 1, 3)
        assert in_thread(torch.get_num_threads) == 3


def test_the_last_thread_to_leave_restores_what_all_share():
    may_leave, has_entered = threading.Event(), threading.Event()

    def stay():
        with usual_torch():
            has_entered.set()
            may_leave.wait()

    with changed(torch.get_default_dtype, torch.set_default_dtype, torch.float64):
        other = threading.Thread(target=stay)
        with usual_torch():
            other.start()
            has_entered.wait()
        assert torch.get_default_dtype() == torch.float32  # the other one still computes
        may_leave.set()
        other.join()
        assert torch.get_default_dtype() == torch.float64


def test_what_the_user_sets_meanwhile_stays():
    with changed(torch.get_default_dtype, torch.set_default_dtype, torch.float16):
        with usual_torch():
            in_thread(lambda: torch.set_default_dtype(torch.float64))
        assert torch.get_default_dtype() == torch.float64
        torch.set_default_dtype(torch.float16)


def test_a_precision_that_was_inherited_still_is():
    with changed(*precision(torch.backends), "bf16"), usual_torch():
        pass
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"


def test_convolutions_on_cuda_are_not_of_tf32_within_a_block():
    get, put = precision(torch.backends.cudnn.conv)
    with changed(get, put, "tf32"):
        with usual_torch():
            assert get() == "ieee"
        assert get() == "tf32"


def threads_of_blas():
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    return {library.num_threads for library in libraries}


def test_products_of_numpy_and_scipy_use_one_thread_while_a_detector_computes(monkeypatch):
    within, X = [], np.random.default_rng(0).normal(size=(30, 3))
    detector = ProtoNetDetector()
    adapted = ProtoNetDetector._adapted_to

    def watched(*given):
        within.append(threads_of_blas())
        return adapted(*given)

    monkeypatch.setattr(ProtoNetDetector, "_adapted_to", watched)
    with threadpool_limits(2, user_api="blas"):
        detector.fit(X)
        assert threads_of_blas() == {2}
    assert within
    assert all(threads == {1} for threads in within)
