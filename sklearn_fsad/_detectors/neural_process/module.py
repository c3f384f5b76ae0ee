"""The module of a neural process: its network, what that departs from, and the scores."""

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
from .closed_forms import LEAST_SCALE, Belief, KernelAnchor, LinearAnchor, MaskedRows, Summary
from .likelihoods import LIKELIHOODS
from .masks import MaskPlan
from .networks import LatentAggregator, Network

State = dict[str, Tensor]
SCORES = ("surprise", "nll", "density", "variance", "error")
_MOST_NUMBERS = 2**22  # that one intermediate of scoring may hold: 32 MiB


class NeuralProcess(nn.Module):
    """Distribution of the features of a row that are hidden, given the others and a context.

    Each anchor is a closed form of that distribution; the network learns how the truth departs from
    it. Of several, a feature counts by the one to which it is stranger. Without an anchor the
    network stands on its own; without a network the anchors do.

    Rows come as ``[values, visible, departed]``, each of d columns; training queries have a
    fourth block, what to hide.

    Parameters
    ----------
    network : Network or None
    anchors : mapping of str to LinearAnchor or KernelAnchor
    likelihood : {"student-t", "gaussian"}
    plans : sequence of MaskPlan
        How rows are scored: one plan, or for ``score="density"`` one for each order.
    score : {"surprise", "nll", "density", "variance", "error"}
        "surprise" is the negative log-likelihood plus the log of the kernel anchor's scale: a row
        is strange, too, where it resembles nothing in the context.
    weights : ndarray of shape (d,) or None, default=None
        What the term of each feature counts, 1 on the mean; None: alike.
    n_prior_anomalies : float or None, default=None
        Labelled anomalies of the support weigh features against so many of those that ``weights``
        came from; None: they do not.
    objective : {"elbo", "importance"}
        What a latent variable is trained with: the evidence lower bound, or the importance-weighted
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
        """What a support says: (n, 3 d), (n,) -> named tensors."""
        hidden = torch.cat([torch.from_numpy(plan.hidden) for plan in self.plans])
        d = X.shape[-1] // 3
        state = self._summarise(X[y == 0], y[y == 0], hidden)
        weights = torch.ones(d, dtype=X.dtype)
        if self.weights is not None:
            weights = torch.tensor(self.weights)
        state["weights"] = weights
        if self.n_prior_anomalies is not None and (y == 1).any():
            terms = self.terms(state | {"weights": torch.ones_like(weights)}, X)
            own = torch.from_numpy(separation(terms.numpy(), y.numpy() == 1))
            k, k0 = (y == 1).sum(), self.n_prior_anomalies
            state["weights"] = (k0 * weights + k * own) / (k0 + k)
        return state

    def score(self, state: State, X: Tensor) -> Tensor:
        """How strange rows are: (m, 3 d) -> (m,)."""
        return self.terms(state, X).sum(-1)

    def forward(self, support_X: Tensor, support_y: Tensor, query_X: Tensor) -> Tensor:
        """Negative log-likelihood of what each query hides, per hidden entry: (..., q).

        Parameters
        ----------
        support_X : Tensor of shape (..., n, 3 d)
        support_y : Tensor of shape (..., n)
            0 normal; other rows are no part of the context.
        query_X : Tensor of shape (..., q, 4 d)
            All queries of an episode hide the same.
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
        """The bound of Garnelo et al., or the importance-weighted one, the same for each query."""
        rows = MaskedRows(*(torch.cat(parts, -2) for parts in zip(context, query, strict=True)))
        counted = torch.cat([counted, query.visible.any(-1)], -1)
        encoder, aggregator = self.network.encoder, self.network.aggregator
        prior = _latent(_part(state, "net"))
        posterior = _latent(aggregator.summarise(encoder(rows), rows, counted))
        z = posterior.rsample((len(aggregator.noise),))  # (samples, ..., 1, width)
        beliefs = self._beliefs(state, query, hides, read=z)
        nll = self.likelihood.nll(query.values - beliefs.mean, beliefs.scale).mean(0)
        nll = (nll * asked).sum((-2, -1))  # (samples, ...)
        if self.objective == "elbo":
            loss = nll.mean(0) + kl_divergence(posterior, prior).sum((-2, -1))
        else:
            gap = (posterior.log_prob(z) - prior.log_prob(z)).sum((-2, -1))
            loss = math.log(len(z)) - torch.logsumexp(-nll - gap, 0)
        return (loss / asked.sum((-2, -1)).clamp(min=1.0)).unsqueeze(-1).expand(asked.shape[:-1])

    # --- scores -----------------------------------------------------------------------------------
    def terms(self, state: State, X: Tensor) -> Tensor:
        """What each feature adds to the score of a row: (m, 3 d) -> (m, d)."""
        d = X.shape[-1] // 3
        query, departed = _rows(X, d), X[:, 2 * d :]
        asked = query.visible * state["live"]
        per_order, first = [], 0
        for plan in self.plans:
            terms = torch.zeros_like(query.values)
            for weight, closed, beliefs in self._by_masks(state, query, plan, first):
                strange = self._anomaly_terms(query, beliefs)
                if self.score_name == "surprise" and "kernel" in closed:
                    strange = strange + closed["kernel"].scale.log()
                terms = terms + (weight * strange).sum(0)
            per_order.append(terms * asked)
            first += len(plan.hidden)
        terms = per_order[0] if self.score_name != "density" else _mean_density(per_order, asked)
        departure = 0.5 * departed.square()
        wanted = torch.from_numpy(np.any([plan.weight.any(axis=0) for plan in self.plans], axis=0))
        n_seen = (query.visible * wanted).sum(-1, keepdim=True).clamp(min=1.0)
        return state["weights"] * (terms + departure) / n_seen

    def predict(self, state: State, X: Tensor) -> Belief:
        """Mean and standard deviation of each feature given those that the plan shows: (m, d)."""
        query = _rows(X, X.shape[-1] // 3)
        mean, square = torch.zeros(2, *query.values.shape, dtype=X.dtype)
        for weight, _, beliefs in self._by_masks(state, query, self.plans[0]):
            variance = self.likelihood.variance * beliefs.scale.square()
            mean = mean + (weight * beliefs.mean.mean((0, 1))).sum(0)
            square = square + (weight * (variance + beliefs.mean.square()).mean((0, 1))).sum(0)
        return Belief(mean, (square - mean.square()).clamp(min=LEAST_SCALE**2).sqrt())

    def predict_samples(self, state: State, X: Tensor) -> Tensor:
        """Mean of each feature by each sample of the latent variable: (m, d) -> (samples, m, d)."""
        query = _rows(X, X.shape[-1] // 3)
        parts = [
            (weight * beliefs.mean.mean(0)).sum(1)
            for weight, _, beliefs in self._by_masks(state, query, self.plans[0])
        ]
        return torch.stack(parts).sum(0)

    def _by_masks(
        self, state: State, query: MaskedRows, plan: MaskPlan, first: int = 0
    ) -> Iterator[tuple[Tensor, dict[str, Belief], Belief]]:
        """Weights, (masks, 1, d), and beliefs of anchors and of all views, some masks at a time.

        ``first`` is the position of the plan's masks among those of the state. Few are tried at
        once, so that memory does not grow with their number.
        """
        n_rows, n_features = query.values.shape
        size = max(1, _MOST_NUMBERS // (n_rows * 4 * max(int(state["n_context"]), n_features)))
        per_mask = [f"{name}.{key}" for name, a in self.anchors.items() for key in a.per_mask]
        for start in range(0, len(plan.hidden), size):
            hidden = torch.from_numpy(plan.hidden[start : start + size])
            weight = torch.from_numpy(plan.weight[start : start + size]).unsqueeze(-2)
            at = first + start
            part = state | {key: state[key][at : at + len(hidden)] for key in per_mask}
            closed = self._closed(part, query, hidden)
            yield weight, closed, self._beliefs(part, query, hidden, closed)

    def _anomaly_terms(self, query: MaskedRows, beliefs: Belief) -> Tensor:
        """By the view to which an entry is the strangest: (..., q, d)."""
        residual = query.values - beliefs.mean  # (views, samples, ..., q, d)
        if self.score_name == "variance":
            return self.likelihood.variance * beliefs.scale.square().mean(1).amax(0)
        if self.score_name == "error":
            return (residual / beliefs.scale).square().mean(1).amax(0)
        nll = self.likelihood.nll(residual, beliefs.scale)
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
        """What the anchors believe: (..., q, d), (..., d) -> (..., q, d) each."""
        with torch.no_grad():
            return {
                name: anchor.predict(_part(state, name), query, hidden, leave_out=not self.training)
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
        """Beliefs about all features: (..., q, d), (..., d) -> (views, samples, ..., q, d)."""
        anchored = self._closed(state, query, hidden) if closed is None else closed
        views = [torch.stack(parts) for parts in zip(*anchored.values(), strict=True)]
        views = [part.to(query.values.dtype).unsqueeze(1) for part in views]
        if self.network is None:
            return Belief(*views)
        shown = query.visible * (1.0 - hidden).unsqueeze(-2)  # (..., q, d)
        seen = MaskedRows(query.values * shown, shown)
        if read is None:
            aggregator, tokens = self.network.aggregator, self.network.encoder(seen)
            read = aggregator.read(_part(state, "net"), tokens, seen, hidden)
        out = self.network.decoder(seen, read)  # (..., q, d, 2 views)
        if not isinstance(self.network.aggregator, LatentAggregator):
            out = out.unsqueeze(0)
        return _departures(views, out)


def separation(terms: Array, anomalous: NDArray[np.bool_]) -> Array:
    """How far anomalies move the term of each feature, in spreads of the normals': (m, d) -> (d,).

    One on the mean over features; all one where they move none up.
    """
    normal = terms[~anomalous]
    spread = normal.std(axis=0)
    gap = np.maximum(terms[anomalous].mean(axis=0) - normal.mean(axis=0), 0.0)
    moved = gap / (spread + 0.1 * spread.mean() + 1e-12)
    return moved / moved.mean() if moved.any() else np.ones(terms.shape[1])


def _departures(closed: Sequence[Tensor], out: Tensor) -> Belief:
    """What the decoder's numbers, (samples, ..., q, d, 2 views), make of the anchors' beliefs."""
    shift, stretch = out.unflatten(-1, (-1, 2)).movedim((-2, -1), (1, 0))  # (views, samples, ...)
    if not closed:
        return Belief(shift, LEAST_SCALE + F.softplus(stretch))
    mean, scale = closed
    return Belief(mean + shift * scale, scale * torch.exp(2.0 * torch.tanh(0.5 * stretch)))


def _mean_density(per_order: list[Tensor], asked: Tensor) -> Tensor:
    """Terms whose sum is minus the log of the mean over orders of the density: (m, d)."""
    terms = torch.stack(per_order)  # (orders, m, d)
    log_density = -terms.sum(-1, keepdim=True)
    weight = torch.softmax(log_density, 0)
    mixed = (weight * terms).sum(0)
    total = math.log(len(terms)) - torch.logsumexp(log_density, 0)  # (m, 1)
    rest = total - mixed.sum(-1, keepdim=True)
    return mixed + asked * rest / asked.sum(-1, keepdim=True).clamp(min=1.0)


def _rows(X: Tensor, d: int) -> MaskedRows:
    """The values and marks of described rows of d features."""
    return MaskedRows(X[..., :d], X[..., d : 2 * d])


def _latent(summary: Summary) -> Normal:
    """What a latent aggregator says of its variable."""
    return Normal(summary["location"], summary["scale"], validate_args=False)


def _named(name: str, summary: Mapping[str, Tensor]) -> State:
    return {f"{name}.{key}": value for key, value in summary.items()}


def _part(state: State, name: str) -> Summary:
    return {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}
