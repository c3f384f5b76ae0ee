"""Test the programs that the benchmarks time, and generators of tasks."""

import numpy as np
import pytest

from sklearn_fsad.datasets import make_sinusoid_tasks

MODULES = (
    "measures.generated",
    "methods.support",
    "speed.command",
    "speed.families",
    "speed.fitting",
    "speed.fresh",
    "speed.goals",
    "speed.one_table",
    "speed.steps",
    "speed.timing",
)


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
    fitting = bench.speed.fitting
    monkeypatch.setattr(fitting, "N_ROWS", 8)
    monkeypatch.setattr(fitting, "N_ROWS_WITH_HOLES", 8)
    monkeypatch.setattr(fitting, "CASES", ((3, {"kind": "tnp"}), (4, {"kind": "cnp"})))
    section = fitting.processes(1, max_epochs=0, contamination=0.1)
    assert [(row["features"], row["kind"]) for row in section.rows] == [(3, "tnp"), (4, "cnp")]
    assert all(row["rows / s"] > 0 for row in section.rows)
    assert section.figure("fit, s", {"kind": "cnp"}) > 0


def test_methods_on_one_table_take_turns(bench, monkeypatch):
    table = bench.speed.one_table
    monkeypatch.setattr(table, "N_ROWS", 30)
    monkeypatch.setattr(table, "N_SINGLE_ROWS", 2)
    supports = (table.Support(20, 0, 3), table.Support(20, 2, 3))
    monkeypatch.setattr(table, "SCORED", supports)
    monkeypatch.setattr(table, "FITTED", supports)
    shapes = []

    def seconds(functions, rounds):
        shapes.append({name: np.shape(function()) for name, function in functions.items()})
        return {name: 0.5 * (i + 1) for i, name in enumerate(functions)}

    monkeypatch.setattr(table, "median_seconds", seconds)
    scoring, one_row, fits = table.scoring(1), table.one_row(2), table.fits(1)
    ours, others = list(table.OURS), list(table.OF_NORMALS)
    assert [row["method"] for row in scoring.rows][: len(ours + others)] == ours + others
    assert set(shapes[0].values()) == {(30,)}
    assert set(shapes[2].values()) == {(1,)}
    assert f"{2 * table.ROUNDS_OF_ONE_ROW} rounds" in one_row.about
    where = {"support": "20 + 2 x 3", "method": table.IN_CONTEXT}
    knn = 0.5 * (1 + (ours + others).index(table.KNN))
    assert scoring.figure(f"time / {table.KNN}'s", where) == 0.5 / knn
    assert fits.figure("ms", where) == 500.0


def test_goals_stand_beside_their_figures(bench):
    timing, goals = bench.speed.timing, bench.speed.goals
    rows = [{"kind": "tnp", "fit, s": 3.9}, {"kind": "anp", "fit, s": 2.1}]
    table = goals.goals({"processes": timing.Section("", "", rows)})
    shown = {row["what"].rsplit(" ", 1)[1]: (row["figure"], row["reached"]) for row in table.rows}
    assert shown == {
        "tnp": ("3.9", "yes"),
        "anp": ("2.1", "no"),
        "cnp": ("-", "not measured"),
        "convcnp": ("-", "not measured"),
    }
    assert goals.goals({"prototypes": timing.Section("", "", [])}) is None


def test_every_goal_has_a_figure(bench, monkeypatch):
    """No goal waits for a row or a column that its section does not have."""
    table, command = bench.speed.one_table, bench.speed.command
    monkeypatch.setattr(table, "make_rows", lambda support: (np.ones((2, 2)), np.array([1, -1]), 0))
    monkeypatch.setattr(table, "scores_of", lambda X, y: dict.fromkeys([*table.OURS, table.KNN]))
    monkeypatch.setattr(table, "fits_to", lambda X, y: dict.fromkeys([*table.OURS, table.KNN]))
    monkeypatch.setattr(table, "partial", lambda *parts: parts)
    monkeypatch.setattr(table, "_one_by_one", lambda *parts: parts)
    monkeypatch.setattr(table, "median_seconds", lambda functions, r: dict.fromkeys(functions, 1.0))
    measured = {name: getattr(table, name)(1) for name in ("scoring", "one_row", "fits")}
    rows = bench.speed.goals.goals(measured).rows
    assert len(rows) == 11
    assert not [row["what"] for row in rows if row["figure"] == "-"]
    assert {goal.section for goal in bench.speed.goals._goals()} <= set(command.SECTIONS)


def test_a_folder_that_is_not_there_is_named(bench, tmp_path):
    section = bench.speed.families.meta_fits(1, tmp_path)
    assert section.rows == []
    assert "no such folder: adbench, mvtec_vit, skab" in section.to_markdown()


def test_tasks_to_meta_fit_on_are_the_recordings_with_anomalies(bench, folder):
    families = bench.speed.families
    (folder.parent / families.PUMP).symlink_to(folder)
    names = [task.name for task in families.tasks_of(folder.parent, families.PUMP)]
    assert names == ["fan_0", "fan_1", "pump1_0", "pump1_12", "pump2_3", "pump2_4"]


def test_a_new_process_has_the_environment_that_is_asked_for(bench):
    fresh = bench.speed.fresh
    code = "import os; print(os.environ.get('OMP_NUM_THREADS'))"
    assert fresh.run_fresh(code, **fresh.one_thread()) == "1\n"
    assert fresh.run_fresh(code, **fresh.default_threads()) == "None\n"
    with pytest.raises(RuntimeError, match="no such thing"):
        fresh.run_fresh("raise SystemExit('no such thing')")


def test_busy_cores_are_left_alone_again(bench, monkeypatch):
    fresh, started = bench.speed.fresh, []
    popen = fresh.subprocess.Popen
    monkeypatch.setattr(
        fresh.subprocess, "Popen", lambda command: started.append(popen(command)) or started[-1]
    )
    with fresh.busy_cores() as n:
        assert len(started) == n
        assert all(process.poll() is None for process in started)
    assert all(process.poll() is not None for process in started)


def test_the_command_writes_the_sections_that_are_asked_for(bench, monkeypatch, tmp_path):
    words = ["speed", "--rounds", "1", "--only", "prototypes", "--results", str(tmp_path)]
    assert bench.main(words) == 0
    text = (tmp_path / "speed_prototypes.md").read_text(encoding="utf-8")
    assert "## A meta-step of a prototypical network" in text
    assert "Processor time" in text
    assert "What was to be reached" not in text
    assert bench.main([*words, "--skip", "prototypes"]) == 2
