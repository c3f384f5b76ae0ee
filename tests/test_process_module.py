"""The module of a neural process: its loss, its scores and what they are made of."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp
from sklearn.covariance import OAS
from torch.distributions import Normal, kl_divergence

import sklearn_fsad._detectors.neural_process.module as process_module
from sklearn_fsad._detectors.neural_process.closed_forms import (
    LEAST_SCALE,
    KernelAnchor,
    LinearAnchor,
    Rows,
)
from sklearn_fsad._detectors.neural_process.likelihoods import LIKELIHOODS
from sklearn_fsad._detectors.neural_process.masks import MaskPlan, chain_plan, scoring_plan
from sklearn_fsad._detectors.neural_process.module import SCORES, NeuralProcess, separation
from sklearn_fsad._detectors.neural_process.networks import KINDS, make_network

ANCHORS = {"linear": LinearAnchor, "kernel": KernelAnchor}
D, WIDTH, N_SAMPLES = 5, 8, 4
BOTH = ("linear", "kernel")
every_kind = pytest.mark.parametrize("kind", KINDS)
every_score = pytest.mark.parametrize("score", SCORES)
t4 = stats.t(4)


def make(kind=None, anchors=BOTH, plans=None, likelihood="student-t", alive=False, **settings):
    """A module; ``alive``: its last layer is not zero, so that the network departs from anchors."""
    torch.manual_seed(0)
    network = None
    if kind is not None:
        network = make_network(
            kind, D, width=WIDTH, n_out=2 * max(len(anchors), 1), n_latent_samples=N_SAMPLES,
            grid_shape=(D,),
        )  # fmt: skip
    if plans is None:
        chained = settings.get("score") == "density"
        plans = chain_plan(D, 3, 3, 0) if chained else [scoring_plan(D, "auto", None, 0)]
    module = NeuralProcess(
        network,
        anchors={name: ANCHORS[name]() for name in anchors},
        likelihood=likelihood,
        plans=plans,
        **settings,
    )
    if alive:
        with torch.no_grad():
            for weight in network.parameters():
                weight.mul_(2.0)
            torch.nn.init.normal_(network.decoder.last.weight, std=0.3)
            torch.nn.init.normal_(network.decoder.last.bias, std=0.3)
    return module.double().eval()


def rows_of(n, missing=0.0, seed=0):
    """Described rows ``[values, visible, departed]`` of a curved family: (n, 3 d)."""
    rng = np.random.default_rng([seed, n])
    base = rng.normal(size=(n, 2))
    X = np.column_stack([base, base[:, 0] ** 2 - 1, base.sum(axis=1), rng.normal(size=n)])
    X += 0.1 * rng.normal(size=X.shape)
    visible = (rng.random(X.shape) >= missing).astype(np.float64)
    return torch.from_numpy(np.column_stack([X * visible, visible, 0 * X]))


def split(X):
    return Rows(X[..., :D], X[..., D : 2 * D])


def normals(n):
    return torch.zeros(n, dtype=torch.int64)


def adapted(module, n=12, missing=0.0):
    return module.adapt(rows_of(n, missing), normals(n))


def anchors_believe(X, query, hidden, leave_out=True):
    """Means and scales of both anchors: (2, masks, q, d) each."""
    context, counted = split(X), torch.ones(len(X), dtype=torch.bool)
    beliefs = []
    for name in BOTH:
        anchor = ANCHORS[name]()
        summary = anchor.summarise(context, counted, hidden)
        beliefs.append(anchor.predict(summary, split(query), hidden, leave_out))
    return tuple(torch.stack(parts) for parts in zip(*beliefs, strict=True))


def assert_same(one, other, atol=1e-12):
    torch.testing.assert_close(one, other, rtol=1e-10, atol=atol)


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
    shift, stretch = decoder(Rows(values * shown, shown), z).unbind(-1)
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


# --- scores ---------------------------------------------------------------------------------------
@every_score
def test_without_a_network_scores_are_those_of_the_stranger_anchor(score):
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
    for numbers in (1, 7 * 4 * 12 * 2):
        monkeypatch.setattr(process_module, "_MOST_NUMBERS", numbers)
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
