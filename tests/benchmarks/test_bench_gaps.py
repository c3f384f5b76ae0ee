"""The benchmark on missing values that are read natively or imputed, made small."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

MODULES = ("measures.gaps", "methods.gaps", "protocols.families", "protocols.gaps")
PROCESS = "process=sklearn_fsad:NeuralProcessDetector(max_epochs=0,random_state=0)"


@pytest.fixture
def table(bench):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(500, 4)), rng.normal(3.0, 1.0, size=(60, 4))])
    return bench.protocols.families.Task("made", "made", X, np.repeat([0, 1], [500, 60]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two tables."""
    path = tmp_path_factory.mktemp("tables")
    for seed, name in enumerate(["one", "two"]):
        rng = np.random.default_rng(seed)
        X = np.concatenate([rng.normal(size=(120, 3)), rng.normal(2.0, 1.0, size=(30, 3))])
        np.savez(path / f"{name}.npz", X=X, y=np.repeat([0, 1], [120, 30]).astype(np.int8))
    return path


def gap_splits(bench, way, **more):
    sizes = {"n": (10, 50, 50), "k": (0, 0, 5), "draws": 2, "seed": 0, "paired": True}
    return bench.protocols.gaps.GapSplits(**{**sizes, **more}, way=way)


# --- what is removed ------------------------------------------------------------------------------
def test_the_promised_shares_are_missing_and_no_row_is_empty(bench, table):
    gaps = bench.protocols.gaps
    shares = [np.isnan(gaps.with_gaps(table, 0, 0, way).X).mean() for way in gaps.WAYS]
    np.testing.assert_allclose(shares, [0.2, 0.4, 0.2], atol=0.03)
    narrow = bench.protocols.families.Task("narrow", "narrow", table.X[:, :1], table.y)
    assert not np.isnan(gaps.with_gaps(narrow, 0, 0, "40 % at random").X).any()


def test_high_values_are_missing_more_often_than_low_ones(bench, table):
    gaps = bench.protocols.gaps
    missing = np.isnan(gaps.with_gaps(table, 0, 0, gaps.HIGH).X)
    middle = np.median(table.X, axis=0)
    high = middle < table.X
    assert missing[high].mean() > 4 * missing[~high].mean()
    at_random = np.isnan(gaps.with_gaps(table, 0, 0, "20 % at random").X)
    assert at_random[high].mean() == pytest.approx(at_random[~high].mean(), abs=0.05)


def test_removal_depends_on_seed_table_draw_and_way_alone(bench, table):
    remove = bench.protocols.gaps.with_gaps
    first = np.isnan(remove(table, 0, 0, "20 % at random").X)
    np.random.default_rng(3).normal()
    np.testing.assert_array_equal(first, np.isnan(remove(table, 0, 0, "20 % at random").X))
    for other in ((1, 0, "20 % at random"), (0, 1, "20 % at random"), (0, 0, "40 % at random")):
        assert (first != np.isnan(remove(table, *other).X)).mean() > 0.2


def test_rows_are_those_of_few_shot_with_the_same_gaps_in_every_cell(bench, table):
    cells = {(10, 0), (50, 0), (50, 5)}
    plain = bench.protocols.tables.TableSplits((10, 50), (0, 5), draws=2, seed=0)
    whole = {e.key: e for e in plain.episodes(table)}
    with_gaps = {e.key: e for e in gap_splits(bench, "40 % at random").episodes(table)}
    assert {key[2:] for key in with_gaps} == cells
    for key, episode in with_gaps.items():
        for X, there in (
            (episode.support_X, whole[key].support_X),
            (episode.query_X, whole[key].query_X),
        ):
            assert np.isnan(X).any()
            np.testing.assert_array_equal(X[~np.isnan(X)], there[~np.isnan(X)])
    large, small = with_gaps["made", 1, 50, 5], with_gaps["made", 1, 10, 0]
    np.testing.assert_array_equal(large.support_X[:10], small.support_X)
    np.testing.assert_array_equal(large.query_X, small.query_X)


# --- what is filled in ----------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["SimpleImputer", "KNNImputer", "IterativeImputer"])
def test_imputers_learn_from_the_support_alone_and_keep_what_is_there(bench, how):
    rng = np.random.default_rng(0)
    support, query = rng.normal(5.0, 2.0, size=(20, 4)), rng.normal(5.0, 2.0, size=(30, 4))
    for X in (support, query):
        X[rng.random(X.shape) < 0.3] = np.nan
    support[:, 3] = np.nan  # a column without any value
    full, full_query = bench.methods.gaps.imputed(how, support, query)
    for filled, X in ((full, support), (full_query, query)):
        assert np.isfinite(filled).all()
        np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])
    assert (np.abs(full[:, :3] - 5.0) < 10.0).all()  # in the units of the columns
    again, again_query = bench.methods.gaps.imputed(how, support, query[:5])
    np.testing.assert_array_equal(again, full)
    np.testing.assert_allclose(again_query, full_query[:5])


def test_the_iterative_imputer_gives_way_to_means_in_wide_tables(bench):
    X = np.random.default_rng(0).normal(size=(12, 61))
    X[::2, ::2] = np.nan
    imputed = bench.methods.gaps.imputed
    means, iterated = (imputed(how, X, X)[0] for how in ("SimpleImputer", "IterativeImputer"))
    np.testing.assert_array_equal(means, iterated)
    narrow = X[:, :6]
    means, iterated = (
        imputed(how, narrow, narrow)[0] for how in ("SimpleImputer", "IterativeImputer")
    )
    assert not np.allclose(means, iterated)


# --- the command ----------------------------------------------------------------------------------
def run(bench, folder, results, *words):
    given = ("--data", str(folder), "--results", str(results), "--draws", "1", *words)
    return bench.main(["tables", "gaps", *given])


def test_a_detector_stands_beside_itself_behind_each_imputer(bench, folder, tmp_path):
    words = ("--n", "10", "20", "--k", "0", "3", "--max-query", "40", "--detector", PROCESS)
    few = ("--only", "process", "KNNImputer+process", "SimpleImputer+process")
    few += ("hist_gradient_boosting", "KNNImputer+pyod_knn_scaled")
    assert run(bench, folder, tmp_path, *words, *few) == 0
    frame = pd.read_csv(tmp_path / "tables_gaps.csv")
    assert list(frame.split.unique()) == list(bench.protocols.gaps.WAYS)
    counts = frame.groupby("method").size().to_dict()
    assert counts.pop("hist_gradient_boosting") == 6  # it needs labels
    assert set(counts.values()) == {12}
    assert frame.auc.between(0, 1).all()
    text = (tmp_path / "tables_gaps.md").read_text()
    for way in bench.protocols.gaps.WAYS:
        assert f"## {way}: mean ROC AUC" in text
        assert f"## {way}: process" in text
    assert "minus that behind the best imputer" in text
    after = text.split("## 40 % at random: mean ROC AUC")[1].splitlines()
    assert after[4].startswith("| process |")  # native first
    reused = ("--label", "again", "--reuse", str(tmp_path / "tables_gaps.csv"))
    assert run(bench, folder, tmp_path, *words, *few, *reused) == 0
    again = pd.read_csv(tmp_path / "tables_again.csv")
    pd.testing.assert_series_equal(frame.auc, again.auc)
    (note,) = json.loads((tmp_path / "tables_again.json").read_text())["notes"]
    assert note == "taken from tables_gaps.csv: hist_gradient_boosting, KNNImputer+pyod_knn_scaled"


def test_what_an_imputer_fills_in_is_shared_by_the_methods_behind_it(bench, folder, tmp_path):
    calls = []

    def prepare(support, query):
        calls.append(len(support))
        return np.nan_to_num(support), np.nan_to_num(query)

    tasks = bench.protocols.families.load_family(folder)
    records, runner = bench.report.records, bench.measures.prepared.PreparedRunner
    splits = gap_splits(bench, "20 % at random")
    method = bench.methods.prepared.Method("zeros", lambda seed: bench.methods.support.Neighbours())
    methods = {"a": method, "b": method, "c": method}
    runner = runner("made", tasks, "some", splits, records.Table(), {"zeros": prepare})
    for task in tasks:
        runner.run_table(task.name, methods)
    assert calls == 2 * 2 * [10, 50, 55]
    assert runner.table.frame().groupby("method").auc.sum().nunique() == 1


def test_a_method_that_fails_is_told_in_one_line(bench, folder, tmp_path, monkeypatch):
    class Refuses:
        def fit(self, X, y):
            if np.isnan(X).any():
                raise ValueError("no gaps,\nplease")
            return self

        def decision_function(self, X):
            return -np.abs(X).sum(axis=1)

    monkeypatch.setitem(sys.modules, "refusing_module", SimpleNamespace(Refuses=Refuses))
    words = ("--n", "20", "--k", "0", "--detector", "mine=refusing_module:Refuses")
    few = ("--only", "mine", "SimpleImputer+mine")
    assert run(bench, folder, tmp_path, *words, *few) == 1
    text = (tmp_path / "tables_gaps.md").read_text()
    assert "- **mine failed on 6 supports**, which count as equal scores; first: ValueError" in text
    frame = pd.read_csv(tmp_path / "tables_gaps.csv").groupby("method").auc
    assert frame.get_group("mine").eq(0.5).all()
    assert frame.get_group("SimpleImputer+mine").gt(0.6).all()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--only", "nobody"), "No such method: nobody. There are: hist_gradient_boosting"),
        (("--tables", "nowhere"), "nowhere"),
    ],
)
def test_what_there_is_not_is_refused(bench, folder, tmp_path, capsys, words, told):
    assert run(bench, folder, tmp_path, *words) == 2
    assert told in capsys.readouterr().err


def test_sizes_that_are_no_pairs_are_refused(bench, folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(bench, folder, tmp_path, "--n", "10", "20", "--k", "0")
    assert "--n and --k go together" in capsys.readouterr().err
