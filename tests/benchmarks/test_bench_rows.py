"""Rows of a mapped file, scored in one call and beside PyOD's KNN."""

from pathlib import Path

import numpy as np
import pytest

from sklearn_fsad import ProtoNetDetector

MODULES = ("speed.rows",)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read as on Linux")
def test_memory_and_time_of_each_number_of_rows(bench, monkeypatch, tmp_path):
    rows = bench.speed.rows
    monkeypatch.setattr(rows, "MAPPED", {"mix": ProtoNetDetector()})
    words = ["scale", "mapped", "--n", "300", "20", "--results", str(tmp_path)]
    assert bench.main(words) == 0
    text = (tmp_path / "big_scoring.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    found = [(cell[1], cell[2], cell[5]) for cell in cells if len(cell) == 7 and cell[1] == "mix"]
    assert found == [("mix", "20", "yes"), ("mix", "300", "yes")]


def test_a_part_of_the_rows_is_scored_beside_knn(bench, monkeypatch, tmp_path):
    rows = bench.speed.rows
    monkeypatch.setattr(rows, "PART", 40)
    rows.make_rows(tmp_path / "rows.npy", 100, "float32")
    X = np.random.default_rng(0).normal(size=(20, rows.N_FEATURES))
    found = rows.beside_knn(ProtoNetDetector().fit(X), tmp_path / "rows.npy", rounds=1)
    ours, knn = found["ours_rows_a_core_second"], found["knn_rows_a_core_second"]
    assert found["times_knn"] == pytest.approx(knn / ours)
    assert min(ours, knn) > 0
