"""The benchmarks on one table without labels, made small."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

MODULES = (
    "measures.missing",
    "measures.one_table",
    "measures.relations",
    "methods.detectors",
    "methods.named",
    "protocols.families",
    "protocols.generated",
    "protocols.one_table",
    "report.markdown",
)
CLOSED_FORM = "closed-form=sklearn_fsad:NeuralProcessDetector(max_epochs=0)"
SVM = "svm=sklearn.svm:OneClassSVM(nu=0.2)"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two tables of four features, one of them constant, and one without anomalies."""
    path = tmp_path_factory.mktemp("tables")
    for seed, (name, n_anomalies) in enumerate({"left": 20, "right": 20, "calm": 0}.items()):
        rng = np.random.default_rng(seed)
        normals = rng.normal(size=(150, 4)) @ rng.normal(size=(4, 4))
        anomalies = 3 * rng.normal(size=(n_anomalies, 4))
        X = np.vstack([normals, anomalies])
        X[:, 3] = 7.0
        np.savez(path / f"{name}.npz", X=X, y=np.repeat([0, 1], [150, n_anomalies]))
    return path


@pytest.fixture(scope="module")
def table(bench, folder):
    return bench.protocols.families.load_family(folder)[1]


# --- draws ----------------------------------------------------------------------------------------
def test_supports_are_nested_and_never_tested_on(bench, table):
    small, test = bench.protocols.one_table.draw_table(table, 30, 0, 0)
    large, same = bench.protocols.one_table.draw_table(table, 1000, 0, 0)
    np.testing.assert_array_equal(large[:30], small)
    np.testing.assert_array_equal(test.fresh, same.fresh)
    np.testing.assert_array_equal(test.anomalies["one"], same.anomalies["one"])
    assert (len(small), len(large), len(test.fresh)) == (30, 100, 50)
    seen = {row.tobytes() for row in large}
    assert not any(row.tobytes() in seen for row in test.fresh)


def test_a_size_that_a_table_cannot_give_is_not_measured_twice(bench, table):
    sizes = bench.protocols.one_table.support_sizes
    assert list(sizes(table, [1000, 50, 200])) == [(50, 50), (200, 100)]
    assert list(sizes(table, [300])) == [(300, 100)]


def test_tables_are_chosen_by_name_or_by_width(bench, folder):
    choose, tasks = (
        bench.protocols.one_table.choose_tables,
        bench.protocols.families.load_family(folder),
    )
    wide = bench.protocols.families.Task("wide", "wide", np.zeros((30, 71)), np.arange(30) % 2)
    assert [task.name for task in choose([*tasks, wide], ["all"])] == ["left", "right"]
    assert [task.name for task in choose([*tasks, wide], ["wide"])] == ["wide"]
    with pytest.raises(ValueError, match="calm, none"):
        choose(tasks, ["calm", "left", "none"])


def test_one_column_is_replaced_by_the_value_of_another_row(bench, rng):
    X = np.column_stack([rng.normal(size=(60, 3)), np.ones(60)])
    changed, column = bench.protocols.one_table.replace_one(X, rng)
    differs = changed != X
    assert set(column) == {-1, 0, 1, 2}
    np.testing.assert_array_equal(differs.sum(axis=1), column >= 0)
    np.testing.assert_array_equal(differs.argmax(axis=1)[column >= 0], column[column >= 0])
    pairs = zip(changed[differs], column[column >= 0], strict=True)
    assert all(value in X[:, j] for value, j in pairs)


def test_permuting_keeps_columns_and_loses_their_relation(bench, rng):
    x = rng.normal(size=(400, 1))
    X = np.hstack([x, 2 * x])
    permuted = bench.protocols.one_table.permute_all(X, rng)
    np.testing.assert_array_equal(np.sort(permuted, axis=0), np.sort(X, axis=0))
    assert abs(spearmanr(*permuted.T).statistic) < 0.2


def test_holes_leave_every_row_an_entry(bench, rng):
    X = rng.normal(size=(2000, 2))
    holed = bench.protocols.one_table.punch_holes(X, 0.6, rng)
    assert not np.isnan(holed).all(axis=1).any()
    assert np.isnan(holed).mean() == pytest.approx(0.6 - 0.36 / 2, abs=0.03)
    np.testing.assert_array_equal(holed[~np.isnan(holed)], X[~np.isnan(holed)])


def test_what_is_missing_follows_the_pattern(bench, table, rng):
    rows = bench.protocols.one_table.draw_table(table, 50, 0, 0)
    hide = bench.measures.missing.with_missing
    assert hide("complete", *rows, 0.3, rng)[1] is rows[1]
    support, test = hide("entries", *rows, 0.3, rng)
    parts = [support, test.fresh, *test.anomalies.values()]
    assert all(0.15 < np.isnan(part).mean() < 0.45 for part in parts)
    support, test = hide("columns", *rows, 0.3, rng)
    gone = np.isnan(test.fresh).all(axis=0)
    assert gone.sum() == 1
    assert not np.isnan(support).any()
    for part in (test.fresh, *test.anomalies.values()):
        np.testing.assert_array_equal(np.isnan(part), np.broadcast_to(gone, part.shape))


def test_a_broken_relation_shows_in_no_single_feature(bench, rng):
    relation = bench.protocols.generated.Relation(rng)
    normal, anomalous = relation.normals(rng, 4000), relation.anomalies(rng, 4000)
    np.testing.assert_allclose(normal.mean(axis=0), anomalous.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(normal.std(axis=0), anomalous.std(axis=0), atol=0.1)
    assert abs(np.corrcoef(normal.T) - np.eye(6)).max() < 0.1
    assert relation.departure(normal).max() < 1 < relation.departure(anomalous).max()
    _, test, known = bench.protocols.generated.draw_relation(10, 0, 0)
    assert bench.measures.one_table.kind_aucs(known.departure, test)["relation"] > 0.85


def test_detectors_that_learn_the_same_learn_it_once(bench, table):
    little = "max_epochs=1, episodes_per_epoch=8, n_layers=1, contamination=0.1"
    process = "{}=sklearn_fsad:NeuralProcessDetector(anomaly_score={!r}, " + little + ")"
    texts = (process.format("a", "nll"), process.format("b", "error"))
    specs = [bench.methods.detectors.parse_spec(text) for text in texts]
    support, test = bench.protocols.one_table.draw_table(table, 20, 0, 0)
    first, shared = (
        make(5).fit(support, np.zeros(20))
        for make in bench.methods.detectors.specified(specs, share=True).values()
    )
    alone = bench.methods.detectors.specified(specs)["b"](5).fit(support, np.zeros(20))
    assert shared.alarms(test.fresh) is None
    assert first.alarms(test.fresh).shape == alone.alarms(test.fresh).shape == (50,)
    scores = shared.anomaly_score(test.fresh)
    np.testing.assert_array_equal(scores, alone.anomaly_score(test.fresh))
    assert not np.allclose(scores, first.anomaly_score(test.fresh))


# --- measures and reports -------------------------------------------------------------------------
def test_ranks_share_ties(bench):
    terms = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 1.0]])
    np.testing.assert_array_equal(
        bench.measures.one_table.ranks_of(terms, np.array([0, 2])), [1.0, 2.0]
    )
    np.testing.assert_array_equal(
        bench.measures.one_table.both_on_top(terms, (0, 2)), [True, False]
    )


def test_blame_counts_only_what_changed(bench):
    rows = bench.protocols.one_table.TestRows
    one = np.array([[9.0, 0.0], [0.0, 0.0], [5.0, 1.0]])
    test = rows(one, {"one": one}, np.array([0, -1, 1]))
    assert bench.measures.one_table.blame(np.abs, test, "one") == {"rank": 1.5, "first": 0.5}
    bound = rows(one, {"relation": one}, bound=(0, 1))
    nothing = bench.measures.one_table.blame(lambda X: None, bound, "relation")
    assert nothing == {}


def test_a_method_that_fails_is_reported_and_the_others_go_on(bench, table, capsys):
    class Failing:
        def fit(self, X, y):
            raise RuntimeError("as told\nat length")

    support, test = bench.protocols.one_table.draw_table(table, 50, 0, 0)
    knn = bench.methods.named.table_baselines()["PyOD KNN"]
    makers = {"failing": lambda seed: Failing(), "PyOD KNN": knn}
    frame = bench.measures.one_table.as_frame(
        bench.measures.one_table.measure(makers, support, test, 0)
    )
    frame = frame.assign(table="left", n=50)
    assert "as told" in capsys.readouterr().err
    assert bench.report.markdown.failures(frame) == [
        "- failing failed on left: RuntimeError: as told"
    ]
    assert frame[frame.method != "failing"].auc.between(0, 1).all()
    text = bench.report.markdown.auc_table(frame, "n", "PyOD KNN", ["failing", "PyOD KNN"])
    assert "| failing | - |" in text


def test_tables_pair_what_ran_on_the_same_tables(bench):
    values = {("ours", "a"): 0.9, ("ours", "b"): 0.7, ("knn", "a"): 0.8, ("knn", "b"): 0.75}
    rows = [{"method": m, "table": t, "n": 50, "auc": v} for (m, t), v in values.items()]
    rows.append({"method": "part", "table": "a", "n": 50, "auc": 0.9})
    text = bench.report.markdown.auc_table(pd.DataFrame(rows), "n", "knn", ["ours", "knn", "part"])
    assert "| ours | **80.0** (+2.5, 1-1) |" in text
    assert "| knn | 77.5 |" in text
    assert "| part | 90.0 (+10.0, 1-0) on 1 |" in text


def test_cells_keep_their_order(bench):
    cells = [lambda i=i: [{"cell": i}] for i in range(5)]
    rows = bench.measures.one_table.run_cells(cells, 1, "cells")
    assert [row["cell"] for row in rows] == [0, 1, 2, 3, 4]


def test_dependencies_writes_a_report_and_its_rows(bench, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(bench.methods.named, "PYOD", {"PyOD KNN": "knn"})  # all take long
    words = ["--data", str(folder), "--tables", "left", "--n", "20", "--draws", "1"]
    words += ["--made-draws", "1", "--detector", CLOSED_FORM, SVM, "--gp"]
    bench.main(["one-table", "relations", *words, "--results", str(tmp_path)])
    text = (tmp_path / "dependencies.md").read_text()
    rows = pd.read_csv(tmp_path / "dependencies.csv")
    assert not re.search(r"(^|[\s'\"])/\w", text)
    for title in ("relation between", "Real", "One column", "Every", "False", "Which"):
        assert f"## {title}" in text or f"## A {title}" in text
    assert set(rows[rows.method == "closed-form"].kind) == {"relation", "real", "one", "all"}
    assert rows.auc.between(0, 1).all()
    of_process = rows[(rows.method == "closed-form") & (rows.kind == "one")].iloc[0]
    assert 0 <= of_process.alarms <= 1
    assert 1 <= of_process["rank"] <= 4


def test_reports_stand_when_every_detector_failed(bench, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench.methods.named, "PYOD", {"PyOD KNN": "knn"})
    words = ["--data", str(folder), "--tables", "left", "--draws", "1", "--n", "20"]
    words += ["--results", str(tmp_path), "--detector", "svm=sklearn.svm:OneClassSVM(nu=-1.0)"]
    for name, command in {"dependencies": "relations", "missing_values": "missing"}.items():
        bench.main(["one-table", command, *words])
        text = (tmp_path / f"{name}.md").read_text()
        assert "- svm failed on " in text
        assert "| PyOD KNN | " in text
    assert "nu" in capsys.readouterr().err


def test_missing_values_writes_a_report_and_its_rows(bench, folder, tmp_path):
    words = ["--data", str(folder), "--tables", "left", "--n", "20", "--draws", "1"]
    words += ["--detector", CLOSED_FORM, "--results", str(tmp_path)]
    bench.main(["one-table", "missing", *words])
    text = (tmp_path / "missing_values.md").read_text()
    rows = pd.read_csv(tmp_path / "missing_values.csv")
    assert not re.search(r"(^|[\s'\"])/\w", text)
    assert text.count("| closed-form |") == 4
    assert set(rows.missing) == {"complete", "entries", "columns"}
    assert rows.auc.between(0, 1).all()
