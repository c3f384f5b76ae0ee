"""Windows of steps, and where a series starts."""

import numpy as np
import pytest

from sklearn_fsad.series import WindowStatistics
from sklearn_fsad.series._windows import WindowReader, whole_windows, windows_of


def test_a_window_ends_with_its_step_and_lacks_what_was_before_the_start():
    found = windows_of(np.array([[1.0], [2.0], [3.0]]), 2)[:, :, 0]
    np.testing.assert_array_equal(found, [[np.nan, 1], [1, 2], [2, 3]])


def test_a_window_that_is_not_causal_has_its_step_in_the_middle():
    found = windows_of(np.arange(4.0)[:, None], 3, causal=False, edge=True)[:, :, 0]
    np.testing.assert_array_equal(found, [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]])


def test_windows_do_not_cross_the_start_of_a_series():
    X = np.arange(6.0)[:, None]
    reader = WindowReader(3, 1, True, WindowStatistics(("level",)).fit(windows_of(X, 3)))
    np.testing.assert_array_equal(reader.rows(X, [0, 4])[:, 0], [0, 0.5, 1, 2, 4, 4.5])


def test_a_value_is_held_until_the_next_window_of_the_series():
    reader = WindowReader(2, 3, True, None)
    assert reader.steps(8, [0, 4]).tolist() == [0, 3, 4, 7]
    assert reader.of_steps(np.array([1, 2, 3, 4]), 8, [0, 4]).tolist() == [1, 1, 1, 2, 3, 3, 3, 4]


@pytest.mark.parametrize(("causal", "whole"), [(True, [2, 3, 6, 7]), (False, [1, 2, 5, 6])])
def test_windows_that_reach_beyond_their_series_are_told_apart(causal, whole):
    found = whole_windows(np.arange(8), 8, [0, 4], 3, causal)
    assert np.flatnonzero(found).tolist() == whole
