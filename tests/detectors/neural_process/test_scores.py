"""Scores of a neural process, and what features count in them."""

import math

import numpy as np
import pytest
import torch
from made_processes import (
    D,
    adapted,
    anchors_believe,
    assert_same,
    every_kind,
    every_score,
    make,
    normals,
    rows_of,
    split,
    t4,
)
from scipy import stats
from sklearn.covariance import OAS

from sklearn_fsad._detectors.neural_process.likelihoods import LIKELIHOODS
from sklearn_fsad._detectors.neural_process.masks import MaskPlan, chain_plan
from sklearn_fsad._detectors.neural_process.module import separation
from sklearn_fsad._detectors.neural_process.networks import KINDS


@pytest.fixture(autouse=True)
def no_gradients(request):
    with torch.set_grad_enabled("gradient" in request.node.name):
        yield


# --- scores ---------------------------------------------------------------------------------------
@every_score
def test_without_a_network_scores_are_the_larger_of_both_anchors(score):
    module = make(score=score)
    X, query = rows_of(12, missing=0.1), rows_of(7, seed=1)
    state = module.adapt(X, normals(12))
    values, _ = split(query)
    per_order = []
    for plan in module.plans:
        hidden, weight = torch.from_numpy(plan.hidden), torch.from_numpy(plan.weight)
        mean, scale = anchors_believe(X, query, hidden)
        z = (values - mean) / scale
        nll = scale.log() - torch.from_numpy(t4.logpdf(z.numpy()))
        views = {
            "surprise": lambda nll=nll, scale=scale: nll.amax(0) + scale[1].log(),
            "nll": lambda nll=nll: nll.amax(0),
            "density": lambda nll=nll: -torch.exp(-nll).mean(0).log(),
            "variance": lambda scale=scale: 2.0 * scale.square().amax(0),
            "error": lambda z=z: z.square().amax(0),
        }
        per_order.append((weight.unsqueeze(-2) * views[score]()).sum(0))
    terms = torch.stack(per_order)
    expected = terms.sum(-1)[0]
    if score == "density":
        expected = -torch.exp(-terms.sum(-1)).mean(0).log()
    else:
        assert_same(module.terms(state, query), terms[0] / D, atol=1e-9)
    assert_same(module.score(state, query), expected / D, atol=1e-9)


@every_kind
@every_score
def test_a_fresh_network_scores_exactly_as_its_anchors(kind, score):
    query = rows_of(7, missing=0.2, seed=1)
    alone, fresh = make(score=score), make(kind, score=score)
    expected = alone.score(adapted(alone, missing=0.1), query)
    found = fresh.score(adapted(fresh, missing=0.1), query)
    if kind == "np":  # the mean over equal samples rounds
        assert_same(found, expected, atol=1e-13)
    else:
        assert torch.equal(found, expected)


@every_kind
@every_score
def test_terms_add_up_to_the_score(kind, score):
    module, query = make(kind, alive=True, score=score), rows_of(7, missing=0.2, seed=1)
    query[:, 2 * D] = 1.5
    state = adapted(module)
    terms = module.terms(state, query)
    assert terms.shape == (7, D)
    assert_same(terms.sum(-1), module.score(state, query))
    assert torch.isfinite(terms).all()


@every_kind
def test_a_departing_network_changes_scores(kind):
    query = rows_of(7, seed=1)
    fresh, alive = make(kind), make(kind, alive=True)
    change = alive.score(adapted(alive), query) - fresh.score(adapted(fresh), query)
    assert change.abs().max() > 0.01


@pytest.mark.parametrize("kind", [None, "tnp"])
def test_density_is_the_mean_over_orders_of_the_product_over_blocks(kind):
    module = make(kind, score="density", alive=kind is not None)
    query = rows_of(7, seed=1)
    score = module.score(adapted(module), query)
    logs = []
    for plan in module.plans:
        one = make(kind, plans=[plan], score="density", alive=kind is not None)
        logs.append(-D * one.score(adapted(one), query))
    expected = torch.logsumexp(torch.stack(logs), 0) - math.log(len(logs))
    assert_same(score, -expected / D)


def test_a_linear_gaussian_density_is_the_same_in_every_order_of_single_features():
    plans = chain_plan(D, 2, D, 0)
    module = make(None, ("linear",), plans, "gaussian", score="density")
    one = make(None, ("linear",), plans[1:], "gaussian", score="density")
    X, query = rows_of(40), rows_of(7, seed=1)
    scores = module.score(module.adapt(X, normals(40)), query)
    assert_same(scores, one.score(one.adapt(X, normals(40)), query), atol=1e-8)


def test_a_linear_gaussian_density_is_the_multivariate_normal():
    module = make(None, ("linear",), chain_plan(D, 1, D, 0), "gaussian", score="density")
    X, query = rows_of(40), rows_of(7, seed=1)
    scores = module.score(module.adapt(X, normals(40)), query)
    oas = OAS().fit(X[:, :D].numpy())
    law = stats.multivariate_normal(oas.location_, oas.covariance_ + 1e-6 * np.eye(D))
    np.testing.assert_allclose(scores, -law.logpdf(query[:, :D].numpy()) / D, rtol=1e-6)


@every_kind
@every_score
def test_masks_tried_in_small_parts_give_the_same_scores(kind, score, monkeypatch):
    module, query = make(kind, alive=True, score=score), rows_of(7, missing=0.2, seed=1)
    state = adapted(module, missing=0.1)
    expected, belief = module.terms(state, query), module.predict(state, query)
    sizes = []
    for numbers in (1, 16 * 4 * 12 * 2):  # for 16 rows, even where there are fewer
        monkeypatch.setattr("sklearn_fsad._detectors.neural_process.module._MOST_NUMBERS", numbers)
        n_masks = len(module.plans[0].hidden)
        sizes.append(len(list(module._by_masks(state, split(query), module.plans[0]))))
        assert_same(module.terms(state, query), expected)
        assert_same(module.predict(state, query).mean, belief.mean)
        assert_same(module.predict(state, query).scale, belief.scale)
    assert sizes == [n_masks, -(-n_masks // 2)]


@every_kind
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_rows_of_a_call_are_scored_apart(kind, missing):
    module, query = make(kind, alive=True), rows_of(7, missing, seed=1)
    state = adapted(module, missing=missing)
    together = module.score(state, query)
    alone = torch.cat([module.score(state, query[i : i + 1]) for i in range(7)])
    assert_same(alone, together)


@every_kind
@every_score
def test_rows_that_show_nothing_score_zero(kind, score):
    module, query = make(kind, alive=True, score=score), rows_of(7, seed=1)
    query[2] = 0.0
    scores = module.score(adapted(module), query)
    assert scores[2] == 0.0
    assert torch.isfinite(scores).all()


@every_kind
@every_score
def test_a_feature_that_never_varied_adds_only_what_departs_from_it(kind, score):
    module = make(kind, alive=True, score=score)
    X, query = rows_of(12), rows_of(7, seed=1)
    X[:, 1] = query[:, 1] = 0.0
    state = module.adapt(X, normals(12))
    query[3, 2 * D + 1] = 5.0
    terms = module.terms(state, query)
    assert torch.isfinite(terms).all()
    np.testing.assert_allclose(terms[:, 1], np.where(np.arange(7) == 3, 12.5 / D, 0.0), atol=1e-12)


@every_kind
@every_score
def test_a_support_of_one_row_or_equal_rows_gives_finite_scores(kind, score):
    module, query = make(kind, alive=True, score=score), rows_of(7, missing=0.2, seed=1)
    for X in (rows_of(1), torch.zeros(6, 3 * D, dtype=torch.float64)):
        X[:, D : 2 * D] = 1.0
        scores = module.score(module.adapt(X, normals(len(X))), query)
        assert torch.isfinite(scores).all()


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_a_feature_missing_from_the_whole_support_counts_for_nothing(kind):
    module = make(kind, alive=kind is not None)
    X, query = rows_of(12, missing=0.1), rows_of(7, seed=1)
    X[:, [2, D + 2]] = 0.0
    terms = module.terms(module.adapt(X, normals(12)), query)
    assert (terms[:, 2] == 0.0).all()
    assert torch.isfinite(terms).all()


def test_without_a_kernel_surprise_is_the_likelihood_alone():
    query = rows_of(7, seed=1)
    one, other = (
        make("cnp", ("linear",), score=score, alive=True) for score in ("surprise", "nll")
    )
    assert torch.equal(one.score(adapted(one), query), other.score(adapted(other), query))


def test_a_row_unlike_all_others_is_more_of_a_surprise_than_unlikely():
    near, far = rows_of(1, seed=1), rows_of(1, seed=1)
    far[:, :D] += torch.tensor([3.0, -3.0, 3.0, -3.0, 3.0], dtype=torch.float64)
    gaps = []
    for score in ("surprise", "nll"):
        module = make(score=score)
        state = adapted(module, n=40)
        gaps.append(module.score(state, far) - module.score(state, near))
    assert gaps[0] > gaps[1] + 0.5


# --- what features count --------------------------------------------------------------------------
def test_separation_is_how_far_anomalies_move_a_term_in_spreads_of_the_normals():
    rng = np.random.default_rng(0)
    terms = rng.normal(size=(50, 4)) * [1.0, 1.0, 10.0, 1.0]
    anomalous = np.arange(50) >= 40
    terms[anomalous] = terms[~anomalous].mean(axis=0) + [6.0, 3.0, 6.0, -5.0]
    found = separation(terms, anomalous)
    spread = terms[~anomalous].std(axis=0)
    moved = np.array([6.0, 3.0, 6.0, 0.0]) / (spread + 0.1 * spread.mean())
    np.testing.assert_allclose(found, moved / moved.mean())
    assert found.argmax() == 0
    assert found[3] == 0.0


def test_separation_weighs_alike_what_anomalies_do_not_move_up():
    terms = np.random.default_rng(0).normal(size=(20, 4))
    terms[15:] = terms[:15].min() - 1.0
    np.testing.assert_array_equal(separation(terms, np.arange(20) >= 15), 1.0)


def test_separation_of_terms_that_do_not_vary_is_finite():
    terms = np.zeros((20, 4))
    terms[15:, 2] = 3.0
    np.testing.assert_allclose(separation(terms, np.arange(20) >= 15), [0.0, 0.0, 4.0, 0.0])


def labelled_support(k):
    """Twelve normals, and k anomalies that are off in the feature with independent noise."""
    anomalies = rows_of(k, seed=2)
    anomalies[:, 4] += 8.0
    return torch.cat([rows_of(12), anomalies]), torch.tensor([0] * 12 + [1] * k)


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("known", [None, [2.0, 0.5, 0.5, 1.5, 0.5]])
def test_labelled_anomalies_weigh_features_against_a_number_of_prior_ones(k, known):
    weights = None if known is None else np.array(known)
    module = make("tnp", weights=weights, n_prior_anomalies=2.0)
    X, y = labelled_support(k)
    plain = make("tnp")
    own = separation(plain.terms(plain.adapt(X, y), X).numpy(), y.numpy() == 1)
    expected = (2.0 * np.array(known or [1.0] * D) + k * own) / (2.0 + k)
    found = module.adapt(X, y)["weights"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert own[4] == own.max() > 2.0


def test_labelled_anomalies_weigh_nothing_unless_they_may():
    X, y = labelled_support(4)
    assert torch.equal(make().adapt(X, y)["weights"], torch.ones(D, dtype=torch.float64))
    weights = np.array([2.0, 0.5, 0.5, 1.5, 0.5])
    state = make(weights=weights).adapt(X, y)
    np.testing.assert_array_equal(state["weights"], weights)


@every_score
def test_weights_multiply_terms(score):
    weights = np.array([2.0, 0.5, 0.5, 1.5, 0.5])
    query = rows_of(7, missing=0.2, seed=1)
    plain, weighed = make(score=score), make(score=score, weights=weights)
    expected = plain.terms(adapted(plain), query) * torch.from_numpy(weights)
    assert_same(weighed.terms(adapted(weighed), query), expected)


def test_what_is_missing_counts_for_nothing_and_the_rest_by_its_number():
    module, query = make(), rows_of(7, missing=0.4, seed=1)
    terms = module.terms(adapted(module), query)
    _, visible = split(query)
    assert (terms[visible == 0] == 0.0).all()
    one = torch.from_numpy(np.eye(D))
    single = make(plans=[MaskPlan(one.numpy(), one.numpy())])
    X = rows_of(12)
    mean, scale = anchors_believe(X, query, one)
    nll = LIKELIHOODS["student-t"]().nll(split(query).values - mean, scale).amax(0)
    own = nll.diagonal(dim1=0, dim2=2)
    expected = own * visible / visible.sum(-1, keepdim=True).clamp(min=1.0)
    assert_same(single.terms(adapted(single), query), expected, atol=1e-10)


def test_a_strange_entry_has_the_largest_term():
    module, query = make(), rows_of(4, seed=1)
    for j in range(4):
        query[j, j] += 12.0
    terms = module.terms(adapted(module, n=60), query)
    assert terms.argmax(-1).tolist() == [0, 1, 2, 3]


def test_adapting_keeps_nothing_on_the_module():
    module = make("tnp", alive=True)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    attributes = set(vars(module))
    first, query = adapted(module), rows_of(7, seed=1)
    expected = module.score(first, query)
    other = module.adapt(3.0 + rows_of(5, seed=8), normals(5))
    module.score(other, query)
    assert_same(module.score(first, query), expected)
    assert set(vars(module)) == attributes
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(isinstance(value, torch.Tensor) for value in first.values())


def test_a_row_of_the_support_is_judged_by_the_others():
    module = make(None, ("kernel",))
    X = rows_of(12)
    X[4, :D] += torch.tensor([4.0, -4.0, 4.0, -4.0, 4.0], dtype=torch.float64)
    scores = module.score(module.adapt(X, normals(12)), X)
    assert scores.argmax() == 4
    beside = X.clone()
    beside[4, :D] += 1e-3
    assert module.score(module.adapt(X, normals(12)), beside)[4] < scores[4] - 1.0
