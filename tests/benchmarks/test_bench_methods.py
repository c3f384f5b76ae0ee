"""Baselines, and detectors named on the command line."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf, ledoit_wolf, ledoit_wolf_shrinkage

MODULES = (
    "methods.base",
    "methods.detectors",
    "methods.meta",
    "methods.named",
    "methods.support",
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# --- of families of tasks ------------------------------------------------------------------------
@pytest.mark.parametrize(("n", "d"), [(8, 30), (30, 8), (12, 12)])
def test_shrunk_covariance_equals_the_direct_inverse(bench, n, d):
    rng = np.random.default_rng(0)
    scales = np.linspace(0.1, 3, d)
    rows, query = rng.normal(size=(n, d)) * scales, rng.normal(size=(5, d)) * scales
    centred = rows - rows.mean(axis=0)
    intensity = bench.methods.support.ledoit_wolf_intensity(centred)
    assert intensity == pytest.approx(ledoit_wolf_shrinkage(centred, assume_centered=True))
    direct = np.linalg.inv(LedoitWolf(assume_centered=True).fit(centred).covariance_)
    ours = bench.methods.support.ShrunkCovariance(centred)
    expected = np.einsum("ij,jk,ik->i", query, direct, query)
    np.testing.assert_allclose(ours.squared_distance(query), expected, rtol=1e-8)
    np.testing.assert_allclose(ours.solve(query[0]), direct @ query[0], rtol=1e-8)


def test_neighbour_ratio_is_the_nearest_normal_without_anomalies(bench):
    rng = np.random.default_rng(0)
    X, query = rng.normal(size=(12, 3)), rng.normal(size=(9, 3))
    to_normal = np.linalg.norm(query[:, None] - X[:10], axis=2).min(axis=1)
    to_anomaly = np.linalg.norm(query[:, None] - X[10:], axis=2).min(axis=1)
    make = bench.methods.support.NeighbourRatio
    alone = make().fit(X[:10], np.zeros(10)).anomaly_score(query)
    np.testing.assert_allclose(alone, to_normal)
    both = make().fit(X, np.repeat([0, 1], [10, 2])).anomaly_score(query)
    np.testing.assert_allclose(both, to_normal / (to_normal + to_anomaly))


def test_left_out_scores_do_not_see_their_own_row(bench):
    X = np.random.default_rng(0).normal(size=(12, 3))
    y = np.repeat([0, 1], [10, 2])
    nearest = bench.methods.support.Neighbours(1)
    left_out = nearest.fit_left_out(X, y)
    assert (nearest.anomaly_score(X[:10]) == 0).all()  # in the support, each is its own neighbour
    for i in range(10):
        others = [j for j in range(10) if j % 5 != i % 5]
        assert left_out[i] == pytest.approx(np.linalg.norm(X[others] - X[i], axis=1).min())


@pytest.mark.parametrize("n", [2, 7])
def test_every_fast_baseline_finds_a_far_row_from_few_normals(bench, n):
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(n, 3)), rng.normal(size=(2, 3)) + 20])
    X = np.column_stack([X, np.ones(len(X))])  # and a constant feature
    y = np.repeat([0, 1], [n, 2])
    for name, make in bench.methods.named.SUPPORT_BASELINES.items():
        if name.startswith("pyod"):
            continue
        scores = make(0).fit(X, y).anomaly_score(np.vstack([X[:n].mean(axis=0), X[-1]]))
        assert scores[1] > scores[0], name


def test_pyod_is_given_legal_numbers_of_neighbours(bench):
    pytest.importorskip("pyod")
    X = np.random.default_rng(0).normal(size=(3, 2))
    for name in ("pyod_knn_scaled", "pyod_lof_raw"):
        detector = bench.methods.named.SUPPORT_BASELINES[name](0).fit(X, np.zeros(3))
        scores = detector.anomaly_score(np.array([[0.0, 0.0], [30.0, 0.0]]))
        assert scores[1] > scores[0]


def test_positive_stack_drops_a_score_that_points_the_wrong_way(bench):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 200)
    good, bad, noise = y + rng.normal(size=400), -y + rng.normal(size=400), rng.normal(size=400)
    features = np.column_stack([good, bad, noise])
    free = bench.methods.meta.Stack().fit([features], [y]).weights_
    positive = bench.methods.meta.Stack(positive=True).fit([features], [y]).weights_
    assert free[1] < -0.5
    assert positive[1] == 0
    assert positive[0] > 0.5


def test_spec_of_a_detector(bench):
    spec = bench.methods.detectors.parse_spec("proto=a.b:C(x='mlp', y=(1, 2), z=None)")
    assert (spec.label, spec.module, spec.name) == ("proto", "a.b", "C")
    assert spec.params == {"x": "mlp", "y": (1, 2), "z": None}
    assert bench.methods.detectors.parse_spec("a:C(x=1)").label == "C(x=1)"
    messages = {
        "C": "is written module:Class",
        "a:C(1)": "written name=value",
        "a:C(x=f())": "malformed node",
        "a:C(**{})": "written name=value",
    }
    for wrong, message in messages.items():
        with pytest.raises(ValueError, match=message):
            bench.methods.detectors.parse_spec(wrong)


# --- of one table without labels -----------------------------------------------------------------
def test_scaling_knows_the_support_alone(bench, rng):
    class Plain:
        def fit(self, X, y):
            self.seen = X

        def anomaly_score(self, X):
            return X

    X = np.column_stack([5 + 100 * rng.normal(size=80), np.full(80, 3.1), rng.normal(size=80)])
    X[:9, 2] = np.nan
    scaled = bench.methods.base.ColumnScaled(Plain()).fit(X, np.zeros(80))
    np.testing.assert_allclose(np.nanmean(scaled.base.seen, axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.nanstd(scaled.base.seen, axis=0), [1, 0, 1], atol=1e-12)
    assert scaled.anomaly_score(np.array([[0, 4.1, 0]]))[0, 1] == pytest.approx(1)
    compressed = bench.methods.base.ColumnScaled(Plain(), compress=True).fit(X, np.zeros(80))
    assert compressed.anomaly_score(np.array([[0, 103.1, 0]]))[0, 1] == pytest.approx(
        5 + np.log1p(95)
    )


def test_regressions_are_those_of_the_covariance(bench, rng):
    X = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4))
    terms = bench.methods.support.Regressions().fit(X, np.zeros(300)).feature_scores(X)
    covariance, _ = ledoit_wolf(X)
    others = [1, 2, 3]
    weights = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, 0])
    centred = X - X.mean(axis=0)
    residual = centred[:, 0] - centred[:, others] @ weights
    variance = covariance[0, 0] - covariance[0, others] @ weights
    np.testing.assert_allclose(terms[:, 0], residual**2 / variance)


def test_gaussian_processes_blame_the_feature_that_is_off(bench, rng):
    x = rng.uniform(-2, 2, size=(60, 1))
    X = np.hstack([x, np.sin(2 * x) + 0.05 * rng.normal(size=x.shape), rng.normal(size=x.shape)])
    query = np.array([[0.5, np.sin(1.0), 0.0], [0.5, -0.9, 0.0]])
    terms = bench.methods.support.GaussianProcesses().fit(X, np.zeros(60)).feature_scores(query)
    assert terms[1, 1] > terms[0, 1] + 10
    assert terms[1].argmax() == 1


def test_neighbours_in_the_features_seen_in_both(bench, rng):
    X = rng.normal(size=(40, 3))
    neighbours = bench.methods.support.NanNeighbours().fit(X, np.zeros(40))
    query = np.array([[0.1, np.nan, 0.2], [np.nan] * 3])
    seen = np.sqrt(1.5 * ((X[:, [0, 2]] - [0.1, 0.2]) ** 2).sum(axis=1))
    assert neighbours.anomaly_score(query)[0] == pytest.approx(np.sort(seen)[4])
    assert neighbours.anomaly_score(query)[1] == pytest.approx(seen.max())


def test_imputers_learn_from_the_support_alone(bench, rng):
    X, query = rng.normal(size=(40, 3)), rng.normal(size=(30, 3))
    query[:, 1] = np.nan
    X[::5, 0] = np.nan
    for name, make in bench.methods.named.imputing_baselines().items():
        fitted = make(0).fit(X, np.zeros(40))
        together, alone = fitted.anomaly_score(query), fitted.anomaly_score(query[:1])
        assert np.isfinite(together).all(), name
        assert together[0] == pytest.approx(alone[0]), name
