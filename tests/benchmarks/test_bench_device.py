"""The comparison of a device with the CPU: here of the CPU with itself."""

import pytest
import torch

MODULES = ("speed.device", "speed.device_cases")


@pytest.fixture
def few_cases(bench, monkeypatch):
    """Three cases that hardly learn, and few rows."""
    cases, little = bench.speed.device_cases, {"max_epochs": 1, "episodes_per_epoch": 4}
    brief = {name: value for name, value in cases.SHORT.items() if name not in little}
    for name, value in {"N_TASKS": 4, "N_QUERIES": 20}.items():
        monkeypatch.setattr(cases, name, value)
    few = {
        "mix": cases.Case("ProtoNetDetector", {**brief, **little}, True),
        "process": cases.Case("NeuralProcessDetector", {**brief, **little}, False),
        "unknown": cases.Case("ProtoNetDetector", {"unknown": 1}, False),
    }
    monkeypatch.setattr(bench.speed.device, "CASES", few)
    monkeypatch.setattr(bench.speed.device, "TF32", ("process",))


@pytest.mark.usefixtures("few_cases")
def test_the_cpu_equals_itself_and_what_fails_does_not_hide_the_rest(bench):
    result = bench.speed.device.run_on_device("cpu")
    assert result.failed
    rows = [line for line in result.text.splitlines() if "FAILED" in line]
    assert len(rows) == 1
    assert rows[0].startswith("| unknown")
    assert "unexpected keyword argument 'unknown'" in result.text  # the traceback
    for found in ("state elsewhere", "pickle elsewhere", "TF32", "settings of torch as before"):
        assert found in result.text, found


def test_weights_that_differ_are_told(bench):
    device, cases = bench.speed.device, bench.speed.device_cases
    rows = cases.make_rows()
    here, there = (
        cases.learn(cases.Case("ProtoNetDetector", {}, False), "cpu", rows) for _ in range(2)
    )
    assert device._alike(here, there) == (True, "0.0e+00")
    there.detector._adaptation.values["weights"] = here.weights["adapted weights"] + 0.01
    assert not device._alike(here, there)[0]
    assert not device._as_before(here, there)[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_the_device_the_command_says_so(bench, capsys, tmp_path):
    words = ["speed", "--device", "cuda", "--results", str(tmp_path)]
    assert bench.main(words) == 2
    assert "run.py speed: device 'cuda' cannot be used here" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
