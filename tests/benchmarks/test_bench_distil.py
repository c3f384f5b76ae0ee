"""The benchmark on distilled detectors, made small."""

import numpy as np
import pandas as pd
import pytest

import sklearn_fsad

MODULES = ("measures.distil", "speed.distil", "report.distil")


@pytest.fixture
def quick(monkeypatch):
    """Networks that hardly learn: what is written is tested, not how good it is."""
    defaults = sklearn_fsad.distil.__kwdefaults__
    for name, value in {"n_rows": 1000, "max_epochs": 1, "hidden": (32, 32)}.items():
        monkeypatch.setitem(defaults, name, value)


def words(folder, *more):
    given = ["--data", str(folder), "--n", "20", "--k", "0", "--most-tasks", "2"]
    return ["distil", *given, "--detector", "mine=sklearn_fsad:ProtoNetDetector", *more]


def test_copies_are_measured_on_real_rows_with_and_without_later_ones(
    bench, folder, tmp_path, quick, monkeypatch
):
    monkeypatch.setattr(bench.speed.distil, "SIZES", (1, 100))
    monkeypatch.setattr(bench.report.distil, "SIZES", (1, 100))
    monkeypatch.setattr(bench.speed.distil, "ROUNDS", {1: 1, 100: 1})
    more = ["--given", "mine", "--results", str(tmp_path)]
    assert bench.main(words(folder, *more)) == 0
    rows = pd.read_csv(tmp_path / "distil.csv")
    assert list(rows.groupby("given").size()) == [2, 1]  # one task has few rows
    assert rows["correlation"].between(-1, 1).all()
    text = (tmp_path / "distil.md").read_text()
    for title in ("Agreement", "With later rows", "Time", "Size"):
        assert f"## {title}" in text

    reused = ["--reuse", str(tmp_path / "distil.csv"), "--results", str(tmp_path / "again")]
    assert bench.main(words(folder, *reused)) == 0
    again = pd.read_csv(tmp_path / "again" / "distil.csv")
    assert np.array_equal(again["seconds"], rows["seconds"])
