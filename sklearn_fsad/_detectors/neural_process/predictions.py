"""Predict features of rows, and split anomaly scores over features, by an adapted process."""

from __future__ import annotations

import numpy as np
import torch

from ..._training.layers import aligned
from ..._training.usual_torch import scoring_torch, usual_torch
from ..._typing import Array
from ..base.adaptation import Adaptation
from .labelled import LabelledAdaptation
from .masks import scoring_plan
from .module import NeuralProcess


def feature_terms(adaptation: Adaptation, rows: Array) -> Array:
    """Split anomaly scores over features: (m, d) -> (m, d), of sum ``adaptation.score(rows)``."""
    represented = adaptation.representation
    with usual_torch():
        values = adaptation.tensors

    def terms(part: Array) -> Array:
        with scoring_torch():
            Z = aligned(represented.transform(part))
            found = adaptation.module.terms(values, Z).numpy()
        if isinstance(adaptation, LabelledAdaptation):
            found = adaptation.terms(represented.transform(part), found)
        return represented.spread_terms(part, found)

    found = adaptation.in_blocks(terms, rows)
    # rows of the support have leave-one-out scores, and those far out of its range another one
    other = (adaptation.lookup.find(rows) >= 0) | adaptation.range.outside(rows)
    if other.any():
        rest = adaptation.score(rows[other]) - found[other].sum(axis=1)
        found[other] += (rest / found.shape[1])[:, None]
    return found


class Predictor:
    """Predict the target features of rows, or each feature in turn, from the other features.

    Parameters
    ----------
    adaptation : Adaptation
        To the support.
    n_features : int
        Number of features.
    """

    def __init__(self, adaptation: Adaptation, n_features: int) -> None:
        self.adaptation = adaptation
        self.targets = adaptation.state.info["targets"]
        represented = adaptation.representation
        plan = scoring_plan(n_features, None, self.targets, 0)
        with scoring_torch():
            self.module: NeuralProcess = adaptation.method._module(adaptation.state, [plan])
            self.values = self.module.adapt(
                aligned(represented.support), aligned(represented.support_y)
            )

    def distribution(self, rows: Array) -> tuple[Array, Array]:
        """Predict means and standard deviations: (m, d) -> (m, n_targets) each."""

        def both(part: Array) -> Array:
            with scoring_torch():
                belief = self.module.predict(self.values, self._represented(part))
            return np.column_stack([part.numpy() for part in belief])

        mean, std = np.split(self.adaptation.in_blocks(both, rows), 2, axis=1)
        return self._in_own_units(mean, std)

    def functions(self, rows: Array) -> Array:
        """Predict means by each latent sample: (m, d) -> (n_samples, m, n_targets)."""

        def means(part: Array) -> Array:
            with scoring_torch():
                found = self.module.predict_samples(self.values, self._represented(part))
            return found.movedim(0, -1).flatten(1).numpy()  # (m, d * n_samples)

        flat = self.adaptation.in_blocks(means, rows)
        n_samples = len(self.module.network.aggregator.noise)
        samples = np.moveaxis(flat.reshape(len(flat), -1, n_samples), -1, 0)
        return np.stack([self._in_own_units(mean, np.ones_like(mean))[0] for mean in samples])

    def _represented(self, part: Array) -> torch.Tensor:
        return aligned(self.adaptation.representation.transform(part))

    def _in_own_units(self, mean: Array, std: Array) -> tuple[Array, Array]:
        columns = slice(None) if self.targets is None else list(self.targets)
        own = self.adaptation.representation.in_own_units(mean, std)
        return own[0][:, columns], own[1][:, columns]
