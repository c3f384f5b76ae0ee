"""The benchmarks on explanations and on far tasks, made small."""

import numpy as np
import pandas as pd
import pytest

MODULES = ("measures.explanations", "measures.far", "protocols.one_table")
PROTOTYPES = "prototypes=sklearn_fsad:ProtoNetDetector"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six tables of four features, of two groups, one feature constant."""
    path = tmp_path_factory.mktemp("tables")
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X = np.vstack([rng.normal(size=(90, 4)), 4 + rng.normal(size=(10, 4))])
        X[:, 3] = 7.0
        np.savez(path / f"{'ab'[seed % 2]}_{seed}.npz", X=X, y=np.repeat([0, 1], [90, 10]))
    return path


@pytest.mark.parametrize(("kind", "n_off"), [("one shifted", 1), ("three shifted", 3)])
def test_shifted_columns_are_those_marked_and_move_by_three_spreads(bench, kind, n_off):
    normals = np.random.default_rng(0).normal(size=(50, 6)) * np.array([1, 2, 3, 4, 5, 0])
    X, off = bench.protocols.one_table.plant(normals[:20], normals, kind, np.random.default_rng(1))
    assert (off.sum(axis=1) == n_off).all()
    assert not off[:, 5].any()
    moved = np.abs(X - normals[:20]) / np.where(off, normals.std(axis=0), 1.0)
    np.testing.assert_allclose(moved, 3.0 * off)


def test_swapped_values_are_those_of_other_rows(bench):
    normals = np.random.default_rng(0).normal(size=(50, 3))
    X, off = bench.protocols.one_table.plant(
        normals[:20], normals, "one swapped", np.random.default_rng(1)
    )
    rows, columns = np.nonzero(off)
    assert all(X[i, j] in normals[:, j] for i, j in zip(rows, columns, strict=True))


def test_the_report_on_tables_has_every_way_and_chance(bench, folder, tmp_path):
    argv = ["--data", str(folder), "--tables", "a_0", "--n", "30", "--k", "0", "--rows", "6"]
    argv += ["--detector", PROTOTYPES, "--results", str(tmp_path)]
    bench.main(["trust", "explanations", *argv])
    frame = pd.read_csv(tmp_path / "explanations.csv")
    assert set(frame["method"]) == {
        "chance",
        "robust z-score",
        "prototypes",
        "prototypes, nearest row",
        "prototypes, both sides",
    }
    assert frame["first"].between(0, 1).all()
    shifted = frame[frame["kind"] == "one shifted"].set_index("method")["first"]
    assert shifted["prototypes"] > 0.9 > shifted["chance"] == 0.25
    text = (tmp_path / "explanations.md").read_text()
    assert "--results" not in text
    assert "| prototypes | 100.0 | 100.0 |" in text


def test_far_tasks_are_counted_by_family(bench, folder, tmp_path):
    argv = ["--data", str(folder), "--n", "10", "--draws", "2", "--results", str(tmp_path)]
    bench.main(["trust", "far", *argv])
    frame = pd.read_csv(tmp_path / "far_tasks.csv").set_index("kind")["far"]
    assert frame["all its columns times 10"] == 1.0
    assert frame[bench.measures.far.OWN] <= 0.1
    assert f"## {folder.name}: 6 tasks" in (tmp_path / "far_tasks.md").read_text()
