"""Each kind of evidence is larger for anomalous rows, and is calibrated by rows it has not seen."""

import numpy as np
import pytest
from families import make_family, new_task
from scipy.spatial.distance import cdist

from sklearn_fsad._evidence.calibration import CalibratedEvidence
from sklearn_fsad._evidence.family_anomalies import subspace_weights, subspaces
from sklearn_fsad._evidence.family_normals import _widening
from sklearn_fsad._evidence.kinds import EVIDENCE, resolve_evidence
from sklearn_fsad._evidence.pooled import Pooled
from sklearn_fsad._evidence.support import Support
from sklearn_fsad._stats.covariance import ShrunkCovariance
from sklearn_fsad._stats.moments import feature_spread
from sklearn_fsad._stats.scaling import ScaledSupport

every_kind = pytest.mark.parametrize("name", EVIDENCE)


@pytest.fixture(scope="module")
def pooled():
    return Pooled.from_tasks([(X[y == 0], X[y == 1]) for X, y in make_family()])


def evidence_about(name, support, X):
    return EVIDENCE[name].function(support, support.rows(np.atleast_2d(X)))


def calibrated(X, y, kinds, pooled=None):
    y = y.astype(np.int8)
    return CalibratedEvidence(ScaledSupport(X, y, "none"), y, kinds, pooled)


@every_kind
@pytest.mark.parametrize(("n", "k"), [(3, 1), (12, 4), (40, 8)])
def test_evidence_is_finite_and_larger_for_a_far_row(name, n, k, pooled):
    X, y, query, _ = new_task(n_support=n, k_support=k)
    support = Support(X[y == 0], X[y == 1], pooled)
    assert np.isfinite(evidence_about(name, support, query)).all()
    if name in ("off_axis", "off_axis_pooled", "own_over_pooled"):
        return  # ratios of two distances: they judge where a row leaves, not how far
    centre, prototype = X[y == 0].mean(axis=0), X[y == 1].mean(axis=0)
    towards = [centre + t * (prototype - centre) for t in (0.05, 3.0)]
    near, far = evidence_about(name, support, np.array(towards))
    assert far > near


def test_off_axis_is_larger_across_the_normals_axes_than_along_them():
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    normals = rng.normal(size=(200, 6)) * np.r_[4.0, np.ones(5)] @ rotation
    support = Support(normals, np.empty((0, 6)), None)
    directions = np.linalg.svd(normals / normals.std(axis=0), full_matrices=False)[2]
    scale = normals.std(axis=0)
    leaving = normals.mean(axis=0) + 6 * directions[[0, -1]] * scale
    along, across = evidence_about("off_axis", support, leaving)
    assert across > along


def test_coordinatewise_is_the_distance_to_the_nearest_normal_in_each_feature():
    X, _, query, _ = new_task(n_support=12, k_support=0)
    support = Support(X, X[:0])
    scaled, normals = (query - X.mean(axis=0)) / support.spread, support.scaled.normals
    gaps = np.abs(scaled[:, None] - normals).min(axis=1)
    expected = np.log(gaps + 0.05).mean(axis=1)
    np.testing.assert_allclose(evidence_about("coordinatewise", support, query), expected)


def test_relevance_is_large_where_anomalies_of_other_tasks_leave():
    rng = np.random.default_rng(0)
    tasks = [
        (rng.normal(size=(50, 3)), rng.normal(size=(20, 3)) + [0.0, 5.0, 0.0]) for _ in range(4)
    ]
    relevance = Pooled.from_tasks(tasks).relevance
    assert relevance[1] > 10 * max(relevance[0], relevance[2])
    without_anomalies = Pooled.from_tasks([(N, A[:0]) for N, A in tasks])
    np.testing.assert_array_equal(without_anomalies.relevance, np.ones(3))
    support = Support(tasks[0][0], tasks[0][1], Pooled.from_tasks(tasks))
    along = evidence_about("nearest_relevant", support, [[0.0, 6.0, 0.0], [6.0, 0.0, 0.0]])
    assert along[0] > along[1] + 1


def test_evidence_for_tables_is_silent_on_embeddings():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 101)), np.zeros(12)
    seen = calibrated(X, y, resolve_evidence(["coordinatewise", "nearest_scaled"]))
    np.testing.assert_array_equal(seen.transform(X + 1)[:, 0], 0.0)
    assert seen.transform(X + 1)[:, 1].any()


@every_kind
def test_evidence_about_a_row_does_not_depend_on_the_rows_beside_it(name, pooled):
    X, y, query, _ = new_task()
    support = Support(X[y == 0], X[y == 1], pooled)
    together = evidence_about(name, support, query)
    alone = [evidence_about(name, support, row)[0] for row in query]
    np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "space"), [("directions_pooled", "pooled_raw"), ("directions_scaled", "pooled_scaled")]
)
def test_directions_by_woodbury_equal_the_direct_formula(name, space, pooled):
    X, y, query, _ = new_task()
    support = Support(X[y == 0], X[y == 1], pooled)
    covariance = getattr(support, space).covariance
    directions = getattr(pooled, space.removeprefix("pooled_")).turned_directions
    S = np.linalg.inv(covariance.solve(np.eye(X.shape[1])))
    widened = S + covariance.level * directions @ directions.T
    U = getattr(support.rows(query), space)
    gap = [u @ np.linalg.inv(S) @ u - u @ np.linalg.inv(widened) @ u for u in U]
    np.testing.assert_allclose(evidence_about(name, support, query), np.log(gap), rtol=1e-6)


def test_tasks_without_directions_widen_nothing_and_print_nothing(capfd):
    rows = np.random.default_rng(0).normal(size=(5, 3))
    assert _widening(ShrunkCovariance(rows), np.zeros((3, 0))).shape == (3, 0)
    assert capfd.readouterr().out == ""  # LAPACK's complaints go there


def test_nearest_scaled_is_the_log_mean_distance_to_five_normals():
    X, y, query, _ = new_task()
    normals = X[y == 0]
    support = Support(normals, X[y == 1])
    spread = feature_spread(normals)
    nearest = np.sort(cdist(query / spread, normals / spread), axis=1)[:, :5].mean(axis=1)
    np.testing.assert_allclose(evidence_about("nearest_scaled", support, query), np.log(nearest))


@pytest.mark.parametrize("n", [7, 300])
def test_coordinatewise_is_the_mean_log_gap_in_each_feature(n):
    normals = np.random.default_rng(n).normal(size=(n, 4))
    query = np.random.default_rng(1).normal(size=(9, 4)) * 3
    spread = feature_spread(normals)
    gaps = np.abs(query[:, None] / spread - normals / spread).min(axis=1)
    found = evidence_about("coordinatewise", Support(normals, normals[:0]), query)
    np.testing.assert_allclose(found, np.log(gaps + 0.05).mean(axis=1))


def test_ratio_is_one_half_where_both_classes_are_equally_near():
    normals = np.array([[-1.0, 0.0], [-1.0, 2.0], [-3.0, 0.0]])
    support = Support(normals, np.array([[1.0, 0.0]]))
    ratio = evidence_about("ratio_scaled", support, [[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_allclose(ratio, [0.5, 1.0, 0.0], atol=1e-12)


# --- subspaces ------------------------------------------------------------------------------------
@pytest.mark.parametrize("d", [1, 2, 5, 12])
def test_few_features_give_all_singles_and_pairs(d):
    sets = [tuple(s) for s in subspaces(d)]
    assert len(sets) == len(set(sets)) == d + d * (d - 1) // 2
    assert sum(len(s) == 1 for s in sets) == d
    assert {feature for s in sets for feature in s} == set(range(d))


@pytest.mark.parametrize(("d", "size"), [(13, 2), (36, 3), (400, 10)])
def test_many_features_give_48_fixed_random_subsets(d, size):
    sets = subspaces(d)
    assert [len(np.unique(s)) for s in sets] == [size] * 48
    assert {int(i) for s in sets for i in s} <= set(range(d))
    for one, other in zip(sets, subspaces(d), strict=True):
        np.testing.assert_array_equal(one, other)


def test_subspaces_weigh_by_how_well_they_separate_the_support():
    rng = np.random.default_rng(0)
    normals, anomalies = rng.normal(size=(20, 4)), rng.normal(size=(6, 4))
    anomalies[:, 2] += 8.0
    weights = subspace_weights(Support(normals, anomalies))
    assert weights.sum() == pytest.approx(1.0)
    assert (weights > 0).all()
    sets = subspaces(4)
    good = np.array([2 in s for s in sets])
    assert weights[good].min() > weights[~good].max()
    single = subspace_weights(Support(normals, anomalies[:1]))
    np.testing.assert_allclose(single, 1 / len(sets))


# --- calibration ----------------------------------------------------------------------------------
def by_hand(X, y, pooled, folds=5):
    """Evidence about each row from a support without the rows of its fold."""
    sorted_rows = {c: sorted(np.flatnonzero(y == c), key=lambda i: tuple(X[i])) for c in (0, 1)}
    folds = min(folds, len(sorted_rows[0]))
    fold = np.empty(len(y), dtype=int)
    for rows in sorted_rows.values():
        fold[rows] = np.arange(len(rows)) % folds
    scores = np.zeros((len(y), len(EVIDENCE)))
    for i in range(len(y)):
        rest = fold != fold[i]
        part = Support(X[rest & (y == 0)], X[rest & (y == 1)], pooled)
        scores[i] = [evidence_about(name, part, X[i])[0] for name in EVIDENCE]
    return scores


@pytest.mark.parametrize(("n", "k"), [(5, 3), (12, 4), (23, 7)])
def test_left_out_scores_are_those_of_a_support_without_the_row(n, k, pooled):
    X, y, _, _ = new_task(n_support=n, k_support=k)
    seen = calibrated(X, y, tuple(EVIDENCE.values()), pooled)
    np.testing.assert_allclose(
        seen.calibration.left_out, by_hand(X, y, pooled), rtol=1e-6, atol=1e-8
    )


def test_rows_look_more_anomalous_when_they_are_left_out():
    X, y, _, _ = new_task(n_support=10, k_support=0)
    kinds = resolve_evidence(["mahalanobis_raw", "nearest_scaled"])
    seen = calibrated(X, y, kinds)
    inside = seen.evaluate(X)
    assert (seen.calibration.left_out.mean(axis=0) > inside.mean(axis=0) + 0.1).all()


def test_standardised_evidence_is_linear_near_zero_and_logarithmic_far_out():
    X, y, _, _ = new_task(n_support=40, k_support=0)
    seen = calibrated(X, y, resolve_evidence(["mahalanobis_raw"]))
    assert abs(seen.support.mean()) < 0.15
    assert 0.7 < seen.support.std() < 1.1
    mean, spread = seen.calibration.left_out.mean(), seen.calibration.left_out.std()
    z = seen.calibration.standardise(mean + spread * np.array([[0.0], [0.1], [1e6]]))[:, 0]
    assert z[0] == pytest.approx(0.0, abs=1e-9)
    assert z[1] == pytest.approx(0.1, rel=0.05)
    assert 10 < z[2] < 40


def test_spread_of_few_rows_shrinks_to_the_typical_one():
    X, y, _, _ = new_task(n_support=8, k_support=0)
    kinds = resolve_evidence(["mahalanobis_raw"])
    seen = calibrated(X, y, kinds)
    own = seen.calibration.own_spread[0]
    assert own == pytest.approx(seen.calibration.left_out.std())
    line = np.array([[np.log(10.0)], [0.0]])
    shrunk = np.sqrt((8 * own**2 + 5 * 10.0**2) / 13)
    mean = seen.calibration.left_out.mean()
    before = seen.transform(X)
    calibration = seen.calibration.shrunk_to(line)
    z = calibration.standardise(np.array([[mean + shrunk]]))[0, 0]
    assert z == pytest.approx(2 * np.arcsinh(0.5))
    np.testing.assert_array_equal(seen.transform(X), before)  # a value: nothing shared has changed


def test_evidence_that_needs_anomalies_is_silent_without_any(pooled):
    X, y, query, _ = new_task(k_support=0)
    kinds = tuple(EVIDENCE.values())
    seen = calibrated(X, y, kinds, pooled).transform(query)
    for j, e in enumerate(kinds):
        assert (seen[:, j] == 0).all() == e.needs_anomalies, e.name


def test_the_order_of_the_support_does_not_matter_bit_for_bit(pooled):
    X, y, query, _ = new_task()
    kinds, y = tuple(EVIDENCE.values()), y.astype(np.int8)
    order = np.random.default_rng(0).permutation(len(X))
    seen = calibrated(X, y, kinds, pooled)
    shuffled = calibrated(X[order], y[order], kinds, pooled)
    np.testing.assert_array_equal(shuffled.calibration.left_out, seen.calibration.left_out[order])
    np.testing.assert_allclose(shuffled.transform(query), seen.transform(query), rtol=1e-12)


def test_thousands_of_rows_are_thinned_for_the_subspaces():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(1500, 3)), rng.normal(5.0, 1.0, size=(4, 3))])
    y = (np.arange(len(X)) >= 1500).astype(np.int8)
    seen = calibrated(X, y, resolve_evidence(["subspace_ratio"]))
    low, high = seen.evaluate(np.array([[0.0, 0, 0], [5.0, 5, 5]]))
    assert high > low


# --- evidence of one's own ------------------------------------------------------------------------
def first_feature(support, rows):
    """Distance of the first scaled feature from the normals' mean."""
    return np.abs(rows.scaled[:, 0])


def towards_first_anomaly(support, rows):
    """Needs labelled anomalies."""
    return rows.raw @ support.A[0]


towards_first_anomaly.needs_anomalies = True


def test_a_function_is_evidence_under_its_own_name():
    kinds = resolve_evidence(["nearest_scaled", first_feature, towards_first_anomaly])
    assert [e.name for e in kinds] == ["nearest_scaled", "first_feature", "towards_first_anomaly"]
    assert [e.needs_anomalies for e in kinds] == [False, False, True]
    X, y, query, _ = new_task(k_support=0)
    seen = calibrated(X, y, kinds)
    spread = feature_spread(X)
    expected = np.abs(query[:, 0] - X[:, 0].mean()) / spread[0]
    np.testing.assert_allclose(seen.evaluate(query)[:, 1], expected)
    np.testing.assert_array_equal(seen.evaluate(query)[:, 2], 0.0)


def test_none_and_support_stand_for_groups_of_evidence():
    assert [e.name for e in resolve_evidence(None)] == list(EVIDENCE)
    support_only = resolve_evidence("support")
    assert 0 < len(support_only) < len(EVIDENCE)
    assert not any(e.needs_pooled for e in support_only)


@pytest.mark.parametrize(
    ("evidence", "match"),
    [
        (["nearest"], "'nearest'.*names out of mahalanobis_raw"),
        ([3], "holds 3"),
        ([], "at least one"),
        (["ratio_scaled", "ratio_scaled"], "each kind once"),
        ([first_feature, first_feature], "each kind once"),
    ],
)
def test_unknown_empty_or_repeated_evidence_is_refused(evidence, match):
    with pytest.raises(ValueError, match=match):
        resolve_evidence(evidence)


def test_embedding_is_pooled_white_or_scaled_by_the_support(pooled):
    X, y, query, _ = new_task()
    normals, kinds = X[y == 0], resolve_evidence(["mahalanobis_raw"])
    centred = query - normals.mean(axis=0)
    seen = calibrated(X, y, kinds, pooled)
    np.testing.assert_allclose(seen.embed(query), pooled.raw.embed(centred))
    np.testing.assert_allclose(
        calibrated(X, y, kinds).embed(query),
        centred / feature_spread(normals),
    )
