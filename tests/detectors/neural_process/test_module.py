"""The module of a neural process: its loss, its scores and what they are made of."""

import math

import numpy as np
import pytest
import torch
from made_processes import (
    BOTH,
    N_SAMPLES,
    WIDTH,
    D,
    adapted,
    anchors_believe,
    assert_same,
    every_kind,
    make,
    normals,
    rows_of,
    split,
    t4,
)
from scipy import stats
from scipy.special import logsumexp
from torch.distributions import Normal, kl_divergence

from sklearn_fsad._detectors.neural_process.closed_forms import LEAST_SCALE, MaskedRows
from sklearn_fsad._detectors.neural_process.likelihoods import LIKELIHOODS
from sklearn_fsad._detectors.neural_process.masks import scoring_plan
from sklearn_fsad._detectors.neural_process.networks import KINDS


@pytest.fixture(autouse=True)
def no_gradients(request):
    with torch.set_grad_enabled("gradient" in request.node.name):
        yield


# --- the loss -------------------------------------------------------------------------------------
def believing(module, location, scale):
    """Let the network of a module without anchors say the same of every row."""
    last = module.network.decoder.last
    torch.nn.init.zeros_(last.weight)
    stretch = math.log(math.expm1(scale - LEAST_SCALE))
    told = torch.tensor([location, stretch], dtype=torch.float64)
    last.bias.copy_(told.repeat(len(last.bias) // 2))
    return module


def asking(X, hidden):
    return torch.cat([X, hidden.expand(*X.shape[:-1], D)], -1)


@pytest.mark.parametrize(
    ("likelihood", "law"),
    [("gaussian", stats.norm(0.3, 1.7)), ("student-t", stats.t(4, 0.3, 1.7))],
)
@pytest.mark.parametrize("kind", ["cnp", "anp", "tnp"])
def test_the_loss_is_the_mean_surprise_of_what_a_query_hides(kind, likelihood, law):
    module = believing(make(kind, (), likelihood=likelihood), 0.3, 1.7).train()
    support, query = rows_of(9), rows_of(6, missing=0.4, seed=1)
    support[:, 3] = 0.0  # never varied: not asked for
    query[5, D : 2 * D] = 0.0
    hidden = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    loss = module(support, normals(9), asking(query, hidden))
    values, visible = split(query)
    asked = (visible * hidden).numpy().astype(bool)
    asked[:, 3] = False
    surprise = -law.logpdf(values.numpy())
    expected = [surprise[i][asked[i]].mean() if asked[i].any() else 0.0 for i in range(6)]
    np.testing.assert_allclose(loss, expected, rtol=1e-9)
    assert loss[5] == 0.0


@pytest.mark.parametrize("kind", ["cnp", "anp", "tnp", "convcnp"])
def test_the_loss_of_a_fresh_network_is_the_mean_over_its_anchors(kind):
    module = make(kind).train()
    support, query = rows_of(9, missing=0.1)[None], rows_of(6, missing=0.3, seed=1)[None]
    hidden = torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    loss = module(support, normals(9)[None], asking(query, hidden[:, None]))
    mean, scale = anchors_believe(support[0], query[0], hidden, leave_out=False)
    values, visible = split(query[0])
    nll = LIKELIHOODS["student-t"]().nll(values - mean, scale).mean((0, 1))
    asked = visible * hidden
    assert_same(loss[0], (nll * asked).sum(-1) / asked.sum(-1).clamp(min=1.0))


@pytest.mark.parametrize("kind", ["cnp", "anp", "tnp", "convcnp"])
def test_padding_does_not_change_the_loss(kind):
    module = make(kind, alive=True).train()
    support, query = rows_of(9, missing=0.1), rows_of(6, missing=0.3, seed=1)
    hidden = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    queries = asking(query, hidden)
    alone = module(support[None], normals(9)[None], queries[None])
    padded = torch.cat([support, torch.zeros(4, 3 * D)])[None].repeat(2, 1, 1)
    padded[1] = rows_of(13, seed=4)
    y = torch.tensor([[0] * 9 + [-1] * 4, [0] * 13])
    longer = torch.cat([queries, torch.zeros(2, 4 * D)])[None].repeat(2, 1, 1)
    longer[1] = asking(rows_of(8, seed=5), torch.eye(D)[1])
    together = module(padded, y, longer)
    assert together.shape == (2, 8)
    assert_same(together[:1, :6], alone)
    assert (together[0, 6:] == 0.0).all()


@every_kind
def test_anomalies_of_a_support_are_no_part_of_the_context(kind):
    module, query = make(kind, alive=True), rows_of(6, seed=1)
    with_anomalies = torch.cat([rows_of(12), 5.0 + rows_of(3, seed=2)])
    y = torch.tensor([0] * 12 + [1] * 3)
    scores = module.score(module.adapt(with_anomalies, y), query)
    assert_same(scores, module.score(adapted(module), query), atol=1e-10)


@every_kind
@pytest.mark.parametrize("anchors", [(), ("linear",), BOTH])
def test_the_gradient_reaches_every_weight(kind, anchors):
    module = make(kind, anchors).train()
    torch.nn.init.normal_(module.network.decoder.last.weight)
    queries = asking(rows_of(6, seed=1)[None], torch.eye(D)[:1])
    module(rows_of(9)[None], normals(9)[None], queries).mean().backward()
    gradients = {name: weight.grad for name, weight in module.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    assert gradients["network.encoder.net.0.weight"].abs().max() > 0.0


# --- the loss of a latent variable ----------------------------------------------------------------
def latent_case(objective, n_samples=N_SAMPLES):
    module = make("np", (), alive=True, objective=objective).train()
    module.network.aggregator.noise = torch.zeros(n_samples, WIDTH, dtype=torch.float64)
    support, query = rows_of(9), rows_of(6, missing=0.2, seed=1)
    hidden = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    return module, support, query, hidden


def loss_of(module, support, query, hidden, seed):
    torch.manual_seed(seed)
    return module(support[None], normals(len(support))[None], asking(query, hidden)[None])


def latent_by_hand(module, support, query, hidden, seed):
    """Prior, posterior, samples of that and the surprise of each sample, in nats an entry."""
    network = module.network
    encoder, aggregator, decoder = network.encoder, network.aggregator, network.decoder
    everything = torch.cat([support, query])
    laws = []
    for rows in (support, everything):
        counted = torch.ones(len(rows), dtype=torch.bool)
        summary = aggregator.summarise(encoder(split(rows)), split(rows), counted)
        laws.append(Normal(summary["location"], summary["scale"]))
    torch.manual_seed(seed)
    z = laws[1].rsample((len(aggregator.noise),))
    values, visible = split(query)
    shown = visible * (1 - hidden)
    shift, stretch = decoder(MaskedRows(values * shown, shown), z).unbind(-1)
    scale = LEAST_SCALE + torch.nn.functional.softplus(stretch)
    asked = visible * hidden
    nll = -torch.from_numpy(t4.logpdf(((values - shift) / scale).numpy())) + scale.log()
    return *laws, z, (nll * asked).sum((-2, -1)), asked.sum()


def test_the_evidence_lower_bound_is_surprise_plus_divergence():
    case = latent_case("elbo")
    prior, posterior, _, nll, n_asked = latent_by_hand(*case, seed=3)
    expected = (nll.mean() + kl_divergence(posterior, prior).sum()) / n_asked
    loss = loss_of(*case, seed=3)
    assert loss.shape == (1, 6)
    assert_same(loss, expected.expand(1, 6))


@pytest.mark.parametrize("n_samples", [1, 4])
def test_the_importance_weighted_bound_weighs_samples_by_prior_over_posterior(n_samples):
    case = latent_case("importance", n_samples)
    prior, posterior, z, nll, n_asked = latent_by_hand(*case, seed=3)
    gap = (posterior.log_prob(z) - prior.log_prob(z)).sum((-2, -1))
    expected = -logsumexp((-nll - gap).numpy(), b=1 / n_samples) / n_asked
    assert_same(loss_of(*case, seed=3), expected.expand(1, 6))


@pytest.mark.parametrize("n_samples", [1, 4])
def test_the_bounds_meet_when_prior_and_posterior_do_and_one_sample_is_drawn(n_samples):
    losses = []
    for objective in ("elbo", "importance"):
        module, *rest = latent_case(objective, n_samples)
        torch.nn.init.zeros_(module.network.aggregator.net[-1].weight)
        losses.append(loss_of(module, *rest, seed=3)[0, 0])
    if n_samples == 1:
        assert_same(*losses)
    else:
        assert losses[1] < losses[0]


def test_the_bounds_of_one_sample_agree_on_average():
    losses = []
    for objective in ("elbo", "importance"):
        module, support, query, hidden = latent_case(objective, 1)
        many = [part.expand(3000, *part.shape) for part in
                (support, normals(9), asking(query, hidden))]  # fmt: skip
        torch.manual_seed(0)
        losses.append(module(*many)[:, 0].numpy())
    gap = losses[0] - losses[1]
    assert gap.std() > 0.01
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(len(gap))


# --- predictions ----------------------------------------------------------------------------------
TARGETS = [1, 3]


@pytest.mark.parametrize("kind", [None, *KINDS])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_what_targets_hold_has_no_influence_on_their_prediction(kind, missing):
    plan = scoring_plan(D, None, TARGETS, 0)
    module = make(kind, plans=[plan], alive=kind is not None)
    state, query = adapted(module, missing=missing), rows_of(7, missing, seed=1)
    expected = module.predict(state, query)
    query[:, TARGETS] += 100.0 * query[:, [D + t for t in TARGETS]]
    found = module.predict(state, query)
    for one, other in zip(found, expected, strict=True):
        assert_same(one[:, TARGETS], other[:, TARGETS])
    query[:, 0] += 1.0
    query[:, D] = 1.0
    assert (module.predict(state, query).mean - expected.mean)[:, TARGETS].abs().max() > 1e-3


def test_a_prediction_of_anchors_mixes_their_means_and_spreads():
    plan = scoring_plan(D, None, None, 0)
    module, X, query = make(plans=[plan]), rows_of(12), rows_of(7, seed=1)
    mean, scale = (part.diagonal(dim1=1, dim2=3) for part in
                   anchors_believe(X, query, torch.eye(D, dtype=torch.float64)))  # fmt: skip
    belief = module.predict(module.adapt(X, normals(12)), query)
    assert_same(belief.mean, mean.mean(0), atol=1e-10)
    between = mean.var(0, correction=0)
    assert_same(belief.scale, (2.0 * scale.square().mean(0) + between).sqrt(), atol=1e-10)


def test_a_gaussian_prediction_has_the_spread_of_its_scale():
    plan = scoring_plan(D, None, None, 0)
    module = believing(make("cnp", (), [plan], "gaussian"), 0.3, 1.7)
    belief = module.predict(adapted(module), rows_of(7, seed=1))
    np.testing.assert_allclose(belief.mean, 0.3)
    np.testing.assert_allclose(belief.scale, 1.7)


def test_sampled_functions_average_to_the_prediction():
    plan = scoring_plan(D, None, None, 0)
    module = make("np", plans=[plan], alive=True)
    state, query = adapted(module), rows_of(7, seed=1)
    functions = module.predict_samples(state, query)
    assert functions.shape == (N_SAMPLES, 7, D)
    assert_same(functions.mean(0), module.predict(state, query).mean)
    assert functions.std(0).max() > 1e-3


def test_a_sampled_function_does_not_depend_on_what_else_is_asked():
    plan = scoring_plan(D, None, None, 0)
    module = make("np", plans=[plan], alive=True)
    state, query = adapted(module), rows_of(7, seed=1)
    functions = module.predict_samples(state, query)
    assert_same(module.predict_samples(state, query[4:5]), functions[:, 4:5])


@pytest.mark.parametrize(
    ("stretch", "factor"), [(-1e3, math.exp(-2.0)), (0.0, 1.0), (1e3, math.exp(2.0))]
)
def test_the_scale_departs_boundedly_from_that_of_an_anchor(stretch, factor):
    plans = [scoring_plan(D, None, None, 0)]
    alone, module = (make(kind, ("linear",), plans, "gaussian") for kind in (None, "cnp"))
    last = module.network.decoder.last
    last.bias.copy_(torch.tensor([0.5, stretch], dtype=torch.float64).repeat(D))
    query = rows_of(7, seed=1)
    expected = alone.predict(adapted(alone), query)
    belief = module.predict(adapted(module), query)
    assert_same(belief.mean, expected.mean + 0.5 * expected.scale, atol=1e-10)
    assert_same(belief.scale, factor * expected.scale, atol=1e-10)
