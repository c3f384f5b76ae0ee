"""Closed-form beliefs agree with plain numpy, and with themselves however they are asked."""

import numpy as np
import pytest
import torch
from sklearn.covariance import OAS

from sklearn_fsad._detectors.neural_process.closed_forms import (
    LEAST_SCALE,
    KernelAnchor,
    LinearAnchor,
    Rows,
)

ANCHORS = {"linear": LinearAnchor, "kernel": KernelAnchor}
both_anchors = pytest.mark.parametrize("name", sorted(ANCHORS))
MASKS = torch.tensor(
    [[1, 0, 0, 0], [0, 0, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=torch.float64
)


def some_rows(n, d=4, missing=0.0, seed=0):
    """Correlated rows, some of their entries missing."""
    rng = np.random.default_rng([seed, n, d])
    mixing = np.random.default_rng(d).normal(size=(d, d))
    values = rng.normal(size=(n, d)) @ mixing + np.arange(d)
    visible = (rng.random((n, d)) >= missing).astype(np.float64)
    return Rows(torch.from_numpy(values * visible), torch.from_numpy(visible))


def whole(values):
    return Rows(values, torch.ones_like(values))


def all_counted(rows):
    return torch.ones(rows.values.shape[:-1], dtype=torch.bool)


def believe(name, context, query, hidden, counted=None, leave_out=False):
    anchor = ANCHORS[name]()
    counted = all_counted(context) if counted is None else counted
    return anchor.predict(anchor.summarise(context, counted, hidden), query, hidden, leave_out)


def assert_same(one, other, atol=1e-10):
    torch.testing.assert_close(one.mean, other.mean, rtol=1e-9, atol=atol)
    torch.testing.assert_close(one.scale, other.scale, rtol=1e-9, atol=atol)


def conditional(mean, covariance, x, seen):
    """Mean and standard deviation of the unseen entries of a Gaussian given the seen ones."""
    gain = covariance[np.ix_(~seen, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    rest = covariance[np.ix_(~seen, ~seen)] - gain @ covariance[np.ix_(seen, ~seen)]
    return mean[~seen] + gain @ (x - mean)[seen], np.sqrt(np.diag(rest))


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
    padded = Rows(*(torch.cat([part, torch.zeros(4, d)]) for part in context))
    odd = Rows(*(torch.cat([part, torch.full((4, d), fill)]) for part, fill in
                 zip(context, (50.0, 1.0), strict=True)))  # fmt: skip
    counted = torch.arange(n + 4) < n
    expected = believe(name, context, query, hidden)
    for longer in (padded, odd):
        assert_same(believe(name, longer, query, hidden, counted), expected)


@both_anchors
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_order_of_the_context_does_not_matter(name, missing):
    context, query = some_rows(15, missing=missing), some_rows(5, missing=missing, seed=1)
    turned = Rows(*(part.flip(0) for part in context))
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
    context, query = (Rows(*map(torch.stack, zip(*rows, strict=True))) for rows in
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
        alone = believe(name, context, Rows(*(part[i : i + 1] for part in query)), MASKS)
        assert_same(alone, type(together)(*(part[:, i : i + 1] for part in together)))


@both_anchors
def test_a_whole_row_is_judged_alike_to_the_last_bit_beside_rows_with_missing_entries(name):
    context, query = some_rows(20), some_rows(6, seed=1)
    visible = query.visible.clone()
    visible[2:, 1] = visible[4, :3] = visible[5] = 0.0
    beside = believe(name, context, Rows(query.values * visible, visible), MASKS)
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
    context, query = (Rows(*(part.float() for part in rows)) for rows in
                      (some_rows(9), some_rows(5, seed=1)))  # fmt: skip
    belief = believe(name, context, query, MASKS.float())
    assert belief.mean.dtype == belief.scale.dtype == torch.float64
    exact = [Rows(*(part.double() for part in rows)) for rows in (context, query)]
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
    context = Rows(context.values * visible, visible)
    belief = believe("linear", context, query, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(belief.mean[2, :, 2], torch.zeros(3, dtype=torch.float64))
    without = whole(query.values + 5.0 * torch.eye(4, dtype=torch.float64)[2])
    other = believe("linear", context, without, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(other.mean[0, :, 0], belief.mean[0, :, 0])


# --- kernel ---------------------------------------------------------------------------------------
FAR = 1e9


def distance_by_hand(a, b, hidden):
    """Squared distance in what both show, scaled up to all that the first shows."""
    (x, x_visible), (z, z_visible) = a, b
    mine = (x_visible == 1) & ~hidden
    common = mine & (z_visible == 1)
    if mine.any() and not common.any():
        return FAR
    return np.square((x - z)[common]).sum() * mine.sum() / max(common.sum(), 1)


def nadaraya_watson(context, query, hidden):
    """Mean and scale of every feature, row by row."""
    rows, queries = (list(zip(*(part.numpy() for part in r), strict=True)) for r in
                     (context, query))  # fmt: skip
    nearest = [
        min(distance_by_hand(a, b, hidden) for j, b in enumerate(rows) if j != i)
        for i, a in enumerate(rows[:64])
    ]
    width = np.percentile(nearest, 50, method="lower") + 1e-3
    means, scales = [], []
    for a in queries:
        distance = np.array([distance_by_hand(a, b, hidden) for b in rows])
        weight = np.exp(-0.5 * (distance - distance.min()) / width)
        share = (weight / weight.sum())[:, None] * context.visible.numpy()
        unseen = share.sum(axis=0) < 1e-6
        by_distance = (width / (width + distance))[:, None] * context.visible.numpy()
        share = np.where(unseen, by_distance, share)
        share /= share.sum(axis=0)
        mean = (share * context.values.numpy()).sum(axis=0)
        local = (share * (context.values.numpy() - mean) ** 2).sum(axis=0)
        n_seen = max(((a[1] == 1) & ~hidden).sum(), 1)
        apart = max(distance.min(), width) / n_seen
        means.append(mean)
        scales.append(np.sqrt(local + apart + (2 * LEAST_SCALE) ** 2))
    return np.array(means), np.array(scales)


@pytest.mark.parametrize(
    ("n", "missing"),
    [(2, 0.0), (9, 0.0), (30, 0.0), (9, 0.2), (15, 0.6), (60, 0.1), (100, 0.0)],
)
def test_kernel_is_the_regression_of_nadaraya_and_watson(n, missing):
    d = 6
    context, query = some_rows(n, d, missing), some_rows(7, d, missing, seed=1)
    hidden = np.zeros((3, d), dtype=bool)
    hidden[0, 0] = hidden[1, 1:3] = hidden[2, 3:5] = True
    belief = believe("kernel", context, query, torch.from_numpy(hidden.astype(np.float64)))
    for k, mask in enumerate(hidden):
        mean, scale = nadaraya_watson(context, query, mask)
        np.testing.assert_allclose(belief.mean[k], mean, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(belief.scale[k], scale, rtol=1e-7)


def test_kernel_follows_a_curve_that_no_line_fits():
    x = torch.linspace(-3.0, 3.0, 61, dtype=torch.float64)
    context = whole(torch.stack([x.square(), x], -1))
    query = whole(torch.tensor([[0.0, 0.05], [0.0, 1.95]], dtype=torch.float64))
    belief = believe("kernel", context, query, torch.tensor([[1.0, 0.0]]).double())
    expected = torch.tensor([0.0025, 3.8025], dtype=torch.float64)
    torch.testing.assert_close(belief.mean[0, :, 0], expected, rtol=0.0, atol=0.1)


def test_kernel_is_less_sure_the_farther_a_row_is_from_all_others():
    context = some_rows(20)
    far = context.values[:1] + torch.tensor([[0.0], [3.0], [10.0], [100.0]]).double()
    scale = believe("kernel", context, whole(far), MASKS[:1]).scale[0, :, 0]
    assert (scale.diff() > 0).all()
    assert scale[-1] > 50.0


def test_kernel_judges_a_row_of_the_context_by_the_others():
    context, anchor = some_rows(9), KernelAnchor()
    summary = anchor.summarise(context, all_counted(context), MASKS)
    left_out = anchor.predict(summary, context, MASKS, leave_out=True)
    for i in range(9):
        others = summary | {"counted": torch.arange(9) != i}
        row = Rows(*(part[i : i + 1] for part in context))
        expected = anchor.predict(others, row, MASKS)
        assert_same(type(expected)(*(p[:, i : i + 1] for p in left_out)), expected)
    kept = anchor.predict(summary, context, MASKS)
    assert (kept.mean - left_out.mean).abs().max() > 0.1


def test_kernel_leaves_out_one_copy_of_a_duplicate_alone():
    rows = some_rows(9)
    twice = Rows(*(torch.cat([part[3:4], part]) for part in rows))
    anchor = KernelAnchor()
    summary = anchor.summarise(twice, all_counted(twice), MASKS)
    row = Rows(*(part[3:4] for part in rows))
    found = anchor.predict(summary, row, MASKS, leave_out=True)
    once = summary | {"counted": torch.arange(10) != 4}
    assert_same(found, anchor.predict(once, row, MASKS))


def test_kernel_leaves_out_nothing_for_a_row_that_is_not_in_the_context():
    context, query = some_rows(9), some_rows(5, seed=1)
    one, other = (believe("kernel", context, query, MASKS, leave_out=out) for out in (0, 1))
    assert torch.equal(one.mean, other.mean)
    assert torch.equal(one.scale, other.scale)


def test_kernel_does_not_take_a_row_for_its_like_in_the_visible_features():
    context = some_rows(9)
    hidden = torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    row = Rows(*(part[2:3] for part in context))
    moved = row._replace(values=row.values + 5.0 * hidden)
    kept = believe("kernel", context, moved, hidden, leave_out=True)
    assert_same(kept, believe("kernel", context, row, hidden))


def missing_some(values, *entries):
    """Rows of which the entries (row, column) are missing."""
    values = torch.tensor(values, dtype=torch.float64)
    visible = torch.ones_like(values)
    for entry in entries:
        visible[entry] = 0.0
    return Rows(values * visible, visible)


HIDES_LAST = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


def test_kernel_does_not_listen_to_rows_without_a_common_visible_feature():
    strangers = [[0.5, 0.0, 100.0]] * 3
    context = missing_some([*strangers, [0.0, 0.1, 1.0], [0.0, 0.6, 2.0], [0.0, 1.2, 3.0]],
                           *[(i, 1) for i in range(3)], *[(i, 0) for i in range(3, 6)])  # fmt: skip
    query = missing_some([[0.0, 0.6, 0.0]], (0, 0))
    belief = believe("kernel", context, query, HIDES_LAST)
    assert belief.mean[0, 2] == pytest.approx(2.0, abs=0.2)
    assert belief.scale[0, 2] < 1.5


def test_kernel_is_unsure_of_a_row_that_shares_no_feature_with_any_other():
    context = missing_some([[0.5, 0.0, 1.0], [0.7, 0.0, 2.0], [0.1, 0.0, 3.0]],
                           *[(i, 1) for i in range(3)])  # fmt: skip
    query = missing_some([[0.0, 0.6, 0.0], [0.5, 0.6, 0.0]], (0, 0))
    alone, beside = believe("kernel", context, query, HIDES_LAST).scale[:, 2]
    assert alone > 1e4
    assert beside < 5.0


def test_kernel_takes_a_feature_that_no_near_row_shows_from_far_ones_by_their_distance():
    near = [[0.0, 0.0, 0.0], [0.0, 0.1, 0.0], [0.1, 0.0, 0.0], [0.1, 0.1, 0.0]]
    context = missing_some([*near, [0.0, 30.0, 1.0], [0.0, -60.0, 2.0]],
                           *[(i, 2) for i in range(4)])  # fmt: skip
    query = missing_some([[0.0, 0.0, 0.0]])
    belief = believe("kernel", context, query, HIDES_LAST)
    width = 0.1**2 + 1e-3
    weight = width / (width + np.array([30.0**2, 60.0**2]))
    expected = weight @ [1.0, 2.0] / weight.sum()
    assert belief.mean[0, 2].item() == pytest.approx(expected, rel=1e-6)
    assert belief.mean[0, 2] == pytest.approx(1.2, abs=1e-3)


def test_a_row_that_shows_other_features_is_no_twin():
    values = [[1.0, 2.0, 5.0], [3.0, 0.0, 0.0], [4.0, 1.0, 1.0], [2.0, 4.0, 2.0]]
    context = missing_some(values, (0, 1))
    anchor = KernelAnchor()
    summary = anchor.summarise(context, all_counted(context), HIDES_LAST)
    more, same = missing_some(values[:1]), missing_some(values[:1], (0, 1))
    for row, is_twin in ((more, False), (same, True)):
        kept, left_out = (anchor.predict(summary, row, HIDES_LAST, leave_out=out) for out in (0, 1))
        assert torch.equal(kept.mean, left_out.mean) != is_twin


@both_anchors
@pytest.mark.parametrize("missing", [0.2, 0.5])
def test_padded_contexts_of_a_batch_with_missing_entries_equal_short_ones(name, missing):
    lengths = (4, 9, 6)
    contexts = [some_rows(9, missing=missing, seed=i) for i in range(3)]
    queries = [some_rows(5, missing=missing, seed=10 + i) for i in range(3)]
    context, query = (Rows(*map(torch.stack, zip(*rows, strict=True))) for rows in
                      (contexts, queries))  # fmt: skip
    counted = torch.arange(9) < torch.tensor(lengths)[:, None]
    together = believe(name, context, query, MASKS[:3], counted)
    for i, n in enumerate(lengths):
        short = Rows(*(part[:n] for part in contexts[i]))
        alone = believe(name, short, queries[i], MASKS[i])
        assert_same(alone, type(together)(*(part[i] for part in together)))


def test_kernel_width_is_that_of_the_rows_that_count():
    anchor, context = KernelAnchor(), some_rows(12)
    counted = torch.arange(12) < 7
    some = anchor.summarise(context, counted, MASKS)["width"]
    few = Rows(*(part[:7] for part in context))
    torch.testing.assert_close(some, anchor.summarise(few, all_counted(few), MASKS)["width"])
    assert some.shape == (len(MASKS), 1, 1)


def test_a_linear_summary_of_a_wide_context_is_no_square_matrix():
    context = some_rows(5, 300)
    summary = LinearAnchor().summarise(context, all_counted(context), torch.ones(1, 300).double())
    assert max(part.numel() for part in summary.values()) == 5 * 300
