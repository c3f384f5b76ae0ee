"""Perceptrons of several tasks against torch's own operations, and their derivatives."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from sklearn_fsad._detectors.maml.perceptron import perceptron


def some_layers(n_tasks, widths=(3, 5, 4, 1), seed=0):
    """Rows of each task, and weights and biases of its layers."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape):
        found = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return found.requires_grad_()

    weights = []
    for n_in, n_out in itertools.pairwise(widths):
        weights += [drawn(n_tasks, n_in, n_out), drawn(n_tasks, 1, n_out)]
    return drawn(n_tasks, 6, widths[0]), weights


def by_hand(weights, X):
    """The same by operations of torch."""
    for i in range(0, len(weights), 2):
        X = X @ weights[i] + weights[i + 1]
        X = F.silu(X) if i < len(weights) - 2 else X
    return X


all_shapes = pytest.mark.parametrize("widths", [(3, 5, 4, 1), (3, 4, 2), (3, 1), (2, 3)], ids=str)
one_and_many = pytest.mark.parametrize("n_tasks", [1, 3])


@all_shapes
@one_and_many
def test_outputs_are_the_same_with_gradients_and_without(n_tasks, widths):
    X, weights = some_layers(n_tasks, widths)
    expected = by_hand(weights, X)
    torch.testing.assert_close(perceptron(weights, X), expected)
    with torch.no_grad():
        torch.testing.assert_close(perceptron(weights, X), expected)


@all_shapes
@one_and_many
def test_gradients_equal_those_of_autograd(n_tasks, widths):
    X, weights = some_layers(n_tasks, widths)
    outer = torch.randn(n_tasks, 6, widths[-1], dtype=torch.float64)
    found = torch.autograd.grad(perceptron(weights, X), [X, *weights], outer)
    expected = torch.autograd.grad(by_hand(weights, X), [X, *weights], outer)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_gradients_equal_finite_differences():
    X, weights = some_layers(2)
    assert torch.autograd.gradcheck(lambda X, *w: perceptron(w, X), (X, *weights))


def test_a_second_derivative_of_the_outputs_is_refused():
    X, weights = some_layers(2)
    (slope,) = torch.autograd.grad(perceptron(weights, X).square().sum(), X, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
