"""NeuralProcessDetector: what it finds, tells, predicts and refuses."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from families import BRIEF, SHOTS, brief_process, make_family, new_task
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

import sklearn_fsad._detectors.neural_process.reduction as reduction_module
from sklearn_fsad import NeuralProcessDetector
from sklearn_fsad._detectors.neural_process.module import SCORES
from sklearn_fsad._detectors.neural_process.networks import KINDS
from sklearn_fsad.exceptions import AdaptationWarning

every_kind = pytest.mark.parametrize("kind", KINDS)
every_score = pytest.mark.parametrize("score", SCORES)
USUAL = {**BRIEF, "n_masks": "auto"}
META = {**SHOTS, **USUAL, "gate": False}


def closed_form(**settings):
    """A detector that learns nothing but closed forms."""
    return NeuralProcessDetector(max_epochs=0, random_state=0, **settings)


def brief(**settings):
    return NeuralProcessDetector(**{**USUAL, **settings})


def auc(detector, normal, anomalous):
    scores = [-detector.score_samples(rows) for rows in (normal, anomalous)]
    return roc_auc_score(np.repeat([0, 1], [len(s) for s in scores]), np.concatenate(scores))


def is_trained(state):
    return any(name.startswith("net.") for name in state.arrays)


def holed(X, share, seed=0):
    """Rows of which a share of the entries is missing."""
    return np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)


@pytest.fixture(scope="module")
def of_kind():
    """A meta-fitted detector of each kind."""
    return {
        kind: NeuralProcessDetector(kind=kind, **META, n_latent_samples=4).meta_fit(make_family(5))
        for kind in KINDS
    }


@pytest.fixture(scope="module")
def judged():
    """A meta-fitted detector whose past tasks chose what to keep of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AdaptationWarning)
        return NeuralProcessDetector(**{**META, "gate": True, "lr": 1e-9}).meta_fit(make_family())


# --- scores ---------------------------------------------------------------------------------------
@every_kind
def test_each_kind_learns_from_a_support_alone(kind, task):
    X, y, query, _ = task
    detector = brief_process(kind).fit(X, y)
    assert is_trained(detector.state_)
    assert np.isfinite(detector.score_samples(query)).all()
    assert np.isfinite(detector.offset_)


@every_kind
@every_score
def test_each_score_of_a_trained_network_is_finite_and_adds_up_over_features(
    of_kind, kind, score, task
):
    X, y, query, _ = task
    detector = clone(of_kind[kind]).set_params(anomaly_score=score, contamination=0.1).fit(X, y)
    for rows in (query, holed(query, 0.3)):
        scores, parts = detector.score_samples(rows), detector.feature_scores(rows)
        assert np.isfinite(scores).all()
        assert scores.std() > 0
        assert parts.shape == rows.shape
        np.testing.assert_allclose(parts.sum(axis=1), -scores, atol=1e-10)
        assert (parts[np.isnan(rows)] == 0.0).all()


def test_feature_scores_need_a_fit():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        NeuralProcessDetector().feature_scores(np.zeros((2, 3)))


def test_a_meta_fitted_network_beats_chance_on_a_new_task(of_kind, task):
    X, y, query, query_y = task
    for kind in KINDS:
        assert clone(of_kind[kind]).fit(X[y == 0]).score(query, query_y) > 0.65


# --- broken dependencies --------------------------------------------------------------------------
def paired_rows(n, seed=0, broken=False):
    """Five standard normal features, of which the second follows the first.

    Broken: each row has the second feature of a row half of all ranks away.
    """
    X = np.random.default_rng([seed, n]).normal(size=(n, 5))
    X[:, 1] = X[:, 0] + 0.05 * X[:, 1]
    if broken:
        order = np.argsort(X[:, 0])
        X[np.roll(order, n // 2), 1] = X[order, 1]
    return X


def test_a_broken_pair_is_found_where_each_feature_alone_tells_nothing():
    support, normal, broken = paired_rows(300), paired_rows(200, 1), paired_rows(200, 1, True)
    np.testing.assert_array_equal(np.sort(normal, axis=0), np.sort(broken, axis=0))
    assert auc(IsolationForest(random_state=0).fit(support), normal, broken) < 0.65
    detector = closed_form().fit(support)
    assert auc(detector, normal, broken) > 0.9
    assert (detector.predict(broken) == -1).mean() > 0.9


def test_feature_scores_put_the_broken_pair_on_top():
    detector = closed_form().fit(paired_rows(300))
    parts = detector.feature_scores(paired_rows(200, 1, broken=True))
    top = np.sort(np.argsort(parts, axis=1)[:, -2:], axis=1)
    assert (top == [0, 1]).all(axis=1).mean() > 0.8
    assert np.isin(parts.argmax(axis=1), [0, 1]).mean() > 0.9


def test_a_broken_pair_is_found_beside_missing_entries():
    support = holed(paired_rows(300), 0.2)
    normal, broken = (holed(paired_rows(200, 1, part), 0.2, seed=2) for part in (False, True))
    detector = closed_form().fit(support)
    assert auc(detector, normal, broken) > 0.7
    parts, both = detector.feature_scores(broken), ~np.isnan(broken[:, :2]).any(axis=1)
    assert np.isin(parts[both].argmax(axis=1), [0, 1]).mean() > 0.6


# --- features that never varied -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("detector", "d"),
    [(closed_form(), 4), (closed_form(), 100), (brief(), 4)],
    ids=["closed form", "wide closed form", "trained"],
)
def test_a_row_that_departs_from_a_constant_is_an_anomaly(detector, d):
    X = np.random.default_rng(0).normal(size=(40, d))
    X[:, 2] = 7.0
    query = np.random.default_rng(1).normal(size=(40, d))
    query[:, 2] = 7.0
    detector = clone(detector).fit(X)
    before = detector.score_samples(query)
    query[:, 2] = 8.0
    assert (detector.predict(query) == -1).all()
    assert (detector.score_samples(query) < before).all()
    assert (detector.feature_scores(query).argmax(axis=1) == 2).all()


@every_score
@pytest.mark.parametrize("n", [2, 30])
def test_constant_and_binary_features_give_finite_scores(score, n):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=n), np.full(n, 7.0), np.arange(n) % 2, np.arange(n) < 1])
    query = np.column_stack([rng.normal(size=9), rng.integers(6, 9, 9), rng.integers(0, 3, (9, 2))])
    detector = closed_form(anomaly_score=score).fit(X)
    assert np.isfinite(detector.score_samples(query)).all()
    assert np.isfinite(detector.feature_scores(query)).all()
    assert np.isfinite(detector.offset_)


# --- missing values -------------------------------------------------------------------------------
def rows_of_a_plane(n, seed=0, shuffled=False):
    """Six features near a plane; shuffled: each from another row."""
    rng = np.random.default_rng([seed, n])
    X = rng.normal(size=(n, 2)) @ np.random.default_rng(0).normal(size=(2, 6))
    X += 0.2 * rng.normal(size=X.shape)
    return rng.permuted(X, axis=0) if shuffled else X


@pytest.mark.parametrize("trained", [False, True])
def test_anomalies_are_found_with_a_fifth_of_the_entries_missing(trained):
    detector = (brief if trained else closed_form)().fit(holed(rows_of_a_plane(60), 0.2))
    normal, anomalous = (
        holed(rows_of_a_plane(200, 1, shuffled), 0.2, seed=1) for shuffled in (False, True)
    )
    assert auc(detector, normal, anomalous) > 0.75


def test_past_tasks_may_miss_entries(task):
    tasks = [(holed(X, 0.2, seed), y) for seed, (X, y) in enumerate(make_family())]
    detector = NeuralProcessDetector(**META, contamination=0.1).meta_fit(tasks)
    assert all(np.isfinite(array).all() for array in detector.pretrained.arrays.values())
    X, y, query, query_y = task
    assert detector.fit(holed(X, 0.1), y).score(holed(query, 0.1), query_y) > 0.65


# --- target features ------------------------------------------------------------------------------
def line(n, seed=0, noise=0.5):
    """One feature, three times that, and one that has nothing to do with them."""
    rng = np.random.default_rng([seed, n])
    x = rng.uniform(-2.0, 2.0, size=n)
    return np.column_stack([x, 3.0 * x + 1.0 + noise * rng.normal(size=n), rng.normal(size=n)])


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
    monkeypatch.setattr(reduction_module, "_STEPS", 10)


@pytest.mark.parametrize("reduce", ["pca", "autoencoder"])
@pytest.mark.parametrize("meta", [False, True])
def test_a_reduced_detector_survives_clones_and_pickles(reduce, meta, task, quick_reduction):
    X, y, query, _ = task
    detector = NeuralProcessDetector(**META, reduce=reduce, reduce_dim=2)
    if meta:
        detector.meta_fit(make_family())
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


# --- architecture ---------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["anp", "tnp"])
def test_heads_must_share_the_width_evenly(kind):
    with pytest.raises(ValueError, match="embedding_dim=10 is not a multiple of n_heads=4"):
        brief(kind=kind, embedding_dim=10).fit(line(30))
    even = brief(kind=kind, embedding_dim=10, n_heads=5).fit(line(30))
    assert np.isfinite(even.score_samples(line(9))).all()


def test_a_kind_without_heads_may_have_any_width():
    assert is_trained(brief(kind="cnp", embedding_dim=7).fit(line(30)).state_)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "cnp"),
        ("anchor", "linear"),
        ("likelihood", "gaussian"),
        ("target_features", [0]),
        ("grid_shape", (5,)),
        ("reduce", "pca"),
        ("embedding_dim", 16),
        ("n_layers", 3),
        ("n_heads", 2),
        ("scaler", "robust"),
    ],
)
def test_a_parameter_that_disagrees_with_what_was_learned_is_refused(of_kind, task, name, value):
    detector = clone(of_kind["tnp"]).set_params(**{name: value})
    with pytest.raises(ValueError, match=f"{name}=.* here, but the meta-learned state has {name}="):
        detector.fit(*task[:2])


@pytest.mark.parametrize(
    "change",
    [{"anomaly_score": "density"}, {"anomaly_score": "nll"}, {"n_masks": 2}, {"n_masks": None}],
)
def test_how_rows_are_scored_may_change_without_learning_again(of_kind, task, change):
    X, y, query, _ = task
    detector = clone(of_kind["tnp"]).set_params(contamination=0.1)
    before, after = clone(detector).fit(X, y), clone(detector).set_params(**change).fit(X, y)
    assert after.state_ is before.state_
    assert not np.allclose(after.score_samples(query), before.score_samples(query))


# --- labelled anomalies ---------------------------------------------------------------------------
@pytest.mark.parametrize("meta", [False, True])
def test_labelled_anomalies_change_what_features_count(of_kind, task, meta):
    X, y, query, _ = task
    detector = clone(of_kind["tnp"]) if meta else closed_form()
    told, untold = clone(detector).fit(X, y), clone(detector).fit(X[y == 0])
    assert not np.allclose(told.score_samples(query), untold.score_samples(query))
    weights = told._adapted.values["weights"]
    assert weights.std() > 0.01
    assert weights.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("trained", [False, True])
def test_labelled_anomalies_leave_scores_alone_if_they_may_not_weigh(task, trained):
    X, y, query, _ = task
    detector = (brief if trained else closed_form)(weigh_features=False)
    told, untold = clone(detector).fit(X, y), clone(detector).fit(X[y == 0])
    np.testing.assert_array_equal(told.score_samples(query), untold.score_samples(query))


def test_labelled_anomalies_that_move_one_feature_make_it_count():
    rng = np.random.default_rng(0)
    X, normal, anomalous = (rng.normal(size=(n, 8)) for n in (40, 200, 200))
    X[30:, 3] += 3.0
    anomalous[:, 3] += 2.0
    y = np.arange(40) >= 30
    told, untold = closed_form().fit(X, y), closed_form().fit(X[~y])
    assert told._adapted.values["weights"].argmax() == 3
    assert auc(told, normal, anomalous) > auc(untold, normal, anomalous) + 0.05


# --- past tasks -----------------------------------------------------------------------------------
def test_a_network_that_does_not_help_is_dropped_with_a_warning(task):
    X, y, query, _ = task
    detector = NeuralProcessDetector(**{**META, "gate": True, "lr": 1e-9})
    with pytest.warns(AdaptationWarning, match="not clearly better than its closed form"):
        detector.meta_fit(make_family())
    assert not is_trained(detector.pretrained)
    *_, report = detector.pretrained.info["held_out"]
    assert (report["choice"], report["used"]) == ("network", "closed form")
    assert set(report["roc_auc"]) == {"closed form", "network"}
    closed = NeuralProcessDetector(**{**META, "max_epochs": 0}).meta_fit(make_family())
    found, expected = (d.fit(X, y).score_samples(query) for d in (detector, closed))
    np.testing.assert_array_equal(found, expected)


def test_without_a_gate_the_network_stays(of_kind):
    state = of_kind["tnp"].pretrained
    assert is_trained(state)
    assert "network" not in [report["choice"] for report in state.info["held_out"]]
    assert len(state.info["history"]) == BRIEF["max_epochs"]


def test_past_tasks_choose_prior_rows_and_weights(judged):
    state = judged.pretrained
    rows, weights, _ = state.info["held_out"]
    assert rows["used"] == max(rows["roc_auc"], key=rows["roc_auc"].get)
    assert rows["used"] == f"{state.arrays['knowledge.prior_rows']:g} rows"
    assert weights["used"] == "learned weights"
    assert state.arrays["knowledge.weights"].mean() == pytest.approx(1.0)
    assert state.arrays["knowledge.weights"].std() > 0.01


def test_past_tasks_that_share_their_covariance_help_with_few_rows(judged):
    with_past, without = [], []
    for seed in range(5):
        X, _, query, query_y = new_task(seed=200 + seed, n_support=5, k_support=0)
        with_past.append(clone(judged).fit(X).score(query, query_y))
        without.append(closed_form().fit(X).score(query, query_y))
    assert np.mean(with_past) > np.mean(without) + 0.1


def test_past_tasks_need_no_anomaly(task):
    X, y, query, query_y = task
    tasks = [rows[labels == 0] for rows, labels in make_family()]
    with warnings.catch_warnings():
        warnings.simplefilter("error", AdaptationWarning)
        detector = NeuralProcessDetector(**{**META, "gate": True}).meta_fit(tasks)
    assert is_trained(detector.pretrained)
    assert "held_out" not in detector.pretrained.info
    assert detector.fit(X, y).score(query, query_y) > 0.65


def test_tasks_of_single_rows_teach_nothing():
    with pytest.raises(ValueError, match="No task has two normal rows"):
        NeuralProcessDetector(**META).meta_fit([X[:1] for X, _ in make_family()])


@pytest.mark.parametrize(("n", "n_epochs"), [(20, 4), (60, 8), (400, 16)])
def test_more_rows_teach_for_more_epochs(n, n_epochs):
    detector = brief(kind="cnp", max_epochs=None, episodes_per_epoch=1).fit(line(n))
    assert len(detector.state_.info["history"]) == n_epochs


def test_learning_from_the_support_alone_is_told_where_asked(capsys):
    brief(verbose=1, kind="cnp").fit(line(30))
    assert "no meta_fit; learning from the 30 rows of fit" in capsys.readouterr().out


# --- reproducible ---------------------------------------------------------------------------------
@every_kind
def test_the_same_random_state_gives_the_same_scores_to_the_last_bit(kind):
    X, query = line(30), line(9, 1)
    one, same, other = (
        brief(kind=kind, n_masks=2, random_state=seed).fit(X).score_samples(query)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("detector", [closed_form(), brief()], ids=["closed form", "trained"])
def test_the_order_of_the_support_does_not_matter(detector, task):
    X, y, query, _ = task
    turned = np.random.default_rng(0).permutation(len(X))
    one, other = clone(detector).fit(X, y), clone(detector).fit(X[turned], y[turned])
    np.testing.assert_array_equal(one.score_samples(query), other.score_samples(query))
    assert one.offset_ == other.offset_


def test_past_tasks_teach_the_same_twice(of_kind):
    again = NeuralProcessDetector(**META, n_latent_samples=4).meta_fit(make_family(5))
    assert again.pretrained == of_kind["tnp"].pretrained


# --- thresholds -----------------------------------------------------------------------------------
def test_few_fresh_normals_are_flagged_after_learning_from_the_support_alone():
    rates = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        mixing = rng.normal(size=(4, 4))
        X, fresh = (rng.normal(size=(n, 4)) @ mixing for n in (60, 300))
        rates.append(
            (brief(max_epochs=4, episodes_per_epoch=30).fit(X).predict(fresh) == -1).mean()
        )
    assert np.mean(rates) < 0.15
    assert max(rates) < 0.25


def test_the_threshold_comes_from_weights_that_have_not_seen_the_row():
    X = np.random.default_rng(0).normal(size=(30, 4))
    detector = brief(max_epochs=4, alpha=0.5).fit(X)
    order = np.lexsort(X.T[::-1])
    left_out = detector._left_out_scores(X[order], np.zeros(30, dtype=np.int8))
    seen = detector._adapted.score(X[order])
    np.testing.assert_array_equal(-detector.score_samples(X[order]), left_out)
    assert (left_out != seen).all()
    assert -detector.offset_ == pytest.approx(np.median(left_out))
    assert left_out.mean() > seen.mean()


# --- what a network starts from -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("anchor", "likelihood"),
    [(a, "student-t") for a in ("none", "linear", "kernel")] + [("both", "gaussian")],
)
def test_a_process_learns_from_any_anchor_under_any_likelihood(anchor, likelihood):
    detector = brief(kind="cnp", anchor=anchor, likelihood=likelihood).fit(line(40))
    assert np.isfinite(detector.score_samples(line(9, 1))).all()
    assert detector.state_.architecture["anchor"] == anchor
    assert set(detector._module(detector.state_).anchors) == {
        "none": set(), "linear": {"linear"}, "kernel": {"kernel"}, "both": {"linear", "kernel"}
    }[anchor]  # fmt: skip


@pytest.mark.parametrize(
    ("d", "targets", "anchor", "scaler"),
    [(5, None, "both", "task"), (101, None, "linear", "joint"), (5, [1], "none", "pooled")],
)
def test_anchors_and_scaler_follow_the_kind_of_rows(d, targets, anchor, scaler):
    X = np.random.default_rng(0).normal(size=(12, d))
    state = closed_form(kind="cnp", target_features=targets).fit(X).state_
    assert (state.architecture["anchor"], state.architecture["scaler"]) == (anchor, scaler)
    assert is_trained(state) == (anchor == "none")


def test_the_objective_of_a_latent_variable_changes_what_is_learned():
    X, query = line(40), line(9, 1)
    one, other = (
        brief(kind="np", objective=name).fit(X).score_samples(query)
        for name in ("elbo", "importance")
    )
    assert not np.array_equal(one, other)


# --- many rows ------------------------------------------------------------------------------------
@pytest.mark.parametrize("trained", [False, True])
def test_a_context_has_no_more_than_1024_normals(trained):
    X = paired_rows(1100)
    X[-5:, 2] += 9.0
    y = np.arange(1100) >= 1095
    make = brief if trained else closed_form
    detector = make(kind="cnp", n_masks=None).fit(X, y)
    described = detector._adapted.representation
    assert (described.support_y == 0).sum() == 1024
    assert (described.support_y == 1).sum() == 5
    assert len(detector.support_X_) == 1100
    assert auc(detector, paired_rows(60, 1), paired_rows(60, 1, broken=True)) > 0.9


def test_a_closed_form_has_no_functions_to_sample():
    X = np.random.default_rng(0).normal(size=(30, 5))
    detector = NeuralProcessDetector(kind="np", max_epochs=0).fit(X)
    with pytest.raises(ValueError, match="no latent variable"):
        detector.sample_functions(X[:3])
