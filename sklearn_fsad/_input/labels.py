"""Encode optional few-shot labels, for fit, meta_fit, score, scorers and splitters alike.

Inside the package a label is 0 (normal), 1 (anomalous) or -1 (unlabelled), as ``int8``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length, column_or_1d

from .._typing import Codes
from .._warn import warn
from ..exceptions import LabelConventionWarning
from .codings import (
    HELP,
    SIGNED,
    Coding,
    agreed,
    coding_by_convention,
    coding_by_label,
    is_auto,
    is_missing,
    is_one_of,
)

NORMAL, ANOMALOUS, UNLABELLED = 0, 1, -1
PADDING = -1
INJECTED = 2  # code of an injected row among the labels of a support


def encode_labels(
    y: Any,
    n_samples: int,
    *,
    outlier_label: Any = "auto",
    require_normal: bool = True,
    known: Coding | None = None,
) -> Codes:
    """Read a label vector in any accepted coding.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or None
        Labels as the user gave them; None means that every row is unlabelled.
    n_samples : int
        Number of rows that ``y`` must describe.
    outlier_label : "auto", label or collection of labels, default="auto"
        The label of the anomalies; "auto" reads the codings of scikit-learn and PyOD.
    require_normal : bool, default=True
        Refuse labels that leave no normal or unlabelled row.
    known : (normal, anomalous) or None, default=None
        Coding of earlier rows: decides what a ``y`` of one label means.

    Returns
    -------
    codes : ndarray of shape (n_samples,), dtype int8
        0 normal, 1 anomalous, -1 unlabelled.
    """
    return read_labels(
        y,
        n_samples,
        outlier_label=outlier_label,
        require_normal=require_normal,
        known=known,
    )[0]


def read_labels(
    y: Any,
    n_samples: int,
    *,
    outlier_label: Any = "auto",
    require_normal: bool = True,
    known: Coding | None = None,
) -> tuple[Codes, Coding | None]:
    """Encode labels as :func:`encode_labels` does, and return their coding too.

    The coding is ``(normal label, anomalous label)``, or None where ``y`` does not tell it.
    """
    if y is None:
        return np.full(n_samples, UNLABELLED, dtype=np.int8), known
    values = _as_vector(y)
    check_consistent_length(range(n_samples), values)
    if is_auto(outlier_label):
        numeric, missing = _as_numbers(values)
        coding = coding_by_convention(values, missing, numeric, known)
        anomalous = np.equal(numeric, np.nan if coding is None else float(coding[1]))
    else:
        missing = _missing(values)
        anomalous = is_one_of(values, missing, outlier_label)
        coding = coding_by_label(values, missing, anomalous, outlier_label) or known
    codes = np.where(missing, UNLABELLED, np.where(anomalous, ANOMALOUS, NORMAL)).astype(np.int8)
    if require_normal and n_samples and (codes == ANOMALOUS).all():
        raise ValueError(
            f"y marks all {n_samples} rows as anomalies (one class): a detector needs normal or "
            "unlabelled rows too. Add some, or pass outlier_label if the coding was read wrongly."
        )
    return codes, coding


def joined_coding(known: Coding | None, new: Coding | None, outlier_label: Any) -> Coding | None:
    """Return the coding of earlier labels and of new ones.

    Raises
    ------
    ValueError
        If both were read by convention and differ.
    """
    if known is None or new is None or new == known:
        return known or new
    if is_auto(outlier_label):
        raise ValueError(
            f"y is read as {new[0]} normal, {new[1]} anomalous; labels given before were read as "
            f"{known[0]} normal, {known[1]} anomalous. Give all in one coding, or pass "
            "outlier_label=<the label of the anomalies>."
        )
    return SIGNED  # more than two labels


def common_coding(ys: Iterable[Any]) -> Coding | None:
    """Return the coding on which all label vectors agree that tell one by their own; else None."""
    return agreed(_own_coding(y) for y in ys if y is not None)


def _own_coding(y: Any) -> Coding | None:
    try:
        numeric, missing = _as_numbers(values := _as_vector(y))
        return coding_by_convention(values, missing, numeric, None, quiet=True)
    except (ValueError, TypeError):  # raised again, with a name, where these labels are read
        return None


def warn_if_mostly_anomalous(codes: Codes, coding: Coding | None, outlier_label: Any) -> None:
    """Warn if labels whose coding was guessed mark more anomalies than all other rows."""
    n, k = len(codes), int((codes == ANOMALOUS).sum())
    if not is_auto(outlier_label) or coding is None or 2 * k <= n:
        return
    normal, anomalous = coding
    warn(
        f"y marks {k} of {n} rows as anomalies: {anomalous} is read as the anomaly. If "
        f"{anomalous} means normal here, pass outlier_label={normal}; if anomalies do outnumber "
        f"normal rows, outlier_label={anomalous} says so. Tools that number labels anew, such as "
        "cross_val_predict with method='decision_function' or 'predict_proba', BaggingClassifier, "
        "CalibratedClassifierCV(ensemble=False) and stacking, turn 1 and -1 into 1 and 0: give "
        "these y with 1 for the anomalies and 0 for normal rows.",
        LabelConventionWarning,
    )


def codes_to_labels(codes: Codes) -> NDArray[np.float64]:
    """Convert codes to labels: 0 normal, 1 anomalous, NaN unlabelled."""
    return np.where(codes == UNLABELLED, np.nan, codes.astype(np.float64))


def _as_vector(y: Any) -> NDArray[Any]:
    if isinstance(y, np.ma.MaskedArray):  # what is masked is unlabelled
        labels = y.data.astype(object)
        labels[np.ma.getmaskarray(y)] = None
        y = labels
    if hasattr(y, "detach"):  # a tensor, whose type numpy may not know
        y = y.detach().cpu().tolist()
    has_own = hasattr(y, "to_numpy") and not type(y).__module__.startswith("pyarrow")
    values = np.asarray(y.to_numpy() if has_own else y)
    if values.dtype.kind == "c":
        raise ValueError("Complex data not supported: y holds complex numbers.")
    return column_or_1d(values, warn=True)


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind in "biuf":
        return np.isnan(values)
    return np.array([is_missing(v) for v in values], dtype=bool)


def _as_numbers(values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Convert labels to numbers, NaN where missing, and mark the missing ones."""
    if values.dtype.kind in "biuf":
        numeric = values.astype(np.float64)
    elif values.dtype.kind == "O" and not any(isinstance(v, (str, bytes)) for v in values):
        try:
            numeric = np.array([np.nan if is_missing(v) else float(v) for v in values])
        except (TypeError, ValueError) as error:
            raise ValueError(f"Unknown label type: y holds objects. {HELP}") from error
    else:
        raise ValueError(f"Unknown label type: y has dtype {values.dtype}. {HELP}")
    if np.isinf(numeric).any():
        raise ValueError(f"y contains infinity. {HELP}")
    return numeric, np.isnan(numeric)
