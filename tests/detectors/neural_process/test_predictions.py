"""Targets, predictions, sampled functions, grids and reduced features of a neural process."""

import pickle

import numpy as np
import pandas as pd
import pytest
from brief_processes import META, auc, brief, closed_form, holed, line
from families import make_family
from sklearn.base import clone

from sklearn_fsad import NeuralProcessDetector
from sklearn_fsad._detectors.neural_process.networks import KINDS


# --- target features ------------------------------------------------------------------------------
def test_targets_are_named_or_counted():
    names = ["x", "y", "z"]
    frame, query = (pd.DataFrame(line(n), columns=names) for n in (30, 9))
    by_name = brief(kind="cnp", target_features=["y"]).fit(frame)
    for targets in ([1], (-2,), np.array([1]), [1, -2], np.array(["y"])):
        other = brief(kind="cnp", target_features=targets).fit(frame)
        np.testing.assert_array_equal(other.score_samples(query), by_name.score_samples(query))
    bare = brief(kind="cnp", target_features=[1]).fit(frame.to_numpy())
    np.testing.assert_array_equal(bare.score_samples(query.values), by_name.score_samples(query))
    assert by_name.state_.info["targets"] == [1]


def test_only_targets_are_judged():
    detector = brief(kind="cnp", target_features=[1]).fit(line(40))
    query = line(9, 1)
    parts = detector.feature_scores(query)
    assert (parts[:, [0, 2]] == 0.0).all()
    np.testing.assert_allclose(parts[:, 1], -detector.score_samples(query))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["w"], r"'w', but the features are \['x', 'y', 'z'\]"),
        ([3], "positions below the number of features, 3"),
        ([-4], "positions below the number of features, 3"),
        ([0.5], "target_features has 0.5"),
        ([0, 1, 2], "at least one target and one other feature"),
        ([], "at least one target and one other feature"),
    ],
)
def test_targets_that_are_no_features_are_refused(targets, message):
    frame = pd.DataFrame(line(30), columns=["x", "y", "z"])
    with pytest.raises(ValueError, match=message):
        brief(target_features=targets).fit(frame)
    with pytest.raises(ValueError, match=message):
        NeuralProcessDetector(**META, target_features=targets).meta_fit([(frame, None)])


def test_a_name_needs_named_features():
    with pytest.raises(ValueError, match="'y', but the features are unnamed"):
        brief(target_features=["y"]).fit(line(30))


# --- predictions ----------------------------------------------------------------------------------
@pytest.mark.parametrize("targets", [None, [1], [0, 2]])
def test_predictions_have_a_column_for_each_target(targets):
    detector = closed_form(kind="cnp", target_features=targets).fit(line(40))
    mean, std = detector.predict_distribution(line(9, 1))
    assert mean.shape == std.shape == (9, 3 if targets is None else len(targets))
    assert np.isfinite(mean).all()
    assert (std > 0).all()


@pytest.mark.parametrize("targets", [None, [1]])
def test_what_a_target_holds_does_not_matter_to_its_prediction(targets):
    detector = closed_form(kind="cnp", target_features=targets).fit(line(40))
    query = line(9, 1)
    expected = detector.predict_distribution(query)
    for value in (np.nan, 1e6):
        query[:, 1] = value
        for one, other in zip(detector.predict_distribution(query), expected, strict=True):
            column = 0 if targets else 1
            np.testing.assert_allclose(one[:, column], other[:, column], atol=1e-9)


@pytest.mark.parametrize("targets", [None, [1]])
@pytest.mark.parametrize("scaler", ["auto", "robust"])
def test_predictions_are_in_the_units_of_the_features(targets, scaler):
    factor, shift = np.array([10.0, 1e-3, 4.0]), np.array([5.0, -50.0, 1e3])
    columns = slice(None) if targets is None else targets
    settings = {"kind": "cnp", "target_features": targets, "scaler": scaler}
    mean, std = closed_form(**settings).fit(line(40)).predict_distribution(line(9, 1))
    moved = closed_form(**settings).fit(line(40) * factor + shift)
    found_mean, found_std = moved.predict_distribution(line(9, 1) * factor + shift)
    expected = mean * factor[columns] + shift[columns]
    np.testing.assert_allclose(found_mean, expected, rtol=1e-6)
    np.testing.assert_allclose(found_std, std * factor[columns], rtol=1e-6)


def test_closed_forms_predict_each_feature_from_the_others():
    detector = closed_form(anchor="linear").fit(line(300))
    query = line(300, 1)
    mean, std = detector.predict_distribution(query)
    assert np.corrcoef(mean[:, 1], 3.0 * query[:, 0] + 1.0)[0, 1] > 0.99
    assert np.abs(mean[:, 1] - 3.0 * query[:, 0] - 1.0).mean() < 0.2
    assert np.abs(mean[:, 2]).mean() < 0.2
    assert std[:, 1].mean() < std[:, 2].mean()


def test_a_trained_process_covers_a_linear_relation():
    detector = brief(
        kind="cnp", target_features=[1], max_epochs=10, episodes_per_epoch=100, lr=0.01,
        embedding_dim=16,
    ).fit(line(200)[:, :2])  # fmt: skip
    query = line(1000, 1)[:, :2]
    mean, std = (part[:, 0] for part in detector.predict_distribution(query))
    covered = np.abs(query[:, 1] - mean) < 1.645 * std
    assert 0.84 < covered.mean() < 0.98
    assert np.sqrt(np.mean((mean - 3.0 * query[:, 0] - 1.0) ** 2)) < 0.3
    assert 0.4 < std.mean() < 0.8


def test_a_row_off_a_learned_line_is_found():
    detector = brief(
        kind="cnp", target_features=[1], max_epochs=6, episodes_per_epoch=60, lr=0.01,
        embedding_dim=16,
    ).fit(line(200)[:, :2])  # fmt: skip
    normal = line(200, 1)[:, :2]
    assert auc(detector, normal, np.column_stack([normal[:, 0], normal[:, 1] + 4.0])) > 0.9


def test_predictions_survive_a_pickle():
    detector = brief(kind="np", n_latent_samples=4).fit(line(40))
    query = line(9, 1)
    twin = pickle.loads(pickle.dumps(detector))
    for one, other in zip(*(d.predict_distribution(query) for d in (twin, detector)), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(twin.sample_functions(query), detector.sample_functions(query))


# --- sampled functions ----------------------------------------------------------------------------
@pytest.mark.parametrize("targets", [None, [1]])
def test_each_sample_is_one_function_of_all_rows(targets):
    detector = brief(kind="np", n_latent_samples=6, target_features=targets, max_epochs=6)
    query = line(9, 1)
    functions = detector.fit(line(40)).sample_functions(query)
    assert functions.shape == (6, 9, 1 if targets else 3)
    again = detector.sample_functions(query[[3, 3, 0]])
    np.testing.assert_array_equal(again, functions[:, [3, 3, 0]])
    assert functions.std(axis=0).max() > 1e-6
    mean, _ = detector.predict_distribution(query)
    np.testing.assert_allclose(functions.mean(axis=0), mean, rtol=1e-6, atol=1e-8)


def test_samples_are_in_the_units_of_the_features():
    moved = line(40) * [10.0, 100.0, 1.0] + [0.0, 5000.0, 0.0]
    functions = brief(kind="np", n_latent_samples=4).fit(moved).sample_functions(moved)
    assert np.abs(functions[:, :, 1].mean() - moved[:, 1].mean()) < 300.0


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "np"])
def test_only_a_latent_variable_can_be_sampled(kind):
    assert not hasattr(NeuralProcessDetector(kind=kind), "sample_functions")
    assert hasattr(NeuralProcessDetector(kind="np"), "sample_functions")


# --- grids ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(4, 2), (2, 2, 2), (7,), (), (-2, -3), (2.0, 3.0)])
@pytest.mark.parametrize("kind", ["convcnp", "tnp"])
def test_a_grid_that_rows_do_not_fill_is_refused(kind, shape):
    X = np.random.default_rng(0).normal(size=(20, 6))
    with pytest.raises(ValueError, match="rows of 6 features: give one or two whole numbers"):
        brief(kind=kind, grid_shape=shape).fit(X)


def test_a_row_may_be_a_grid_of_two_dimensions():
    X = np.random.default_rng(0).normal(size=(12, 6))
    scores = {}
    for shape in (None, (6,), (2, 3), [2, 3]):
        detector = brief(kind="convcnp", grid_shape=shape, episodes_per_epoch=2, n_masks=2).fit(X)
        scores[str(shape)] = detector.score_samples(X)
        assert np.isfinite(scores[str(shape)]).all()
    np.testing.assert_array_equal(scores["None"], scores["(6,)"])
    np.testing.assert_array_equal(scores["(2, 3)"], scores["[2, 3]"])
    assert not np.array_equal(scores["(6,)"], scores["(2, 3)"])


# --- reductions -----------------------------------------------------------------------------------
@pytest.fixture
def quick_reduction(monkeypatch):
    monkeypatch.setattr("sklearn_fsad._detectors.neural_process.reduction._STEPS", 10)


@pytest.mark.usefixtures("quick_reduction", "few_lessons")
@pytest.mark.parametrize("reduce", ["pca", "autoencoder"])
@pytest.mark.parametrize("meta", [False, True])
def test_a_reduced_detector_survives_clones_and_pickles(reduce, meta, task):
    X, y, query, _ = task
    detector = NeuralProcessDetector(**META, reduce=reduce, reduce_dim=2)
    if meta:
        detector.meta_fit(make_family(5))
    detector.fit(X, y)
    assert detector.state_.info["n_features"] == 3
    expected = detector.score_samples(query)
    for twin in (clone(detector).fit(X, y), pickle.loads(pickle.dumps(detector))):
        np.testing.assert_array_equal(twin.score_samples(query), expected)
        assert twin.offset_ == detector.offset_
        parts = twin.feature_scores(query)
        assert parts.shape == query.shape
        np.testing.assert_allclose(parts.sum(axis=1), -expected, atol=1e-10)


def test_a_reduced_detector_takes_missing_entries():
    X, query = holed(line(40), 0.2), holed(line(20, 1), 0.3)
    detector = closed_form(reduce="pca", reduce_dim=2).fit(X)
    scores = detector.score_samples(query)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(detector.feature_scores(query).sum(axis=1), -scores, atol=1e-10)


def test_a_row_off_the_plane_is_found_in_reduced_features():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(2, 30))
    X, normal = (rng.normal(size=(n, 2)) @ mixing + 0.1 * rng.normal(size=(n, 30))
                 for n in (60, 100))  # fmt: skip
    off = normal.copy()
    off[:, 7] += 2.0
    detector = closed_form(reduce="pca", reduce_dim=2).fit(X)
    assert auc(detector, normal, off) > 0.9
    assert (detector.feature_scores(off).argmax(axis=1) == 7).mean() > 0.9


@pytest.mark.parametrize("other", [{"target_features": [1]}, {"kind": "convcnp"}])
@pytest.mark.parametrize("reduce", ["pca", "autoencoder"])
def test_a_reduction_leaves_neither_targets_nor_a_grid(reduce, other):
    with pytest.raises(ValueError, match="neither target_features nor a grid"):
        brief(reduce=reduce, **other).fit(line(30))


def test_reduced_features_are_not_predicted():
    detector = closed_form(reduce="pca", reduce_dim=2).fit(line(30))
    with pytest.raises(ValueError, match="reduce=None for predictive distributions"):
        detector.predict_distribution(line(9))
