"""Fill missing entries with their expected values under a Gaussian that few rows determine."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._typing import Array, Mask
from .compiled import row_product
from .covariance import LEAST_VARIANCE, ShrunkCovariance
from .moments import NEAR, compressed, feature_spread, stable_mean

_ITERATIONS = 4
_FOLDS = 5
_MOST_FACTORS = 10  # as good as 32
_LEAST_REST = 0.02  # of the mean variance: variance that columns share with no other
_MOST_NUMBERS = 2**18  # in one stack of systems of equations


class Gaussian(NamedTuple):
    """Hold a mean (d,) and a covariance ``factor factor' + rest I``, with a factor (d, r)."""

    mean: Array
    factor: Array
    rest: float

    @classmethod
    def of(cls, rows: Array) -> Gaussian:
        """Estimate from rows without gaps, shrunk to a multiple of the identity: (n, d)."""
        mean = rows.mean(axis=0)
        shrunk = ShrunkCovariance(rows - mean, None, LEAST_VARIANCE)
        order = np.argsort(-shrunk.shrunk, kind="stable")
        largest, others = order[:_MOST_FACTORS], order[_MOST_FACTORS:]
        rest = max(shrunk.rest, _LEAST_REST * shrunk.level)
        rest += float(np.maximum(shrunk.shrunk[others] - rest, 0.0).sum()) / rows.shape[1]
        own = np.sqrt(np.maximum(shrunk.shrunk[largest] - rest, 0.0))
        return cls(mean, np.ascontiguousarray(shrunk.basis[:, largest] * own), rest)

    def filled(self, Z: Array) -> Array:
        """Replace missing entries by their conditional means, row by row: (m, d) -> (m, d)."""
        rows = np.flatnonzero(np.isnan(Z).any(axis=1))
        out, r = Z.copy(), self.factor.shape[1]
        at_once = max(1, _MOST_NUMBERS // max(r * r, 1))
        for start in range(0, len(rows), at_once):
            part = rows[start : start + at_once]
            out[part] = np.where(np.isnan(Z[part]), self._predicted(Z[part]), Z[part])
        return out

    def _predicted(self, Z: Array) -> Array:
        """Predict all entries of rows from those that they have: (m, d) -> (m, d)."""
        known, r = ~np.isnan(Z), self.factor.shape[1]
        i, j = np.tril_indices(r)  # of symmetric systems of r equations
        products = np.ascontiguousarray(self.factor[:, i] * self.factor[:, j])
        sums = row_product(known.astype(np.float64), products)
        systems = np.empty((len(Z), r, r))
        systems[:, i, j] = systems[:, j, i] = sums
        systems[:, np.arange(r), np.arange(r)] += self.rest
        along = row_product(np.where(known, Z - self.mean, 0.0), self.factor)
        codes = np.asarray(np.linalg.solve(systems, along[:, :, None])[:, :, 0], dtype=np.float64)
        predicted: Array = row_product(codes, np.ascontiguousarray(self.factor.T))
        return predicted + self.mean


class GapFiller:
    """Fill gaps of rows by what the rows of a support have in common.

    Missing entries are replaced by their conditional means, given the entries that the row has,
    under a Gaussian that is estimated by expectation-maximisation [1]_: without the conditional
    covariances, which made no difference, and shrunk [2]_. Columns are scaled, and compressed far
    out.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Rows of the support, with NaN for missing entries. A column without any entry is left out:
        it is filled with zeros, in other rows too.
    normal : ndarray of shape (n,), dtype bool
        Which of them are normal.

    References
    ----------
    .. [1] A. P. Dempster, N. M. Laird and D. B. Rubin, "Maximum likelihood from incomplete data via
       the EM algorithm", Journal of the Royal Statistical Society B 39, 1977.
    .. [2] O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance
       matrices", Journal of Multivariate Analysis 88, 2004.
    """

    def __init__(self, X: Array, normal: Mask) -> None:
        known = ~np.isnan(X)
        self._empty = ~known.any(axis=0)
        self._low = np.where(known, X, np.inf).min(axis=0)
        self._high = np.where(known, X, -np.inf).max(axis=0)
        self._low[self._empty] = self._high[self._empty] = 0.0
        near = _without_far_values(X, normal)
        self._centre, self._spread = stable_mean(near), feature_spread(near)
        self._X = X
        rows = np.where(known, self._scaled(X), 0.0)
        if not known.all():
            for _ in range(_ITERATIONS):
                rows = Gaussian.of(rows).filled(self._scaled(X))
        self._rows = rows
        self._gaussian = Gaussian.of(rows)

    def fill(self, X: Array) -> Array:
        """Fill the gaps of rows, each on its own: (m, d) -> (m, d)."""
        return self._in_units(X, self._gaussian.filled(self._scaled(X)))

    def filled_support(self) -> Array:
        """Fill the gaps of each row of the support by the other rows, in folds: (n, d)."""
        Z, rows = self._scaled(self._X), self._rows
        if len(rows) < 3:
            return self.fill(self._X)
        place = np.argsort(rows.sum(axis=1), kind="stable")  # whatever the order of columns
        has_gaps = np.asarray(np.isnan(self._X).any(axis=1))
        gaps, folds = place[has_gaps[place]], min(_FOLDS, len(rows))
        filled = Z.copy()
        for fold in range(folds):
            out = gaps[fold::folds]
            if len(out):
                filled[out] = Gaussian.of(np.delete(rows, out, axis=0)).filled(Z[out])
        return self._in_units(self._X, filled)

    def _scaled(self, X: Array) -> Array:
        Z = compressed((X - self._centre) / self._spread)
        return np.where(self._empty, np.nan, Z)

    def _in_units(self, X: Array, Z: Array) -> Array:
        """Put filled entries, within the range of the support, into the gaps of rows."""
        values = np.clip(Z, -NEAR, NEAR) * self._spread + self._centre
        values = np.clip(values, self._low, self._high)
        return np.where(self._empty, 0.0, np.where(np.isnan(X), values, X))


def _without_far_values(X: Array, normal: Mask) -> Array:
    """Clip rows to five spreads of the normal ones, in columns of which these have some: (n, d)."""
    known = ~np.isnan(X[normal]).all(axis=0)
    reach = np.where(known, NEAR * feature_spread(X[normal]), np.inf)
    centre = stable_mean(X[normal])
    return np.clip(X, centre - reach, centre + reach)


class GapEvidence:
    """Score rows by which of their entries are missing, larger = more anomalous.

    A gap hides what may be anomalous in a row, so that its other scores fall with the share of
    entries that are missing, of those that normal rows have; this share makes up for it. A row
    with gaps where the support has none, or with entries where the support has gaps, scores higher
    if that is improbable: the surprise of its gaps is more than two standard deviations above its
    mean.

    Parameters
    ----------
    missing : ndarray of shape (n, d), dtype bool
        Missing entries of the normal rows of the support.
    n_anomalous : int
        Number of labelled anomalies.
    """

    def __init__(self, missing: Mask, n_anomalous: int) -> None:
        n = len(missing)
        overall = (missing.sum() + 0.5) / (missing.size + 1.0)
        least = 0.5 / (n + 1.0)
        share = np.clip((missing.sum(axis=0) + 2.0 * overall) / (n + 2.0), least, 1.0 - least)
        self._if_missing, self._if_not = -np.log(share), -np.log1p(-share)
        self._usual = 1.0 - share
        differs = self._if_missing - self._if_not
        self._mean = float((share * self._if_missing + (1.0 - share) * self._if_not).sum())
        self._spread = float(np.sqrt((share * (1.0 - share) * differs**2).sum() + 0.1))
        self._slope = 0.5 if n_anomalous == 0 else 0.25
        self._of_complete_row = self._of(np.zeros((1, missing.shape[1]), dtype=bool))

    def __call__(self, missing: Mask) -> NDArray[np.float64]:
        """Score rows by their missing entries: (m, d) -> (m,); 0 for a row that has all."""
        return self._of(missing) - self._of_complete_row

    def _of(self, missing: Mask) -> NDArray[np.float64]:
        surprise = np.where(missing, self._if_missing, self._if_not).sum(axis=1)
        above = np.maximum((surprise - self._mean) / self._spread - 2.0, 0.0)
        hidden = np.where(missing, self._usual, 0.0).sum(axis=1) / max(self._usual.sum(), 1e-9)
        return np.asarray(self._slope * hidden + 0.1 * np.arcsinh(above))
