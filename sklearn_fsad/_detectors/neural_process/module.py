"""Score rows by a neural process: a network that departs from closed forms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from ..._typing import Array
from ..base.blocks import block_size
from .closed_forms import (
    LEAST_SCALE,
    WHOLE_ROWS,
    Belief,
    KernelAnchor,
    LinearAnchor,
    MaskedRows,
    Summary,
)
from .likelihoods import LIKELIHOODS
from .masks import MaskPlan
from .networks import LatentAggregator, Network
from .row_outputs import outputs_by_rows, sum_over_masks

State = dict[str, Tensor]
SCORES = ("surprise", "nll", "density", "variance", "error")
_LEAST_ROWS, _MOST_ROWS = 8, 16  # that are scored at once
_VECTORS = 16  # numbers that torch computes functions of at once, or a divisor of it
_SUPPORT_ROWS = 64  # that are scored at once to weigh features
_BLOCK_NUMBERS = 2**20  # that they may take in one step
_MOST_NUMBERS = 2**22  # that one intermediate of scoring may hold: 32 MiB


class NeuralProcess(nn.Module):
    """Predict the distribution of hidden features of a row, given the others and a context.

    Each anchor is a closed form of that distribution; the network learns departures from it. With
    several anchors, the score of a feature is the largest over their distributions. Without an
    anchor the network is used alone; without a network the anchors are.

    Rows are given as ``[values, visible, departed]``, each of d columns; training queries have a
    fourth block, 1 for the features to hide.

    Parameters
    ----------
    network : Network or None
        Encoder, aggregator and decoder.
    anchors : mapping of str to LinearAnchor or KernelAnchor
        Closed forms by name.
    likelihood : {"student-t", "gaussian"}
        Distribution of a feature around its location.
    plans : sequence of MaskPlan
        Masks by which rows are scored: one plan, or for ``score="density"`` one for each order.
    score : {"surprise", "nll", "density", "variance", "error"}
        Anomaly score. "surprise" is the negative log-likelihood plus the log of the kernel anchor's
        scale, so that a row unlike all rows of the context has a high score, too.
    weights : ndarray of shape (d,) or None, default=None
        Weight of the term of each feature, 1 on average; None: equal weights.
    n_prior_anomalies : float or None, default=None
        Number of anomalies that ``weights`` count as, when they are averaged with the weights of
        the labelled anomalies of the support; None: these are not used.
    objective : {"elbo", "importance"}
        Training loss with a latent variable: the evidence lower bound, or the importance-weighted
        bound, which is tighter [1]_.

    References
    ----------
    .. [1] Y. Burda, R. Grosse and R. Salakhutdinov, "Importance weighted autoencoders", ICLR 2016.
    """

    def __init__(
        self,
        network: Network | None,
        *,
        anchors: Mapping[str, LinearAnchor | KernelAnchor],
        likelihood: str,
        plans: Sequence[MaskPlan] = (),
        score: str = "nll",
        weights: Array | None = None,
        n_prior_anomalies: float | None = None,
        objective: str = "elbo",
    ) -> None:
        super().__init__()
        self.network: Any = network
        self.anchors = dict(anchors)
        self.likelihood = LIKELIHOODS[likelihood]()
        self.plans = tuple(plans)
        self.score_name = score
        self.weights = weights
        self.n_prior_anomalies = n_prior_anomalies
        self.objective = objective
        if network is not None and anchors:
            nn.init.zeros_(network.decoder.last.weight)
            nn.init.zeros_(network.decoder.last.bias)

    # --- the contract -----------------------------------------------------------------------------
    def adapt(self, X: Tensor, y: Tensor) -> State:
        """Summarise a support: (n, 3 d), (n,) -> named tensors."""
        hidden = torch.cat([torch.from_numpy(plan.hidden) for plan in self.plans])
        d = X.shape[-1] // 3
        state = self._summarise(X[y == 0], y[y == 0], hidden)
        weights = torch.ones(d, dtype=X.dtype)
        if self.weights is not None:
            weights = torch.tensor(self.weights)
        state["weights"] = weights
        if self.n_prior_anomalies is not None and (y == 1).any():
            equal = state | {"weights": torch.ones_like(weights)}
            terms = torch.cat([self.terms(equal, part) for part in X.split(_SUPPORT_ROWS)])
            own = torch.from_numpy(separation(terms.numpy(), y.numpy() == 1))
            k, k0 = (y == 1).sum(), self.n_prior_anomalies
            state["weights"] = (k0 * weights + k * own) / (k0 + k)
        return state

    def score(self, state: State, X: Tensor) -> Tensor:
        """Score rows, larger = more anomalous: (m, 3 d) -> (m,)."""
        return self.terms(state, X).sum(-1)

    def forward(self, support_X: Tensor, support_y: Tensor, query_X: Tensor) -> Tensor:
        """Compute the negative log-likelihood of each query per hidden entry: (..., q).

        Parameters
        ----------
        support_X : Tensor of shape (..., n, 3 d)
            Represented rows of the support.
        support_y : Tensor of shape (..., n)
            0 normal; other rows are not part of the context.
        query_X : Tensor of shape (..., q, 4 d)
            Represented query rows; all queries of an episode hide the same features.
        """
        d = support_X.shape[-1] // 3
        query, hidden = _rows(query_X, d), query_X[..., 3 * d :]
        hides = hidden[..., 0, :]  # (..., d)
        state = self._summarise(support_X, support_y, hides)
        asked = hidden * query.visible * state["live"]
        if isinstance(self.network.aggregator, LatentAggregator):
            context = _rows(support_X, d), support_y == 0
            return self._latent_loss(state, *context, query, hides, asked)
        beliefs = self._beliefs(state, query, hides)
        nll = self.likelihood.nll(query.values - beliefs.mean, beliefs.scale).mean((0, 1))
        return (nll * asked).sum(-1) / asked.sum(-1).clamp(min=1.0)

    def _latent_loss(
        self,
        state: State,
        context: MaskedRows,
        counted: Tensor,
        query: MaskedRows,
        hides: Tensor,
        asked: Tensor,
    ) -> Tensor:
        """Compute the bound of Garnelo et al. or the importance-weighted one, equal for queries."""
        rows = MaskedRows(*(torch.cat(parts, -2) for parts in zip(context, query, strict=True)))
        counted = torch.cat([counted, query.visible.any(-1)], -1)
        encoder, aggregator = self.network.encoder, self.network.aggregator
        prior = _latent(_part(state, "net"))
        posterior = _latent(aggregator.summarise(encoder(rows), rows, counted))
        shape = len(aggregator.noise), *posterior.mean.shape  # (samples, ..., 1, width)
        noise = torch.randn(shape, dtype=posterior.mean.dtype)  # alike on every device
        z = posterior.mean + posterior.stddev * noise.to(posterior.mean.device)
        beliefs = self._beliefs(state, query, hides, read=z)
        nll = self.likelihood.nll(query.values - beliefs.mean, beliefs.scale).mean(0)
        nll = (nll * asked).sum((-2, -1))  # (samples, ...)
        if self.objective == "elbo":
            loss = nll.mean(0) + kl_divergence(posterior, prior).sum((-2, -1))
        else:
            gap = (posterior.log_prob(z) - prior.log_prob(z)).sum((-2, -1))
            loss = math.log(len(z)) - torch.logsumexp(-nll - gap, 0)
        return (loss / asked.sum((-2, -1)).clamp(min=1.0)).unsqueeze(-1).expand(asked.shape[:-1])

    def block_size(self, n_support: int) -> int:
        """Choose how many rows to score at once, each of them hidden by all masks."""
        n_masks = max(len(plan.hidden) for plan in self.plans)
        d = self.plans[0].hidden.shape[1]
        of_mask = max(n_support, d)
        if self.network is not None:
            of_mask = max(of_mask, d * self.network.decoder.most_a_feature)
        return block_size(_BLOCK_NUMBERS, n_masks * of_mask, _LEAST_ROWS, _MOST_ROWS)

    def rows_of_whole_vectors(self, state: Mapping[str, Array]) -> int | None:
        """Return how many rows without gaps fill whole vectors in each step of scoring.

        A vector that holds parts of two rows is no matter, but what is left over after the last one
        is rounded otherwise. None means that only blocks of one size do.
        """
        by_rows = self.network is None or self._by_rows
        has_gaps = np.any(state.get("kernel.visible", 1.0) != 1.0)
        if not by_rows or has_gaps or self.score_name == "density":
            return None
        return min(_VECTORS // math.gcd(_VECTORS, self.plans[0].hidden.size), _LEAST_ROWS)

    @property
    def _by_rows(self) -> bool:
        """Return whether the network is applied to few rows at a time, under many masks."""
        n_masks = min(len(plan.hidden) for plan in self.plans)
        return bool(self.network.by_rows) and n_masks >= WHOLE_ROWS

    # --- scores -----------------------------------------------------------------------------------
    def terms(self, state: State, X: Tensor) -> Tensor:
        """Compute what each feature adds to the anomaly score of rows: (m, 3 d) -> (m, d)."""
        d = X.shape[-1] // 3
        query, departed = _rows(X, d), X[:, 2 * d :]
        asked = query.visible * state["live"]
        per_order, first = [], 0
        for plan in self.plans:
            terms = torch.zeros_like(query.values)
            for weight, closed, beliefs in self._by_masks(state, query, plan, first):
                term = self._anomaly_terms(query, beliefs)
                if self.score_name == "surprise" and "kernel" in closed:
                    term = term + closed["kernel"].scale.log()
                terms = terms + sum_over_masks(weight * term)
            per_order.append(terms * asked)
            first += len(plan.hidden)
        terms = per_order[0] if self.score_name != "density" else _mean_density(per_order, asked)
        departure = 0.5 * departed.square()
        wanted = torch.from_numpy(np.any([plan.weight.any(axis=0) for plan in self.plans], axis=0))
        n_seen = (query.visible * wanted).sum(-1, keepdim=True).clamp(min=1.0)
        return state["weights"] * (terms + departure) / n_seen

    def predict(self, state: State, X: Tensor) -> Belief:
        """Predict mean and standard deviation of features, given those not hidden: (m, d) each."""
        query = _rows(X, X.shape[-1] // 3)
        mean, square = torch.zeros(2, *query.values.shape, dtype=X.dtype)
        for weight, _, beliefs in self._by_masks(state, query, self.plans[0]):
            variance = self.likelihood.variance * beliefs.scale.square()
            mean = mean + (weight * beliefs.mean.mean((0, 1))).sum(0)
            square = square + (weight * (variance + beliefs.mean.square()).mean((0, 1))).sum(0)
        return Belief(mean, (square - mean.square()).clamp(min=LEAST_SCALE**2).sqrt())

    def predict_samples(self, state: State, X: Tensor) -> Tensor:
        """Predict means by each sample of the latent variable: (m, 3 d) -> (samples, m, d)."""
        query = _rows(X, X.shape[-1] // 3)
        parts = [
            (weight * beliefs.mean.mean(0)).sum(1)
            for weight, _, beliefs in self._by_masks(state, query, self.plans[0])
        ]
        return torch.stack(parts).sum(0)

    def _by_masks(
        self, state: State, query: MaskedRows, plan: MaskPlan, first: int = 0
    ) -> Iterator[tuple[Tensor, dict[str, Belief], Belief]]:
        """Yield weights, (masks, 1, d), and beliefs of the anchors and of the process, by blocks.

        ``first`` is the position of the plan's masks among those of the state. A block is so few
        masks that memory does not grow with their number.
        """
        n_rows, n_features = query.values.shape
        n_rows = max(n_rows, _MOST_ROWS)  # as many masks for one row as for several
        size = max(1, _MOST_NUMBERS // (n_rows * 4 * max(int(state["n_context"]), n_features)))
        per_mask = [f"{name}.{key}" for name, a in self.anchors.items() for key in a.per_mask]
        for start in range(0, len(plan.hidden), size):
            hidden = torch.from_numpy(plan.hidden[start : start + size])
            weight = torch.from_numpy(plan.weight[start : start + size]).unsqueeze(-2)
            at = first + start
            part = state | {key: state[key][at : at + len(hidden)] for key in per_mask}
            closed = {
                name: anchor.predict_hidden(_part(part, name), query, hidden)
                for name, anchor in self.anchors.items()
            }
            yield weight, closed, self._beliefs(part, query, hidden, closed)

    def _anomaly_terms(self, query: MaskedRows, beliefs: Belief) -> Tensor:
        """Compute the anomaly score of each entry, the largest over predictions: (..., q, d)."""
        residual = query.values - beliefs.mean  # (predictions, samples, ..., q, d)
        if self.score_name == "variance":
            return self.likelihood.variance * beliefs.scale.square().mean(1).amax(0)
        if self.score_name == "error":
            return (residual / beliefs.scale).square().mean(1).amax(0)
        nll = self.likelihood.nll(residual, beliefs.scale)
        if nll.shape[1] == 1:
            nll = nll.squeeze(1)
        else:
            nll = math.log(nll.shape[1]) - torch.logsumexp(-nll, 1)
        if self.score_name == "density":
            return math.log(len(nll)) - torch.logsumexp(-nll, 0)
        return nll.amax(0)

    # --- beliefs ----------------------------------------------------------------------------------
    def _summarise(self, X: Tensor, y: Tensor, hidden: Tensor) -> State:
        d = X.shape[-1] // 3
        context, counted = _rows(X, d), y == 0
        varies = (context.values != 0) & counted.unsqueeze(-1)
        state = {
            "live": varies.any(-2, keepdim=True).to(X.dtype),  # (..., 1, d)
            "n_context": counted.sum(-1),
        }
        with torch.no_grad():
            for name, anchor in self.anchors.items():
                state |= _named(name, anchor.summarise(context, counted, hidden))
        if self.network is not None:
            tokens = self.network.encoder(context)
            state |= _named("net", self.network.aggregator.summarise(tokens, context, counted))
        return state

    def _closed(self, state: State, query: MaskedRows, hidden: Tensor) -> dict[str, Belief]:
        """Predict entries by the anchors: (..., q, d), (..., d) -> (..., q, d) each."""
        with torch.no_grad():
            return {
                name: anchor.predict(_part(state, name), query, hidden)
                for name, anchor in self.anchors.items()
            }

    def _beliefs(
        self,
        state: State,
        query: MaskedRows,
        hidden: Tensor,
        closed: Mapping[str, Belief] | None = None,
        read: Tensor | None = None,
    ) -> Belief:
        """Predict all features: (..., q, d), (..., d) -> (predictions, samples, ..., q, d) each."""
        anchored = self._closed(state, query, hidden) if closed is None else closed
        predictions = [torch.stack(parts) for parts in zip(*anchored.values(), strict=True)]
        predictions = [part.to(query.values.dtype).unsqueeze(1) for part in predictions]
        if self.network is None:
            return Belief(*predictions)
        if closed is not None and self._by_rows:
            out = outputs_by_rows(self.network, _part(state, "net"), query, hidden)
        else:
            out = self._outputs(state, query, hidden, read)
        if not isinstance(self.network.aggregator, LatentAggregator):
            out = out.unsqueeze(0)
        return _departures(predictions, out)

    def _outputs(
        self, state: State, query: MaskedRows, hidden: Tensor, read: Tensor | None
    ) -> Tensor:
        """Apply the network: (..., q, d), (..., d) -> (..., q, d, 2 predictions)."""
        shown = query.visible * (1.0 - hidden).unsqueeze(-2)  # (..., q, d)
        seen = MaskedRows(query.values * shown, shown)
        if read is None:
            encode = self.network.encoder
            read = self.network.aggregator.read(_part(state, "net"), encode, seen, hidden)
        out: Tensor = self.network.decoder(seen, read)
        return out


def separation(terms: Array, anomalous: NDArray[np.bool_]) -> Array:
    """Weigh features by how far anomalies raise their terms: (m, d), (m,) -> (d,).

    The rise is in spreads of the terms of normals. The weights are one on average over features,
    and all one where anomalies raise no term.
    """
    normal = terms[~anomalous]
    spread = normal.std(axis=0)
    gap = np.maximum(terms[anomalous].mean(axis=0) - normal.mean(axis=0), 0.0)
    # a tenth of the mean spread: a feature that hardly varies must not outweigh all others
    moved = gap / (spread + 0.1 * spread.mean() + 1e-12)
    return moved / moved.mean() if moved.any() else np.ones(terms.shape[1])


def _departures(closed: Sequence[Tensor], out: Tensor) -> Belief:
    """Shift and scale beliefs of the anchors by ``out``: (samples, ..., q, d, 2 predictions)."""
    # (predictions, samples, ..., q, d) each
    shift, stretch = out.unflatten(-1, (-1, 2)).movedim((-2, -1), (1, 0))
    if not closed:
        return Belief(shift, LEAST_SCALE + F.softplus(stretch))
    mean, scale = closed
    # zero outputs change nothing; scales stay within a factor exp(2)
    return Belief(mean + shift * scale, scale * torch.exp(2.0 * torch.tanh(0.5 * stretch)))


def _mean_density(per_order: list[Tensor], asked: Tensor) -> Tensor:
    """Compute terms whose sum is minus the log of the mean density over orders: (m, d)."""
    terms = torch.stack(per_order)  # (orders, m, d)
    log_density = -terms.sum(-1, keepdim=True)
    # Bayes: orders weigh by their density; what the mix leaves is shared equally by features
    weight = torch.softmax(log_density, 0)
    mixed = (weight * terms).sum(0)
    total = math.log(len(terms)) - torch.logsumexp(log_density, 0)  # (m, 1)
    rest = total - mixed.sum(-1, keepdim=True)
    return mixed + asked * rest / asked.sum(-1, keepdim=True).clamp(min=1.0)


def _rows(X: Tensor, d: int) -> MaskedRows:
    """Split represented rows of d features to values and marks."""
    return MaskedRows(X[..., :d], X[..., d : 2 * d])


def _latent(summary: Summary) -> Normal:
    """Make the distribution of the latent variable."""
    return Normal(summary["location"], summary["scale"], validate_args=False)


def _named(name: str, summary: Mapping[str, Tensor]) -> State:
    return {f"{name}.{key}": value for key, value in summary.items()}


def _part(state: State, name: str) -> Summary:
    return {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}
