"""Losses of an episode; query rows labelled -1 are padding and do not count."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PairwiseLoss(nn.Module):
    """Logistic loss of every (anomalous, normal) pair of an episode: a smooth 1 - AUC.

    Each episode weighs the same, whatever the number of its rows; one without a pair counts
    nothing.
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, scores: Tensor, y: Tensor) -> Tensor:
        """Average over episodes the mean loss of their pairs.

        Parameters
        ----------
        scores : Tensor of shape (..., n_query) or (n_versions, ..., n_query)
            Of the queries; of several versions all count.
        y : Tensor of shape (..., n_query)
            Labels: 0 normal, 1 anomalous, -1 padding.

        Returns
        -------
        loss : Tensor
            A scalar.
        """
        y = y.expand(scores.shape)
        anomalous, is_anomalous = _gathered(scores, y == 1)
        normal, is_normal = _gathered(scores, y == 0)
        gap = anomalous.unsqueeze(-1) - normal.unsqueeze(-2)  # (..., anomalous, normal)
        pair = (is_anomalous.unsqueeze(-1) & is_normal.unsqueeze(-2)).to(gap.dtype)
        n_pairs = pair.sum((-2, -1))
        loss = (F.softplus(-gap) * pair).sum((-2, -1)) / n_pairs.clamp(min=1)
        return loss.sum() / (n_pairs > 0).sum().clamp(min=1)


class TopLoss(nn.Module):
    """Logistic loss of each anomaly against a soft maximum of the normals of its episode [1]_.

    It asks that anomalies stand above the strangest normals, where few rows can be looked at.

    References
    ----------
    .. [1] C. Rudin, "The P-norm push: a simple convex ranking algorithm that concentrates at the
       top of the list", Journal of Machine Learning Research 10, 2009.
    """

    sharpness, margin = 2.0, 2.0

    def forward(self, scores: Tensor, y: Tensor) -> Tensor:
        """Scores and labels of the queries: (..., n_query) each -> scalar."""
        anomalous, is_anomalous = _gathered(self.sharpness * scores, y == 1)
        normal, is_normal = _gathered(self.sharpness * scores, y == 0)
        n, k = is_normal.sum(-1), is_anomalous.sum(-1)
        top = torch.logsumexp(normal.masked_fill(~is_normal, -1e9), -1) - n.clamp(min=1).log()
        loss = F.softplus(top.unsqueeze(-1) - anomalous + self.margin) * is_anomalous
        counts = (n > 0) & (k > 0)
        return (loss.sum(-1) / k.clamp(min=1) * counts).sum() / counts.sum().clamp(min=1)


def _gathered(scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The scores that a mask picks, moved to the front, and which of them are not padding."""
    width = int(mask.sum(-1).max())
    front = mask.to(torch.int8).argsort(dim=-1, descending=True, stable=True)[..., :width]
    return scores.gather(-1, front), mask.gather(-1, front)


class MeanLoss(nn.Module):
    """Mean over queries of what the module itself finds to be its loss."""

    def forward(self, losses: Tensor, y: Tensor) -> Tensor:
        """Losses and labels of the queries: (..., n_query) each -> scalar."""
        counted = y != -1
        return (losses * counted).sum() / counted.sum().clamp(min=1)
