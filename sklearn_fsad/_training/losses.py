"""Compute losses of episodes; query rows labelled -1 are padding and do not count."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PairwiseLoss(nn.Module):
    """Compute the logistic loss of all (anomalous, normal) query pairs: a smooth 1 - AUC.

    Each episode has the same weight, whatever the number of its rows; one without a pair has none.
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, scores: Tensor, y: Tensor) -> Tensor:
        """Average over episodes the mean loss of their pairs.

        Parameters
        ----------
        scores : Tensor of shape (..., n_query) or (n_versions, ..., n_query)
            Scores of the queries; with several versions, the loss is their mean.
        y : Tensor of shape (..., n_query)
            Labels: 0 normal, 1 anomalous, -1 padding.

        Returns
        -------
        loss : Tensor
            A scalar.
        """
        losses, has_pair = pairwise_losses(scores, y)
        return losses.sum() / has_pair.sum().clamp(min=1)


def pairwise_losses(scores: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss of each episode, 0 without a pair, and whether it has one: (...) each."""
    y = y.expand(scores.shape)
    anomalous, is_anomalous = _gathered(scores, y == 1)
    normal, is_normal = _gathered(scores, y == 0)
    gap = anomalous.unsqueeze(-1) - normal.unsqueeze(-2)  # (..., anomalous, normal)
    pair = (is_anomalous.unsqueeze(-1) & is_normal.unsqueeze(-2)).to(gap.dtype)
    n_pairs = pair.sum((-2, -1))
    return (F.softplus(-gap) * pair).sum((-2, -1)) / n_pairs.clamp(min=1), n_pairs > 0


class TopLoss(nn.Module):
    """Compare each anomaly with a soft maximum of the normals of its episode, logistically [1]_.

    The loss is low where anomalies score above the highest-scoring normals: for uses in which only
    a few rows with the highest scores are inspected.

    References
    ----------
    .. [1] C. Rudin, "The P-norm push: a simple convex ranking algorithm that concentrates at the
       top of the list", Journal of Machine Learning Research 10, 2009.
    """

    sharpness, margin = 2.0, 2.0

    def forward(self, scores: Tensor, y: Tensor) -> Tensor:
        """Compute the loss of scores and labels of the queries: (..., n_query) each -> scalar."""
        anomalous, is_anomalous = _gathered(self.sharpness * scores, y == 1)
        normal, is_normal = _gathered(self.sharpness * scores, y == 0)
        n, k = is_normal.sum(-1), is_anomalous.sum(-1)
        top = torch.logsumexp(normal.masked_fill(~is_normal, -1e9), -1) - n.clamp(min=1).log()
        loss = F.softplus(top.unsqueeze(-1) - anomalous + self.margin) * is_anomalous
        counts = (n > 0) & (k > 0)
        return (loss.sum(-1) / k.clamp(min=1) * counts).sum() / counts.sum().clamp(min=1)


def _gathered(scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Move the scores that a mask selects to the front; also mark which are not padding."""
    width = int(mask.sum(-1).max())
    front = mask.to(torch.int8).argsort(dim=-1, descending=True, stable=True)[..., :width]
    return scores.gather(-1, front), mask.gather(-1, front)


class MeanLoss(nn.Module):
    """Average over queries the loss that the module itself returns."""

    def forward(self, losses: Tensor, y: Tensor) -> Tensor:
        """Average losses of the queries, with their labels: (..., n_query) each -> scalar."""
        counted = y != -1
        return (losses * counted).sum() / counted.sum().clamp(min=1)
