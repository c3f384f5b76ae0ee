"""Statistics of windows."""

import numpy as np
import pytest

from sklearn_fsad.series import WindowStatistics
from sklearn_fsad.series._statistics import ALL_STATISTICS


@pytest.fixture
def windows():
    return np.random.default_rng(0).normal(size=(30, 8, 2))


def test_levels_are_means_of_the_window_and_of_its_newer_half(windows):
    Z = WindowStatistics(("level", "recent_level", "last")).fit_transform(windows)
    np.testing.assert_allclose(Z[:, :2], windows.mean(axis=1))
    np.testing.assert_allclose(Z[:, 2:4], windows[:, 4:].mean(axis=1))
    np.testing.assert_array_equal(Z[:, 4:], windows[:, -1])


def test_roughness_and_spread_are_logarithms_of_mean_sizes(windows):
    maker = WindowStatistics(("roughness", "spread")).fit(windows)
    Z, floor = maker.transform(windows), maker.floor_
    steps = np.abs(np.diff(windows, axis=1)).mean(axis=1)
    np.testing.assert_allclose(Z[:, :2], np.log(steps + floor) - np.log(floor))
    distances = np.abs(windows - windows.mean(axis=1, keepdims=True)).mean(axis=1)
    np.testing.assert_allclose(Z[:, 2:], np.log(distances + floor) - np.log(floor))


def test_a_short_window_is_taken_to_be_as_rough_as_usual_in_what_it_lacks(windows):
    maker = WindowStatistics(("roughness",)).fit(windows)
    short = windows[:1].copy()
    short[:, :-1] = np.nan
    usual = np.log(maker.usual_["roughness"] + maker.floor_) - np.log(maker.floor_)
    np.testing.assert_allclose(maker.transform(short)[0], usual)


def test_missing_values_are_left_out_and_a_channel_without_any_has_no_level(windows):
    gappy = windows.copy()
    gappy[0, :4, 0], gappy[1, :, 1] = np.nan, np.nan
    Z = WindowStatistics(("level",)).fit(windows).transform(gappy)
    assert Z[0, 0] == pytest.approx(windows[0, 4:, 0].mean())
    assert np.isnan(Z[1, 1])
    assert np.isnan(Z).sum() == 1


@pytest.mark.parametrize("n", [1, 7])
def test_a_window_has_the_same_statistics_alone_and_among_others_bit_for_bit(windows, n):
    maker = WindowStatistics(ALL_STATISTICS).fit(windows)
    np.testing.assert_array_equal(maker.transform(windows[:n]), maker.transform(windows)[:n])


def test_a_channel_without_any_value_has_no_statistics(windows):
    maker = WindowStatistics(ALL_STATISTICS).fit(windows)
    dead, recently = windows[:2].copy(), windows[:2].copy()
    dead[:, :, 1] = np.nan
    recently[:, windows.shape[1] // 2 :, 1] = np.nan
    of_dead = np.array(maker.channels()) == 1
    recent = np.array(
        ["recent" in name or "last" in name for name in maker.get_feature_names_out()]
    )
    np.testing.assert_array_equal(np.isnan(maker.transform(dead)), [of_dead] * 2)
    np.testing.assert_array_equal(np.isnan(maker.transform(recently)), [of_dead & recent] * 2)


def test_constant_channels_have_finite_statistics():
    Z = WindowStatistics(ALL_STATISTICS).fit_transform(np.full((5, 6, 1), 3.0))
    assert np.isfinite(Z).all()


def test_columns_are_named_and_told_by_channel(windows):
    maker = WindowStatistics(("level", "recent_roughness")).fit(windows)
    names = maker.get_feature_names_out(["flow", "heat"]).tolist()
    assert names[0] == "level of flow"
    assert names[3] == "recent roughness of heat"
    assert maker.channels() == [0, 1, 0, 1]


def test_unknown_statistics_and_arrays_that_are_no_windows_are_refused(windows):
    with pytest.raises(ValueError, match="must be some of level, recent_level"):
        WindowStatistics(("level", "speed")).fit(windows)
    with pytest.raises(ValueError, match=r"got shape \(30, 8\)"):
        WindowStatistics().fit(windows[:, :, 0])
