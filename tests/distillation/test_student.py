"""A student scores rows as numpy does in float64, whatever the sizes of its parts."""

import itertools

import numpy as np
import pytest

from sklearn_fsad.distillation._compiled import BEND, NEAREST
from sklearn_fsad.distillation._rows import KnownRows
from sklearn_fsad.distillation._student import CLOSEST, Network, Student, bent
from sklearn_fsad.distillation._training import inputs_for


def student(d, n, k, hidden, rng):
    """Make a student of n normal rows and k anomalies with a random network."""
    known = KnownRows(rng.normal(size=(n, d)), rng.normal(2.0, 1.0, (k, d)))
    inputs = inputs_for(known, 0)
    widths = [len(inputs.of(known.normals)[0]), *hidden, 1]
    layers = [
        (rng.normal(size=(b, a)) / np.sqrt(a), rng.normal(size=b))
        for a, b in itertools.pairwise(widths)
    ]
    scale = np.stack([rng.normal(size=widths[0]), rng.uniform(0.5, 2.0, widths[0])])
    knots = np.sort(rng.normal(scale=3.0, size=(2, 9)), axis=1)
    return known, Student(inputs, Network.of(scale, layers), knots, highest=1.0)


def plain_inputs(known, rows, directions):
    rows_of = [known.normals, known.anomalies]
    Z, *others = [bent((part - known.centre) / known.spread) for part in (rows, *rows_of)]
    squares = [(Z**2).mean(axis=1)[:, None]]
    for part, most in zip(others, NEAREST, strict=True):
        squares.append(np.sort(((Z[:, None] - part) ** 2).mean(axis=2), axis=1)[:, :most])
    shown = Z
    if directions.size:
        shown = -2.0 / Z.shape[1] * Z @ np.concatenate(others).T @ directions.T
    return np.concatenate([shown, np.log(np.concatenate(squares, axis=1) + CLOSEST)], axis=1)


def plain_scores(copy, Z, rows):
    values, layers = (Z - copy.network.scale[0]) * copy.network.scale[1], copy.network.layers
    for weights, bias in layers[:-1]:
        values = np.maximum(values @ weights.T + bias, 0.0)
    scores = np.interp((values @ layers[-1][0].T + layers[-1][1])[:, 0], *copy.knots)
    low, high = copy.inputs.columns[2:]
    far = ((rows < low) | (rows > high)).any(axis=1)
    return np.where(far, np.maximum(scores, copy.highest), scores)


@pytest.mark.parametrize(
    ("d", "n", "k", "hidden"),
    [
        (1, 3, 0, (5,)),
        (7, 20, 1, (32, 32)),
        (40, 50, 5, (17, 3)),
        (130, 30, 4, ()),
        (300, 9, 0, (64,)),
    ],
)
def test_scores_are_those_of_numpy(d, n, k, hidden):
    rng = np.random.default_rng(d)
    known, copy = student(d, n, k, hidden, rng)
    rows = np.concatenate([known.normals, rng.normal(size=(150, d)) * rng.uniform(0, 9, (150, 1))])
    Z = plain_inputs(known, rows, copy.inputs.directions)
    np.testing.assert_allclose(copy.inputs.of(rows), Z, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(copy.score(rows), plain_scores(copy, Z, rows), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("d", "n", "k", "hidden"), [(7, 20, 1, (32, 32)), (300, 9, 0, (17, 3))])
def test_a_score_depends_on_no_other_row_to_the_bit(d, n, k, hidden):
    rng = np.random.default_rng(d)
    rows = rng.normal(size=(70, d))
    _, copy = student(d, n, k, hidden, rng)
    scores, order = copy.score(rows), rng.permutation(70)
    assert np.array_equal(scores, np.concatenate([copy.score(row) for row in rows[:, None]]))
    assert np.array_equal(scores[order], copy.score(rows[order]))


def test_scores_of_the_largest_numbers_are_finite():
    _, copy = student(3, 5, 2, (8,), np.random.default_rng(0))
    rows = np.array([[1e308, 0.0, -1e308], [5e-324, -1e-310, 0.0]])
    assert np.isfinite(copy.score(rows)).all()
    assert np.abs(copy.inputs.of(rows)[:, :3]).max() <= BEND
