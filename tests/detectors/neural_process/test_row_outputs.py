"""Networks applied to few rows at a time: a row has the same bits alone and among others."""

import numpy as np
import pytest
import torch

from sklearn_fsad import NeuralProcessDetector
from sklearn_fsad._detectors.neural_process import row_outputs
from sklearn_fsad._detectors.neural_process.closed_forms import (
    MaskedRows,
    n_distinct,
    with_repeats,
)
from sklearn_fsad._detectors.neural_process.networks import Network


def fitted(n_features, n=40, **how):
    rng = np.random.default_rng(n_features)
    X = rng.normal(size=(n, n_features)) @ rng.normal(size=(n_features, n_features))
    how = {"max_epochs": 1, "episodes_per_epoch": 16, "lr": 0.05, "random_state": 0, **how}
    return NeuralProcessDetector(**how).fit(X), rng.normal(size=(21, n_features))


@pytest.mark.parametrize("n_features", [1, 5, 8, 9, 33])
@pytest.mark.parametrize("how", [{}, {"kind": "cnp"}, {"max_epochs": 0}], ids=str)
def test_a_row_scores_the_same_bits_alone_and_among_others(n_features, how):
    detector, query = fitted(n_features, **how)
    alone = [detector.score_samples(row[None])[0] for row in query]
    assert (detector.score_samples(query) == alone).all()
    parts = [detector.score_samples(part) for part in (query[:3], query[3:13], query[13:])]
    assert (detector.score_samples(query) == np.concatenate(parts)).all()


def test_a_gap_in_one_row_changes_no_bit_of_another():
    detector, query = fitted(8)
    with_gap = query.copy()
    with_gap[4, 2] = np.nan
    same = detector.score_samples(query) == detector.score_samples(with_gap)
    assert np.flatnonzero(~same).tolist() == [4]


@pytest.mark.parametrize("kind", ["tnp", "cnp"])
@pytest.mark.parametrize("cells", [1, 2**14])
def test_few_rows_at_a_time_give_the_outputs_of_all_at_once(kind, cells, monkeypatch):
    monkeypatch.setattr(row_outputs, "_MOST_CELLS", cells)
    detector, query = fitted(9, kind=kind)
    process, module = detector._adaptation, detector._adaptation.module
    rows = torch.from_numpy(process.represent(query))
    rows, hidden = MaskedRows(rows[:, :9], rows[:, 9:18]), torch.from_numpy(module.plans[0].hidden)
    summary = {k.removeprefix("net."): v for k, v in process.tensors.items()}
    with torch.no_grad():
        expected = module._outputs(process.tensors, rows, hidden, None)
        found = row_outputs.outputs_by_rows(module.network, summary, rows, hidden)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_rows_that_fill_up_a_block_are_not_computed_again(monkeypatch):
    detector, query = fitted(9, n=500)
    sizes = []
    forward = type(detector._adaptation.module.network.encoder).forward

    def counted(self, rows):
        sizes.append(len(rows.values))
        return forward(self, rows)

    monkeypatch.setattr(type(detector._adaptation.module.network.encoder), "forward", counted)
    detector.score_samples(query[:1])  # an odd number of features: in a block of eight
    assert sizes == [1]


def test_rows_at_the_end_that_repeat_the_last_are_found():
    values = torch.tensor([[1.0], [2.0], [2.0], [3.0], [3.0], [3.0]])
    rows = MaskedRows(values, torch.ones_like(values))
    assert n_distinct(rows) == 4
    assert with_repeats(4, 6).tolist() == [0, 1, 2, 3, 3, 3]
    assert n_distinct(MaskedRows(*(part[:1] for part in rows))) == 1
    assert n_distinct(MaskedRows(*(part[1:3] for part in rows))) == 1
    assert n_distinct(MaskedRows(*(part[:4] for part in rows))) == 4
    gap = torch.tensor([[1.0], [1.0], [1.0], [1.0], [1.0], [0.0]])
    assert n_distinct(MaskedRows(values, gap)) == 6


def test_networks_that_read_the_context_by_masks_are_not_applied_by_rows():
    assert not Network(torch.nn.Identity(), None, None).by_rows
    for kind, by_rows in [("anp", False), ("np", False), ("cnp", True), ("tnp", True)]:
        module = fitted(8, kind=kind)[0]._adaptation.module
        assert module.network.by_rows == by_rows
        assert (module.rows_of_whole_vectors({}) is not None) == by_rows
