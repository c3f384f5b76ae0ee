"""InContextDetector: any table, weights that come with the package, fine-tuning, explanations."""

import numpy as np
import pandas as pd
import pytest
from families import make_family, new_task
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from sklearn_fsad import InContextDetector, MetaState
from sklearn_fsad._state import resolve_state
from sklearn_fsad.exceptions import TaskWarning


def table(n=60, k=5, d=6, seed=0):
    """A support and a query with a relation between columns that anomalies break."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n + k + 120, d)) + rng.normal(size=(n + k + 120, 1))
    y = np.repeat([0, 1, 0, 1], [n, k, 80, 40])
    rows[y == 1, :2] += [2.5, -2.5]
    X, query = rows[: n + k], rows[n + k :]
    return X, y[: n + k], query, y[n + k :]


# --- weights --------------------------------------------------------------------------------------
def test_the_weights_come_with_the_package():
    state = resolve_state("tabular-v2")
    assert state.detector == "InContextDetector"
    assert state.n_features_in is None
    assert state.info["n_tasks"] >= 500
    X, y, query, _ = table()
    by_name = InContextDetector().fit(X, y).score_samples(query)
    np.testing.assert_array_equal(InContextDetector(pretrained=state).fit(X, y)
                                  .score_samples(query), by_name)  # fmt: skip
    closed = InContextDetector(pretrained=None).fit(X, y).score_samples(query)
    assert not np.allclose(by_name, closed)


def test_the_weights_of_the_first_version_are_had_by_name_and_are_others():
    X, y, query, _ = table()
    first, second = (
        InContextDetector(pretrained=name).fit(X, y).score_samples(query)
        for name in ("tabular-v1", "tabular-v2")
    )
    assert not np.allclose(first, second)
    assert first.shape == second.shape == (120,)


def test_weights_of_other_evidence_are_refused():
    shipped = resolve_state("tabular-v2")
    evidence = [*shipped.info["evidence"][:-1], "entrails"]
    other = MetaState(
        "InContextDetector", {}, shipped.arrays, None, info={**shipped.info, "evidence": evidence}
    )
    with pytest.raises(ValueError, match="call meta_fit again"):
        InContextDetector(pretrained=other).fit(table()[0])


@pytest.mark.parametrize("pretrained", ["tabular-v2", None])
@pytest.mark.parametrize("k", [0, 1, 5])
def test_anomalies_are_found_better_than_by_neighbours_alone(k, pretrained):
    aucs = []
    for seed in range(6):
        X, y, query, query_y = table(k=k, seed=seed)
        detector = InContextDetector(pretrained=pretrained).fit(X, y)
        normals = X[y == 0]
        scale = normals.std(axis=0)
        distance = NearestNeighbors(n_neighbors=5).fit(normals / scale).kneighbors(query / scale)[0]
        others = -detector.score_samples(query), distance.mean(axis=1)
        aucs.append([roc_auc_score(query_y, scores) for scores in others])
    ours, neighbours = np.mean(aucs, axis=0)
    assert ours > neighbours + {0: -0.02, 1: 0.005, 5: 0.03}[k]
    assert ours > 0.85


# --- what scores do not depend on -----------------------------------------------------------------
@pytest.mark.parametrize("k", [0, 1, 5])
@pytest.mark.parametrize("pretrained", ["tabular-v1", "tabular-v2", None])
def test_the_order_of_columns_and_rows_does_not_matter(k, pretrained):
    X, y, query, _ = table(k=k)
    rng = np.random.default_rng(0)
    columns, rows = rng.permutation(X.shape[1]), rng.permutation(len(X))
    detector = InContextDetector(pretrained=pretrained)
    expected = detector.fit(X, y).decision_function(query)
    found = detector.fit(X[rows][:, columns], y[rows]).decision_function(query[:, columns])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("k", [0, 5])
def test_the_order_does_not_matter_where_columns_and_rows_look_alike(k):
    rng = np.random.default_rng(k)
    X, y = (rng.random((50, 12)) < 0.3).astype(float), np.repeat([0, 1], [50 - k, k])
    query = (rng.random((100, 12)) < 0.3).astype(float)
    expected = InContextDetector().fit(X, y).decision_function(query)
    for _ in range(3):
        rows, columns = rng.permutation(50), rng.permutation(12)
        detector = InContextDetector().fit(X[rows][:, columns], y[rows])
        found = detector.decision_function(query[:, columns])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_the_order_does_not_matter_where_columns_differ_in_new_rows_only():
    X, y, query, _ = table(k=5)
    rng = np.random.default_rng(0)
    X, query = (
        np.column_stack([X, X[:, :2]]),
        np.column_stack([query, rng.normal(size=query[:, :2].shape)]),
    )
    X = np.column_stack([X, X[:, 2] ** 3])  # ranks alike, values not
    query = np.column_stack([query, query[:, 2] ** 3])
    expected = InContextDetector().fit(X, y).decision_function(query)
    for _ in range(3):
        columns = rng.permutation(X.shape[1])
        found = InContextDetector().fit(X[:, columns], y).decision_function(query[:, columns])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_units_hardly_matter_and_a_monotone_change_of_a_column_little():
    X, y, query, query_y = table()
    detector = InContextDetector()
    expected = detector.fit(X, y).score_samples(query)
    units = np.array([1e-2, 1.0, 1e3, 7.0, 0.2, 50.0])
    moved = detector.fit(X * units + 3.0, y).score_samples(query * units + 3.0)
    np.testing.assert_allclose(moved, expected, atol=1e-6)
    bent, bent_query = X.copy(), query.copy()
    bent[:, 0], bent_query[:, 0] = np.exp(X[:, 0]), np.exp(query[:, 0])
    aucs = [roc_auc_score(query_y, -s) for s in (
        expected, detector.fit(bent, y).score_samples(bent_query))]  # fmt: skip
    assert abs(aucs[0] - aucs[1]) < 0.03


# --- every kind of support ------------------------------------------------------------------------
def test_unlabelled_rows_may_hold_anomalies():
    aucs = []
    for seed in range(5):
        X, y, query, query_y = table(n=90, k=12, seed=seed)
        labels = np.where(y == 1, np.nan, 0.0)
        labels[np.flatnonzero(y == 1)[:3]] = 1.0  # three are known, nine are not
        labels[:45] = np.nan
        detector = InContextDetector().fit(X, labels)
        aucs.append(roc_auc_score(query_y, -detector.score_samples(query)))
    assert np.mean(aucs) > 0.85


def test_unlabelled_rows_that_are_far_are_not_compared_with():
    gains = []
    for seed in range(6):
        X, y, query, query_y = table(n=60, k=8, seed=seed)
        unlabelled, trusted = (np.full(len(y), value) for value in (np.nan, 0.0))
        aucs = [
            roc_auc_score(query_y, -InContextDetector().fit(X, labels).score_samples(query))
            for labels in (unlabelled, trusted, None)
        ]
        assert aucs[1] == aucs[2]
        gains.append(aucs[0] - aucs[1])
    assert np.mean(gains) > 0.02
    described = InContextDetector().fit(X, unlabelled)._adaptation.representation
    assert len(described.rows) == len(X) - round(0.2 * len(X))
    labels = np.where(np.arange(len(y)) < 30, 0.0, np.nan)
    labels[np.flatnonzero(y == 1)[:2]] = 1.0
    detector = InContextDetector().fit(X, labels)
    known = np.flatnonzero(~np.isnan(labels))
    kept = detector._adaptation.support.order[detector._adaptation.representation.rows]
    assert set(known) <= set(kept)
    assert len(kept) < len(X)


@pytest.mark.parametrize("d", [1, 2, 101])
def test_tables_of_any_width(d):
    X, y, query, query_y = table(d=max(d, 2))
    X, query = X[:, :d], query[:, :d]
    for labels in (None, y):
        scores = InContextDetector().fit(X, labels).score_samples(query)
        assert np.isfinite(scores).all()
    assert roc_auc_score(query_y, -scores) > 0.6


@pytest.mark.filterwarnings("ignore:500 of 600 normal rows are left out")
def test_of_a_large_context_a_part_is_compared_with_and_the_rest_sets_the_threshold():
    X, y, query, query_y = table(n=600, k=4)
    detector = InContextDetector(max_context=100).fit(X, y)
    assert detector.support_X_.shape == X.shape
    assert len(detector._adaptation.representation.support) == 104
    assert roc_auc_score(query_y, -detector.score_samples(query)) > 0.85
    false_alarms = (detector.predict(query[query_y == 0]) == -1).mean()
    assert false_alarms < 0.15


@pytest.mark.filterwarnings("ignore:.* of 3004 normal rows are left out")
@pytest.mark.parametrize(("k", "most"), [(0, 3000), (4, 1000)])
def test_more_normals_are_compared_with_where_no_anomaly_is_labelled(k, most):
    X, y, query, _ = table(n=3004, k=k, d=2)
    detector = InContextDetector().fit(X, y)
    assert (detector._adaptation.support.y == 0).sum() == most
    given = InContextDetector(max_context=most).fit(X, y)
    np.testing.assert_array_equal(detector.score_samples(query), given.score_samples(query))
    assert detector.offset_ == given.offset_
    # the parameter may change after fit: what the detector compares with stays
    assert detector.set_params(max_context=10)._most_in_context() == most


@pytest.mark.parametrize("wrong", ["all", 9, None])
def test_a_context_of_no_size_is_refused(wrong):
    X, y, *_ = table()
    with pytest.raises(ValueError, match=r"The .max_context. parameter .* must be"):
        InContextDetector(max_context=wrong).fit(X, y)


def test_rows_of_the_context_are_judged_by_the_others_unless_values_repeat():
    X, _, query, _ = table(k=0)
    detector = InContextDetector().fit(X)
    assert detector.score_samples(X).mean() == pytest.approx(
        detector.score_samples(query[:80]).mean(), abs=0.35
    )
    coarse = np.round(X)
    detector.fit(coarse)
    assert detector.score_samples(coarse[:1]) > detector.score_samples(coarse[:1] + 0.5)


# --- explanations ---------------------------------------------------------------------------------
@pytest.mark.parametrize("k", [0, 5])
def test_feature_scores_add_up_and_name_the_columns_that_are_off(k):
    X, y, query, query_y = table(k=k)
    detector = InContextDetector().fit(X, y)
    parts = detector.feature_scores(query)
    np.testing.assert_allclose(parts.sum(axis=1), -detector.score_samples(query))
    off = parts[query_y == 1].mean(axis=0)
    assert off[:2].min() > 2 * off[2:].max()


# --- fine-tuning ----------------------------------------------------------------------------------
def tasks_of_two_widths():
    return [*make_family(6), *make_family(6, n_features=3, seed=1)]


def test_tasks_of_different_widths_tune_the_weights(few_trees):
    settings = {"n_normal": (4, 16), "n_anomalous": (0, 4), "n_query": 30, "random_state": 0}
    detector = InContextDetector(lr=0.02, max_epochs=5, episodes_per_epoch=72, **settings)
    detector.meta_fit(tasks_of_two_widths())
    state = detector.pretrained
    assert isinstance(state, MetaState)
    assert state.info["start"] == "tabular-v2"
    assert state.info["n_tasks"] == 12
    assert len(state.info["held_out"]) == 2
    assert state.info["held_out"][0]["used"].startswith("stage")
    aucs = []
    for seed in range(6):
        X, _, query, query_y = new_task(seed, k_support=0)
        others = (clone(detector), InContextDetector())
        aucs.append([roc_auc_score(query_y, -r.fit(X).score_samples(query)) for r in others])
    tuned, shipped = np.mean(aucs, axis=0)
    assert tuned > shipped


def test_without_labelled_anomalies_or_epochs_the_weights_stay():
    rng = np.random.default_rng(0)
    shipped = resolve_state("tabular-v2")
    detector = InContextDetector(random_state=0)
    with pytest.warns(TaskWarning, match="so the weights are unchanged"):
        detector.meta_fit([rng.normal(size=(20, 3)) for _ in range(4)])
    for name, array in shipped.arrays.items():
        np.testing.assert_array_equal(detector.pretrained.arrays[name], array)
    detector = InContextDetector(random_state=0, max_epochs=0, episodes_per_epoch=8)
    detector.set_params(n_normal=(4, 16), n_anomalous=(0, 4)).meta_fit(make_family())
    assert set(detector.pretrained.arrays) - set(shipped.arrays) == {"probability"}


def test_a_frame_keeps_its_names_and_the_state_takes_any_other():
    X, y, query, _ = table()
    names = [f"sensor {i}" for i in range(6)]
    detector = InContextDetector().fit(pd.DataFrame(X, columns=names), y)
    assert detector.feature_names_in_.tolist() == names
    with pytest.raises(ValueError, match="feature names"):
        detector.predict(pd.DataFrame(query, columns=[*names[:5], "other"]))
