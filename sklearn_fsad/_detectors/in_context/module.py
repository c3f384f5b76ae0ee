"""Weigh evidence about rows of any table by a network that reads the support."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..._input.labels import ANOMALOUS, NORMAL
from ..._stats.compiled import row_product
from ..._training.seeding import torch_seed
from ..._training.weights import from_arrays, to_arrays
from ..._typing import Array
from .closed_form import KINDS, applicable, kinds_of

N_FACTS = 7  # columns that describe the support as a whole
_N_STATISTICS = 9
_MOST_FACTOR = 0.8  # logarithm
_FEW = 20.0


class ContextMix(nn.Module):
    """Predict non-negative weights of evidence from the leave-one-out scores of a support [1]_.

    Each kind of evidence is a token: the sum of an embedding of its kind, of statistics of its
    leave-one-out scores of the support's normals and labelled anomalies, and of a summary of the
    support. Tokens attend to each other; each then predicts the factor, 2.2 at most, by which its
    weight departs from the default weight. There are default weights for tables and for
    embeddings, without and with labelled anomalies. Fine-tuning adds to the weights what all tasks
    of a family have in common.

    Represented rows are ``[evidence, facts]``, of ``n_evidence + N_FACTS`` columns; the facts, a
    summary of the support, are the same for all its rows.

    Parameters
    ----------
    closed : ndarray of shape (2, 4, n_evidence) or (2, 3, n_evidence)
        Default weights: of tables and of embeddings, with no labelled anomaly and ten normals or
        fifty, with one anomaly and with ten; in between they are interpolated in log n and in
        log(1 + k). Of three, the first is for any number of normals.
    applies : ndarray of shape (2, 2, n_evidence)
        Positive where evidence applies, for tables and embeddings, without and with labelled
        anomalies; its weight is zero elsewhere.
    departs : ndarray of shape (2, 2) or None, default=None
        One where the network departs from the default weights, else zero: for tables and
        embeddings, without and with labelled anomalies; None: everywhere.
    kinds : ndarray of shape (n_letters,) or None, default=None
        Names of the evidence as a state keeps them; None for the first kinds there were.
    width : int, default=24
        Width of a token.

    References
    ----------
    .. [1] M. Garnelo et al., "Conditional neural processes", ICML 2018.
    """

    dropout = 0.15

    def __init__(
        self,
        closed: Array,
        applies: Array,
        departs: Array | None = None,
        kinds: Array | None = None,
        width: int = 24,
    ) -> None:
        super().__init__()
        self.kinds = kinds
        n_evidence = closed.shape[-1]
        self.departs: Tensor
        self.register_buffer(
            "departs", torch.tensor(np.ones((2, 2)) if departs is None else departs)
        )
        self.closed: Tensor
        self.register_buffer("closed", torch.tensor(closed, dtype=torch.float64))
        self.applies: Tensor
        self.register_buffer("applies", torch.tensor(applies > 0))
        self.kind = nn.Parameter(0.3 * torch.randn(n_evidence, width))
        self.says = nn.Linear(_N_STATISTICS, width)
        self.facts = nn.Sequential(nn.Linear(N_FACTS, width), nn.SiLU(), nn.Linear(width, width))
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, 1))
        self.own = nn.Parameter(torch.zeros(3, n_evidence), requires_grad=False)
        last: Any = self.gate[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def adapt(self, X: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Predict weights: (..., n, n_evidence + N_FACTS), (..., n) -> (..., n_evidence)."""
        leading = X.shape[:-2]
        flat = self._weights(X.flatten(0, -3) if leading else X[None], y.reshape(-1, y.shape[-1]))
        return {"weights": flat.reshape(*leading, -1)}

    def score(self, state: Mapping[str, Tensor], X: Tensor) -> Tensor:
        """Sum the weighted evidence of rows: (..., m, n_evidence + N_FACTS) -> (..., m)."""
        weights = state["weights"]
        return (X[..., : weights.shape[-1]] @ weights.unsqueeze(-1)).squeeze(-1)

    def score_rows(self, state: Mapping[str, Array], Z: Array) -> Array:
        """Sum the weighted evidence, of each row alike: (m, n_evidence + N_FACTS) -> (m,)."""
        weights = state["weights"]
        return row_product(Z[:, : len(weights)], weights)

    def forward(self, support_X: Tensor, support_y: Tensor, query_X: Tensor) -> Tensor:
        """Score query rows by a support: (..., m, n_evidence + N_FACTS) -> (..., m)."""
        return self.score(self.adapt(support_X, support_y), query_X)

    def _weights(self, X: Tensor, y: Tensor) -> Tensor:
        """Predict weights of a batch: (b, n, n_evidence + N_FACTS), (b, n) -> (b, n_evidence)."""
        evidence, facts = X[..., :-N_FACTS], X[:, 0, -N_FACTS:]
        normal, anomalous = (y == NORMAL), (y == ANOMALOUS)
        has_anomalies = anomalous.any(-1)
        embedding, k = (facts[:, -1] > 0).long(), anomalous.sum(-1)
        applies = self.applies[embedding, has_anomalies.long()]  # (b, n_evidence)
        n = normal.sum(-1, keepdim=True)
        *none_of, one, ten = self.closed[embedding].unbind(1)
        none = none_of[0] + _share_of_fifty(n) * (none_of[-1] - none_of[0])
        share = _share_of_ten(k).unsqueeze(-1)
        closed = torch.where(has_anomalies.unsqueeze(-1), one + share * (ten - one), none)
        statistics = torch.cat([_normals(evidence, normal),
                                _anomalies(evidence, normal, anomalous)], -1)  # fmt: skip
        tokens = self.kind + self.says(statistics) + self.facts(facts).unsqueeze(1)
        attended, _ = self.attention(tokens, tokens, tokens, key_padding_mask=~applies)
        factor = _MOST_FACTOR * torch.tanh(self.gate(self.norm(tokens + attended)).squeeze(-1))
        # few shots, small departure: one anomaly has no leave-one-out score, few normals noisy ones
        trust = torch.where(has_anomalies.unsqueeze(-1), share, 1.0).to(X.dtype) * n / (n + _FEW)
        departs = self.departs[embedding, has_anomalies.long()].unsqueeze(-1).to(X.dtype)
        weights = closed.to(X.dtype) * torch.exp(departs * trust * factor)
        none, one, ten = self.own
        own = torch.where(has_anomalies.unsqueeze(-1), one + share.to(X.dtype) * (ten - one), none)
        weights = (weights + departs * own).clamp(min=0.0)
        weights = weights * applies
        if self.training:
            drawn = torch.rand(weights.shape, dtype=weights.dtype)  # alike on every device
            weights = weights * (drawn > self.dropout).to(weights.device)
        return weights


def _share_of_ten(k: Tensor) -> Tensor:
    """Interpolate in log(1 + k): 0 for one labelled anomaly, 1 for ten or more: (b,)."""
    # each further anomaly adds less information than the one before it, hence the logarithm
    return (torch.log((1.0 + k.double()) / 2.0) / math.log(5.5)).clamp(0.0, 1.0)


def _share_of_fifty(n: Tensor) -> Tensor:
    """Interpolate in log n: 0 for ten normals or fewer, 1 for fifty or more: (b, 1)."""
    return (torch.log(n.double().clamp(min=1.0) / 10.0) / math.log(5.0)).clamp(0.0, 1.0)


def _normals(evidence: Tensor, normal: Tensor) -> Tensor:
    """Compute spread, skewness and maximum of left-out scores of normals: (b, n_evidence, 3)."""
    counted = normal.unsqueeze(-1).to(evidence.dtype)
    n = counted.sum(1).clamp(min=1.0)
    mean = (evidence * counted).sum(1) / n
    centred = (evidence - mean.unsqueeze(1)) * counted
    spread = (centred.square().sum(1) / n + 1e-6).sqrt()
    skew = (centred**3).sum(1) / n / spread**3
    most = evidence.masked_fill(~normal.unsqueeze(-1), -1e3).amax(1)
    # constant factors bring the statistics to the order of one, as a linear layer needs
    return torch.stack([spread, 0.3 * skew, 0.3 * most], -1)


def _anomalies(evidence: Tensor, normal: Tensor, anomalous: Tensor) -> Tensor:
    """Compute statistics of left-out scores of anomalies: (b, n_evidence, 6).

    They are mean, minimum, maximum, spread, ROC AUC against the normals, and log(1 + number).
    """
    counted = anomalous.unsqueeze(-1)
    some = anomalous.any(-1)[:, None].to(evidence.dtype)
    k = anomalous.sum(-1, keepdim=True).to(evidence.dtype)
    mean = (evidence * counted).sum(1) / k.clamp(min=1.0)
    low = evidence.masked_fill(~counted, 1e3).amin(1) * some
    high = evidence.masked_fill(~counted, -1e3).amax(1) * some
    squares = ((evidence - mean.unsqueeze(1)).square() * counted).sum(1) / k.clamp(min=1.0)
    order = torch.argsort(evidence.masked_fill(~(normal.unsqueeze(-1) | counted), 1e6), 1)
    rank = torch.argsort(order, 1).to(evidence.dtype) + 1.0
    n = normal.sum(-1, keepdim=True).to(evidence.dtype)
    # the rank-sum formula needs no pairs of rows; padding sorts last, so that ranks are right
    auc = ((rank * counted).sum(1) - k * (k + 1) / 2) / (n * k).clamp(min=1.0)
    number = torch.log1p(k).expand_as(mean)
    parts = [0.3 * mean, 0.3 * low, 0.3 * high, 0.3 * (squares + 1e-6).sqrt() * some,
             (auc - 0.5) * some, number]  # fmt: skip
    return torch.stack(parts, -1)


NET = "net."


def new_module(arrays: Mapping[str, Array], seed: int, **given: Any) -> ContextMix:
    """Make an untrained network, which gives the default weights of a state."""
    with torch_seed(seed):
        applies = applicable(kinds_of(arrays))
        return ContextMix(arrays["closed"], applies, kinds=arrays.get(KINDS), **given)


def module_of(arrays: Mapping[str, Array], **given: Any) -> ContextMix:
    """Make the network of a state; without learned arrays it is untrained."""
    given = {"departs": arrays["departs"], **given}
    module = new_module(arrays, 0, **given)
    learned = from_arrays(arrays, NET)
    module.double()
    if learned:
        missing = [name for name, _ in module.named_parameters() if name not in learned]
        if missing:
            raise KeyError(f"no arrays of {missing}")
        module.load_state_dict(learned, strict=False)  # which has no buffers
    return module.eval()


def arrays_of(module: ContextMix, departs: Array | None = None) -> dict[str, Array]:
    """Return named arrays of a network for a :class:`MetaState`, weights in half precision."""
    weights = to_arrays(dict(module.named_parameters()), NET)
    arrays: dict[str, Any] = {name: value.astype(np.float16) for name, value in weights.items()}
    if module.kinds is not None:
        arrays[KINDS] = module.kinds
    departs = np.ones((2, 2)) if departs is None else departs
    return {**arrays, "closed": module.closed.double().cpu().numpy(), "departs": departs}
