"""The benchmark on tables with categories, made small."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

MODULES = ("measures.mixed", "methods.mixed", "protocols.frames", "protocols.tables")


def made_frame(n=150, k=30, seed=0):
    """Anomalies are of a rare colour, most are broken, and a size is missing here and there."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], [n, k])
    common, rare = rng.choice(["red", "green"], n), rng.choice(["blue", "red"], k)
    frame = pd.DataFrame({
        "size": rng.normal(size=n + k) + y,
        "colour": np.concatenate([common, rare]),
        "broken": rng.random(n + k) < 0.1 + 0.5 * y,
        "anomaly": y,
    })  # fmt: skip
    frame.loc[::7, "size"] = np.nan
    frame.loc[::11, "colour"] = None
    return frame.sample(frac=1.0, random_state=seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two tables with categories and one of numbers alone."""
    path = tmp_path_factory.mktemp("mixed")
    for seed, name in enumerate(["one", "two"]):
        made_frame(seed=seed).to_csv(path / f"{name}.csv.gz", index=False)
    numbers = made_frame()[["size", "anomaly"]]
    numbers.to_csv(path / "numbers.csv.gz", index=False)
    return path


@pytest.fixture
def episode(bench, folder):
    task = bench.protocols.frames.load_tables(folder)[1]
    assert task.name == "one"
    (found,) = bench.protocols.tables.TableSplits((50,), (5,), 1, 0).episodes(task)
    return found


# --- rows and methods -----------------------------------------------------------------------------
def test_episodes_hold_their_rows_as_they_stand_in_the_table(bench, episode):
    frame, task = episode.support_frame, episode.task
    assert list(frame.columns) == ["size", "colour", "broken"]
    assert task.y[frame.index].tolist() == episode.support_y.tolist()
    assert task.y[episode.query_frame.index].tolist() == episode.query_y.tolist()
    assert not set(frame.index) & set(episode.query_frame.index)
    pd.testing.assert_frame_equal(frame, task.frame.loc[frame.index])
    assert episode.support_X.shape[0] == len(frame)


def test_text_and_truth_values_are_categories(bench):
    frame = pd.DataFrame({"a": ["x", None], "b": [True, False], "c": [1, 2], "d": [0.5, np.nan]})
    is_category = bench.protocols.frames.is_category
    assert [is_category(column) for _, column in frame.items()] == [True, True, False, False]


def test_numbers_are_made_with_what_the_support_tells(bench, episode):
    make = bench.methods.mixed.encoded_by_support
    support, query = make(episode.support_frame, episode.query_frame)
    assert np.isfinite(support).all()
    assert np.isfinite(query).all()
    changed = episode.query_frame.assign(size=1e6, colour="violet")
    again, other = make(episode.support_frame, changed)
    np.testing.assert_array_equal(again, support)
    assert other.shape == query.shape
    fewer = make(episode.support_frame.iloc[:20], episode.query_frame)[1]
    assert not np.array_equal(fewer[:, 0], query[:, 0])  # other means in the gaps


def test_rare_values_are_rare_and_usual_ones_are_not(bench):
    mixed = bench.methods.mixed
    normals = pd.Series(["red"] * 8 + ["green"] * 2)
    rarity = mixed.category_rarity(normals, pd.Series(["red", "green", "violet", None]))
    np.testing.assert_allclose(np.exp(-rarity), np.array([9, 3, 1, 1]) / 13)
    sizes = pd.Series([1.0, 2.0, 3.0, 4.0, 5.0, np.nan])
    rarity = mixed.number_rarity(sizes, pd.Series([3.0, 5.0, 9.0, -9.0, np.nan]))
    seen, missing = 6 / 9, 2 / 9
    expected = np.array([seen, 4 / 6 * seen, 2 / 6 * seen, 2 / 6 * seen, missing])
    np.testing.assert_allclose(np.exp(-rarity), expected)


def test_rarity_finds_anomalies_without_labels(bench, episode):
    rarity = bench.methods.mixed.Rarity().fit(episode.support_frame, episode.support_y)
    scores = rarity.anomaly_score(episode.query_frame)
    assert roc_auc_score(episode.query_y, scores) > 0.8


def test_catboost_reads_categories_and_gaps(bench, episode):
    pytest.importorskip("catboost")
    boosted = bench.methods.mixed.CategoricalCatBoost(0)
    scores = boosted.fit(episode.support_frame, episode.support_y)
    scores = boosted.anomaly_score(episode.query_frame)
    assert roc_auc_score(episode.query_y, scores) > 0.6
    assert list(boosted.model_.get_cat_feature_indices()) == [1, 2]


# --- the command ----------------------------------------------------------------------------------
def run(bench, folder, results, *words):
    given = ("--data", str(folder), "--results", str(results), "--draws", "1", *words)
    return bench.main(["tables", "mixed", *given])


def test_detectors_get_the_table_itself_and_numbers_made_of_it(
    bench, folder, tmp_path, monkeypatch
):
    seen = []

    class Spy:
        def fit(self, X, y):
            seen.append((type(X), len(X)))
            return self

        def decision_function(self, X):
            return -np.arange(len(X), dtype=float)

    monkeypatch.setitem(sys.modules, "spying_module", SimpleNamespace(Spy=Spy))
    few = ("--only", "spy", "TableVectorizer+spy", "rarity", "TableVectorizer+knn1_scaled")
    words = (
        "--n",
        "20",
        "--k",
        "0",
        "3",
        "--max-query",
        "40",
        "--detector",
        "spy=spying_module:Spy",
    )
    assert run(bench, folder, tmp_path, *words, *few, "--label", "made") == 0
    kinds = [pd.DataFrame, np.ndarray]
    assert seen == 2 * [(kind, n) for n in (20, 23) for kind in kinds]
    frame = pd.read_csv(tmp_path / "tables_made.csv")
    assert set(frame.task) == {"one", "two"}  # the third has no column of categories
    assert frame.groupby("method").size().eq(4).all()
    text = (tmp_path / "tables_made.md").read_text()
    assert "## spy" in text
    assert "### 20,3\n\n| table | spy | TableVectorizer+knn1_scaled" in text


def test_the_run_is_named_by_its_folder_and_taken_up_again(bench, folder, tmp_path):
    words = ("--k", "3", "--only", "TableVectorizer+forest", "rarity")
    assert run(bench, folder, tmp_path, *words) == 0
    path = tmp_path / f"tables_mixed_{folder.name}.csv"
    before = pd.read_csv(path)
    assert run(bench, folder, tmp_path, *words, "--reuse", str(path)) == 0
    pd.testing.assert_frame_equal(before, pd.read_csv(path))  # seconds too


def test_folders_without_categories_are_refused(bench, folder, tmp_path, capsys):
    made_frame()[["size", "anomaly"]].to_csv(tmp_path / "numbers.csv.gz", index=False)
    assert run(bench, tmp_path, tmp_path) == 2
    assert "has a column of categories" in capsys.readouterr().err
    assert run(bench, folder, tmp_path, "--tables", "numbers", "--only", "rarity", "--k", "0") == 0
