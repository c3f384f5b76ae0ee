"""Scale the features of a support, by the same function in training episodes and in ``fit``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone

from .._typing import Array
from .moments import FAR, feature_spread, stable_mean, without_far_values

SCALERS = ("none", "joint", "task", "robust", "shrunk", "pooled")
_PRIOR_ROWS = 5.0
_UNEVEN = 1e3  # times the median spread: one huge value, or columns of several units


@dataclass(frozen=True)
class ScalePrior:
    """Hold the location and spread of each feature over the training tasks, each of shape (d,).

    Attributes
    ----------
    mean, mean_variance : ndarray
        Mean over tasks of a task's mean, and its variance between tasks.
    variance : ndarray
        Geometric mean over tasks of the variance within a task.
    """

    mean: Array
    mean_variance: Array
    variance: Array

    @classmethod
    def from_normals(cls, tasks: Iterable[Array], basis: Array | None = None) -> ScalePrior:
        """Estimate from the normals of each task, projected on a basis (d, q) where given."""
        normals = [rows if basis is None else rows @ basis for rows in tasks]
        known = np.array([~np.isnan(rows).all(axis=0) for rows in normals])
        count = np.maximum(known.sum(axis=0), 1)
        means = np.array([stable_mean(rows) for rows in normals])
        logs = np.log([feature_spread(rows) for rows in normals])
        mean = (means * known).sum(axis=0) / count
        variance = (((means - mean) * known) ** 2).sum(axis=0) / count
        return cls(mean, variance, np.exp(2 * (logs * known).sum(axis=0) / count))

    def to_arrays(self) -> dict[str, Array]:
        """Return named arrays for a :class:`MetaState`."""
        return {f"scale_{name}": value for name, value in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Any) -> ScalePrior | None:
        """Read the prior from the arrays of a state; None where it has none."""
        if "scale_mean" not in arrays:
            return None
        return cls(*(arrays[f"scale_{n}"] for n in ("mean", "mean_variance", "variance")))


class ScaledSupport:
    """Scale the features of a support, and of other rows by the normal rows of the support.

    Missing entries are left out of the statistics and stay missing.

    Parameters
    ----------
    X : ndarray of shape (n_support, d)
        Support rows.
    y : ndarray of shape (n_support,), dtype int8
        1 marks the anomalies; the scale is that of the other rows.
    scaler : str or transformer
        One of ``SCALERS`` or a scikit-learn transformer, which is cloned; a ValueError names it
        where it returns NaN, infinity or another number of rows.
    prior : ScalePrior or None, default=None
        Location and spread that "shrunk" shrinks towards and "pooled" uses; without it both are
        the same as "task".

    Attributes
    ----------
    support : ndarray of shape (n_support, d_out)
        The support, scaled.
    support_y : ndarray of shape (n_support,), dtype int8
    """

    def __init__(
        self, X: Array, y: NDArray[np.int8], scaler: Any, prior: ScalePrior | None = None
    ) -> None:
        normals = X[y != 1]
        if isinstance(scaler, str):
            self._transformer = None
            self._centre, self._scale = _location_and_scale(normals, scaler, prior)
        else:
            self._transformer = clone(scaler).fit(normals)
        self.support = self.transform(X)
        self.support_y = y

    @property
    def row_by_row(self) -> bool:
        """Return whether a row is scaled the same, to the bit, whatever rows join it."""
        return self._transformer is None

    def transform(self, X: Array) -> Array:
        """Scale rows: (m, d) -> (m, d_out).

        Parameters
        ----------
        X : ndarray of shape (m, d)
            Rows in the units of the task.

        Returns
        -------
        Z : ndarray of shape (m, d_out)
            Scaled rows.
        """
        if self._transformer is not None:
            return self._transformed(X, self._transformer)
        with np.errstate(over="ignore"):
            return np.clip((X - self._centre) / self._scale, -FAR, FAR)

    def inverse_transform(self, Z: Array) -> Array:
        """Transform scaled rows back to their own units: (m, d_out) -> (m, d).

        Parameters
        ----------
        Z : ndarray of shape (m, d_out)
            Scaled rows.

        Returns
        -------
        X : ndarray of shape (m, d)
            Rows in the units of the task.
        """
        if self._transformer is not None:
            if not hasattr(self._transformer, "inverse_transform"):
                raise ValueError(f"scaler={self._transformer!r} has no inverse_transform.")
            return np.asarray(self._transformer.inverse_transform(Z), dtype=np.float64)
        return Z * self._scale + self._centre

    def _transformed(self, X: Array, transformer: Any) -> Array:
        """Transform rows by a transformer, and refuse what no scaled rows are."""
        if not len(X):  # which most transformers refuse
            return np.empty((0, self.support.shape[1]))
        Z = transformer.transform(X)
        Z = np.array(Z.toarray() if issparse(Z) else Z, dtype=np.float64)  # a frame's is read-only
        if Z.ndim != 2 or len(Z) != len(X):
            raise ValueError(
                f"scaler={transformer!r} returned an array of shape {Z.shape} for {len(X)} rows."
            )
        if not np.isfinite(Z[~np.isnan(X).any(axis=1)]).all():
            raise ValueError(
                f"scaler={transformer!r} returned NaN or infinity for rows without any."
            )
        return Z


def check_width(rows: Array, n_columns: int) -> None:
    """Refuse scaled rows of another width than that of other supports: (n, d)."""
    if rows.shape[1] != n_columns:
        raise ValueError(
            f"The scaler returned {n_columns} columns for one support and {rows.shape[1]} for "
            "another: it has to return the same number for all, as PCA(2) does and PCA(0.9) not."
        )


def _location_and_scale(
    normals: Array, scaler: str, prior: ScalePrior | None
) -> tuple[Array, Array]:
    if scaler == "none":
        return np.zeros(normals.shape[1]), np.ones(normals.shape[1])
    if scaler == "robust":
        known = np.where(np.isnan(normals).all(axis=0), 0.0, normals)  # a column without entries
        low, centre, high = np.nanpercentile(known, [25, 50, 75], axis=0)
        spread = feature_spread(normals)
        # 1.349: interquartile range of a standard normal; it may be 0 where values repeat
        return centre, np.maximum((high - low) / 1.349, 0.1 * spread)
    mean, spread = stable_mean(normals), feature_spread(normals)
    if scaler == "joint":  # the coordinates of an embedding share a unit
        if spread.max() > _UNEVEN * np.median(spread):
            spread = without_far_values(normals, spread)
        return mean, np.full(len(mean), np.sqrt(np.mean(spread**2)))
    if scaler == "task" or prior is None:
        return mean, spread
    if scaler == "pooled":
        return prior.mean, np.sqrt(prior.variance + prior.mean_variance)
    n = (~np.isnan(normals)).sum(axis=0)
    # the prior counts as five rows for the variance; the mean is weighted by its reliability
    variance = (n * spread**2 + _PRIOR_ROWS * prior.variance) / (n + _PRIOR_ROWS)
    trust = prior.mean_variance / (prior.mean_variance + variance / np.maximum(n, 1) + 1e-300)
    trust = np.where(n > 0, trust, 0.0)
    return prior.mean + trust * (mean - prior.mean), np.sqrt(variance)


def choose_without_tasks(normals: Array) -> str:
    """Choose a scaler without training tasks: "task" where spreads differ more than five-fold.

    Sensors and table columns have units of their own; the coordinates of an embedding share one,
    and their relative spread is information.
    """
    low, high = np.percentile(feature_spread(normals), [10, 90])
    return "task" if high > 5.0 * low else "none"
