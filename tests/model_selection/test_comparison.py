"""Test the ranks, tests and tables of a comparison against values computed by hand."""

import numpy as np
import pytest
from scipy.stats import wilcoxon

from sklearn_fsad.model_selection import Comparison

A = [[0.9, 0.7], [0.8, 0.6], [0.5, 0.5]]
B = [[0.9, 0.6], [0.6, 0.4], [0.6, 0.6]]
C = [[0.2, 0.1], [0.8, 0.3], [0.1, 0.0]]


def make(*tables, names=("A_1", "B & co", "C"), drawn=None):
    values = np.array(tables)[..., None]  # (detectors, tasks, shots, one draw)
    drawn = np.ones(values.shape[1:3], dtype=bool) if drawn is None else drawn
    tasks = tuple("xyz"[: values.shape[1]])
    return Comparison(names, tasks, ((10, 0), (10, 5)), {"roc_auc": values}, drawn)


def test_means_and_standard_errors_are_over_tasks():
    found = make(A, B, C)
    np.testing.assert_allclose(found.mean()[0], np.mean(A, axis=0))
    np.testing.assert_allclose(found.standard_error()[0], np.std(A, axis=0, ddof=1) / 3**0.5)


def test_equal_values_share_the_mean_of_their_ranks():
    ranks = make(A, B, C).mean_ranks(shots=(10, 0))
    # A: 1.5, 1.5, 2; B: 1.5, 3, 1; C: 3, 1.5, 3
    assert ranks == pytest.approx({"A_1": 5 / 3, "B & co": 5.5 / 3, "C": 2.5})


def test_wins_are_counted_by_task_and_shots_and_ties_count_for_none():
    assert make(A, B, C).wins() == {"A_1": 2, "B & co": 2, "C": 0}


def test_wilcoxon_is_scipys_on_the_task_means_with_holms_correction():
    a, b, c = (np.mean(table, axis=1) for table in (A, B, C))
    p = sorted(wilcoxon(a - other, zero_method="zsplit").pvalue for other in (b, c))
    found = make(A, B, C).wilcoxon()
    assert set(found) == {"B & co", "C"}  # A has the best mean
    assert sorted(found.values()) == pytest.approx([min(2 * p[0], 1), max(2 * p[0], p[1])])


def test_a_detector_that_failed_is_left_out_of_ranks_where_it_failed():
    failed = np.array(C)
    failed[:, 0] = np.nan
    found = make(A, B, failed)
    assert set(found.mean_ranks()) == {"A_1", "B & co"}
    assert set(found.mean_ranks(shots=(10, 5))) == {"A_1", "B & co", "C"}
    assert "| C | - |" in found.to_markdown()


def test_a_task_without_supports_at_some_shots_counts_by_the_others():
    drawn = np.array([[True, False], [True, True], [True, True]])
    a = np.where(drawn, A, np.nan)
    found = make(a, np.where(drawn, B, np.nan), names=("a", "b"), drawn=drawn)
    np.testing.assert_allclose(found.task_means()["a"], [0.9, 0.7, 0.5])
    np.testing.assert_allclose(found.mean()[0], [np.mean(a[:, 0]), np.mean(a[1:, 1])])
    assert len(found.records()) == 2 * 5


def test_latex_has_balanced_rows_escaped_names_bold_and_underlined_cells():
    table = make(A, B, C).to_latex()
    lines = table.splitlines()
    assert lines[0] == r"\begin{tabular}{lrrr}"
    assert lines[-1] == r"\end{tabular}"
    assert r"A\_1 & \textbf{0.733 $\pm$ 0.120}" in table
    assert r"B \& co & \underline{0.700" in table
    rows = [line.replace(r"\&", "") for line in lines if line.endswith(r"\\")]
    assert {row.count("&") for row in rows} == {3}
    assert table.count("{") == table.count("}")


def test_html_is_escaped_and_frames_hold_the_records():
    pd = pytest.importorskip("pandas")
    found = make(A, B, C)
    assert "B &amp; co" in found._repr_html_()
    frame = found.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame.shape == (18, 6)
    assert frame.query("detector == 'A_1' and n_anomalous == 0")["roc_auc"].tolist() == [
        0.9,
        0.8,
        0.5,
    ]


def with_unused_training():
    by_default = np.zeros((3, 3, 2), dtype=bool)
    by_default[0, :2, 1] = by_default[2] = True
    values = np.array([A, B, C])[..., None]
    every = np.ones((3, 2), dtype=bool)
    names = ("A_1", "B & co", "C")
    return Comparison(
        names, tuple("xyz"), ((10, 0), (10, 5)), {"roc_auc": values}, every, by_default
    )


@pytest.mark.parametrize("written", ["__str__", "to_markdown", "to_latex", "_repr_html_"])
def test_tables_mark_detectors_whose_training_is_not_used(written):
    table = getattr(with_unused_training(), written)()
    mark, one = (r"\textdagger{}", r"A\_1") if written == "to_latex" else ("†", "A_1")
    assert table.count(mark) == 3  # two detectors and the note
    assert f"{one} {mark}" in table
    assert f"{one}: 10+5 on 2 of 3 tasks; C: 10+0 on 3 of 3 tasks, 10+5 on 3 of 3 tasks." in table


def test_tables_without_such_a_detector_have_no_note():
    for written in (str(make(A, B, C)), make(A, B, C).to_latex(), make(A, B, C)._repr_html_()):
        assert "held out of the training" not in written
    assert with_unused_training().mean_ranks().keys() == {"A_1", "B & co", "C"}


def test_unknown_metrics_and_shots_are_named():
    found = make(A, B, C)
    with pytest.raises(ValueError, match=r"scoring='f1' is not one of roc_auc"):
        found.mean("f1")
    with pytest.raises(ValueError, match=r"shots=\(1, 1\) is not one of"):
        found.mean_ranks(shots=(1, 1))
