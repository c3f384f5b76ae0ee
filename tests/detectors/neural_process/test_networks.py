"""Encoders, aggregators and decoders: what they must not depend on, and their shapes."""

import pytest
import torch
from made_contexts import whole

from sklearn_fsad._detectors.neural_process.closed_forms import MaskedRows
from sklearn_fsad._detectors.neural_process.networks import (
    KINDS,
    AttentionAggregator,
    GridDecoder,
    GridEncoder,
    LatentAggregator,
    MeanAggregator,
    RowEncoder,
    make_network,
)

D, WIDTH, N_SAMPLES = 6, 8, 4
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(kind, n_features=D, n_out=3, **settings):
    torch.manual_seed(0)
    settings = {
        "width": WIDTH,
        "n_latent_samples": N_SAMPLES,
        "grid_shape": (n_features,),
    } | settings
    network = make_network(kind, n_features, n_out=n_out, **settings).double().eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(2.0)  # fresh weights hardly pass on what they are told
    return network


def some_rows(*shape, missing=0.2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=generator, dtype=torch.float64)
    visible = (torch.rand(*shape, generator=generator) >= missing).double()
    return MaskedRows(values * visible, visible)


def masks(*leading, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*leading, D, generator=generator) < 0.4).double()


def all_counted(rows):
    return torch.ones(rows.values.shape[:-1], dtype=torch.bool)


def run(network, context, query, hidden, counted=None):
    """What the decoder makes of queries, some features hidden from it."""
    counted = all_counted(context) if counted is None else counted
    aggregator = network.aggregator
    summary = aggregator.summarise(network.encoder(context), context, counted)
    shown = query.visible * (1.0 - hidden).unsqueeze(-2)
    seen = MaskedRows(query.values * shown, shown)
    read = aggregator.read(summary, network.encoder, seen, hidden)
    return network.decoder(seen, read).detach()


def cut(rows, part):
    return MaskedRows(*(p[part] for p in rows))


def assert_same(one, other):
    torch.testing.assert_close(one, other, rtol=0.0, atol=1e-10)


# --- every kind -----------------------------------------------------------------------------------
@every_kind
def test_the_order_of_the_context_does_not_matter(kind):
    network, context, query = make(kind), some_rows(7, D), some_rows(4, D, seed=1)
    turned = cut(context, torch.tensor([3, 1, 6, 0, 2, 5, 4]))
    hidden = masks()
    assert_same(run(network, turned, query, hidden), run(network, context, query, hidden))


@every_kind
def test_what_the_context_holds_matters(kind):
    network, query, hidden = make(kind), some_rows(4, D, seed=1), masks()
    one, other = (run(network, some_rows(7, D, seed=s), query, hidden) for s in (2, 3))
    assert (one - other).abs().max() > 1e-3


@every_kind
def test_rows_that_do_not_count_change_nothing(kind):
    network, context, query = make(kind), some_rows(7, D), some_rows(4, D, seed=1)
    expected = run(network, context, query, masks())
    counted = torch.arange(10) < 7
    for padding in (MaskedRows(*torch.zeros(2, 3, D)), some_rows(3, D, seed=9)):
        longer = MaskedRows(*(torch.cat(parts) for parts in zip(context, padding, strict=True)))
        assert_same(run(network, longer, query, masks(), counted), expected)


@every_kind
def test_queries_do_not_see_each_other(kind):
    network, context, query = make(kind), some_rows(7, D), some_rows(4, D, seed=1)
    together = run(network, context, query, masks())
    for i in range(4):
        alone = run(network, context, cut(query, slice(i, i + 1)), masks())
        assert_same(alone, together[..., i : i + 1, :, :])


@every_kind
def test_one_context_and_many_masks_equal_one_mask_at_a_time(kind):
    network, context, query = make(kind), some_rows(7, D), some_rows(4, D, seed=1)
    hidden = masks(5)
    together = run(network, context, query, hidden)
    leading = (N_SAMPLES, 5) if kind == "np" else (5,)
    assert together.shape == (*leading, 4, D, 3)
    for i in range(5):
        assert_same(run(network, context, query, hidden[i]), together[..., i, :, :, :])


@every_kind
def test_a_batch_of_contexts_equals_one_by_one(kind):
    network, context, query = make(kind), some_rows(3, 7, D), some_rows(3, 4, D, seed=1)
    hidden, counted = masks(3), torch.arange(7) < torch.tensor([[7], [5], [1]])
    together = run(network, context, query, hidden, counted)
    leading = (N_SAMPLES, 3) if kind == "np" else (3,)
    assert together.shape == (*leading, 4, D, 3)
    for i in range(3):
        alone = run(network, cut(context, i), cut(query, i), hidden[i], counted[i])
        assert_same(alone, together[..., i, :, :, :])


@every_kind
def test_a_missing_entry_is_told_from_a_zero(kind):
    network, context = make(kind), some_rows(7, D, missing=0.0)
    row = some_rows(1, D, missing=0.0, seed=1)
    values, visible = row.values.clone(), row.visible.clone()
    values[0, 2] = 0.0
    zero = run(network, context, MaskedRows(values, visible), torch.zeros(D).double())
    visible[0, 2] = 0.0
    missing = run(network, context, MaskedRows(values, visible), torch.zeros(D).double())
    assert (zero - missing).abs().max() > 1e-4


@every_kind
def test_zeros_in_the_last_layer_mean_zeros_out(kind):
    network = make(kind)
    torch.nn.init.zeros_(network.decoder.last.weight)
    torch.nn.init.zeros_(network.decoder.last.bias)
    out = run(network, some_rows(7, D), some_rows(4, D, seed=1), masks())
    assert (out == 0.0).all()


@every_kind
def test_every_weight_takes_part(kind):
    network = make(kind)
    context, query, hidden = some_rows(7, D), some_rows(4, D, seed=1), masks()
    aggregator = network.aggregator
    summary = aggregator.summarise(network.encoder(context), context, all_counted(context))
    read = aggregator.read(summary, network.encoder, query, hidden)
    network.decoder(query, read).square().sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_layers_and_heads_are_as_many_as_asked():
    network = make("tnp", n_layers=3, n_heads=2)
    assert len(network.aggregator.layers) == 3
    context = some_rows(7, D)
    tokens = network.encoder(context)
    summary = network.aggregator.summarise(tokens, context, all_counted(context))
    assert summary["keys2"].shape == summary["values0"].shape == (2, 7, WIDTH // 2)


# --- means ----------------------------------------------------------------------------------------
def test_the_mean_is_that_of_the_counted_tokens():
    tokens = torch.arange(12.0).reshape(4, 3)
    counted = torch.tensor([True, False, True, True])
    summary = MeanAggregator().summarise(tokens, some_rows(4, D), counted)
    torch.testing.assert_close(summary["mean"], tokens[counted].mean(0, keepdim=True))
    none = MeanAggregator().summarise(tokens, some_rows(4, D), torch.zeros(4, dtype=torch.bool))
    assert (none["mean"] == 0.0).all()


def test_the_tokens_of_rows_see_values_and_what_is_visible():
    torch.manual_seed(0)
    encoder, rows = RowEncoder(D, WIDTH).double(), some_rows(5, 4, D)
    expected = encoder.net(torch.cat([rows.values, rows.visible], -1))
    assert torch.equal(encoder(rows), expected)
    assert encoder(rows).shape == (5, 4, WIDTH)


# --- latent ---------------------------------------------------------------------------------------
def latent(n_samples=N_SAMPLES, seed=0):
    torch.manual_seed(0)
    return LatentAggregator(WIDTH, n_samples, seed).double().eval()


def summary_of(aggregator, *leading):
    context = some_rows(*leading, 7, D)
    torch.manual_seed(1)
    tokens = torch.randn(*leading, 7, WIDTH, dtype=torch.float64)
    return aggregator.summarise(tokens, context, all_counted(context))


@pytest.mark.parametrize("leading", [(), (3,)])
@pytest.mark.parametrize("training", [False, True])
def test_samples_lead_the_dimensions_of_what_is_read(leading, training):
    aggregator = latent().train(training)
    tokens = torch.zeros(*leading, 5, WIDTH, dtype=torch.float64)
    read = aggregator.read(summary_of(aggregator, *leading), None, whole(tokens), None)
    assert read.shape == (N_SAMPLES, *leading, 1, WIDTH)


def test_a_sample_is_one_function_of_all_queries():
    aggregator = latent()
    summary = summary_of(aggregator)
    reads = [
        aggregator.read(summary, None, whole(torch.zeros(*shape, WIDTH)), None).flatten(1)
        for shape in [(5,), (1,), (9, 5)]
    ]
    assert torch.equal(reads[0], reads[1])
    assert torch.equal(reads[0], reads[2])
    assert (reads[0][0] - reads[0][1]).abs().max() > 0.01


def test_samples_are_the_location_plus_noise_in_units_of_the_scale():
    aggregator = latent()
    summary = summary_of(aggregator)
    read = aggregator.read(summary, None, whole(torch.zeros(5, WIDTH)), None)
    noise = ((read - summary["location"]) / summary["scale"]).squeeze(1)
    torch.testing.assert_close(noise, aggregator.noise.double())
    assert ((summary["scale"] > 0.1) & (summary["scale"] < 1.0)).all()


def test_noise_comes_in_opposite_pairs_and_from_the_seed_alone():
    noise = latent(6).noise
    assert torch.equal(noise[:3], -noise[3:])
    torch.manual_seed(99)
    assert torch.equal(LatentAggregator(WIDTH, 6, 0).noise, noise)
    assert not torch.equal(latent(6, seed=1).noise, noise)
    assert latent(5).noise.shape == (5, WIDTH)


def test_weights_serve_any_number_of_samples():
    few, many = latent(2), latent(9)
    weights = few.state_dict()
    assert "noise" not in weights
    many.load_state_dict(weights)
    assert len(many.noise) == 9


def test_in_training_noise_is_drawn_anew_for_each_episode():
    aggregator = latent().train()
    summary = summary_of(aggregator, 2)
    summary = {name: part[:1].expand(2, -1, -1) for name, part in summary.items()}
    tokens = torch.zeros(2, 5, WIDTH, dtype=torch.float64)
    one, other = (aggregator.read(summary, None, whole(tokens), None) for _ in range(2))
    assert not torch.equal(one, other)
    assert not torch.equal(one[:, 0], one[:, 1])


# --- attention ------------------------------------------------------------------------------------
def attend(aggregator, tokens, context, query, hidden, counted=None):
    counted = all_counted(context) if counted is None else counted
    return aggregator.read(aggregator.summarise(tokens, context, counted), None, query, hidden)


def test_keys_show_of_the_context_only_what_the_query_shows():
    torch.manual_seed(0)
    aggregator = AttentionAggregator(D, WIDTH, 2).double()
    context, query = some_rows(7, D), some_rows(4, D, seed=1)
    tokens = torch.randn(7, WIDTH, dtype=torch.float64)
    hidden = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    shown = (1.0 - hidden) * query.visible
    seen = MaskedRows(query.values * shown, shown)
    expected = attend(aggregator, tokens, context, seen, hidden)
    moved = MaskedRows(context.values + 9.0 * hidden, torch.maximum(context.visible, hidden))
    assert_same(attend(aggregator, tokens, moved, seen, hidden), expected)
    moved = MaskedRows(context.values + 9.0 * (1.0 - hidden), context.visible)
    assert (attend(aggregator, tokens, moved, seen, hidden) - expected).abs().max() > 1e-3


def test_attention_to_one_row_reads_that_row():
    torch.manual_seed(0)
    aggregator = AttentionAggregator(D, WIDTH, 2).double()
    context, query = some_rows(5, D), some_rows(4, D, seed=1)
    tokens = torch.randn(5, WIDTH, dtype=torch.float64)
    read = attend(aggregator, tokens, context, query, masks(), torch.arange(5) == 2)
    attention = aggregator.attention
    expected = attention.mix(attention.to_value(tokens[2:3]))
    assert_same(read, expected.expand(4, -1))


def test_attention_is_the_softmax_of_products_head_by_head():
    torch.manual_seed(0)
    aggregator = AttentionAggregator(D, WIDTH, 2).double()
    context, query, hidden = some_rows(5, D), some_rows(3, D, seed=1), torch.zeros(D).double()
    tokens = torch.randn(5, WIDTH, dtype=torch.float64)
    attention = aggregator.attention
    keys, asked = (aggregator.key(torch.cat(rows, -1)) for rows in (context, query))
    keys, asked, values = (
        attention.to_key(keys),
        attention.to_query(asked),
        attention.to_value(tokens),
    )
    heads = [
        torch.softmax(asked[:, h] @ keys[:, h].T / 2.0, -1) @ values[:, h]  # 2: root of 4 a head
        for h in (slice(0, 4), slice(4, 8))
    ]
    expected = attention.mix(torch.cat(heads, -1))
    assert_same(attend(aggregator, tokens, context, query, hidden), expected)


# --- grids ----------------------------------------------------------------------------------------
def test_convolution_follows_a_shift_away_from_the_borders():
    d, by, reach = 48, 3, 12  # six cells each for the encoder and the decoder
    network = make("convcnp", d)
    context, query = some_rows(5, d), some_rows(2, d, seed=1)
    hidden = torch.zeros(d, dtype=torch.float64)
    hidden[20:24] = 1.0
    out = run(network, context, query, hidden)
    shifted = [MaskedRows(*(part.roll(by, -1) for part in rows)) for rows in (context, query)]
    moved = run(network, *shifted, hidden.roll(by)).roll(-by, -2)
    inner = slice(reach + by, d - reach - by)
    assert_same(moved[:, inner], out[:, inner])
    assert (moved - out).abs().max() > 1e-6


def test_an_image_is_convolved_along_both_of_its_sides():
    torch.manual_seed(0)
    shape = (18, 17)
    encoder = GridEncoder(shape, WIDTH).double()
    rows = some_rows(2, 18 * 17)
    grids = [part.unflatten(-1, shape) for part in rows]
    shifted = MaskedRows(*(grid.roll((2, 1), (-2, -1)).flatten(-2) for grid in grids))
    one, other = (encoder(r).unflatten(-1, (WIDTH, *shape)) for r in (rows, shifted))
    other = other.roll((-2, -1), (-2, -1))
    assert_same(other[..., 8:-8, 7:-7], one[..., 8:-8, 7:-7])


def test_a_cell_hears_of_cells_within_reach_only():
    d = 40
    network, context = make("convcnp", d), some_rows(5, d)
    query, hidden = some_rows(1, d, missing=0.0, seed=1), torch.zeros(d, dtype=torch.float64)
    expected = run(network, context, query, hidden)
    values = query.values.clone()
    values[0, 20] += 1.0
    change = (run(network, context, query._replace(values=values), hidden) - expected).abs()
    changed = (change.amax((0, 2)) > 0).nonzero().flatten()
    assert changed.min() == 20 - 6
    assert changed.max() == 20 + 6


@pytest.mark.parametrize("shape", [(12,), (3, 4)])
def test_grids_take_any_leading_dimensions(shape):
    torch.manual_seed(0)
    encoder, decoder = (make_part(shape) for make_part in (
        lambda s: GridEncoder(s, WIDTH).double(), lambda s: GridDecoder(s, WIDTH, 3).double()
    ))  # fmt: skip
    rows = some_rows(2, 3, 5, 12)
    tokens = encoder(rows)
    assert tokens.shape == (2, 3, 5, WIDTH * 12)
    read = tokens.mean(-2, keepdim=True)
    out = decoder(rows, read)
    assert out.shape == (2, 3, 5, 12, 3)
    one = decoder(cut(rows, (1, 2)), read[1, 2])
    assert_same(one, out[1, 2])
