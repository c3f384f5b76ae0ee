"""The benchmark of rows to label, made small."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

MODULES = ("measures.query", "protocols.pools", "report.labels", "methods.aad_forest")


def test_normals_pool_and_test_share_no_row_and_the_pool_has_few_anomalies(bench):
    rng = np.random.default_rng(0)
    y = (rng.uniform(size=900) < 0.3).astype(np.int64)
    X = np.arange(900.0)[:, None]
    task = bench.protocols.families.Task("a", "a", X, y)
    pools = bench.protocols.pools.Pools(40, 200, 0.1, 2, 0, 150)
    first, second = pools.draws_of(task)
    parts = [first.normals, first.pool, first.test]
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
    assert (len(first.normals), len(first.pool), len(first.test)) == (40, 200, 150)
    assert first.pool_y.sum() == 20
    assert not y[first.normals.astype(int).ravel()].any()
    assert np.array_equal(pools.draw(task, 0).pool, first.pool)
    assert not np.array_equal(first.pool, second.pool)


def test_every_way_of_asking_is_measured_after_each_label(bench, folder, tmp_path):
    words = ["--data", str(folder), "--n", "20", "--pool", "40", "--labels", "3"]
    words += ["--ways", "auto", "random", "--detector"]
    words += ["mine=sklearn_fsad:ProtoNetDetector(outlier_label=1)", "--results", str(tmp_path)]
    assert bench.main(["query", *words]) == 0
    rows = pd.read_csv(tmp_path / "query.csv")
    mine = rows[rows.detector == "mine"]
    assert set(mine.way) == {"auto", "random"}
    assert mine.groupby("task").ap_0.nunique().max() == 1
    assert mine[[f"ap_{i}" for i in range(4)]].notna().all(axis=None)
    assert (mine.found <= 3).all()
    text = (tmp_path / "query.md").read_text()
    assert "| 3 |" in text
    assert "auto minus random" in text
    forest = importlib.util.find_spec("coniferest") is not None
    assert ("AADForest is left out" in text) == (not forest)


def test_a_way_that_asks_twice_is_an_error(bench):
    draw = SimpleNamespace(
        pool=np.zeros((3, 1)), pool_y=np.zeros(3), test=np.zeros((2, 1)), test_y=np.array([0, 1])
    )
    asks = SimpleNamespace(
        ask=lambda: 0, answer=lambda row: None, anomaly_score=lambda X: np.zeros(len(X))
    )
    with pytest.raises(ValueError, match="twice"):
        bench.measures.query.curve(asks, draw, SimpleNamespace(labels=2))
