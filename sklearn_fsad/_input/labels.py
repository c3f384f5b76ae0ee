"""Encode optional few-shot labels, for fit, meta_fit, score, scorers and splitters alike.

Inside the package a label is 0 (normal), 1 (anomalous) or -1 (unlabelled), as ``int8``.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length, column_or_1d

from .._warn import warn
from ..exceptions import LabelConventionWarning

NORMAL, ANOMALOUS, UNLABELLED = 0, 1, -1
_HELP = (
    "Accepted with outlier_label='auto': None; {1 inlier, -1 outlier} as in scikit-learn; "
    "{0 inlier, 1 outlier} or booleans as in PyOD; NaN or None in either marks an unlabelled row. "
    "For any other coding pass outlier_label=<the label of the anomalies>."
)


def encode_labels(
    y: Any,
    n_samples: int,
    *,
    outlier_label: Any = "auto",
    require_normal: bool = True,
    known: float | None = None,
) -> NDArray[np.int8]:
    """Read a label vector in any accepted coding.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or None
        Labels as the user gave them; None means that every row is unlabelled.
    n_samples : int
        Number of rows that ``y`` must describe.
    outlier_label : "auto", number or str, default="auto"
        The label of the anomalies; "auto" reads the codings of scikit-learn and PyOD.
    require_normal : bool, default=True
        Refuse labels that leave no normal or unlabelled row.
    known : float or None, default=None
        Label of the anomalies in earlier rows: decides what a ``y`` of ones only means.

    Returns
    -------
    codes : ndarray of shape (n_samples,), dtype int8
        0 normal, 1 anomalous, -1 unlabelled.
    """
    if y is None:
        return np.full(n_samples, UNLABELLED, dtype=np.int8)
    values = _as_vector(y)
    check_consistent_length(range(n_samples), values)
    if isinstance(outlier_label, str) and outlier_label == "auto":
        numeric = _as_float(values)
        missing = np.isnan(numeric)
        if known is not None and (numeric[~missing] == 1.0).all():
            outlier = known
        else:
            outlier = _outlier_label_by_convention(numeric[~missing], bool(missing.any()))
        anomalous = np.equal(numeric, outlier)
    else:
        missing, anomalous = _split_by_label(values, outlier_label)
    codes = np.where(missing, UNLABELLED, np.where(anomalous, ANOMALOUS, NORMAL)).astype(np.int8)
    if require_normal and n_samples and (codes == ANOMALOUS).all():
        raise ValueError(
            f"y marks all {n_samples} rows as anomalies (one class): a detector needs normal or "
            "unlabelled rows too. Add some, or pass outlier_label if the coding was read wrongly."
        )
    return codes


def known_coding(y: Any) -> float | None:
    """Return the label of the anomalies where a -1 or 0 in ``y`` tells the coding, else None."""
    values = np.asarray([]) if y is None else _as_vector(y)
    if values.dtype.kind not in "biuf":
        return None
    return 1.0 if (values == 0).any() else -1.0 if (values == -1).any() else None


def _as_vector(y: Any) -> NDArray[Any]:
    values = np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y)
    if values.dtype.kind == "c":
        raise ValueError("Complex data not supported: y holds complex numbers.")
    return column_or_1d(values, warn=True)


def is_missing(value: Any) -> bool:
    """Tell whether a label is missing: None, NaN or pandas' NA."""
    if value is None or type(value).__name__ == "NAType":
        return True
    return isinstance(value, numbers.Real) and value != value


def _as_float(values: NDArray[Any]) -> NDArray[np.float64]:
    if values.dtype.kind in "biuf":
        numeric = values.astype(np.float64)
    elif values.dtype.kind == "O" and not any(isinstance(v, str) for v in values):
        try:
            numeric = np.array([np.nan if is_missing(v) else float(v) for v in values])
        except (TypeError, ValueError) as error:
            raise ValueError(f"Unknown label type: y holds objects. {_HELP}") from error
    else:
        raise ValueError(f"Unknown label type: y has dtype {values.dtype}. {_HELP}")
    if np.isinf(numeric).any():
        raise ValueError(f"y contains infinity. {_HELP}")
    return numeric


def _outlier_label_by_convention(labels: NDArray[np.float64], has_unlabelled: bool) -> float:
    """Return the number that marks the anomalies; NaN (equal to nothing) when no row is one."""
    found = np.unique(labels)
    distinct = set(found.tolist())
    if not distinct:
        return np.nan
    if {-1.0, 0.0} <= distinct <= {-1.0, 0.0, 1.0}:
        held = ", ".join(f"{label:g}" for label in found)
        raise ValueError(
            f"Ambiguous y: it holds {held}; libraries give three different meanings to -1, 0, 1. "
            f"Mark unlabelled rows with NaN. {_HELP}"
        )
    if distinct == {1.0}:
        if has_unlabelled:
            raise ValueError(
                "Ambiguous y: every labelled row is 1 and other rows are unlabelled, and 1 means "
                "inlier in scikit-learn but outlier in PyOD. Pass outlier_label=1 or "
                "outlier_label=-1."
            )
        warn(
            "y holds only 1: read as inliers of scikit-learn's coding, no labelled anomalies.",
            LabelConventionWarning,
        )
        return np.nan
    if distinct <= {-1.0, 1.0}:
        return -1.0
    if distinct <= {0.0, 1.0}:
        return 1.0
    if len(distinct) == 2 and all(label.is_integer() for label in distinct):
        larger = float(found[1])
        warn(
            f"y holds {found[0]:g} and {larger:g}, neither coding of anomalies; the larger one, "
            f"{larger:g}, is taken as the anomaly. Pass outlier_label to be explicit.",
            LabelConventionWarning,
        )
        return larger
    shown = ", ".join(f"{v:g}" for v in found[:6]) + (", ..." if len(found) > 6 else "")
    raise ValueError(f"Unknown label type: y holds {shown}. {_HELP}")


def _split_by_label(
    values: NDArray[Any], outlier_label: Any
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find missing and anomalous rows by the label that the user gives for the anomalies."""
    missing = np.array([is_missing(v) for v in values], dtype=bool)
    anomalous = np.array([v == outlier_label for v in values], dtype=bool) & ~missing
    others = set(values[~missing & ~anomalous].tolist())
    if not anomalous.any() and len(others) >= 2:
        shown = ", ".join(repr(v) for v in sorted(others, key=repr)[:6])
        warn(
            f"outlier_label={outlier_label!r} does not occur in y, which holds {shown}.",
            LabelConventionWarning,
        )
    return missing, anomalous


def codes_to_labels(codes: NDArray[np.int8]) -> NDArray[np.float64]:
    """Convert codes to labels: 0 normal, 1 anomalous, NaN unlabelled."""
    return np.where(codes == UNLABELLED, np.nan, codes.astype(np.float64))


PADDING = -1
INJECTED = 2  # code of an injected row among the labels of a support
