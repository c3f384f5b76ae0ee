"""Apply networks to few rows at a time, so that the rounding of a row depends on no other."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .closed_forms import WHOLE_ROWS, MaskedRows, Summary, n_distinct, with_repeats
from .networks import Network

_MOST_CELLS = 2**14  # of attention: below, calls of torch take longer than what they compute
_MOST_ROWS = 16
_COLUMNS = 32  # that torch adds up at once; what is left over is added up in another order


def outputs_by_rows(
    network: Network, summary: Summary, query: MaskedRows, hidden: Tensor
) -> Tensor:
    """Decode rows by a network with ``by_rows``, each of them under all masks at once.

    Parameters
    ----------
    network : Network
        One that reads the context the same way under every mask.
    summary : dict of str to Tensor
        What its aggregator makes of the context.
    query : MaskedRows of shape (q, d)
        Rows.
    hidden : Tensor of shape (m, d)
        Masks.

    Returns
    -------
    outputs : Tensor of shape (m, q, d, n_out)
        Departures of each feature.
    """
    n, m, size = n_distinct(query), len(hidden), _rows_at_once(summary, len(hidden))
    shown = query.visible[:n, None] * (1.0 - hidden)  # (n, m, d)
    filled = (0, 0, 0, -m % WHOLE_ROWS, 0, -n % size)  # all products are of one size
    values, visible = (F.pad(part, filled) for part in (query.values[:n, None] * shown, shown))
    outputs = []
    for rows in map(MaskedRows, values.split(size), visible.split(size)):
        read = network.aggregator.read(summary, network.encoder, rows, hidden)
        outputs.append(network.decoder(rows, read))
    return torch.cat(outputs)[with_repeats(n, len(query.values)), :m].transpose(0, 1)


def sum_over_masks(terms: Tensor) -> Tensor:
    """Add up terms of rows, each in the same order wherever it stands: (m, q, d) -> (q, d)."""
    columns = terms.flatten(1)
    n = columns.shape[1]
    return F.pad(columns, (0, -n % _COLUMNS)).sum(0)[:n].unflatten(0, terms.shape[1:])


def _rows_at_once(summary: Summary, n_masks: int) -> int:
    """Choose how many rows to apply a network to at once: a power of two."""
    n_read = summary["counted"].shape[-1] if "counted" in summary else 1
    rows = max(_MOST_CELLS // (n_masks * n_read), 1)
    return min(2 ** (rows.bit_length() - 1), _MOST_ROWS)
