"""Represent rows in units of a support, with missing entries marked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._stats.moments import FAR, NEAR, compressed
from ..._stats.scaling import ScaledSupport, ScalePrior, check_width
from ..._typing import Array, Mask
from .reduction import Reduction


class MaskedRepresentation:
    """Represent rows by scaled values and marks of missing entries.

    A represented row is ``[values, visible, departed]``, each of d columns: its entries in units of
    the support, logarithmic beyond five spreads and 0 where missing; 1 where they are not missing;
    and, for a feature that is constant in the support, the departure of the row from it.

    Parameters
    ----------
    X : ndarray of shape (n_support, d)
        Rows of the support; they may hold NaN.
    y : ndarray of shape (n_support,), dtype int8
        1 marks the anomalies; the scale is that of the other rows.
    scaler : str or transformer
        As in :class:`ScaledSupport`.
    prior : ScalePrior or None, default=None
        Typical scale that ``scaler="shrunk"`` shrinks to.
    reduction : Reduction or None, default=None
        Maps scaled rows to fewer features, which the support then scales again.
    mark_departures : bool, default=True
        Whether to keep departures from constant features in the separate block of columns; else
        they are values like others.

    Attributes
    ----------
    support : ndarray of shape (n_support, 3 d)
        Represented rows of the support.
    support_y : ndarray of shape (n_support,), dtype int8
        Their labels.
    """

    def __init__(
        self,
        X: Array,
        y: NDArray[np.int8],
        scaler: Any,
        prior: ScalePrior | None = None,
        reduction: Reduction | None = None,
        mark_departures: bool = True,
    ) -> None:
        self._scaled = ScaledSupport(X, y, scaler, prior)
        self._reduction = reduction
        Z = self._scaled.support
        check_width(Z, X.shape[1])
        if reduction is not None:
            self._reduced = ScaledSupport(reduction.transform(Z), y, "task")
            Z = self._reduced.support
        normals = Z[y != 1]
        known = ~np.isnan(normals)
        self._known = known.any(axis=0)
        first = normals[known.argmax(axis=0), np.arange(Z.shape[1])]
        self._constant = np.where(self._known, first, 0.0)
        varies = known & (normals != self._constant)
        self._dead = self._known & ~varies.any(axis=0) & mark_departures
        self.support = self._describe(Z)
        self.support_y = y

    @property
    def n_features(self) -> int:
        """Number of features that are represented, after a reduction."""
        return len(self._known)

    @property
    def is_known(self) -> Mask:
        """Mark the represented features that some normal row of the support has: (d,)."""
        return self._known

    def transform(self, X: Array) -> Array:
        """Represent rows: (m, d_in) -> (m, 3 d)."""
        Z = self._scaled.transform(X)
        if self._reduction is not None:
            Z = self._reduced.transform(self._reduction.transform(Z))
        return self._describe(Z)

    def in_own_units(self, mean: Array, spread: Array) -> tuple[Array, Array]:
        """Convert means and standard deviations to the units of the user: (m, d) each."""
        excess = np.clip(np.abs(mean) - NEAR, 0.0, np.log(FAR))
        centre = np.clip(mean, -NEAR, NEAR) + np.sign(mean) * np.expm1(excess)
        centre = np.where(self._dead, self._constant, centre)
        spread = np.where(self._dead, 0.0, spread * np.exp(excess))
        low = self._scaled.inverse_transform(centre)
        return low, self._scaled.inverse_transform(centre + spread) - low

    def spread_terms(self, X: Array, terms: Array) -> Array:
        """Divide the terms of represented features among the given ones: (m, d) -> (m, d_in)."""
        if self._reduction is None:
            return terms
        return self._reduction.spread_terms(self._scaled.transform(X), terms)

    def _describe(self, Z: Array) -> Array:
        visible = ~np.isnan(Z) & self._known
        Z = np.where(visible, Z, 0.0)
        departed = np.where(self._dead & visible, compressed(Z - self._constant), 0.0)
        values = np.where(self._dead, 0.0, compressed(Z))
        return np.concatenate([values, visible.astype(np.float64), departed], axis=1)
