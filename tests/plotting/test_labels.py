"""The display of quality against labels given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from families import make_family
from sklearn.base import clone

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.plotting import LabelCurveDisplay

ASKED = {"n_normal": 8, "n_labels": 3, "n_draws": 2, "random_state": 0}


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_all_ways_start_from_the_same_rows_and_are_drawn():
    ways = ("auto", "top", "random")
    detectors = {"a": ProtoNetDetector(), "b": ProtoNetDetector(evidence="support")}
    shown = LabelCurveDisplay.from_estimator(detectors, make_family(2), strategies=ways, **ASKED)
    assert list(shown.values) == [f"{name}, {way}" for name in "ab" for way in ways]
    for values in shown.values.values():
        assert values.shape == (4, 2, 2)
        assert ((values >= 0.0) & (values <= 1.0)).all()
    for way in ways[1:]:
        np.testing.assert_array_equal(shown.values[f"a, {way}"][0], shown.values["a, auto"][0])
    assert len(shown.ax_.lines) == 6
    assert shown.ax_.get_xlabel() == "Number of labels given"
    assert shown.ax_.get_ylabel().startswith("Average precision, mean with its standard error")


def test_a_seed_repeats_the_curves_and_the_detector_is_not_fitted():
    detector = ProtoNetDetector()
    first, second = (
        LabelCurveDisplay.from_estimator(detector, make_family(1), scoring="roc_auc", **ASKED)
        for _ in range(2)
    )
    assert first.metric == "ROC AUC"
    for way, values in first.values.items():
        np.testing.assert_array_equal(second.values[way], values)
    assert not hasattr(detector, "offset_")


def test_the_last_point_is_a_detector_that_was_given_the_rows_it_asked_for():
    seen = []

    class Watched(ProtoNetDetector):
        def partial_fit(self, X, y=None, sample_weight=None, **how):
            seen.append((np.asarray(X), np.asarray(y)))
            return super().partial_fit(X, y, sample_weight, **how)

    X, y = make_family(1)[0]
    shown = LabelCurveDisplay.from_estimator(
        Watched(), [(X, y)], strategies=("top",), **{**ASKED, "n_draws": 1}
    )
    assert len(seen) == 3
    assert all(y[(row == X).all(axis=1)] == label for row, label in seen)
    assert shown.values["top"].shape == (4, 1, 1)


def test_own_results_can_be_drawn():
    shown = LabelCurveDisplay({"auto": [[0.5], [0.7]]}, metric="F1").plot(band=None, name="mine")
    assert shown.ax_.get_title() == "mine"
    assert shown.ax_.get_ylabel() == "F1"
    with pytest.raises(ValueError, match="band='range' must be one of"):
        shown.plot(band="range")


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match=r"No task has 8 normal rows.*500 rows to ask about"):
        LabelCurveDisplay.from_estimator(
            clone(ProtoNetDetector()), make_family(1), **{**ASKED, "n_labels": 500}
        )
