"""Test the programs that the benchmarks time, and generators of tasks."""

import numpy as np
import pytest

from sklearn_fsad.datasets import make_sinusoid_tasks

MODULES = ("measures.generated", "methods.support", "speed.fitting", "speed.steps")


@pytest.mark.parametrize("order", ["second", "first"])
def test_methods_of_the_speed_benchmark_agree(bench, order):
    steps = bench.speed.steps
    tasks = steps.make_tasks(n_tasks=3, n_support=8, n_query=6, n_features=4)
    modules = {o: steps.make_module(a, 4, (5, 3)) for o, a in steps.ORDERS.items()}
    results = {name: make(modules[order], tasks)() for name, make in steps.META_STEPS.items()}
    loss, gradients = results[steps.OURS]
    for other_loss, other_gradients in results.values():
        assert float(other_loss) == pytest.approx(float(loss), rel=1e-5)
        assert steps.relative_difference(other_gradients, gradients) < 1e-4
    (another,) = (module for o, module in modules.items() if o != order)
    _, of_another_order = steps.META_STEPS[steps.LOOP](another, tasks)()
    assert steps.relative_difference(of_another_order, gradients) > 1e-3


def test_points_off_a_shifted_sine_are_told_by_the_support_alone(bench):
    tasks = [(task.X, task.y) for task in make_sinusoid_tasks(4, random_state=0)]
    for X, y in tasks:
        assert X.shape == (180, 2)
        assert (y == 1).sum() == 70
        assert np.abs(X[:, 1]).max() < 1.6  # one curve or another: the height alone says nothing
    shots = ((50, 0),)
    measure, methods = bench.measures.generated.measure, bench.methods.support
    nearest = measure(methods.Neighbours(1), tasks, shots)["50,0"]
    distance = measure(methods.Mahalanobis(), tasks, shots)["50,0"]
    assert distance < 0.65 < 0.9 < nearest


def test_costs_of_every_kind_are_measured(bench, monkeypatch):
    monkeypatch.setattr(bench.speed.fitting, "N_ROWS", 8)
    monkeypatch.setattr(bench.speed.fitting, "N_ROWS_WITH_HOLES", 8)
    little = {"max_epochs": 0, "contamination": 0.1}
    monkeypatch.setattr(
        bench.speed.fitting, "PROCESSES", {"tnp": {"kind": "tnp"}, "cnp": {"kind": "cnp"}}
    )
    rows = bench.speed.fitting.process_costs(1, widths=(3,), **little)
    assert [row["kind"] for row in rows] == ["tnp", "cnp"]
    assert all(row["rows / s"] > 0 for row in rows)


def test_what_a_table_in_context_costs(bench, monkeypatch):
    for name, size in {
        "CONTEXT_FEATURES": 3,
        "NORMAL": 20,
        "ANOMALOUS": 2,
        "CONTEXT_ROWS": 30,
    }.items():
        monkeypatch.setattr(bench.speed.fitting, f"N_{name}", size)
    taken = []

    def seconds(functions, rounds):
        taken.append([np.shape(function()) for function in functions.values()])
        return {name: 0.5 * (i + 1) for i, name in enumerate(functions)}

    rows = bench.speed.fitting.in_context_costs(1, seconds)
    assert taken[1] == [(30,)] * 4
    assert [row["score, s"] for row in rows] == [0.5, 1.0, 1.5, 2.0]
    assert rows[0]["score / KNN's"] == pytest.approx(1 / 3)
    assert rows[1]["score / IForest's"] == 0.5
