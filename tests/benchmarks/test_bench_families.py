"""Benchmarks on families of tasks, on a tiny synthetic family."""

import json
import re
import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

MODULES = ("families", "measures.ranking", "protocols.families", "report.records")
CHEAP = ["maha_scaled", "ratio_raw"]


class Shifty:
    """A detector that keeps a diary, and scores the distance to the mean of the normals."""

    trained_on: ClassVar[list[tuple[int, list[bytes]]]] = []
    tested_on: ClassVar[list[tuple[int, bytes]]] = []

    def __init__(self, fail_at_k=None):
        self.fail_at_k = fail_at_k
        self.fold = None
        self.n_fits = 0

    def meta_fit(self, tasks):
        self.fold = len(self.trained_on)
        self.trained_on.append((self.fold, [row.tobytes() for X, _ in tasks for row in X]))
        return self

    def fit(self, X, y):
        self.n_fits += 1
        assert self.n_fits == 1, "a support was learned after another one"
        if self.fail_at_k is not None and y.sum() == self.fail_at_k:
            raise RuntimeError("as told")
        self.mean = X[y == 0].mean(axis=0)
        return self

    def decision_function(self, X):
        self.tested_on.append((self.fold, X[0].tobytes()))
        return 1 - np.linalg.norm(X - self.mean, axis=1)


@pytest.fixture
def shifty(monkeypatch):
    """The command-line name of a detector that keeps a diary."""
    monkeypatch.setattr(Shifty, "trained_on", [])
    monkeypatch.setattr(Shifty, "tested_on", [])
    module = SimpleNamespace(Shifty=Shifty)
    monkeypatch.setitem(sys.modules, "shifty_module", module)
    return "shifty_module:Shifty"


def run(bench, folder, results, *words, n=("5", "10"), k=("0", "3"), label="run", draws="2"):
    """Run the command line; return its exit code, and the rows it wrote."""
    words = [*words, "--n", *n, "--k", *k, "--draws", draws, "--label", label]
    code = bench.main(["families", "--data", str(folder), "--results", str(results), *words])
    csv = results / f"{label}.csv"
    return code, pd.read_csv(csv) if csv.exists() else None


def cells_in(markdown, title, method):
    """Read one line of one table out of the report."""
    section = markdown.split(f"## {title}\n")[1].split("\n#")[0]
    line = next(line for line in section.splitlines() if line.startswith(f"| {method} |"))
    return [float(cell.strip(" *")) for cell in line.split("|")[2:-2] if cell.strip() != "-"]


@pytest.mark.parametrize(
    "spec", ["no_such_module:C", "sklearn.svm:NoSuchClass", "sklearn.svm:OneClassSVM(nou=1)"]
)
def test_a_detector_that_cannot_be_made_is_refused_at_once(bench, folder, tmp_path, spec):
    assert run(bench, folder, tmp_path, "--detector", spec) == (2, None)


def test_report_agrees_with_the_rows(bench, folder, tmp_path, shifty):
    code, rows = run(bench, folder, tmp_path, "--only", *CHEAP, "--detector", shifty)
    assert code == 0
    assert len(rows) == 3 * 6 * 2 * 4  # methods, tasks, draws, cells
    assert rows.auc.between(0, 1).all()
    assert rows.seconds.gt(0).all()
    assert rows[rows.task == "fan_1"].n_used.max() == 7
    text = (tmp_path / "run.md").read_text()
    for metric, title in (("auc", "Mean ROC AUC"), ("ap", "Mean average precision")):
        means = rows.pivot_table(index="method", columns=["n", "k"], values=metric)
        for method in [*CHEAP, "Shifty"]:
            shown = cells_in(text, title, method)
            np.testing.assert_allclose(shown, means.loc[method], atol=6e-4)
    tasks = rows[(rows.n == 10) & (rows.k == 3)].pivot_table(
        index="task", columns="method", values="auc"
    )
    difference = tasks["Shifty"] - tasks["ratio_raw"]
    line = next(
        line
        for line in text.splitlines()
        if line.startswith("| ratio_raw | +") or line.startswith("| ratio_raw | -")
    )
    found = re.findall(r"([+-][\d.]+) \(([\d.]+)\) (\d+)-(\d+)", line)[-1]
    assert float(found[0]) == pytest.approx(difference.mean(), abs=6e-4)
    assert float(found[1]) == pytest.approx(difference.sem(), abs=6e-4)
    assert int(found[2]) == (difference > 0.002).sum()
    assert int(found[3]) == (difference < -0.002).sum()


def test_larger_decision_is_more_normal(bench, folder, tmp_path, shifty):
    _, rows = run(bench, folder, tmp_path, "--only", "--detector", shifty)
    assert rows.auc.mean() > 0.6


def test_meta_fit_is_called_once_a_fold_and_never_sees_a_test_task(
    bench, folder, tmp_path, shifty, tasks
):
    _, rows = run(bench, folder, tmp_path, "--only", "--detector", shifty)
    assert len(Shifty.trained_on) == 5
    assert len(Shifty.tested_on) == len(rows)
    for fold, query_row in Shifty.tested_on:
        assert query_row not in Shifty.trained_on[fold][1]
    calm = next(task for task in tasks if not task.testable)
    assert all(calm.X[0].tobytes() in seen for _, seen in Shifty.trained_on)


def test_meta_fit_is_left_out_for_unrelated_tables(bench, folder, tmp_path, shifty):
    run(bench, folder, tmp_path, "--only", "meta_stack", "--split", "none", "--detector", shifty)
    assert Shifty.trained_on == []
    assert len(Shifty.tested_on) == 6 * 2 * 4


def test_a_support_that_fails_counts_as_equal_scores(bench, folder, tmp_path, shifty, capsys):
    words = ["--only", *CHEAP, "--detector", f"bad={shifty}(fail_at_k=3)"]
    code, rows = run(bench, folder, tmp_path, *words)
    assert code == 1
    assert rows[(rows.method == "bad") & (rows.k == 3)].auc.eq(0.5).all()
    assert not rows[(rows.method == "bad") & (rows.k == 0)].auc.eq(0.5).all()
    assert "24 supports failed" in (tmp_path / "run.md").read_text()


def test_meta_baselines_never_see_the_tasks_of_their_fold(
    bench, folder, tmp_path, monkeypatch, tasks
):
    diary = []

    class Boosting:
        def __init__(self, seed):
            pass

        def fit(self, episodes):
            self.seen = {episode.query_X.tobytes() for episode in episodes}
            return self

        def anomaly_score(self, episode):
            diary.append(episode.query_X.tobytes() in self.seen)
            return episode.query_X[:, 0]

    class Stack:
        def __init__(self, positive):
            pass

        def fit(self, features, labels):
            self.seen = {part.tobytes() for part in features}
            return self

        def anomaly_score(self, features):
            diary.append(features.tobytes() in self.seen)
            return features[:, 0]

    monkeypatch.setattr(bench.measures.ranking, "Boosting", Boosting)
    monkeypatch.setattr(bench.measures.ranking, "Stack", Stack)
    run(bench, folder, tmp_path, "--only", "meta_boosting", "meta_stack", n=["5"], draws="1")
    assert len(diary) == 6 * 1 + 6 * 2
    assert not any(diary)


def test_meta_baselines_learn_from_other_tasks(bench, folder, tmp_path):
    pytest.importorskip("lightgbm")
    _, rows = run(bench, folder, tmp_path, "--only", "meta_boosting", draws="1", n=["10"])
    assert len(rows) == 6 * 2
    assert rows.auc.mean() > 0.6


def test_reuse_gives_the_same_rows_without_measuring_again(bench, folder, tmp_path, monkeypatch):
    _, first = run(bench, folder, tmp_path, "--only", *CHEAP)
    monkeypatch.setattr(
        bench.measures.ranking.Runner, "run_support_episode", None
    )  # cannot measure
    words = ["--only", *CHEAP, "--reuse", str(tmp_path / "run.csv")]
    code, second = run(bench, folder, tmp_path, *words, label="again")
    assert code == 0
    pd.testing.assert_frame_equal(first, second)
    _, part = run(bench, folder, tmp_path, *words, label="part", k=["3"])
    expected = first[first.k == 3].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, expected)


def test_reuse_completes_a_run_that_was_stopped(bench, folder, tmp_path):
    _, first = run(bench, folder, tmp_path, "--only", *CHEAP)
    csv = tmp_path / "run.csv"  # stops in the middle of a task
    first.iloc[:37].to_csv(csv, index=False)
    _, second = run(bench, folder, tmp_path, "--only", *CHEAP, "--reuse", str(csv))
    values = ["method", "task", "draw", "n", "k", "auc", "ap"]
    pd.testing.assert_frame_equal(first[values], second[values])


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["--seed", "1"], "seed"),
        (["--split", "groups"], "split"),
        (["--max-query", "30"], "max_query"),
    ],
)
def test_reuse_refuses_another_protocol(bench, folder, tmp_path, capsys, words, changed):
    run(bench, folder, tmp_path, "--only", "ratio_raw")
    words = ["--only", "ratio_raw", "--reuse", str(tmp_path / "run.csv"), *words]
    code, rows = run(bench, folder, tmp_path, *words, label="other")
    assert code == 2
    assert rows is None
    assert changed in capsys.readouterr().err


def test_words_about_code_are_not_what_runs(bench):
    what_runs = bench.report.records.what_runs
    spoken = 'def f(x):  # of a number\n    """Add one."""\n\n    return x + 1\n'
    assert what_runs(spoken) == what_runs("def f(x): return (x + 1)")
    assert what_runs(spoken) != what_runs(spoken.replace("+ 1", "+ 2"))


def test_reuse_refuses_other_data_and_a_missing_header(bench, folder, tmp_path, capsys):
    run(bench, folder, tmp_path, "--only", "ratio_raw")
    header = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**header, "data": "other"}))
    words = ["--only", "ratio_raw", "--reuse", str(tmp_path / "run.csv")]
    assert run(bench, folder, tmp_path, *words, label="other")[0] == 2
    assert "data 'other'" in capsys.readouterr().err
    (tmp_path / "run.json").unlink()
    assert run(bench, folder, tmp_path, *words, label="other")[0] == 2


def test_no_path_of_the_machine_in_what_is_written(bench, folder, tmp_path):
    run(bench, folder, tmp_path, "--only", "ratio_raw")
    for name in ("run.md", "run.json", "run.csv"):
        assert not re.search(r"(^|[\s'\"])/\w", (tmp_path / name).read_text())
