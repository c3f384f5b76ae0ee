"""What past tasks teach beside weights: covariances and weights of features, on held-out tasks."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sklearn_fsad._detectors.neural_process.closed_forms import KernelAnchor, LinearAnchor
from sklearn_fsad._detectors.neural_process.knowledge import (
    N_FOLDS,
    HeldOutTasks,
    Knowledge,
    compare_network,
    feature_weights,
    learn_knowledge,
    pooled_covariance,
)
from sklearn_fsad._detectors.neural_process.masks import scoring_plan
from sklearn_fsad._detectors.neural_process.module import NeuralProcess, separation
from sklearn_fsad._detectors.neural_process.representation import MaskedRepresentation
from sklearn_fsad._training.held_out import HeldOutComparison
from sklearn_fsad.tasks._episodes import EpisodeSampler
from sklearn_fsad.tasks._task_set import TaskSet

D = 6


def as_they_are(X, y):
    return MaskedRepresentation(X, y, "none")


def in_own_units(X, y):
    return MaskedRepresentation(X, y, "task")


def new_module(knowledge):
    """Closed forms with what is known."""
    return NeuralProcess(
        None,
        anchors={"linear": LinearAnchor(knowledge.prior), "kernel": KernelAnchor()},
        likelihood="student-t",
        plans=[scoring_plan(D, "auto", None, 0)],
        score="surprise",
        weights=knowledge.weights,
    )


# --- covariances ----------------------------------------------------------------------------------
def rows_with(covariance, n, seed):
    """Rows whose covariance is exactly this one, around a mean of their own."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, len(covariance)))
    Z, _ = np.linalg.qr(Z - Z.mean(axis=0))
    return np.sqrt(n) * Z @ np.linalg.cholesky(covariance).T + rng.normal(size=len(covariance))


def covariance_of(d, rank, rest):
    factor = np.random.default_rng(d).normal(size=(d, rank)) / np.sqrt(4 * rank)
    return factor @ factor.T + rest * np.eye(d)


@pytest.mark.parametrize(("d", "rank", "rest"), [(6, 2, 0.1), (64, 64, 0.0), (80, 10, 0.2)])
def test_the_covariance_within_tasks_is_found_whatever_their_means_and_sizes(d, rank, rest):
    covariance = covariance_of(d, rank, rest) + 1e-9 * np.eye(d)
    tasks = [rows_with(covariance, n, seed) for seed, n in enumerate((100, 300))]
    factor, level = pooled_covariance(tasks, as_they_are)
    assert factor.shape == (d, min(d, 64))
    np.testing.assert_allclose(factor @ factor.T + level * np.eye(d), covariance, atol=1e-8)
    assert level == pytest.approx(0.2 if d > 64 else 0.0, abs=1e-6)


def test_what_a_factor_of_few_columns_leaves_out_is_spread_evenly():
    covariance = np.diag(np.linspace(0.01, 1.0, 100))
    factor, rest = pooled_covariance([rows_with(covariance, 150, 0)], as_they_are)
    assert factor.shape == (100, 64)
    assert rest == pytest.approx(np.linspace(0.01, 1.0, 100)[:36].mean())
    assert np.trace(factor @ factor.T) + 100 * rest == pytest.approx(np.trace(covariance))


def test_fewer_rows_than_features_give_their_own_covariance():
    rows = np.random.default_rng(0).normal(size=(8, 30))
    factor, rest = pooled_covariance([rows], as_they_are)
    assert factor.shape == (30, 8)
    assert rest == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(factor @ factor.T, np.cov(rows.T, bias=True), atol=1e-10)


def test_each_task_weighs_the_same_in_its_own_units():
    one, other = np.eye(2) + [[0.0, 0.8], [0.8, 0.0]], np.eye(2) - [[0.0, 0.4], [0.4, 0.0]]
    tasks = [rows_with(one, 50, 0) * [1e3, 1e-3], rows_with(other, 500, 1)]
    factor, rest = pooled_covariance(tasks, in_own_units)
    expected = np.array([[1.0, 0.2], [0.2, 1.0]])
    np.testing.assert_allclose(factor @ factor.T + rest * np.eye(2), expected, atol=1e-8)


# --- arrays ---------------------------------------------------------------------------------------
def test_knowledge_survives_as_arrays():
    knowledge = Knowledge(np.arange(6.0).reshape(3, 2), 0.3, 8.0, np.array([0.5, 1.0, 1.5]))
    again = Knowledge.from_arrays({**knowledge.to_arrays(), "net.weight": np.zeros(2)})
    np.testing.assert_array_equal(again.factor, knowledge.factor)
    np.testing.assert_array_equal(again.weights, knowledge.weights)
    assert (again.rest, again.prior_rows) == (0.3, 8.0)
    np.testing.assert_array_equal(again.prior.factor, knowledge.factor)
    assert (again.prior.rest, again.prior.n_rows) == (0.3, 8.0)


def test_knowledge_without_prior_rows_keeps_its_weights_alone():
    knowledge = Knowledge(np.ones((3, 2)), 0.3, 0.0, np.array([0.5, 1.0, 1.5]))
    assert list(knowledge.to_arrays()) == ["knowledge.weights"]
    again = Knowledge.from_arrays(knowledge.to_arrays())
    assert again.prior is None
    np.testing.assert_array_equal(again.weights, knowledge.weights)


def test_other_arrays_hold_no_knowledge():
    assert Knowledge.from_arrays({"net.weight": np.zeros(2), "scale_mean": np.ones(3)}) is None


# --- held-out tasks -------------------------------------------------------------------------------
def mixing_of(seed):
    return np.random.default_rng(seed).normal(size=(2, D))


def correlated_task(rng, mixing, n=40, k=20):
    """Normals near a plane; anomalies have their entries from different normals."""
    X = rng.normal(size=(n + k, 2)) @ mixing + 0.2 * rng.normal(size=(n + k, D))
    X[n:] = rng.permuted(X[n:], axis=0)
    return X + 5 * rng.normal(size=D), np.repeat([0, 1], [n, k])


def moved_task(rng, feature, n=40, k=20):
    """Independent features, of which anomalies move one."""
    X = rng.normal(size=(n + k, D))
    X[n:, feature] += 2.5
    return X, np.repeat([0, 1], [n, k])


def held_out_of(tasks, n_normal=(8, 20), n_anomalous=(0, 0)):
    sampler = EpisodeSampler(tasks, n_normal=n_normal, n_anomalous=n_anomalous, n_query=40, seed=0)
    return HeldOutTasks.from_tasks(tasks, sampler, 0)


def family_of(make, n_tasks=9, **settings):
    rng = np.random.default_rng(0)
    return TaskSet([make(rng, i) for i in range(n_tasks)], **settings)


def test_siblings_are_held_out_together():
    groups = ["a", "b", "c", "d", "a", "b", "c", "d", "a"]
    held_out = held_out_of(family_of(lambda rng, i: moved_task(rng, 0), groups=groups))
    assert len(held_out.folds) == N_FOLDS
    assert sorted(i for fold in held_out.folds for i in fold) == list(range(9))
    for group in "abcd":
        siblings = {i for i, name in enumerate(groups) if name == group}
        assert sum(siblings <= set(fold) for fold in held_out.folds) == 1
        assert len({held_out.groups[i] for i in siblings}) == 1
    for f, fold in enumerate(held_out.folds):
        assert {e.task for e in held_out.of_fold(f)} == set(fold)
        assert all(held_out.fold_of(e) == f for e in held_out.of_fold(f))


def test_episodes_are_drawn_evenly_up_to_a_number():
    few = held_out_of(family_of(lambda rng, i: moved_task(rng, 0), n_tasks=5))
    assert sorted(e.task for e in few.episodes) == [i for i in range(5) for _ in range(8)]
    many = held_out_of(family_of(lambda rng, i: moved_task(rng, 0, 9, 4), n_tasks=40))
    assert len(many.episodes) == 192

    def wide(rng, i):
        return rng.normal(size=(20, 101)), np.arange(20) >= 15

    assert len(held_out_of(family_of(wide, n_tasks=12)).episodes) == 48


@pytest.mark.parametrize(("n_groups", "suffice"), [(2, False), (3, True)])
def test_three_groups_that_have_anomalies_suffice(n_groups, suffice):
    def make(rng, i):
        X, y = moved_task(rng, 0)
        return (X, y) if i < 6 else (X[y == 0], None)

    groups = [i % n_groups for i in range(6)] + ["without", "anomalies"]
    assert held_out_of(family_of(make, 8, groups=groups)).suffice == suffice


def test_without_any_anomaly_nothing_can_be_compared():
    held_out = held_out_of(
        TaskSet([np.random.default_rng(i).normal(size=(9, D)) for i in range(4)])
    )
    assert held_out.episodes == []
    assert not held_out.suffice


def test_terms_of_queries_come_from_the_normals_of_their_support():
    tasks = family_of(lambda rng, i: moved_task(rng, 0))
    held_out = held_out_of(tasks, n_anomalous=(3, 5))
    module = new_module(Knowledge(np.empty((D, 0)), 0.0, 0.0, np.ones(D)))
    episodes = held_out.of_fold(1)
    assert all((e.support_y == 1).any() for e in episodes)
    found = held_out.terms(module, in_own_units, 1)
    assert len(found) == len(episodes) > 0
    for e, terms in zip(episodes, found, strict=True):
        described = in_own_units(e.support_X[e.support_y == 0], e.support_y[e.support_y == 0])
        parts = [torch.from_numpy(p) for p in (described.support, described.support_y)]
        query = torch.from_numpy(described.transform(e.query_X))
        np.testing.assert_array_equal(terms, module.terms(module.adapt(*parts), query))


def ranked(held_out, fold, wrong):
    """Scores of a fold's queries, some of whose anomalies look most normal."""
    rng = np.random.default_rng(fold)
    scores = []
    for e in held_out.of_fold(fold):
        found = (e.query_y == 1) & (rng.random(len(e.query_y)) >= wrong)
        scores.append(found + 0.01 * rng.normal(size=len(found)))
    return scores


@pytest.mark.parametrize(
    ("baseline", "candidate", "used"), [(0.5, 0.0, True), (0.0, 0.5, False), (0.5, 0.5, False)]
)
def test_the_candidate_must_be_clearly_better(baseline, candidate, used):
    held_out = held_out_of(family_of(lambda rng, i: moved_task(rng, 0)))
    compared = []
    for f in range(N_FOLDS):
        scores = (ranked(held_out, f, wrong) for wrong in (baseline, candidate))
        compared += held_out.compared(f, *scores)
    assert len(compared) == len(held_out.episodes)
    for j, e in zip(
        compared, [e for f in range(N_FOLDS) for e in held_out.of_fold(f)], strict=True
    ):
        assert (j.fold, j.group) == (held_out.fold_of(e), held_out.groups[e.task])
    assert HeldOutComparison(compared, "any", ("baseline", "candidate")).used[0] == used


@pytest.mark.parametrize(("wrong", "n_trained"), [(0.0, N_FOLDS), (0.5, 1)])
def test_no_more_networks_are_trained_once_one_falls_behind(wrong, n_trained):
    held_out = held_out_of(family_of(lambda rng, i: moved_task(rng, 0)))
    trained = []

    class Ranking:
        """Terms that find some of the anomalies."""

        def __init__(self, wrong):
            self.wrong = wrong

    def network(known, positions):
        trained.append(sorted(positions))
        return Ranking(wrong)

    def terms(module, describe, fold):
        return [s[:, None] for s in ranked(held_out, fold, module.wrong)]

    stub = SimpleNamespace(terms=terms, rest_of=held_out.rest_of, compared=held_out.compared)
    comparison = compare_network(
        stub, dict.fromkeys(range(N_FOLDS)), None, lambda known: Ranking(0.2), network
    )
    assert trained == [sorted(held_out.rest_of(f)) for f in range(n_trained)]
    assert comparison.used[0] == (wrong == 0.0)


# --- weights --------------------------------------------------------------------------------------
def test_weights_are_the_mean_over_episodes_of_how_far_anomalies_moved_terms():
    held_out = held_out_of(family_of(lambda rng, i: moved_task(rng, 2)))
    rng = np.random.default_rng(0)
    terms = [rng.normal(size=(len(e.query_y), D)) for e in held_out.episodes]
    for e, t in zip(held_out.episodes, terms, strict=True):
        t[e.query_y == 1, 2] += 4.0
    weights = feature_weights(held_out.episodes, terms)
    one_by_one = [
        separation(t, e.query_y == 1) for e, t in zip(held_out.episodes, terms, strict=True)
    ]
    np.testing.assert_allclose(weights, np.mean(one_by_one, axis=0))
    assert weights.mean() == pytest.approx(1.0)
    assert weights[2] > 5 * np.delete(weights, 2).max()


# --- learning -------------------------------------------------------------------------------------
def learned(tasks, weigh=True, n_normal=(8, 20)):
    return learn_knowledge(tasks, held_out_of(tasks, n_normal), in_own_units, new_module, weigh)


def test_tiny_contexts_of_tasks_that_share_a_covariance_borrow_many_rows():
    tasks = family_of(lambda rng, i: correlated_task(rng, mixing_of(0)))
    knowledge, without, (report, _) = learned(tasks, n_normal=(3, 4))
    aucs = report.roc_auc
    assert knowledge.prior_rows >= 32.0
    assert {known.prior_rows for known in without.values()} == {knowledge.prior_rows}
    assert report.used == f"{knowledge.prior_rows:g} rows"
    assert aucs[report.used] == max(aucs.values()) > aucs["0 rows"] + 0.1


def test_tasks_with_covariances_of_their_own_borrow_fewer_rows():
    tasks = family_of(lambda rng, i: correlated_task(rng, mixing_of(i)))
    knowledge, _, (report, _) = learned(tasks)
    assert knowledge.prior_rows < 32.0
    assert report.roc_auc["32 rows"] < report.roc_auc[report.used]


def test_weights_are_used_where_anomalies_of_all_tasks_move_one_feature():
    knowledge, without, (_, report) = learned(family_of(lambda rng, i: moved_task(rng, 2)))
    assert report.used == "learned weights"
    assert report.roc_auc["learned weights"] > report.roc_auc["equal weights"] + 0.05
    for known in (knowledge, *without.values()):
        assert known.weights.argmax() == 2
        assert known.weights[2] > 2.0


def test_weights_are_refused_where_anomalies_of_each_task_move_another_feature():
    knowledge, without, (_, report) = learned(family_of(lambda rng, i: moved_task(rng, i % D), D))
    assert report.used == "equal weights"
    for known in (knowledge, *without.values()):
        np.testing.assert_array_equal(known.weights, 1.0)


def test_weights_are_left_alone_unless_asked_for():
    knowledge, _, reports = learned(family_of(lambda rng, i: moved_task(rng, 2)), weigh=False)
    assert [report.choice for report in reports] == ["covariance prior"]
    np.testing.assert_array_equal(knowledge.weights, 1.0)


def test_what_is_known_without_a_fold_never_saw_it():
    tasks = family_of(lambda rng, i: correlated_task(rng, mixing_of(0)))
    held_out = held_out_of(tasks, (3, 4))
    knowledge, without, _ = learned(tasks, n_normal=(3, 4))
    assert set(without) == set(range(N_FOLDS))
    normals = [task.normals for task in tasks]
    for f, known in without.items():
        others = [normals[i] for g, fold in enumerate(held_out.folds) if g != f for i in fold]
        factor, rest = pooled_covariance(others, in_own_units)
        np.testing.assert_array_equal(known.factor, factor)
        assert known.rest == rest
    np.testing.assert_array_equal(knowledge.factor, pooled_covariance(normals, in_own_units)[0])
