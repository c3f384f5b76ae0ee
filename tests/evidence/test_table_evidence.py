"""Evidence on tables is finite, the same in other units and orders, and means what it says."""

from itertools import chain, product

import numpy as np
import pytest
from families import new_task
from scipy.linalg import solve
from scipy.stats import norm, rankdata
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import laplacian_kernel
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import MinMaxScaler

from sklearn_fsad._evidence import table_anomalies, table_classifiers
from sklearn_fsad._evidence.calibration import CalibratedEvidence
from sklearn_fsad._evidence.family_anomalies import separations
from sklearn_fsad._evidence.kinds import TABULAR
from sklearn_fsad._evidence.support import Support
from sklearn_fsad._evidence.table_anomalies import ANOMALIES
from sklearn_fsad._evidence.table_classifiers import CLASSIFIERS, forest_wide
from sklearn_fsad._evidence.table_normals import NORMALS, reads_columns
from sklearn_fsad._stats.column_sets import ColumnSets
from sklearn_fsad._stats.scaling import ScaledSupport
from sklearn_fsad._stats.trees import grow_forest

WITH_LABELS = (*ANOMALIES, *CLASSIFIERS)
OF_TABLES = (*NORMALS, *WITH_LABELS)


def made(n=12, k=4, d=6, m=10, seed=0):
    """Correlated normals, anomalies three spreads away in each column, and rows of both kinds."""
    rng = np.random.default_rng(seed)
    mix = np.eye(d) + 0.4 * rng.normal(size=(d, d))
    N, A, X = rng.normal(size=(n, d)) @ mix, rng.normal(size=(k, d)) + 3.0, rng.normal(size=(m, d))
    return N, A, np.concatenate([X @ mix, X + 3.0])


def about(names, N, A, X):
    support = Support(N, A)
    rows = support.rows(np.atleast_2d(X))
    return {name: TABULAR[name].function(support, rows) for name in names}


def one(name, N, A, X):
    return about([name], N, A, X)[name]


def assert_close(seen, expected, name=""):
    np.testing.assert_allclose(seen, expected, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("d", [1, 2, 6])
@pytest.mark.parametrize(("n", "k"), [*product((2, 3, 12, 40), (1, 4, 8))])
@pytest.mark.parametrize("how", ["plain", "degenerate"])
def test_all_evidence_is_finite(how, n, k, d):
    N, A, X = made(n, k, d)
    if how == "degenerate":
        N[1], A[-1] = N[0], A[0]
        N[:, 0] = A[:, 0] = 2.5
    far = [N[:1] + sign * size for sign in (-1, 1) for size in (1e6, 1e12)]
    X = np.concatenate([N, A, N[:1].repeat(3, axis=0), N.mean(axis=0, keepdims=True), X, *far])
    for name, scores in about(TABULAR, N, A, X).items():
        assert scores.shape == (len(X),)
        assert np.isfinite(scores).all(), name


@pytest.mark.parametrize("d", [1, 2, 6])
@pytest.mark.parametrize(("n", "k"), [*product((3, 12, 40), (1, 4))])
def test_order_and_units_do_not_matter(n, k, d):
    N, A, X = made(n, k, d)
    X = np.concatenate([X, N[:2], A[:1], N[:1] + 20])
    rng = np.random.default_rng(1)
    steady = [name for name in TABULAR if not name.startswith("forest")]
    expected, columns = about(steady, N, A, X), rng.permutation(d)
    scale, shift = np.exp(rng.normal(size=d)), 3 * rng.normal(size=d)
    ways = (
        about(steady, *(Z[:, columns] for Z in (N, A, X))),
        about(steady, N[rng.permutation(n)], A[rng.permutation(k)], X),
        about({*steady} & {*OF_TABLES}, *(Z * scale + shift for Z in (N, A, X))),
    )
    for name, scores in chain(*(way.items() for way in ways)):
        assert_close(scores, expected[name], name)


def test_the_order_of_the_support_does_not_matter_to_calibrated_evidence():
    N, A, X = made()
    S, y = np.concatenate([N, A]), np.repeat([0, 1], [len(N), len(A)]).astype(np.int8)
    order, kinds = np.random.default_rng(0).permutation(len(S)), tuple(TABULAR.values())
    seen = CalibratedEvidence(ScaledSupport(S, y, "none"), y, kinds)
    S, y = S[order], y[order]
    shuffled = CalibratedEvidence(ScaledSupport(S, y, "none"), y, kinds)
    np.testing.assert_array_equal(shuffled.calibration.left_out, seen.calibration.left_out[order])
    np.testing.assert_allclose(shuffled.transform(X), seen.transform(X), rtol=1e-12)


@pytest.mark.parametrize("name", NORMALS)
def test_a_far_row_is_more_anomalous_than_a_near_one(name):
    N, A, _ = made(40, 0)
    N[:, 3] = 1.0  # departures look at nothing else
    steps = np.array([[0.1, 0.1, 0.1, 0.0, 0.1, 0.1], [10, -10, 10, 10, -10, 10]])
    near, far = one(name, N, A, N.mean(axis=0) + steps)
    assert far > near


@pytest.mark.parametrize("name", WITH_LABELS)
@pytest.mark.parametrize("k", [1, 5])
def test_closeness_to_a_labelled_anomaly_raises_its_evidence(name, k):
    rng = np.random.default_rng(0)
    N, away = rng.normal(size=(40, 4)), np.array([4.0, -4.0, 0.0, 4.0])
    A = away + 0.3 * rng.normal(size=(k, 4))
    close, opposite = away + 0.3 * rng.normal(size=(20, 4)), -away + 0.3 * rng.normal(size=(20, 4))
    scores = one(name, N, A, np.concatenate([rng.normal(size=(40, 4)), close, opposite]))
    assert roc_auc_score(np.arange(60) >= 40, scores[:60]) > 0.97
    if not name.startswith("excess"):  # squares: they do not tell the sides apart
        assert np.median(scores[40:60]) > np.median(scores[60:])


def test_what_reads_columns_is_silent_on_embeddings():
    for name in OF_TABLES:
        assert TABULAR[name].applies(True, 5) != reads_columns(name), name
        assert TABULAR[name].applies(False, 5)
        assert TABULAR[name].applies(False, 0) == (name in NORMALS)
    assert all(map(reads_columns, ("tails_mean", "nearest_5_gaussian", "conditional_most")))
    assert reads_columns("forest_wide")
    assert not any(map(reads_columns, ("nearest_5_compressed", "distance_minor", "forest")))


def in_view(view, N, X):
    """Normals and rows that lie within five spreads, in a view."""
    if view == "gaussian":
        heights = norm.ppf((np.arange(len(N)) + 0.5) / len(N))
        pairs = [(np.sort(N[:, j]), j) for j in range(N.shape[1])]
        return [np.stack([np.interp(Z[:, j], n, heights) for n, j in pairs], 1) for Z in (N, X)]
    if view == "boxed":
        return [MinMaxScaler().fit(N).transform(Z) for Z in (N, X)]
    Z = [(U - N.mean(axis=0)) / N.std(axis=0) for U in (N, X)]
    if view == "white":
        values, vectors = np.linalg.eigh(LedoitWolf().fit(Z[0]).covariance_)
        Z = [U @ vectors / np.sqrt(values) @ vectors.T for U in Z]
    return Z


def within(n=30):
    """Normals, no anomalies, and rows within the normals' range."""
    N, A, X = made(n, 0, 4, 100)
    return N, A, np.clip(X, N.min(axis=0), N.max(axis=0))


@pytest.mark.parametrize("name", [n for n in NORMALS if n.startswith(("nearest", "density"))])
def test_nearest_is_a_log_mean_distance_and_density_less_that_of_the_neighbours(name):
    kind, k, view, *l1 = name.split("_")
    N, A, X = within()
    normals, rows = in_view(view, N, X)
    metric = "cityblock" if l1 else "euclidean"
    found = NearestNeighbors(n_neighbors=int(k), metric=metric).fit(normals)
    distance, position = found.kneighbors(rows)
    expected = np.log(distance.mean(axis=1) + 1e-4)
    if kind == "density":
        own = np.log(found.kneighbors()[0].mean(axis=1) + 1e-4)
        expected -= own[position].mean(axis=1)
    assert_close(one(name, N, A, X), expected)


def test_distance_is_that_of_ledoit_and_wolf_and_major_axes_hold_four_fifths():
    N, A, X = within()
    for view in ("gaussian", "compressed"):
        normals, rows = in_view(view, N, X)
        fitted = LedoitWolf().fit(normals)
        assert_close(one(f"distance_{view}", N, A, X), np.log(fitted.mahalanobis(rows)))
    values, vectors = np.linalg.eigh(fitted.covariance_)
    values, along = values[::-1], (rows @ vectors)[:, ::-1] ** 2
    count = 1 + int((np.cumsum(values) < 0.8 * values.sum()).sum())
    assert 0 < count < len(values)
    for axes, part in {"major": slice(0, count), "minor": slice(count, None)}.items():
        expected = np.log((along[:, part] / values[part]).sum(axis=1) + 1e-4)
        assert_close(one(f"distance_{axes}", N, A, X), expected)


@pytest.mark.parametrize("name", ["compressed", "gaussian", "most"])
def test_conditional_is_the_surprise_after_regression_on_the_other_columns(name):
    N, A, X = within()
    normals, rows = in_view("gaussian" if name == "gaussian" else "compressed", N, X)
    rows, S = rows - normals.mean(axis=0), LedoitWolf().fit(normals).covariance_
    surprise = np.empty_like(rows)
    for j in range(4):
        others = np.arange(4) != j
        slopes = solve(S[np.ix_(others, others)], S[others, j])
        variance = S[j, j] - S[j, others] @ slopes
        surprise[:, j] = np.log1p((rows[:, j] - rows[:, others] @ slopes) ** 2 / variance / 4)
    expected = np.log(surprise.max(axis=1) + 1e-4) if name == "most" else surprise.mean(axis=1)
    assert_close(one(f"conditional_{name}", N, A, X), expected)


def test_conditional_sees_a_broken_relation_that_tails_miss():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(250, 1))
    rows = np.concatenate([x, x + 0.1 * rng.normal(size=x.shape), rng.normal(size=x.shape)], axis=1)
    N, A, X = rows[:50], np.empty((0, 3)), np.concatenate([rows[50:], [[1.0, -1.0, 0.0]]])
    seen = {name: scores[:-1] < scores[-1] for name, scores in about(NORMALS, N, A, X).items()}
    assert all(seen[f"conditional_{which}"].all() for which in ("compressed", "gaussian", "most"))
    assert all(seen[f"tails_{how}"].mean() < 0.8 for how in ("mean", "most", "three", "side"))


def test_tails_are_those_of_the_normals_ranks():
    N, A, _ = within(25)
    G = norm.ppf((rankdata(N, axis=0) - 0.5) / 25)
    tails = -norm.logsf(np.abs(G))
    expected = {
        "mean": tails.mean(axis=1),
        "most": np.log(tails.max(axis=1)),
        "three": np.log((tails.sum(axis=1) - tails.min(axis=1)) / 3),  # of four columns
        "side": np.maximum(-norm.logcdf(G).mean(axis=1), -norm.logsf(G).mean(axis=1)),
    }
    for how, scores in expected.items():
        assert_close(one(f"tails_{how}", N, A, N), scores, how)


def test_departures_count_columns_that_never_varied():
    N, A, _ = made(8, 1, 5)
    N[:, [0, 2]], N[:, 4] = [0.1, -7.3], 1e9 / 3
    X = N[[0] * 4] + [[0, 0, 0, 0, 0], [0, 9, 0, 9, 0], [1e-9, 0, 0, 5, 0], [1, 1, 1, 1, 1]]
    np.testing.assert_array_equal(one("departures", N, A, X), [0, 0, 1, 3])


@pytest.mark.parametrize("view", ["compressed", "gaussian"])
def test_discriminant_is_fishers(view):
    N, _, X = within()
    A = np.clip(N[:5] + 0.5 * N.std(axis=0), N.min(axis=0), N.max(axis=0))
    (normals, rows), anomalies = in_view(view, N, X), in_view(view, N, A)[1]
    centre, prototype = normals.mean(axis=0), anomalies.mean(axis=0)
    residuals, gap = np.concatenate([normals - centre, anomalies - prototype]), prototype - centre
    variance = residuals.var(axis=0)
    ways = {
        "": LedoitWolf(assume_centered=True).fit(residuals).covariance_,
        "diagonal_": np.diag(variance + 0.1 * variance.mean() + 1e-4),
    }
    for way, S in ways.items():
        direction = solve(S, gap)
        expected = (rows - centre) @ direction / np.sqrt(direction @ gap)
        assert_close(one(f"discriminant_{way}{view}", N, A, X), expected)


@pytest.mark.parametrize("view", ["compressed", "gaussian"])
def test_subspaces_find_the_one_informative_column_of_fifteen(view):
    rng = np.random.default_rng(0)
    N, A, X = (rng.normal(size=(n, 15)) for n in (60, 6, 200))
    A[:, 11] += 6.0
    X[100:, 11] += 6.0
    anomalous = np.arange(200) >= 100
    assert roc_auc_score(anomalous, one(f"subspaces_{view}", N, A, X)) > 0.99
    X[:, 11] = 0.0  # and nothing is left
    assert abs(roc_auc_score(anomalous, one(f"subspaces_{view}", N, A, X)) - 0.5) < 0.1


def test_columns_are_judged_all_at_once_as_they_are_one_by_one():
    rng = np.random.default_rng(0)
    N, A = np.round(rng.normal(size=(30, 7)), 1), np.round(1 + rng.normal(size=(5, 7)), 1)
    one_by_one = separations(N, A, ColumnSets.of([np.array([j]) for j in range(7)]))
    np.testing.assert_allclose(table_anomalies._column_separations(N, A), one_by_one, atol=1e-12)
    assert (table_anomalies._column_separations(N, A[:1]) == 0.6).all()


def test_wide_tables_of_repeated_values_are_no_embeddings():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(20, 150))
    assert Support(wide, wide[:0]).is_embedding
    assert not Support(np.round(wide), wide[:0]).is_embedding
    assert not Support(wide[:, :50], wide[:0, :50]).is_embedding
    whole = Support(wide, wide[:0])
    assert Support(wide[:1], wide[:0], reference=whole).is_embedding
    sparse = np.where(rng.random((40, 150)) < 0.1, 1.0, 0.0)
    sparse[:, 0] = 3.0 * rng.normal(size=40)
    seen = CalibratedEvidence(
        ScaledSupport(sparse, np.zeros(40, np.int8), "none"),
        np.zeros(40, np.int8),
        tuple(TABULAR.values()),
    )
    spoken = seen.transform(sparse[:5] + 0.5)[:, [list(TABULAR).index("tails_mean")]]
    assert (spoken != 0).all()


def test_forest_is_the_vote_of_extremely_randomised_trees():
    X, y, query, _ = new_task(n_support=30, k_support=4)
    support = Support(X[y == 0], X[y == 1])
    rows = support.rows(query)
    view = support.compressed
    support_rows = np.concatenate([view.normals, view.anomalies])
    share = grow_forest(support_rows, np.arange(34) >= 30, 40).vote(rows.compressed)
    expected = np.log((share + 0.01) / (1.01 - share))
    np.testing.assert_allclose(TABULAR["forest"].function(support, rows), expected)


def test_the_wide_forest_sees_three_coordinate_systems_and_the_mean_of_equal_columns():
    N, A, X = made(30, 4)
    support = Support(N, A)
    assert np.abs(forest_wide(support, support.rows(X))).max() < 1.001 * np.log(101.0)
    assert support.once("wide forest", lambda: None).column.max() >= 2 * N.shape[1]
    N[:, 1], A[:, 1] = N[:, 0], A[:, 0]
    swapped = X[:, [1, 0, *range(2, X.shape[1])]]
    first, second = one("forest_wide", N, A, X), one("forest_wide", N, A, swapped)
    np.testing.assert_allclose(first, second)


def test_the_kernel_machine_solves_weighted_least_squares():
    N, A, X = made(30, 4)
    support = Support(N, A)
    rows = support.rows(X)
    space, Z = support.gaussian, rows.gaussian
    points = np.concatenate([space.normals, space.anomalies])
    weights = np.repeat([34 / 60, 34 / 8], [30, 4])

    def kernel(rows):
        return laplacian_kernel(rows, points, gamma=1 / points.shape[1])

    coefficients = np.linalg.solve(
        kernel(points) + np.diag(1 / weights), np.repeat([-1.0, 1.0], [30, 4])
    )
    scores = TABULAR["kernel_machine_gaussian"].function(support, rows)
    np.testing.assert_allclose(scores, kernel(Z) @ coefficients)


def test_the_kernel_machine_takes_rows_in_parts(monkeypatch):
    N, A, X = made(30, 4, m=50)
    whole = one("kernel_machine_gaussian", N, A, X)
    monkeypatch.setattr(table_classifiers, "_MOST_NUMBERS", 100)
    np.testing.assert_array_equal(one("kernel_machine_gaussian", N, A, X), whole)


def test_one_anomaly_tells_by_the_columns_in_which_it_lies_far_out():
    rng = np.random.default_rng(0)
    N, A, X = rng.normal(size=(50, 40)), rng.normal(size=(1, 40)), rng.normal(size=(400, 40))
    A[0, 0] = 4.0
    X[200:, 0] += 3.0
    truth = np.arange(400) >= 200
    plain, outlying = (
        roc_auc_score(truth, one(name, N, A, X))
        for name in ("column_likelihoods", "column_likelihoods_outlying")
    )
    assert outlying > plain + 0.05
