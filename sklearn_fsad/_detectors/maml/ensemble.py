"""Average networks that learned from different tasks, and use a share of their correction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ..._training.layers import aligned
from ..._training.weights import from_arrays, to_arrays
from ..._typing import Array, Codes
from ..base.adaptation import Adaptation
from .inner_loop import GradientAdaptation
from .learners import Autoencoder

_NETWORK = "network."
_SIZES, _EARLIER_SIZES = "sizes", "use"  # version 0.1.0 had one network, and used it or not


class NetworkEnsemble(nn.Module):
    """Adapt several networks to a task, and score rows by the mean of their scores.

    Where the networks correct a closed form, the score is that of the closed form and a share of
    the mean correction: the mean of networks that learned from different tasks has less noise than
    one network of all tasks [1]_.

    Parameters
    ----------
    networks : sequence of GradientAdaptation
        Networks of one shape.
    sizes : sequence of two float, default=(1.0, 1.0)
        Share of the correction that is used, without and with labelled anomalies.

    References
    ----------
    .. [1] L. Breiman, "Bagging predictors", Machine Learning 24, 1996.
    """

    def __init__(
        self, networks: Sequence[GradientAdaptation], sizes: Sequence[float] = (1.0, 1.0)
    ) -> None:
        super().__init__()
        self._networks = nn.ModuleList(networks)
        self.sizes = tuple(float(size) for size in sizes)
        self.learner = networks[0].learner

    @property
    def networks(self) -> list[GradientAdaptation]:
        """The networks."""
        return cast("list[GradientAdaptation]", list(self._networks))

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, Array], new_network: Callable[[], GradientAdaptation]
    ) -> NetworkEnsemble:
        """Make the networks of a state, in float64 and without gradients."""
        weights = from_arrays(arrays, _NETWORK)
        if _SIZES not in arrays:
            weights = {name: value[None] for name, value in weights.items()}
        networks = []
        for i in range(len(next(iter(weights.values())))):
            with torch.device("meta"):  # initial weights would draw from the global generator
                network = new_network()
            of_one = {name: value[i] for name, value in weights.items()}
            network.load_state_dict(of_one, assign=True)
            networks.append(network.requires_grad_(False).eval())
        return cls(networks, sizes_of(arrays) or (1.0, 1.0))

    def to_arrays(self) -> dict[str, Array]:
        """Return named arrays for a :class:`MetaState`: (n_networks, ...) each."""
        of_each = [to_arrays(network.state_dict(), _NETWORK) for network in self.networks]
        stacked = {name: np.stack([weights[name] for weights in of_each]) for name in of_each[0]}
        return {**stacked, _SIZES: np.array(self.sizes)}

    def adapt(self, X: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Adapt all networks to a support: (..., n, columns), (..., n).

        Returns
        -------
        state : dict of str to Tensor
            Adapted weights of shape (n_networks, ...), the mean loss before and after each step,
            and the share of the correction that is used.
        """
        states = [network.adapt(X, y) for network in self.networks]
        state = {name: torch.stack([s[name] for s in states]) for name in states[0]}
        without, with_anomalies = self.sizes
        size = torch.full(y.shape[:-1], without, dtype=X.dtype)
        size[(y == 1).any(-1)] = with_anomalies
        return {**state, "losses": state["losses"].mean(0), "size": size}

    def score(self, state: dict[str, Tensor], X: Tensor) -> Tensor:
        """Score rows: (..., m, columns) -> (..., m)."""
        return self._sized(state["size"], self._mean_score(self.weights_in(state), X), X)

    def score_unadapted(self, state: dict[str, Tensor], X: Tensor) -> Tensor:
        """Score rows by the networks before any step: (m, columns) -> (m,)."""
        initial = [list(network.learner.weights) for network in self.networks]
        return self._sized(state["size"], self._mean_score(initial, X), X)

    def feature_errors(self, state: dict[str, Tensor], X: Tensor) -> Tensor:
        """Compute the mean error of each feature: (m, columns) -> (m, n_features)."""
        learner = cast("Autoencoder", self.learner)
        errors = [learner.feature_errors(w, X) for w in self.weights_in(state)]
        return torch.stack(errors).mean(0)

    def weights_in(self, state: dict[str, Tensor]) -> list[list[Tensor]]:
        """Extract the weights of each network from what :meth:`adapt` returned."""
        n_tensors = len(self.learner.weights)
        return [
            [state[f"weights_{j}"][i] for j in range(n_tensors)] for i in range(len(self.networks))
        ]

    def _mean_score(self, weights: Sequence[Sequence[Tensor]], X: Tensor) -> Tensor:
        scores = [
            network.learner.score(of_one, X)
            for network, of_one in zip(self.networks, weights, strict=True)
        ]
        return torch.stack(scores).mean(0)

    def _sized(self, size: Tensor, scores: Tensor, X: Tensor) -> Tensor:
        """Return the closed form with a share of the correction."""
        if not self.learner.residual:
            return scores
        return torch.lerp(X[..., -1], scores, size.unsqueeze(-1))


def sizes_of(arrays: Mapping[str, Array]) -> tuple[float, float] | None:
    """Return the shares of the correction in a state's arrays; None if it has no network."""
    sizes = arrays.get(_SIZES, arrays.get(_EARLIER_SIZES))
    return None if sizes is None else (float(sizes[0]), float(sizes[1]))


def scores_after(adapted: Adaptation, labels: Codes, rows: Array | None = None) -> Array:
    """Score the support by networks that adapt to other labels, or to other rows.

    Parameters
    ----------
    adapted : Adaptation
        The adaptation to the support.
    labels : ndarray of shape (n_networks, n_support)
        Labels that each network adapts to.
    rows : ndarray of shape (n_support, columns), default=None
        Rows to adapt to; None means the support.

    Returns
    -------
    scores : ndarray of shape (n_networks, n_support)
        Larger = more anomalous.
    """
    Z = aligned(adapted.representation.support).expand(len(labels), -1, -1)
    seen = Z if rows is None else aligned(rows).expand(len(labels), -1, -1)
    with torch.no_grad():
        state = adapted.module.adapt(seen, torch.from_numpy(labels))
        return adapted.module.score(state, Z).numpy()
