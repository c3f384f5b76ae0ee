"""The benchmark on doubtful labels, made small."""

import numpy as np
import pandas as pd
import pytest

MODULES = ("measures.trusted",)


@pytest.mark.parametrize(("trust", "wrong"), [(0.5, (15, 2)), (0.7, (9, 1)), (0.9, (3, 0))])
def test_the_trust_is_the_share_of_right_labels_among_doubtful_rows(bench, trust, wrong):
    y = np.repeat([0, 1], [45, 5])
    told, weights = bench.measures.trusted.doubted(y, trust, seed=0)
    doubtful = weights < 1
    assert tuple(int(doubtful[y == label].sum()) for label in (0, 1)) == (30, 3)
    assert set(weights) == {1.0, trust}
    assert tuple(int((told != y)[y == label].sum()) for label in (0, 1)) == wrong
    assert not (told != y)[~doubtful].any()


def test_every_way_is_measured_on_the_same_supports(bench, folder, tmp_path):
    words = ["--data", str(folder), "--n", "20", "--k", "6", "--draws", "1", "--trust", "0.7"]
    words += ["--detector", "mine=sklearn_fsad:ProtoNetDetector"]
    assert bench.main(["trust", "labels", *words, "--results", str(tmp_path)]) == 0
    rows = pd.read_csv(tmp_path / "trusted_labels.csv")
    by_way = rows.groupby("way")["auc"].mean()
    assert set(by_way.index) == set(bench.measures.trusted.WAYS)
    assert rows.groupby("way").size().nunique() == 1
    assert by_way["clean labels"] > by_way["weights ignored"]
    text = (tmp_path / "trusted_labels.md").read_text()
    assert text.count("| mine") == 5
