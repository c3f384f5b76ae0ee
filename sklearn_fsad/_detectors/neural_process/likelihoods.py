"""Compute likelihoods of a feature around a location, in units of a scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Gaussian:
    """Compute likelihoods of the normal distribution."""

    variance = 1.0  # of a variable of scale one

    def nll(self, residual: Tensor, scale: Tensor) -> Tensor:
        """Compute the negative log density of residuals, in nats."""
        return scale.log() + 0.5 * (residual / scale).square() + 0.5 * math.log(2 * math.pi)


class StudentT:
    """Compute likelihoods of Student's t, four degrees of freedom: robust to few far rows."""

    degrees = 4.0
    variance = degrees / (degrees - 2.0)

    def nll(self, residual: Tensor, scale: Tensor) -> Tensor:
        """Compute the negative log density of residuals, in nats."""
        nu = self.degrees
        norm = math.lgamma(nu / 2) - math.lgamma((nu + 1) / 2) + 0.5 * math.log(nu * math.pi)
        return norm + scale.log() + (nu + 1) / 2 * torch.log1p((residual / scale).square() / nu)


LIKELIHOODS: dict[str, type[Gaussian] | type[StudentT]] = {
    "gaussian": Gaussian,
    "student-t": StudentT,
}
