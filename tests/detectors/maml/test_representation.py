"""How a network sees rows: features in units of the support, evidence, the closed form."""

import numpy as np
import pytest
from families import make_family, new_task
from sklearn.preprocessing import StandardScaler

from sklearn_fsad._detectors.maml.representation import (
    EvidenceRepresentation,
    FeatureMap,
    FeatureRepresentation,
    NetworkFeatures,
    anchored,
    with_injected,
)
from sklearn_fsad._evidence.calibration import CalibratedEvidence
from sklearn_fsad._evidence.kinds import EVIDENCE
from sklearn_fsad._evidence.mix import CLOSED_FORM, EvidenceMix, default_weights
from sklearn_fsad._stats.scaling import SCALERS, ScaledSupport, ScalePrior
from sklearn_fsad.tasks import TaskSet

KINDS = tuple(e for e in EVIDENCE.values() if not e.needs_pooled)
N_FEATURES = 5

scalers = pytest.mark.parametrize(
    "scaler", [*SCALERS, StandardScaler()], ids=[*SCALERS, "transformer"]
)


def support(n=12, k=4):
    X, y, query, _ = new_task(n_support=n, k_support=k)
    return X, y.astype(np.int8), query


def prior():
    return ScalePrior.from_normals(task.normals for task in TaskSet(make_family()))


def basis(d=N_FEATURES, q=3):
    return np.linalg.qr(np.random.default_rng(0).normal(size=(d, q)))[0]


# --- features -------------------------------------------------------------------------------------
@scalers
def test_fresh_rows_are_the_scaled_ones_linear_near_zero_and_logarithmic_far_out(scaler):
    X, y, query = support()
    seen = NetworkFeatures(X, y, scaler, prior()).transform(query)
    scaled = ScaledSupport(X, y, scaler, prior()).transform(query)
    np.testing.assert_array_equal(seen, np.arcsinh(scaled))


def test_features_are_in_units_of_the_normals_of_the_support():
    X, y, query = support()
    expected = np.arcsinh((query - X[y == 0].mean(axis=0)) / X[y == 0].std(axis=0))
    seen = NetworkFeatures(X, y, "task").transform(query)
    np.testing.assert_allclose(seen, expected, rtol=1e-10)


@pytest.mark.parametrize("n", [4, 5, 12, 23])
def test_each_normal_is_described_by_those_of_the_other_folds(n):
    X, y, _ = support(n)
    order = np.random.default_rng(n).permutation(len(X))
    X, y = X[order], y[order]
    seen = NetworkFeatures(X, y, "task").support
    normals, described = X[y == 0], seen[y == 0]
    for i in range(n):
        others = normals[np.arange(n) % 5 != i % 5]
        assert len(others) == n - len(normals[i % 5 :: 5])
        expected = np.arcsinh((normals[i] - others.mean(axis=0)) / others.std(axis=0))
        np.testing.assert_allclose(described[i], expected, rtol=1e-10)


@scalers
def test_the_other_folds_describe_a_normal_by_the_same_scaler_and_prior(scaler):
    X, y, _ = support(12, 3)
    seen = NetworkFeatures(X, y, scaler, prior()).support
    rest = ~np.isin(np.arange(15), [3, 8])  # the fourth fold
    others = ScaledSupport(X[rest], y[rest], scaler, prior())
    np.testing.assert_allclose(seen[[3, 8]], np.arcsinh(others.transform(X[[3, 8]])), rtol=1e-12)


@scalers
def test_labelled_anomalies_are_described_as_fresh_rows_are(scaler):
    X, y, _ = support()
    features = NetworkFeatures(X, y, scaler, prior())
    np.testing.assert_array_equal(features.support[y == 1], features.transform(X[y == 1]))
    assert features.support_y is y
    if scaler not in ("none", "pooled"):
        own = features.transform(X[y == 0])
        assert (features.support[y == 0] != own).all()
        far = np.abs(features.support[y == 0]).mean()
        assert far > np.abs(own).mean()  # left out, a row lies farther from the rest


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("k", [0, 2])
def test_fewer_than_four_normals_describe_themselves(n, k):
    X, y, _ = support(n, k)
    features = NetworkFeatures(X, y, "task")
    np.testing.assert_array_equal(features.support, features.transform(X))


def test_unlabelled_rows_count_as_normal():
    X, y, query = support()
    labelled, not_all = (NetworkFeatures(X, c, "task") for c in (y, np.where(y == 0, -1, y)))
    np.testing.assert_array_equal(not_all.support, labelled.support)
    np.testing.assert_array_equal(not_all.transform(query), labelled.transform(query))


@pytest.mark.parametrize("projected", [False, True])
@scalers
def test_rows_far_out_stay_finite_and_keep_their_sign(scaler, projected):
    X, y, _ = support()
    directions = np.full((N_FEATURES, 1), N_FEATURES**-0.5) if projected else None
    known = ScalePrior.from_normals([task.normals for task in TaskSet(make_family())], directions)
    features = NetworkFeatures(X, y, scaler, known, directions)
    rows = np.array([1e300, -1e300, 1.7e308, 1e200])[:, None] * np.ones(N_FEATURES)
    seen = features.transform(rows)
    assert np.isfinite(seen).all()
    np.testing.assert_array_equal(np.sign(seen).T, [[1, -1, 1, 1]] * seen.shape[1])
    assert (np.abs(seen) > 100).all()


def test_labelled_anomalies_far_out_disturb_no_other_row():
    X, y, query = support()
    far = X.copy()
    far[y == 1] = 1e300
    plain, disturbed = (NetworkFeatures(rows, y, "task") for rows in (X, far))
    assert np.isfinite(disturbed.support).all()
    np.testing.assert_array_equal(disturbed.support[y == 0], plain.support[y == 0])
    np.testing.assert_array_equal(disturbed.transform(query), plain.transform(query))


@pytest.mark.parametrize("constant", [[1], list(range(N_FEATURES))])
def test_constant_features_stay_finite_and_show_what_moves(constant):
    X, y, _ = support(k=0)
    X[:, constant] = 7.0
    features = NetworkFeatures(X, y, "task")
    assert np.isfinite(features.support).all()
    assert (features.support[:, constant] == 0).all()
    moved = X[:1].copy()
    moved[:, constant] += 50.0
    assert (features.transform(moved)[:, constant] > 2).all()


@scalers
def test_a_basis_is_a_projection_before_scaling(scaler):
    X, y, query = support()
    directions = basis()
    known = ScalePrior.from_normals([task.normals for task in TaskSet(make_family())], directions)
    features = NetworkFeatures(X, y, scaler, known, directions)
    projected = NetworkFeatures(X @ directions, y, scaler, known)
    assert features.support.shape == (16, 3)
    np.testing.assert_allclose(features.support, projected.support, rtol=1e-8, atol=1e-8)
    expected = projected.transform(query @ directions)
    np.testing.assert_allclose(features.transform(query), expected, rtol=1e-8, atol=1e-8)


# --- the feature map ------------------------------------------------------------------------------
def embeddings(n_tasks=4, d=120, n=30):
    """Tasks that vary in forty directions of their embedding, the first most of all."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(d, 40)))[0]
    spread = np.geomspace(10.0, 0.1, 40)
    tasks = []
    for t in range(n_tasks):
        normals = (rng.normal(size=(n, 40)) * spread) @ directions.T * 10.0**t
        normals += rng.normal(size=d)
        tasks.append((np.concatenate([normals, rng.normal(size=(5, d)) * 50]), [0] * n + [1] * 5))
    return TaskSet(tasks), directions


def assert_same_features(feature_map, other, X, y, query):
    features, others = feature_map.features(X, y), other.features(X, y)
    np.testing.assert_array_equal(features.support, others.support)
    np.testing.assert_array_equal(features.transform(query), others.transform(query))


def test_a_view_hands_its_scaler_prior_and_basis_to_the_features():
    X, y, query = support()
    directions = basis()
    known = ScalePrior.from_normals([task.normals for task in TaskSet(make_family())], directions)
    features = FeatureMap("shrunk", known, directions).features(X, y)
    expected = NetworkFeatures(X, y, "shrunk", known, directions)
    np.testing.assert_array_equal(features.support, expected.support)
    np.testing.assert_array_equal(features.transform(query), expected.transform(query))
    plain = NetworkFeatures(X, y, "task", None, directions).transform(query)
    assert (features.transform(query) != plain).all()


def test_a_view_of_tables_comes_back_out_of_its_arrays():
    feature_map = FeatureMap.from_tasks(TaskSet(make_family()), "shrunk", False)
    assert feature_map.basis is None
    arrays = feature_map.to_arrays()
    assert set(arrays) == {"scale_mean", "scale_mean_variance", "scale_variance"}
    assert_same_features(feature_map, FeatureMap.from_arrays(arrays, "shrunk"), *support())


def test_a_view_of_embeddings_comes_back_out_of_its_arrays():
    tasks, _ = embeddings()
    feature_map = FeatureMap.from_tasks(tasks, "shrunk", True)
    arrays = {**feature_map.to_arrays(), "weights of something else": np.ones(3)}
    X, y = tasks[0].X, tasks[0].y
    back = FeatureMap.from_arrays(arrays, "shrunk")
    assert back.features(X, y).support.shape == (35, 32)
    assert_same_features(feature_map, back, X, y, tasks[1].X)


def test_without_arrays_the_view_is_of_plain_features():
    assert FeatureMap("task").to_arrays() == {}
    back = FeatureMap.from_arrays({}, "shrunk")
    assert back.prior is None
    assert_same_features(back, FeatureMap("task"), *support())


@pytest.mark.parametrize(("d", "q"), [(100, None), (101, 32), (200, 32)])
def test_more_than_a_hundred_features_are_projected_on_an_orthonormal_basis(d, q):
    tasks, _ = embeddings(d=d)
    feature_map = FeatureMap.from_tasks(tasks, "task", q is not None)
    if q is None:
        assert feature_map.basis is None
    else:
        assert feature_map.basis.shape == (d, q)
        np.testing.assert_allclose(feature_map.basis.T @ feature_map.basis, np.eye(q), atol=1e-10)
    assert feature_map.prior.mean.shape == (q or d,)


def test_the_basis_holds_the_main_directions_of_normals_of_tasks_that_weigh_the_same():
    tasks, directions = embeddings()
    projected = directions.T @ FeatureMap.from_tasks(tasks, "task", True).basis
    held = (projected**2).sum(axis=1)  # how much of each true direction
    assert (held[:24] > 0.95).all()
    assert held[-1] < 0.5
    loudest = TaskSet([(tasks[i].X * 10.0 ** (3 - i), tasks[i].y) for i in range(4)])
    other = directions.T @ FeatureMap.from_tasks(loudest, "task", True).basis
    np.testing.assert_allclose(other @ other.T, projected @ projected.T, atol=1e-8)


# --- descriptions ---------------------------------------------------------------------------------
def described(k=4, n_injected=6, d=N_FEATURES):
    X, y, query = support(k=k)
    features = NetworkFeatures(X, y, "shrunk", prior())
    evidence = CalibratedEvidence(ScaledSupport(X, y, "none"), y, KINDS)
    mix = EvidenceMix(
        default_weights(KINDS, d > 100), (5, 50), (0, 10), None, (CLOSED_FORM, CLOSED_FORM)
    )
    injected = query[:n_injected] + 1.0
    description = EvidenceRepresentation(features, evidence, mix, injected)
    return description, features, evidence, mix.weights(evidence.support, y), injected, query


@pytest.mark.parametrize("k", [0, 4])
def test_rows_are_features_evidence_and_last_the_weighed_evidence(k):
    description, features, evidence, weights, _, query = described(k)
    Z = description.transform(query)
    assert Z.shape == (len(query), N_FEATURES + len(KINDS) + 1)
    np.testing.assert_array_equal(Z[:, :N_FEATURES], features.transform(query))
    np.testing.assert_array_equal(Z[:, N_FEATURES:-1], evidence.transform(query))
    np.testing.assert_allclose(Z[:, -1], Z[:, N_FEATURES:-1] @ weights, rtol=1e-12)
    assert (weights > 0).any()
    assert np.ptp(Z[:, -1]) > 0


@pytest.mark.parametrize("k", [0, 4])
@pytest.mark.parametrize("n_injected", [0, 6])
def test_the_support_is_described_from_its_other_rows_and_injected_ones_come_last(n_injected, k):
    description, features, evidence, weights, injected, _ = described(k, n_injected)
    n = 12 + k
    assert description.support.shape == (n + n_injected, N_FEATURES + len(KINDS) + 1)
    np.testing.assert_array_equal(description.support[:n, :N_FEATURES], features.support)
    np.testing.assert_array_equal(description.support[:n, N_FEATURES:-1], evidence.support)
    np.testing.assert_allclose(description.support[:n, -1], evidence.support @ weights, rtol=1e-12)
    expected = [0] * 12 + [1] * k + [2] * n_injected
    assert description.support_y.tolist() == expected
    if n_injected:
        np.testing.assert_array_equal(description.support[n:], description.transform(injected))


def test_labelled_anomalies_change_how_the_evidence_is_weighed():
    without, labelled = described(0)[3], described(4)[3]
    assert (without != labelled).any()
    needs = np.array([e.needs_anomalies for e in KINDS])
    assert (without[needs] == 0).all()
    assert (labelled[needs] > 0).any()


@pytest.mark.parametrize("n_injected", [0, 6])
def test_a_network_on_its_own_sees_features_alone(n_injected):
    X, y, query = support()
    features = NetworkFeatures(X, y, "task")
    injected = query[:n_injected] + 1.0
    description = FeatureRepresentation(features, injected)
    np.testing.assert_array_equal(description.transform(query), features.transform(query))
    np.testing.assert_array_equal(description.support[:16], features.support)
    np.testing.assert_array_equal(description.support[16:], features.transform(injected))
    assert description.support_y.tolist() == [0] * 12 + [1] * 4 + [2] * n_injected


def test_columns_stand_side_by_side_and_labels_one_after_another():
    Z = anchored(np.array([[1.0], [2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([1.0, 0.5]))
    assert Z.tolist() == [[1.0, 3.0, 4.0, 5.0], [2.0, 5.0, 6.0, 8.0]]
    y = with_injected(np.array([0, 1], dtype=np.int8), 2)
    assert y.tolist() == [0, 1, 2, 2]
    assert y.dtype == np.int8
