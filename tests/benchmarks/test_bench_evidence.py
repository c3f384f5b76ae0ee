"""The benchmark on models of the user, made small."""

import pandas as pd
from sklearn.linear_model import LogisticRegression, Ridge

from sklearn_fsad.evidence import ClassifierEvidence, RegressorEvidence

MODULES = ("measures.evidence",)


def test_every_model_is_measured_without_meta_fit_and_with_it(bench, folder, tmp_path, monkeypatch):
    kept = {
        "Ridge": RegressorEvidence(Ridge(), columns=[0]),
        "logistic regression": ClassifierEvidence(LogisticRegression()),
    }
    monkeypatch.setattr(bench.measures.evidence, "MODELS", kept)
    words = ["--data", str(folder), "--related", str(folder), "--n", "15", "--k", "0", "3"]
    words += ["--draws", "1", "--episodes", "4", "--results", str(tmp_path)]
    assert bench.main(["evidence", *words]) == 0
    rows = pd.read_csv(tmp_path / "evidence.csv")
    assert set(rows["split"].fillna("none")) == {"none", "random", "groups"}
    without_labels = rows[rows["k"] == 0]
    assert set(without_labels["model"]) == {"without", "Ridge"}
    assert set(rows[rows["k"] == 3]["model"]) == {"without", *kept}
    assert set(without_labels["kind"]) == {"real", "one", "all"}
    assert "| logistic regression |" in (tmp_path / "evidence.md").read_text()
