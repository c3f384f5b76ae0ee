"""Scaling that belongs to the detector: by the normals of the support, in float64."""

import numpy as np
import pytest
from families import QUICK, make_family, new_task
from sklearn.preprocessing import StandardScaler

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad._stats.moments import feature_spread, stable_mean
from sklearn_fsad._stats.scaling import SCALERS, ScaledSupport, ScalePrior, choose_without_tasks
from sklearn_fsad.tasks import TaskSet


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(14, 3)) * [1.0, 10.0, 100.0] + [5.0, 50.0, 500.0]
    y = np.array([0] * 10 + [1] * 4, dtype=np.int8)
    X[10:] += 1000.0
    return X, y


@pytest.fixture
def prior():
    return ScalePrior.from_normals(task.normals for task in TaskSet(make_family(n_features=3)))


def test_none_leaves_rows_as_they_are(rows):
    np.testing.assert_array_equal(ScaledSupport(*rows, "none").support, rows[0])


def test_task_is_the_mean_and_deviation_of_the_normals(rows):
    X, y = rows
    scaled = ScaledSupport(X, y, "task")
    np.testing.assert_allclose(scaled.support[:10].mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(scaled.support[:10].std(axis=0), 1.0)
    expected = (X - X[:10].mean(axis=0)) / X[:10].std(axis=0)
    np.testing.assert_allclose(scaled.transform(X), expected)


def test_robust_is_the_median_and_the_quartiles_of_the_normals(rows):
    X, y = rows
    X[0] *= -1e6
    centre = np.median(X[:10], axis=0)
    spread = np.subtract(*np.percentile(X[:10], [75, 25], axis=0)) / 1.349
    spread = np.maximum(spread, 0.1 * X[:10].std(axis=0))
    scaled = ScaledSupport(X, y, "robust")
    np.testing.assert_allclose(scaled.support, (X - centre) / spread)


def test_shrunk_pulls_mean_and_spread_towards_the_prior(rows, prior):
    X, y = rows
    normals, n = X[:10], 10
    variance = (n * normals.var(axis=0) + 5 * prior.variance) / (n + 5)
    trust = prior.mean_variance / (prior.mean_variance + variance / n)
    centre = prior.mean + trust * (normals.mean(axis=0) - prior.mean)
    expected = (X - centre) / np.sqrt(variance)
    np.testing.assert_allclose(ScaledSupport(X, y, "shrunk", prior).support, expected)
    np.testing.assert_array_equal(
        ScaledSupport(X, y, "shrunk").support, ScaledSupport(X, y, "task").support
    )


def test_a_transformer_is_cloned_and_fitted_on_the_normals(rows):
    X, y = rows
    scaler = StandardScaler()
    scaled = ScaledSupport(X, y, scaler)
    assert not hasattr(scaler, "mean_")
    np.testing.assert_allclose(scaled.support, ScaledSupport(X, y, "task").support)


def test_prior_is_taken_from_the_normals_of_each_task(prior):
    tasks = make_family(n_features=3)
    means = np.array([X[y == 0].mean(axis=0) for X, y in tasks])
    log_variances = np.array([np.log(X[y == 0].var(axis=0)) for X, y in tasks])
    np.testing.assert_allclose(prior.mean, means.mean(axis=0))
    np.testing.assert_allclose(prior.mean_variance, means.var(axis=0))
    np.testing.assert_allclose(prior.variance, np.exp(log_variances.mean(axis=0)))
    again = ScalePrior.from_arrays(prior.to_arrays())
    np.testing.assert_array_equal(again.variance, prior.variance)
    assert ScalePrior.from_arrays({}) is None


def test_without_tasks_spreads_that_differ_fivefold_are_scaled():
    rows = np.random.default_rng(0).normal(size=(50, 12))
    assert choose_without_tasks(rows) == "none"
    assert choose_without_tasks(rows * np.geomspace(1, 20, 12)) == "task"


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("value", [0.0, -0.1, 1e8])
def test_constant_columns_and_huge_rows_stay_finite(rows, prior, scaler, value):
    X, y = rows
    X[:, 1] = value
    scaled = ScaledSupport(X, y, scaler, prior)
    assert np.isfinite(scaled.support).all()
    assert np.isfinite(np.square(scaled.transform(np.full((1, 3), 1e300)))).all()
    if scaler in ("task", "robust"):
        assert (scaled.support[:, 1] == 0).all()


def test_pooled_is_the_mean_and_deviation_over_the_rows_of_all_tasks(rows, prior):
    X, y = rows
    expected = (X - prior.mean) / np.sqrt(prior.variance + prior.mean_variance)
    scaled = ScaledSupport(X, y, "pooled", prior)
    np.testing.assert_allclose(scaled.support, expected)
    other = ScaledSupport(X[:2] * 7.0, y[:2], "pooled", prior)
    np.testing.assert_array_equal(other.transform(X), scaled.support)
    np.testing.assert_array_equal(
        ScaledSupport(X, y, "pooled").support, ScaledSupport(X, y, "task").support
    )


@pytest.mark.parametrize("scaler", [*SCALERS, StandardScaler()])
def test_scaled_rows_come_back_in_their_own_units(rows, prior, scaler):
    X, y = rows
    scaled = ScaledSupport(X, y, scaler, prior)
    np.testing.assert_allclose(scaled.inverse_transform(scaled.support), X)


# --- missing values -------------------------------------------------------------------------------
@pytest.fixture
def holed(rows):
    """The rows, a third of their entries missing."""
    X, y = rows
    X[np.random.default_rng(1).random(X.shape) < 0.3] = np.nan
    return X, y


@pytest.mark.parametrize("scaler", SCALERS)
def test_missing_entries_stay_missing_and_others_do_not(holed, prior, scaler):
    X, y = holed
    scaled = ScaledSupport(X, y, scaler, prior)
    np.testing.assert_array_equal(np.isnan(scaled.support), np.isnan(X))
    np.testing.assert_array_equal(np.isnan(scaled.inverse_transform(scaled.support)), np.isnan(X))


def test_task_is_the_mean_and_deviation_of_what_is_known(holed):
    X, y = holed
    normals = X[y == 0]
    expected = (X - np.nanmean(normals, axis=0)) / np.nanstd(normals, axis=0)
    np.testing.assert_allclose(ScaledSupport(X, y, "task").support, expected)


def test_shrunk_trusts_a_feature_by_the_number_of_its_known_entries(holed, prior):
    X, y = holed
    normals = X[y == 0]
    n = (~np.isnan(normals)).sum(axis=0)
    variance = (n * np.nanvar(normals, axis=0) + 5 * prior.variance) / (n + 5)
    trust = prior.mean_variance / (prior.mean_variance + variance / n)
    centre = prior.mean + trust * (np.nanmean(normals, axis=0) - prior.mean)
    expected = (X - centre) / np.sqrt(variance)
    np.testing.assert_allclose(ScaledSupport(X, y, "shrunk", prior).support, expected)


def test_shrunk_takes_the_spread_of_a_feature_without_any_entry_from_the_prior(rows, prior):
    X, y = rows
    query = X.copy()
    X[:, 1] = np.nan
    scaled = ScaledSupport(X, y, "shrunk", prior).transform(query)
    steps = np.diff(query[:, 1]) / np.sqrt(prior.variance[1])
    np.testing.assert_allclose(np.diff(scaled[:, 1]), steps)


def test_joint_is_the_mean_of_the_normals_and_one_scale_for_all_features(rows):
    X, y = rows
    normals = X[y == 0]
    scale = np.sqrt(normals.var(axis=0).mean())
    expected = (X - normals.mean(axis=0)) / scale
    np.testing.assert_allclose(ScaledSupport(X, y, "joint").support, expected)


def test_joint_takes_the_scale_from_what_is_known(holed):
    X, y = holed
    normals = X[y == 0]
    expected = (X - np.nanmean(normals, axis=0)) / np.sqrt(np.nanvar(normals, axis=0).mean())
    np.testing.assert_allclose(ScaledSupport(X, y, "joint").support, expected)


@pytest.mark.parametrize("scaler", [name for name in SCALERS if name != "joint"])
def test_a_column_without_any_entry_leaves_the_others_as_they_are(rows, prior, scaler):
    X, y = rows
    query = X.copy()
    expected = ScaledSupport(X, y, scaler, prior).transform(query)
    X[:, 1] = np.nan
    scaled = ScaledSupport(X, y, scaler, prior).transform(query)
    assert np.isfinite(scaled).all()
    np.testing.assert_allclose(scaled[:, [0, 2]], expected[:, [0, 2]])


@pytest.mark.parametrize("value", [0.0, -0.1, 1 / 3, 1e8])
def test_a_constant_with_missing_entries_is_a_constant(rows, value):
    X, y = rows
    X[:, 1] = value
    expected = ScaledSupport(X, y, "task")
    X[[0, 3, 4], 1] = np.nan
    scaled = ScaledSupport(X, y, "task")
    query = np.array([[5.0, value, 500.0], [5.0, value + 1.0, 500.0]])
    assert scaled.transform(query)[0, 1] == 0.0
    np.testing.assert_allclose(scaled.transform(query), expected.transform(query))


def test_a_column_without_any_entry_has_mean_zero_and_the_spread_of_a_constant(rows):
    X, _ = rows
    beside = np.column_stack([X, np.full(len(X), np.nan)])
    np.testing.assert_array_equal(stable_mean(beside)[3], 0.0)
    np.testing.assert_allclose(stable_mean(beside)[:3], stable_mean(X), rtol=1e-14)
    np.testing.assert_allclose(feature_spread(beside)[:3], feature_spread(X), rtol=1e-14)
    spread = feature_spread(beside)
    np.testing.assert_allclose(spread[3], 1e-3 * spread[:3].mean())


@pytest.mark.parametrize("value", [1e10, -1e20, 1e60])
def test_one_huge_value_does_not_make_constants_of_the_other_features(holed, value):
    for X, _ in (holed, (np.random.default_rng(0).normal(size=(10, 4)), None)):
        huge = X.copy()
        huge[0, 0] = value
        np.testing.assert_array_equal(feature_spread(huge)[1:], feature_spread(X)[1:])
        huge[:, 2] = 7.0
        assert feature_spread(huge)[2] < 1.0
        huge[1:, 0] = 7.0
        np.testing.assert_array_equal(feature_spread(huge)[1], feature_spread(X)[1])


def test_ones_among_zeros_keep_their_spread_beside_values_next_to_zero():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(30, 2)) * 1e-200, np.arange(30) < 5])
    spread = feature_spread(X)
    np.testing.assert_allclose(spread, X[:, 2].std() * np.array([1e-3, 1e-3, 1.0]))


def test_one_huge_value_does_not_set_the_scale_of_all_coordinates():
    X, y = np.random.default_rng(0).normal(size=(30, 120)), np.zeros(30, dtype=np.int8)
    expected = ScaledSupport(X, y, "joint").support[:, 1:]
    X[3, 0] = 1e10
    np.testing.assert_allclose(ScaledSupport(X, y, "joint").support[:, 1:], expected, rtol=0.01)


def test_the_prior_of_a_feature_is_that_of_the_tasks_that_know_it():
    tasks = [X[y == 0] for X, y in make_family(n_features=3)]
    expected = ScalePrior.from_normals(task.normals for task in TaskSet(tasks[2:]))
    for X in tasks[:2]:
        X[:, 1] = np.nan
    prior = ScalePrior.from_normals(task.normals for task in TaskSet(tasks, allow_nan=True))
    whole = ScalePrior.from_normals(
        task.normals for task in TaskSet([np.nan_to_num(X) for X in tasks])
    )
    for name in ("mean", "mean_variance", "variance"):
        found = getattr(prior, name)
        np.testing.assert_allclose(found[1], getattr(expected, name)[1])
        np.testing.assert_allclose(found[[0, 2]], getattr(whole, name)[[0, 2]])


def test_the_prior_of_holed_tasks_is_that_of_their_known_entries():
    rng = np.random.default_rng(0)
    tasks = [X[y == 0] for X, y in make_family(n_features=3)]
    for X in tasks:
        X[rng.random(X.shape) < 0.2] = np.nan
    prior = ScalePrior.from_normals(task.normals for task in TaskSet(tasks, allow_nan=True))
    means = np.array([np.nanmean(X, axis=0) for X in tasks])
    logs = np.array([np.log(np.nanvar(X, axis=0)) for X in tasks])
    np.testing.assert_allclose(prior.mean, means.mean(axis=0))
    np.testing.assert_allclose(prior.mean_variance, means.var(axis=0))
    np.testing.assert_allclose(prior.variance, np.exp(logs.mean(axis=0)))


def test_a_feature_that_no_task_knows_has_a_finite_prior():
    tasks = [X[y == 0] for X, y in make_family(n_features=3)]
    for X in tasks:
        X[:, 1] = np.nan
    prior = ScalePrior.from_normals(task.normals for task in TaskSet(tasks, allow_nan=True))
    assert all(np.isfinite(values).all() for values in vars(prior).values())
    assert (prior.variance > 0).all()


# --- in a detector --------------------------------------------------------------------------------
@pytest.mark.parametrize("embedding", ["pooled", "mlp"])
@pytest.mark.parametrize("scaler", ["task", "robust", "none", "shrunk", StandardScaler()])
def test_the_scaler_is_the_same_in_meta_fit_and_in_fit(embedding, scaler):
    settings = {**QUICK, "max_epochs": 2, "embedding": embedding, "scaler": scaler}
    detector = ProtoNetDetector(**settings).meta_fit(make_family())
    X, y, query, _ = new_task()
    assert np.isfinite(detector.fit(X, y).score_samples(query)).all()
    recorded = detector.pretrained.architecture["scaler"]
    assert recorded.startswith(scaler if isinstance(scaler, str) else "StandardScaler(")
    other = "robust" if scaler != "robust" else "none"
    with pytest.raises(ValueError, match=f"scaler='{other}' here.*scaler=.*{str(recorded)[:5]}"):
        detector.set_params(scaler=other).fit(X, y)


def test_scores_scaled_by_the_task_do_not_depend_on_the_units():
    X, y, query, _ = new_task()
    units = np.array([1.0, 8.0, 2.0**-4, 0.5, 2.0])  # powers of two: exact
    for embedding in ("pooled", "mlp"):
        detector = ProtoNetDetector(embedding=embedding, scaler="task")
        expected = detector.fit(X, y).decision_function(query)
        np.testing.assert_allclose(
            detector.fit(X * units, y).decision_function(query * units), expected, rtol=1e-9
        )


def test_auto_is_chosen_on_the_training_tasks_for_the_network():
    rng = np.random.default_rng(0)
    units = np.array([1.0, 1.0, 1.0, 1.0, 1e4])
    tasks = []
    for _ in range(6):
        X = rng.normal(size=(40, 5))
        X[30:, :4] += 2.5
        tasks.append((X * units, np.array([0] * 30 + [1] * 10)))
    quick = {**QUICK, "max_epochs": 1, "n_normal": (4, 12), "n_anomalous": (0, 4)}
    chosen = ProtoNetDetector(embedding="mlp", **quick).meta_fit(tasks).pretrained
    assert chosen.architecture["scaler"] in ("task", "shrunk")
    assert ProtoNetDetector(**quick).meta_fit(tasks).pretrained.architecture["scaler"] == "none"
