"""Scaling that belongs to the detector: by the normals of the support, in float64."""

import numpy as np
import pytest
from families import QUICK, make_family, new_task
from sklearn.preprocessing import StandardScaler

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad._scaling import ScaledSupport, ScalePrior, choose_without_tasks
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
    return ScalePrior.from_tasks(TaskSet(make_family(n_features=3)))


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


@pytest.mark.parametrize("scaler", ["none", "task", "robust", "shrunk"])
@pytest.mark.parametrize("value", [0.0, -0.1, 1e8])
def test_constant_columns_and_huge_rows_stay_finite(rows, prior, scaler, value):
    X, y = rows
    X[:, 1] = value
    scaled = ScaledSupport(X, y, scaler, prior)
    assert np.isfinite(scaled.support).all()
    assert np.isfinite(np.square(scaled.transform(np.full((1, 3), 1e300)))).all()
    if scaler in ("task", "robust"):
        assert (scaled.support[:, 1] == 0).all()


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
