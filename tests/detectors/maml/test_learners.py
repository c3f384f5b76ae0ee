"""Networks with explicit weights: batches of tasks, their losses, and what the score is made of."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sklearn_fsad._detectors.maml.learners import LEARNERS, make_learner
from sklearn_fsad._detectors.maml.perceptron import perceptron

N_FEATURES, N_EVIDENCE = 4, 2
N_COLUMNS = N_FEATURES + N_EVIDENCE + 1
SHAPE = {"hidden": (6, 5), "embedding_dim": 3}

all_learners = pytest.mark.parametrize("kind", LEARNERS)
one_class_learners = pytest.mark.parametrize("kind", ["autoencoder", "svdd"])
both_uses = pytest.mark.parametrize("residual", [True, False])


def fresh(kind, residual=True, seed=0, **shape):
    """An untrained learner in float64; the global generator stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_learner(
            kind, N_FEATURES, N_EVIDENCE, **{**SHAPE, **shape}, residual=residual
        ).double()


def trained(kind, residual=True, seed=0):
    """A learner none of whose parameters is as at the start."""
    learner, rng = fresh(kind, residual, seed), np.random.default_rng(seed)
    for parameter in learner.parameters():
        parameter.data = torch.from_numpy(np.asarray(rng.normal(scale=0.6, size=parameter.shape)))
    return learner


def rows(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(*shape, N_COLUMNS)))


def weights_of_tasks(learner, n_tasks, seed=0):
    """Weights that differ from task to task."""
    rng = np.random.default_rng(seed)
    return [
        torch.from_numpy(rng.normal(scale=0.6, size=(n_tasks, *w.shape))) for w in learner.weights
    ]


# --- shapes and batches ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "residual", "widths"),
    [
        ("classifier", True, (6, 6, 5, 1)),
        ("classifier", False, (4, 6, 5, 1)),
        ("svdd", True, (6, 6, 5, 3)),
        ("svdd", False, (4, 6, 5, 3)),
        ("autoencoder", True, (4, 6, 5, 3, 5, 6, 4)),
        ("autoencoder", False, (4, 6, 5, 3, 5, 6, 4)),
    ],
)
def test_layers_lead_from_what_the_network_sees_to_what_it_says(kind, residual, widths):
    shapes = [tuple(w.shape) for w in fresh(kind, residual).weights]
    assert shapes == [s for n_in, n_out in pairwise(widths) for s in [(n_in, n_out), (1, n_out)]]


@all_learners
def test_without_hidden_layers_the_network_is_linear(kind):
    learner = fresh(kind, hidden=())
    sizes = {"classifier": [6, 1], "svdd": [6, 3], "autoencoder": [4, 3, 4]}[kind]
    assert [len(w) for w in learner.weights[::2]] == sizes[:-1]
    X = rows(5)[:, : sizes[0]]
    layers = learner.weights[:2]
    torch.testing.assert_close(perceptron(layers, X), X @ layers[0] + layers[1])


def test_a_perceptron_bends_between_its_layers_and_not_after_the_last():
    rng = np.random.default_rng(0)
    W, b, V, c = (torch.from_numpy(rng.normal(size=s)) for s in ((4, 3), (1, 3), (3, 2), (1, 2)))
    X = torch.from_numpy(rng.normal(size=(5, 4)))
    hidden = X @ W + b
    expected = (hidden * torch.sigmoid(hidden)) @ V + c
    torch.testing.assert_close(perceptron([W, b, V, c], X), expected)
    assert (expected < -0.3).any()


@both_uses
@all_learners
def test_a_batch_of_tasks_equals_task_by_task(kind, residual):
    learner = trained(kind, residual)
    weights, Z = weights_of_tasks(learner, 3), rows(3, 7)
    Z = Z if residual else Z[..., :N_FEATURES]
    y = torch.tensor([[0, 0, 0, 1, 1, 2, -1], [0, 0, 0, 0, 0, 0, 0], [1, 0, 2, 2, 0, -1, -1]])
    with torch.no_grad():
        scores, losses = learner.score(weights, Z), learner.loss(weights, Z, y)
        assert scores.shape == (3, 7)
        assert losses.shape == (3,)
        for t in range(3):
            own = [w[t] for w in weights]
            torch.testing.assert_close(scores[t], learner.score(own, Z[t]), rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(losses[t], learner.loss(own, Z[t], y[t]), rtol=1e-10, atol=0)
    assert len(torch.unique(losses)) == 3


def test_the_perceptron_of_a_batch_of_tasks_equals_task_by_task():
    learner = fresh("svdd")
    weights, X = weights_of_tasks(learner, 3), rows(3, 7)[..., :6]
    together = perceptron(weights, X)
    assert together.shape == (3, 7, 3)
    for t in range(3):
        torch.testing.assert_close(together[t], perceptron([w[t] for w in weights], X[t]))


@all_learners
def test_rows_of_one_task_equal_a_batch_of_one(kind):
    learner = trained(kind)
    Z, y = rows(6), torch.tensor([0, 0, 1, 0, 2, -1])
    one = [w[None] for w in learner.weights]
    with torch.no_grad():
        scores, loss = learner.score(learner.weights, Z), learner.loss(learner.weights, Z, y)
        torch.testing.assert_close(learner.score(one, Z[None]), scores[None])
        torch.testing.assert_close(learner.loss(one, Z[None], y[None]), loss[None])
    assert scores.shape == (6,)
    assert loss.shape == ()


# --- scores ---------------------------------------------------------------------------------------
@all_learners
def test_before_training_a_residual_learner_scores_as_the_closed_form(kind):
    Z = rows(9)
    learner = fresh(kind)
    with torch.no_grad():
        assert torch.equal(learner.score(learner.weights, Z), Z[:, -1])
        assert not torch.equal(trained(kind).score(trained(kind).weights, Z), Z[:, -1])


@all_learners
def test_a_residual_learner_adds_to_the_closed_form_and_sees_nothing_else_of_it(kind):
    learner, Z = trained(kind), rows(9)
    moved = Z.clone()
    moved[:, -1] += 5.0
    with torch.no_grad():
        before, after = (learner.score(learner.weights, part) for part in (Z, moved))
    torch.testing.assert_close(after, before + 5.0)


@pytest.mark.parametrize(
    ("kind", "sees_evidence"), [("classifier", True), ("svdd", True), ("autoencoder", False)]
)
def test_the_evidence_is_shown_to_all_but_the_autoencoder(kind, sees_evidence):
    learner, Z = trained(kind), rows(9)
    moved = Z.clone()
    moved[:, N_FEATURES:-1] += 1.0
    with torch.no_grad():
        same = torch.equal(*(learner.score(learner.weights, part) for part in (Z, moved)))
    assert same != sees_evidence


def test_the_error_of_an_autoencoder_is_that_of_the_features_alone():
    learner, Z = trained("autoencoder"), rows(9)
    other = rows(9, seed=1)
    other[:, :N_FEATURES] = Z[:, :N_FEATURES]
    with torch.no_grad():
        error = learner.error(learner.weights, Z)
        assert torch.equal(learner.error(learner.weights, other), error)
        assert torch.equal(learner.error(learner.weights, Z[:, :N_FEATURES]), error)
        assert (learner.error(learner.weights, rows(9, seed=1)) != error).all()


def test_errors_of_features_are_squared_differences_and_their_mean_is_the_error():
    learner, Z = trained("autoencoder"), rows(3, 9)
    weights = weights_of_tasks(learner, 3)
    with torch.no_grad():
        errors = learner.feature_errors(weights, Z)
        features = Z[..., :N_FEATURES]
        assert errors.shape == (3, 9, N_FEATURES)
        torch.testing.assert_close(errors, (perceptron(weights, features) - features) ** 2)
        torch.testing.assert_close(errors.mean(-1), learner.error(weights, Z))


def test_the_error_of_a_hypersphere_is_the_squared_distance_to_its_centre():
    learner, Z = trained("svdd"), rows(9)
    with torch.no_grad():
        embedded, centre = perceptron(learner.weights, Z[:, :-1]), learner.centre
        expected = [((row - centre) ** 2).sum() / 3 for row in embedded]
        torch.testing.assert_close(learner.error(learner.weights, Z), torch.stack(expected))
    assert (centre != 0).all()


@one_class_learners
def test_the_score_of_a_one_class_learner_is_its_log_error(kind):
    Z = rows(9)
    plain, residual = trained(kind, residual=False), trained(kind)
    with torch.no_grad():
        log_error = (plain.error(plain.weights, Z[:, :N_FEATURES]) + 1e-6).log()
        torch.testing.assert_close(plain.score(plain.weights, Z[:, :N_FEATURES]), log_error)
        added = residual.gain * (residual.error(residual.weights, Z) + 1e-6).log()
        torch.testing.assert_close(residual.score(residual.weights, Z), Z[:, -1] + added)


# --- the loss of the classifier -------------------------------------------------------------------
def classifier_loss_by_hand(scores, y, slope):
    logit = slope * np.asarray(scores)
    parts = [np.log1p(np.exp(logit[y == 0])), np.log1p(np.exp(-logit[(y == 1) | (y == 2)]))]
    return sum(part.mean() for part in parts if len(part))


@pytest.mark.parametrize(
    "y",
    [
        [0, 0, 0, 0, 0, 1, 1, 2],
        [0, 0, 1, -1, -1, -1, -1, -1],
        [0, 0, 0, 0, 2, 2, 2, -1],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 2, 1, 1, 1, 1, 1],
    ],
    ids=["all kinds", "padded", "injected", "normals only", "anomalies only"],
)
@both_uses
def test_classifier_loss_is_the_mean_over_each_class(y, residual):
    learner = trained("classifier", residual)
    Z = rows(8) if residual else rows(8)[:, :N_FEATURES]
    with torch.no_grad():
        loss = learner.loss(learner.weights, Z, torch.tensor(y)).item()
        scores = learner.score(learner.weights, Z)
    slope = np.exp(learner.log_slope.item())
    assert slope != 1.0
    assert loss == pytest.approx(classifier_loss_by_hand(scores, np.array(y), slope), rel=1e-10)


def test_classifier_takes_injected_rows_for_anomalies():
    learner, Z = trained("classifier"), rows(6)
    with torch.no_grad():
        injected = learner.loss(learner.weights, Z, torch.tensor([0, 0, 0, 2, 2, 2]))
        labelled = learner.loss(learner.weights, Z, torch.tensor([0, 0, 0, 1, 1, 1]))
        neither = learner.loss(learner.weights, Z, torch.tensor([0, 0, 0, -1, -1, -1]))
    assert injected == labelled
    assert injected > neither


@all_learners
def test_padding_does_not_count(kind):
    learner, Z, y = trained(kind), rows(8), torch.tensor([0, 0, 0, 1, 1, -1, -1, -1])
    other = torch.cat([Z[:5], 100.0 * rows(3, seed=1)])
    with torch.no_grad():
        loss = learner.loss(learner.weights, Z, y)
        assert torch.equal(learner.loss(learner.weights, other, y), loss)
        torch.testing.assert_close(learner.loss(learner.weights, Z[:5], y[:5]), loss)


@pytest.mark.parametrize("label", [0, 1, 2, -1])
@all_learners
def test_an_absent_class_divides_nothing_by_zero(kind, label):
    learner, Z = trained(kind), rows(5)
    loss = learner.loss(learner.weights, Z, torch.full((5,), label))
    loss.backward()
    gradients = [w.grad for w in learner.weights]
    assert torch.isfinite(loss)
    assert all(torch.isfinite(g).all() for g in gradients)
    nothing = label == -1 or (label == 2 and kind != "classifier")
    assert (loss == 0) == nothing
    assert any((g != 0).any() for g in gradients) != nothing


# --- derivatives of the loss ----------------------------------------------------------------------
@both_uses
@all_learners
def test_derivatives_of_the_loss_are_those_of_autograd(kind, residual):
    learner = trained(kind, residual)
    Z, y = rows(3, 7), torch.tensor([[0, 0, 0, 1, 1, 2, -1], [0] * 7, [1, 0, 2, 2, 0, -1, -1]])
    Z = Z if residual else Z[..., :N_FEATURES]
    size = (2, 3, 7, learner.weights[-1].numel())
    outputs, shift = torch.from_numpy(np.random.default_rng(1).normal(size=size))
    target = learner.target(Z, y)
    parameters = list(learner.loss_parameters)
    outputs.requires_grad_()
    loss = learner.loss_at(outputs, target).sum()
    [expected] = torch.autograd.grad(loss, outputs, create_graph=True)
    slope, change = learner.twice_at(outputs.detach(), target)
    torch.testing.assert_close(learner.slope_at(outputs, target), expected)
    torch.testing.assert_close(slope, expected.detach())
    by_outputs, *others = torch.autograd.grad(expected, [outputs, *parameters], shift)
    found, of_parameters = change(shift)
    torch.testing.assert_close(found, by_outputs)
    for mine, other in zip(of_parameters, others, strict=True):
        torch.testing.assert_close(mine, other)
        assert (other != 0).any()
    assert (by_outputs != 0).any()


# --- the loss of one-class learners ---------------------------------------------------------------
@one_class_learners
@pytest.mark.parametrize(
    "y", [[0, 0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 0, 1, -1, -1], [0, 0, 0, 0, 0, 0, 0, 0]]
)
def test_one_class_loss_is_the_error_of_normals_and_a_logistic_loss_of_anomalies(kind, y):
    learner, Z = trained(kind), rows(8)
    with torch.no_grad():
        loss = learner.loss(learner.weights, Z, torch.tensor(y)).item()
        error = learner.error(learner.weights, Z).numpy()
    y = np.array(y)
    expected = error[y == 0].mean()
    if 1 in y:
        level = np.log(error[y == 0] + 1e-6).mean()
        expected += np.log1p(np.exp(level - np.log(error[y == 1] + 1e-6))).mean()
    assert loss == pytest.approx(expected, rel=1e-10)


@one_class_learners
def test_one_class_loss_ignores_injected_rows(kind):
    learner, Z = trained(kind), rows(8)
    with torch.no_grad():
        injected = learner.loss(learner.weights, Z, torch.tensor([0, 0, 0, 0, 1, 2, 2, 2]))
        without = learner.loss(learner.weights, Z[:5], torch.tensor([0, 0, 0, 0, 1]))
    torch.testing.assert_close(injected, without)


@one_class_learners
def test_a_step_on_the_loss_pushes_labelled_anomalies_away_from_normals(kind):
    learner, Z = fresh(kind), rows(12)
    y = torch.tensor([0] * 8 + [1] * 4)

    def gap(weights):
        with torch.no_grad():
            log_error = learner.error(weights, Z).log()
        return (log_error[y == 1].mean() - log_error[y == 0].mean()).item()

    def after_a_step(labels):
        weights = list(learner.weights)
        gradients = torch.autograd.grad(learner.loss(weights, Z, labels), weights)
        return [w - 0.05 * g for w, g in zip(weights, gradients, strict=True)]

    labelled, alone = after_a_step(y), after_a_step(y.masked_fill(y == 1, -1))
    assert gap(labelled) > gap(learner.weights)
    assert gap(labelled) > gap(alone)


def test_a_step_on_the_loss_of_the_classifier_parts_the_classes():
    learner, Z = fresh("classifier"), rows(12)
    y = torch.tensor([0] * 8 + [1] * 2 + [2] * 2)
    weights = list(learner.weights)
    gradients = torch.autograd.grad(learner.loss(weights, Z, y), weights)
    with torch.no_grad():
        stepped = [w - 0.1 * g for w, g in zip(weights, gradients, strict=True)]
        rise = learner.score(stepped, Z) - learner.score(weights, Z)
        assert rise[y != 0].mean() > rise[y == 0].mean()
        assert learner.loss(stepped, Z, y) < learner.loss(weights, Z, y)


def test_the_slope_belongs_to_the_loss_and_not_to_the_score():
    learner, Z, y = trained("classifier"), rows(6), torch.tensor([0, 0, 0, 1, 1, 1])
    with torch.no_grad():
        score = learner.score(learner.weights, Z)
        learner.log_slope += 1.0
        assert torch.equal(learner.score(learner.weights, Z), score)
        steep = F.softplus(learner.log_slope.exp() * score[y == 0]).mean()
        steep += F.softplus(-learner.log_slope.exp() * score[y == 1]).mean()
        torch.testing.assert_close(learner.loss(learner.weights, Z, y), steep)
