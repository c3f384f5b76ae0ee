"""The closed form of neighbours: whom it listens to, and how sure it is."""

import numpy as np
import pytest
import torch
from made_contexts import MASKS, all_counted, assert_same, believe, both_anchors, some_rows, whole

from sklearn_fsad._detectors.neural_process.closed_forms import (
    LEAST_SCALE,
    KernelAnchor,
    MaskedRows,
)
from sklearn_fsad._detectors.neural_process.masks import scoring_plan

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
        row = MaskedRows(*(part[i : i + 1] for part in context))
        expected = anchor.predict(others, row, MASKS)
        assert_same(type(expected)(*(p[:, i : i + 1] for p in left_out)), expected)
    kept = anchor.predict(summary, context, MASKS)
    assert (kept.mean - left_out.mean).abs().max() > 0.1


def test_kernel_leaves_out_one_copy_of_a_duplicate_alone():
    rows = some_rows(9)
    twice = MaskedRows(*(torch.cat([part[3:4], part]) for part in rows))
    anchor = KernelAnchor()
    summary = anchor.summarise(twice, all_counted(twice), MASKS)
    row = MaskedRows(*(part[3:4] for part in rows))
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
    row = MaskedRows(*(part[2:3] for part in context))
    moved = row._replace(values=row.values + 5.0 * hidden)
    kept = believe("kernel", context, moved, hidden, leave_out=True)
    assert_same(kept, believe("kernel", context, row, hidden))


def missing_some(values, *entries):
    """Rows of which the entries (row, column) are missing."""
    values = torch.tensor(values, dtype=torch.float64)
    visible = torch.ones_like(values)
    for entry in entries:
        visible[entry] = 0.0
    return MaskedRows(values * visible, visible)


HIDES_LAST = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


def test_kernel_does_not_listen_to_rows_without_a_common_visible_feature():
    unlike = [[0.5, 0.0, 100.0]] * 3
    context = missing_some([*unlike, [0.0, 0.1, 1.0], [0.0, 0.6, 2.0], [0.0, 1.2, 3.0]],
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
    context, query = (MaskedRows(*map(torch.stack, zip(*rows, strict=True))) for rows in
                      (contexts, queries))  # fmt: skip
    counted = torch.arange(9) < torch.tensor(lengths)[:, None]
    together = believe(name, context, query, MASKS[:3], counted)
    for i, n in enumerate(lengths):
        short = MaskedRows(*(part[:n] for part in contexts[i]))
        alone = believe(name, short, queries[i], MASKS[i])
        assert_same(alone, type(together)(*(part[i] for part in together)))


def test_kernel_width_is_that_of_the_rows_that_count():
    anchor, context = KernelAnchor(), some_rows(12)
    counted = torch.arange(12) < 7
    some = anchor.summarise(context, counted, MASKS)["width"]
    few = MaskedRows(*(part[:7] for part in context))
    torch.testing.assert_close(some, anchor.summarise(few, all_counted(few), MASKS)["width"])
    assert some.shape == (len(MASKS), 1, 1)


# --- compiled loops -------------------------------------------------------------------------------
@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 4), (30, 6), (700, 20)])
def test_compiled_loops_say_of_hidden_features_what_torch_says(n, d):
    context, query = some_rows(n, d), some_rows(9, d, seed=1)
    copies = MaskedRows(*(part[: min(n, 2)].repeat(2, 1) for part in context))
    query = MaskedRows(*(torch.cat(parts) for parts in zip(query, copies, strict=True)))
    hidden = torch.from_numpy(scoring_plan(d, "auto", None, 0).hidden)
    summary = KernelAnchor().summarise(context, all_counted(context), hidden)
    expected = KernelAnchor().predict(summary, query, hidden, leave_out=True)
    found = KernelAnchor().predict_hidden(summary, query, hidden)
    asked = hidden.bool().unsqueeze(1).expand_as(found.mean)
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own[asked], other[asked], rtol=1e-8, atol=1e-8)
    assert (found.mean[~asked] == 0).all()


def test_a_whole_row_is_predicted_alike_beside_rows_with_gaps():
    context, query = some_rows(20, 4), some_rows(6, 4, seed=1)
    gaps = some_rows(6, 4, 0.5, seed=2)
    summary = KernelAnchor().summarise(context, all_counted(context), MASKS)
    both = MaskedRows(*(torch.cat(parts) for parts in zip(gaps, query, strict=True)))
    alone = KernelAnchor().predict_hidden(summary, query, MASKS)
    beside = KernelAnchor().predict_hidden(summary, both, MASKS)
    asked = MASKS.bool().unsqueeze(1).expand_as(alone.mean)
    for one, other in zip(alone, beside, strict=True):
        assert torch.equal(one[asked], other[:, 6:][asked])
    expected = KernelAnchor().predict(summary, both, MASKS, leave_out=True)
    has_gap = (gaps.visible == 0).any(-1)
    assert torch.equal(beside.mean[:, :6][:, has_gap], expected.mean[:, :6][:, has_gap])
