"""No setting of torch changes a score, and every setting is as it was afterwards."""

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import torch
from families import (
    EACH_CLASS,
    make_detector,
    make_family,
    methods_of,
    unlearned,
)

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")
ROWS = 4
READ = (
    "decision_function",
    "predict_proba",
    "feature_scores",
    "transform",
    "evidence_scores",
    "predict_distribution",
)


@contextmanager
def set_once_for_all():
    """Settings that a script makes at its top."""
    dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    torch.set_default_device("meta")
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(True)
    try:
        yield
        assert torch.get_default_device() == torch.device("meta")
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_num_threads() == 2
        assert not torch.is_grad_enabled()
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(dtype)
        torch.set_num_threads(1)
        torch.set_grad_enabled(True)
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(False)


@contextmanager
def set_for_a_block():
    """Settings that a block makes."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with ExitStack() as block:
            block.enter_context(torch.device("cpu"))
            block.enter_context(torch.inference_mode())
            block.enter_context(torch.autocast("cpu", dtype=torch.bfloat16))
            block.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "Anomaly Detection has been enabled")
            block.enter_context(torch.autograd.set_detect_anomaly(True))
            yield
            assert torch.get_default_dtype() == torch.bfloat16
            assert torch.is_inference_mode_enabled()
            assert torch.is_autocast_enabled("cpu")
            assert torch.is_anomaly_enabled()
    finally:
        torch.set_default_dtype(dtype)


every_way = pytest.mark.parametrize("settings", [set_once_for_all, set_for_a_block])


def told(detector, query):
    """Everything that a fitted detector says about some rows."""
    told = {name: getattr(detector, name)(query) for name in methods_of(detector, *READ)}
    return told | {"report": getattr(detector, "adaptation_report_", None)}


@every_way
def test_a_loaded_detector_tells_the_same(ready, task, settings):
    query = task[2][:ROWS]
    loaded = copy.deepcopy(ready)
    expected = told(ready, query)
    with settings():
        found = told(loaded, query)
    for name, values in expected.items():
        np.testing.assert_equal(found[name], values, err_msg=name)


@every_way
@pytest.mark.parametrize("name", [*EACH_CLASS, "self-taught process"])
def test_fit_learns_the_same(name, task, settings):
    X, y, query, _ = task
    expected = make_detector(name).fit(X, y).decision_function(query)
    with settings():
        detector = make_detector(name).fit(X, y)
    np.testing.assert_array_equal(detector.decision_function(query), expected)


@pytest.mark.parametrize("name", ["mix", "mlp", "residual maml", "meta-fitted np", "in context"])
def test_meta_fit_learns_the_same(name):
    brief = {"episodes_per_epoch": 4, "max_epochs": 1}
    expected = unlearned(name).set_params(**brief).meta_fit(make_family(4))
    with set_once_for_all():
        found = unlearned(name).set_params(**brief).meta_fit(make_family(4))
    assert found.pretrained == expected.pretrained


def test_an_error_leaves_the_settings(each_class):
    with set_once_for_all(), pytest.raises(ValueError, match="not labelled as anomalies"):
        each_class.fit(np.eye(2), [0, 1])


@pytest.mark.parametrize("name", EACH_CLASS)
def test_threads_that_fit_at_once_leave_the_settings(name, task):
    X, y, query, _ = task
    expected = make_detector(name).fit(X, y).decision_function(query)

    def fitted(_):
        found = make_detector(name).fit(X, y).decision_function(query)
        return found, torch.get_num_threads()

    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
    try:
        with ThreadPoolExecutor(3) as pool:
            for found, n_threads in pool.map(fitted, range(6)):
                np.testing.assert_array_equal(found, expected)
                assert n_threads == 2
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(1)
