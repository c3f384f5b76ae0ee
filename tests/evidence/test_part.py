"""A part of a support gives the evidence that a support of its rows gives."""

import numpy as np
import pytest
from families import make_family, new_task

from sklearn_fsad._evidence.kinds import EVIDENCE
from sklearn_fsad._evidence.part import Part
from sklearn_fsad._evidence.pooled import Pooled
from sklearn_fsad._evidence.support import Support


def without_some(normals, anomalies, rank=None):
    """The first three normals and the first anomaly left out: as a part, and as a support."""
    tasks = [(X[y == 0], X[y == 1]) for X, y in make_family()]
    whole = Support(normals, anomalies, Pooled.from_tasks(tasks, rank=rank))
    in_part, in_part_a = np.arange(len(normals)) >= 3, np.arange(len(anomalies)) >= 1
    part = Part(whole, in_part, in_part_a)
    alone = Support(normals[3:], anomalies[1:], whole.pooled, reference=whole)
    return part, alone, alone.rows(np.concatenate([normals[:3], anomalies[:1]]))


def assert_same_evidence(part, alone, rows, rtol=1e-9):
    for name, kind in EVIDENCE.items():
        about, expected = kind.function(part, part.left_out(5)), kind.function(alone, rows)
        np.testing.assert_allclose(about, expected, rtol=rtol, atol=rtol, err_msg=name)


@pytest.mark.parametrize("rank", [None, 2])
def test_a_part_tells_what_a_support_of_its_rows_tells(rank):
    X, y, _, _ = new_task(n_support=12, k_support=4)
    part, alone, rows = without_some(X[y == 0], X[y == 1], rank)
    assert_same_evidence(part, alone, rows)
    assert part.turned_raw is not None  # what the whole has computed is used


@pytest.mark.parametrize("far", [1e9, 1e30])
def test_a_part_keeps_its_digits_without_a_row_that_is_far_from_all_others(far):
    X, y, _, _ = new_task(n_support=12, k_support=4)
    normals = X[y == 0]
    normals[1] = far
    part, alone, rows = without_some(normals, X[y == 1])
    assert_same_evidence(part, alone, rows)
    assert part.turned_raw is None


def test_an_anomaly_too_far_for_squares_is_clipped_in_a_part_too():
    X, y, _, _ = new_task(n_support=12, k_support=4)
    anomalies = X[y == 1]
    anomalies[0] = 1e60
    part, alone, rows = without_some(X[y == 0], anomalies)
    assert_same_evidence(part, alone, rows)
    assert np.abs(rows.raw[-1]).max() < 1e59


def test_a_left_out_row_equal_to_one_of_the_part_has_no_distance_to_it():
    X, y, _, _ = new_task(n_support=12, k_support=4)
    normals = X[y == 0]
    normals[0] = normals[7]
    part, alone, rows = without_some(normals, X[y == 1])
    nearest = EVIDENCE["nearest_pooled"].function(part, part.left_out(1))
    assert nearest[0] == EVIDENCE["nearest_pooled"].function(alone, rows)[0] == np.log(1e-100)
