"""The benchmarks' pictures show what the results hold."""

import re

import pandas as pd
import pytest

MODULES = ("report.pictures",)


def write(path, rows):
    pd.DataFrame(rows, columns=["method", "task", "n", "k", "auc"]).to_csv(path, index=False)


def test_gains_are_over_the_best_baseline_of_each_cell_but_not_over_ours(bench, tmp_path):
    write(
        tmp_path / "base.csv",
        [
            ("knn", "a", 10, 0, 0.7), ("knn", "b", 10, 0, 0.5), ("knn", "a", 10, 5, 0.7),
            ("lof", "a", 10, 0, 0.5), ("lof", "b", 10, 0, 0.5), ("lof", "a", 10, 5, 0.8),
            ("textbook", "a", 10, 0, 0.99), ("textbook", "a", 10, 5, 0.99),
        ],
    )  # fmt: skip
    write(tmp_path / "mine.csv", [("mine", "a", 10, 0, 0.9), ("mine", "a", 10, 5, 0.75)])
    gains = bench.report.pictures.ahead_of_baselines(
        tmp_path, "base.csv", {"M": ("mine.csv", "mine")}
    )
    assert gains["M"].to_dict() == pytest.approx({(10, 0): 0.3, (10, 5): -0.05})


def test_all_pictures_are_drawn_from_the_results_that_are_kept(bench, tmp_path):
    if not (bench.results / "families.png").exists():
        pytest.skip("the results are not part of a source distribution")
    for path in bench.results.glob("*.csv"):
        (tmp_path / path.name).symlink_to(path)
    assert bench.main(["pictures", "--results", str(tmp_path)]) == 0
    drawn = {path.name: path.stat().st_size for path in tmp_path.glob("*.png")}
    page = (bench.results.parents[1] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"results/(\w+\.png)\)", page))
    assert set(drawn) == shown - {"tables_few_shot.png"}  # which the tables command draws
    assert min(drawn.values()) > 10_000
