"""Weights of evidence: default ones, and those learned across tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from .._stats.compiled import row_product
from .._training.layers import log_shots
from .._typing import Array
from .kinds import EVIDENCE, Evidence

MIX, CLOSED_FORM, SINGLE = 0, 1, 2  # what a mix does in a regime; SINGLE + j is evidence j alone

# Weights without any training, measured on tables and on embeddings. A weight is a function of the
# number k of labelled anomalies, given by four numbers (free, decay, labelled, growth):
#     free / (1 + decay k)  +  (labelled + growth log(1 + k)) where k > 0
_TABLE = {
    "mahalanobis_raw": (0.25, 0.5, 0.0, 0.0),
    "mahalanobis_scaled": (0.25, 0.5, 0.0, 0.0),
    "nearest_scaled": (0.5, 0.5, 0.0, 0.0),
    "subspace_ratio": (0.0, 0.0, 0.5, 0.0),
    "ratio_scaled": (0.0, 0.0, 0.5, 0.0),
    "discriminant_raw": (0.0, 0.0, 0.25, 0.0),
    "discriminant_scaled": (0.0, 0.0, 0.25, 0.0),
}
_EMBEDDING = {
    "mahalanobis_raw": (1.0, 0.0, 0.0, 0.0),
    "off_axis": (0.4, 0.0, 0.0, 0.0),
    "discriminant_raw": (0.0, 0.0, 0.0, 0.4),
}
_OWN = {False: (0.5, 0.0, 0.0, 0.0), True: (0.0, 0.0, 0.5, 0.0)}  # evidence of the user's making


def default_weights(evidence: Sequence[Evidence], embedding: bool) -> Array:
    """Return the four numbers of each default weight, of tables or embeddings: (4, n_evidence).

    A subset of the evidence without any that has a default weight is weighed equally.
    """
    table = _EMBEDDING if embedding else _TABLE
    weights = np.zeros((4, len(evidence)))
    for j, e in enumerate(evidence):
        own = (0.0,) * 4 if e.name in EVIDENCE else _OWN[e.needs_anomalies]
        weights[:, j] = table.get(e.name, own)
    if evidence and not weights[[0, 2, 3]].any():
        weights = np.array([_OWN[e.needs_anomalies] for e in evidence]).T
    return weights


class EvidenceMix(nn.Module):
    """Weigh evidence by non-negative weights, smooth in log n and log(k + 1).

    Parameters
    ----------
    closed : ndarray of shape (4, n_evidence)
        The closed form, as of :func:`default_weights`.
    n_normal, n_anomalous : tuple of (int, int)
        Shots of the training episodes; outside them the weights stay as at the border.
    theta : ndarray of shape (3, n_evidence) or None, default=None
        Learned weights; None starts all kinds of evidence small and equal.
    choice : sequence of two int
        What to use without and with labelled anomalies: the mix, the closed form, or one kind of
        evidence alone.
    """

    ridge = 5e-6

    def __init__(
        self,
        closed: Array,
        n_normal: tuple[int, int],
        n_anomalous: tuple[int, int],
        theta: Array | None = None,
        choice: Sequence[int] = (MIX, MIX),
    ) -> None:
        super().__init__()
        self.closed: Tensor
        self.register_buffer("closed", torch.tensor(closed, dtype=torch.float64))
        if theta is None:
            theta = np.zeros((3, closed.shape[1]))
            theta[0] = -3.0
        self.theta = nn.Parameter(torch.tensor(theta, dtype=torch.float64))
        self.n_normal = n_normal
        self.n_anomalous = n_anomalous
        self.choice = tuple(int(c) for c in choice)

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, Array], n_normal: tuple[int, int], n_anomalous: tuple[int, int]
    ) -> EvidenceMix:
        """Make the mix of a state's arrays: default weights where nothing was learned."""
        choice = arrays["choice"].tolist() if "choice" in arrays else (CLOSED_FORM, CLOSED_FORM)
        return cls(arrays["closed"], n_normal, n_anomalous, arrays.get("theta"), choice)

    def adapt(self, X: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Return the weights for a support: (..., n, n_evidence), (..., n) -> (..., n_evidence)."""
        log_n, log_k1 = log_shots(y)
        weights = [self._weights(choice, log_n, log_k1) for choice in self.choice]
        return {"weights": torch.where((log_k1 > 0).unsqueeze(-1), weights[1], weights[0])}

    def weights(self, X: Array, y: NDArray[np.int8]) -> Array:
        """Return the weights for one support: (n, n_evidence), (n,) -> (n_evidence,)."""
        with torch.no_grad():
            return self.adapt(torch.from_numpy(X), torch.from_numpy(y))["weights"].numpy()

    def score(self, state: dict[str, Tensor], X: Tensor) -> Tensor:
        """Sum weighted evidence: (..., m, n_evidence) -> (..., m)."""
        return (X @ state["weights"].unsqueeze(-1)).squeeze(-1)

    def score_rows(self, state: Mapping[str, Array], Z: Array) -> Array:
        """Sum weighted evidence, of each row alike: (m, n_evidence) -> (m,)."""
        return row_product(Z, state["weights"])

    def forward(self, support_X: Tensor, support_y: Tensor, query_X: Tensor) -> Tensor:
        """Score query rows from standardised evidence."""
        return self.score(self.adapt(support_X, support_y), query_X)

    def penalty(self) -> Tensor:
        """Keep the dependence on n and k smooth where there are no episodes."""
        return self.ridge * (self.theta[1:] ** 2).sum()

    def _weights(self, choice: int, log_n: Tensor, log_k1: Tensor) -> Tensor:
        if choice >= SINGLE:
            alone = F.one_hot(torch.tensor(choice - SINGLE), self.closed.shape[1])
            return alone.to(self.closed.dtype).expand(*log_n.shape, -1)
        if choice == CLOSED_FORM:
            free, decay, labelled, growth = self.closed
            k, log_k1 = torch.expm1(log_k1).unsqueeze(-1), log_k1.unsqueeze(-1)
            return free / (1.0 + decay * k) + (k > 0) * (labelled + growth * log_k1)
        n_low, n_high = (float(np.log(b)) for b in self.n_normal)
        k_low, k_high = (float(np.log1p(b)) for b in self.n_anomalous)
        features = torch.stack(
            [
                torch.ones_like(log_n),
                2.0 * (log_n.clamp(n_low, n_high) - np.log(22.36)) / np.log(5.0),
                log_k1.clamp(k_low, k_high) / np.log(11.0),
            ],
            dim=-1,
        )
        return F.softplus(features @ self.theta)
