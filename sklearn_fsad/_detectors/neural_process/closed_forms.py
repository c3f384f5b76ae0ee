"""Predict hidden features from visible ones and a context by closed forms.

A neural process learns departures from these distributions. All of them are computed in double
precision, over any number of leading dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..._training.layers import row_product
from .kernel_regression import FAR, SAME, smooth

LEAST_SCALE = 0.03  # of a feature's spread in the support: keeps densities finite
_LEAST_SHRINKAGE = 1e-6
_LEAST_WIDTH = 1e-3
_LEAST_SHARE = 1e-6
_MOST_PROBES = 64
_SIZES = 8
WHOLE_ROWS = 8  # of a product: what is left over is rounded otherwise by some processors
_EXACT = "donot_use_mm_for_euclid_dist"


class MaskedRows(NamedTuple):
    """Hold rows with missing entries.

    Attributes
    ----------
    values : Tensor of shape (..., n, d)
        Zero where an entry is missing.
    visible : Tensor of shape (..., n, d)
        1 where an entry is not missing, else 0.
    """

    values: Tensor
    visible: Tensor


def n_distinct(rows: MaskedRows) -> int:
    """Count rows without those at the end that repeat the last one, which fill up a block."""
    if len(rows.values) == 1:
        return 1
    differs = (rows.values != rows.values[-1]).any(-1) | (rows.visible != rows.visible[-1]).any(-1)
    return int(differs.nonzero()[-1]) + 2 if differs.any() else 1


def with_repeats(n: int, n_rows: int) -> Tensor:
    """Return positions of so many rows among n, the last of them repeated: (n_rows,)."""
    return torch.arange(n_rows).clamp(max=n - 1)


class Belief(NamedTuple):
    """Hold location and scale of the distribution of each entry: (..., n, d) each."""

    mean: Tensor
    scale: Tensor


Summary = dict[str, Tensor]


class CovariancePrior(NamedTuple):
    """Hold a covariance ``factor factor' + rest I`` that counts as ``n_rows`` rows of a context."""

    factor: Tensor  # (d, r)
    rest: float
    n_rows: float


class LinearAnchor:
    """Predict features by a Gaussian with the shrunk covariance of the context.

    The covariance is shrunk to a multiple of the identity, by the intensity of oracle approximating
    shrinkage [1]_. Pairs of features with a missing entry in a row of the context are left out.

    Parameters
    ----------
    prior : CovariancePrior or None, default=None
        Covariance of other tasks.

    References
    ----------
    .. [1] Y. Chen et al., "Shrinkage algorithms for MMSE covariance estimation", IEEE Transactions
       on Signal Processing 58, 2010.
    """

    per_mask = ("coded",)

    def __init__(self, prior: CovariancePrior | None = None) -> None:
        self.prior = prior

    def summarise(self, context: MaskedRows, counted: Tensor, hidden: Tensor) -> Summary:
        """Summarise a context by the tensors that prediction needs.

        Parameters
        ----------
        context : MaskedRows of shape (..., n, d)
            Rows of the support.
        counted : Tensor of shape (..., n)
            True for rows that are not padding.
        hidden : Tensor of shape (..., d) or (m, ..., d)
            1 for features to predict, else 0, for each of m masks.
        """
        mean, factor, rest = _shrunk_covariance(context, counted, self.prior)
        seen = (1.0 - hidden.double()).unsqueeze(-1)  # (..., d, 1)
        # inversion lemma: a system of r equations for every mask, rather than of d
        inner = (factor * seen).mT @ factor  # (..., r, r)
        inner = inner + rest * torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
        return {
            "mean": mean,  # (..., 1, d)
            "factor": factor,  # (..., d, r)
            "rest": rest,  # (..., 1, 1)
            "coded": factor @ torch.linalg.inv(inner),  # (..., d, r)
        }

    def predict(
        self, summary: Summary, rows: MaskedRows, hidden: Tensor, leave_out: bool = False
    ) -> Belief:
        """Predict every feature from those not hidden: (..., q, d), (..., d) -> (..., q, d).

        ``leave_out`` is ignored: one row more or less in the context hardly changes a covariance.
        """
        return self._predicted(summary, rows, hidden, row_product)

    def predict_hidden(self, summary: Summary, rows: MaskedRows, hidden: Tensor) -> Belief:
        """Predict as :meth:`predict` does; products round a row alike among any number of rows."""
        return self._predicted(summary, rows, hidden, _product_by_eights)

    def _predicted(
        self,
        summary: Summary,
        rows: MaskedRows,
        hidden: Tensor,
        product: Callable[[Tensor, Tensor], Tensor],
    ) -> Belief:
        mean, factor, rest, coded = (summary[key] for key in ("mean", "factor", "rest", "coded"))
        seen = rows.visible.double() * (1.0 - hidden.double()).unsqueeze(-2)  # (..., q, d)
        centred = (rows.values.double() - mean) * seen
        predicted = product(product(centred, coded), factor.mT)
        left = (coded * factor).sum(-1).unsqueeze(-2).expand(predicted.shape)
        some = seen.any(-1, keepdim=True)
        lacks = (1.0 - rows.visible.double()) * (1.0 - hidden.double()).unsqueeze(-2) * some
        if lacks.any():
            predicted, own = _with_missing(coded @ factor.mT, lacks, predicted)
            left = torch.where(lacks.any(-1, keepdim=True), own, left)
        left = torch.where(some, left, factor.square().sum(-1).unsqueeze(-2) / rest)
        # conditional variance: own noise plus the uncertainty about factors that visible ones leave
        variance = rest * (1.0 + left)
        return Belief(mean + predicted, variance.clamp(min=LEAST_SCALE**2).sqrt())


class KernelAnchor:
    """Predict features by a Gaussian kernel regression on similar rows of the context [1]_.

    The width of the kernel is the median squared distance of a row of the context to its nearest
    neighbour in the visible features. The scale adds up the local variance and the squared distance
    to the nearest row, so that it is large for a row unlike all others. A row that is in the
    context itself can be predicted from the others.

    References
    ----------
    .. [1] E. A. Nadaraya, "On estimating regression", Theory of Probability and its Applications 9,
       1964.
    """

    per_mask = ("width",)

    def summarise(self, context: MaskedRows, counted: Tensor, hidden: Tensor) -> Summary:
        """Summarise a context by rows and kernel width; see :meth:`LinearAnchor.summarise`."""
        rows = MaskedRows(context.values.double(), context.visible.double())
        seen = (1.0 - hidden.double()).unsqueeze(-2)
        n_probes = min(rows.values.shape[-2], _MOST_PROBES)
        probes = MaskedRows(*(part[..., :n_probes, :] for part in rows))
        if (rows.visible == 1).all():
            distance = torch.cdist(probes.values * seen, rows.values * seen, compute_mode=_EXACT)
            distance = distance.square()
        else:
            distance = _squared_distance(probes, rows, seen)
        shape = n_probes, rows.values.shape[-2]
        itself = torch.eye(*shape, dtype=torch.bool, device=distance.device)
        nearest = distance.masked_fill(itself | ~counted.unsqueeze(-2), FAR).amin(-1)
        nearest = nearest.masked_fill(~counted[..., :n_probes], torch.nan)
        width = nearest.nanmedian(-1).values.clamp(max=FAR) + _LEAST_WIDTH
        return {**rows._asdict(), "counted": counted, "width": width[..., None, None]}

    def predict(
        self, summary: Summary, rows: MaskedRows, hidden: Tensor, leave_out: bool = False
    ) -> Belief:
        """Predict every feature from those not hidden: (..., q, d), (..., d) -> (..., q, d).

        With ``leave_out`` rows that are in the context are predicted from the others.
        """
        context = MaskedRows(summary["values"], summary["visible"])
        seen = (1.0 - hidden.double()).unsqueeze(-2)
        query = MaskedRows(rows.values.double(), rows.visible.double())
        distance = _squared_distance(query, context, seen)  # (..., q, n)
        twins = torch.zeros((), dtype=torch.bool, device=distance.device)
        if leave_out:
            twins = _twins(query, context)
        distance = distance.masked_fill(twins, FAR)
        distance = distance.masked_fill(~summary["counted"].unsqueeze(-2), torch.inf)
        weight = torch.softmax(-0.5 * distance / summary["width"], -1)
        mean, local = _moments(weight, context)
        if not (context.visible == 1).all():  # far rows where all near ones lack a feature
            slow = summary["width"] / (summary["width"] + distance)
            far_mean, far_local = _moments(slow.masked_fill(twins, 0.0), context)
            few = row_product(weight, context.visible) < _LEAST_SHARE
            mean, local = torch.where(few, far_mean, mean), torch.where(few, far_local, local)
        n_seen = (query.visible * seen).sum(-1, keepdim=True).clamp(min=1.0)
        # never below the width: within it, distances say nothing about a row
        apart = torch.maximum(distance.amin(-1, keepdim=True), summary["width"]) / n_seen
        return Belief(mean, (local + apart + (2 * LEAST_SCALE) ** 2).sqrt())

    def predict_hidden(self, summary: Summary, rows: MaskedRows, hidden: Tensor) -> Belief:
        """Predict hidden features as :meth:`predict` does, those of rows in the context left out.

        Whole rows, of a whole context, are predicted by compiled loops; their features that are
        not hidden have mean 0.

        Parameters
        ----------
        summary : dict of str to Tensor
            Of the context, for m masks.
        rows : MaskedRows of shape (q, d)
            Rows in double precision, on the CPU.
        hidden : Tensor of shape (m, d)
            Masks.

        Returns
        -------
        belief : Belief of shape (m, q, d)
            Location and scale.
        """
        whole = (rows.visible == 1).all(-1)
        if not (whole.any() and (summary["visible"] == 1).all()):
            return self.predict(summary, rows, hidden, leave_out=True)
        if whole.all():
            n = n_distinct(rows)
            repeats = with_repeats(n, len(rows.values))
            belief = self._of_whole(summary, rows.values[:n], hidden)
            return Belief(*(part[:, repeats] for part in belief))
        with_gaps = self.predict(summary, rows, hidden, leave_out=True)
        belief = self._of_whole(summary, rows.values[whole], hidden)
        for part, own in zip(with_gaps, belief, strict=True):
            part[:, whole] = own
        return with_gaps

    def _of_whole(self, summary: Summary, rows: Tensor, hidden: Tensor) -> Belief:
        """Predict hidden features of whole rows: (q, d), (m, d) -> (m, q, d)."""
        width = summary["width"]
        found = smooth(
            rows.numpy(), summary["values"].mT.numpy(), hidden.numpy(), width.flatten().numpy()
        )
        mean, local, distance = (torch.from_numpy(part) for part in found)
        n_seen = (1.0 - hidden).sum(-1)[:, None, None].clamp(min=1.0)
        apart = torch.maximum(distance.unsqueeze(-1), width) / n_seen
        return Belief(mean, (local + apart + (2 * LEAST_SCALE) ** 2).sqrt())


def _product_by_eights(X: Tensor, W: Tensor) -> Tensor:
    """Multiply matrices, eight rows of X at once: (..., q, d), (..., d, k) -> (..., q, k)."""
    q = X.shape[-2]
    eights = F.pad(X, (0, 0, 0, -q % WHOLE_ROWS)).split(WHOLE_ROWS, -2)
    return torch.cat([row_product(rows, W) for rows in eights], -2)[..., :q, :]


def _shrunk_covariance(
    context: MaskedRows, counted: Tensor, prior: CovariancePrior | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Estimate mean, factor U and level r of the covariance U U' + r I of a context."""
    values = context.values.double()
    visible = context.visible.double() * counted.unsqueeze(-1)  # (..., n, d)
    n_rows = counted.double().sum(-1)[..., None, None].clamp(min=1.0)
    d = values.shape[-1]
    mean = (values * visible).sum(-2, keepdim=True) / visible.sum(-2, keepdim=True).clamp(min=1.0)
    centred = (values - mean) * visible
    if int(counted.sum(-1).max()) < d:  # too few pairs to leave any out: missing means the mean
        root = centred.mT / n_rows.sqrt()  # (..., d, n)
    else:
        whole = bool((visible.sum(-2, keepdim=True) == n_rows).all())
        pairs = n_rows if whole else (visible.mT @ visible).clamp(min=1.0)
        eigenvalues, vectors = torch.linalg.eigh(centred.mT @ centred / pairs)
        root = vectors * eigenvalues.clamp(min=0.0).sqrt().unsqueeze(-2)  # (..., d, d)
    rest = torch.zeros_like(n_rows)
    if prior is not None:
        # sample and pooled covariance weigh by their rows, as under a conjugate prior
        share = prior.n_rows / (n_rows + prior.n_rows)
        pooled = prior.factor.to(root.device).expand(*root.shape[:-1], -1)
        root = torch.cat([root * (1.0 - share).sqrt(), pooled * share.sqrt()], -1)
        rest = share * prior.rest
        n_rows = n_rows + prior.n_rows
    gram = root.mT @ root if root.shape[-1] < d else root @ root.mT
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    level = trace / d + rest
    mean_square = (gram.square().sum((-2, -1), keepdim=True) + rest * (2 * trace + d * rest)) / d**2
    # the intensity of Chen et al. without its terms in 2 / d, as in scikit-learn's OAS
    gap = (n_rows + 1.0) * (mean_square - level.square() / d)
    intensity = torch.where(gap > 0, (mean_square + level.square()) / gap, torch.ones_like(gap))
    intensity = intensity.clamp(max=1.0)
    rest = (1.0 - intensity) * rest + intensity * level + _LEAST_SHRINKAGE
    return mean, root * (1.0 - intensity).sqrt(), rest


def _with_missing(gain: Tensor, missing: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
    """Correct predictions and remaining variances for entries that ``gain`` used and rows lack.

    By the matrix inversion lemma each row needs a system of as many equations as it lacks entries;
    the number is rounded up so that rows of one size are solved at once. (..., d, d), (..., q, d),
    (..., q, d) -> (..., q, d) each.
    """
    leading, (q, d) = predicted.shape[:-2], predicted.shape[-2:]
    gain = gain.expand(*leading, d, d).flatten(0, -3) if leading else gain[None]
    missing, flat = missing.reshape(-1, d), predicted.reshape(-1, d).clone()
    which = torch.arange(len(flat), device=flat.device) // q
    left = gain.diagonal(dim1=-2, dim2=-1)[which].clone()
    size = torch.ceil(missing.sum(-1) / _SIZES).long() * _SIZES
    for k in size[size > 0].unique():
        rows = (size == k).nonzero()[:, 0]  # (s,)
        order = missing[rows].argsort(descending=True, stable=True)[:, :k]  # (s, k)
        lost = missing[rows].gather(1, order)
        at = which[rows, None], order
        cross = gain[at] * lost.unsqueeze(-1)  # (s, k, d)
        system = cross.gather(2, order.unsqueeze(1).expand(-1, order.shape[1], -1))
        same = torch.eye(order.shape[1], dtype=gain.dtype, device=gain.device)
        system = same - system * lost.unsqueeze(1)
        wanted = torch.cat([(flat[rows].gather(1, order) * lost).unsqueeze(-1), cross], -1)
        solved = torch.linalg.solve(system, wanted)  # (s, k, 1 + d)
        flat[rows] += (solved[..., :1] * cross).sum(1)
        left[rows] += (solved[..., 1:] * cross).sum(1)
    return flat.reshape(predicted.shape), left.reshape(predicted.shape)


def _moments(weight: Tensor, context: MaskedRows) -> tuple[Tensor, Tensor]:
    """Compute weighted mean and variance of visible entries: (..., q, n) -> (..., q, d) each."""
    if (context.visible == 1).all():
        values = context.values
        both = row_product(weight, torch.cat([values, values.square()], -1))
        mean, square = (both / weight.sum(-1, keepdim=True)).chunk(2, -1)
        return mean, (square - mean.square()).clamp(min=0.0)
    share = row_product(weight, context.visible).clamp(min=_LEAST_SHARE**2)
    mean = row_product(weight, context.values) / share
    square = row_product(weight, context.values.square()) / share
    return mean, (square - mean.square()).clamp(min=0.0)


def _twins(rows: MaskedRows, others: MaskedRows) -> Tensor:
    """Mark the first other row that equals a row: (..., q, d), (..., n, d) -> (..., q, n)."""
    everything = torch.ones_like(rows.values[..., :1, :])
    distance = _squared_distance(rows, others, everything)
    common = rows.visible @ others.visible.mT
    alike = (common == rows.visible.sum(-1, keepdim=True)) & (
        common == others.visible.sum(-1).unsqueeze(-2)
    )
    near = distance <= SAME * (1.0 + rows.values.square().sum(-1, keepdim=True))
    same = alike & near & (common > 0)
    return same & (same.cumsum(-1) == 1)


def _squared_distance(rows: MaskedRows, others: MaskedRows, seen: Tensor) -> Tensor:
    """Compute squared distances in features visible in both rows, scaled up for the others.

    (..., q, d), (..., n, d), (..., 1, d) -> (..., q, n)
    """
    a = rows.values * seen  # values are zero where they are missing
    own, of_others = a.square().sum(-1, keepdim=True), (others.values.square() * seen).sum(-1)
    inner = row_product(a, others.values.mT)
    distance = own + of_others.unsqueeze(-2) - 2.0 * inner
    whole = (rows.visible == 1).all(-1, keepdim=True) & (others.visible == 1).all()
    if whole.all():
        return distance.clamp(min=0.0)
    visible = rows.visible * seen
    common = row_product(visible, others.visible.mT)
    wanted = visible.sum(-1, keepdim=True)
    shared = row_product(a.square(), others.visible.mT)
    shared = shared + row_product(visible, others.values.square().mT)
    shared = (shared - 2.0 * inner) * (wanted / common.clamp(min=1.0))
    shared = shared.masked_fill((common == 0) & (wanted > 0), FAR)
    return torch.where(whole, distance, shared).clamp(min=0.0)
