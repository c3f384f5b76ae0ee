"""Closed-form beliefs agree with plain numpy, and with themselves however they are asked."""

import numpy as np
import pytest
import torch
from made_contexts import (
    ANCHORS,
    MASKS,
    all_counted,
    assert_same,
    believe,
    both_anchors,
    conditional,
    some_rows,
    whole,
)
from sklearn.covariance import OAS

from sklearn_fsad._detectors.neural_process.closed_forms import (
    LEAST_SCALE,
    LinearAnchor,
    MaskedRows,
)


# --- both -----------------------------------------------------------------------------------------
@both_anchors
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_what_a_query_hides_has_no_influence_on_the_belief(name, missing):
    context, query = some_rows(15, missing=missing), some_rows(6, missing=missing, seed=1)
    hidden = MASKS[1:2]
    other = query._replace(values=query.values + 1e3 * hidden * query.visible)
    one, two = (believe(name, context, rows, hidden) for rows in (query, other))
    assert_same(one, two)
    told = query._replace(values=query.values + 1.0 * query.visible)
    assert not torch.allclose(believe(name, context, told, hidden).mean, one.mean)


@both_anchors
@pytest.mark.parametrize(("n", "d", "missing"), [(12, 4, 0.0), (12, 4, 0.3), (3, 8, 0.0)])
def test_rows_that_do_not_count_change_nothing(name, n, d, missing):
    context, query = some_rows(n, d, missing), some_rows(5, d, missing, seed=1)
    hidden = torch.eye(d, dtype=torch.float64)[:2]
    padded = MaskedRows(*(torch.cat([part, torch.zeros(4, d)]) for part in context))
    odd = MaskedRows(*(torch.cat([part, torch.full((4, d), fill)]) for part, fill in
                 zip(context, (50.0, 1.0), strict=True)))  # fmt: skip
    counted = torch.arange(n + 4) < n
    expected = believe(name, context, query, hidden)
    for longer in (padded, odd):
        assert_same(believe(name, longer, query, hidden, counted), expected)


@both_anchors
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_order_of_the_context_does_not_matter(name, missing):
    context, query = some_rows(15, missing=missing), some_rows(5, missing=missing, seed=1)
    turned = MaskedRows(*(part.flip(0) for part in context))
    assert_same(believe(name, turned, query, MASKS), believe(name, context, query, MASKS))


@both_anchors
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_many_masks_at_once_equal_one_by_one(name, missing):
    context, query = some_rows(15, missing=missing), some_rows(5, missing=missing, seed=1)
    together = believe(name, context, query, MASKS)
    assert together.mean.shape == together.scale.shape == (len(MASKS), 5, 4)
    for i in range(len(MASKS)):
        alone = believe(name, context, query, MASKS[i : i + 1])
        assert_same(alone, type(together)(*(part[i : i + 1] for part in together)))


@both_anchors
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_batch_of_contexts_equals_one_by_one(name, missing):
    contexts = [some_rows(9, missing=missing, seed=i) for i in range(3)]
    queries = [some_rows(5, missing=missing, seed=10 + i) for i in range(3)]
    hidden = MASKS[:3]
    context, query = (MaskedRows(*map(torch.stack, zip(*rows, strict=True))) for rows in
                      (contexts, queries))  # fmt: skip
    together = believe(name, context, query, hidden)
    for i in range(3):
        alone = believe(name, contexts[i], queries[i], hidden[i : i + 1])
        assert_same(alone, type(together)(*(part[i : i + 1] for part in together)))


@both_anchors
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_no_leading_dimension_is_needed(name, missing):
    context, query = some_rows(9, missing=missing), some_rows(5, missing=missing, seed=1)
    together = believe(name, context, query, MASKS[:1])
    alone = believe(name, context, query, MASKS[0])
    assert_same(alone, type(together)(*(part[0] for part in together)))


@both_anchors
def test_the_rows_of_a_call_are_judged_apart(name):
    context, query = some_rows(9, missing=0.2), some_rows(6, missing=0.3, seed=1)
    together = believe(name, context, query, MASKS)
    for i in range(6):
        alone = believe(name, context, MaskedRows(*(part[i : i + 1] for part in query)), MASKS)
        assert_same(alone, type(together)(*(part[:, i : i + 1] for part in together)))


@both_anchors
def test_a_whole_row_is_judged_alike_to_the_last_bit_beside_rows_with_missing_entries(name):
    context, query = some_rows(20), some_rows(6, seed=1)
    visible = query.visible.clone()
    visible[2:, 1] = visible[4, :3] = visible[5] = 0.0
    beside = believe(name, context, MaskedRows(query.values * visible, visible), MASKS)
    among = believe(name, context, query, MASKS)
    for one, other in zip(beside, among, strict=True):
        assert torch.equal(one[:, :2], other[:, :2])
        assert not torch.equal(one[:, 2:], other[:, 2:])


@both_anchors
@pytest.mark.parametrize("n", [1, 2, 10])
def test_degenerate_contexts_give_finite_beliefs_of_some_width(name, n):
    query = some_rows(5, missing=0.3, seed=1)
    for values in (torch.zeros(n, 4), torch.full((n, 4), 7.0), some_rows(n).values * 1e6):
        belief = believe(name, whole(values.double()), query, MASKS, leave_out=True)
        assert torch.isfinite(belief.mean).all()
        assert torch.isfinite(belief.scale).all()
        assert (belief.scale >= LEAST_SCALE).all()


@both_anchors
def test_single_precision_rows_are_judged_in_double_precision(name):
    context, query = (MaskedRows(*(part.float() for part in rows)) for rows in
                      (some_rows(9), some_rows(5, seed=1)))  # fmt: skip
    belief = believe(name, context, query, MASKS.float())
    assert belief.mean.dtype == belief.scale.dtype == torch.float64
    exact = [MaskedRows(*(part.double() for part in rows)) for rows in (context, query)]
    assert_same(belief, believe(name, *exact, MASKS), atol=0.0)


@both_anchors
def test_what_is_kept_of_each_mask_is_named(name):
    anchor, context, query = ANCHORS[name](), some_rows(9), some_rows(5, seed=1)
    summary = anchor.summarise(context, all_counted(context), MASKS)
    part = summary | {key: summary[key][1:3] for key in anchor.per_mask}
    expected = anchor.predict(summary, query, MASKS)
    found = anchor.predict(part, query, MASKS[1:3])
    assert_same(found, type(expected)(*(p[1:3] for p in expected)))


# --- linear ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(("n", "d"), [(40, 4), (5, 4), (4, 4), (3, 4), (6, 12), (2, 9)])
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_linear_is_the_conditional_of_the_shrunk_gaussian(n, d, missing):
    context, query = some_rows(n, d), some_rows(7, d, missing, seed=1)
    rng = np.random.default_rng(0)
    hidden = np.array([rng.permutation(d) < k for k in (1, d // 2, d - 1, d)])
    oas = OAS().fit(context.values.numpy())
    covariance = oas.covariance_ + 1e-6 * np.eye(d)
    belief = believe("linear", context, query, torch.from_numpy(hidden.astype(np.float64)))
    for k, mask in enumerate(hidden):
        for i, (x, visible) in enumerate(zip(*(part.numpy() for part in query), strict=True)):
            seen = (visible == 1) & ~mask
            mean, spread = conditional(oas.location_, covariance, x, seen)
            np.testing.assert_allclose(belief.mean[k, i, ~seen], mean, rtol=1e-6, atol=1e-8)
            expected = np.maximum(spread, LEAST_SCALE)
            np.testing.assert_allclose(belief.scale[k, i, ~seen], expected, rtol=1e-6)


def test_linear_scale_has_a_floor():
    line = torch.linspace(-0.1, 0.1, 400, dtype=torch.float64)[:, None] * torch.ones(2)
    belief = believe("linear", whole(line), whole(line[:3]), torch.tensor([[1.0, 0.0]]).double())
    np.testing.assert_allclose(belief.scale[..., 0], LEAST_SCALE)
    torch.testing.assert_close(belief.mean[0, :, 0], line[:3, 1], rtol=0.0, atol=0.01)


def test_linear_leaves_out_the_pairs_that_missing_entries_of_the_context_belong_to():
    context, query = some_rows(200, 3, missing=0.2), some_rows(4, 3, seed=1)
    X = np.where(context.visible.numpy() == 1, context.values.numpy(), np.nan)
    centred = X - np.nanmean(X, axis=0)
    S = np.nanmean(centred[:, :, None] * centred[:, None, :], axis=0)
    level, mean_square = np.trace(S) / 3, np.square(S).mean()
    intensity = (mean_square + level**2) / (201 * (mean_square - level**2 / 3))
    covariance = (1 - intensity) * S + (intensity * level + 1e-6) * np.eye(3)
    belief = believe("linear", context, query, torch.eye(3, dtype=torch.float64))
    for k in range(3):
        for i in range(4):
            x, seen = query.values[i].numpy(), np.arange(3) != k
            mean, spread = conditional(np.nanmean(X, axis=0), covariance, x, seen)
            np.testing.assert_allclose(belief.mean[k, i, k], mean[0])
            np.testing.assert_allclose(belief.scale[k, i, k], spread[0])


def test_linear_ignores_whether_a_row_is_in_the_context():
    context = some_rows(9)
    for leave_out in (False, True):
        belief = believe("linear", context, context, MASKS, leave_out=leave_out)
        assert_same(belief, believe("linear", context, context, MASKS))


def test_linear_learns_a_column_that_is_missing_everywhere_to_be_unknown():
    context, query = some_rows(30), some_rows(3, seed=1)
    visible = context.visible.clone()
    visible[:, 2] = 0.0
    context = MaskedRows(context.values * visible, visible)
    belief = believe("linear", context, query, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(belief.mean[2, :, 2], torch.zeros(3, dtype=torch.float64))
    without = whole(query.values + 5.0 * torch.eye(4, dtype=torch.float64)[2])
    other = believe("linear", context, without, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(other.mean[0, :, 0], belief.mean[0, :, 0])


def test_a_linear_summary_of_a_wide_context_is_no_square_matrix():
    context = some_rows(5, 300)
    summary = LinearAnchor().summarise(context, all_counted(context), torch.ones(1, 300).double())
    assert max(part.numel() for part in summary.values()) == 5 * 300
