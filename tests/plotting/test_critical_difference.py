"""The picture of mean ranks."""

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib")
matplotlib.use("agg")

import matplotlib.pyplot as plt  # noqa: E402

from sklearn_fsad.model_selection import Comparison  # noqa: E402
from sklearn_fsad.plotting import CriticalDifferenceDisplay  # noqa: E402


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def make(values):
    table = np.array(values)[:, :, None, None]
    names, drawn = tuple("abcdef"[: len(table)]), np.ones((table.shape[1], 1), dtype=bool)
    return Comparison(names, tuple(range(table.shape[1])), ((5, 0),), {"f1": table}, drawn)


def test_bars_join_detectors_that_do_not_differ_and_names_show_the_ranks():
    noise = np.random.default_rng(0).normal(scale=0.01, size=(3, 12))
    display = CriticalDifferenceDisplay.from_comparison(make(noise + [[0.9], [0.5], [0.5]]))
    assert [set(clique) for clique in display.cliques] == [{"b", "c"}]
    assert "a (1.00)" in {text.get_text() for text in display.ax_.texts}
    assert display.ax_.get_xlabel() == "Mean rank by F1 (1 = best)"


def test_it_draws_into_given_axes():
    _, ax = plt.subplots()
    display = CriticalDifferenceDisplay({"a": 1.0, "b": 2.0}).plot(ax, name="title")
    assert display.ax_ is ax
    assert ax.get_title() == "title"


def test_a_single_detector_and_a_wrong_alpha_are_refused():
    with pytest.raises(ValueError, match="at least two"):
        CriticalDifferenceDisplay.from_comparison(make([[0.5, 0.6]]))
    with pytest.raises(ValueError, match="alpha=5"):
        CriticalDifferenceDisplay.from_comparison(make([[0.5, 0.6]] * 2), alpha=5)
