"""Benchmarks on tables: splits, published protocols, baselines and ranks."""

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare
from sklearn.metrics import roc_auc_score

MODULES = (
    "measures.invariance",
    "methods.deep",
    "methods.named",
    "protocols.families",
    "protocols.tables",
    "report.ranks",
    "tables",
)
DETECTOR = "ours=sklearn_fsad:InContextDetector(random_state=0,contamination=0.1)"
SHARED = Path(os.environ.get("SKLEARN_FSAD_SHARED", Path(__file__).parents[3] / "shared"))
CHEAP = ["--only", "knn1_scaled", "ratio_scaled"]


def make_table(bench, name="table", n=300, k=60, seed=0, d=4):
    rng = np.random.default_rng(seed)
    X = np.concatenate([rng.normal(size=(n, d)), rng.normal(3.0, 1.0, size=(k, d))])
    order = rng.permutation(n + k)
    return bench.protocols.families.Task(name, name, X[order], np.repeat([0, 1], [n, k])[order])


@pytest.fixture
def table(bench):
    return make_table(bench)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three tables, two of them of the same origin."""
    path = tmp_path_factory.mktemp("tables")
    for seed, name in enumerate(["http", "smtp", "wine"]):
        rng = np.random.default_rng(seed)
        X = np.concatenate([rng.normal(size=(120, 3)), rng.normal(2.0, 1.0, size=(30, 3))])
        np.savez(path / f"{name}.npz", X=X, y=np.repeat([0, 1], [120, 30]).astype(np.int8))
    return path


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Figures as others published them, of one method on one table."""
    path = tmp_path_factory.mktemp("published")
    few = pd.DataFrame(
        [("7_wine", s, k, "Net", v, m) for s in (1, 2, 3) for k in (5, 10, 20)
         for m, v in (("AUCROC", 0.75), ("AUCPR", 0.5))],
        columns=["dataset", "seed", "n_labelled", "method", "value", "metric"],
    )  # fmt: skip
    few.to_csv(path / "adgym_weak.csv", index=False)
    halves = pd.DataFrame(
        [("wine", "Net", m, v, 0.0, "paper") for m, v in (("AUROC", 75.0), ("AUPR", 50.0))],
        columns=["dataset", "method", "metric", "mean", "std", "source"],
    )
    halves.to_csv(path / "dte_one_class.csv", index=False)
    return path


# --- splits ---------------------------------------------------------------------------------------
def test_supports_are_nested_and_apart_from_the_query(bench, table):
    splits = bench.protocols.tables.TableSplits((10, 50), (0, 5), draws=2, seed=0)
    episodes = {e.key: e for e in splits.episodes(table)}
    assert len(episodes) == 8
    large, small = episodes["table", 1, 50, 5], episodes["table", 1, 10, 5]
    assert (large.n_used, large.k_used, small.n_used) == (50, 5, 10)
    np.testing.assert_array_equal(large.support_X[:10], small.support_X[:10])
    np.testing.assert_array_equal(large.query_X, small.query_X)
    assert len(large.query_y) == 108
    assert large.query_y.sum() == 18  # stratified: 30 % of 60
    assert not set(map(bytes, large.support_X)) & set(map(bytes, large.query_X))
    other_draw = episodes["table", 0, 50, 5]
    assert not np.array_equal(other_draw.query_X, large.query_X)


def test_a_capped_query_is_the_beginning_of_the_whole_one(bench, table):
    make = bench.protocols.tables.TableSplits
    (whole,) = make((10,), (1,), 1, 0).episodes(table)
    (capped,) = make((10,), (1,), 1, 0, max_query=60).episodes(table)
    np.testing.assert_array_equal(capped.support_X, whole.support_X)
    assert np.bincount(capped.query_y).tolist() == [42, 18]  # all anomalies, of which there are few
    np.testing.assert_array_equal(
        capped.query_X[capped.query_y == 0], whole.query_X[whole.query_y == 0][:42]
    )


def test_an_episode_depends_on_seed_and_name_alone(bench, table):
    make = bench.protocols.tables.TableSplits
    first = next(make((10,), (1,), 1, 0).episodes(table))
    np.random.default_rng(3).normal()
    again = next(make((10,), (1,), 3, 0).episodes(table))
    np.testing.assert_array_equal(first.support_X, again.support_X)
    other = next(make((10,), (1,), 1, 1).episodes(table))
    assert not np.array_equal(first.support_X, other.support_X)


def test_contamination_hides_anomalies_that_are_not_the_labelled_ones(bench, table):
    splits = bench.protocols.tables.TableSplits((50,), (5,), 1, 0, contamination=0.2)
    episode = next(splits.episodes(table))
    anomalies = set(map(bytes, table.X[table.y == 1]))
    hidden = [bytes(row) in anomalies for row in episode.support_X[episode.support_y == 0]]
    assert (sum(hidden), len(hidden)) == (10, 50)
    assert len(set(map(bytes, episode.support_X))) == 55


def test_large_tables_keep_some_anomalies(bench):
    y = np.repeat([0, 1], [100_000, 40])
    rows = bench.protocols.tables.some_rows(y, np.random.default_rng(0))
    assert len(rows) == 5000
    assert y[rows].sum() == 30
    y = np.repeat([0, 1], [8000, 2000])
    assert y[bench.protocols.tables.some_rows(y, np.random.default_rng(0))].sum() == 1000


def test_tables_of_one_origin_are_in_one_fold(bench):
    names = ["http", "smtp", "wine", "musk", "cardio", "Cardiotocography", "skin"]
    tasks = [make_table(bench, name, 30, 10) for name in names]
    folds = bench.protocols.tables.related_folds(tasks, seed=0, n_folds=3)
    assert sorted(name for fold in folds for name in fold.test) == sorted(names)
    for fold in folds:
        assert not set(fold.train) & set(fold.test)
        assert ("http" in fold.test) == ("smtp" in fold.test)
        assert ("cardio" in fold.test) == ("Cardiotocography" in fold.test)


# --- published protocols --------------------------------------------------------------------------
def reference():
    path = SHARED / "published_protocols.py"
    if not path.exists():
        pytest.skip("the reference implementation and its data are not here")
    spec = importlib.util.spec_from_file_location("published_protocols", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["vowels", "mammography"])
def test_few_labels_are_the_published_rows(bench, name):
    there = reference()
    task = bench.protocols.families.Task(name, name, *there.load(name))
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    episodes = {e.key: e for e in bench.protocols.tables.FewLabels().episodes(task)}
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    for seed, k in ((1, 5), (3, 20)):
        X, y, query_X, query_y = there.adgym(name, seed, k)
        episode = episodes[name, seed - 1, 2100, k]
        for mine, theirs in (
            (episode.support_X, X), (episode.support_y, y),
            (episode.query_X, query_X), (episode.query_y, query_y),
        ):  # fmt: skip
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", ["vowels", "wine"])
def test_halves_are_the_published_rows(bench, name):
    there = reference()
    task = bench.protocols.families.Task(name, name, *there.load(name))
    episodes = list(bench.protocols.tables.OneClass().episodes(task))
    assert len(episodes) == (5 if name == "wine" else 1)
    for seed, episode in enumerate(episodes):
        X, query_X, query_y = there.dte_one_class(name, seed)
        np.testing.assert_array_equal(episode.support_X, X)
        np.testing.assert_array_equal(episode.query_X, query_X)
        np.testing.assert_array_equal(episode.query_y, query_y)


def test_a_table_with_too_few_anomalies_has_fewer_cells(bench):
    table = make_table(bench, k=10)
    cells = {(e.n, e.k) for e in bench.protocols.tables.FewLabels().episodes(table)}
    assert cells == {(2100, 5)}  # seven anomalies to learn from


# --- baselines ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["deepsad", "devnet", "extratrees_log", "xgbod", "catboost"])
def test_baselines_learn_from_labels(bench, name):
    """An anomaly that is near the normals is found only by those that were shown some like it."""
    makers = bench.methods.named.baselines_of_splits()
    if name not in makers:
        pytest.skip(f"what {name} needs is not installed")
    rng = np.random.default_rng(0)
    near = np.array([1.5, 0, 0, 0])
    X = np.concatenate([rng.normal(size=(60, 4)), 0.2 * rng.normal(size=(10, 4)) + near])
    query = np.concatenate([rng.normal(size=(100, 4)), 0.2 * rng.normal(size=(100, 4)) + near])
    truth, y = np.repeat([0, 1], 100), np.repeat([0, 1], [60, 10])
    told = makers[name](0).fit(X, y).anomaly_score(query)
    if name != "xgbod":  # which takes long
        again = makers[name](0).fit(X, y).anomaly_score(query)
        np.testing.assert_allclose(told, again)
    assert roc_auc_score(truth, told) > 0.85
    knn = makers["knn1_scaled"](0).fit(X, y).anomaly_score(query)
    assert roc_auc_score(truth, told) > roc_auc_score(truth, knn) + 0.1


@pytest.mark.parametrize("name", ["deepsad", "pyod_pca", "pyod_ecod"])
def test_baselines_without_labels_find_what_is_far(bench, name):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(40, 3)), np.ones(40)])  # one column never varies
    query = np.concatenate([X, X[:4] + [6, 6, -6, 0]])
    scores = bench.methods.named.baselines_of_splits()[name](0).fit(X, np.zeros(40, int))
    scores = scores.anomaly_score(query)
    assert np.isfinite(scores).all()
    assert roc_auc_score(np.repeat([0, 1], [40, 4]), scores) > 0.95


def test_deep_baselines_leave_torch_as_it_was(bench):
    import torch

    torch.manual_seed(5)
    before = torch.get_rng_state()
    X = np.random.default_rng(0).normal(size=(20, 2))
    bench.methods.deep.DevNet(n_steps=3).fit(X, np.repeat([0, 1], 10))
    assert torch.equal(torch.get_rng_state(), before)


# --- ranks ----------------------------------------------------------------------------------------
def test_ranks_agree_with_friedman(bench):
    values = pd.DataFrame(np.random.default_rng(0).random((12, 4)), columns=list("abcd"))
    ranks = bench.report.ranks.ranks_table(values).mean()
    statistic = 12 * 12 / (4 * 5) * ((ranks - 2.5) ** 2).sum()
    assert statistic == pytest.approx(friedmanchisquare(*values.T.to_numpy()).statistic)
    assert bench.report.ranks.ranks_table(pd.DataFrame([[0.9, 0.9, 0.1]])).iloc[0].tolist() == [
        1.5, 1.5, 3.0,
    ]  # fmt: skip


def test_a_method_that_is_always_better_is_said_to_be(bench):
    values = pd.DataFrame({"good": np.linspace(0.8, 0.9, 12), "bad": np.linspace(0.7, 0.8, 12)})
    shown = bench.report.ranks.against(values, "good", "bad")
    assert shown == "+0.100 12-0 p=0.000"
    assert bench.report.ranks.against(values, "good", "good") == "+0.000 0-0 p=1.000"


# --- the command ----------------------------------------------------------------------------------
def run(bench, folder, results, *words):
    words = ["tables", *words, "--data", str(folder), "--results", str(results)]
    return bench.main(words)


def test_few_shot_run(bench, folder, few_trees, tmp_path):
    words = ("few-shot", "--n", "20", "--k", "0", "3", "--draws", "1", "--detector", DETECTOR)
    stacked = [*CHEAP, "meta_stack"]
    assert run(bench, folder, tmp_path, *words, *stacked) == 0
    frame = pd.read_csv(tmp_path / "tables_few_shot.csv")
    counts = frame.groupby("method").size()
    assert counts.to_dict() == {"knn1_scaled": 6, "ratio_scaled": 6, "meta_stack": 6, "ours": 6}
    assert frame.auc.between(0, 1).all()
    text = (tmp_path / "tables_few_shot.md").read_text()
    assert "mean rank over tables" in text
    assert str(tmp_path) not in text
    assert (tmp_path / "tables_few_shot.png").stat().st_size > 1000
    reused = ["--label", "again", "--reuse", str(tmp_path / "tables_few_shot.csv")]
    assert run(bench, folder, tmp_path, *words[:-2], *CHEAP, *reused) == 0
    again = pd.read_csv(tmp_path / "tables_again.csv")
    merged = frame.merge(again, on=["task", "n", "k", "method"])
    assert len(merged) == 12
    assert (merged.auc_x == merged.auc_y).all()


def test_fine_tuning_leaves_families_out(bench, folder, tmp_path, monkeypatch):
    learned = []

    class Spy:
        def meta_fit(self, tasks):
            learned.append(len(tasks))
            return self

        def fit(self, X, y):
            return self

        def decision_function(self, X):
            return -np.abs(X).sum(axis=1)

    words = ("few-shot", "--n", "10", "--k", "0", "--draws", "1", "--only", "knn1_scaled")
    spy = ("--detector", "spy=spy_module:Spy")
    monkeypatch.setitem(sys.modules, "spy_module", SimpleNamespace(Spy=Spy))
    assert run(bench, folder, tmp_path, *words, *spy) == 0
    assert learned == []
    assert run(bench, folder, tmp_path, *words, *spy, "--leave-families-out") == 0
    assert sorted(learned) == [1, 2]  # http and smtp are left out together


def test_published_figures_stand_beside(bench, folder, published, few_trees, tmp_path):
    for protocol, method in (("few-labels", "ratio_scaled"), ("halves", "knn1_scaled")):
        words = (protocol, "--published", str(published), "--only", method)
        assert run(bench, folder, tmp_path, *words, "--detector", DETECTOR) == 0
        label = f"tables_{protocol.replace('-', '_')}"
        frame = pd.read_csv(tmp_path / f"{label}.csv")
        assert set(frame.task) == {"wine"}
        assert set(frame.method) == {"(Net)", method, "ours"}
        assert (frame[frame.method == "(Net)"].auc == 0.75).all()
        assert json.loads((tmp_path / f"{label}.json").read_text())["detectors"]["ours"]


def test_commands_that_cannot_be_run(bench, folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(bench, folder, tmp_path, "halves")
    assert "--published" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(bench, folder, tmp_path, "few-shot", "--contamination", "0.7")
    assert run(bench, folder, tmp_path, "few-shot", "--tables", "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err


def test_what_changes_scores_is_reported(bench, folder, few_trees, tmp_path):
    words = ["--data", str(folder), "--n", "15", "--k", "3", "--draws", "1"]
    assert bench.main(["trust", "invariance", *words, "--results", str(tmp_path)]) == 0
    frame = pd.read_csv(tmp_path / "invariance.csv")
    assert len(frame) == 3
    assert (frame.order < 1e-9).all()
    assert frame.units.between(0, 0.05).all()
    assert (frame[["cubed", "exponential"]].abs().max() > 0).all()
    assert "one column cubed" in (tmp_path / "invariance.md").read_text()
